"""How the whole way from Parquet to roll-ups grows with invoice lines, beside SQL by hand of the cube alone, nothing checked.

    python benchmarks/scale.py --lines 1000000 10000000 100000000 --limit 2GB

Each in a process of its own: CPU seconds (user and system), imports not counted, and peak memory. `--limit` adds the way with so much memory for the
engine, `--postgres NAME` the ways from a database, whose URL the variable NAME holds and whose tables of the ledger's names are replaced: fetched, and
with `engine: postgres`; of these the CPU is the client's alone. The exponent is that of CPU over the smallest and the largest ledger: 1.0 is twice as much for twice the lines. 100 million lines take 5 GB of disk, and 30 GB while they are read.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import tempfile
from pathlib import Path

import pyarrow as pa
from in_turn import Run, run_in_turn
from ledger import write_ledger
from rollup import roll_up_sql
from whole import CRMLIB, open_whole

HEAD = "| invoice lines | | CPU s | wall s | peak GiB | CPU / SQL | µs a line |\n|---:|---|---:|---:|---:|---:|---:|"


def open_limited(folder: Path, out: Path, limit: str) -> float:
    """The whole way, with so much memory for the engine."""
    import duckdb

    duckdb.connect = functools.partial(duckdb.connect, config={"memory_limit": limit})  # type: ignore[assignment]
    return open_whole(folder, out, "parquet")


def load(url: str, ledger: Path) -> None:
    """The Parquet files of a ledger as tables of a PostgreSQL database."""
    import pyarrow.parquet as pq
    from adbc_driver_postgresql.dbapi import connect

    with connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for file in sorted(ledger.glob("*.parquet")):
            rows = pq.ParquetFile(file)
            batches = pa.RecordBatchReader.from_batches(rows.schema_arrow, rows.iter_batches())
            cursor.adbc_ingest(file.stem, batches, mode="replace")
            decimals = [field for field in rows.schema_arrow if pa.types.is_decimal(field.type)]
            if typed := ", ".join(f"ALTER {f.name} TYPE numeric({f.type.precision}, {f.type.scale})" for f in decimals):
                cursor.execute(f"ALTER TABLE {file.stem} {typed}")  # ADBC declares no digits


def open_there(folder: Path, out: Path, source: str, engine: str) -> float:
    """The whole way from a database, with its rows fetched or summed by the server."""
    (out / "postgres").mkdir()
    declared = (folder / "parquet/engagement.yml").read_text(encoding="utf-8")
    declared = declared.replace("source: ledger", f"source: env:{source}\nengine: {engine}")
    (out / "postgres/engagement.yml").write_text(declared, encoding="utf-8")
    return open_whole(out, out / "cache", "postgres")


def roll_up_by_hand(folder: Path, out: Path) -> None:
    roll_up_sql(folder / "parquet", out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--limit", default="", help="memory of the engine, such as 2GB")
    parser.add_argument("--folder", type=Path, help="keep the ledgers here, and use them if they are there")
    parser.add_argument("--postgres", default="", help="variable that holds the URL of a database to be overwritten")
    given, used = parser.parse_args(), {}
    ways = {
        "SQL by hand, nothing checked": (roll_up_by_hand, ("duckdb",)),
        "crmlib, the whole way": (functools.partial(open_whole, kind="parquet"), CRMLIB),
    }
    if given.limit:
        ways[f"the same with {given.limit}"] = (functools.partial(open_limited, limit=given.limit), CRMLIB)
    for engine, words in (
        {"duckdb": "fetched from PostgreSQL", "postgres": "summed by PostgreSQL"}.items() if given.postgres else ()
    ):
        ways[f"the whole way, {words}"] = (functools.partial(open_there, source=given.postgres, engine=engine), CRMLIB)
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for lines in sorted(given.lines):
            folder = (given.folder or Path(temporary)).resolve() / str(lines)
            if not (folder / "parquet").exists():
                write_ledger(folder / "parquet", lines=lines, customers=max(1, lines // 2000), seed=1, floats=False)
            if given.postgres:
                load(os.environ[given.postgres], folder / "parquet/ledger")
            runs: list[Run] = []
            for name, way in ways.items():
                [run] = run_in_turn({name: way}, folder, folder / "out", 1).values()
                runs.append(run)
                figures = f"{run['cpu']:.1f} | {run['wall']:.1f} | {run['gib']:.2f} | {run['cpu'] / runs[0]['cpu']:.2f}"
                print(f"| {lines:,} | {name} | {figures} | {run['cpu'] / lines * 1e6:.2f} |", flush=True)
            used[lines] = runs[1]["cpu"]
    least, most = min(used), max(used)
    if least < most:
        print(
            f"exponent from {least:,} to {most:,} lines: {math.log(used[most] / used[least]) / math.log(most / least):.3f}"
        )


if __name__ == "__main__":
    main()
