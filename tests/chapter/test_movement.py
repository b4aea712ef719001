"""Groups over time, what the strategy wants of them, concentration and product families."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crmlib import movement, profitability
from crmlib.books.stored import Books
from crmlib.declared.judgement import Goal, Market

Make = Callable[..., Books]
YEARS = {"start": "2023-01", "end": "2024-12"}
CUSTOMERS = "customer_id, customer_name, account_type\nA, Adler, Shops\nB, Birch, Clubs\nC, Cole, Clubs"
LINES = """customer_id, invoice_date, product_id, gross_sales, cost_of_goods
A, 2023-05-01, p, 100, 40
A, 2024-05-01, p, 110, 95
B, 2023-05-01, q, 50, 20
B, 2024-05-01, q, 80, 20
C, 2024-06-01, , 20, 10"""
PRODUCTS = "product_id, product_name, product_family\np, Pan, Kitchen\nq, Quilt,"


def developed(books: Books, *, base: bool = True) -> movement.Development:
    period = books.period("2024")
    return movement.group_development(books, period, period.year_before() if base else None, "account_type")


def test_a_group_stands_beside_all_groups_and_the_year_before(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES}, coverage=YEARS)
    shops, clubs = (developed(books).groups.loc[name] for name in ("Shops", "Clubs"))
    assert list(shops[["customers", "sales", "net_margin", "net_margin_before"]]) == [1, 110, 15, 60]
    assert shops["growth_share"] == pytest.approx(0.10)
    assert clubs["growth_share"] == pytest.approx(1.00)
    assert clubs["net_margin_share"] == pytest.approx(70 / 100)
    assert shops["all_growth_share"] == pytest.approx(210 / 150 - 1)
    assert shops["all_net_margin_share"] == pytest.approx(85 / 210)
    assert clubs["of_sales_share"] == pytest.approx(100 / 210)
    assert developed(books).firm["sales"] == 210


def test_without_a_base_growth_and_the_margin_before_are_missing_and_not_nought(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES}, coverage=YEARS)
    groups = developed(books, base=False).groups
    assert groups[["growth_share", "net_margin_before", "all_growth_share"]].isna().all(axis=None)
    assert groups["net_margin_share"].notna().all()


def test_a_cost_that_only_one_year_has_is_nought_in_the_other(make_books: Make) -> None:
    costs = "level, key, date, line, amount\ncustomer, A, 2024-03-31, salaries, 5"
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES, "costs": costs}, coverage=YEARS)
    groups = developed(books).groups
    assert groups.loc["Shops", ["net_margin", "net_margin_before"]].tolist() == [10, 60]


STAND = """customer_id, invoice_date, gross_sales, cost_of_goods
A, 2023-05-01, 100, 40
A, 2024-05-01, 110, 95
B, 2023-05-01, 50, 20
B, 2024-05-01, 80, 20
C, 2024-06-01, 20, 10
D, 2023-06-01, 30, 10"""


def test_who_came_stayed_and_went_explain_sales_and_margin_of_all_customers(make_books: Make) -> None:
    people = CUSTOMERS + "\nD, Dorn, Clubs\nE, Elm, Clubs"
    books = make_books({"customers": people, "invoice_lines": STAND}, coverage=YEARS)
    period, base = books.period("2024"), books.period("2023")
    stood = movement.who_came_and_went(books, period, base)
    assert {name: [int(value) for value in row] for name, *row in stood.itertuples()} == {
        # customers, sales before and now, margin before and now, change
        "Came": [1, 0, 20, 0, 10, 10],
        "Stayed, brought no less": [1, 50, 80, 30, 60, 30],
        "Stayed, brought less": [1, 100, 110, 60, 15, -45],
        "Went": [1, 30, 0, 20, 0, -20],
    }
    steps = movement.standing_moves(stood, period, base)
    assert [int(step) for step in steps] == [110, 10, 30, -45, -20, 85]
    assert movement.who_came_and_went(books, period, None).empty
    assert movement.standing_moves(stood, period, None).empty
    assert movement.standing_moves(stood.iloc[:0], period, base).empty


def owed(*months: str) -> dict[str, str]:
    return {"balances": "customer_id, month, receivables\n" + "\n".join(f"A, {month}-01, 12" for month in months)}


@pytest.mark.parametrize(
    "tables",
    [
        owed(*(f"2024-{m:02}" for m in range(1, 13))),
        owed(*(f"2023-{m:02}" for m in range(7, 13)), *(f"2024-{m:02}" for m in range(1, 13))),  # half of the base
        {"activity_types": "activity, line\nrush, order_processing", "rates": "activity, valid_from, rate\nrush, 2024-03-15, 2",
         "activities": "customer_id, date, activity, quantity\nA, 2024-05-01, rush, 3"},
    ],
)  # fmt: skip
def test_where_margins_cannot_be_compared_sales_say_who_stayed_and_brought_less(
    make_books: Make, tables: dict[str, str]
) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES, **tables}, coverage=YEARS)
    period, base = books.period("2024"), books.period("2023")
    assert books.alike(period, period)
    assert not books.alike(period, base)
    assert movement.over_twelve_months(books, "all", books.statement_in(period).net_margin.id).empty
    assert len(movement.over_twelve_months(books, "all", "sales")) == 13
    stood = movement.who_came_and_went(books, period, base)
    assert stood.index.tolist() == ["Came", "Stayed, brought no less"]
    assert stood["change"].isna().all()
    assert movement.standing_moves(stood, period, base).empty


MEASURED = {"sales": 100.0, "net_margin": 10.0, "net_margin_before": 10.0, "net_margin_share": 0.1, "growth_share": 0.05,
            "all_growth_share": 0.05, "all_net_margin_share": 0.1}  # fmt: skip


@pytest.mark.parametrize(
    ("stance", "numbers", "verdict"),
    [
        ("hold", {}, "supported"),
        ("hold", {"net_margin": 6.1}, "not followed: margin falls"),  # −39 %, though sales grow
        ("hold", {"net_margin": 9.6}, "supported"),
        ("hold", {"growth_share": -0.06}, "not followed: sales fall"),
        ("hold", {"growth_share": -0.04}, "supported"),
        ("hold", {"net_margin": -1}, "contradicted: loses money"),
        ("grow", {}, "supported"),
        ("grow", {"growth_share": -0.01}, "contradicted: sales fall"),
        ("grow", {"growth_share": 0.04}, "not followed: grows less than all"),
        ("grow", {"net_margin": 6.1}, "not followed: margin falls"),
        ("grow", {"growth_share": np.nan}, "open: no sales a year before"),
        ("grow", {"net_margin_before": np.nan}, "open: the margin before is not comparable"),
        ("grow", {"net_margin": np.nan}, "open: nothing in the period"),
        ("shrink", {"growth_share": -0.1}, "supported"),
        ("shrink", {"growth_share": -0.1, "net_margin": -1, "net_margin_share": -0.01}, "supported"),
        (
            "shrink",
            {"growth_share": -0.1, "net_margin": -1, "net_margin_share": -0.01, "all_net_margin_share": -0.02},
            "supported",
        ),
        ("shrink", {}, "not followed: sales grow"),
        ("shrink", {"net_margin_share": 0.2}, "contradicted: keeps more of its sales than all"),
    ],
)
def test_a_market_is_held_against_what_is_asked_of_it(stance: str, numbers: dict[str, float], verdict: str) -> None:
    market = Market.model_validate({"group": "Shops", "stance": stance})
    index = pd.MultiIndex.from_tuples([("account_type", "Shops")], names=["attribute", "group"])
    groups = pd.DataFrame([MEASURED | numbers], index=index)
    assert movement.market_verdicts([market], groups, 0.05)["verdict"].tolist() == [verdict]


def test_without_markets_there_is_no_verdict(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES}, coverage=YEARS)
    groups = pd.concat({"account_type": developed(books).groups}, names=["attribute"])
    stands = movement.market_verdicts([], groups, 0.05)
    assert stands.empty
    assert {"attribute", "group", "stance", "because", "net_margin", "verdict"} <= set(stands)


def test_a_goal_is_reached_missed_or_cannot_be_told(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES}, coverage=YEARS)
    groups = pd.concat({"account_type": developed(books).groups}, names=["attribute"])
    goals = [
        Goal(text="Sales", measure="sales", target=210),
        Goal(text="Shops keep half", measure="net_margin_share", target=0.5, group="Shops"),
        Goal(text="Be loved"),
        Goal(text="Nobody there", measure="sales", target=1, group="Kiosks"),
    ]
    reached = movement.goal_verdicts(goals, groups, developed(books).firm)
    untold = "cannot be told from these books"
    assert reached["verdict"].tolist() == ["reached", "missed", untold, untold]
    assert movement.goal_verdicts([], groups, developed(books).firm).empty


def test_concentration_by_hand() -> None:
    sold = {"A": 500, "B": 300, "C": 200, "D": -50, "": 900}  # exercise 11-1: 0.25 + 0.09 + 0.04
    customers = pd.DataFrame({"customer_id": list(sold), "kind": "", "sales": list(sold.values())})
    measures = profitability.concentration(customers, "kind", 2)
    assert measures.index.tolist() == ["Customers without kind"]
    assert measures.iloc[0].to_dict() == pytest.approx({"buyers": 3, "top_share": 0.8, "herfindahl": 0.38})
    assert profitability.concentration(customers, "all", 2).index.tolist() == ["All customers"]
    assert list(profitability.concentration(customers.head(0), "kind", 2)) == ["buyers", "top_share", "herfindahl"]


def test_families_need_products_and_no_quantities(make_books: Make) -> None:
    tables = {"customers": CUSTOMERS, "invoice_lines": LINES, "products": PRODUCTS}
    books = make_books(tables, coverage=YEARS)
    period = books.period("2024")
    families = profitability.product_families(books, period, period.year_before())
    assert [*map(float, families["sales"])] == [110, 80, 20]
    assert families.index.tolist() == ["Kitchen", "Products without family", "(unknown product)"]
    assert families["growth_share"].round(4).tolist()[:2] == [0.1, 0.6]
    assert np.isnan(families["growth_share"].iloc[2])
    assert [*map(float, families["gross_contribution"])] == [15, 60, 10]
    assert float(families["contribution_share"].iloc[1]) == 0.75
    assert profitability.lacking_for_families(books) == []
    report = profitability.customer_profitability(books, period)
    assert profitability.net_price_and_cost_to_serve(books, report, period).empty
    assert movement.price_volume_mix(books, period, period.year_before()).empty


def test_what_families_lack_is_named(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": LINES}, coverage=YEARS)
    period = books.period("2024")
    assert profitability.product_families(books, period, None).empty
    assert profitability.lacking_for_families(books) == ["no family in the table of products"]
