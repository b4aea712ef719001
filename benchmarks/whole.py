"""The whole way of a user, files → checked → tied out → roll-ups, beside SQL by hand and what reads the same text and groups it.

    python benchmarks/whole.py --lines 1000000

Each in a process of its own, in turn: CPU seconds (user and system) of the work, imports not counted, and the peak memory of the process. The sums
by customer and month of all ways are compared before a figure is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def group_duckdb(folder: Path) -> float:
    import duckdb

    con = duckdb.connect()
    con.execute(f"CREATE TABLE grouped AS {QUERY.format(repr(str(folder / 'csv/ledger/invoice_lines.csv')))}")
    return float(con.sql("SELECT sum(sales) FROM grouped").fetchall()[0][0])


def group_pandas(folder: Path) -> float:
    import pandas as pd

    lines = pd.read_csv(folder / "csv/ledger/invoice_lines.csv", parse_dates=["invoice_date"], date_format="%Y-%m-%d")
    month = lines["invoice_date"].dt.to_period("M")
    return float(lines.groupby(["customer_id", month], dropna=False)["gross_sales"].sum().sum())


def run_child(way: str, folder: Path, out: Path) -> None:
    """Do it in this process, and print what it took and the sum of sales."""
    modules = {"pandas": ["pandas"], "duckdb": ["duckdb"], "sql": ["duckdb"]}
    for name in modules.get(way, ["pandas", "pyarrow.parquet", "ibis.backends.duckdb", "crmlib.books.stored"]):
        __import__(name)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if way == "sql":
        total = roll_up_sql(folder / "parquet", out)
    else:
        total = {"duckdb": group_duckdb, "pandas": group_pandas}.get(way, lambda f: open_whole(f, out, way))(folder)
    wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime
    print(json.dumps({"cpu": cpu, "wall": wall, "gib": used.ru_maxrss / 1024**2, "total": total}))


def write_text(folder: Path) -> None:
    """The same ledger as CSV."""
    import duckdb

    (folder / "csv/ledger").mkdir(parents=True)
    shutil.copy(folder / "parquet/engagement.yml", folder / "csv")
    for file in sorted((folder / "parquet/ledger").glob("*.parquet")):
        duckdb.execute(f"COPY (FROM '{file}') TO '{folder}/csv/ledger/{file.stem}.csv' (HEADER)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="invoice lines")
    parser.add_argument("--repeat", type=int, default=1, help="rounds; the median is shown")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--folder", type=Path, help="keep the ledger here, and use it if it is there")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        run_child(given.child, given.folder, given.out)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        if not (folder / "parquet").exists():
            write_ledger(folder / "parquet", lines=given.lines, customers=max(1, given.lines // 2000), seed=1)
        if not (folder / "csv").exists():
            write_text(folder)
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in given.ways}
        for _ in range(given.repeat):
            for way, found in runs.items():
                command = [sys.executable, "-W", "ignore", __file__, "--child", way]
                command += ["--folder", str(folder), "--out", str(folder / f"out-{way}")]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout.splitlines()[-1]))
    totals = {way: found[0]["total"] for way, found in runs.items() if found[0]["total"] is not None}
    assert max(totals.values()) - min(totals.values()) <= 1e-6 * max(totals.values()), totals
    print("| | CPU s | wall s | peak GiB | CPU / SQL |\n|---|---:|---:|---:|---:|")
    middle = {way: sorted(found, key=lambda run: run["cpu"])[len(found) // 2] for way, found in runs.items()}
    for way, m in middle.items():
        ratio = m["cpu"] / middle["sql"]["cpu"] if "sql" in middle else float("nan")
        print(f"| {WAYS[way]} | {m['cpu']:.2f} | {m['wall']:.2f} | {m['gib']:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
