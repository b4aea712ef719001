"""A PostgreSQL database as source, on a real server: figures, types, queries, what is refused, and what is never shown."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import conftest
import nbformat
import pytest
import yaml
from adbc_driver_postgresql.dbapi import connect
from cluster import CANARY, PASSWORD, cluster, programs
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_intake import check, places

from crmlib.books import cache, postgres
from crmlib.books.reader import read_ledger
from crmlib.books.stored import open_books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import CrmError, SettingsError
from crmlib.run.new import write_template

SETTINGS = {
    "client": "Test",
    "currency": "USD",
    "coverage": {"start": "2024-01", "end": "2024-12"},
    "source": "env:BOOKS",
}
TABLES = """
    DROP SCHEMA IF EXISTS public CASCADE; DROP SCHEMA IF EXISTS erp CASCADE; CREATE SCHEMA public; CREATE SCHEMA erp;
    CREATE SEQUENCE numbers;
    CREATE TABLE customers (customer_id text, customer_name varchar(40), region text);
    INSERT INTO customers VALUES ('A', 'Adler', 'North'), ('B', 'Birch', NULL);
    CREATE TABLE invoice_lines (customer_id text, invoice_date date, gross_sales numeric(12, 2), quantity int, "Note" text);
    INSERT INTO invoice_lines VALUES ('A', '2024-01-10', 100.10, 1, 'x'), ('B', '2024-02-10', 50, 2, NULL), ('A', '2024-03-10', 0.05, 1, NULL);
    CREATE TABLE erp.credits (customer_id text, date date, kind text, amount numeric, status text);
    INSERT INTO erp.credits VALUES ('A', '2024-03-01', 'rebate', 10.5000000, 'posted'), ('B', '2024-04-01', 'return', 5, 'draft');
