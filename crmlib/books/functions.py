"""The functions number, money and day of a .sql file: they read text by the declared formats and refuse what the direct reader refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from crmlib.books.defects import ACCEPTED, TOLD, listed
from crmlib.books.expressions import HELPERS
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.ledger import identifier
from crmlib.books.raw import Raw, Reader
from crmlib.books.typing import STEPS, step, stepped, typed_value
from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

MARK = "unread"  # begins the engine's error where a value cannot be read, before its code and the value


@contextmanager
def reading_functions(reader: Reader, table: str) -> Iterator[None]:
    """The functions for the query of a table; text that is no number stops the query, a blank too, NULL is NULL."""
    for name, kind in HELPERS.items():
        steps, code = _steps("given::VARCHAR", kind, reader.formats(table)), step("code", kind)
        dtype = f"DECIMAL(38, {SCALES[kind]})" if kind in SCALES else "DATE"
        read = f"""CASE WHEN coalesce({code}, '{ACCEPTED[0]}') IN {ACCEPTED} THEN {step("value", kind)}::{dtype}
                   ELSE error('{MARK} ' || {code} || ' ' || given::VARCHAR) END"""
        for at in reversed(STEPS):
            read = _let(step(at, kind), steps[at], read) if at in steps else read
        read = f"CASE WHEN given IS NULL THEN NULL WHEN typeof(given) <> 'VARCHAR' THEN given::{dtype} ELSE {read} END"
        reader.con.execute(f"CREATE OR REPLACE MACRO memory.main.{name.lower()}(x) AS {_let('given', 'x', read)}")
    try:
        yield
    finally:
        for name in HELPERS:  # the engine has a `day` of its own, which the checks use
            reader.con.execute(f"DROP MACRO memory.main.{name.lower()}")


def _let(name: str, value: str, expression: str) -> str:
    """An expression that names a value, which is worked out once: written into it, calls within calls would grow without end."""
    return f"list_transform([{value}], lambda {name}: {expression})[1]"


def _steps(text: str, kind: str, formats: Formats) -> dict[str, str]:
    """The steps that read a text as number, money or date; a blank is wrong where a number is needed."""
    column = Column.model_validate({"name": kind, "type": kind, "meaning": "", "blank": kind == "date"})
    return typed_value(text, "VARCHAR", column, ColumnSource.model_validate({}), formats)


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
    if raw.table is None or name not in raw.table.columns or not raw.table.is_text(name):
        return []
    rows = stepped(raw.table.query, {kind: _steps(identifier(name), kind, reader.formats(where["table"]))})
    shown = f"""SELECT _file, _row, {step("code", kind)} AS code, {identifier(name)} AS text, NULL::DECIMAL(18, 4) AS amount
                FROM ({rows}) WHERE code NOT IN {ACCEPTED}"""
    column = Column.model_validate({"name": name, "type": kind, "meaning": ""})
    return listed(reader.con, shown, column, where["table"])
