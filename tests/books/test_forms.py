"""Equivalent books give equal figures: what an ERP may write in several ways counts the same in every view."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import cells, costly, write_engagement
from hypothesis import given
from hypothesis import strategies as st

from crmlib.books.stored import Books, open_books, read_cube, sales_of
from crmlib.declared.reading import DataRejected, SettingsError
from crmlib.profitability import families, group_profitability

Make = Callable[..., Books]
Row = dict[str, object]
CUSTOMERS = "customer_id, customer_name\nA, Adler\nB, Birch"
SERVED = {
    "activity_types": "activity, line, driver\norder entry, order_processing, orders\nline, warehouse_handling, invoice_lines\n"
    "note, special_packaging, credits\nunit, transportation, units",
    "rates": "activity, valid_from, rate\norder entry, 2024-01-01, 40\nline, 2024-01-01, 3\nnote, 2024-01-01, 11\nunit, 2024-01-01, 0.5",
}
SOLD = """customer_id, invoice_date, order_id, line_no, product_id, quantity, gross_sales, discount, cost_of_goods
A, 2024-01-15, O1, 1, P, 10, 1000, 50, 600
A, 2024-01-15, O1, 2, Q, 1, 70, 0, 20
B, 2024-02-15, O2, 1, P, 10, 1000, 0, 600"""
HEAD = SOLD.splitlines()[0]


def views(books: Books) -> dict[str, Any]:
    """All that the books hold of sales: the cube with its drivers, sales by product, and orders by day."""
    cube = cells(read_cube(books, books.engagement.coverage))
    sold = sales_of(books, books.engagement.coverage)
    assert sold is not None
    sales = sold.sort_values(["customer_id", "product_id", "month"])
    orders = pd.read_parquet(books.cache / "orders.parquet").sort_values(["customer_id", "day"])
    return {
        "cube": cube,
        "sales": sales.astype(str).to_dict("records"),
        "orders": orders.astype(str).to_dict("records"),
    }


RETURNED = {  # four pieces of P come back on 10 March
    "a line of the order": {"invoice_lines": f"{SOLD}\nA, 2024-03-10, O1, 3, P, -4, -400, -20, -240"},
    "a line with a number of its own": {"invoice_lines": f"{SOLD}\nA, 2024-03-10, CN7, 1, P, -4, -400, -20, -240"},
    "a line without a number": {"invoice_lines": f"{SOLD}\nA, 2024-03-10, , , P, -4, -400, -20, -240"},
    "a line that its kind says to be one": {
        "invoice_lines": f"{HEAD}, kind\n" + "\n".join(f"{line}, sale" for line in SOLD.splitlines()[1:]) + "\nA, 2024-03-10, CN7, 1, P, -4, -400, -20, -240, return"
    },
    "a credit": {"invoice_lines": SOLD, "credits": "customer_id, date, kind, amount, cost_recovered\nA, 2024-03-10, return, 380, 240"},
    "a negative credit, declared": {"invoice_lines": SOLD, "credits": "customer_id, date, kind, amount, cost_recovered\nA, 2024-03-10, return, -380, -240"},
}  # fmt: skip


def test_a_return_counts_the_same_however_it_is_written(make_books: Make) -> None:
    seen = {}
    for form, tables in RETURNED.items():
        turned = {"tables": {"credits": {"sign": "turned"}}} if "declared" in form else {}
        seen[form] = views(make_books({"customers": CUSTOMERS, **SERVED, **tables}, **turned))
    expected = seen["a credit"]
    assert expected["cube"]["customer", "A", "2024-03-01", "discounts_returns_allowances"] == 380
    assert expected["cube"]["customer", "A", "2024-03-01", "special_packaging"] == 11  # one credit note
    assert [form for form, view in seen.items() if view != expected] == []


BOOKED_BY_MISTAKE = (
    "A, 2024-03-01, O9, 1, P, 7, 700, 0, 420, invoice\nA, 2024-03-02, ST1, 1, P, -7, -700, 0, -420, storno"
)
WITH_TYPE = f"{HEAD}, type\n" + "\n".join(f"{line}, invoice" for line in SOLD.splitlines()[1:])


@pytest.mark.parametrize(
    "more", ["", "\nB, 2024-03-03, O10, 1, P, 7, 700, 0, 420, invoice"], ids=["alone", "billed to another"]
)
def test_a_cancellation_and_what_it_cancels_are_as_if_they_were_not(more: str, make_books: Make) -> None:
    lines = {"customers": CUSTOMERS, **SERVED, "invoice_lines": WITH_TYPE + more}
    cancelled = {**lines, "invoice_lines": f"{WITH_TYPE}\n{BOOKED_BY_MISTAKE}{more}"}
    rule = {"tables": {"invoice_lines": {"kinds": {"cancellation": "type = 'storno'"}, "unread": ["type"]}}}
    books = make_books(cancelled, **rule)
    assert views(books) == views(make_books(lines, tables={"invoice_lines": {"unread": ["type"]}}))
    intake = books.intake.set_index(["table", "column"])["excluded"]
    assert (intake["invoice_lines", "rows"], intake["invoice_lines", "gross_sales"]) == (2, 0)


def test_an_invoice_that_is_marked_as_its_reversal_is_goes_with_it_though_it_is_billed_anew(make_books: Make) -> None:
    rows = """customer_id, invoice_date, order_id, gross_sales, kind
    A, 2024-01-05, 1, 100, cancellation
    A, 2024-01-06, 2, 100, sale
    A, 2024-01-06, 3, -100, cancellation
    A, 2024-02-05, 4, -70, return
    A, 2024-02-06, 5, 70, cancellation
    A, 2024-03-06, 6, 70, sale
    A, 2024-03-07, 7, -70, cancellation
    A, 2024-03-08, 8, 100, cancellation
    A, 2024-03-09, 9, -100, return"""
    books = make_books({"customers": CUSTOMERS, "invoice_lines": rows})
    cube = {key[2:]: amount for key, amount in views_of_lines(books).items() if amount}
    assert cube == {("2024-01-01", "sales"): 100, ("2024-01-01", "invoice_lines"): 1, ("2024-01-01", "orders"): 1}
    assert "cancels-nothing" not in set(books.findings["code"])


def test_a_cancellation_ends_the_nearest_line_before_it_or_the_one_that_it_names(make_books: Make) -> None:
    rows = """customer_id, invoice_date, order_id, gross_sales, kind, cancels
    A, 2024-01-05, 1, 100, sale,
    A, 2024-02-05, 2, 100, sale,
    A, 2024-03-05, 3, 100, sale,
    A, 2024-04-05, 4, -100, cancellation,
    A, 2024-04-06, 5, -100, cancellation, 1
    A, 2024-04-07, 6, -55, cancellation,"""
    cube = views_of_lines(make_books({"customers": CUSTOMERS, "invoice_lines": rows}))
    assert {key[2]: amount for key, amount in cube.items() if key[3] == "sales"} == {"2024-02-01": 100}
    assert cube["customer", "A", "2024-04-01", "discounts_returns_allowances"] == 55  # cancels nothing here: a return


def views_of_lines(books: Books) -> dict[tuple[Any, ...], Any]:
    return cells(read_cube(books, books.engagement.coverage))


def test_a_deposit_is_no_sale_and_a_settled_one_leaves_no_trace(make_books: Make) -> None:
    deposits = "\nA, 2024-01-02, D1, 1, DEP, 1, 300, 0, 0, deposit\nA, 2024-01-15, O1, 3, DEP, -1, -300, 0, 0, deposit"
    rule = {"tables": {"invoice_lines": {"kinds": {"deposit": "type = 'deposit'"}, "unread": ["type"]}}}
    direct = {"customers": CUSTOMERS, **SERVED, "invoice_lines": WITH_TYPE}
    settled = make_books({**direct, "invoice_lines": WITH_TYPE + deposits}, **rule)
    assert views(settled) == views(make_books(direct, **rule))
    assert "deposit-open" not in set(settled.findings["code"])


def test_a_discount_on_a_line_of_its_own_is_a_discount_however_it_is_written(make_books: Make) -> None:
    def of(line: str, **given: Any) -> dict[tuple[Any, ...], Any]:
        return views_of_lines(make_books({"customers": CUSTOMERS, **SERVED, "invoice_lines": f"{SOLD}{line}"}, **given))

    expected = of("").copy()
    expected["customer", "A", "2024-01-01", "discounts_returns_allowances"] += 30
    assert of("\nA, 2024-01-15, O1, 3, , 0, 0, 30, 0") == expected
    kinds = {"tables": {"invoice_lines": {"kinds": {"discount": "product_id = 'DISC'"}}}}
    assert of("\nA, 2024-01-15, O1, 3, DISC, 1, -30, 0, 0", **kinds) == expected


def test_fees_stand_in_sales_or_on_the_line_that_names_them(make_books: Make) -> None:
    from conftest import default_statement

    fee = {"id": "service_fees", "label": "Service fees", "class": "revenue", "sources": ["fees"], "varies": True, "dedicated": False,
           "avoidable": "now", "reason": "asked for each delivery", "owner": "Sales"}  # fmt: skip
    tables = {
        "customers": CUSTOMERS,
        "invoice_lines": f"{HEAD}, kind\nA, 2024-01-15, O1, 1, P, 1, 100, 0, 60, sale\nA, 2024-01-15, O1, 2, F, 1, 9, 0, 0, fee",
    }
    inside, apart = (
        make_books(tables),
        make_books(tables, statement=[*default_statement()[:1], fee, *default_statement()[1:]]),
    )
    assert views_of_lines(inside)["customer", "A", "2024-01-01", "sales"] == 109
    assert views_of_lines(apart)["customer", "A", "2024-01-01", "sales"] == 100
    assert views_of_lines(apart)["customer", "A", "2024-01-01", "service_fees"] == 9
    assert views_of_lines(apart)["customer", "A", "2024-01-01", "units"] == 1


def test_what_is_excluded_need_not_be_readable_and_is_told_with_its_amount(make_books: Make) -> None:
    rows = "customer_id, invoice_date, gross_sales, cost_of_goods, status\nA, 2024-01-15, 100, 60, posted\nA, 2024-01-16, 900, x, draft"
    mapped = {"tables": {"invoice_lines": {"kinds": {"exclude": "status in ('draft', 'void')"}}}}
    books = make_books({"customers": CUSTOMERS, "invoice_lines": rows}, **mapped)
    assert views_of_lines(books)["customer", "A", "2024-01-01", "sales"] == 100
    told = books.findings[books.findings["code"] == "line-excluded"].iloc[0]
    assert (told["row"], told["amount"]) == (3, 900)


def test_a_kind_that_is_no_condition_and_a_document_of_no_column_are_refused(make_books: Make) -> None:
    with pytest.raises(SettingsError, match=r"tables.invoice_lines.kinds.return: 'type =' is no condition"):
        make_books(tables={"invoice_lines": {"kinds": {"return": "type ="}}})
    with pytest.raises(
        SettingsError, match=r"tables.invoice_lines.document: 'yaer' is not in the header.*did you mean 'year'"
    ):
        make_books(
            {"invoice_lines": SOLD, "customers": CUSTOMERS},
            tables={"invoice_lines": {"document": ["yaer", "order_id"]}},
        )


def test_amounts_in_another_currency_are_those_of_the_rate_of_their_day(make_books: Make) -> None:
    rates = "currency, valid_from, rate, source\nEUR, 2024-01-01, 1.1, central bank\nEUR, 2024-02-01, 1.23456789, central bank"
    lines = "customer_id, invoice_date, gross_sales, currency\nA, 2024-01-31, 100, EUR\nA, 2024-02-01, 100, eur\nB, 2024-02-01, 7, Usd"
    cube = views_of_lines(make_books({"customers": CUSTOMERS, "invoice_lines": lines, "exchange_rates": rates}))
    assert {key[1:3]: amount for key, amount in cube.items() if key[3] == "sales"} == {
        ("A", "2024-01-01"): Decimal("110"), ("A", "2024-02-01"): Decimal("123.4568"), ("B", "2024-02-01"): Decimal("7"),
    }  # fmt: skip


def test_amounts_of_a_month_take_the_rate_of_its_last_day(make_books: Make) -> None:
    rates = "currency, valid_from, rate, source\nEUR, 2024-01-01, 1.1, central bank\nEUR, 2024-01-20, 1.2, central bank"
    joint = "month, line, amount, currency\n2024-01-01, head office, 100, EUR"
    books = make_books({"exchange_rates": rates, "joint_costs": joint})
    statement = books.statement_in(books.period("2024"))
    (joint,) = [line.id for line in statement.leaves if line.sources == ("joint_costs",)]
    assert group_profitability(books, books.period("2024"), "all").firm[joint] == 120


def test_a_family_is_its_head_and_all_below_with_what_the_head_buys(make_books: Make) -> None:
    books = make_books({
        "customers": "customer_id, customer_name, parent_id\nP, Poplar,\nS, Spruce, P\nT, Teak, S\nX, Xylo,",
        "invoice_lines": "customer_id, invoice_date, gross_sales\nP, 2024-01-31, 1000\nS, 2024-02-15, 500\nT, 2024-02-01, 200\nX, 2024-02-01, 900",
        "costs": "level, key, date, line, amount\nparent, P, 2024-05-01, advertising, 50",
    })  # fmt: skip
    assert families(books).to_dict() == {"P": "Poplar", "S": "Poplar", "T": "Poplar", "X": ""}
    report = group_profitability(books, books.period("2024"), "parent_id")
    assert report.groups["net_segment_margin"].to_dict() == {"Poplar": 1650, "Customers without parent": 900}


def test_unknown_keys_stand_with_their_money_apart_from_blank_ones(make_books: Make) -> None:
    lines = "customer_id, invoice_date, gross_sales, cost_of_goods\nA, 2024-01-15, 9000, 100\nZ9, 2024-01-15, 30, 170\nZ9, 2024-02-15, 40, 1\n, 2024-02-15, 50, 2"
    known = {"tables": {"invoice_lines": {"unassigned_share": 1}}}
    keys = make_books({"customers": CUSTOMERS, "invoice_lines": lines}, **known).unknown_keys
    assert keys[["key", "rows", "gross_sales", "cost_of_goods"]].astype(str).to_numpy().tolist() == [
        ["Z9", "2", "70.0000", "171.0000"], ["", "1", "50.0000", "2.0000"],
    ]  # fmt: skip


def test_the_share_without_a_customer_is_net_and_may_have_its_own_limit(make_books: Make) -> None:
    debts = {
        "customers": CUSTOMERS,
        "costs": "level, key, date, line, amount\ncustomer, , 2024-03-31, bad_debts, 180\ncustomer, A, 2024-09-30, bad_debts, 70",
    }
    with pytest.raises(DataRejected, match=r"unassigned_share under tables.costs"):
        make_books(debts)
    assert make_books(debts, tables={"costs": {"unassigned_share": 1}}).unknown_keys["booked_costs"].sum() == 180
    reversed_ = {"customers": CUSTOMERS, "costs": f"{debts['costs']}\ncustomer, , 2024-04-30, bad_debts, -180"}
    assert make_books(reversed_)


def test_true_twins_in_two_files_are_refused_with_a_way_to_keep_them(make_engagement: Callable[..., Path]) -> None:
    def twins(**given: Any) -> Books:
        folder = make_engagement({"customers": CUSTOMERS}, **given)
        (folder / "ledger" / "invoice_lines.csv").unlink()
        for month, last in (("01", "B,2024-01-30,50"), ("02", "B,2024-02-28,51")):
            text = f"customer_id,invoice_date,gross_sales\nA,2024-01-31,100\n{last}\n"
            (folder / "ledger" / f"invoice_lines-2024-{month}.csv").write_text(text, encoding="utf-8")
        return open_books(folder)

    with pytest.raises(DataRejected, match=r"twins: kept"):
        twins()
    books = twins(tables={"invoice_lines": {"twins": "kept"}})
    assert views_of_lines(books)["customer", "A", "2024-01-01", "sales"] == 200
    assert books.findings.query("code == 'rows-overlap'")["verdict"].tolist() == ["warn"]


def test_costs_without_sales_are_books_too_and_an_empty_period_is_not(make_books: Make) -> None:
    served = {
        "customers": CUSTOMERS, "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-03-31, 0",
        "activities": "customer_id, date, activity, quantity\nA, 2024-03-15, visit, 4", "activity_types": "activity, line\nvisit, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 120",
    }  # fmt: skip
    books = make_books(served)
    books.refuse_empty(books.period("2024-03"))
    assert (
        books.has_sales(books.period("2024-03")),
        views_of_lines(books)["customer", "A", "2024-03-01", "order_processing"],
    ) == (False, 480)
    with pytest.raises(
        SettingsError,
        match=r"nothing to report for 2024-04: no sales and no costs of a known customer; 2024-03 to 2024-03 have something",
    ):
        books.refuse_empty(books.period("2024-04"))


def test_tables_that_lie_outside_the_coverage_whole_leave_the_others_as_they_are(make_books: Make) -> None:
    outside = {
        "credits": "customer_id, date, kind, amount, cost_recovered\nA, 2023-01-20, return, 10, 5",
        "activities": "customer_id, date, activity, quantity\nA, 2023-03-15, visit, 4",
        "activity_types": "activity, line, pool\nvisit, order_processing, desk",
        "rates": "activity, valid_from, rate\nvisit, 2022-01-01, 120",
        "capacity": "pool, month, cost, practical_capacity\ndesk, 2023-01-01, 900, 10",
        "costs": "level, key, date, line, amount\ncustomer, A, 2023-01-10, bad_debts, 7\naccount_type, T, 2023-01-10, salaries, 7",
        "balances": "customer_id, month, receivables, inventory\nA, 2023-01-01, 100, 50",
        "joint_costs": "month, line, amount\n2023-01-01, head office, 7",
        "service": "customer_id, month, measure, numerator, denominator\nA, 2023-01-01, filled, 1, 2",
        "control_totals": "line, period, amount\nsalaries, 2023, 7",
    }
    held = {"customers": "customer_id, customer_name, account_type\nA, Adler, T\nB, Birch, T", "invoice_lines": SOLD}
    books = make_books(held | outside, rates={"cost_of_capital": "0.1"})
    lines = {key[3]: amount for key, amount in views_of_lines(books).items() if amount and key[2] == "2024-01-01"}
    assert (lines["sales"], lines["cost_of_goods_sold"]) == (1070, 620)
    assert set(books.findings.query("code == 'outside-coverage'")["table"]) >= {*outside} - {"activity_types", "rates"}


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        ("A, 2023-03-10, 100, P", {}),
        ("A, 2024-03-10, 100, draft", {"tables": {"invoice_lines": {"kinds": {"exclude": "type = 'draft'"}}}}),
        ("A, 2024-03-10, 100, P\nA, 2024-03-11, -100, X", {"tables": {"invoice_lines": {"kinds": {"cancellation": "type = 'X'"}}}}),
        ("X, 2024-03-10, 100, P", {"thresholds": {"unassigned_share": 1}}),
    ],
    ids=["before the coverage", "drafts alone", "all cancelled", "of nobody known"],
)  # fmt: skip
def test_books_that_hold_nothing_of_a_known_customer_are_opened_and_not_reported(
    make_books: Make, lines: str, settings: Row
) -> None:
    joint = "month, line, amount\n2024-03-01, head office, 7"
    held = {"invoice_lines": f"customer_id, invoice_date, gross_sales, type\n{lines}", "joint_costs": joint}
    books = make_books(held | {"customers": CUSTOMERS}, **settings)
    with pytest.raises(SettingsError, match=r"no sales and no costs of a known customer; no month has anything"):
        books.refuse_empty(books.engagement.coverage)


lines = st.lists(
    st.fixed_dictionaries({
        "customer_id": st.sampled_from(["A", "B"]),
        "invoice_date": st.dates(pd.Timestamp("2024-01-01").date(), pd.Timestamp("2024-12-31").date()).map(str),
        "order_id": st.sampled_from(["1", "2", "3"]),
        "product_id": st.sampled_from(["P", "Q"]),
        "quantity": st.integers(1, 9),
        "gross_sales": st.integers(1, 500),
        "cost_of_goods": st.integers(0, 300),
    }),
    min_size=1, max_size=8,
)  # fmt: skip


def opened(rows: Sequence[Mapping[str, object]], split: bool = False, **given: Any) -> dict[str, Any]:
    """All views of random lines, in one file or in one for each month."""
    numbered = [{**row, "line_no": number} for number, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as place:
        months = sorted({str(row["invoice_date"])[:7] for row in rows})
        parts = {
            f"invoice_lines-{month}": [r for r in numbered if str(r["invoice_date"])[:7] == month] for month in months
        }
        tables = parts if split else {"invoice_lines": numbered}
        return views(
            open_books(write_engagement(Path(place) / "client", {"customers": CUSTOMERS, **SERVED, **tables}, **given))
        )


@costly(4)
@given(lines, st.data())
def test_random_books_are_the_same_in_twelve_files_and_with_lines_booked_and_cancelled(
    rows: list[Row], data: st.DataObject
) -> None:
    plain = opened(rows)
    assert opened(rows, split=True) == plain
    wrong = data.draw(lines)
    storno = [
        {**row, "order_id": f"S{i}", "quantity": -int(str(row["quantity"])), "gross_sales": -int(str(row["gross_sales"])), "cost_of_goods": -int(str(row["cost_of_goods"])), "kind": "cancellation"}
        for i, row in enumerate(wrong)
    ]  # fmt: skip
    booked = [{**row, "order_id": f"W{i}"} for i, row in enumerate(wrong)]
    assert opened([*rows, *booked, *storno]) == plain