"""
CREDITS = "SELECT customer_id, date, kind, amount FROM erp.credits"
Execute, Make = Callable[[str], list[Any]], Callable[..., Path]


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if not (folder := programs()):
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with cluster(folder) as url:
        yield url


@pytest.fixture
def execute(server: str, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """The tables made anew; runs further SQL as their owner."""
    monkeypatch.setenv("BOOKS", server)

    def run(text: str) -> list[Any]:
        with connect(server, autocommit=True) as connection, connection.cursor() as cursor:
            for each in filter(str.strip, text.split(";")):
                cursor.execute(each)
            return list(cursor.fetchall()) if cursor.description else []

    run(TABLES)
    return run


@pytest.fixture
def make(execute: Execute, tmp_path: Path) -> Make:
    """An engagement on the database; `query` is what credits come from."""

    def write(query: str = "", **given: Any) -> Path:
        folder = tmp_path / f"client-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        if query:
            (folder / "credits.sql").write_text(query)
            given = {"tables": {"credits": {"source": "credits.sql"}}, **given}
        (folder / "engagement.yml").write_text(yaml.safe_dump({**SETTINGS, **given}))
        return folder

    return write


def values(folder: Path, table: str, column: str) -> list[Any]:
    ledger = read_ledger(open_engagement(folder), folder / f"work-{time.monotonic_ns()}")
    assert not [d for d in ledger.defects if d.verdict != "accept" and d.code != "file-misnamed"]
    return conftest.values(ledger, table, column)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_mapped_columns_are_read_with_their_types_from_any_schema(make: Make) -> None:
    folder = make(tables={"credits": {"source": "erp.credits"}})
    books = open_books(folder)
    assert books.intake.query("column == 'gross_sales'")["assigned"].tolist() == [Decimal("150.1500")]
    assert books.intake.query("column == 'amount'")["assigned"].tolist() == [Decimal("15.5000")]
    assert books.customers["region"].tolist() == ["North", ""]


def test_only_columns_that_are_spoken_of_are_asked_for(make: Make, execute: Execute) -> None:
    execute("""CREATE VIEW wide AS SELECT *, 1 / (quantity - quantity) AS trap FROM invoice_lines""")
    assert values(make(tables={"invoice_lines": {"source": "wide"}}), "invoice_lines", "quantity") == [1, 2, 1]
    mapped = {"source": "wide", "columns": {"quantity": "trap"}}
    with pytest.raises(SettingsError, match="wide: division by zero"):
        open_books(make(tables={"invoice_lines": mapped}))


def test_conditions_expressions_and_joins_work_on_a_database(make: Make, execute: Execute) -> None:
    execute("CREATE TABLE heads (nr text, state text); INSERT INTO heads VALUES ('A', 'posted'), ('B', 'draft')")
    mapping = {"join": {"heads": {"customer_id": "nr"}}, "where": "heads.state = 'posted' and quantity > 0",
               "columns": {"gross_sales": "gross_sales * quantity / 10", "order_id": "heads.nr"}}  # fmt: skip
    folder = make(tables={"invoice_lines": mapping})
    assert values(folder, "invoice_lines", "gross_sales") == [Decimal("10.01"), Decimal("0.005")]
    found = {(f.code, f.count, f.amount) for f in check(folder).itertuples()}
    assert ("left-out", 1, Decimal(10)) in found


GROSS, DAY, KEY = "gross_sales", "invoice_date", "customer_id"
KINDS = {  # what PostgreSQL holds, in which column, as what it is read
    "numeric(12,2)": ("1234567890.12", GROSS, Decimal("1234567890.12")),
    "numeric": ("'12.340000000000'", GROSS, Decimal("12.34")),
    "numeric(38,30)": ("12.25", GROSS, Decimal("12.25")),
    "money": ("12.34", GROSS, Decimal("12.34")),
    "bigint": ("12", GROSS, Decimal(12)),
    "text": ("'12.50'", GROSS, Decimal("12.5")),
    "date": ("'2024-05-06'", DAY, date(2024, 5, 6)),
    "timestamp": ("'2024-05-06'", DAY, date(2024, 5, 6)),
    "varchar(9)": ("'007'", KEY, "007"),
    "char(5)": ("'007'", KEY, "007"),
    "uuid": ("'a0000000-0000-0000-0000-00000000000a'", KEY, "a0000000-0000-0000-0000-00000000000a"),
}
REFUSED_VALUES = {  # the code of the refusal; all stand in row 2
    "numeric, more decimals than money has": ("0.123456", GROSS, "number-too-long"),
    "numeric, too many digits": ("1e14", GROSS, "number-too-long"),
    "numeric, no number": ("'NaN'", GROSS, "number-format"),
    "numeric(12,2), no number": ("'NaN'", GROSS, "number-format"),
    "numeric, without end": ("'Infinity'", GROSS, "number-format"),
    "numeric, null": ("NULL", GROSS, "blank"),
    "double precision": ("12.5", GROSS, "type-floating"),
    "boolean": ("true", GROSS, "type-not-number"),
    "date, without end": ("'infinity'", DAY, "blank"),
    "timestamp, without end": ("'-infinity'", DAY, "blank"),
}


def write_value(execute: Execute, kind: str, written: str, column: str) -> None:
    """One invoice line whose column is of a type and holds a value."""
    row = {KEY: "'A'", DAY: "'2024-01-10'", GROSS: "1", "quantity": "1"} | {column: written}
    execute(f"""
        TRUNCATE invoice_lines; ALTER TABLE invoice_lines DROP COLUMN {column};
        ALTER TABLE invoice_lines ADD COLUMN {column} {kind};
        INSERT INTO invoice_lines ({", ".join(row)}) VALUES ({", ".join(row.values())})""")


@pytest.mark.parametrize(("kind", "case"), KINDS.items(), ids=KINDS.keys())
def test_a_value_is_read_exactly(make: Make, execute: Execute, kind: str, case: tuple[str, str, Any]) -> None:
    written, column, expected = case
    write_value(execute, kind, written, column)
    assert values(make(), "invoice_lines", column) == [expected]


@pytest.mark.parametrize(("kind", "case"), REFUSED_VALUES.items(), ids=REFUSED_VALUES.keys())
def test_a_value_that_is_none_is_refused_with_its_row(
    make: Make, execute: Execute, kind: str, case: tuple[str, str, str]
) -> None:
    written, column, code = case
    write_value(execute, kind.split(", ")[0] if "(" not in kind else "numeric(12,2)", written, column)
    assert f"reject {code} invoice_lines 2 {column}" in places(check(make()))


def test_a_number_wider_than_any_decimal_is_refused(make: Make, execute: Execute) -> None:
    write_value(execute, "numeric", "1e30 + 1e-30", GROSS)
    assert "reject number-too-long invoice_lines" in places(check(make()))


def test_a_time_with_zone_is_the_day_in_utc_where_the_mapping_says_so(make: Make, execute: Execute) -> None:
    write_value(execute, "timestamptz", "'2024-05-06 23:30-02'", DAY)
    mapped = {"invoice_lines": {"columns": {DAY: {"column": DAY, "cast": True}}}}
    assert values(make(tables=mapped), "invoice_lines", DAY) == [date(2024, 5, 7)]


# --- queries ---------------------------------------------------------------------------------------------------------

QUERIES = {
    "of another schema": (CREDITS, [Decimal("10.5"), Decimal(5)]),
    "in the server's own words": (CREDITS + " WHERE status ILIKE 'POST%' AND date::timestamptz < now();\n-- all\n", [Decimal("10.5")]),
    "with sums": ("SELECT 'A' AS customer_id, max(date) AS date, min(kind) AS kind, sum(amount) AS amount FROM erp.credits", [Decimal("15.5")]),
    "with a common table": (f"WITH c AS ({CREDITS}) SELECT * FROM c JOIN (SELECT customer_id AS id FROM customers) x ON id = customer_id AND id = 'B'", [Decimal(5)]),
}  # fmt: skip
REFUSED = {
    "a misspelt word": (f"{CREDITS}\nWHRE amount > 1\n AND kind = 'x'", "line 2, column 6: syntax error"),
    "an unknown table": ("SELECT *\n FROM nowhere", 'line 2, column 7: relation "nowhere" does not exist'),
    "two statements": (f"{CREDITS}; {CREDITS}", "cannot insert multiple commands"),
    "a way out of the brackets": (f"{CREDITS}) AS q; DROP TABLE customers; --", "line 1, column"),
    "a file": ("COPY (SELECT 1) TO '/tmp/PWN'", "one SELECT"),
    "a program": ("SELECT 1) TO PROGRAM 'touch /tmp/PWN' --", "line 1, column 9"),
    "a table made": ("CREATE TABLE pwn AS SELECT 1 AS a", "one SELECT"),
    "rows written": ("WITH x AS (INSERT INTO customers VALUES ('P') RETURNING *) SELECT * FROM x", "WITH clause containing a data-modifying"),
    "rows written by a function": ("SELECT nextval('numbers') AS a", "cannot execute nextval() in a read-only transaction"),
    "a writing transaction": ("SELECT set_config('transaction_read_only', 'off', true) AS a", "must be set before any query"),
    "nothing": ("-- to be written", "one SELECT"),
    "a parameter": ("SELECT $1::text AS customer_id", "no parameter"),
    "a mistake while it runs": ("SELECT 1 / (amount - amount) AS amount FROM erp.credits", "division by zero"),
    "more time than it has": ("SELECT pg_sleep(60)::text AS a", "stopped after 1 seconds; raise query_timeout_seconds"),
}  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_is_run_by_the_server(make: Make, query: str, expected: list[Decimal]) -> None:
    assert values(make(query), "credits", "amount") == expected


@pytest.mark.parametrize(("query", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_query_that_is_wrong_or_writes_is_refused(make: Make, execute: Execute, query: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r"^credits\.sql") as caught:
        open_books(make(query, query_timeout_seconds=1))
    assert message in str(caught.value)
    [(tables, rows)] = execute(
        "SELECT (SELECT count(*) FROM pg_class WHERE relname = 'pwn'), (SELECT count(*) FROM customers)"
    )
    assert (tables, rows) == (0, 2)


@pytest.mark.parametrize(
    ("query", "code"), [("SELECT 1 AS a, 2 AS a", "column-twice"), (f"{CREDITS} WHERE false", "header-only")]
)
def test_what_a_query_gives_is_held_to_the_same_rules(make: Make, query: str, code: str) -> None:
    assert any(f"reject {code} credits.sql" in place for place in places(check(make(query))))


# --- changes, losses, secrets ----------------------------------------------------------------------------------------


def test_books_are_read_again_when_the_data_changed_and_only_then(
    make: Make, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make()
    first = open_books(folder)
    assert open_books(folder).cache == first.cache
    execute("UPDATE invoice_lines SET gross_sales = 60 WHERE gross_sales = 50")
    monkeypatch.setenv("CRM_DATABASE", first.sources["database"])  # within a run all see what it began with
    assert open_books(folder).cache == first.cache
    monkeypatch.delenv("CRM_DATABASE")
    again = open_books(folder)
    assert again.intake.query("column == 'gross_sales'")["read"].tolist() == [Decimal("160.15")]
    execute("DELETE FROM invoice_lines WHERE gross_sales = 60")
    assert open_books(folder).data_hash not in {first.data_hash, again.data_hash}


def test_all_tables_are_of_one_moment(make: Make, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    read, written = postgres._table, threading.Event()

    def slow(session: Any, name: str, there: str, table: str) -> Any:
        if not written.is_set():
            execute(
                "INSERT INTO invoice_lines SELECT 'C', '2024-05-05', 7, 1, ''; INSERT INTO customers VALUES ('C', 'Cedar')"
            )
            written.set()
        return read(session, name, there, table)

    monkeypatch.setattr(postgres, "_table", slow)
    folder = make()
    assert open_books(folder).customers["customer_id"].tolist() == ["A", "B"]
    assert open_books(folder).customers["customer_id"].tolist() == ["A", "B", "C"]


def test_a_lost_connection_is_told_and_leaves_nothing(make: Make, execute: Execute) -> None:
    folder = make(
        "SELECT 'A' AS customer_id, now() AS date, 'x' AS kind, i AS amount FROM generate_series(1, 100000000) i"
    )

    def end() -> None:
        busy = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%100000000%' AND pid <> pg_backend_pid()"
        while not execute(busy):
            time.sleep(0.1)

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(CrmError, match=r"connection to the database was lost while credits\.sql was read") as caught:
        open_books(folder)
    ending.join()
    assert "nothing of it is kept: run again" in str(caught.value)
    assert list(cache._home().iterdir()) == []


def unreachable(server: str) -> dict[str, tuple[str, str]]:
    """URLs with a mistake, and what is said of them."""
    return {
        "wrong password": (server.replace(CANARY, f"{CANARY}x"), "password authentication failed for user"),
        "no such port": (server.replace(server.rpartition(":")[2], "1/postgres"), "Connection refused"),
        "no such database": (server.replace("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        "no such server": (server.replace("127.0.0.1", "nowhere.invalid"), "is not known here"),
        "a mark unescaped": (server.replace(CANARY, PASSWORD), "write postgresql://USER:PASSWORD@HOST"),
        "a wrong escape": (server.replace("%2F", "%zz"), "write postgresql://USER:PASSWORD@HOST"),
        "an unknown setting": (f"{server}?{CANARY}=1", "write postgresql://USER:PASSWORD@HOST"),
        "another kind": (server.replace("postgresql", "mysql"), "must begin with postgresql://"),
    }


@pytest.mark.parametrize("mistake", unreachable(""))
def test_a_database_that_cannot_be_reached_is_told_without_the_url(
    make: Make, server: str, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    url, message = unreachable(server)[mistake]
    folder = make()
    monkeypatch.setenv("BOOKS", url)
    with pytest.raises(SettingsError, match=r"^source env:BOOKS") as caught:
        open_books(folder)
    assert message in str(caught.value)
    assert not shown(str(caught.value))


def shown(text: str) -> list[str]:
    """What of the URL a text shows."""
    return [secret for secret in (CANARY, PASSWORD, "cAn4ry", "bIrd", "postgresql://owner") if secret in text]


@pytest.mark.parametrize("source", [f"postgresql://owner:{CANARY}@127.0.0.1/x", f"env:postgresql://owner:{CANARY}@h/x"])
def test_a_url_in_the_settings_is_refused_and_not_shown(make: Make, source: str) -> None:
    with pytest.raises(SettingsError, match="source: env:NAME") as caught:
        open_books(make(source=source))
    assert not shown(str(caught.value))


CELLS = """engagement: str = "data/sample"  # folder
period: str = "2024"  # year

