"""The whole way of a user, files → checked → tied out → roll-ups, beside SQL by hand and what reads the same text and groups it.

    python benchmarks/whole.py --lines 1000000

Each in a process of its own, in turn: CPU seconds (user and system) of the work, imports not counted, and the peak memory of the process. The sums
by customer and month of all ways are compared before a figure is printed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from in_turn import arguments, run_in_turn
from ledger import write_ledger
from rollup import roll_up_sql

WAYS = {
    "parquet": "crmlib, the whole way from Parquet",
    "csv": "crmlib, the whole way from CSV",
    "sql": "DuckDB SQL by hand from Parquet: the cube alone, nothing checked",
    "duckdb": "DuckDB's text reader, one GROUP BY of the invoice lines",
    "pandas": "pandas' text reader, one groupby of the invoice lines, in floating point",
}
QUERY = "SELECT customer_id, date_trunc('month', invoice_date) AS month, sum(gross_sales) AS sales FROM {} GROUP BY ALL"


def open_whole(folder: Path, out: Path, kind: str) -> float:
    os.environ["CRM_CACHE"] = str(out)
    from crmlib.books.stored import open_books

    books = open_books(folder / kind)
    return float(books.intake.query("table == 'invoice_lines' and column == 'gross_sales'")["read"].iloc[0])


def roll_up_by_hand(folder: Path, out: Path) -> None:
    roll_up_sql(folder / "parquet", out)


def group_duckdb(folder: Path, _: Path) -> float:
    import duckdb

    con = duckdb.connect()
    con.execute(f"CREATE TABLE grouped AS {QUERY.format(repr(str(folder / 'csv/ledger/invoice_lines.csv')))}")
    return float(con.sql("SELECT sum(sales) FROM grouped").fetchall()[0][0])


def group_pandas(folder: Path, _: Path) -> float:
    import pandas as pd

    lines = pd.read_csv(folder / "csv/ledger/invoice_lines.csv", parse_dates=["invoice_date"], date_format="%Y-%m-%d")
    month = lines["invoice_date"].dt.to_period("M")
    return float(lines.groupby(["customer_id", month], dropna=False)["gross_sales"].sum().sum())


def write_text(folder: Path) -> None:
    """The same ledger as CSV."""
    import duckdb

    (folder / "csv/ledger").mkdir(parents=True)
    shutil.copy(folder / "parquet/engagement.yml", folder / "csv")
    for file in sorted((folder / "parquet/ledger").glob("*.parquet")):
        duckdb.execute(f"COPY (FROM '{file}') TO '{folder}/csv/ledger/{file.stem}.csv' (HEADER)")


CRMLIB = ("pandas", "pyarrow.parquet", "duckdb", "sqlglot", "crmlib.books.stored")
WORK = {
    "parquet": (partial(open_whole, kind="parquet"), CRMLIB),
    "csv": (partial(open_whole, kind="csv"), CRMLIB),
    "sql": (roll_up_by_hand, ("duckdb",)),
    "duckdb": (group_duckdb, ("duckdb",)),
    "pandas": (group_pandas, ("pandas",)),
}


def main() -> None:
    parser = arguments(__doc__, repeat=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        if not (folder / "parquet").exists():
            write_ledger(folder / "parquet", lines=given.lines, customers=max(1, given.lines // 2000), seed=1)
        if not (folder / "csv").exists():
            write_text(folder)
        middle = run_in_turn({way: WORK[way] for way in given.ways}, folder, folder / "out", given.repeat)
    totals = {way: run["made"] for way, run in middle.items() if run["made"] is not None}  # the cube by hand has none
    assert not totals or max(totals.values()) - min(totals.values()) <= 1e-6 * max(totals.values()), totals
    print("| | CPU s | wall s | peak GiB | CPU / SQL |\n|---|---:|---:|---:|---:|")
    for way, m in middle.items():
        ratio = m["cpu"] / middle["sql"]["cpu"] if "sql" in middle else float("nan")
        print(f"| {WAYS[way]} | {m['cpu']:.2f} | {m['wall']:.2f} | {m['gib']:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
