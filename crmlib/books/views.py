"""The views that checks ask: every table with every column, where its rows belong, what the settings allow."""

from __future__ import annotations

from pathlib import Path

from crmlib.books.findings import BROKEN_ROWS
from crmlib.books.ledger import Ledger, identifier, numeric_columns, quoted, rows_of
from crmlib.declared.ledger import COUNTED, DRIVERS, ORDERED, tables

SHORT = 10_000  # rows
# by what rows are summed, beside the day
APART = {"invoice_lines": ["kind"], "activities": ["activity"], "costs": ["level"]}


def is_whole(ledger: Ledger, table: str, *columns: str) -> bool:
    """Whether a table is there with these columns and all its rows, so that what is not in it is unknown."""
    return ledger.has(table, *columns) and not any(d.table == table and d.code in BROKEN_ROWS for d in ledger.defects)


def make_views(ledger: Ledger) -> None:
    """Views in the schema `books`: every table with every column (`bare_TABLE` without `_assigned`), and what the statement and the settings allow."""
    others = [_placed(ledger, name) for name in tables() if name != "customers"]
    leaves = [line for line in ledger.engagement.statement.lines if not line.subtotal]
    lines = [f"({quoted(line.id)}, {not line.is_pool}, {'rates' in line.sources})" for line in leaves]
    measures = numeric_columns(ledger.tables["invoice_lines"]) if ledger.has("invoice_lines") else []
    drivers = {d: source.split(".")[0] for d, source in DRIVERS.items() if ledger.has(*source.split("."))}
    drivers |= {"credits": "credits"} if measures else {}  # returns may stand among the lines
    sources = {**dict.fromkeys(measures, "invoice_lines"), **drivers, "": ""}
    coverage = ledger.engagement.coverage
    text = Path(__file__).with_name("views.sql").read_text(encoding="utf-8")
    ledger.con.execute(text.format(
        customers=_placed(ledger, "customers"), tables="\n".join(others), lines=", ".join(lines),
        start=coverage.start, end=coverage.end, ordered=ORDERED,
        segments=", ".join(f"({quoted(segment)})" for segment in ledger.engagement.segments) or "(NULL)",
        drivers=", ".join(f"({quoted(driver)}, {quoted(source)})" for driver, source in sources.items()),
    ))  # fmt: skip


def make_sums(ledger: Ledger) -> None:
    """Make what the checks and the tie-out ask, and no roll-up (checks.sql)."""
    text = Path(__file__).with_name("checks.sql").read_text(encoding="utf-8")
    ledger.con.execute(text.format(sums="\n".join(_summed(ledger, name) for name in tables())))


def _placed(ledger: Ledger, name: str) -> str:
    """Statements for a table with all its columns and `_covered` (or without a date), as bare_NAME, and as NAME with `_assigned`, too: its owner is known."""
    table, coverage = tables()[name], ledger.engagement.coverage
    absent = [c for c in table.columns.values() if not ledger.has(name, c.name)]
    missing = "".join(f", CAST(NULL AS {c.dtype}) AS {identifier(c.name)}" for c in absent)
    within = f"{table.date} >= DATE '{coverage.start}' AND {table.date} < DATE '{coverage.end}'"
    counted = f"kind IN {COUNTED}" if name == "invoice_lines" and has_kinds(ledger) else "true"
    covered = f"coalesce({within} AND {counted}, false)" if table.date else "true"
    covered += f" AS _covered, {counted} AS _counted, {'_rate IS NOT NULL' if ledger.has(name, '_rate') else 'false'} AS _converted"
    rows = f"SELECT *, {covered}{missing} FROM typed.{name}"
    if name not in ledger.tables:
        rows = f"SELECT '' AS _file, 0 AS _row, false AS _covered, false AS _counted, false AS _converted{missing} WHERE false"
    kind = "TABLE" if _is_short(ledger, name) else "VIEW"
    return f"CREATE {kind} books.bare_{name} AS {rows}; CREATE {kind} books.{name} AS {_assigned(ledger, name)};"


def _is_short(ledger: Ledger, name: str) -> bool:
    """Whether a table has so few rows that to plan queries over views takes longer than to ask them."""
    if name not in ledger.tables or ledger.engagement.settings.engine != "duckdb":
        return False
    return ledger.con.execute(f"SELECT count(*) FROM (FROM typed.{name} LIMIT {SHORT})").fetchall() != [(SHORT,)]


def _assigned(ledger: Ledger, name: str) -> str:
    """Query for the rows of a table, looked up in the list of customers where it is whole."""
    owned = name == "costs" or (name != "customers" and "customer_id" in tables()[name].columns)
    if not (name in ledger.tables and owned and is_whole(ledger, "customers", "customer_id")):
        return f"SELECT *, true AS _assigned FROM books.bare_{name}"
    known, on = ("owners", "level, key") if name == "costs" else ("customer_ids", "customer_id")
    return f"""SELECT * EXCLUDE (_known), _known IS NOT NULL AS _assigned
               FROM books.bare_{name} LEFT JOIN (SELECT *, true AS _known FROM books.{known}) USING ({on})"""


def has_kinds(ledger: Ledger) -> bool:
    """Whether the mapping says what invoice lines are: where it does not, each is in the figures, and none is a fee."""
    return ledger.has("invoice_lines") and "kind" in rows_of(ledger.con, "FROM typed.plain_lines").columns


def _summed(ledger: Ledger, name: str) -> str:
    """Statement for the sums of a table: `_rows`, and each of its numbers."""
    keys = [key for key in (tables()[name].date, *APART.get(name, ()), "_covered", "_counted", "_assigned") if key]
    numbers = [c.name for c in tables()[name].columns.values() if c.numeric]
    numbers += numeric_columns(ledger.tables[name]) if name in ledger.tables else []
    sums = [f"sum({c}) AS {c}" for c in map(identifier, dict.fromkeys(numbers))]
    sums += ["sum(quantity) FILTER (quantity > 0) AS _units"] if name == "invoice_lines" else []
    columns = ", ".join([*keys, "count(*) AS _rows", *sums])
    kind = "TABLE" if name in ledger.tables else "VIEW"
    return f"CREATE {kind} books.sums_{name} AS SELECT {columns} FROM books.{name} GROUP BY ALL;"
