"""Files are read as they are written: every row is read or told, with its row as a spreadsheet counts."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import resource
import shutil
import struct
import sys
import zipfile
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import costly, values
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from test_intake import GOOD, SETTINGS, as_parquet, check, make_engagement, places

from crmlib.books import workbooks
from crmlib.books.findings import BROKEN_ROWS, shortened
from crmlib.books.ledger import Ledger
from crmlib.books.raw import source_files
from crmlib.books.reader import read_ledger
from crmlib.books.workbooks import as_declared
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import CrmError, SettingsError
from crmlib.declared.settings import Formats

SMALL = ("customers", "credits", "invoice_lines")


def ledger_of(folder: Path) -> Ledger:
    return read_ledger(open_engagement(folder), folder / "work")


def csv_engagement(folder: Path, settings: dict[str, Any] | None = None) -> Path:
    """A small good ledger of CSV files."""
    make_engagement(folder, settings)
    for name in SMALL:
        (folder / "ledger" / f"{name}.csv").write_text(GOOD[f"{name}.csv"], encoding="utf-8")
    return folder


# --- encodings and formats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_understood(encoding: str, tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    (folder / "ledger/customers.csv").write_text(GOOD["customers.csv"].replace("Alder", "Ålder"), encoding=encoding)
    ledger = ledger_of(folder)
    assert not ledger.defects
    assert "Ålder & Co" in set(values(ledger, "customers", "customer_name"))


def test_a_declared_encoding_is_read_and_an_undeclared_one_told_with_its_row(tmp_path: Path) -> None:
    text = GOOD["customers.csv"].replace("Birch", "Bürch").encode("cp1252")
    declared = csv_engagement(tmp_path / "a", {"tables": {"customers": {"formats": {"encoding": "cp1252"}}}})
    (declared / "ledger/customers.csv").write_bytes(text)
    assert not ledger_of(declared).defects
    undeclared = csv_engagement(tmp_path / "b")
    (undeclared / "ledger/customers.csv").write_bytes(text)
    assert "reject undecodable customers.csv 3" in places(check(undeclared))


def test_all_defects_of_several_files_come_out_in_one_run(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    for name, old, new in (
        ("credits", "10.00", "ten"),
        ("invoice_lines", "2024-01-20", "20.1.24"),
        ("customers", "C3,", "C3,,"),
    ):
        file = folder / "ledger" / f"{name}.csv"
        file.write_text(file.read_text().replace(old, new))
    assert {"reject number-format credits.csv 2 amount", "reject date-format invoice_lines.csv 4 invoice_date",
            "reject row-too-long customers.csv 4"} <= places(check(folder))  # fmt: skip


def test_beyond_a_hundred_defects_are_counted_in_the_hundredth(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    rows = "".join(f"C1,2024-01-01,return,x{i}\n" for i in range(250))
    (folder / "ledger/credits.csv").write_text("customer_id,date,kind,amount\n" + rows)
    found = check(folder).query("code == 'number-format'")
    assert (len(found), found["count"].sum()) == (100, 250)


def test_values_are_shown_with_visible_escapes_and_a_mark_where_cut() -> None:
    assert shortened("a\x07b\u202ec") == "a\\u0007b\\u202ec"
    assert len(shortened("x" * 100)) == 60


# --- every row is read or told ---------------------------------------------------------------------------------------

CELLS = st.text(alphabet=',"\n\r;x1é 0-\0', max_size=6)


@costly(20)
@given(body=st.one_of(st.lists(CELLS, max_size=12).map("\n".join).map(str.encode), st.binary(max_size=60)))
def test_no_row_is_lost_in_silence(body: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = csv_engagement(tmp_path_factory.mktemp("fuzz") / "e")
    (folder / "ledger/products.csv").write_bytes(b"product_id,product_name\n" + body)
    try:
        ledger = ledger_of(folder)
    except CrmError:
        return
    told = sum(f.count for f in ledger.defects if f.table == "products" and f.code in BROKEN_ROWS)
    if any(f.table == "products" and f.code in {"quote-open", "undecodable", "header-only"} for f in ledger.defects):
        return
    records = [
        r for r in csv.reader(io.StringIO(body.decode(errors="replace"), newline="")) if any(v.strip() for v in r)
    ]
    read = len(values(ledger, "products", "product_id")) if ledger.has("products") else 0
    assert read + told == len(records)


# --- Parquet and databases -------------------------------------------------------------------------------------------


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    (folder / "ledger/products.parquet").write_bytes(b"product_id,product_name\nP1,Soap\n")
    findings = check(folder)
    assert "reject not-parquet products.parquet" in places(findings)
    assert str(tmp_path) not in findings.to_string()


def test_a_parquet_file_that_is_damaged_within_is_told(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    (folder / "ledger/credits.csv").unlink()
    file = folder / "ledger/credits.parquet"
    pq.write_table(as_parquet(GOOD["credits.csv"], "credits"), file, compression="none")
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(200) + content[204:])
    findings = check(folder)
    assert {p.split()[1] for p in places(findings) if p.startswith("reject")} <= {"not-parquet", "table-unreadable"}
    assert "reject" in set(findings["verdict"])
    assert str(tmp_path) not in findings.to_string()


def in_folders(folder: Path) -> Path:
    """Credits in folders by kind and day, as Spark and others write them."""
    csv_engagement(folder)
    (folder / "ledger/credits.csv").unlink()
    rows = "SELECT 'C1' AS customer_id, 10::DECIMAL(18, 4) AS amount, 'return' AS kind, DATE '2024-02-01' AS date UNION ALL SELECT 'C2', 4, 'rebate', '2024-02-15'"
    duckdb.execute(f"COPY ({rows}) TO '{folder}/ledger/credits' (FORMAT parquet, PARTITION_BY (kind, date))")
    (folder / "ledger/credits/_SUCCESS").touch()
    return folder


def test_a_folder_of_parquet_files_is_a_table_whose_folders_are_columns(tmp_path: Path) -> None:
    folder = in_folders(tmp_path / "e")
    ledger = ledger_of(folder)
    assert "credits/kind=rebate/date=2024-02-15/data_0.parquet" in source_files(
        ledger.engagement
    )  # of which hashes are taken
    assert not [d for d in ledger.defects if d.verdict == "reject"]
    found = values(ledger, "credits", "_file", "_row", "kind", "date", "amount")
    assert found == [
        ("credits/kind=rebate/date=2024-02-15/data_0.parquet", 2, "rebate", date(2024, 2, 15), Decimal(4)),
        ("credits/kind=return/date=2024-02-01/data_0.parquet", 2, "return", date(2024, 2, 1), Decimal(10)),
    ]


def test_files_of_a_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    folder = in_folders(tmp_path / "e")
    duckdb.execute(f"COPY (SELECT 'C1' AS customer_id, 1 AS other) TO '{folder}/ledger/credits/more.parquet'")
    assert "reject headers-differ credits" in places(check(folder))


def test_keys_that_folders_name_are_text_as_they_are_written(tmp_path: Path) -> None:
    folder = in_folders(tmp_path / "e")
    shutil.rmtree(folder / "ledger/credits")
    rows = "SELECT * FROM (VALUES ('007'), ('a b/c+%'), (NULL)) keys(customer_id), (SELECT DATE '2024-02-01' AS date, 'rebate' AS kind, 1::DECIMAL(18, 4) AS amount)"
    duckdb.execute(f"COPY ({rows}) TO '{folder}/ledger/credits' (FORMAT parquet, PARTITION_BY (customer_id))")
    assert {*values(ledger_of(folder), "credits", "customer_id")} == {"007", "a b/c+%", None}


BAD_TYPES = {
    "floating money": ("amount", pa.array([10.5, 4.0]), "type-floating"),
    "money as text": ("amount", pa.array(["10,5", "4"]), "number-format"),
    "money as truth": ("amount", pa.array([True, False]), "type-not-number"),
    "too many decimals": (
        "amount",
        pa.array([Decimal("10.000001"), Decimal(4)], pa.decimal128(20, 6)),
        "number-too-long",
    ),
    "a date with time": ("date", pa.array([datetime(2024, 2, 1, 8), datetime(2024, 2, 1)]), "date-with-time"),
    "a date with zone": ("date", pa.array([datetime(2024, 2, 1)] * 2, pa.timestamp("us", "UTC")), "date-with-zone"),
    "a date that no calendar has": ("date", pa.array([2**31 - 2, 1], pa.int32()).cast(pa.date32()), "date-impossible"),
    "a date as number": ("date", pa.array([45323, 45324]), "type-not-date"),
    "a key as number": ("customer_id", pa.array([1, 2]), "type-not-text"),
}


@pytest.mark.parametrize(("column", "values", "code"), BAD_TYPES.values(), ids=BAD_TYPES.keys())
def test_types_of_parquet_are_checked(column: str, values: pa.Array, code: str, tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    (folder / "ledger/credits.csv").unlink()
    table = as_parquet(GOOD["credits.csv"], "credits")
    table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, folder / "ledger/credits.parquet")
    assert f"reject {code} credits.parquet 2 {column}" in places(check(folder))


def test_floating_money_is_rounded_where_the_mapping_casts_it(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e", {"tables": {"credits": {"columns": {"amount": {"cast": True}}}}})
    (folder / "ledger/credits.csv").unlink()
    table = as_parquet(GOOD["credits.csv"], "credits")
    pq.write_table(table.set_column(3, "amount", pa.array([0.1 + 0.2, 4.0])), folder / "ledger/credits.parquet")
    assert values(ledger_of(folder), "credits", "amount") == [Decimal("0.3000"), Decimal("4.0000")]


CASTS = {  # the values, what is read, and what is told: code, row, how many, amount
    "amount": (
        pa.array([0.1 + 0.2, 4.00005]),
        [Decimal("0.3"), Decimal("4.0001")],
        [("cast", 2, 2, Decimal("4.3001"))],
    ),
    "date": (
        pa.array([datetime(2024, 2, 1, 8), datetime(2024, 2, 2)]),
        [date(2024, 2, 1), date(2024, 2, 2)],
        [("time-cut", 2, 1, None)],
    ),
    "customer_id": (pa.array([1.0, 2.0]), ["1", "2"], []),
    "order_id": (pa.array([10, 11]), ["10", "11"], []),
}
COUNTED = {
    "serial": pa.array([45323.0, 45337.75]), "serial-1904": pa.array([43861, 43875]), "%Y%m%d": pa.array([20240201, 20240215], pa.int32()),
    "unix": pa.array([1706745600, 1708041599]), "unix-ms": pa.array([1706745600000, 1708041599999]),
}  # fmt: skip


@pytest.mark.parametrize("column", CASTS)
def test_what_the_mapping_casts_is_read_and_counted(column: str, tmp_path: Path) -> None:
    typed, read, expected = CASTS[column]
    folder = csv_engagement(tmp_path / "e", {"tables": {"credits": {"columns": {column: {"cast": True}}}}})
    (folder / "ledger/credits.csv").unlink()
    table = as_parquet(GOOD["credits.csv"], "credits")
    table = table.set_column(table.column_names.index(column), column, typed)
    pq.write_table(table, folder / "ledger/credits.parquet")
    ledger = ledger_of(folder)
    assert values(ledger, "credits", column) == read
    assert [(f.code, f.row, f.count, f.amount) for f in ledger.defects] == expected


@pytest.mark.parametrize("form", COUNTED)
def test_days_that_are_numbers_are_read_as_declared_and_never_without(form: str, tmp_path: Path) -> None:
    for n, settings in enumerate(({}, {"formats": {"dates": [form]}})):
        folder = csv_engagement(tmp_path / str(n), {"tables": {"credits": settings}})
        (folder / "ledger/credits.csv").unlink()
        table = as_parquet(GOOD["credits.csv"], "credits").set_column(1, "date", COUNTED[form])
        pq.write_table(table, folder / "ledger/credits.parquet")
        if settings:
            assert values(ledger_of(folder), "credits", "date") == [date(2024, 2, 1), date(2024, 2, 15)]
        else:
            assert "reject type-not-date credits.parquet 2 date" in places(check(folder))


@pytest.mark.parametrize("values", [[1.5, 2.0], [float("nan"), 2.0], [1e300, 2.0]])
def test_a_floating_key_that_is_not_whole_is_refused(values: list[float], tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e", {"tables": {"credits": {"columns": {"customer_id": {"cast": True}}}}})
    (folder / "ledger/credits.csv").unlink()
    table = as_parquet(GOOD["credits.csv"], "credits").set_column(0, "customer_id", pa.array(values))
    pq.write_table(table, folder / "ledger/credits.parquet")
    assert "reject key-not-whole credits.parquet 2 customer_id" in places(check(folder))


def test_a_duckdb_file_and_a_sql_mapping(tmp_path: Path) -> None:
    sql = {"credits": {"source": "credits.sql"}}
    folder = make_engagement(tmp_path / "e", {"source": "client.duckdb", "tables": sql})
    with duckdb.connect(str(folder / "client.duckdb")) as con:
        for name in SMALL:
            con.register("arrow", as_parquet(GOOD[f"{name}.csv"], name))
            con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM arrow')
            con.unregister("arrow")
    (folder / "credits.sql").write_text("SELECT customer_id, date, kind, amount * 2 AS amount FROM credits;\n")
    ledger = ledger_of(folder)
    assert not [f for f in check(folder).itertuples() if f.verdict == "reject"]
    assert sum(values(ledger, "credits", "amount")) == 28


def test_a_mapping_to_what_is_not_there_is_refused_though_it_has_the_tables_own_name(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e", {"tables": {"credits": {"source": "credits"}}})
    (folder / "ledger/credits.csv").unlink()
    with pytest.raises(SettingsError, match="'credits' is not in the source"):
        ledger_of(folder)


def test_a_source_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e", {"tables": {"credits": {"source": "credit"}}})
    with pytest.raises(SettingsError, match="did you mean 'credits'"):
        ledger_of(folder)


# --- Excel -----------------------------------------------------------------------------------------------------------


def workbook(folder: Path, edit: Any = None) -> Path:
    """An engagement whose source is a workbook with native numbers and dates."""
    make_engagement(folder, {"source": "books.xlsx"})
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in SMALL:
        table, sheet = as_parquet(GOOD[f"{name}.csv"], name), book.create_sheet(name)
        sheet.append(table.column_names)
        for row in table.to_pylist():
            sheet.append(list(row.values()))
    if edit:
        edit(book)
    book.save(folder / "books.xlsx")
    return folder


def merge(book: Any) -> None:
    book["credits"].merge_cells("A1:B1")


def hide(book: Any) -> None:
    book["credits"].row_dimensions[3].hidden = True


def formula(book: Any) -> None:
    book["credits"]["D2"] = "=5+5"


def two_sheets(book: Any) -> None:
    book.create_sheet("Credits ").append(["customer_id"])


def wrong_date(book: Any) -> None:
    book["credits"]["B2"] = "1.2.2024"


def serial_date(book: Any) -> None:
    book["credits"]["B2"] = 45323
    book["credits"]["B2"].number_format = "General"


def wrong_number(book: Any) -> None:
    book["credits"]["D2"] = "10,00"


EDITS = {
    merge: "reject header-merged books.xlsx:credits 1",
    hide: "warn rows-hidden books.xlsx:credits 3",
    formula: "reject formula-without-value books.xlsx:credits 2 amount",
    two_sheets: "reject sheet-unclear books.xlsx",
    wrong_date: "reject date-format books.xlsx:credits 2 date",
    serial_date: "reject date-format books.xlsx:credits 2 date",
    wrong_number: "reject number-format books.xlsx:credits 2 amount",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_a_bad_workbook_is_told_with_its_place(edit: Any, tmp_path: Path) -> None:
    assert EDITS[edit] in places(check(workbook(tmp_path / "e", edit)))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "serial", "serial-1904"])
def test_a_workbook_that_counts_days_from_1904_is_read_as_it_counts_or_refused(form: str, tmp_path: Path) -> None:
    def counted(book: Any) -> None:
        book.epoch = CALENDAR_MAC_1904
        if form != "%Y-%m-%d":
            book["credits"]["B2"], book["credits"]["B2"].number_format = 45323 - 1462, "General"

    folder = workbook(tmp_path / "e", counted)
    settings = {"source": "books.xlsx", "tables": {"credits": {"formats": {"dates": [form]}}}}
    (folder / "engagement.yml").write_text(yaml.safe_dump(SETTINGS | settings), encoding="utf-8")
    if form == "serial":
        assert "reject serial-other books.xlsx:credits" in places(check(folder))
    else:
        assert values(ledger_of(folder), "credits", "date") == [date(2024, 2, 1), date(2024, 2, 15)]


def test_a_good_workbook_is_read_as_its_numbers_and_dates_stand(tmp_path: Path) -> None:
    def noise(book: Any) -> None:
        book["credits"]["D2"] = 10.00000000001
        book["credits"]["B2"] = datetime(2024, 2, 1)
        book["credits"]["D3"] = "4.00"

    ledger = ledger_of(workbook(tmp_path / "e", noise))
    assert not ledger.defects
    assert values(ledger, "credits", "amount") == [Decimal("10.0000"), Decimal("4.0000")]
    assert values(ledger, "credits", "date")[0] == date(2024, 2, 1)


def test_a_time_of_day_in_a_workbook_is_cut_and_told_once(tmp_path: Path) -> None:
    def times(book: Any) -> None:
        book["credits"]["B2"], book["credits"]["B3"] = datetime(2024, 2, 1, 23, 59), datetime(2024, 2, 2, 1)

    ledger = ledger_of(workbook(tmp_path / "e", times))
    assert values(ledger, "credits", "date") == [date(2024, 2, 1), date(2024, 2, 2)]
    assert [(f.verdict, f.code, f.row, f.column, f.count) for f in ledger.defects] == [
        ("accept", "time-cut", 2, "date", 2)
    ]


def test_a_value_beyond_the_header_of_a_sheet_is_refused_at_its_row(tmp_path: Path) -> None:
    def beyond(book: Any) -> None:
        book["credits"]["H3"] = "x"

    assert "reject row-too-long books.xlsx:credits 3" in places(check(workbook(tmp_path / "e", beyond)))


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "encrypted"), (b"customer_id\n", "not-a-workbook"), (b"", "not-a-workbook")],
)
def test_what_is_no_workbook_is_told(content: bytes, code: str, tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e", {"source": "books.xlsx"})
    (folder / "books.xlsx").write_bytes(content)
    assert f"reject {code} books.xlsx" in places(check(folder))


def test_an_unreadable_workbook_of_a_folder_stops_only_what_is_read_from_it(tmp_path: Path) -> None:
    for i, source in enumerate(["", "rest.xlsx", "rest", "rest:Sheet1"]):
        folder = csv_engagement(
            tmp_path / str(i), {"tables": {"costs": {"source": source}, "credits": {}} if source else {}}
        )
        (folder / "ledger" / "rest.xlsx").write_bytes(b"no workbook")
        found = check(folder)
        rejected = found[found["verdict"] == "reject"]
        assert [*zip(rejected["code"], rejected["table"], rejected["file"], strict=True)] == (
            [("not-a-workbook", "costs", "rest.xlsx")] if source else []
        )
        assert source or "not read: rest.xlsx" in [*found["message"]]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e", {"source": "books.xlsx"})
    with zipfile.ZipFile(folder / "books.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(120_000_000))
    assert "reject workbook-bomb books.xlsx" in places(check(folder))


def hostile(path: Path, part: str, change: Any) -> None:
    """The workbook with a part changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, change(content.decode()) if name == part else content)


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha" * 50}">' for i in range(10))
SHEET = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("part", "change", "code"),
    [
        (SHEET, lambda xml: xml.replace("<worksheet", f"<!DOCTYPE x [{LAUGHS}]><worksheet", 1).replace("<sheetData>", "<sheetData>&l9;", 1), "not-a-workbook"),
        (SHEET, lambda xml: xml.replace("<worksheet", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><worksheet', 1).replace("<sheetData>", "<sheetData>&f;", 1), "not-a-workbook"),
        (SHEET, lambda xml: xml.replace("<sheetData>", "<a>" * 100_000 + "</a>" * 100_000 + "<sheetData>"), ""),
        (SHEET, lambda xml: xml.replace("</sheetData>", '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'), "sheet-too-large"),
        (SHEET, lambda xml: xml.replace("</sheetData>", f'<row r="9"><c r="A9" t="inlineStr"><is><t>{"x" * 20_000_000}</t></is></c></row></sheetData>'), "blank"),
        ("[Content_Types].xml", lambda xml: xml[:50], "not-a-workbook"),
    ],
)  # fmt: skip
def test_a_hostile_workbook_is_told_and_harms_nothing(part: str, change: Any, code: str, tmp_path: Path) -> None:
    folder = workbook(tmp_path / "e")
    hostile(folder / "books.xlsx", part, change)
    used = resource.getrusage(resource.RUSAGE_SELF)
    findings = check(folder)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert {*findings["code"]} == ({code} if code else set())
    assert after.ru_maxrss - used.ru_maxrss < 1_000_000
    assert after.ru_utime - used.ru_utime < 30


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    ("memory", "seconds", "told"),
    [(0.01, 600, "more than 1% of this machine's memory"), (0.5, 0, "longer than 0 s"), (0.5, 600, "")],
)
def test_a_large_workbook_is_first_opened_within_limits(
    memory: float, seconds: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workbook(tmp_path / "e")
    fork = multiprocessing.get_context("fork")  # the child has the limits that are set here
    monkeypatch.setattr(multiprocessing, "get_context", lambda name: fork)
    monkeypatch.setattr(workbooks, "LARGE_WORKBOOK", 0)
    monkeypatch.setattr(workbooks, "MOST_MEMORY", memory)
    if memory < 0.5:
        monkeypatch.setattr(workbooks, "_opened", lambda path: bytes(os.sysconf("SC_PHYS_PAGES") * 1000))
    opened = open_engagement(folder)
    limited = replace(opened, settings=opened.settings.model_copy(update={"query_timeout_seconds": seconds}))
    defects = read_ledger(limited, folder / "work").defects
    refused = [f for f in defects if (f.verdict, f.code, f.file) == ("reject", "workbook-too-large", "books.xlsx")]
    assert [(told in f.message, f.way_out) for f in refused] == ([(True, "export it as CSV")] if told else [])
    assert refused or not defects


def test_parquet_with_wrong_statistics_loses_no_row(tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    lines = as_parquet(GOOD["invoice_lines.csv"], "invoice_lines")
    (folder / "ledger/invoice_lines.csv").unlink()
    path = folder / "ledger/invoice_lines.parquet"
    pq.write_table(lines, path, compression="none", use_dictionary=False)
    whole = check(folder)
    days = sorted({day for day in lines["invoice_date"].to_pylist() if day})
    content = path.read_bytes()
    at = len(content) - 8 - struct.unpack("<i", content[-8:-4])[0]
    for day in (days[0], days[-1]):
        old, new = (struct.pack("<i", (each - date(1970, 1, 1)).days) for each in (day, date(1999, 1, 1)))
        assert old in content[at:]
        content = content[:at] + content[at:].replace(old, new)
    path.write_bytes(content)
    assert str(pq.ParquetFile(path).metadata.row_group(0).to_dict()).count("1999, 1, 1") >= 2
    pd.testing.assert_frame_equal(check(folder), whole)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (1e-7, "0.0000001"),
        (12, "12"),
        (True, "TRUE"),
        (-2.5, "-2.5"),
        (1e15, "1000000000000000"),
        (1e40, f"{10**40}"),
    ],
)
def test_a_cell_is_written_as_declared(cell: Any, text: str) -> None:
    assert as_declared(cell, Formats.model_validate({})) == text


