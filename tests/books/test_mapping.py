"""A mapping without SQL: several files, title rows, joined headers, conditions, constants, expressions and sums of columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import values
from test_intake import check as everything
from test_intake import places

from crmlib.books.reader import read_ledger
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import SettingsError

Make = Callable[..., Path]
D = Decimal


UNREAD = (
    "files-unread",
    "file-misnamed",
    "file-alike",
    "columns-unread",
    "column-misnamed",
    "column-telling",
)  # of which test_forms speaks


def check(folder: Path) -> pd.DataFrame:
    """What is found, but for what is said of files and columns that are not read."""
    return everything(folder).query("code not in @UNREAD")


def lines_of(folder: Path, *columns: str) -> list[Any]:
    """Columns of invoice_lines in the order of file and row; nothing may be refused."""
    ledger = read_ledger(open_engagement(folder), folder / "work")
    assert [d for d in ledger.defects if d.verdict != "accept" and d.code not in UNREAD] == []
    return values(ledger, "invoice_lines", *columns)


def told(folder: Path, code: str) -> list[tuple[Any, ...]]:
    found = check(folder).query("code == @code")
    return [(f.file, f.row, f.column, f.value, f.count, f.amount) for f in found.itertuples()]


# --- several files -------------------------------------------------------------------------------------------------

MONTHS = {
    "sales_01": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 1",
    "sales_02": "customer_id, invoice_date, gross_sales\nA, 2024-02-10, 2",
    "other": "customer_id, invoice_date, gross_sales\nA, 2024-02-10, 9",
}


@pytest.mark.parametrize(
    "source",
    ["sales_*", "sales_*.csv", "sales_0?", ["sales_01", "sales_02"], ["sales_01.csv", "sales_*"], "sales_0[12].csv"],
)
def test_several_files_are_one_table(make_engagement: Make, source: Any) -> None:
    assert lines_of(make_engagement(MONTHS, tables={"invoice_lines": {"source": source}}), "gross_sales") == [1, 2]


@pytest.mark.parametrize(("way_out", "told"), [({}, ["other.csv"]), ({"unread": ["other"]}, [])])
def test_a_file_with_the_columns_of_those_that_are_read_is_pointed_out(
    make_engagement: Make, way_out: dict[str, Any], told: list[str]
) -> None:
    found = everything(make_engagement(MONTHS, tables={"invoice_lines": {"source": "sales_*"}}, **way_out))
    assert [f.file for f in found.itertuples() if (f.verdict, f.code) == ("warn", "file-alike")] == told


def test_each_row_of_several_files_keeps_its_place(make_engagement: Make) -> None:
    above = {name: f"Sales of the month,,\n{text}\nA, 2024-03-10, 3" for name, text in MONTHS.items()}
    mapping = {"invoice_lines": {"source": "sales_*", "header_row": 2, "where": "number(gross_sales) <> 1"}}
    rows = lines_of(make_engagement(above, tables=mapping), "_file", "_row", "gross_sales")
    assert rows == [("sales_01.csv", 4, 3), ("sales_02.csv", 3, 2), ("sales_02.csv", 4, 3)]


def test_files_may_have_their_columns_in_another_order_but_not_others(make_engagement: Make) -> None:
    mapping = {"tables": {"invoice_lines": {"source": "sales_*"}}}
    turned = {**MONTHS, "sales_02": "gross_sales, customer_id, invoice_date\n2, A, 2024-02-10"}
    assert lines_of(make_engagement(turned, **mapping), "gross_sales") == [1, 2]
    other = {**MONTHS, "sales_02": "sales, customer_id, invoice_date\n2, A, 2024-02-10"}
    assert "reject headers-differ" in places(check(make_engagement(other, **mapping)))


def test_a_column_of_the_ledger_keeps_its_type_under_any_name(make_engagement: Make) -> None:
    customers = {"customers": "no, name, terms\nA, Adler, 30"}
    columns = {"customer_id": "no", "customer_name": "name", "payment_terms_days": "terms"}
    folder = make_engagement(customers, tables={"customers": {"columns": columns}})
    assert values(read_ledger(open_engagement(folder), folder / "work"), "customers", "payment_terms_days") == [30]


@pytest.mark.parametrize("source", ["sale_*", ["sales_01", "sale_02"]])
def test_a_pattern_or_name_that_finds_nothing_is_refused(make_engagement: Make, source: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"tables\.invoice_lines\.source: 'sale_.*' is not in the source; there are"
    ):
        check(make_engagement(MONTHS, tables={"invoice_lines": {"source": source}}))


def test_a_query_stands_alone(make_engagement: Make) -> None:
    with pytest.raises(SettingsError, match=r"a \.sql file stands alone"):
        open_engagement(make_engagement(tables={"invoice_lines": {"source": ["a.sql", "b"]}}))


# --- rows above the header -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("note", ["Sales report 2024", '"Sales ""net"",\nof all"'])
def test_rows_above_the_header_are_skipped_on_purpose_and_told(make_engagement: Make, note: str) -> None:
    folder = make_engagement(tables={"invoice_lines": {"header_row": 3}})
    file = folder / "ledger/invoice_lines.csv"
    file.write_text(f"{note}\n\n{file.read_text()}A,2024-01-10\n")
    assert places(check(folder)) == {
        "accept rows-skipped invoice_lines.csv 1",
        "reject row-too-short invoice_lines.csv 6",
    }


def test_the_first_of_two_header_rows_of_a_sheet_is_skipped(make_engagement: Make) -> None:
    import openpyxl

    folder = make_engagement(source="books.xlsx", tables={"invoice_lines": {"header_row": 2}})
    book = openpyxl.Workbook()
    book.active.title = "customers"
    for row in (["customer_id", "customer_name"], ["A", "Adler"]):
        book.active.append(row)
    sheet = book.create_sheet("invoice_lines")
    for row in (["Sales", None, None], ["customer_id", "invoice_date", "gross_sales"], ["A", "2024-01-10", 5]):
        sheet.append(row)
    sheet.merge_cells("A1:C1")
    book.save(folder / "books.xlsx")
    assert lines_of(folder, "gross_sales", "_row") == [(5, 3)]


@pytest.mark.parametrize("kind", [".csv", ".xlsx"])
def test_two_rows_may_name_the_columns_together(make_engagement: Make, kind: str) -> None:
    import openpyxl

    columns = {"customer_id": "Customer", "invoice_date": "Invoice Day", "gross_sales": "Invoice Sales"}
    spec = {"source": f"sales{':Sheet' * (kind == '.xlsx')}", "header_row": 3, "header_rows": 2, "columns": columns}
    folder = make_engagement(tables={"invoice_lines": spec})
    rows = [["2024", "", ""], ["Customer", "Invoice", ""], ["", "Day", "Sales"], ["A", "2024-01-10", "5"]]
    if kind == ".csv":
        (folder / "ledger/sales.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    else:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([cell or None for cell in row])
        for cells in ("A2:A3", "B2:C2"):
            book.active.merge_cells(cells)
        book.save(folder / "ledger/sales.xlsx")
    assert lines_of(folder, "gross_sales", "_row") == [(5, 4)]
    assert "accept rows-skipped" in " ".join(places(check(folder)))


def test_rows_of_a_header_that_are_not_there_are_refused(make_engagement: Make) -> None:
    with pytest.raises(SettingsError, match=r"header_rows: 2 rows do not fit above row 1"):
        open_engagement(make_engagement(tables={"invoice_lines": {"header_rows": 2}}))


def test_a_header_row_of_what_has_none_is_refused(make_engagement: Make) -> None:
    import duckdb

    folder = make_engagement(tables={"invoice_lines": {"header_row": 2}})
    file = folder / "ledger/invoice_lines.csv"
    duckdb.sql(f"COPY (FROM read_csv('{file}')) TO '{file.with_suffix('.parquet')}'")
    file.unlink()
    with pytest.raises(SettingsError, match=r"invoice_lines\.header_row: only CSV files and sheets"):
        check(folder)


def test_workbooks_of_a_folder_are_files_like_others(make_engagement: Make) -> None:
    import openpyxl

    folder = make_engagement(tables={"invoice_lines": {"source": "sales_*.xlsx"}})
    for month in (1, 2):
        book = openpyxl.Workbook()
        for row in (["customer_id", "invoice_date", "gross_sales"], ["A", date(2024, month, 10), month]):
            book.active.append(row)
        book.save(folder / f"ledger/sales_0{month}.xlsx")
    assert lines_of(folder, "gross_sales", "_file", "_row") == [
        (1, "sales_01.xlsx:Sheet", 2),
        (2, "sales_02.xlsx:Sheet", 2),
    ]


# --- conditions ----------------------------------------------------------------------------------------------------

STATES = """customer_id, invoice_date, gross_sales, state, day
A, 2024-01-10, 100, posted, 2024-01-01
A, 2024-01-11, 20, draft, 2024-01-02
B, 2024-01-12, 0.4, posted, 2024-02-01
B, 2024-01-13, 3, , 2024-03-01"""

CONDITIONS = {
    "state = 'posted'": [100, D("0.4")],
    "state <> 'draft' and state <> ''": [100, D("0.4")],
    "gross_sales > 1": [100, 20, 3],
    "gross_sales * 2 between 1 and 50": [20, 3],
    "number(gross_sales) in (3, 20)": [20, 3],
    "day(day) >= '2024-02-01' or state like 'dr%'": [20, D("0.4"), 3],
    "not (state in ('draft', 'void'))": [100, D("0.4"), 3],
}


@pytest.mark.parametrize(("where", "left"), CONDITIONS.items(), ids=CONDITIONS)
def test_rows_that_do_not_meet_the_condition_are_left_out(make_engagement: Make, where: str, left: list[Any]) -> None:
    folder = make_engagement({"invoice_lines": STATES}, tables={"invoice_lines": {"where": where}})
    assert lines_of(folder, "gross_sales") == left


def test_what_is_left_out_is_counted_with_its_amount_and_its_defects_do_not_matter(make_engagement: Make) -> None:
    lines = STATES.replace("2024-01-11, 20", "2024-01-32, 20").replace("3, ,", "x, draft,")
    folder = make_engagement({"invoice_lines": lines}, tables={"invoice_lines": {"where": "state = 'posted'"}})
    assert lines_of(folder, "gross_sales") == [100, D("0.4")]
    assert told(folder, "left-out") == [("invoice_lines.csv", 3, "where", "state = 'posted'", 2, 20)]


def test_what_a_condition_cannot_read_is_refused_at_its_row(make_engagement: Make) -> None:
    lines = STATES.replace("0.4", "0;4")
    folder = make_engagement({"invoice_lines": lines}, tables={"invoice_lines": {"where": "gross_sales > 1"}})
    assert "reject number-format invoice_lines.csv 4 where" in places(check(folder))


NO_CONDITIONS = {
    "state = 'posted": "is no condition on one row",
    "state = 'posted'; drop table x": "is no condition on one row",
    "1) from (select 1": "is no condition on one row",
    "gross_sales in (select 1)": "is no condition on one row",
    "sum(gross_sales) > 1": "is no condition on one row",
    "day > '2024-01-05'": r"write number\(day\) or day\(day\)",
    "state + 1": "",
    "nothing(state) = 1": "nothing",
    "state": "is text, not true or false",
    "unnest([true, true])": "is no condition on one row",
    "number(gross_sales, 0) > 1": "each take one value",
    "number() > 1": "each take one value",
    f"{'(' * 400}state{')' * 400} = 'posted'": "is no condition on one row",
}


@pytest.mark.parametrize(("where", "message"), NO_CONDITIONS.items(), ids=NO_CONDITIONS)
def test_what_is_no_condition_is_refused_with_its_key(make_engagement: Make, where: str, message: str) -> None:
    folder = make_engagement({"invoice_lines": STATES}, tables={"invoice_lines": {"where": where}})
    with pytest.raises(SettingsError, match=rf"tables\.invoice_lines\.where: .*{message}"):
        check(folder)


def test_a_condition_on_a_column_that_is_not_there_names_the_nearest(make_engagement: Make) -> None:
    folder = make_engagement({"invoice_lines": STATES}, tables={"invoice_lines": {"where": "status = 'posted'"}})
    findings = check(folder)
    assert places(findings) == {"reject column-missing invoice_lines.csv 1 status"}
    assert "'state' is near" in findings["message"].iloc[0]


# --- computed columns ----------------------------------------------------------------------------------------------

WORK = """customer_id, invoice_date, quantity, unit price, pct, sh, material, labour
A, 2024-01-10, 3, 0.3333, 10, H, 1.10, 2
B, 2024-01-11, 2, 5.00, 0, S, 0.40, 0"""

EXPRESSIONS = {
    'quantity * "unit price"': [D("0.9999"), 10],
    'quantity * "unit price" * (1 - pct / 100)': [D("0.8999"), 10],
    'case sh when \'S\' then -"unit price" else "unit price" end': [D("0.3333"), -5],
    "case when quantity > 2 then material else labour end": [D("1.1"), 0],
    "material / quantity": [D("0.3667"), D("0.2")],
    "round(number(material), 1) + coalesce(labour, 0)": [D("3.1"), D("0.4")],
    "case sh when 'S' then '-' else '' end || material": [D("1.1"), D("-0.4")],
}


@pytest.mark.parametrize(("expression", "amounts"), EXPRESSIONS.items(), ids=EXPRESSIONS)
def test_a_column_is_computed_in_decimals(make_engagement: Make, expression: str, amounts: list[Any]) -> None:
    columns = {"gross_sales": expression, "quantity": {"value": 1}}
    folder = make_engagement({"invoice_lines": WORK}, tables={"invoice_lines": {"columns": columns}})
    assert lines_of(folder, "gross_sales", "quantity") == [(amount, 1) for amount in amounts]


TYPED = {  # on DECIMAL, INTEGER, DOUBLE and DATE columns
    "quantity * price": [D("0.9999"), 10],
    "price * price * price * 1000": [D("37.0259"), 125000],
    "case when posted then price else 0 end": [D("0.3333"), 0],
    "weight": [D("1.5"), 2],
    "weight * quantity": [D("4.5"), 4],
    "case when day > '2024-01-10' then 1 else 2 end": [2, 1],
}


@pytest.mark.parametrize(("expression", "amounts"), TYPED.items(), ids=TYPED)
def test_typed_columns_are_computed_in_decimals_too(make_engagement: Make, expression: str, amounts: list[Any]) -> None:
    import duckdb

    columns = {"gross_sales": {"column": expression, "cast": True}, "invoice_date": "day", "quantity": "1 * quantity"}
    folder = make_engagement(tables={"invoice_lines": {"columns": columns}})
    (folder / "ledger/invoice_lines.csv").unlink()
    rows = """VALUES ('A', DATE '2024-01-10', 3, 0.3333::DECIMAL(9, 4), 1.5::DOUBLE, true), ('B', DATE '2024-01-11', 2, 5.0, 2.0, false)"""
    names = "customer_id, day, quantity, price, weight, posted"
    duckdb.sql(f"COPY (SELECT * FROM ({rows}) t({names})) TO '{folder}/ledger/invoice_lines.parquet'")
    assert lines_of(folder, "gross_sales") == amounts


def test_floating_numbers_in_an_expression_are_refused_without_cast(make_engagement: Make) -> None:
    import duckdb

    folder = make_engagement(tables={"invoice_lines": {"columns": {"gross_sales": "2 * gross_sales"}}})
    (folder / "ledger/invoice_lines.csv").unlink()
    row = "SELECT 'A' AS customer_id, DATE '2024-01-10' AS invoice_date, 5::DOUBLE AS gross_sales"
    duckdb.sql(f"COPY ({row}) TO '{folder}/ledger/invoice_lines.parquet'")
    assert "reject type-floating invoice_lines.parquet 2 gross_sales" in places(check(folder))


def test_computed_amounts_that_are_rounded_are_counted(make_engagement: Make) -> None:
    folder = make_engagement(
        {"invoice_lines": WORK}, tables={"invoice_lines": {"columns": {"gross_sales": "quantity * pct / 3"}}}
    )
    assert lines_of(folder, "gross_sales") == [10, 0]
    folder = make_engagement({"invoice_lines": WORK}, tables={"invoice_lines": {"columns": {"gross_sales": "pct / 3"}}})
    assert told(folder, "rounded") == [("invoice_lines.csv", 2, "gross_sales", "10", 1, D("3.3333"))]


def test_columns_are_summed_and_a_constant_stands_in_every_row(make_engagement: Make) -> None:
    columns = {
        "gross_sales": ["material", "labour"],
        "currency": {"value": "USD"},
        "order_date": {"value": "2024-01-09"},
    }
    settings = {"formats": {"dates": ["%d/%m/%Y"]}, "tables": {"invoice_lines": {"columns": columns}}}
    lines = WORK.replace("2024-01-10", "10/01/2024").replace("2024-01-11", "11/01/2024")
    folder = make_engagement({"invoice_lines": lines}, **settings)
    assert lines_of(folder, "gross_sales", "currency") == [(D("3.1"), "USD"), (D("0.4"), "USD")]


@pytest.mark.parametrize(
    ("blank", "read"), [({}, "reject blank invoice_lines.csv 3 gross_sales"), ({"blank": "zero"}, "")]
)
def test_a_blank_in_a_sum_is_refused_or_nought(make_engagement: Make, blank: dict[str, str], read: str) -> None:
    lines = WORK.replace("0.40, 0", "0.40,")
    columns = {"gross_sales": {"column": ["material", "labour"], **blank}}
    folder = make_engagement({"invoice_lines": lines}, tables={"invoice_lines": {"columns": columns}})
    assert not read or read in places(check(folder))
    assert read or lines_of(folder, "gross_sales") == [D("3.1"), D("0.4")]
    assert read or told(folder, "blank-zero") == [("invoice_lines.csv", 3, "gross_sales", "0.40 | ", 1, D("0.4"))]


@pytest.mark.parametrize(
    ("row", "code"), [(", x", "number-format"), (", 123456789012345", "number-too-long"), ("x,", "number-format")]
)
def test_a_blank_that_is_nought_hides_nothing_beside_it(make_engagement: Make, row: str, code: str) -> None:
    lines = WORK.replace("0.40, 0", row)
    columns = {"gross_sales": {"column": ["material", "labour"], "blank": "zero"}}
    folder = make_engagement({"invoice_lines": lines}, tables={"invoice_lines": {"columns": columns}})
    assert f"reject {code} invoice_lines.csv 3 gross_sales" in places(check(folder))


def test_what_an_expression_cannot_read_is_refused_at_its_row(make_engagement: Make) -> None:
    lines = WORK.replace("0.40", "0;40")
    columns = {"gross_sales": "coalesce(material, 0) + labour"}
    folder = make_engagement({"invoice_lines": lines}, tables={"invoice_lines": {"columns": columns}})
    assert "reject number-format invoice_lines.csv 3 gross_sales" in places(check(folder))


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("unit-price", "unit-price"),
        ("Unit Price", "Unit Price"),
        ("quantity * price", "price"),
        ("quantity *", "quantity *"),
    ],
)
def test_an_exact_name_comes_first_and_a_name_that_is_not_there_is_told(
    make_engagement: Make, expression: str, missing: str
) -> None:
    columns = {"gross_sales": expression}
    folder = make_engagement({"invoice_lines": WORK}, tables={"invoice_lines": {"columns": columns}})
    assert places(check(folder)) == {f"reject column-missing invoice_lines.csv 1 {missing}"}
    named = WORK.replace("material", "quantity*pct")
    folder = make_engagement(
        {"invoice_lines": named}, tables={"invoice_lines": {"columns": {"gross_sales": "quantity*pct"}}}
    )
    assert lines_of(folder, "gross_sales") == [D("1.1"), D("0.4")]


# --- joins ---------------------------------------------------------------------------------------------------------

HEADERS = "id, partner, day, state\n1, A, 2024-01-10, posted\n2, B, 2024-02-10, draft"
LINES = "id, invoice_id, amount\n10, 1, 5\n11, 1, 6\n12, 2, 7"
JOINED = {
    "source": "lines", "join": {"headers": {"invoice_id": "id"}},
    "columns": {"customer_id": "partner", "invoice_date": "headers.day", "gross_sales": "amount", "order_id": "headers.id", "line_no": "id"},
}  # fmt: skip


def test_lines_find_their_header_by_its_key(make_engagement: Make) -> None:
    mapping = {"invoice_lines": {**JOINED, "where": "headers.state = 'posted' or state = 'x'"}}
    folder = make_engagement({"headers": HEADERS, "lines": LINES, "invoice_lines": LINES}, tables=mapping)
    got = lines_of(folder, "customer_id", "order_id", "line_no", "gross_sales", "_file", "_row")
    assert got == [("A", "1", "10", 5, "lines.csv", 2), ("A", "1", "11", 6, "lines.csv", 3)]
    assert told(folder, "left-out") == [("lines.csv", 4, "where", "headers.state = 'posted' or state = 'x'", 1, 7)]


def test_a_header_joins_further_by_the_columns_that_it_brought(make_engagement: Make) -> None:
    join = {"headers.csv": {"invoice_id": "id"}, "partners": {"partner": "nr"}}
    mapping = {
        "invoice_lines": {**JOINED, "join": join, "columns": {**JOINED["columns"], "customer_id": "partners.code"}}
    }
    partners = "nr, code\nA, B\nB, A"
    folder = make_engagement({"headers": HEADERS, "lines": LINES, "partners": partners}, tables=mapping)
    assert lines_of(folder, "customer_id") == ["B", "B", "A"]


BROKEN_JOINS = {
    "no header": (HEADERS.replace("\n2,", "\n3,"), {"warn join-unmatched lines.csv 4 invoice_id", "reject blank lines.csv 4 invoice_date"}),
    "a blank key on both sides": (HEADERS.replace("\n2,", "\n,"), {"warn join-unmatched lines.csv 4 invoice_id"}),
    "two headers": (HEADERS + "\n1, B, 2024-02-10, draft", {"reject join-twice headers.csv 4 id"}),
    "two headers that no line has": (HEADERS + "\n9, B, 2024-02-10, draft\n9, B, 2024-02-10, draft", set()),
    "no key": (HEADERS.replace("id,", "nr,"), {"reject column-missing headers.csv 1 id"}),
    "a row too short": (HEADERS + "\n3, B", {"reject row-too-short headers.csv 4"}),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "expected"), BROKEN_JOINS.values(), ids=BROKEN_JOINS)
def test_each_line_finds_one_header_or_it_is_told(make_engagement: Make, headers: str, expected: set[str]) -> None:
    lines = LINES.replace("12, 2", "12,") if "\n," in headers else LINES
    folder = make_engagement(
        {"headers": headers, "lines": lines}, tables={"invoice_lines": JOINED}, thresholds={"unassigned_share": 1}
    )
    found = places(check(folder))
    assert {p for p in found if not p.startswith("accept")} >= expected
    assert expected or not found


def test_a_join_to_what_is_not_in_the_source_is_refused(make_engagement: Make) -> None:
    mapping = {"invoice_lines": {**JOINED, "join": {"header": {"invoice_id": "id"}}}}
    folder = make_engagement({"headers": HEADERS, "lines": LINES}, tables=mapping)
    with pytest.raises(SettingsError, match=r"lines\.join: 'header' is not in the source.*did you mean"):
        check(folder)


# --- the way out leads out -----------------------------------------------------------------------------------------

FLAT = "customer_id,invoice_date,gross_sales\nA,{day},{amount}\n"
WAYS_OUT = {  # the file, the code that it gets, what its way out says, and the mapping by which it is then accepted
    "titles": ("Sales\n\n" + FLAT.format(day="2024-01-10", amount="1"), "row-too-long", "header_row", {"header_row": 3}),
    "a decimal comma": (FLAT.format(day="2024-01-10", amount='"1,5"'), "number-format", "formats", {"formats": {"decimal": ","}}),
    "another date": (FLAT.format(day="10.1.24", amount="1"), "date-format", "formats.dates", {"formats": {"dates": ["%d.%m.%y"]}}),
    "a delimiter": (FLAT.format(day="2024-01-10", amount="1").replace(",", ";"), "column-missing", "formats.delimiter", {"formats": {"delimiter": ";"}}),
    "decimals": (FLAT.format(day="2024-01-10", amount="1.23456"), "number-too-long", "cast: true", {"columns": {"gross_sales": {"cast": True}}}),
    "a blank": (FLAT.format(day="2024-01-10", amount=""), "blank", "blank: zero", {"columns": {"gross_sales": {"blank": "zero"}}}),
    "another name": (FLAT.replace("gross_sales", "AMT").format(day="2024-01-10", amount="1"), "column-missing", "tables.invoice_lines.columns",
                     {"columns": {"gross_sales": "AMT"}}),
    "a name with a space": (FLAT.replace("gross_sales", "Gross Sales").format(day="2024-01-10", amount="1"), "column-missing", "tables.invoice_lines.columns",
                            {"columns": {"gross_sales": "Gross Sales"}}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code", "way_out", "mapping"), WAYS_OUT.values(), ids=WAYS_OUT)
def test_the_way_out_of_a_message_leads_out(
    make_engagement: Make, text: str, code: str, way_out: str, mapping: dict[str, Any]
) -> None:
    for given in ({}, {"tables": {"invoice_lines": mapping}}):
        folder = make_engagement(**given)
        (folder / "ledger/invoice_lines.csv").write_text(text)
        rejected = check(folder).query("verdict == 'reject'")
        assert bool(given) or way_out in " ".join(rejected[rejected["code"] == code]["way_out"])
        assert bool(given) == rejected.empty
