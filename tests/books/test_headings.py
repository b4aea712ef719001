"""Reports whose rows stand below headings: the customer is carried down, and each total is held against its rows."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from conftest import values
from test_intake import check, make_engagement, places

from crmlib.books.reader import read_ledger
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import SettingsError

BLANK_FIRST = """,Date,Num,Amount
Alder,,,
,2024-01-05,1,100.00
,2024-02-05,2,-20.00
Total for Alder,,,80.00
Total Wines,,,
,2024-01-07,3,40.00
Total for Total Wines,,,40.00
TOTAL,,,$120.00
"Friday, 5 Apr 2024 - accrual basis",,,
"""
WHERE_THE_DATE_STANDS = """Date,Num,Amount
Alder
2024-01-05,1,100.00
2024-02-05,2,-20.00
Total Alder,,80.00
Total Wines
2024-01-07,3,40.00
Total Wines total,,40.00
"""
WITHOUT_TOTALS = """Date,Num,Amount
Alder,,
2024-01-05,1,100.00
2024-02-05,2,-20.00

Total Wines,,
2024-01-07,3,40.00
"""
NUMBERS_FOR_NAMES = """Customer,Date,Num,Amount
Alder,,,
,2024-01-05,1,100.00
,2024-02-05,2,-20.00
Total Wines,,,
,2024-01-07,3,40.00
,,,40.00
"""
FORMS = {
    "a blank first column, a grand total and a footer": (BLANK_FIRST, 3),
    "headings where the date stands, short of delimiters": (WHERE_THE_DATE_STANDS, 2),
    "no totals": (WITHOUT_TOTALS, 0),
}
LINES = [("Alder", Decimal(100), "1"), ("Alder", Decimal(-20), "2"), ("Total Wines", Decimal(40), "3")]


def mapped(tmp_path: Path, text: str, **more: Any) -> Path:
    columns = {"customer_id": "client", "invoice_date": "Date", "gross_sales": "Amount", "order_id": "Num"}
    table = {"source": "report", "heading": "client", "columns": columns, **more}
    if text.startswith(","):
        text, table["header_row"] = f"Sales by customer\n{text}", 2
    folder = make_engagement(tmp_path / "e", {"tables": {"invoice_lines": table}})
    (folder / "ledger/report.csv").write_text(text, encoding="utf-8")
    (folder / "ledger/customers.csv").write_text("customer_id,customer_name\nAlder,Alder\nTotal Wines,Wines\n")
    return folder


def told(folder: Path, code: str) -> list[tuple[Any, ...]]:
    found = check(folder).query("code == @code")
    return [*zip(found["row"], found["column"], found["count"], strict=True)]


def lines(folder: Path) -> list[Any]:
    return values(read_ledger(open_engagement(folder), folder / "work2"), "invoice_lines", "customer_id", "gross_sales", "order_id")  # fmt: skip


@pytest.mark.parametrize(("text", "totals"), FORMS.values(), ids=FORMS)
def test_the_customer_above_is_that_of_each_row_and_totals_are_no_rows(tmp_path: Path, text: str, totals: int) -> None:
    folder = mapped(tmp_path, text)
    assert lines(folder) == LINES
    assert [count for *_, count in told(folder, "totals-agree")] == [totals][: totals > 0]
    assert not {p for p in places(check(folder)) if not p.startswith("accept")}


def test_a_row_that_is_no_heading_has_all_its_values(tmp_path: Path) -> None:
    folder = mapped(tmp_path, WHERE_THE_DATE_STANDS.replace("05,2,-20.00", "05,2").replace("07,3,40.00", "07,3,40.00,"))
    assert [(row, code) for code in ("row-too-short", "row-too-long") for row, *_ in told(folder, code)] == [
        (4, "row-too-short"),
        (7, "row-too-long"),
    ]


def test_a_workbook_is_read_the_same(tmp_path: Path) -> None:
    folder = mapped(tmp_path, BLANK_FIRST)
    book = openpyxl.Workbook()
    for row in ["Sales by customer", *BLANK_FIRST.splitlines()[:-1]]:
        book.active.append([cell or None for cell in row.split(",")])  # type: ignore[union-attr]
    book.save(folder / "ledger/report.xlsx")
    (folder / "ledger/report.csv").unlink()
    assert lines(folder) == LINES
    assert told(folder, "totals-agree")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("80.00", "81.00", (6, "gross_sales", 1)),
        ("1,100.00", "1,99.00", (6, "gross_sales", 1)),
        ("$120.00", "$125.00", (10, "gross_sales", 1)),
    ],
)
def test_a_total_that_its_rows_do_not_bear_out_is_refused_at_its_row(
    tmp_path: Path, old: str, new: str, place: tuple[Any, ...]
) -> None:
    assert place in told(mapped(tmp_path, BLANK_FIRST.replace(old, new)), "total-differs")


def test_totals_of_what_is_computed_are_told_as_not_compared(tmp_path: Path) -> None:
    columns = {"customer_id": "client", "invoice_date": "Date", "gross_sales": "Amount * 2", "order_id": "Num"}
    folder = mapped(tmp_path, BLANK_FIRST, columns=columns)
    assert [count for *_, count in told(folder, "totals-unread")] == [3]
    assert [amount for _, amount, _ in lines(folder)] == [200, -40, 80]


NESTED = """Date,Num,Amount
Alder,,
2024-01-01,0,1.00
Roof,,
2024-01-05,1,10.00
Total for Roof,,10.00
2024-01-06,2,20.00
Total for Alder with jobs,,31.00
Birch,,
2024-01-07,3,40.00
Total for Birch,,40.00
"""


def test_headings_one_in_another_have_a_name_each_or_are_refused(tmp_path: Path) -> None:
    assert told(mapped(tmp_path / "one", NESTED), "heading-deeper") == [(4, "", 1)]
    folder = mapped(tmp_path / "two", NESTED, heading=["client", "job"], columns={
        "customer_id": "client", "invoice_date": "Date", "gross_sales": "Amount", "order_id": "job"})  # fmt: skip
    assert [row[::2] for row in lines(folder)] == [("Alder", None), ("Alder", "Roof"), ("Alder", None), ("Birch", None)]
    assert [count for *_, count in told(folder, "totals-agree")] == [3]


def test_a_query_sees_what_headings_say(tmp_path: Path) -> None:
    folder = mapped(tmp_path, BLANK_FIRST)
    settings = (folder / "engagement.yml").read_text(encoding="utf-8")
    (folder / "engagement.yml").write_text(
        settings.replace("tables:", "tables:\n  customers: {source: customers.sql}", 1)
    )
    (folder / "customers.sql").write_text(
        "SELECT client AS customer_id, max(client) AS customer_name FROM report GROUP BY 1"
    )
    assert lines(folder) == LINES


@pytest.mark.parametrize(
    ("text", "said"), [(NUMBERS_FOR_NAMES.replace("Num", "client"), "is a column of the file too"), ("", "")]
)
def test_a_name_that_is_taken_and_a_file_without_headings_are_refused(tmp_path: Path, text: str, said: str) -> None:
    flat = "Date,Num,Amount\n2024-01-05,1,100.00\n"
    folder = mapped(tmp_path, text or flat)
    if said:
        with pytest.raises(SettingsError, match=said):
            check(folder)
    else:
        assert told(folder, "heading-missing")


def test_what_stands_in_the_first_row_of_a_document_is_that_of_its_other_rows_even_where_it_is_blank(
    tmp_path: Path,
) -> None:
    text = "client,Date,Num,Amount\nAlder,2024-01-05,1,100.00\n,,,7.00\n,2024-02-05,2,20.00\n,,,3.00\n"
    folder = mapped(tmp_path, text, heading=[], carried=["client", "Date", "Num"])
    assert lines(folder) == [("Alder", 100, "1"), ("Alder", 7, "1"), (None, 20, "2"), (None, 3, "2")]
    assert [count for *_, count in told(folder, "carried-down")] == [2]
    with pytest.raises(SettingsError, match=r"carried: 'Nr' is not in the header; there are client, Date"):
        check(mapped(tmp_path / "other", text, heading=[], carried=["Nr"]))