@pytest.mark.parametrize("again", ["amount", "AMOUNT"])
def test_a_column_twice_in_parquet_is_refused_as_in_text(again: str, tmp_path: Path) -> None:
    folder = csv_engagement(tmp_path / "e")
    (folder / "ledger/credits.csv").unlink()
    table = as_parquet(GOOD["credits.csv"], "credits")
    pq.write_table(table.append_column(again, table["amount"]), folder / "ledger/credits.parquet")
    assert "reject column-twice credits.parquet 1 amount" in places(check(folder))


@pytest.mark.parametrize("name", ["credits.csv", "invoice_lines-2.csv"])
def test_a_link_to_nowhere_is_no_absent_table(tmp_path: Path, name: str) -> None:
    folder = make_engagement(tmp_path / "e")
    (folder / "ledger" / name).symlink_to("/nowhere")
    with pytest.raises(SettingsError, match=f"{name}.*link to nowhere"):
        check(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as text")
def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e")
    Path(os.fsdecode(os.fsencode(folder) + b"/ledger/co\xffsts.txt")).write_text("")
    with pytest.raises(SettingsError, match="not in UTF-8; rename"):
        check(folder)


def test_a_header_of_more_columns_than_a_sheet_is_refused_at_once(tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e")
    names = ",".join(f"c{n}" for n in range(100_000))
    (folder / "ledger/customers.csv").write_text(f"customer_id,customer_name,{names}\nA,Adler{',x' * 100_000}\n")
    assert "reject columns-too-many customers.csv 1" in places(check(folder))
