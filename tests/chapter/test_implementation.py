"""Agreements in force: tiny plans beside the day they end, months of service beside their limits and what is owed, and what moved since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from crmlib import implementation, segments
from crmlib.books.stored import Books
from crmlib.declared.reading import SettingsError
from crmlib.declared.teams import Milestone

Make = Callable[..., Books]
DAY = timedelta(days=1)
RULES = """
rules:
  - {segment: Key, when: [sales >= 1200], because: large, key: true, stance: invest}
  - {segment: Small, when: [], because: small, stance: keep}
"""
MENU = """option,name,kind,process,line,per,unit,activity,unit_cost,capacity,measure,target,method,penalty,bonus,uplift_on,uplift_low,uplift,uplift_high
window,Window,service,order fulfilment,salaries,month,delivery,,10,,,,,,,,,,
desk,Desk,service,customer service management,salaries,month,answer,,1,,,,,,,,,,"""
AGREED = """
agreements:
  - {account: A, version: 1, valid_from: 2025-01-01, valid_to: 2026-12-31, expected: {sales: 1, margin: 1}, commitments: [
      {option: window, level: 1, measure: on time, target: 0.9, penalty: 0.01, bonus: 0.002}]}
  - {segment: Small, version: 1, valid_from: 2025-01-15, valid_to: 2025-12-31, commitments: [{option: desk, level: 1, measure: answered, target: 0.5, penalty: 0.1}]}
