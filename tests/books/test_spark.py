"""Books summed by Spark, of Parquet files: the same roll-ups, findings and tie-outs as DuckDB makes of them, and what is refused.

All in this file, so that one process starts one Java machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pytest
from cluster import free_port
from conftest import SMALLEST, costly, write_engagement
from hypothesis import given
from test_engines import BAD, LONG, TEXTBOOK, assert_equal, computed, declared, drawn, with_settings, written
from test_rollup import cases

from crmlib.books import spark
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import PROJECT, SettingsError

ENGINE = {"engine": "spark", "spark": "local[2]"}
PORT = free_port()
QUICK = {  # to start, on a few rows: nothing is compiled or planned anew for them
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",  # the same Java machine, reached by its port
    "spark.connect.grpc.binding.port": str(PORT),
}


@pytest.fixture(scope="session")
def there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Spark, set to start quickly, and to serve Spark Connect as well."""
    pytest.importorskip("pyspark", reason="Spark is not installed (pip install 'pyspark>=4,<5')")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Java is not installed (Debian: apt-get install openjdk-17-jre-headless)")
    folder = tmp_path_factory.mktemp("spark")
    (folder / "spark-defaults.conf").write_text("\n".join(map(" ".join, QUICK.items())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        spark.spark(open_engagement(with_settings(write_engagement(folder / "first", SMALLEST), **ENGINE)))


def as_parquet(folder: Path) -> Path:
    """The same engagement with its ledger as Parquet, of the types that the ledger wants."""
    for file in sorted((folder / "ledger").glob("*.csv")):
        columns = [f'"{c}"::{kind} AS "{c}"' for c, (kind, _) in declared(file, file.stem.split("-")[0]).items()]
        rows = duckdb.connect().read_csv(str(file), all_varchar=True).project(", ".join(columns))
        rows.write_parquet(str(file.with_suffix(".parquet")))
        file.unlink()
    return folder


@pytest.mark.parametrize("name", sorted(p.name for p in TEXTBOOK.iterdir() if p.is_dir()))
def test_textbook_cases_are_the_same(name: str, tmp_path: Path, there: None) -> None:
    folder = Path(shutil.copytree(TEXTBOOK / name, tmp_path / "case"))
    assert "tie_out.parquet" in assert_equal(as_parquet(folder), tmp_path, **ENGINE)


@pytest.mark.skipif(not LONG, reason="the sample on Spark: make test-long")
def test_the_sample_is_the_same(tmp_path: Path, there: None) -> None:
    folder = Path(shutil.copytree(PROJECT / "data" / "sample", tmp_path / "case"))
    assert "sales" in assert_equal(as_parquet(folder), tmp_path, **ENGINE)


CHOSEN = BAD if LONG else BAD[5::50]


@pytest.mark.parametrize("case", CHOSEN, ids=[case["name"] for case in CHOSEN])
def test_bad_ledgers_have_the_same_findings(case: dict[str, Any], tmp_path: Path, there: None) -> None:
    names = written(case, tmp_path / "case")
    folder = as_parquet(tmp_path / "case")
    if "exchange_rates" in names:  # known: an engine converts no currencies
        assert "converts no currencies" in computed(with_settings(folder, **ENGINE), tmp_path / "there")
    else:
        assert_equal(folder, tmp_path, **ENGINE)


@costly(1)
@given(case=cases())
def test_random_ledgers_are_the_same(case: oracle.Case, there: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    work = tmp_path_factory.mktemp("random")
    assert_equal(as_parquet(drawn(case, work / "case")), work, **ENGINE)


# --- folders, conditions, kinds --------------------------------------------------------------------------------------

LINES = """(VALUES ('A', DATE '2024-01-10', 100.10, 0.005, 1, 'IN', 'posted', 'a b+c%'), ('b', '2024-02-10', 50, 0, 2, 'IN', 'draft', 'a b+c%'),
    ('É', '2024-03-10', 70, 1.5, 3, 'IN', 'posted', NULL), ('A', '2024-03-11', -20, 0, -1, 'CN', 'posted', NULL), ('Q', '2025-03-11', 9, 0, 1, 'IN', 'posted', 'x'),
    ('A', '2024-04-01', 100.10, 0, 1, 'IN', 'posted', 'x'), ('A', '2024-04-02', -100.10, 0, -1, 'ST', 'posted', 'x'), ('A', '2024-04-02', 1, 0, 1, 'XX', 'posted', 'x')
    ) lines(customer, day, net, tax, qty, type, state, branch)"""
MAPPED = {
    "invoice_lines": {
        "source": "lines", "where": "state = 'posted'", "document": ["branch", "order_id"],
        "kinds": {"return": "type = 'CN'", "cancellation": "type = 'ST'", "exclude": "type = 'XX'"},
        "columns": {"customer_id": "customer", "invoice_date": "day", "order_id": "branch", "product_id": "branch", "quantity": {"column": "qty", "cast": True}, "gross_sales": {"column": "net + tax", "cast": True}},
    },
}  # fmt: skip


def in_folders(folder: Path) -> Path:
    """An engagement whose invoice lines lie in folders by branch and day, and whose credits are CSV."""
    tables = {
        "customers": "customer_id, customer_name\nA, Adler\nb, Birch\nÉ, Élan",
        "credits": "customer_id, date, kind, amount\nA, 2024-03-01, rebate, 10.50",
    }
    write_engagement(folder, tables, tables=MAPPED)
    to = folder / "ledger" / "lines"
    more = "SELECT 'b', DATE '2024-05-01', n, 0, 1, 'IN', 'posted', 'x' FROM range(1, 5000) more(n)"
    duckdb.execute(f"COPY (FROM {LINES} UNION ALL {more}) TO '{to}' (FORMAT parquet, PARTITION_BY (branch, day))")
    (to / "_SUCCESS").touch()
    return folder


def test_folders_conditions_expressions_and_kinds_are_the_same_and_lines_stay_with_spark(
    tmp_path: Path, there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[int] = []
    fetch = spark.Spark.fetch
    monkeypatch.setattr(spark.Spark, "fetch", lambda *a: (fetched.append((r := fetch(*a)).num_rows), r)[1])
    kept = assert_equal(in_folders(tmp_path / "case"), tmp_path, **ENGINE)
    assert "a b+c%" in str(kept["sales"])
    assert fetched
    assert max(fetched) <= 101


def test_by_spark_connect_it_is_the_same(tmp_path: Path, there: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grpc", reason="Spark Connect is not installed (pip install 'pyspark[connect]>=4,<5')")
    monkeypatch.setenv("CONNECT", f"sc://127.0.0.1:{PORT}")
    folder = as_parquet(write_engagement(tmp_path / "case", SMALLEST))
    assert "tie_out.parquet" in assert_equal(folder, tmp_path, engine="spark", spark="env:CONNECT")
    assert pytest.importorskip("pyspark.sql.connect.session").SparkSession.getActiveSession() is None  # it is ended


# --- what is refused -------------------------------------------------------------------------------------------------


def test_numbers_that_are_text_are_refused(tmp_path: Path, there: None) -> None:
    folder = write_engagement(tmp_path / "case", {"customers": SMALLEST["customers"]})
    duckdb.execute(
        f"COPY (SELECT 'A' AS customer_id, DATE '2024-05-01' AS invoice_date, '1' AS gross_sales) TO '{folder}/ledger/invoice_lines.parquet'"
    )
    [finding] = computed(with_settings(folder, **ENGINE), tmp_path / "there")
    assert (finding["code"], finding["column"]) == ("type-not-number", "gross_sales")


def test_a_table_of_a_catalogue_is_refused_with_the_way_out(tmp_path: Path, there: None) -> None:
    folder = write_engagement(
        tmp_path / "case", SMALLEST, tables={"invoice_lines": {"source": "sales.lines"}}, **ENGINE
    )
    assert "name the folder of Parquet in which it lies" in computed(folder, tmp_path / "there")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "books.duckdb"}, "needs a folder of Parquet files"),
        ({"source": "env:BOOKS"}, "needs a folder of Parquet files"),
        ({"spark": "env:NOWHERE"}, "the environment variable NOWHERE is not set"),
        ({}, "pyspark is not installed"),
    ],
)
def test_what_spark_lacks_is_told(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKS", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    folder = write_engagement(tmp_path / "case", SMALLEST, engine="spark", **given)
    duckdb.connect(str(folder / "books.duckdb")).close()
    with pytest.raises(SettingsError, match=said):
        spark_books(folder, tmp_path / "work")


def spark_books(folder: Path, work: Path) -> None:
    from crmlib.books.reader import read_ledger

    read_ledger(open_engagement(folder), work)
