"""A PostgreSQL server as the engine of the books: its transactions are summed where they lie, in temporary tables of one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, rejection
from crmlib.books.ledger import identifier, quoted
from crmlib.books.raw import Raw, Reader

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Server:
    """A cursor in its one transaction; `explained` turns what the driver says into errors for people."""

    cursor: Any
    explained: Callable[[str, str], AbstractContextManager[None]]
    dialect = "postgres"

    def fetch(self, query: str) -> pa.Table:
        """The rows of a query; numbers come as text."""
        self.run(query)
        return self.cursor.fetch_arrow_table()

    def make(self, name: str, query: str, *, stored: bool) -> None:
        """Make a temporary view or table anew."""
        kind, named = "TABLE" if stored else "VIEW", identifier(name)
        self.run(f"DROP {kind} IF EXISTS {named} CASCADE")
        self.run(f"CREATE TEMPORARY {kind} {named} AS {query}")
        if stored:
            self.run(f"ANALYZE {named}")

    def add(self, name: str, query: str) -> None:
        """Add rows to a temporary table."""
        self.run(f"INSERT INTO {identifier(name)} {query}")

    def put(self, name: str, rows: pa.Table, types: Mapping[str, str]) -> None:
        """Make a temporary table of rows from here, which go as text."""
        import pyarrow as pa

        texts = pa.table({column: rows[column].cast(pa.string()) for column in rows.column_names})
        with self.explained(name, "run again"):
            self.cursor.adbc_ingest("sent_texts", texts, mode="replace", temporary=True)
        columns = ", ".join(_as_typed(column, kind) for column, kind in types.items())
        self.make(name, f"SELECT {columns} FROM sent_texts", stored=True)

    def run(self, statement: str) -> None:
        """Run a statement."""
        way_out = "raise query_timeout_seconds, let the user make temporary tables, or leave `engine` out"
        with self.explained("engine: postgres", way_out):
            self.cursor.execute(statement)


def _as_typed(column: str, kind: str) -> str:
    from crmlib.books.dialects import engine_type

    value = identifier(column)
    if kind == "VARCHAR":
        value = f'{value}::text COLLATE "C"'  # in the order of its letters' numbers, as here
    elif kind in {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}:  # a day without end is none
        value = f"{value}::{engine_type(kind, 'postgres')}"
        value = f"CASE WHEN isfinite({value}) THEN {value} END"
    else:
        value = f"{value}::{engine_type(kind, 'postgres')}"
    return f"{value} AS {identifier(column)}"


def held(
    reader: Reader, server: Server, rows: str, types: Mapping[str, str], where: Mapping[str, str], others: Iterable[str]
) -> Raw:
    """A table of transactions, which stays on the server: columns with their types as DuckDB calls them, others by name alone.

    It is copied there into a temporary table, in which each row has its number.
    """
    assert reader.session
    if free := [name for name, kind in types.items() if not kind]:
        message = f"{', '.join(free)}: a number whose digits and decimals are not declared"
        way_out = "declare them, such as numeric(18, 4), by a view or in a .sql mapping, or leave `engine` out"
        return Raw(findings=(rejection("type-undeclared", message, way_out, **where),))
    name, here = reader.session.given({**types, "_file": "VARCHAR", "_row": "BIGINT"})
    place = f"""{quoted(where["file"])}::text COLLATE "C" AS _file, row_number() OVER () + 1 AS _row"""
    columns = ", ".join([*(_as_typed(column, kind) for column, kind in types.items()), place])
    server.make(name, f"SELECT {columns} FROM {rows}", stored=True)
    for column in [column for column, kind in types.items() if kind.startswith("DECIMAL")]:
        found = server.fetch(f"SELECT _row FROM {name} WHERE {identifier(column)} = 'NaN' ORDER BY _row LIMIT 1")
        for row in found["_row"].to_pylist():
            return Raw(findings=(no_number(row, column, "NaN", where),))
    added = "".join(f", NULL::VARCHAR AS {identifier(other)}" for other in others)
    return reader.raw(f"SELECT *{added} FROM {here}", where)


def no_number(row: int, column: str, value: str, where: Mapping[str, str]) -> Finding:
    """The rejection of a number that is none."""
    message, way_out = "a number that is none", "mend it in the database, or leave the row out"
    return rejection("number-format", message, way_out, row=row, column=column, value=value, **where)
