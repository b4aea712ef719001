"""Amounts in other currencies: into the engagement's, at the rate of their day, each conversion told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlib.books.findings import Finding
from crmlib.books.ledger import identifier, quoted
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import DTYPES, SCALES, Table, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

RATED = """
    CREATE VIEW memory.typed.rated_{table} AS SELECT t.*, r.rate AS _rate, r.source AS _source
    FROM memory.typed.foreign_{table} t ASOF LEFT JOIN (FROM memory.typed.exchange_rates WHERE rate > 0) r
      ON upper(t.currency) = upper(r.currency) AND {day} >= r.valid_from AND upper(t.currency) <> {wanted}"""
TOLD = """
    SELECT currency, count(*), sum({amount}), sum({converted}), string_agg(DISTINCT _source, ', '), min(_file), min_by(_row, (_file, _row))
    FROM memory.typed.rated_{table} WHERE _rate IS NOT NULL GROUP BY currency ORDER BY currency"""


def convert(con: DuckDBPyConnection, engagement: Engagement, name: str, columns: Sequence[str]) -> list[Finding]:
    """Replace the view of a table by one whose amounts are in the engagement's currency; what was converted, by currency.

    A row whose currency has no rate on its day keeps its amounts, and a blank `_rate`.
    """
    table = tables()[name]
    amounts = [c for c in columns if _is_amount(engagement, table, c)]
    if "currency" not in columns or not table.date or not amounts:
        return []
    date = f"t.{table.date}"
    day = f"last_day({date})" if table.columns[table.date].type == "month" else date
    wanted = quoted(engagement.settings.currency)
    con.execute(f"ALTER VIEW memory.typed.{name} RENAME TO foreign_{name}")
    con.execute(RATED.format(table=name, day=day, wanted=wanted))
    replaced = ", ".join(f"coalesce({_converted(table, c)}, {identifier(c)}) AS {identifier(c)}" for c in amounts)
    con.execute(
        f"CREATE VIEW memory.typed.{name} AS SELECT * EXCLUDE (_source) REPLACE ({replaced}) FROM memory.typed.rated_{name}"
    )
    first = amounts[0]
    rows = con.execute(TOLD.format(table=name, amount=identifier(first), converted=_converted(table, first))).fetchall()
    return [
        Finding("accept", "currency-converted", f"{before:,.2f} {currency} are {after:,.2f} {engagement.settings.currency} by the rates of {source}", "nothing to do",
                table=name, file=file, row=row, column=first, value=currency, count=count, amount=after)
        for currency, count, before, after, source, file, row in rows
    ]  # fmt: skip


def _is_amount(engagement: Engagement, table: Table, column: str) -> bool:
    measures = {m for line in engagement.statement.lines for m in line.measures}
    return (column in table.columns and table.columns[column].type == "money") or (
        table.name == "invoice_lines" and column in measures
    )


def _converted(table: Table, column: str) -> str:
    """An amount at its rate, rounded to its decimals, half away from zero."""
    kind = table.columns[column].type if column in table.columns else "measure"
    return f"CAST(CAST({identifier(column)} AS DECIMAL(20, {SCALES[kind]})) * _rate AS {DTYPES[kind]})"
