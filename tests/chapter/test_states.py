"""States of customers: each from its own rhythm, on days that a person can count; value at risk; the sample's stories."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crmlib import forecasts, purchases, segments, states
from crmlib.books.stored import Books
from crmlib.declared.judgement import Rules, States
from crmlib.purchases import Orders

Make = Callable[..., Books]
START, MONTHS = date(2023, 1, 1), 36
BEGIN, END = (int(np.datetime64(day).astype(int)) for day in ("2023-01-01", "2026-01-01"))


def every(days: float, since: int = 0, until: int = END - BEGIN) -> list[int]:
    """Order days every so many days, from a day of the books on."""
    return [round(day) for day in np.arange(since + 3, until, days)]


def state_of(*customers: list[int], terms: States | None = None, since: list[float] | None = None) -> pd.DataFrame:
    """The states at the end of 2025 of customers who order for 100 on these days of the books, which begin in 2023."""
    customer = np.repeat(np.arange(len(customers)), [len(days) for days in customers])
    day = np.concatenate([np.array(days, dtype=int) for days in customers]) + BEGIN
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(int) - (2023 - 1970) * 12
    sales = np.zeros((len(customers), MONTHS))
    np.add.at(sales, (customer, month), 100.0)
    return states.state_table(Orders(customer, day, np.full(len(day), 100.0)), sales, START, terms or States(), since)


CASES: dict[str, tuple[list[int], str, date | None]] = {
    "every nine days, and nothing for 328": (every(9, until=END - BEGIN - 325), "lost", date(2025, 2, 7)),
    "every nine days, and nothing for 100": (every(9, until=END - BEGIN - 97), "silent", date(2025, 9, 20)),
    "every nine days, and nothing for 20": (every(9, until=END - BEGIN - 17), "active", None),
    "every nine days, and nothing for 60": (every(9, until=END - BEGIN - 57), "slowing", None),
    "every 91 days to the end": (every(91), "active", None),
    "every 91 days, and nothing for 182": (every(91, until=END - BEGIN - 180), "active", None),
    "every 91 days, and nothing for 365": (every(91, until=END - BEGIN - 362), "silent", date(2025, 1, 1)),
    "since February 2025": (every(20, since=762), "new", date(2025, 2, 4)),
    "once, in 2023": ([100], "lost", date(2023, 4, 11)),
    "once, in December 2025": ([1080], "new", date(2025, 12, 16)),
    "every 9 days, in 2025 every 20": (every(9, until=730) + every(20, since=730), "slowing", None),
    "never": ([], "no order", None),
}


def test_each_state_is_named_with_its_date() -> None:
    found = state_of(*[days for days, _, _ in CASES.values()])
    told = dict(zip(CASES, zip(found["state"], found["state_since"], strict=True), strict=True))
    assert {name: state for name, (state, _) in told.items()} == {name: state for name, (_, state, _) in CASES.items()}
    dated = {name: since for name, (state, since) in told.items() if state not in {"active", "slowing", "no order"}}
    assert dated == {name: since for name, (_, _, since) in CASES.items() if since}


def test_who_was_a_customer_before_the_books_is_not_new() -> None:
    long_ago = float(np.datetime64("2015-06-01").astype(int))
    found = state_of(every(20, since=762), every(20, since=762), since=[np.nan, long_ago])
    assert found["state"].tolist() == ["new", "active"]


def test_nobody_is_new_in_the_first_months_of_the_books() -> None:
    customers = state_of(every(20, since=10), every(20, since=60), terms=States(new_months=36))
    assert customers["state"].tolist() == ["active", "active"]  # who ordered before the books nobody knows


def test_parameters_move_the_lines() -> None:
    days = every(9, until=END - BEGIN - 97)
    assert state_of(days, terms=States(lost_days=91))["state"].tolist() == ["lost"]
    assert state_of(days, terms=States(silent_days=120))["state"].tolist() == ["slowing"]
    with pytest.raises(ValueError, match="lost_days must not be below silent_days"):
        States(silent_days=200)


def test_the_seasons_low_is_no_slowing() -> None:
    month = np.tile([3.0] * 6 + [1.0] * 6, 3)  # half as much again in spring, each year
    sales = np.tile(month * 100, (5, 1)) * np.random.default_rng(0).normal(1, 0.1, (5, MONTHS))
    day = np.concatenate([np.arange(int(n)) * 9 + 30 * place for place, n in enumerate(month)]) + BEGIN
    orders = Orders(np.repeat(np.arange(5), len(day)), np.tile(day, 5), np.ones(5 * len(day)))
    found = states.state_table(orders, sales / purchases.season_of(sales, 1), START, States())
    assert found["state"].tolist() == ["active"] * 5


def test_the_order_of_customers_changes_no_state() -> None:
    days = [days for days, _, _ in CASES.values()]
    assert state_of(*days)["state"].tolist() == state_of(*days[::-1])["state"].tolist()[::-1]


# --- in an engagement ------------------------------------------------------------------------------------------------


def orders_of(customer: str, *days: str) -> list[str]:
    return [f"{customer}, {day}, 100" for day in days]


MONTHLY = [f"{2024 + m // 12}-{m % 12 + 1:02}-10" for m in range(24)]
TWO_YEARS = {"start": "2024-01", "end": "2025-12"}
FIVE: dict[str, Any] = {
    "customers": "customer_id, customer_name, parent_id\nA, Always,\nN, New,\nL, Lost,\nP, Parent,\nC, Child, P",
    "invoice_lines": "\n".join([
        "customer_id, invoice_date, gross_sales", *orders_of("A", *MONTHLY), *orders_of("N", *MONTHLY[15:]), *orders_of("L", *MONTHLY[:14]),
        *orders_of("P", *MONTHLY[:14]), *orders_of("C", *MONTHLY[10:]),
    ]),
}  # fmt: skip


def test_states_decide_segments_and_a_family_has_one(make_books: Make) -> None:
    books = make_books(FIVE, coverage=TWO_YEARS)
    decided = segments.differentiate(books, books.period("2025")).set_index("customer_id")
    assert decided["state"].to_dict() == {"A": "active", "N": "new", "L": "lost", "P": "lost", "C": "active"}
    assert decided.at["L", "segment"] == "Lost"
    assert (decided.loc[decided["state"] == "lost", "stance"] == "close").all()
    together = states.customer_states(
        books, books.period("2025"), Rules.model_validate({"parents": "together", "rules": REST})
    )
    assert together["state"].to_dict() == {"A": "active", "N": "new", "L": "lost", "P": "active"}
    assert together.at["P", "order_days"] == 24


REST = [{"segment": "Rest", "when": [], "because": "rest", "stance": "keep"}]


def test_who_was_no_customer_yet_did_not_come_from_a_segment(make_books: Make) -> None:
    books = make_books(FIVE, coverage=TWO_YEARS)
    now, before = (segments.differentiate(books, books.period(year)) for year in ("2025", "2024"))
    rules = segments.read_segments(books)
    flow = segments.migration(now, before, rules.segments)
    assert flow.loc[segments.NOT_YET].sum() == 1
    assert flow.to_numpy().sum() == 5
    assert "N" not in set(segments.moved(now, before)["customer_id"])  # it has begun, and not changed
    by_state = segments.by_state(now, before, rules)
    assert by_state[["customers", "a_year_before"]].to_numpy().tolist() == [[1, 1], [2, 3], [2, 0], [0, 1]]
    assert set(by_state.dtypes[["customers", "a_year_before"]]) == {
        np.dtype(int)
    }  # counts, which no table takes for money
    assert "a_year_before" not in segments.by_state(now, before.head(0), rules)


def test_periods_in_which_a_rule_could_not_be_tested_are_not_compared(make_books: Make) -> None:
    books = make_books(FIVE, coverage=TWO_YEARS)
    now, before = (segments.differentiate(books, books.period(year)) for year in ("2025", "2024"))
    rules = segments.read_segments(books)
    assert segments.not_comparable(now, before, rules) == ["growth of sales on the year before"]
    assert segments.not_comparable(now, now, rules) == []


def test_what_is_at_stake_is_the_last_year_with_sales_and_small_change_is_not_material(make_books: Make) -> None:
    books = make_books(FIVE, coverage=TWO_YEARS)
    rules = Rules.model_validate({"rules": REST, "material_share": 0.3})
    found = states.at_risk(books, books.period("2025"), rules).set_index("account_id")
    assert found["state"].to_dict() == {"L": "lost", "P": "lost"}
    assert found["since"].tolist() == [date(2025, 2, 10)] * 2
    assert found["yearly_margin"].tolist() == [1200.0] * 2
    assert found["material"].tolist() == [True] * 2  # 30 % of 3,700
    assert not states.at_risk(books, books.period("2025"), rules.model_copy(update={"material_share": 0.4}))[
        "material"
    ].any()


def test_states_are_of_the_end_of_the_period(make_books: Make) -> None:
    books = make_books(FIVE, coverage=TWO_YEARS)
    rules = Rules.model_validate({"rules": REST})
    assert states.customer_states(books, books.period("2025-02"), rules)["state"].to_dict() == {
        "A": "active", "N": "no order", "L": "active", "P": "active", "C": "new"
    }  # fmt: skip


def test_a_fall_is_dated_by_the_month_in_which_it_begins() -> None:
    rng = np.random.default_rng(0)
    level = np.concatenate([np.full(18, 100.0), 100 - 4 * np.arange(1, 19)])
    sales = np.vstack([level, np.full(36, 100.0), level[::-1]]) + rng.normal(0, 2, (3, 36))
    since, fall, slope = purchases.declines(sales, np.zeros(3, int))
    assert since[0] == purchases.declines(level[None], np.zeros(1, int))[0] == 18
    assert fall[0] == pytest.approx(0.68, abs=0.05)  # 36, 32 and 28 in the last months
    assert slope[0] < -4
    assert not ((fall[1:] > 0.15) & (slope[1:] < -4)).any()


def test_a_fall_is_what_is_bought_now_and_no_line_beyond_the_ground() -> None:
    sales = np.array([[100.0] * 12 + [40, 20, 0, 0, 0, 0, 0, 0, 10, 0, 20, 30]])
    _, fall, slope = purchases.declines(sales, np.zeros(1, int))
    assert slope[0] < -4
    assert 0.7 < fall[0] < 0.9  # the line says more than all


def test_eight_months_of_falling_sales_are_too_few_for_a_decline() -> None:
    sales = np.tile(np.concatenate([np.zeros(28), 100 - 10.0 * np.arange(8)]), (2, 1))
    old = np.concatenate([np.full(28, 100.0), 100 - 10.0 * np.arange(8)])
    _, fall, slope = purchases.declines(np.vstack([sales[0], old]), np.array([28, 0]))
    assert (fall[0], slope[0]) == (0, 0)
    assert fall[1] > 0.5
    assert slope[1] < -4


def test_silence_is_measured_against_the_customers_own_rhythm(make_books: Callable[..., Books]) -> None:
    lines = [("A", m) for m in range(1, 8)] + [("B", m) for m in (1, 5)]  # monthly; every four months
    rows = "\n".join(f"{customer}, 2024-{month:02}-10, 100" for customer, month in lines)
    books = make_books({"invoice_lines": f"customer_id, invoice_date, gross_sales\n{rows}"})
    found = states.at_risk(books, books.period("2024"), segments.read_segments(books)).set_index("account_id")
    assert found.index.tolist() == ["A"]
    told = found.loc["A", ["state", "since", "silent_days", "yearly_margin"]].tolist()
    assert told == ["silent", date(2024, 7, 10), 21 + 31 + 30 + 31 + 30 + 31, pytest.approx(700)]


def test_rhythm_is_by_order_date_and_margin_by_invoice_date(make_books: Callable[..., Books]) -> None:
    lines = """customer_id, invoice_date, gross_sales, order_id, order_date
        A, 2024-01-10, 100, 1, 2023-12-20
        A, 2024-04-30, 100, 2, 2024-01-09
        A, 2024-04-30, 100, 3, 2024-02-28
        A, 2024-06-30, 100, 3, 2024-02-28"""
    books = make_books({"invoice_lines": lines})
    past = forecasts.history(books)
    how = past.rhythm.loc[0, ["order_days", "last_order", "usual_gap_days", "silent_days"]]
    assert how.tolist() == [3, date(2024, 2, 28), (20 + 50) / 2, 366 - 59]
    assert past.margin[0].nonzero()[0].tolist() == [0, 3, 5]
    assert past.until(1).rhythm.loc[0, ["order_days", "silent_days"]].tolist() == [2, 22]  # as of the end of January
    found = states.at_risk(books, books.period("2024"), segments.read_segments(books)).set_index("account_id")
    assert found.loc["A", ["since", "yearly_margin"]].tolist() == [date(2024, 2, 28), 400]


def test_rhythm_by_hand() -> None:
    orders = Orders(np.repeat([0, 2], [13, 2]), np.append(np.arange(13) * 30, [100, 350]), np.ones(15))
    found = purchases.rhythm(orders, 4, 370)
    assert found["order_days"].tolist() == [13, 0, 2, 0]
    assert found["age_days"].tolist()[::2] == [370, 270]
    assert found["silent_days"].tolist()[::2] == [10, 20]
    assert found["usual_gap_days"].tolist()[::2] == [30, 250]
    assert found["rhythm_days"].tolist() == [
        (360 + 140) / 13,
        140,
        (250 + 140) / 2,
        140,
    ]  # one gap of the typical 140 days
    assert found["last_order"].tolist() == [date(1970, 12, 27), None, date(1970, 12, 17), None]
    assert found["first_order"].tolist() == [date(1970, 1, 1), None, date(1970, 4, 11), None]
    assert found["unevenness"].tolist()[0] == 0
    assert found.loc[1, ["age_days", "silent_days", "usual_gap_days"]].isna().all()


def test_gaps_as_by_chance_have_an_unevenness_of_one() -> None:
    rng = np.random.default_rng(0)
    days = [np.cumsum(gaps).astype(int) for gaps in (rng.exponential(200, 500), rng.normal(200, 20, 500))]
    orders = Orders(np.repeat([0, 1], 500), np.concatenate(days), np.ones(1000))
    found = purchases.rhythm(orders, 2, max(map(max, days)))["unevenness"]
    assert found.tolist() == pytest.approx([1.0, 0.01], abs=0.1)


def test_gaps_of_two_centuries_are_squared_in_full() -> None:
    days = np.array([0, 10, 80_000], dtype=np.int32)  # as the books bring them
    found = purchases.rhythm(Orders(np.zeros(3, int), days, np.ones(3)), 1, 80_001).loc[0]
    mean, spread = 40_000, (10 - 40_000) ** 2 + (79_990 - 40_000) ** 2
    assert found["usual_gap_days"] == mean
    assert found["unevenness"] == pytest.approx(spread / mean**2 / 2)  # alone, it is the typical customer


def test_the_margin_at_stake_is_the_same_in_whatever_order_rows_come(sample: Books) -> None:
    rules, period = segments.read_segments(sample), sample.period("2025")
    stakes = {tuple(states.at_risk(sample, period, rules)["yearly_margin"]) for _ in range(6)}
    assert len(stakes) == 1
