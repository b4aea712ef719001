"""Books in which nobody is named: kept books written anew, each name and amount as a disguise has it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from crmlib.books.cache import file_sizes
from crmlib.books.ledger import connect, identifier, quoted
from crmlib.books.stored import Books
from crmlib.declared.editions import Disguise
from crmlib.declared.ledger import DRIVERS, tables

# numbers that are no amounts; whatever else has decimals is money
COUNTS = {*DRIVERS, "quantity", "unit_minutes", "practical_capacity", "numerator", "denominator", "agreed"}
NAMES = {"parent_id": "customer_id", "key": "customer_id", "account_manager": "staff"}  # of what columns hold names
OWNER = "CASE WHEN level IN ('customer', 'parent') THEN 'customer_id' ELSE level END"
OURS = {"level", "avoidable", "driver", "verdict", "code", "table", "column", "check"}  # what hold words of ours
QUOTING = {"file", "row", "value", "message"}  # columns of findings that quote the client's files


def names_in(books: Books, kind: str) -> set[str]:
    """The different names of a kind, wherever they stand in the books."""
    con, names = connect(), set[str]()
    for table in books.cache.rglob("*.parquet"):
        rows = f"read_parquet({quoted(table)})"
        types = {name: dtype for name, dtype, *_ in con.execute(f"DESCRIBE FROM {rows}").fetchall()}
        for name in (name for name, dtype in types.items() if dtype == "VARCHAR"):
            kinds = f"WHERE {_kind(table, name, types)} = {quoted(kind)}"
            names |= {
                row[0] for row in con.execute(f"SELECT DISTINCT {identifier(name)} FROM {rows} {kinds}").fetchall()
            }
    return names - {"", None}


def _kind(table: Path, name: str, types: Mapping[str, str]) -> str:
    """What a column holds names of, as an expression; '' where it is text of another sort."""
    if name == "owner":
        return OWNER if "level" in types else "'staff'"
    known = name in {"customer_id", "product_id"} or table.stem in {"customers", "products"}
    return quoted(NAMES.get(name, name if known else ""))


def write_books(books: Books, disguise: Disguise, folder: Path) -> None:
    """Write all tables of the books into a folder, names and amounts disguised, rows in an order of their own."""
    con = connect()
    con.create_function("shown_as", functools.cache(disguise.of), ["VARCHAR", "VARCHAR"], "VARCHAR")
    for source in sorted(books.cache.rglob("*.parquet")):
        target = folder / source.relative_to(books.cache)
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = f"read_parquet({quoted(source)})"
        types = {name: kind for name, kind, *_ in con.execute(f"DESCRIBE FROM {rows}").fetchall()}
        shown = {name: _shown(disguise, target, name, types) for name in types}
        if disguise.factor != 1:
            shown |= {n: _scaled(books, disguise, target, n, k) for n, k in types.items() if k[:7] == "DECIMAL"}
        columns = ", ".join(f"{value} AS {identifier(name)}" for name, value in shown.items())
        con.execute(f"COPY (SELECT {columns} FROM {rows} ORDER BY ALL) TO {quoted(target)} (FORMAT parquet)")
    record = json.loads((books.cache / "books.json").read_text(encoding="utf-8"))
    record |= {"lines": disguise.judged(record["lines"], "statement.yml"), "edition": disguise.edition}
    (folder / "books.json").write_text(json.dumps({**record, "files": file_sizes(folder)}, indent=1), encoding="utf-8")


def _shown(disguise: Disguise, table: Path, name: str, types: Mapping[str, str]) -> str:
    """A column as it is shown, as an expression."""
    value, kind = identifier(name), types[name]
    if table.stem == "findings" and name in QUOTING:
        return "replace(code, '-', ' ')" if name == "message" else "''" if kind == "VARCHAR" else f"NULL::{kind}"
    if kind != "VARCHAR" or name in OURS or (name == "line" and table.stem in {"bookings", "activity_types"}):
        return value
    blank = quoted(disguise.of(name, "")) if table.stem == "customers" and disguise.of(name, "") else value
    return f"CASE WHEN {value} <> '' THEN shown_as({_kind(table, name, types)}, {value}) ELSE {blank} END"


def _scaled(books: Books, disguise: Disguise, table: Path, name: str, kind: str) -> str:
    """An amount multiplied by the factor, rounded to its decimals; a number that is none as it is."""
    decimals = kind.partition(",")[2].rstrip(")")
    amount = f"{identifier(name)}::DECIMAL(38, {decimals})"
    scaled = f"round({amount} * {disguise.factor}::DECIMAL(6, 4), {decimals})::DECIMAL(38, {decimals})"
    return f"CASE WHEN {_is_money(books, table, name)} THEN {scaled} ELSE {amount} END"


def _is_money(books: Books, table: Path, name: str) -> str:
    """Whether the number in a column is an amount, as a condition on the row.

    Where an activity is driven by an amount, its quantity is one, and its rate, a share, is none.
    """
    if table.stem in {"intake", "tie_out"}:
        counted = ", ".join(map(quoted, _counted()))
        item = "item" if table.stem == "tie_out" else 'concat_ws(\'.\', "table", "column")'
        return f"{item} NOT IN ({counted})"
    if (table.stem, name) in {("service", "quantity"), ("rates", "rate")}:
        shares = ", ".join(map(quoted, _driven_by_amounts(books))) or "NULL"
        return f"coalesce(activity IN ({shares}), false) = {name == 'quantity'}"
    return str(table.parent.name == "lines" or name not in {*COUNTS} - {"net_sales"})


def _counted() -> list[str]:
    """Columns of the ledger whose sums are no amounts, as the checks name them."""
    plain = [
        f"{t.name}.{c.name}"
        for t in tables().values()
        for c in t.columns.values()
        if c.type not in {"money", "measure"}
    ]
    return [*plain, *(f"{name}.rows" for name in tables())]


def _driven_by_amounts(books: Books) -> list[str]:
    """Activities whose driver is net sales or a measure of invoice lines."""
    kinds = books.table("activity_types")
    if kinds is None or "driver" not in kinds:
        return []
    return [str(row.activity) for row in kinds.itertuples() if row.driver not in {"", *COUNTS} - {"net_sales"}]
