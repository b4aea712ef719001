"""The examples of ERP exports: each is accepted, ties out, and gives the figures that paper and pencil give."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crmlib.books.stored import open_books
from crmlib.declared.reading import PROJECT
from crmlib.profitability import customer_profitability

FIGURES = {  # customer: sales, discounts and returns, cost of goods sold (0 where the export has none), orders
    "odoo": {"11": "1750 125 0 2", "12": "900 100 0 1"},
    "erpnext": {"CUST-0001": "1500 50 880 2", "CUST-0002": "810 90 460 1"},
    "dolibarr": {"1": "1750 125 1020 2", "2": "900 100 460 1"},
    "sap_copa": {"0000100001": "1750 125 1020 2", "0000100002": "900 100 460 1"},
    "datev": {"10001": "1750 100 0 2", "10002": "900 0 0 2"},
    "quickbooks": {"Alder Works": "2200 0 0 2", "Birch & Sons": "400 100 0 1"},
}
COLUMNS = ("sales", "discounts_returns_allowances", "cost_of_goods_sold", "orders")


@pytest.mark.parametrize("example", FIGURES)
def test_the_export_of_an_erp_gives_the_figures(
    example: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_CACHE", str(tmp_path))
    books = open_books(PROJECT / "examples" / example)
    assert set(books.findings["verdict"]) <= {"accept", "warn"}
    assert books.tie_out["tied"].all()
    customers = customer_profitability(books, books.engagement.coverage).set_index("customer_id")
    figures = {key: [row.get(column, Decimal(0)) for column in COLUMNS] for key, row in customers.iterrows()}
    assert figures == {key: [Decimal(figure) for figure in text.split()] for key, text in FIGURES[example].items()}