"""


def plan(**tasks: tuple[int, int, str, int | None]) -> pd.DataFrame:
    """Milestones from and to a day of 2025 (counted from its first), after others, and the day on which they were done."""
    first = date(2025, 1, 1)
    rows = [{"id": i, "depends_on": after.split(), "start": first + s * DAY, "end": first + e * DAY, "done": None if d is None else first + d * DAY}
            for i, (s, e, after, d) in tasks.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["id", "depends_on", "start", "end", "done"])


def days(made: pd.DataFrame, column: str) -> dict[str, int]:
    return {i: (day - date(2025, 1, 1)).days for i, day in zip(made["id"], made[column], strict=True)}


def test_what_is_not_done_ends_after_what_it_waits_for_and_not_before_today() -> None:
    steps = plan(a=(0, 9, "", 12), b=(10, 14, "a", None), c=(0, 11, "", None), d=(15, 18, "b c", None))
    made = implementation.schedule(steps, date(2025, 1, 17))  # day 16: b and c are late, and d will follow b
    assert days(made, "ends") == {"a": 12, "b": 17, "c": 16, "d": 21}
    assert made["state"].tolist() == ["done", "late", "late", "will be late"]
    assert made["slip_days"].tolist() == [3, 3, 5, 3]
    assert made["slack_days"].tolist()[1:] == [0, 1, 0]


def test_the_longest_way_is_critical_and_the_other_has_slack() -> None:
    made = implementation.schedule(plan(a=(0, 9, "", None), b=(10, 14, "a", None), c=(0, 11, "", None), d=(15, 18, "b c", None)), date(2025, 1, 1))  # fmt: skip
    assert days(made, "ends") == {"a": 9, "b": 14, "c": 11, "d": 18}
    assert dict(zip(made["id"], made["slack_days"], strict=True)) == {"a": 0, "b": 0, "c": 3, "d": 0}
    assert made.loc[made["critical"], "id"].tolist() == ["a", "b", "d"]
    assert set(made["state"]) == {"on plan"}


def test_what_is_done_after_the_day_is_not_yet_done() -> None:
    made = implementation.schedule(plan(a=(0, 9, "", 12)), date(2025, 1, 12))
    assert (made["state"].tolist(), days(made, "ends")) == (["late"], {"a": 11})


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.sets(st.integers(0, 5), max_size=3)), min_size=1, max_size=6), st.integers(0, 40))  # fmt: skip
def test_a_slip_of_one_day_moves_the_end_only_of_what_has_no_slack(
    tasks: list[tuple[int, int, set[int]]], today: int
) -> None:
    rows = {f"t{i}": (s, s + length, " ".join(f"t{b}" for b in sorted(before) if b < i), None) for i, (s, length, before) in enumerate(tasks)}  # fmt: skip
    now = date(2025, 1, 1) + today * DAY
    made = implementation.schedule(plan(**rows), now)
    ends, slack = days(made, "ends"), dict(zip(made["id"], made["slack_days"], strict=True))
    assert all(ends[i] >= max(today, *(ends[b] + 1 for b in rows[i][2].split()), rows[i][1]) for i in rows)
    for i, (s, *_) in rows.items():
        length = ends[i] - max([s, *(ends[b] + 1 for b in rows[i][2].split())])
        later = {**rows, i: (s, s + length + 1, rows[i][2], None)}
        moved = days(implementation.schedule(plan(**later), now), "ends")
        assert max(moved.values()) == max(ends.values()) + (slack[i] == 0), (i, ends, moved)


def test_an_empty_plan_is_none() -> None:
    assert implementation.schedule(plan(), date(2025, 1, 1)).empty


def put(books: Books, *milestones: str) -> Books:
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    (folder / "plan.csv").write_text("\n".join([",".join(Milestone.model_fields), *milestones]), encoding="utf-8")
    return books


def test_all_mistakes_of_a_plan_are_told_at_once_with_row_column_and_way_out(make_books: Make) -> None:
    books = put(make_books(), "a,Z,,order fulfilment,do,Ann,2025-02-01,2025-01-01,,", "b,,Cora,logistics,,Ann,2025-13-01,2025-01-01,c,soon",
                "b,A,Core,order fulfilment,do,Ann,2025-01-01,2025-01-02,,")  # fmt: skip
    with pytest.raises(SettingsError) as told:
        segments.check_judgement(books)
    text = str(told.value)
    for line in (
        "row 2, end: '2025-01-01': must not be before start", "row 2, account: 'Z': no such account", "row 3, process: 'logistics': one of customer",
        "row 3, task: '': write what is to be done", "row 3, start: '2025-13-01': write the day as 2025-11-30", "row 3, segment: 'Cora': no such segment; did you mean 'Core'?",
        "row 3, depends_on: 'c': no such id", "row 3, done: 'soon': the day on which it was done", "row 3, id: 'b': stands twice",
        "row 4, segment: 'Core': give an account or a segment, and not both",
    ):  # fmt: skip
        assert line in text


def test_a_circle_of_milestones_is_told(make_books: Make) -> None:
    steps = [
        "a,,,order fulfilment,do,Ann,2025-01-01,2025-01-02,b,",
        "b,,,order fulfilment,do,Ann,2025-01-01,2025-01-02,a,",
    ]
    with pytest.raises(SettingsError, match=r"depends_on: '[ab]': goes in a circle: [ab], [ab], [ab]; take one out"):
        implementation.read_plan(put(make_books(), *steps))


SERVED = ["A, 2024-11-01, on time, 9, 10", "A, 2025-01-01, on time, 8, 10", "A, 2025-02-01, on time, 9, 10", "B, 2025-01-01, answered, 0, 4", "B, 2025-02-01, answered, 1, 4",
          "B, 2025-03-01, answered, 4, 4", "A, 2025-01-01, answered, 0, 9"]  # fmt: skip


@pytest.fixture
def agreed(make_books: Make) -> Books:
    """A, a key account with an agreement from January 2025, and B in a segment with one from the middle of January."""
    lines = [f"{c}, {y}-{m:02}-10, {size}, {size // 10}" for y in (2024, 2025) for m in range(1, 13) for c, size in (("A", 100 if y == 2025 else 80), ("B", 50), ("C", 20))]  # fmt: skip
    books = make_books(
        {"customers": "customer_id, customer_name\nA, Adler\nB, Birch\nC, Cedar",
         "invoice_lines": "\n".join(["customer_id, invoice_date, gross_sales, discount", *lines]), "service": "\n".join(["customer_id, month, measure, numerator, denominator", *SERVED])},
        coverage={"start": "2024-01", "end": "2025-12"},
    )  # fmt: skip
    folder = books.engagement.folder / "judgement"
    folder.mkdir()
    for name, text in {"segments.yml": RULES, "menu.csv": MENU, "agreements.yml": AGREED}.items():
        (folder / name).write_text(text, encoding="utf-8")
    when = books.period("2025")
    return segments.with_segments(books, when, segments.differentiate(books, when))


def test_a_month_below_the_target_owes_the_penalty_of_its_net_sales_and_one_above_the_bonus(agreed: Books) -> None:
    held = implementation.service_held(agreed, agreed.period("2025"))
    rows = {(r["customer_id"], r["month"].month if r["month"].year == 2025 else 0): (bool(r["held"]), bool(r["below"]), r["owed"]) for r in held.to_dict("records")}  # fmt: skip
    assert rows == {
        ("A", 0): (False, False, 0), ("A", 1): (True, True, Decimal("0.9")), ("A", 2): (True, False, Decimal("-0.18")),  # of net sales of 90
        ("B", 1): (False, True, 0), ("B", 2): (True, True, Decimal("4.5")), ("B", 3): (True, False, 0),  # in force from the 15th of January: February counts first
    }  # fmt: skip


def test_limits_are_the_binomials_around_the_months_before_or_around_all_where_these_are_few() -> None:
    months = [date(2024, m, 1) for m in range(1, 13)] + [date(2025, 1, 1), date(2025, 2, 1)]
    rows = pd.DataFrame({"with_whom": "A", "measure": "on time", "target": 0.9, "customer_id": "A", "month": months,
                         "numerator": [95] * 12 + [7, 60], "denominator": [100] * 12 + [10, 100], "held": [False] * 12 + [True] * 2})  # fmt: skip
    limits = implementation.control_limits(rows)
    assert limits["mean"].tolist() == [0.95] * 14
    assert limits["outside"].tolist() == [False] * 13 + [True]  # seven of ten comes by chance, 60 of 100 does not
    assert limits["lower"].iloc[-1] == binom.ppf(implementation.FALSE_ALARM, 100, 0.95) / 100
    few = implementation.control_limits(rows.tail(3))
    assert few["mean"].tolist() == pytest.approx([162 / 210] * 3)


@given(st.integers(1, 60), st.floats(0.5, 0.999))
def test_a_month_is_outside_by_chance_as_seldom_as_three_sigmas_are(cases: int, mean: float) -> None:
    lowest = binom.ppf(implementation.FALSE_ALARM, cases, mean)
    assert binom.cdf(lowest - 1, cases, mean) < implementation.FALSE_ALARM


def test_what_moved_since_is_beside_the_same_months_before_and_those_without_an_agreement(agreed: Books) -> None:
    since = implementation.since(agreed, agreed.period("2025")).set_index("party")
    assert since.loc["A", ["version", "months", "before", "sales_before", "sales", "margin_before", "margin"]].tolist() == [1, 12, "2024", 960, 1200, 864, 1080]  # fmt: skip
    assert since.loc["Small", ["months", "before", "sales_before", "sales"]].tolist() == [11, "February to December 2024", 770, 770]  # fmt: skip
    assert since["others"].tolist() == [0, 0]  # everybody has one


def test_without_the_months_before_nothing_is_compared(agreed: Books) -> None:
    since = implementation.since(agreed, agreed.period("2025"))
    early = implementation.since(agreed, agreed.period("2024"))
    assert (len(since), len(early)) == (2, 0)


def test_without_agreements_or_service_there_is_nothing(make_books: Make) -> None:
    books = make_books()
    when = books.period("2024")
    books = segments.with_segments(books, when)
    held = implementation.service_held(books, when)
    assert held.empty
    assert implementation.control_limits(held).empty
    assert implementation.since(books, when).empty
