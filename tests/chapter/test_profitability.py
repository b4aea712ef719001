"""The measures of customer profitability, from small books beside what is expected and from the sample."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlib import segments
from crmlib.actions import LEVERS, LIKE_ALL, actions
from crmlib.books.stored import Books, owner_totals
from crmlib.declared.reading import SettingsError
from crmlib.full_cost import (
    allocate,
    avoidable_costs,
    by_group,
    challenges,
    effect_of_losing,
    full_cost,
    time_driven,
    verdicts,
)  # fmt: skip
from crmlib.movement import margin_moves, price_volume_mix
from crmlib.profitability import (
    adds_up,
    compare_periods,
    customer_profitability,
    deciding_lines,
    firm_profitability,
    group_profitability,
    grouping,
    losers_and_earners,
    net_price_and_cost_to_serve,
    share,
    whale_curve,
)

D = Decimal
MakeBooks = Callable[..., Books]
PERIODS = ["2025", "2024Q3", "2023-01", "2023-11..2024-02"]
TYPED = "customer_id, customer_name, account_type\nA, Adler, Shops\nB, Birch, Shops\nC, Cole, Clubs"
TRADE = {
    "customers": TYPED,
    "invoice_lines": """customer_id, invoice_date, gross_sales, cost_of_goods
        A, 2024-01-10, 100, 60
        B, 2024-01-10, 200, 90
        C, 2024-01-10,  50, 60
        X, 2024-01-10,  10,  4""",
    "costs": """level, key, date, line, amount
        account_type, Shops, 2024-01-31, advertising, 70
        customer,     A,     2024-01-31, salaries,    50
        customer,     A,     2024-01-31, display_racks, 30""",
    "joint_costs": "month, line, amount, full_cost_basis\n2024-01-01, rent, 36, net_sales\n2024-01-01, board, 18, cost_of_goods",
}
ANY = {"thresholds": {"unassigned_share": 1}}


def total(amounts: Any) -> Decimal:
    return sum(amounts, D(0))


# --- conservation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", PERIODS)
@pytest.mark.parametrize("by", ["account_type", "region", "parent_id", "segment"])
def test_customers_unassigned_groups_and_the_pool_add_up_to_the_firm(sample: Books, text: str, by: str) -> None:
    period = sample.period(text)
    groups = group_profitability(sample, period, by).whole
    parts, firm = groups.drop(index="Firm"), firm_profitability(sample, period)
    lines = [line.id for line in sample.statement_in(period).customer_lines]
    for line in lines:
        assert total(parts[line]) == groups.loc["Firm", line] == firm[line]
    pool = [line for line in sample.statement_in(period).leaves if line.cls == "pool"]
    assert len(pool) == 3
    assert firm["operating_profit"] == firm["net_segment_margin"] + total(firm[li.id] * li.sign for li in pool)
    assert parts["operating_profit"].isna().all()


@pytest.mark.parametrize("text", PERIODS)
def test_a_groups_margin_is_its_customers_margins_less_its_own_costs(sample: Books, text: str) -> None:
    period = sample.period(text)
    groups = group_profitability(sample, period).whole
    customers = customer_profitability(sample, period)
    for name, members in customers[customers["customer_id"] != ""].groupby("account_type"):
        assert (
            groups.loc[name, "net_segment_margin"]
            == total(members["net_segment_margin"]) - groups.loc[name, "own_costs"]
        )
        assert groups.loc[name, "customers"] == len(members)
    unassigned = customers.set_index("customer_id").loc[""]
    assert groups.loc["Unassigned", "net_segment_margin"] == unassigned["net_segment_margin"]
    assert unassigned["customer_name"] == "Unassigned"


def test_a_segments_own_costs_are_shown_beside_its_customers_margins(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    groups = group_profitability(books, books.period("2024")).whole
    assert list(groups["net_segment_margin"].items()) == [  # the best first, then who is no group
        ("Shops", 40 - 80 + 110 - 70), ("Clubs", -10), ("Unassigned", 6), ("Firm", -4),
    ]  # fmt: skip
    assert groups["own_costs"].to_dict() == {"Shops": 70, "Clubs": 0, "Unassigned": 0, "Firm": 70}
    assert groups.loc["Firm", "operating_profit"] == -4 - 36 - 18
    regions = pytest.raises(SettingsError, match="customers have no column 'region'")
    with regions:
        group_profitability(books, books.period("2024"), "region")


def test_months_add_up_to_the_year_in_every_amount(sample: Books) -> None:
    months = [owner_totals(sample, sample.period(f"2025-{m:02}")) for m in range(1, 13)]
    summed = pd.concat(months).drop(columns="level").fillna(D(0)).groupby("owner").sum()
    year = owner_totals(sample, sample.period("2025")).drop(columns="level").groupby("owner").sum()
    pd.testing.assert_frame_equal(summed.loc[year.index, year.columns], year, check_dtype=False)


def test_the_report_has_unassigned_last_and_customers_best_first(sample: Books) -> None:
    report = customer_profitability(sample, sample.period("2025"))
    assert report["customer_id"].is_unique
    assert report["customer_id"].iloc[-1] == ""
    assert report["net_segment_margin"].iloc[:-1].is_monotonic_decreasing
    assert "operating_profit" not in report


# --- shares and comparisons ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(D(1), D(4), D("0.25")), (D(-1), D(4), D("-0.25")), (D(1), D(0), None), (D(1), D(-4), None), (None, D(4), None), (D(1), None, None),
     (D(2), D(3), D("0.66666667")), (D(0), D(3), D(0))],
)  # fmt: skip
def test_a_share_of_a_total_that_is_zero_or_negative_is_no_number(
    part: Decimal, whole: Decimal, expected: Decimal
) -> None:
    assert share(part, whole) == expected


def test_books_whose_total_is_negative_are_reported_in_amounts(make_books: MakeBooks) -> None:
    lines = "customer_id, invoice_date, gross_sales, quantity\nA, 2024-01-10, 100, 1\nB, 2024-01-11, -250, -3"
    books = make_books({"invoice_lines": lines}, tables={"invoice_lines": {"sign": "as written"}})
    report = customer_profitability(books, books.period("2024"))
    assert dict(zip(report["customer_id"], report["net_sales"], strict=True)) == {"A": 100, "B": -250}
    assert whale_curve(report, "net_sales")["cumulative"].tolist() == [100, -150]
    assert (
        deciding_lines(books, report, books.period("2024"))["line"].tolist()
        == ["Discounts, returns and allowances"] * 2
    )
    assert net_price_and_cost_to_serve(books, report, books.period("2024")).empty, "no product, no price"


def test_a_period_that_the_books_do_not_cover_has_no_column(sample: Books) -> None:
    period = sample.period("2023")
    assert list(compare_periods(sample, period, [period.previous(), sample.period("2024")]).columns) == ["2023", "2024"]


@pytest.mark.parametrize("by", ["account_type", "region", "customer"])
@pytest.mark.parametrize(("now", "before"), [("2025", "2024"), ("2025Q1", "2024Q4"), ("2024-07", "2023-07")])
def test_what_moved_a_margin_adds_up_by_group_and_by_customer(sample: Books, now: str, before: str, by: str) -> None:
    period, base = sample.period(now), sample.period(before)
    moves, firm = (
        margin_moves(sample, period, base, by),
        compare_periods(sample, period, [base]).loc["net_segment_margin"],
    )
    assert moves.index[[0, -1]].tolist() == [base.short, period.short]
    assert total(moves.iloc[:-1]) == moves.iloc[-1]
    assert by == "customer" or [moves.iloc[0], moves.iloc[-1]] == [firm[base.short], firm[period.short]]
    sizes = [abs(step) for step in moves.iloc[1:-1]]
    assert sizes == sorted(sizes, reverse=True)


def test_who_moved_a_margin_is_worked_out_on_paper(make_books: MakeBooks) -> None:
    books = make_books({
        "customers": "customer_id, customer_name\nA, Adler\nB, Birch\nC, Cedar",
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-01-10, 50\nA, 2024-02-10, 130\nC, 2024-02-11, 5",
    })  # fmt: skip
    moves = margin_moves(books, books.period("2024-02"), books.period("2024-01"), "customer")
    assert dict(moves) == {"Jan 2024": 150, "Birch": -50, "Adler": 30, "Cedar": 5, "Feb 2024": 135}
    assert margin_moves(books, books.period("2024-01"), None, "customer").empty


def test_what_a_line_takes_of_losers_and_of_others(make_books: MakeBooks) -> None:
    books = make_books({
        "customers": "customer_id, customer_name\nA, Adler\nB, Birch",
        "invoice_lines": "customer_id, invoice_date, gross_sales, discount\nA, 2024-01-10, 100, 10\nB, 2024-01-10, 50, 5",
        "costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 20\ncustomer, B, 2024-01-31, salaries, 60",
    })  # fmt: skip
    period = books.period("2024")
    customers = customer_profitability(books, period)
    assert losers_and_earners(
        books, customers.query("customer_id == 'B'"), period
    ).empty  # who loses, and nobody beside
    apart = losers_and_earners(books, customers, period)
    assert apart.index.tolist() == ["Salaries"]  # discounts take as much of either
    assert apart.iloc[0].to_dict() == {
        "losers_share": Decimal("1.2"), "earners_share": Decimal("0.2"), "losers_amount": 60, "total_amount": 80,
    }  # fmt: skip


def test_what_to_do_first_is_one_list_by_what_is_at_stake(make_books: MakeBooks) -> None:
    books = make_books({
        "customers": "customer_id, customer_name, account_manager\nA, Adler, Ada\nB, Birch, Bo\nC, Cedar, Ada",
        "invoice_lines": "customer_id, invoice_date, gross_sales, cost_of_goods\nA, 2024-12-10, 100, 40\nB, 2024-12-10, 100, 40\nC, 2024-12-10, 50, 55",
        "costs": "level, key, date, line, amount\ncustomer, B, 2024-01-31, salaries, 90",
    })  # fmt: skip
    listed = actions(books, books.period("2024"))
    assert listed["customer_id"].tolist() == ["B", "C"]
    assert listed["at_stake"].tolist() == [30, 5]
    assert listed["driver"].tolist() == ["Salaries", "Cost of goods sold, variable"]
    assert listed["lever"].tolist() == [LEVERS["assignable"], LEVERS["goods"]]
    assert listed["worth"].tolist() == [30, 5]  # not more than the loss
    assert listed["owner"].tolist() == ["Bo", "Ada"]
    assert set(listed["aim"]) == {"improve"}


def test_who_loses_as_all_do_is_driven_by_no_line(make_books: MakeBooks) -> None:
    books = make_books({
        "invoice_lines": "customer_id, invoice_date, gross_sales, cost_of_goods\nA, 2024-12-10, 100, 120\nB, 2024-12-10, 100, 110",
    })  # fmt: skip
    listed = actions(books, books.period("2024")).set_index("customer_id")
    assert listed["driver"].to_dict() == {"A": "Cost of goods sold, variable", "B": LIKE_ALL[0]}
    assert listed["worth"].to_dict() == {"A": 5, "B": 0}


def test_segments_of_the_rules_group_customers_only_where_they_have_nothing_else(make_books: MakeBooks) -> None:
    names = "customer_id, customer_name"
    for head, rows, by in (
        (f"{names}, region", ", North", "region"),
        (f"{names}, segment", ", own", "own_segment"),
        (names, "", "segment"),
    ):
        books = make_books({"customers": f"{head}\nA, Adler{rows}\nB, Birch{rows}"})
        assert grouping(segments.with_segments(books, books.period("2024"))) == by


def test_who_is_lost_is_to_be_won_back_apart_from_who_still_buys_and_most_to_gain_stands_first(
    make_books: MakeBooks,
) -> None:
    weekly = [(f"2024-{month:02}-{day:02}", month) for month in range(1, 13) for day in (3, 10, 17, 24)]
    sold = {"A": (12, 90, 40), "B": (3, 90, 40), "C": (3, 90, 95), "D": (12, 90, 91)}  # months, sales, cost of a week
    rows = [
        f"{who}, {day}, {sales}, {cost}"
        for who, (last, sales, cost) in sold.items()
        for day, month in weekly
        if month <= last
    ]
    books = make_books({
        "customers": "customer_id, customer_name\nA, Adler\nB, Birch\nC, Cedar\nD, Dorn",
        "invoice_lines": "\n".join(["customer_id, invoice_date, gross_sales, cost_of_goods", *rows]),
    })  # fmt: skip
    listed = actions(books, books.period("2024")).set_index("customer_id")
    assert listed[["aim", "at_stake", "worth"]].T.to_dict("list") == {
        "B": ["win back", 12 * 50, None],  # nobody knows what comes back
        "D": ["improve", 48, 48],
        "C": ["stop", 12 * 5, 0],  # it loses and is gone: nothing to gain on these terms
    }
    assert listed.loc["C", "lever"] == "Stop what it still costs; win back on other terms only"


@pytest.mark.parametrize(
    ("now", "before"), [("2025", "2024"), ("2025Q4", "2025Q3"), ("2024-07", "2023-02"), ("2023-01", "2025-12")]
)
def test_the_steps_of_price_volume_and_mix_add_up_exactly(sample: Books, now: str, before: str) -> None:
    steps = price_volume_mix(sample, sample.period(now), sample.period(before))
    assert steps is not None
    assert total(steps["amount"].iloc[:-1]) == steps["amount"].iloc[-1]


def test_price_volume_and_mix_are_what_can_be_worked_out_on_paper(make_books: MakeBooks) -> None:
    books = make_books({
        "products": "product_id, product_name\np, Plain\nq, Quilted\nn, New\no, Old",
        "invoice_lines": """customer_id, invoice_date, product_id, quantity, gross_sales, cost_of_goods
            A, 2024-01-10, p, 10, 100, 60
            A, 2024-01-10, q, 10, 100, 20
            A, 2024-01-10, o,  1,   9,  4
            A, 2024-02-10, p, 30, 330, 210
            A, 2024-02-10, q, 10, 100, 20
            A, 2024-02-10, n,  2,  30, 10
            A, 2024-02-10, ,   1,   7,  3""",
    })  # fmt: skip
    steps = price_volume_mix(books, books.period("2024-02"), books.period("2024-01"))
    assert steps is not None
    # base prices: 300 + 100 = 400 on 200, so volume doubles the margin of 120; at base margins 120 + 80 = 200, so mix is -40
    assert dict(zip(steps["label"], steps["amount"], strict=True)) == {
        "Jan 2024": 125, "Volume": 120, "Mix": -40, "Price": 30, "Cost of goods": -30, "New products": 20, "Lost products": -5,
        "No product or quantity": 4, "Feb 2024": 224,
    }  # fmt: skip


# --- who earns what --------------------------------------------------------------------------------------------------


def test_the_whale_curve_ranks_customers_and_ends_at_their_total() -> None:
    names = [f"c{i}" for i in range(10)]
    customers = pd.DataFrame(
        {"customer_id": names, "customer_name": names, "margin": [D(m) for m in (5, -3, 40, 0, 9, -20, 1, 1, 60, 2)]}
    )
    curve = whale_curve(customers, "margin")
    assert curve["customer_id"].tolist() == ["c8", "c2", "c4", "c0", "c9", "c6", "c7", "c3", "c1", "c5"]
    assert curve["cumulative"].tolist() == [60, 100, 109, 114, 116, 117, 118, 118, 115, 95]
    assert curve["group"].tolist() == ["top fifth"] * 2 + ["middle"] * 6 + ["bottom fifth"] * 2
    assert curve["rank_share"].iloc[[0, -1]].tolist() == [0.1, 1]


def test_the_net_price_index_is_one_for_who_pays_the_average_for_its_own_mix(make_books: MakeBooks) -> None:
    books = make_books({
        "products": "product_id, product_name\np, Plain\nq, Quilted",
        "invoice_lines": """customer_id, invoice_date, product_id, quantity, gross_sales, discount, cost_of_goods, freight
            A, 2024-01-10, p, 10, 100, 10, 1, 25
            B, 2024-01-10, p, 10, 100,  0, 1,  0
            B, 2024-01-10, q, 10, 900,  0, 1,  0""",
    })  # fmt: skip
    customers = customer_profitability(books, books.period("2024"))
    placed = net_price_and_cost_to_serve(books, customers, books.period("2024")).set_index("customer_id")
    assert placed["net_price_index"].map(lambda x: round(x, 6)).to_dict() == {
        "A": round(90 / 95, 6),
        "B": round(1000 / 995, 6),
    }
    assert placed["cost_to_serve_share"].to_dict() == {"A": 0.25, "B": 0}


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "avoidable", "contribution"), [(0, 60, 40), (5, 60, 40), (6, 110, -10), (120, 110, -10)]
)
def test_the_verdict_is_revenue_less_what_is_avoidable_within_the_horizon(
    make_books: MakeBooks, horizon: int, avoidable: int, contribution: int
) -> None:
    books = make_books(TRADE, **ANY)
    told = (
        verdicts(books, books.period("2024"), horizon).set_index("customer_id").loc["A"]
    )  # salaries stop after 6 months, racks never
    assert (told["net_sales"], told["avoidable"], told["contribution"]) == (100, avoidable, contribution)
    assert told["stays_behind"] == contribution - (100 - 60 - 50 - 30)


def test_a_bookings_own_answer_goes_before_its_lines(make_books: MakeBooks) -> None:
    costs = """level, key, date, line, amount, avoidable
        customer, A, 2024-01-31, salaries,      40,
        customer, A, 2024-01-31, salaries,      20, never
        customer, A, 2024-01-31, display_racks, 30,
        customer, A, 2024-01-31, display_racks,  7, now
        customer, X, 2024-01-31, salaries,       5, never"""
    books = make_books({**TRADE, "costs": costs}, **ANY)
    customers = customer_profitability(books, books.period("2024"))

    def avoided(months: int) -> dict[str, Decimal]:
        return dict(
            zip(customers["customer_id"], avoidable_costs(books, customers, books.period("2024"), months), strict=True)
        )

    assert (avoided(0)["A"], avoided(12)["A"]) == (60 + 7, 60 + 40 + 7)
    assert (avoided(12)["B"], avoided(12)[""]) == (90, 4)


def test_a_customer_whose_contribution_and_full_cost_profit_differ_in_sign_flips(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    told = verdicts(books, books.period("2024"), 0).set_index("customer_id")
    assert told["full_cost_profit"].map(lambda p: p > 0).to_dict() == {"A": False, "B": True, "C": False}
    assert told["flips"].to_dict() == {"A": True, "B": False, "C": False}


def test_full_cost_spreads_every_cost_and_adds_up_to_operating_profit(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    spread = full_cost(books, books.period("2024")).set_index("customer_id")
    assert total(spread["full_cost_profit"]) == firm_profitability(books, books.period("2024"))["operating_profit"]
    assert spread.loc["A", "pool_costs"] == D(10) + allocate(D(18), {"A": D(60), "B": D(90), "C": D(60), "": D(4)})["A"]
    assert spread.loc[["A", "B"], "group_costs"].tolist() == [D("23.33333333"), D("46.66666667")]
    assert spread.loc["C", "group_costs"] == 0


@pytest.mark.parametrize("text", ["2025", "2024Q3"])
def test_full_cost_of_the_sample_adds_up_to_operating_profit_exactly(sample: Books, text: str) -> None:
    period = sample.period(text)
    assert (
        total(full_cost(sample, period)["full_cost_profit"]) == firm_profitability(sample, period)["operating_profit"]
    )


@given(
    st.decimals(D("-1e9"), D("1e9"), places=8),
    st.dictionaries(st.text("abcdef", max_size=2), st.decimals(D(-100), D("1e7"), places=4), max_size=12),
)
def test_parts_that_are_allocated_add_up_exactly_and_no_one_bears_more_than_a_step_beyond_its_share(
    amount: Decimal, weights: dict[str, Decimal]
) -> None:
    parts = allocate(amount, weights)
    bearing = {key: weight for key, weight in weights.items() if weight > 0}
    assert set(parts) == set(bearing)
    if bearing:
        assert total(parts.values()) == amount
        whole = total(bearing.values())
        assert all(abs(parts[key] - amount * weight / whole) <= D("1e-8") for key, weight in bearing.items())


def test_time_driven_cost_and_unused_capacity_add_up_to_what_was_booked(sample: Books) -> None:
    period, capacity = sample.period("2025"), sample.table("capacity")
    lens = time_driven(sample, period)
    assert capacity is not None
    booked = capacity[(capacity["month"] >= period.start) & (capacity["month"] < period.end)].groupby("pool")
    assert lens.groupby("pool")["cost"].sum().round(8).to_dict() == booked["cost"].sum().to_dict()
    assert lens.groupby("pool")["used"].sum().to_dict() == booked["practical_capacity"].sum().to_dict()


def test_time_driven_cost_is_what_can_be_worked_out_on_paper(make_books: MakeBooks) -> None:
    books = make_books({
        "activity_types": "activity, line, pool, unit_minutes\ncall, order_processing, desk, 2\nmail, order_processing, desk, 1",
        "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 50\ndesk, 2024-02-01, 200, 50",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 10\nB, 2024-02-05, mail, 5",
    })  # fmt: skip
    lens = time_driven(books, books.period("2024"))
    assert lens.set_index("activity")["used"].to_dict() == {"call": 20, "mail": 5, "unused": 75}
    assert lens.set_index("activity")["cost"].to_dict() == {"call": 40, "mail": 20, "unused": 240}


def test_books_without_capacity_or_minutes_have_no_or_plain_units(make_books: MakeBooks) -> None:
    assert time_driven(make_books(TRADE, **ANY), make_books(TRADE, **ANY).period("2024")).empty
    books = make_books({
        "activity_types": "activity, line, pool\ncall, order_processing, desk",
        "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 50\nidle, 2024-01-01, 30, 10",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 10",
    })  # fmt: skip
    lens = time_driven(books, books.period("2024"))
    assert list(zip(lens["pool"], lens["activity"], lens["used"], lens["cost"], strict=True)) == [
        ("desk", "call", 10, 20), ("desk", "unused", 40, 80), ("idle", "unused", 10, 30)]  # fmt: skip
    assert lens["of_capacity_share"].tolist() == [D("0.2"), D("0.8"), 1]


def test_at_full_standard_cost_there_are_no_verdicts_and_groups_have_full_cost_alone(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY, cost_of_goods_basis="full")
    assert verdicts(books, books.period("2024"), 12).empty
    groups = by_group(books, books.period("2024"), "account_type", 12)
    assert groups["contribution"].isna().all()
    assert groups["full_cost_profit"].notna().all()


def test_a_group_has_its_customers_contribution_beside_their_full_cost(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    groups, each = by_group(books, books.period("2024"), "account_type", 0), verdicts(books, books.period("2024"), 0)
    assert list(groups["contribution"].items()) == [("Clubs", -10), ("Shops", 150)]  # the highest profit first
    assert total(groups["full_cost_profit"]) == total(each["full_cost_profit"])
    assert groups.loc["Shops", "contribution_share"] == D("0.5")


def test_where_full_cost_has_nothing_to_spread_no_group_stands_beside_itself(make_books: MakeBooks) -> None:
    books = make_books()
    assert by_group(books, books.period("2024"), "all", 12).empty


def test_who_only_sent_back_what_was_bought_before_is_apart(make_books: MakeBooks) -> None:
    returned = "customer_id, date, kind, amount\nC, 2024-03-05, return, 40\nD, 2024-03-05, return, 40"
    costs = "level, key, date, line, amount\ncustomer, D, 2024-01-31, salaries, 50"
    books = make_books({**TRADE, "customers": TYPED + "\nD, Dale, Clubs", "credits": returned, "costs": costs,
                        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-01-10, 200"})  # fmt: skip
    judged = verdicts(books, books.period("2024"), 12).set_index("customer_id")
    assert judged["active"].to_dict() == {"A": True, "B": True, "C": False, "D": True}


def test_losing_a_customer_costs_its_sales_at_once_and_saves_its_costs_as_they_stop(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    judged = verdicts(books, books.period("2024"), 0)
    effect = effect_of_losing(books, books.period("2024"), judged[judged["customer_id"] == "A"], (0, 6, 24))
    assert effect[[0, 6, 24]].to_numpy().tolist() == [[60 - 100, 110 - 100, 110 - 100]]


def test_a_challenge_that_the_books_cannot_tell_is_not_taken_for_none(make_books: MakeBooks) -> None:
    books = make_books()
    bare = challenges(books, books.period("2024")).set_index("challenge")
    assert not bare.loc["Items between the books and the general ledger", "tested"]
    assert not bare.loc["Cost of goods at full standard cost", "tested"]
    assert not bare[~bare["tested"]]["seen"].any()
    assert bare.loc["Sales without a known customer", "tested"]
    books = make_books(TRADE, **ANY)
    full = challenges(books, books.period("2024")).set_index("challenge")
    assert full["amount"].dropna().tolist() == [10, 54, 70, 0]
    assert str(full.loc["Lines without a source", "count"]).isdigit()
    assert full["seen"].to_dict()["Costs of a group, not of its customers"]


def test_the_line_that_makes_a_customer_so_is_the_one_furthest_from_all_customers_share(make_books: MakeBooks) -> None:
    books = make_books(TRADE, **ANY)
    customers = customer_profitability(books, books.period("2024"))
    lines = deciding_lines(books, customers, books.period("2024")).set_index("customer_id")["line"]
    assert lines[["A", "B", "C"]].to_dict() == {
        "A": "Salaries",
        "B": "Cost of goods sold, variable",
        "C": "Cost of goods sold, variable",
    }


def test_parts_add_up_to_the_cent() -> None:
    assert [adds_up(pd.Series([D("1"), D(part)]), D(2)) for part in ("1.0049", "1.005", "0.995", "0.9951")] == [
        True,
        False,
        False,
        True,
    ]
