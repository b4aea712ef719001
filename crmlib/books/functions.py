"""The functions number, money and day of a .sql file: they read text by the declared formats and refuse what the direct reader refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crmlib.books.defects import ACCEPTED, TOLD, listed
from crmlib.books.expressions import HELPERS
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.raw import Raw, Reader
from crmlib.books.typing import typed_value
from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir

MARK = "unread"  # begins the engine's error where a value cannot be read, before its code and the value


@contextmanager
def reading_functions(reader: Reader, table: str) -> Iterator[None]:
    """The functions for the query of a table; text that is no number stops the query, a blank too, NULL is NULL."""
    import ibis
    import sqlglot
    from sqlglot import exp

    texts, given = ibis.table({"x": "string"}, name="texts"), sqlglot.parse_one("x::VARCHAR", read="duckdb")
    for name, kind in HELPERS.items():
        query = ibis.to_sql(texts.select(*_read(texts.x, kind, reader.formats(table))), dialect="duckdb")
        read = sqlglot.parse_one(query, read="duckdb").args["expressions"]
        read = [each.transform(lambda node: given.copy() if isinstance(node, exp.Column) else node) for each in read]
        value, problem = (each.unalias().sql("duckdb") for each in read)
        dtype = f"DECIMAL(38, {SCALES[kind]})" if kind in SCALES else "DATE"
        reader.con.raw_sql(f"""
            CREATE OR REPLACE MACRO memory.main.{name.lower()}(x) AS CASE
            WHEN x IS NULL THEN NULL WHEN typeof(x) <> 'VARCHAR' THEN x::{dtype}
            WHEN coalesce({problem}, '{ACCEPTED[0]}') IN {ACCEPTED} THEN {value}::{dtype}
            ELSE error('{MARK} ' || {problem} || ' ' || x::VARCHAR) END""")
    try:
        yield
    finally:
        for name in HELPERS:  # the engine has a `day` of its own, which the checks use
            reader.con.raw_sql(f"DROP MACRO memory.main.{name.lower()}")


def _read(text: Any, kind: str, formats: Formats) -> tuple[ir.Value, ir.StringValue]:
    """A text as number, money or date, and the code of what is wrong with it; a blank is wrong where a number is needed."""
    column = Column.model_validate({"name": kind, "type": kind, "meaning": "", "blank": kind == "date"})
    value, problem = typed_value(text, column, ColumnSource.model_validate({}), formats)
    return value.name("value"), problem.name("problem")


def unread_values(
    error: Exception, reader: Reader, query: str, seen: Mapping[str, Raw], where: Mapping[str, str]
) -> list[Finding]:
    """Every value that a function could not read, where the query reads it from a column; nothing for other errors."""
    if not (said := re.search(rf"{MARK} (\S+) (.*)", str(error), re.DOTALL)):
        return []
    found = [
        f for call, kind in _calls(query) for raw in seen.values() for f in _unread(reader, raw, call, kind, where)
    ]
    way_out = f"{TOLD[said[1]][1]}; the query does not read it from a column by name, so that its row is not known"
    return found or [rejection(said[1], TOLD[said[1]][0], way_out, value=shortened(said[2]), **where)]


def _calls(query: str) -> Iterator[tuple[str, str]]:
    """The columns that a query reads by these functions, each once, and as what."""
    import sqlglot
    from sqlglot import exp

    calls: dict[str, str] = {}
    for call in sqlglot.parse_one(query, read="duckdb").find_all(exp.Anonymous, exp.Day):
        kind, argument = HELPERS.get((call.name or call.key).upper()), next(call.iter_expressions(), None)
        if kind and isinstance(argument, exp.Column):
            calls[argument.name] = kind
    yield from calls.items()


def _unread(reader: Reader, raw: Raw, name: str, kind: str, where: Mapping[str, str]) -> list[Finding]:
    import ibis

    if raw.table is None or name not in raw.table.columns or not raw.table[name].type().is_string():
        return []
    text = raw.table[name]
    _, problem = _read(text, kind, reader.formats(where["table"]))
    shown = raw.table.select("_file", "_row", code=problem, text=text, amount=ibis.null("decimal(18, 4)"))
    column = Column.model_validate({"name": name, "type": kind, "meaning": ""})
    return listed(shown.filter(shown.code.notnull() & shown.code.notin(ACCEPTED)), column, where["table"])
