"""Books summed where they lie: the same roll-ups, findings and tie-outs as DuckDB makes of them, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import conftest
import duckdb
import oracle
import pytest
import yaml
from adbc_driver_postgresql.dbapi import connect
from cluster import cluster, programs
from conftest import costly, write_engagement
from hypothesis import given, settings
from test_intake import CORPUS, files_of, make_engagement
from test_rollup import cases

from crmlib.books import cache, server
from crmlib.books.reader import read_ledger
from crmlib.declared.engagement import open_engagement
from crmlib.declared.ledger import tables
from crmlib.declared.reading import PROJECT, CrmError, DataRejected, SettingsError

TEXTBOOK = PROJECT / "examples" / "textbook"
LONG = settings().max_examples > 100  # make test-long


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    if not (folder := programs()):
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with cluster(folder) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOKS", url)
        yield url


def declared(file: Path, table: str) -> dict[str, tuple[str, list[Any]]]:
    """A CSV file as columns of the types that the ledger wants, as far as all their values are of these: type and values."""
    con, columns = duckdb.connect(), {}
    rows = con.read_csv(str(file), all_varchar=True)
    for name in rows.columns:
        record = tables()[table].columns.get(name) if table in tables() else None
        kind = record.dtype.upper().replace("STRING", "TEXT").replace("INT64", "BIGINT") if record else "DECIMAL(18, 4)"
        given, typed = (rows.project(text).fetchall() for text in (f'"{name}"', f'TRY_CAST("{name}" AS {kind})'))
        whole = [t for (g,), (t,) in zip(given, typed, strict=True) if g is not None and t is None] == []
        columns[name] = (kind, [v for (v,) in typed]) if whole else ("TEXT", [v for (v,) in given])
    return columns


def load(url: str, ledger: Path) -> None:
    """The files of a folder as the tables of a database, and no others."""
    import pyarrow as pa

    with connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE")
        cursor.execute("CREATE SCHEMA public")
        for file in sorted(ledger.glob("*.csv")):
            columns = declared(file, file.stem)
            made = ", ".join(f'"{name}" {kind}' for name, (kind, _) in columns.items())
            named = ", ".join(f'"{name}"::{kind}' for name, (kind, _) in columns.items())
            texts = {
                c: pa.array([None if v is None else str(v) for v in vs], pa.string()) for c, (_, vs) in columns.items()
            }
            cursor.execute(f"CREATE TABLE {file.stem} ({made})")
            cursor.adbc_ingest("texts", pa.table(texts), mode="replace")
            cursor.execute(f"INSERT INTO {file.stem} SELECT {named} FROM texts")
            cursor.execute("DROP TABLE texts")


def with_settings(folder: Path, **given: Any) -> Path:
    """The same engagement with these settings."""
    path = folder / "engagement.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **given}))
    return folder


def on_database(folder: Path, engine: str) -> Path:
    """The same engagement on a database, whose columns have the ledger's names, and an engine."""
    return with_settings(folder, source="env:BOOKS", engine=engine)


def computed(folder: Path, work: Path) -> Any:
    """All that is kept of the books, row by row, or why they are not."""
    work.mkdir()
    try:
        cache._compute(open_engagement(folder), work)
    except DataRejected as error:
        return error.findings.astype(str).to_dict("records")
    except CrmError as error:
        return str(error)
    files = sorted(file for file in work.rglob("*.parquet") if not {"ledger", "sales"} & {*file.parts})
    assert len(files) > 6
    read = {file: duckdb.read_parquet(str(file)) for file in files}
    kept = {
        str(f.relative_to(work)): (r.columns, list(map(str, r.types)), sorted(map(repr, r.fetchall())))
        for f, r in read.items()
    }
    if (work / "sales").is_dir():  # which may be sums or, here alone, lines
        sales = duckdb.read_parquet(f"{work}/sales/*.parquet")
        sums = ", ".join(f"sum({c})" for c in sales.columns[3:])
        kept["sales"] = sorted(map(repr, sales.aggregate(f"customer_id, product_id, month, {sums}").fetchall()))
    return {**kept, "books": (work / "books.json").read_text()}


def assert_same(folder: Path, tmp_path: Path, url: str) -> Any:
    load(url, folder / "ledger")
    return assert_equal(on_database(folder, "duckdb"), tmp_path, engine="postgres")


