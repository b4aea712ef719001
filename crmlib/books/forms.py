"""What an invoice line is: sale, return, cancellation, deposit, fee, discount, or to be left out.

ERPs put them all into one table. Which is which is said by the column `kind` or by rules on the client's columns; where nothing is
said, negative sales are a return. Cancellations with what they cancel, deposits, and what is excluded stay in the table and count in no
figure.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import identifier

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


TABLES = """
    CREATE TABLE memory.typed.cancelled (_file VARCHAR, _row BIGINT);
    CREATE TABLE memory.typed.cancels_nothing (_file VARCHAR, _row BIGINT, kind VARCHAR, gross_sales DECIMAL(18, 4))"""
NEEDED = ("customer_id", "invoice_date", "gross_sales")
OPTIONAL = ("quantity", "discount", "product_id", "order_id", "cancels")

# From typed.plain_lines, whose kind may be blank. A discount on a line of its own goes to `discount`, however it is written.
GIVEN = """
    CREATE VIEW memory.typed.given AS SELECT * EXCLUDE (_kind) REPLACE (_kind AS kind{amounts}){added}
    FROM (SELECT *, CASE WHEN kind <> 'sale' THEN kind
                         WHEN gross_sales < 0 AND coalesce({quantity}, 0) <= 0 THEN 'return'
                         WHEN gross_sales = 0 AND {discount} <> 0 AND coalesce({quantity}, 0) = 0 THEN 'discount'
                         ELSE 'sale' END AS _kind FROM {lines})"""
GROSS = ", CASE WHEN _kind = 'discount' THEN 0.0000 ELSE gross_sales END AS gross_sales"
DISCOUNT = "CASE WHEN _kind = 'discount' THEN coalesce({discount}, 0) - gross_sales ELSE {discount} END::DECIMAL(18, 4) AS discount"

# A cancellation ends the nearest line before it that nothing has ended yet, as a bracket closes one: with as many lines open, those two
# follow each other.
ENDED = """
    INSERT INTO memory.typed.cancelled
    WITH lines AS (
        SELECT _file, _row, invoice_date, customer_id, {product_id} AS product_id, abs({quantity}) AS quantity,
               abs(gross_sales) AS gross, {ends} AS ends,
               sign(gross_sales) * CASE WHEN ends THEN {side} ELSE 1 END AS side, {document} AS document
        FROM memory.typed.given ANTI JOIN memory.typed.cancelled USING (_file, _row)
        WHERE kind IN ('sale', 'fee', 'return', 'cancellation') AND ({which}) AND ({among})
          AND coalesce(customer_id, '') IN (SELECT coalesce(customer_id, '') FROM memory.typed.given WHERE kind = 'cancellation')
    ),
    piles AS (
        SELECT *, sum(CASE WHEN ends THEN -1 ELSE 1 END) OVER pile + ends::INT AS depth FROM lines
        WINDOW pile AS (PARTITION BY {keys} ORDER BY invoice_date, ends, _file, _row)
    ),
    pairs AS (
        SELECT *, lag(_file) OVER level AS begun_file, lag(_row) OVER level AS begun_row, lag(ends) OVER level AS before
        FROM piles WINDOW level AS (PARTITION BY {keys}, depth ORDER BY invoice_date, ends, _file, _row)
    ),
    ended AS MATERIALIZED (FROM pairs WHERE ends AND NOT before)
    SELECT _file, _row FROM ended UNION ALL SELECT begun_file, begun_row FROM ended"""
# steps, each with the side of what is ended, among which lines, and which of them end another: where invoices are marked as cancelled, and always
MARKED: tuple[dict[str, Any], ...] = (
    {"side": -1, "among": "(kind = 'cancellation') = (gross_sales > 0)", "ends": "kind = 'cancellation'"},  # returns
    {"side": -1, "among": "kind = 'cancellation'", "ends": "gross_sales < 0"},  # invoices marked as their reversals are
    {"side": -1, "among": "kind = 'return' OR kind = 'cancellation' AND gross_sales > 0", "ends": "kind = 'return'"},
)
ALWAYS: tuple[dict[str, Any], ...] = tuple(
    {"side": s, "among": "true", "ends": "kind = 'cancellation'"} for s in (-1, 1)
)
KEYS = "customer_id, product_id, quantity, gross, side, document"

# A cancellation that cancels nothing in these books takes off sales as a return does.
SETTLED = """
    INSERT INTO memory.typed.cancels_nothing
    SELECT _file, _row, kind, gross_sales FROM memory.typed.given ANTI JOIN memory.typed.cancelled USING (_file, _row) WHERE kind = 'cancellation';
    CREATE VIEW memory.typed.invoice_lines AS
    SELECT * EXCLUDE (_cancelled) REPLACE (CASE WHEN _cancelled THEN 'cancellation'
                                                WHEN kind = 'cancellation' AND gross_sales < 0 THEN 'return' ELSE kind END AS kind)
    FROM memory.typed.given LEFT JOIN (SELECT *, true AS _cancelled FROM memory.typed.cancelled) USING (_file, _row)"""


def settle_lines(con: DuckDBPyConnection, columns: Sequence[str]) -> None:
    """Make the view typed.invoice_lines, in which every line has its kind, from typed.plain_lines with these columns.

    What a cancellation cancels is a cancellation too: both stand in typed.cancelled.
    """
    con.execute(TABLES)
    known = "kind" in columns
    lines = "memory.typed.plain_lines" if known else "(SELECT *, 'sale' AS kind FROM memory.typed.plain_lines)"
    if not set(NEEDED) <= set(columns):  # there is no reading them
        con.execute(f"CREATE VIEW memory.typed.invoice_lines AS FROM {lines}")
        return
    there = {name: identifier(name) if name in columns else "NULL" for name in OPTIONAL}
    _give_kinds(con, lines, there, moved=known and _any(con, "plain_lines", "discount"))
    if known and _any(con, "given", "cancellation"):
        _end_lines(con, there)
        con.execute(SETTLED)
    else:
        con.execute("CREATE VIEW memory.typed.invoice_lines AS FROM memory.typed.given")


def _give_kinds(con: DuckDBPyConnection, lines: str, there: dict[str, str], *, moved: bool) -> None:
    """Make the view typed.given; with `moved`, discounts that are written as sales stand in `discount`."""
    discount, known = DISCOUNT.format(**there), there["discount"] != "NULL"
    amounts = GROSS + (f", {discount}" if known else "") if moved else ""
    added = f", {discount}" if moved and not known else ""
    con.execute(GIVEN.format(lines=lines, **there, amounts=amounts, added=added))


def _any(con: DuckDBPyConnection, table: str, kind: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM memory.typed.{table} WHERE kind = '{kind}' LIMIT 1").fetchall())


def _end_lines(con: DuckDBPyConnection, there: dict[str, str]) -> None:
    """Find what each cancellation cancels: first in the document that it names or is part of, then anywhere; opposite amounts before equal ones."""
    named = f"CASE WHEN ends THEN coalesce({there['cancels']}, {there['order_id']}) ELSE {there['order_id']} END"
    unnamed = f"kind <> 'cancellation' OR {there['cancels']} IS NULL"
    ways = ((named, f"coalesce({there['cancels']}, {there['order_id']}) IS NOT NULL"), ("NULL", unnamed))
    marked = con.execute("SELECT 1 FROM memory.typed.given WHERE kind = 'cancellation' AND gross_sales > 0 LIMIT 1")
    for step, (document, which) in itertools.product((*(MARKED if marked.fetchall() else ()), *ALWAYS), ways):
        con.execute(ENDED.format(**there, **step, keys=KEYS, document=document, which=which))
