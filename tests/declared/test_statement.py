"""The statement as data: what the compiler refuses, what a ledger can fill, and what the subtotals then say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import default_statement

from crmlib.books.stored import Books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import SettingsError
from crmlib.declared.statement import CLASSES, Line, Statement
from crmlib.profitability import compare_periods, customer_profitability, firm_profitability

Make, MakeBooks = Callable[..., Path], Callable[..., Books]
JOINT = {"id": "rent", "label": "Rent", "class": "assignable", "sources": ["costs"], "varies": False, "dedicated": False, "avoidable": "never",
         "reason": "the head office", "owner": "Finance"}  # fmt: skip


@pytest.fixture
def refused(make_engagement: Make) -> Callable[[Sequence[Any]], str]:
    """What is told of a statement that may not be used."""

    def told(lines: Sequence[Any]) -> str:
        with pytest.raises(SettingsError) as caught:
            open_engagement(make_engagement(statement=lines))
        return str(caught.value)

    return told


def test_the_default_statement_is_the_designs_in_its_order(make_engagement: Make) -> None:
    statement = open_engagement(make_engagement()).statement
    assert [line.id for line in statement.lines if line.subtotal] == [
        "net_sales", "manufacturing_contribution", "contribution_margin", "segment_controllable_margin", "net_segment_margin", "operating_profit",
    ]  # fmt: skip
    assert [line.cls for line in statement.lines if line.cls] == sorted(
        (line.cls for line in statement.lines if line.cls), key=CLASSES.index
    )
    assert {line.id for line in statement.lines if line.avoidable is None and line.cls != "pool"} == {"display_racks"}


# --- what the compiler refuses ---------------------------------------------------------------------------------------


def test_a_joint_cost_in_a_customers_column_is_refused(refused: Callable[..., str]) -> None:
    told = refused([*default_statement()[:-5], JOINT, *default_statement()[-5:]])
    assert (
        "(rent): neither varies with what the customer buys nor is there only for this customer or segment: a joint"
        in told
    )


def test_a_joint_cost_called_variable_is_refused_too(refused: Callable[..., str]) -> None:
    told = refused(default_statement(transportation={"varies": False, "dedicated": True}))
    assert "(transportation): class variable, but varies is false" in told


@pytest.mark.parametrize(
    "source", ["inovice_lines.gross", "sales", "balances.cash", "service", "customers.region", "judgement/x.csv"]
)
def test_an_undeclared_source_is_refused_with_what_is_allowed(refused: Callable[..., str], source: str) -> None:
    told = refused(default_statement(salaries={"sources": [source]}))
    assert f"(salaries): undeclared source {source!r}; allowed: capacity, " in told


def test_a_column_that_is_no_amount_is_no_source(refused: Callable[..., str]) -> None:
    assert "source invoice_lines.invoice_date is no amount" in refused(
        default_statement(transportation={"sources": ["invoice_lines.invoice_date"]})
    )


def test_a_line_counted_twice_is_refused(refused: Callable[..., str]) -> None:
    told = refused(default_statement(transportation={"sources": ["invoice_lines.commission"]}))
    assert "transportation: invoice_lines.commission is already counted in sales_commissions" in told
    twice = default_statement()
    assert "promotion_and_slotting stands twice" in refused([*twice[:14], twice[13], *twice[14:]])


def test_a_joint_source_in_a_customers_line_is_refused(refused: Callable[..., str]) -> None:
    told = refused(default_statement(salaries={"sources": ["joint_costs"]}, joint_costs=None))
    assert "(salaries): source joint_costs does not go with class assignable" in told


def test_a_line_out_of_order_is_refused(refused: Callable[..., str]) -> None:
    lines = default_statement()
    assert "class variable stands below class assignable" in refused([*lines[:2], lines[12], *lines[2:12], *lines[13:]])


def test_all_mistakes_of_a_statement_are_told_at_once(refused: Callable[..., str]) -> None:
    told = refused(
        default_statement(
            sales={"class": "income"},
            salaries={"avoidable": "soon"},
            advertising={"sorces": []},
            bad_debts={"id": "bad debts"},
        )
    )
    for part in (
        "lines[0] (sales).class: should be 'revenue', ", "(found 'income')", "avoidable: allowed: now, never, or a number of months",
        "(advertising).sorces: unknown key; allowed: id, label, ", "; did you mean 'sources'?", "id: must be small letters",
    ):  # fmt: skip
        assert part in told


def test_every_leaf_must_say_why_it_stands_where_it_stands_and_who_answers(refused: Callable[..., str]) -> None:
    lines = default_statement()
    del lines[0]["reason"], lines[0]["owner"]
    told = refused(lines)
    assert "lines[0] (sales).reason: is missing" in told
    assert "lines[0] (sales).owner: is missing" in told


# --- what a ledger can fill ------------------------------------------------------------------------------------------

VISITS = {
    "activity_types": "activity, line\nvisit, order_processing",
    "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 10",
    "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, visit, 2",
    "costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, order_processing, 7",
}


def test_a_line_with_a_rate_and_bookings_is_refused_unless_it_declares_both(make_books: MakeBooks) -> None:
    with pytest.raises(SettingsError, match=r"order_processing has amounts in rates and costs: .*`add: true`"):
        make_books(VISITS)
    both = default_statement(order_processing={"sources": ["rates", "costs"], "add": True})
    books = make_books(VISITS, statement=both)
    assert firm_profitability(books, books.period("2024"))["order_processing"] == 2 * 10 + 7


def test_declaring_to_add_does_not_let_in_a_source_that_the_line_does_not_name(make_books: MakeBooks) -> None:
    with pytest.raises(SettingsError, match="order_processing has amounts in rates and costs"):
        make_books(VISITS, statement=default_statement(order_processing={"add": True}))


def test_a_line_with_two_measures_is_refused_unless_it_declares_both(make_books: MakeBooks) -> None:
    lines = {"invoice_lines": "customer_id, invoice_date, gross_sales, freight, customs\nA, 2024-01-10, 100, 3, 4"}
    two = {"sources": ["invoice_lines.freight", "invoice_lines.customs"]}
    with pytest.raises(SettingsError, match="transportation has amounts in"):
        make_books(lines, statement=default_statement(transportation=two))
    books = make_books(lines, statement=default_statement(transportation={**two, "add": True}))
    assert firm_profitability(books, books.period("2024"))["transportation"] == 3 + 4


def test_any_line_may_be_booked(make_books: MakeBooks) -> None:
    books = make_books({"costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, transportation, 7"})
    assert firm_profitability(books, books.period("2024"))["transportation"] == 7


def test_a_measure_that_a_line_names_and_the_ledger_lacks_is_refused(make_books: MakeBooks) -> None:
    with pytest.raises(
        SettingsError, match=r"transportation: source invoice_lines.customs is neither in the records nor in the ledger"
    ):
        make_books(statement=default_statement(transportation={"sources": ["invoice_lines.customs"]}))


def test_returns_that_no_line_takes_are_refused(make_books: MakeBooks) -> None:
    lines = {
        "invoice_lines": "customer_id, invoice_date, gross_sales, quantity\nA, 2024-01-10, 100, 1\nA, 2024-01-11, -10, -1"
    }
    with pytest.raises(SettingsError, match="no line has the source returns"):
        make_books(
            lines,
            statement=default_statement(
                discounts_returns_allowances={"sources": ["invoice_lines.discount", "credits"]}
            ),
        )


def test_what_is_not_available_is_no_column_and_the_subtotals_below_it_say_so(make_books: MakeBooks) -> None:
    lines = "customer_id, invoice_date, gross_sales, discount, cost_of_goods, commission, freight\nA, 2024-01-10, 100, 5, 40, 1, 2"
    tables = {
        **VISITS, "invoice_lines": lines, "costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 7",
        "activity_types": "activity, line\nvisit, order_processing\nlift, warehouse_handling\npack, special_packaging",
        "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 10\nlift, 2024-01-01, 1\npack, 2024-01-01, 1",
    }  # fmt: skip
    books = make_books(tables)
    assert books.statement["net_sales"].title == "Net sales"
    assert books.statement["contribution_margin"].title == "Contribution margin, before receivables charge"
    assert (
        books.statement["segment_controllable_margin"].note
        == "before receivables charge, promotion and slotting, advertising, bad debts, display racks and inventory carrying cost"
    )
    report = customer_profitability(books, books.period("2024"))
    assert "receivables_charge" not in report
    assert report.loc[0, "contribution_margin"] == 100 - 5 - 40 - 1 - 2 - 20


def test_not_available_is_not_zero_but_a_missing_row_of_an_available_table_is(make_books: MakeBooks) -> None:
    books = make_books({"costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 7"})
    report = customer_profitability(books, books.period("2024")).set_index("customer_id")
    assert report.loc["B", "salaries"] == 0
    assert "advertising" not in report


def test_periods_are_compared_on_lines_that_both_have(make_books: MakeBooks) -> None:
    books = make_books({
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nA, 2024-04-10, 150",
        "balances": "customer_id, month, receivables\nA, 2024-04-01, 50",
    }, rates={"cost_of_capital": "0.12"})  # fmt: skip
    both = compare_periods(books, books.period("2024Q2"), [books.period("2024Q1")])
    assert list(both.columns) == ["2024Q2", "2024Q1"]
    assert both.loc["sales"].tolist() == [150, 100]
    assert both.loc["receivables_charge", "2024Q1"] is None
    assert both.loc["receivables_charge", "2024Q2"] == 50 * Decimal("0.01") + 25 * Decimal("0.01")


def test_a_cost_of_goods_at_full_standard_cost_is_called_so(make_books: MakeBooks) -> None:
    lines = {"invoice_lines": "customer_id, invoice_date, gross_sales, cost_of_goods\nA, 2024-01-10, 100, 40"}
    books = make_books(lines, cost_of_goods_basis="full")
    assert books.statement["manufacturing_contribution"].label == "Gross margin at full cost"
    assert books.statement["cost_of_goods_sold"].label == "Cost of goods sold, full standard cost"


# --- subtotals -------------------------------------------------------------------------------------------------------


def test_a_subtotal_is_the_signed_sum_of_the_lines_above_it() -> None:
    statement = Statement((
        Line("sales", "Sales", "revenue", sources=("x",)), Line("net", "Net", subtotal=True),
        Line("goods", "Goods", "variable", sources=("x",)), Line("margin", "Margin", subtotal=True),
        Line("pool", "Pool", "pool", sources=("joint_costs",)), Line("back", "Back", "pool", sources=("capital_charges",)),
        Line("profit", "Profit", subtotal=True, firm_only=True),
    ))  # fmt: skip
    amounts = pd.DataFrame(
        {"who": ["a"], "sales": [Decimal(100)], "goods": [Decimal(130)], "pool": [Decimal(7)], "back": [Decimal(2)]}
    )
    whole = statement.with_subtotals(amounts, firm=True)
    assert list(whole.columns) == ["who", "sales", "net", "goods", "margin", "pool", "back", "profit"]
    assert whole.loc[0, ["net", "margin", "profit"]].tolist() == [100, -30, -35]
    assert list(statement.with_subtotals(amounts).columns) == ["who", "sales", "net", "goods", "margin"]
    assert list(amounts.columns) == ["who", "sales", "goods", "pool", "back"]  # the input is not changed