def assert_equal(folder: Path, tmp_path: Path, **engine: Any) -> Any:
    """That an engine keeps what DuckDB keeps, and finds what it finds; which is returned."""
    here = computed(folder, tmp_path / "here")
    there = computed(with_settings(folder, **engine), tmp_path / "there")
    if isinstance(here, dict) and isinstance(there, dict):
        assert here.keys() == there.keys()
        for name, kept in here.items():
            assert kept == there[name], name
    assert here == there
    return here


@pytest.mark.parametrize("name", sorted(p.name for p in TEXTBOOK.iterdir() if p.is_dir()))
def test_textbook_cases_are_the_same(name: str, tmp_path: Path, url: str) -> None:
    shutil.copytree(TEXTBOOK / name, tmp_path / "case")
    assert "tie_out.parquet" in assert_same(tmp_path / "case", tmp_path, url)


@pytest.mark.skipif(not LONG, reason="the sample on a server: make test-long")
def test_the_sample_is_the_same(tmp_path: Path, url: str) -> None:
    shutil.copytree(PROJECT / "data" / "sample", tmp_path / "case")
    assert "sales" in assert_same(tmp_path / "case", tmp_path, url)


BAD = [
    case
    for case in CORPUS["cases"]
    if "formats" not in str(case.get("settings")) and "date-format" not in str(case.get("expect"))
]  # those are about text, where an engine's columns are days
CHOSEN = BAD if LONG else BAD[::9]


def written(case: dict[str, Any], folder: Path) -> list[str]:
    """A bad ledger as an engagement; the names of its files."""
    make_engagement(folder, case.get("settings"))
    files = files_of(case)
    for name, text in files.items():
        (folder / "ledger" / name).parent.mkdir(exist_ok=True)
        (folder / "ledger" / name).write_text(text, encoding="utf-8")
    return [name.removesuffix(".csv") for name in files]


@pytest.mark.parametrize("case", CHOSEN, ids=[case["name"] for case in CHOSEN])
def test_bad_ledgers_have_the_same_findings(case: dict[str, Any], tmp_path: Path, url: str) -> None:
    names = written(case, tmp_path / "case")
    if not {*names} <= tables().keys():
        pytest.skip("about the names of files")
    if "exchange_rates" in names:  # known: an engine converts no currencies
        load(url, tmp_path / "case" / "ledger")
        assert "converts no currencies" in computed(on_database(tmp_path / "case", "postgres"), tmp_path / "there")
    else:
        assert_same(tmp_path / "case", tmp_path, url)


def drawn(case: oracle.Case, folder: Path) -> Path:
    """A random ledger as an engagement."""
    rates = {n: str(getattr(case, n)) for n in ("cost_of_capital", "tax_rate", "inventory_noncapital_rate")}
    coverage = {"start": case.coverage[0], "end": case.coverage[1]}
    return write_engagement(folder, case.tables, statement=case.lines, coverage=coverage, rates=rates)


