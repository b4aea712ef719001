"""The views that checks ask: every table with every column, where each row belongs, and what statement and settings allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crmlib.books.findings import BROKEN_ROWS
from crmlib.books.ledger import Ledger, numeric_columns, quoted
from crmlib.declared.ledger import DRIVERS, tables

LEVELS = {
    "customer": "customer_id",
    "parent": "parent_id",
    "account_type": "account_type",
    "region": "region",
    "segment": "segment",
}
SQL_TYPES = {"money": "DECIMAL(18, 4)", "quantity": "DECIMAL(18, 4)", "rate": "DECIMAL(18, 8)", "measure": "DECIMAL(18, 8)", "integer": "BIGINT",
             "date": "DATE", "month": "DATE"}  # fmt: skip


def is_whole(ledger: Ledger, table: str, *columns: str) -> bool:
    """Whether a table is there with these columns and all its rows, so that what is not in it is unknown."""
    return ledger.has(table, *columns) and not any(d.table == table and d.code in BROKEN_ROWS for d in ledger.defects)


def make_views(ledger: Ledger) -> None:
    """Views in the schema `books`: every table with every column, and what the statement and the settings allow."""
    con = ledger.con
    con.raw_sql("CREATE SCHEMA IF NOT EXISTS memory.books")
    _make_view(ledger, "owners", _owners(ledger))
    for name in tables():
        _make_view(ledger, name, _placed(ledger, name))
    leaves = [line for line in ledger.engagement.statement.lines if not line.subtotal]
    lines = [(line.id, not line.is_pool, "rates" in line.sources) for line in leaves]
    measures = numeric_columns(ledger.tables["invoice_lines"]) if ledger.has("invoice_lines") else []
    drivers = {d: source.split(".")[0] for d, source in DRIVERS.items() if ledger.has(*source.split("."))}
    _make_view(ledger, "lines", _values("lines(line, booked, rated)", lines))
    _make_view(
        ledger,
        "drivers",
        _values("drivers(driver, source)", [*drivers.items(), *((c, "invoice_lines") for c in measures), ("", "")]),
    )
    _make_view(
        ledger,
        "months",
        "SELECT CAST(month AS DATE) AS month FROM ("
        + _values("m(month)", [(m,) for m in ledger.engagement.coverage.month_starts()])
        + ")",
    )
    days = (f"SELECT '{n}' AS source, min({d}) AS day FROM books.{n} WHERE _covered GROUP BY date_trunc('month', {d})"
            for n, d in (("invoice_lines", "invoice_date"), ("credits", "date")))  # fmt: skip
    _make_view(ledger, "driver_days", " UNION ALL ".join(days))
    _make_view(
        ledger, "first_rates", "SELECT activity, min(valid_from) AS first_day FROM books.rates GROUP BY activity"
    )
    _make_view(ledger, "pool_months", "SELECT DISTINCT pool, month FROM books.capacity WHERE pool IS NOT NULL")


def _make_view(ledger: Ledger, name: str, query: str) -> None:
    ledger.con.raw_sql(f"CREATE OR REPLACE VIEW memory.books.{name} AS {query}")


def _values(name: str, rows: Sequence[tuple[Any, ...]]) -> str:
    told = ", ".join("(" + ", ".join(str(v) if isinstance(v, bool) else quoted(v) for v in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {told}) AS {name}"


def _owners(ledger: Ledger) -> str:
    """Query for level and key of everyone who can own a cost."""
    there = {level: c for level, c in LEVELS.items() if ledger.has("customers", c)}
    ruled = [("segment", name) for name in ledger.engagement.segments] or [("", "")]
    named = (f"SELECT '{level}' AS level, {c} AS key FROM typed.customers" for level, c in there.items())
    return " UNION ".join([*named, _values("segments(level, key)", ruled)])


def _placed(ledger: Ledger, name: str) -> str:
    """Query for a table with all its columns, `_covered` (or without a date) and `_assigned` (to a known customer or owner)."""
    table, coverage = tables()[name], ledger.engagement.coverage
    missing = "".join(
        f", CAST(NULL AS {SQL_TYPES.get(c.type, 'VARCHAR')}) AS {c.name}"
        for c in table.columns.values()
        if not ledger.has(name, c.name)
    )
    if name not in ledger.tables:
        return f"SELECT '' AS _file, 0 AS _row, false AS _covered, false AS _assigned{missing} WHERE false"
    covered = (
        f"coalesce({table.date} >= DATE '{coverage.start}' AND {table.date} < DATE '{coverage.end}', false)"
        if table.date
        else "true"
    )
    on = "USING (level, key)" if name == "costs" else "USING (customer_id)"
    owned = name == "costs" or (name != "customers" and "customer_id" in table.columns)
    if not (owned and is_whole(ledger, "customers", "customer_id")):
        return f"SELECT *, {covered} AS _covered, true AS _assigned{missing} FROM typed.{name}"
    known = "books.owners" if name == "costs" else "(SELECT DISTINCT customer_id FROM typed.customers)"
    return f"SELECT * EXCLUDE (_known), {covered} AS _covered, _known IS NOT NULL AS _assigned{missing} FROM typed.{name} LEFT JOIN (SELECT *, true AS _known FROM {known}) {on}"
