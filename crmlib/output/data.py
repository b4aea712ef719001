"""Data files: Parquet and CSV with exact amounts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.declared.ledger import DRIVERS
from crmlib.declared.periods import Period

if TYPE_CHECKING:
    import pyarrow as pa

    from crmlib.books.stored import Books


def export_data(books: Books, period: Period, folder: Path, lists: Mapping[str, pd.DataFrame]) -> None:
    """Write the period's tables as Parquet (amounts as DECIMAL) and as CSV (exact decimals, text as it is).

    A row per customer (the ledger's own quantities beside the lines, as `driver_orders`), per account type and segment, and per owner and month of the cube; findings, tie-out and intake as `Books`
    has them. CSV is UTF-8 with a byte-order mark, every field in quotation marks.
    """
    import pyarrow.parquet as pq

    from crmlib.books.stored import read_cube
    from crmlib.profitability import customer_profitability, group_profitability

    folder.mkdir(parents=True, exist_ok=True)
    quantities = {driver: f"driver_{driver}" for driver in (*DRIVERS, "fixed_cost_of_goods") if driver != "net_sales"}
    tables = {
        "customer_profitability": _table(customer_profitability(books, period).rename(columns=quantities)),
        "cube": _table(read_cube(books, period)),
        **{name: _table(rows) for name, rows in lists.items()},
    }
    for by in ("account_type", "segment"):
        if by in books.customers.columns:
            tables[f"{by}_profitability"] = _table(group_profitability(books, period, by).whole.reset_index())
    for name in ("findings", "tie_out", "intake"):
        tables[name] = pq.read_table(books.cache / f"{name}.parquet").replace_schema_metadata()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        _write_csv(table, folder / f"{name}.csv")


def export_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write tables as CSV, as `export_data` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        _write_csv(_table(rows), folder / f"{name}.csv")


def export_findings(findings: pd.DataFrame, path: Path) -> None:
    """Write findings as CSV, as `export_data` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(_table(findings), path)


def _table(frame: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    columns = {str(name): _column(frame[name]) for name in frame}
    money = {
        name: pa.decimal128(38, 8) for name, values in columns.items() if any(isinstance(v, Decimal) for v in values)
    }
    return pa.table({name: pa.array(values, money.get(name)) for name, values in columns.items()})


def _column(values: pd.Series) -> list[Any]:
    """Values with None where there is none: a missing value, and an empty text among numbers or dates."""
    found = [None if pd.isna(value) else value for value in values]
    if all(isinstance(value, str) for value in found if value is not None):
        return found
    known = [None if isinstance(value, str) and not value else value for value in found]
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in known]


def _write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow as pa

    columns = [_digits(column) if pa.types.is_decimal(column.type) else column.to_pylist() for column in table.columns]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*columns, strict=True))


def _digits(column: pa.ChunkedArray) -> list[str | None]:
    """Decimals with all their digits, never as 0E-8."""
    return [None if value is None else f"{value:f}" for value in column.to_pylist()]
