"""A query of a mapping is one SELECT over the tables of the source: it reads nothing else, writes nothing, and says where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from conftest import default_statement, values, write_engagement
from test_intake import check, places

from crmlib.books.reader import read_ledger
from crmlib.books.stored import Books, open_books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import CrmError, SettingsError
from crmlib.profitability import firm_profitability

Make, MakeBooks = Callable[..., Path], Callable[..., Books]
EXTRA = "customer_id, date, kind, amount\nA, 2024-03-01, rebate, 10.00\nB, 2024-04-01, return, 5.00"
D = Decimal
PLAIN = "SELECT customer_id, date, kind, amount FROM extra"


@pytest.fixture
def mapped(make_engagement: Make) -> Callable[..., Path]:
    """An engagement whose credits come from the query given."""

    def make(query: str | bytes = PLAIN, extra: str = EXTRA, **given: Any) -> Path:
        folder = make_engagement({"extra": extra}, **{"tables": {"credits": {"source": "credits.sql"}}, **given})
        (folder / "credits.sql").write_bytes(query.encode() if isinstance(query, str) else query)
        return folder

    return make


def credits_of(folder: Path) -> list[Any]:
    ledger = read_ledger(open_engagement(folder), folder / "work")
    assert not [d for d in ledger.defects if d.code != "files-unread"]
    return values(ledger, "credits", "amount")


# --- what a query may do ---------------------------------------------------------------------------------------------

REFUSED = {
    "two statements": (f"{PLAIN}; SELECT 1", "one SELECT; found SELECT, SELECT"),
    "a way out of the brackets": (f"{PLAIN}) TO 'PWN.csv' (FORMAT csv); COPY (SELECT 1", "line 1, column"),
    "a copy": ("COPY (SELECT 1) TO 'PWN.csv'", "found COPY"),
    "a setting": ("SET enable_external_access = true", "found SET"),
    "an attachment": ("ATTACH 'PWN.csv' AS other", "found ATTACH"),
    "nothing": ("-- to be written", "found nothing"),
    "a misspelt word": (f"{PLAIN}\nWHRE amount > 1\n  AND kind = 'x'", "line 2, column 6"),
    "an unknown column": ("SELECT customer_id,\n  day FROM extra", "line 2, column 3"),
    "an unknown table": ("SELECT * FROM nowhere", "it sees customers, extra, invoice_lines"),
    "a text that is no number": ("SELECT CAST(kind AS INTEGER) AS amount FROM extra", "Could not convert"),
    "a parameter": ("SELECT $1 AS customer_id FROM extra", "parameters"),
    "a file of the source by its path": ("SELECT * FROM read_csv('{folder}/ledger/extra.csv')", "reads no file"),
    "a file elsewhere": ("SELECT * FROM read_csv('{outside}')", "reads no file"),
    "a file elsewhere by its name alone": ("SELECT * FROM '{outside}'", "reads no file"),
    "a folder elsewhere": ("SELECT * FROM glob('{outside}')", "reads no file"),
    "a variable of the program": ("SELECT * FROM words", "reads no file"),
}  # fmt: skip


@pytest.mark.parametrize(("query", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_one_select_over_the_source_is_refused_with_its_place(
    mapped: Callable[..., Path], tmp_path: Path, query: str, message: str
) -> None:
    outside = tmp_path / "outside" / "extra.csv"
    outside.parent.mkdir()
    outside.write_text(EXTRA.replace(", ", ","))
    folder = mapped()
    (folder / "credits.sql").write_text(query.format(folder=folder, outside=outside))
    with pytest.raises(SettingsError, match=r"^credits\.sql") as caught:
        open_books(folder)
    assert message in str(caught.value)
    assert str(tmp_path) not in str(caught.value).replace(str(outside), "").replace(str(folder / "ledger"), "")
    assert not [*Path.cwd().glob("PWN*"), *folder.rglob("PWN*")]


@pytest.mark.parametrize(
    "text", [PLAIN.replace("kind", "'K\xfche' AS kind").encode("latin-1"), b"\xff\xfe" + PLAIN.encode("utf-16-le")]
)
def test_a_query_that_is_not_utf_8_is_refused_with_its_line(mapped: Callable[..., Path], text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"credits\.sql, line 1: the file is not UTF-8"):
        open_books(mapped(text))


def test_a_query_may_begin_with_a_mark_hold_a_common_table_and_end_with_a_semicolon(
    mapped: Callable[..., Path],
) -> None:
    query = f"\ufeffWITH all_of AS ({PLAIN})\nSELECT customer_id, date, kind, 2 * CAST(amount AS DECIMAL(9, 2)) AS amount FROM all_of -- twice\n;\n"
    assert credits_of(mapped(query)) == [20, 10]


@pytest.mark.parametrize(
    ("amount", "code"), [("10.5", ""), ("10.12345", "number-too-long"), ("100000000000000.0", "number-too-long")]
)
def test_a_sum_of_decimals_is_exact_or_told(mapped: Callable[..., Path], amount: str, code: str) -> None:
    query = f"SELECT customer_id, min(date) AS date, min(kind) AS kind, sum({amount}::DECIMAL(20, 5)) AS amount FROM extra GROUP BY customer_id"
    folder = mapped(query.replace("20, 5", "20, 2") if not code else query)
    assert places(check(folder)) == ({f"reject {code} credits.sql {row} amount" for row in (2, 3)} if code else set())


def test_a_view_of_a_database_that_reads_elsewhere_is_refused(make_engagement: Make, tmp_path: Path) -> None:
    (tmp_path / "extra.csv").write_text(EXTRA.replace(", ", ","))
    folder = make_engagement(source="client.duckdb")
    with duckdb.connect(str(folder / "client.duckdb")) as con:
        con.execute(f"CREATE VIEW credits AS FROM read_csv('{tmp_path}/extra.csv', all_varchar = true)")
        for name in ("customers", "invoice_lines"):
            con.execute(f"CREATE TABLE {name} AS FROM read_csv('{folder}/ledger/{name}.csv', all_varchar = true)")
    assert "reject table-unreadable credits" in places(check(folder))


# --- a query reads the same text as the direct reader ----------------------------------------------------------------


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n", 1).encode()


@pytest.mark.parametrize(
    ("write", "formats"),
    [
        (lambda text: text.encode("utf-16"), {}),
        (lambda text: text.replace("rebate", "rebate").replace("A,", "Ä,").encode("cp1252"), {"encoding": "cp1252"}),
        (crlf, {}),
        (lambda text: text.replace(",", ";").encode(), {"delimiter": ";"}),
        (lambda text: text.replace("10.00", '"10.00"').encode(), {}),
    ],
    ids=["utf-16", "cp1252", "mixed line ends", "semicolon", "quoted"],
)
def test_a_query_sees_text_as_the_formats_declare_it(
    mapped: Callable[..., Path], write: Callable[[str], bytes], formats: dict[str, str]
) -> None:
    folder = mapped(tables={"credits": {"source": "credits.sql", "formats": formats}})
    (folder / "ledger/extra.csv").write_bytes(write(EXTRA.replace(", ", ",")))
    assert credits_of(folder) == [10, 5]


def test_a_broken_file_is_told_where_a_query_reads_it_and_no_matter_where_none_does(
    mapped: Callable[..., Path],
) -> None:
    folder = mapped()
    (folder / "ledger/unused.csv").write_bytes(b'a,b\n"1,2\n\xff\xfe')
    (folder / "ledger/empty.csv").write_bytes(b"")
    assert credits_of(folder) == [10, 5]
    (folder / "ledger/extra.csv").write_text("customer_id,date,kind,amount\nA,2024-03-01,rebate\n")
    assert {p for p in places(check(folder)) if p.startswith("reject")} == {"reject row-too-short extra.csv 2"}


def test_a_query_over_a_sheet_of_what_is_no_workbook_says_so_and_goes_on_once_it_is_one(
    mapped: Callable[..., Path],
) -> None:
    folder = mapped('SELECT customer_id, date, kind, amount FROM "extra:Credits"')
    book = folder / "ledger" / "extra.xlsx"
    book.write_bytes(b"no workbook")
    assert "reject not-a-workbook extra.xlsx" in places(check(folder))
    pd.DataFrame([row.split(", ") for row in EXTRA.splitlines()]).to_excel(
        book, sheet_name="Credits", header=False, index=False
    )
    assert "reject" not in {*check(folder)["verdict"]}


@pytest.mark.parametrize("source", ["csv", "sql", "duckdb", "parquet", "xlsx"])
@pytest.mark.parametrize("table", ["invoice_lines", "balances"])
def test_columns_without_a_row_are_refused_by_every_reader(tmp_path: Path, source: str, table: str) -> None:
    columns = {
        "invoice_lines": "customer_id, invoice_date, gross_sales, order_id",
        "balances": "customer_id, month, receivables",
    }
    tables = {
        "customers": "customer_id, customer_name\nA, Adler",
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100",
    }
    given = {
        "sql": {"tables": {table: {"source": "empty.sql"}}},
        "duckdb": {"source": "c.duckdb"},
        "xlsx": {"source": "c.xlsx"},
    }
    folder = write_engagement(tmp_path / "e", {**tables, table: columns[table]}, **given.get(source, {}))
    ledger = folder / "ledger"
    if source == "sql":
        (folder / "empty.sql").write_text(f"SELECT * FROM {table}")
    elif source == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        book.remove(book.active)
        for file in sorted(ledger.iterdir()):
            sheet = book.create_sheet(file.stem)
            for line in file.read_text().splitlines():
                sheet.append(line.split(","))
        book.save(folder / "c.xlsx")
    elif source != "csv":
        with duckdb.connect(str(folder / "c.duckdb")) as con:
            for file in sorted(ledger.iterdir()):
                con.execute(f"CREATE TABLE {file.stem} AS FROM read_csv('{file}', header = true, all_varchar = true)")
                if source == "parquet" and file.stem == table:
                    con.execute(f"COPY {file.stem} TO '{file.with_suffix('.parquet')}' (FORMAT parquet)")
                    file.unlink()
    assert any(re.match(r"reject header-only", place) for place in places(check(folder)))


# --- names -----------------------------------------------------------------------------------------------------------

ODD = [
    "order",
    "x y",
    "end",
    "select",
    'a"b',
    "a'b",
    "day",
    "median",
    "copy",
    "credited",
    "multiple",
    "invoice_lines",
    "ä.b",
    "month",
]


@pytest.mark.parametrize("name", ODD)
def test_a_measure_is_used_whatever_its_name_or_refused_with_a_message(make_engagement: Make, name: str) -> None:
    header = ["customer_id", "invoice_date", "gross_sales", "theirs"]
    rows = [
        dict(zip(header, row, strict=True))
        for row in (("A", "2024-01-10", 100, 8), ("A", "2024-01-10", 100, 8), ("X", "2024-02-10", 1, 2))
    ]
    tables = {
        "invoice_lines": rows, "rates": "activity, valid_from, rate\npack, 2024-01-01, 0.5",
        "activity_types": [{"activity": "pack", "line": "special_packaging", "driver": name}],
    }  # fmt: skip
    own = {"transportation": {"sources": [f"invoice_lines.{name}"]}} if name.isidentifier() else {}
    mapping = {"invoice_lines": {"columns": {name: "theirs"}}}
    folder = make_engagement(
        tables, statement=default_statement(**own), tables=mapping, thresholds={"unassigned_share": 1}
    )
    try:
        books = open_books(folder)
    except SettingsError as error:
        assert name in str(error)  # noqa: PT017 - either is right: refused by name, or the figure below
        return
    figures = firm_profitability(books, books.period("2024"))
    assert figures["special_packaging"] == (1.5 if name == "invoice_lines" else 9)  # which the ledger holds by itself
    assert not own or figures["transportation"] == 18
    assert books.findings.query("code == 'row-twice'")["count"].sum() == 1


@pytest.mark.parametrize("name", ["_row", "_file", "_bad_amount"])
def test_a_measure_may_not_be_named_like_what_the_reader_adds(make_engagement: Make, name: str) -> None:
    with pytest.raises(CrmError, match=f"columns.{name}"):
        open_books(make_engagement(tables={"invoice_lines": {"columns": {name: "gross_sales"}}}))


@pytest.mark.parametrize("name", ['a"b', "a'b", "a b", "x [1]", "a*", "year=2024"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_may_have_any_name(make_engagement: Make, name: str, suffix: str) -> None:
    folder = make_engagement({"extra": EXTRA}, tables={"credits": {"source": f"{name}.{suffix}"}})
    file = (folder / "ledger/extra.csv").rename(folder / f"ledger/{name}.csv")
    if suffix == "parquet":
        import pyarrow.csv as pc
        import pyarrow.parquet as pq

        strings = {"column_types": dict.fromkeys(("customer_id", "date", "kind", "amount"), "string")}
        pq.write_table(pc.read_csv(file, convert_options=pc.ConvertOptions(**strings)), file.with_suffix(".parquet"))
        file.unlink()
    assert credits_of(folder) == [Decimal(10), Decimal(5)]
    (folder / "credits.sql").write_text(
        f'SELECT customer_id, date, kind, amount FROM "{name.replace(chr(34), chr(34) * 2)}"'
    )
    settings = folder / "engagement.yml"
    settings.write_text(re.sub(r"source: .*", "source: credits.sql", settings.read_text()))
    assert credits_of(folder) == [Decimal(10), Decimal(5)]


# --- numbers and days by the declared formats, and where a row stood -------------------------------------------------

GERMAN = {
    "formats": {"decimal": ",", "thousands": ".", "dates": ["%d.%m.%Y", "%d.%m.%y"]},
    "thresholds": {"unassigned_share": 1},
}
SALES = "KD;TAG;BETRAG;NR\nA;15.01.2024;1.100,50;1\nA;16.01.24;-100,00000000;1\nB;17.01.2024;{};2\n"
DIRECT = "SELECT KD AS customer_id, TAG AS date, 'rebate' AS kind, BETRAG AS amount FROM extra"


@pytest.fixture
def german(mapped: Callable[..., Path]) -> Callable[..., Path]:
    """Credits by a query on a German export."""

    def make(query: str, amount: str = "5", source: str = "csv") -> Path:
        formats = {**GERMAN["formats"], "delimiter": ";"}
        folder = mapped(
            query, tables={"credits": {"source": "credits.sql", "formats": formats}}, thresholds={"unassigned_share": 1}
        )
        (folder / "ledger/extra.csv").write_text(SALES.format(amount), encoding="utf-8")
        return folder

    return make


FUNCTIONS = {
    "sums": ("SELECT KD AS customer_id, min(day(TAG)) AS date, 'rebate' AS kind, sum(money(BETRAG)) AS amount FROM extra GROUP BY KD",
             [D("1000.5"), 5]),
    "products": ("SELECT KD AS customer_id, day(TAG) AS date, 'rebate' AS kind, number(BETRAG) * number(NR) / 1 AS amount FROM extra", None),
    "exact products": ("SELECT KD AS customer_id, day(TAG) AS date, 'rebate' AS kind, money(BETRAG) * number(NR) * 2 AS amount FROM extra",
                       [2201, -200, 20]),
    "conditions": (f"{DIRECT} WHERE number(BETRAG) > 5 AND day(TAG) < '2024-02-01'", [D("1100.5")]),
    "calls within calls": ("SELECT KD AS customer_id, max(day(TAG)) AS date, 'rebate' AS kind, number(sum(number(number(BETRAG)))) AS amount FROM extra GROUP BY 1",
                           [D("1000.5"), 5]),
    "counts": ("SELECT KD AS customer_id, max(day(TAG)) AS date, 'rebate' AS kind, sum(1) AS amount FROM extra GROUP BY 1", [2, 1]),
}  # fmt: skip


@pytest.mark.parametrize(("query", "amounts"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_numbers_and_days_are_read_by_the_declared_formats(
    german: Callable[..., Path], query: str, amounts: list[Any] | None
) -> None:
    if amounts is None:  # a division by the engine is no decimal
        assert {p.split()[1] for p in places(check(german(query)))} == {"type-floating"}
    else:
        assert sorted(credits_of(german(f"{query} ORDER BY 1"))) == sorted(amounts)


UNREAD = {
    "a sum": ("SELECT KD AS customer_id, '1.1.24' AS date, 'rebate' AS kind, sum(money(BETRAG)) AS amount FROM extra GROUP BY KD", "5.0",
              {"reject number-format extra.csv 4 BETRAG"}),
    "a blank in a sum": ("SELECT KD AS customer_id, '1.1.24' AS date, 'rebate' AS kind, sum(money(BETRAG)) AS amount FROM extra GROUP BY KD", "",
                         {"reject blank extra.csv 4 BETRAG"}),
    "what is no column": (DIRECT.replace("BETRAG AS", "number(BETRAG || '0') AS"), "x", {"reject number-format credits.sql"}),
    "a plain column": (DIRECT, "5.0", {"reject number-format extra.csv 4 amount"}),
    "a plain column of a named table": (DIRECT.replace("extra", "extra AS e JOIN customers c ON c.customer_id = e.KD"), "5.0",
                                        {"reject number-format extra.csv 4 amount"}),
    "a place that is kept": (DIRECT.replace(" FROM", ", _file, _row FROM"), "5.0", {"reject number-format extra.csv 4 amount"}),
    "a place that a group keeps": ("SELECT KD AS customer_id, min(TAG) AS date, 'rebate' AS kind, min(BETRAG) AS amount, "
                                   "min(_file) AS _file, max(_row) AS _row FROM extra GROUP BY KD, NR", "x", {"reject number-format extra.csv 4 amount"}),
    "a row of the result": (DIRECT.replace("SELECT", "SELECT DISTINCT") + " ORDER BY KD, TAG", "x", {"reject number-format credits.sql 4 amount"}),
    "a row that a join makes": (DIRECT.replace("extra", "customers c RIGHT JOIN extra ON c.customer_id = KD || 'x'"), "x",
                                {"reject number-format credits.sql 4 amount"}),
    "all columns": ("SELECT *, KD AS customer_id, TAG AS date, 'rebate' AS kind, BETRAG AS amount FROM extra", "x",
                    {"reject number-format extra.csv 4 amount"}),
}  # fmt: skip


@pytest.mark.parametrize(("query", "amount", "expected"), UNREAD.values(), ids=UNREAD)
def test_what_a_query_reads_wrong_is_told_with_its_row_in_the_source(
    german: Callable[..., Path], query: str, amount: str, expected: set[str]
) -> None:
    found = check(german(query, amount)).query("verdict == 'reject' and code != 'sign-turned'")
    assert places(found) == expected


@pytest.mark.parametrize("place", ["'x' AS _row, _file", "_row, 5 AS _file"])
def test_a_place_that_is_none_is_refused(german: Callable[..., Path], place: str) -> None:
    with pytest.raises(SettingsError, match=r"credits\.sql: _file must be text and _row a whole number"):
        check(german(DIRECT.replace(" FROM", f", {place} FROM")))


def test_a_query_that_is_wrong_says_which_tables_and_columns_there_are(mapped: Callable[..., Path]) -> None:
    with pytest.raises(
        SettingsError,
        match=r"line 1, column 8: .*it sees extra \(customer_id, date, kind, amount\), customers, invoice_lines",
    ):
        open_books(mapped("SELECT price FROM extra"))
