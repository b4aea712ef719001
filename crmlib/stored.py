"""Roll-ups as they are kept, read by period (to be part of books/stored.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def read_rollup(path: Path, by: Sequence[str], start: date, end: date) -> pa.Table:
    """A roll-up, one file or a folder of them, summed over months from `start` to before `end`.

    One row per value of `by`, some of its keys, in their order; every DECIMAL column that any file
    has, exactly, zero where there is none.
    """
    import duckdb

    with duckdb.connect() as con:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        rows = con.read_parquet([str(file) for file in files], union_by_name=True)
        types = zip(rows.columns, map(str, rows.types), strict=True)
        amounts = {f'"{name}"': dtype for name, dtype in types if dtype.startswith("DECIMAL")}
        sums = [f"coalesce(sum({c}), 0)::{dtype} AS {c}" for c, dtype in amounts.items()]
        months = f"month >= '{start}' AND month < '{end}'"
        keys, columns = ", ".join(by), ", ".join([*by, *sums])
        query = f"SELECT {columns} FROM rows WHERE {months} GROUP BY {keys} ORDER BY {keys}"
        return rows.query("rows", query).to_arrow_table()
