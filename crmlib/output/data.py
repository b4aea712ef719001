"""Data files: Parquet and CSV with exact amounts."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.books.stored import Books, cube_table
from crmlib.declared.ledger import DRIVERS
from crmlib.declared.periods import Period
from crmlib.profitability import customer_profitability, group_profitability

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 20_000  # rows that are turned into text at a time
KINDS = {  # of columns by their names, in every list
    **dict.fromkeys(("customers", "orders", "top_group", "silent_days", "payment_terms_days"), "count"),
    **dict.fromkeys(("at_stake", "worth"), "amount"),
    **dict.fromkeys(("sales", "net_margin", "yearly_margin", "score", "fall_share", "usual_gap_days", "expected", "low", "high", "judged_gain", "walk_away_share"), "number"),
    **dict.fromkeys(("month", "since", "state_since", "customer_since"), "date"),
    **dict.fromkeys(("key", "material"), "flag"),
}  # fmt: skip


def export_data(books: Books, period: Period, folder: Path, lists: Mapping[str, pd.DataFrame]) -> None:
    """Write the period's tables as Parquet (amounts as DECIMAL) and as CSV (exact decimals, text as it is).

    A row per customer (the ledger's own quantities beside the lines, as `driver_orders`), per account type and segment, and per owner and month of the cube; findings, tie-out and intake as `Books`
    has them. CSV is UTF-8 with a byte-order mark, every field in quotation marks.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    quantities = {driver: f"driver_{driver}" for driver in (*DRIVERS, "fixed_cost_of_goods") if driver != "net_sales"}
    kinds = dict.fromkeys([*books.customers, "level", "owner"], "text") | KINDS
    kinds |= dict.fromkeys((line.id for line in books.statement.lines), "amount")
    cube = cube_table(books, period)
    texts = {"level": pa.string(), "owner": pa.string(), "month": pa.date32()}
    reports = {"customer": customer_profitability(books, period).rename(columns=quantities)}
    for by in ("account_type", "segment"):
        if by in books.customers.columns:
            reports[by] = group_profitability(books, period, by).whole.reset_index()
    tables = {f"{of}_profitability": _table(report, kinds, "amount") for of, report in reports.items()}
    tables["cube"] = cube.cast(pa.schema({name: texts.get(name, pa.decimal128(38, 8)) for name in cube.column_names}))
    tables |= {name: _table(rows) for name, rows in lists.items()}
    for name in ("findings", "tie_out", "intake"):
        tables[name] = pq.read_table(books.cache / f"{name}.parquet").replace_schema_metadata()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        _write_csv(table, folder / f"{name}.csv")


def export_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write tables as CSV, as `export_data` does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        _write_csv(_table(rows, {}), folder / f"{name}.csv")


def export_findings(findings: pd.DataFrame, path: Path) -> None:
    """Write findings as CSV, as `export_data` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(_table(findings), path)


def _table(frame: pd.DataFrame, kinds: Mapping[str, str] = KINDS, otherwise: str = "") -> pa.Table:
    """A frame with each column as its kind says, so that its type is the same in every run; of others as what they hold."""
    import pyarrow as pa

    types = {"text": pa.string(), "date": pa.date32(), "flag": pa.bool_(), "count": pa.int64(), "number": pa.float64()}
    types |= {"amount": pa.decimal128(38, 8)}
    kind = {str(name): kinds.get(str(name)) or otherwise or _kind(frame[name]) for name in frame}
    return pa.table({name: pa.array(_column(frame[name], k), types[k]) for name, k in kind.items()})


def _kind(values: pd.Series) -> str:
    """What a column holds of which nobody says what it is."""
    of_type = {"b": "flag", "i": "count", "u": "count", "f": "number"}.get(getattr(values.dtype, "kind", ""), "")
    held = (value for value in values if not (isinstance(value, str) or pd.isna(value)))
    of_value = {Decimal: "amount", date: "date", bool: "flag", int: "count", float: "number"}
    return of_type or next((of_value.get(type(value), "text") for value in held), "text")


def _column(values: pd.Series, kind: str) -> list[Any]:
    """Values with None where there is none: a missing value, and an empty text among numbers or dates."""
    makes: dict[str, Callable[[Any], Any]] = {"count": int, "number": float, "amount": Decimal}
    made = makes.get(kind, lambda value: value)
    return [None if pd.isna(value) or (value == "" and kind != "text") else made(value) for value in values]


def _write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    schema = pa.schema([(name, pa.string()) for name in table.column_names])
    with path.open("wb") as file:
        file.write(BOM_UTF8)
        with csv.CSVWriter(file, schema, write_options=csv.WriteOptions(quoting_style="all_valid")) as writer:
            for rows in table.to_batches(max_chunksize=BATCH):
                writer.write_batch(pa.record_batch([_text(column).fill_null("") for column in rows.columns], schema))


def _text(column: pa.Array) -> pa.Array:
    """Values as text: decimals with all their digits, never as 0E-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    texts = column.cast(pa.string())
    if not pa.types.is_decimal(column.type):
        return texts
    nought = Decimal(0).scaleb(-column.type.scale)
    texts = pc.if_else(pc.equal(column, nought), f"{nought:f}", texts)
    short = pc.match_substring(texts, "E")
    plain = [f"{amount:f}" for amount in column.filter(short).to_pylist()]
    return pc.replace_with_mask(texts, short, pa.array(plain, pa.string()))