from crmlib import open_view
view = open_view(engagement, period)
print(view.books.sources, view.books.intake.to_string())"""


def write_notebook(path: Path) -> None:
    parameters, code = map(new_code_cell, CELLS.split("\n\n"))
    parameters.metadata["tags"] = ["parameters"]
    title = new_markdown_cell("# Toy\n\n*What is in the books?* Said.")
    path.write_text(nbformat.writes(new_notebook(cells=[title, parameters, code])))


def test_no_output_report_cache_or_error_shows_the_url(make: Make, execute: Execute, tmp_path: Path) -> None:
    good, bad, notebooks = make(), make(f"{CREDITS}\nWHRE x = 1"), tmp_path / "notebooks"
    notebooks.mkdir()
    write_notebook(notebooks / "27_toy.ipynb")
    runs = f"from pathlib import Path; from crmlib.run.report import *; run_report({str(good)!r}, Request(notebooks=Path({str(notebooks)!r}), out=Path({str(tmp_path / 'reports')!r}), parameters=dict(period='2024')))"
    commands = [
        ["-c", "from crmlib.run.cli import app; app()", "check", str(folder), "--out", str(tmp_path / "out")]
        for folder in (good, bad)
    ]
    for command, code in ((commands[0], 0), (commands[1], 2), (["-c", runs], 0)):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert not shown(done.stdout + done.stderr)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"findings.csv", "27_toy.ipynb", "27_toy.html", "manifest.json", "books.json", "workbook.xlsx"} <= {
        f.name for f in files
    }
    assert not [file for file in files if shown(file.read_bytes().decode("latin-1"))]


def test_crm_new_sets_a_database_up_by_its_variable(execute: Execute, tmp_path: Path) -> None:
    execute("DROP SCHEMA erp CASCADE; DROP TABLE customers; DROP TABLE invoice_lines")
    execute(
        "CREATE TABLE sales (id int, customer_no int, customer_name text, invoice_date timestamptz, invoice_no text, qty numeric, amount numeric)"
    )
    execute(
        "INSERT INTO sales SELECT n, 10 + n % 2, 'Name ' || n % 2, '2024-01-31 23:30Z'::timestamptz + n * interval '10 days', n, 1, n + 0.25 FROM generate_series(0, 9) n"
    )
    write_template(tmp_path / "acme", ["env:BOOKS"], lambda question: "EUR" if question.key == "currency" else "")
    written = (tmp_path / "acme" / "engagement.yml").read_text(encoding="utf-8")
    assert 'source: "env:BOOKS"' in written
    assert PASSWORD not in written
    assert values(tmp_path / "acme", "invoice_lines", "gross_sales") == [
        Decimal(n) + Decimal("0.25") for n in range(10)
    ]
    assert values(tmp_path / "acme", "customers", "customer_name") == ["Name 0", "Name 1"]