@costly(6)
@given(case=cases())
def test_random_ledgers_are_the_same(case: oracle.Case, url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    work = tmp_path_factory.mktemp("random")
    assert_same(drawn(case, work / "case"), work, url)


# --- what a server is like -------------------------------------------------------------------------------------------

ERP = """
    CREATE TABLE customers (customer_id text, customer_name text);
    INSERT INTO customers VALUES ('A', 'Adler'), ('b', 'Birch'), ('É', 'Élan'), ('Z', 'Zoll');
    CREATE TABLE lines (customer varchar(9), day timestamp, net numeric(12, 2), tax numeric(9, 3), qty int, type text, state text);
    INSERT INTO lines VALUES (' A', '2024-01-10', 100.10, 0.005, 1, 'IN', 'posted'), ('b', '2024-02-10', 50, 0, 2, 'IN', 'draft'),
        ('É', '2024-03-10', 70, 1.5, 3, 'IN', 'posted'), ('A', '2024-03-11', -20, 0, -1, 'CN', 'posted'), ('Q', '2025-03-11', 9, 0, 1, 'IN', 'posted'),
        ('A', '2024-04-01', 100.10, 0, 1, 'IN', 'posted'), ('A', '2024-04-02', -100.10, 0, -1, 'ST', 'posted'), ('A ', 'infinity', 1, 0, 1, 'XX', 'posted');
    CREATE TABLE notes (customer_id text, date date, kind text, amount numeric(18, 4), status text);
    INSERT INTO notes VALUES ('Z', '2024-03-01', 'rebate', 10.5, 'posted'), ('b', '2024-04-01', 'return', 5, 'draft')
"""
MAPPED = {
    "invoice_lines": {
        "source": "lines", "where": "state = 'posted'", "kinds": {"return": "type = 'CN'", "cancellation": "type = 'ST'", "exclude": "type = 'XX'"},
        "columns": {"customer_id": "customer", "invoice_date": {"column": "day", "cast": True}, "quantity": "qty", "gross_sales": {"column": "net + tax", "cast": True}},
    },
    "credits": {"source": "credits.sql"},
}  # fmt: skip


@pytest.fixture
def erp(tmp_path: Path, url: str) -> Path:
    """An engagement on a database of an ERP's kind."""
    with connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for each in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", *ERP.split(";")):
            cursor.execute(each)
    folder = write_engagement(tmp_path / "erp", {}, tables=MAPPED)
    (folder / "credits.sql").write_text("SELECT customer_id, date, kind, amount FROM notes WHERE status = 'posted'")
    return on_database(folder, "postgres")


def execute(url: str, *statements: str) -> None:
    with connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for each in statements:
            cursor.execute(each)


def test_conditions_expressions_kinds_and_queries_are_the_same(erp: Path, tmp_path: Path) -> None:
    there = computed(erp, tmp_path / "there")
    assert there == computed(on_database(erp, "duckdb"), tmp_path / "here")
    assert "100.1050" in str(there["lines/trade.parquet"]) + str(there["orders.parquet"])


def test_transactions_stay_on_the_server_and_nothing_is_left_there(
    erp: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Any] = []
    fetch = server.Server.fetch
    monkeypatch.setattr(server.Server, "fetch", lambda self, query: fetched.append(fetch(self, query)) or fetched[-1])
    execute(url, "INSERT INTO lines SELECT 'A', '2024-05-01', 1, 0, 1, 'IN', 'posted' FROM generate_series(1, 5000)")
    computed(erp, tmp_path / "there")
    assert fetched
    assert max(rows.num_rows for rows in fetched) <= 101
    assert not list((tmp_path / "there" / "ledger").glob("*invoice_lines*"))
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^(source|typed|books)__'")
        assert cursor.fetchone() == (0,)


def test_books_summed_by_the_server_are_kept_until_others_write(
    erp: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.filled_cache(open_engagement(erp))
    monkeypatch.setattr(cache, "_compute", None)
    assert cache.filled_cache(open_engagement(erp)) == first
    execute(url, "INSERT INTO customers VALUES ('N', 'New')")
    with pytest.raises(TypeError):
        cache.filled_cache(open_engagement(erp))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE notes ALTER amount TYPE numeric", "type-undeclared credits : amount: a number whose digits"),
        ("ALTER TABLE notes ALTER amount TYPE text", "type-not-number credits amount"),
        ("ALTER TABLE notes ALTER date TYPE text", "type-not-date credits date"),
        ("UPDATE notes SET amount = 'NaN'", "number-format credits amount"),
        ("CREATE TABLE exchange_rates AS SELECT 'EUR'::text AS currency, date '2024-01-01' AS valid_from, 1.1::numeric(18, 8) AS rate, 'ECB'::text AS source",
         "engine: postgres converts no currencies"),
    ],
)  # fmt: skip
def test_what_the_server_cannot_do_is_refused_with_the_way_out(
    change: str, said: str, erp: Path, tmp_path: Path, url: str
) -> None:
    execute(url, change)
    found = computed(erp, tmp_path / "there")
    told = (
        found
        if isinstance(found, str)
        else "; ".join(f"{f['code']} {f['table']} {f['column']}: {f['message']}" for f in found)
    )
    assert said in told


def test_a_server_needs_a_database_and_the_right_to_temporary_tables(
    erp: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(url, "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC", "CREATE ROLE reader LOGIN PASSWORD 'jackdaw'", "GRANT USAGE ON SCHEMA public TO reader",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")  # fmt: skip
    try:
        monkeypatch.setenv("BOOKS", f"postgresql://reader:jackdaw@{url.split('@')[1]}")
        assert "permission denied to create temporary tables" in computed(erp, tmp_path / "none")
    finally:
        execute(url, "GRANT TEMPORARY ON DATABASE postgres TO PUBLIC", "DROP OWNED BY reader", "DROP ROLE reader")
    folder = write_engagement(tmp_path / "files", conftest.SMALLEST, engine="postgres")
    with pytest.raises(SettingsError, match="needs a database"):
        read_ledger(open_engagement(folder), tmp_path / "work")
