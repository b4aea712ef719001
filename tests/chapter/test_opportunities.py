"""Opportunities: tiny ledgers beside the amount above the group's median, what is judged, and white space tested on the past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlib import opportunities as found_by
from crmlib import white_space
from crmlib.books.stored import Books
from crmlib.declared.judgement import KINDS, Opportunity
from crmlib.declared.reading import SettingsError
from crmlib.segments import with_segments

Make = Callable[..., Books]
FIVE = "customer_id, customer_name\n" + "\n".join(f"{c}, Customer {c}" for c in "ABCDE")
LINES = "customer_id, invoice_date, order_id, gross_sales, discount, freight, product_id, quantity, cost_of_goods"
PRODUCTS = "product_id, product_name, product_family\np, Plain, Plain\nf, Fine, Fine"


def lines(freight: dict[str, int], *more: str, year: int = 2024) -> str:
    """One order of 1,000 by each customer, who differ in freight alone."""
    rows = [f"{c}, {year}-12-10, {c}{year}, 1000, 0, {cost}, p, 10, 400" for c, cost in freight.items()]
    return "\n".join([LINES, *rows, *more])


def of(books: Books, period: str = "2024") -> pd.DataFrame:
    when = books.period(period)
    return found_by.opportunities(with_segments(books, when), when)


def put(books: Books, *rows: str) -> None:
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    (folder / "opportunities.csv").write_text("\n".join([",".join(Opportunity.model_fields), *rows]), encoding="utf-8")


FREIGHT = dict(zip("ABCDE", (10, 20, 30, 40, 90), strict=True))  # quartiles 20, 30 and 40 of 1,000


def test_cost_to_serve_is_sized_by_the_quartiles_of_the_group(make_books: Make) -> None:
    [row] = of(make_books({"customers": FIVE, "invoice_lines": lines(FREIGHT)})).to_dict("records")
    assert (row["customer_id"], row["kind"], row["item"], row["owner"]) == (
        "E",
        "cost to serve",
        "Transportation",
        "Logistics",
    )
    assert [round(row[size], 6) for size in ("low", "expected", "high")] == [50, 60, 70]
    assert row["evidence"] == "9.0% of sales, the median of all customers 3.0%"
    assert (row["driver"], row["source"]) == ("cost to serve", "computed")


@pytest.mark.parametrize(
    "freight",
    [dict.fromkeys("ABCDE", 30), dict(zip("ABCD", (10, 20, 30, 90), strict=True))],
    ids=["all alike", "four only"],
)
def test_nobody_is_compared_where_all_are_alike_or_few(make_books: Make, freight: dict[str, int]) -> None:
    assert of(make_books({"customers": FIVE, "invoice_lines": lines(freight)})).empty


def test_small_orders_are_named_as_what_drives_the_cost_of_orders(make_books: Make) -> None:
    small = [f"E, 2024-12-1{n}, E{n}, 200, 0, 0, p, 2, 80" for n in range(5)]
    done = [f"{c}, 2024-12-10, handled, 1" for c in "ABCD"] + [f"E, 2024-12-1{n}, handled, 1" for n in range(5)]
    books = make_books({
        "customers": FIVE, "invoice_lines": lines(dict.fromkeys("ABCD", 0), *small),
        "activity_types": "activity, line\nhandled, order_processing", "rates": "activity, valid_from, rate\nhandled, 2024-01-01, 20",
        "activities": "\n".join(["customer_id, date, activity, quantity", *done]),
    })  # fmt: skip
    [row] = of(books).to_dict("records")
    assert (row["customer_id"], row["item"]) == ("E", "Order processing")
    assert row["evidence"].endswith("orders of 200, the median 1,000")
    assert row["expected"] == pytest.approx(80)  # five orders at 20, the median customer one


def test_what_is_given_back_is_one_opportunity_and_the_price_another(make_books: Make) -> None:
    even = dict.fromkeys("ABCD", 30)
    books = make_books({
        "customers": FIVE, "invoice_lines": lines(even, "E, 2024-12-10, E1, 1000, 100, 30, p, 10, 400"),
        "credits": "customer_id, date, kind, amount\nE, 2024-12-11, return, 50",
    })  # fmt: skip
    rows = of(books).set_index("kind")
    assert rows["item"].to_dict() == {"price": "Net price for the volume", "cost to serve": "Returns and allowances"}
    assert rows.at["cost to serve", "expected"] == pytest.approx(50)
    # all pay 4,900 for 50 units: the others 1,000 of 980 at average prices, E 900, so 100 below the median
    assert rows.at["price", "expected"] == pytest.approx(100)
    assert rows["expected"].sum() == pytest.approx(150)
    alone = "E, 2024-12-10, E1, 100000, 100, 30, p, 1000, 40000"  # a hundred times as much as others buy
    assert "price" not in set(of(make_books({"customers": FIVE, "invoice_lines": lines(even, alone)}))["kind"])


def test_a_judged_opportunity_takes_the_place_of_the_computed_one(make_books: Make) -> None:
    books = make_books({"customers": FIVE, "invoice_lines": lines(FREIGHT)})
    put(books, "E,cost to serve,Transportation,25,20,30,easy,Logistics,agreed to collect,open")
    [row] = of(books).to_dict("records")
    assert (row["expected"], row["evidence"], row["source"]) == (25, "agreed to collect", "judged")
    put(books, "A,other,x,1,1,1,easy,Sales,seen,open")
    assert dict(of(books)["source"]) == {0: "computed", 1: "judged"}


def test_of_who_stopped_buying_only_what_people_judged_is_an_opportunity(make_books: Make) -> None:
    sold = lines(FREIGHT).replace("E, 2024-12-10", "E, 2024-03-10")
    books = make_books({"customers": FIVE, "invoice_lines": sold})
    assert of(books).empty
    put(books, "E,cost to serve,Transportation,25,20,30,easy,Logistics,agreed to collect,open")
    assert of(books)["source"].tolist() == ["judged"]


@pytest.mark.parametrize("status", ["dropped", "done"])
def test_what_was_dropped_or_done_is_no_longer_open_neither_as_computed(make_books: Make, status: str) -> None:
    books = make_books({"customers": FIVE, "invoice_lines": lines(FREIGHT)})
    put(books, f"E,cost to serve,,0,0,0,hard,Logistics,looked at,{status}")
    assert of(books).empty


def test_all_mistakes_of_the_file_are_told_at_once_with_row_column_and_way_out(make_books: Make) -> None:
    books = make_books({"customers": FIVE, "invoice_lines": lines(FREIGHT)})
    put(books, "Z,price,,10,5,20,easy,Sales,told us,open", "A,prise,,ten,5,20,simple,,,open", "B,mix,,30,5,20,easy,Sales,seen,open",
        "C,other,x,1,1,1,easy,Sales,seen,open", "C,other,x,1,1,1,easy,Sales,seen,open")  # fmt: skip
    with pytest.raises(SettingsError) as told:
        found_by.read_opportunities(books)
    text = str(told.value)
    assert "judgement/opportunities.csv has 9 mistake(s)" in text
    for line in (
        "row 2, customer_id: 'Z': no such customer; write a customer_id of the ledger", f"row 3, kind: 'prise': one of {', '.join(KINDS)}",
        "row 3, expected: 'ten': an amount of zero or more, such as 12500", "row 3, ease: 'simple': easy, medium or hard",
        "row 3, owner: '': write who takes it up", "row 3, evidence: '': write what speaks for it",
        "row 4, expected: '30': must lie between low and high", "row 5, item: 'x': this opportunity stands here twice; keep one row",
    ):  # fmt: skip
        assert line in text


def two_years(*fine_a_year_later: str) -> dict[str, Any]:
    """Twelve customers who buy half of each family in both years, but for L, who buys the plain one."""
    ids = [f"C{number:02}" for number in range(11)]
    rows = [LINES]
    for year in (2024, 2025):
        for c in ids:
            rows += [f"{c}, {year}-03-10, {c}{year}{p}, 500, 0, 10, {p}, 5, 200" for p in ("p", "f")]
        rows.append(f"L, {year}-03-10, L{year}, 1000, 0, 20, p, 10, 400")
    tables = {"customers": "customer_id, customer_name\n" + "\n".join(f"{c}, Name {c}" for c in [*ids, "L"]), "products": PRODUCTS,
              "invoice_lines": "\n".join([*rows, *fine_a_year_later])}  # fmt: skip
    return {"tables": tables, "coverage": {"start": "2024-01", "end": "2025-12"}}


def test_white_space_is_a_family_that_neighbours_buy_with_their_names(make_books: Make) -> None:
    given_ = two_years()
    books = make_books(given_["tables"], coverage=given_["coverage"])
    [row] = white_space.white_space(books, books.period("2025")).to_dict("records")
    assert (row["customer_id"], row["item"], row["own"], row["median"]) == ("L", "Fine", 0, 0.5)
    assert row["peers"].count("Name C") == 3


def test_white_space_that_never_came_true_has_no_size_and_stands_nowhere(make_books: Make) -> None:
    given_ = two_years()
    books = make_books(given_["tables"], coverage=given_["coverage"])
    test = white_space.white_space_test(books, books.period("2025"))
    assert (test.named, test.filled, test.best_named, test.best_filled) == (1, 0, 1, 0)
    assert "white space" not in set(of(books, "2025")["kind"])
    assert white_space.white_space_test(books, books.period("2024")) == white_space.Test(0, 0, 0, 0)  # no year before


def test_white_space_is_sized_by_what_the_neighbours_spend_and_how_often_it_came_true(make_books: Make) -> None:
    # L fills its gap in 2025 by half, M opens one: named in 2024 was L alone, and it came true
    given_ = two_years("L, 2025-04-10, L2, 1000, 0, 20, f, 10, 400")
    given_["tables"]["customers"] += "\nM, Name M"
    given_["tables"]["invoice_lines"] += "\nM, 2025-05-10, M1, 1000, 0, 20, p, 10, 400"
    books = make_books(given_["tables"], coverage=given_["coverage"])
    assert white_space.white_space_test(books, books.period("2025")).hit_share == 1
    rows = of(books, "2025").query("kind == 'white space'").to_dict("records")
    assert [(row["customer_id"], row["item"]) for row in rows] == [("M", "Fine")]
    assert rows[0]["expected"] == pytest.approx(
        0.5 * 1000 * (0.6 - 0.02)
    )  # half of its sales, at 60 % less 2 % freight


@given(st.lists(st.integers(0, 500), min_size=5, max_size=9))
def test_no_one_gains_more_than_the_line_costs_and_the_range_is_in_order(costs: list[int]) -> None:
    rate = pd.Series([cost / 1000 for cost in costs], [f"C{i}" for i in range(len(costs))])
    base = pd.Series(1000.0, rate.index)
    rows = found_by.beyond(
        found_by.Measure("cost to serve", "Freight", "Logistics", rate, base, pd.Series("all", rate.index))
    )
    assert (rows["low"] <= rows["expected"]).all()
    assert (rows["expected"] <= rows["high"]).all()
    assert (rows["high"] <= (rate * base)[rows["customer_id"]].to_numpy() + 1e-9).all()
    assert len(rows) <= len(costs) / 2


# --- the sample's stories --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def register(sample: Books) -> pd.DataFrame:
    return of(sample, "2025")


@pytest.mark.parametrize(
    ("customer", "kind", "item", "evidence"),
    [
        ("@Corner Apothecary", "cost to serve", "Order processing", r"rush order 0\.6\d an order"),
        ("Vellum & Thread Department Stores", "cost to serve", "Returns and allowances", r"credit note lines 0\.\d\d an order"),
        ("Grand Élan Department Stores", "payment terms", "Charge for investment in accounts receivable", r"1[2-4]\d days outstanding, 30 agreed"),
    ],
)  # fmt: skip
def test_the_samples_stories_are_found_with_their_cause(
    register: pd.DataFrame, customer: str, kind: str, item: str, evidence: str
) -> None:
    [row] = register[
        (register["customer_name"] == customer) & (register["kind"] == kind) & (register["item"] == item)
    ].to_dict("records")
    assert pd.Series([row["evidence"]]).str.contains(evidence).all(), row["evidence"]
    assert 0 < row["low"] <= row["expected"] <= row["high"]


def test_the_returner_and_the_slow_payer_have_the_largest_of_their_kind(register: pd.DataFrame) -> None:
    terms = register[register["kind"] == "payment terms"]
    assert terms.iloc[0]["customer_name"] == "Grand Élan Department Stores"
    back = register[register["item"] == "Returns and allowances"].head(2)["customer_name"].tolist()
    assert "Vellum & Thread Department Stores" in back


def test_nothing_is_counted_twice_and_no_line_gives_more_than_it_costs(sample: Books, register: pd.DataFrame) -> None:
    assert not register.duplicated(["customer_id", "kind", "item"]).any()
    spaced, mixed = (set(register.loc[register["kind"] == kind, "customer_id"]) for kind in ("white space", "mix"))
    assert not spaced & mixed
    period = sample.period("2025")
    totals = found_by.totals(register, sample, period)
    assert totals["expected"].sum() == pytest.approx(register["expected"].sum())
    assert (totals["high"] < totals["sales"].astype(float)).all()


def test_naming_white_space_by_neighbours_beats_naming_the_best_sellers(sample: Books) -> None:
    test = white_space.white_space_test(sample, sample.period("2025"))
    assert test.named > 30
    assert test.hit_share > test.best_share > 0
