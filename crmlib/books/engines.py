"""The books where the data lie: what asks for transactions is answered there, all else by DuckDB here.

Every statement is DuckDB's. The engine here holds each relation that lies there without its rows, so that names and types are checked
and known before anything is asked; an answer comes as the types that it would have had here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from crmlib.books.ledger import identifier
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

# tables that stay where they lie; lists of customers, products, rates and the like are read
TRANSACTIONS = frozenset(n for n, t in tables().items() if n != "customers" and {"customer_id", "level"} & {*t.columns})
HOME = "books__sums_"  # begins the names of what comes here once it is made: sums by day


class Engine(Protocol):
    """What a server or cluster can do; names are flat, queries in its own words, all that is made is temporary."""

    dialect: str

    def fetch(self, query: str) -> pa.Table:
        """The rows of a query."""

    def make(self, name: str, query: str, *, stored: bool) -> None:
        """Make a view or a table anew."""

    def add(self, name: str, query: str) -> None:
        """Add rows to a table."""

    def put(self, name: str, rows: pa.Table, types: Mapping[str, str]) -> None:
        """Make a table of rows from here, with the types that DuckDB calls so."""


class Session:
    """Stands where DuckDB's connection stands, with an engine beside it."""

    def __init__(self, home: DuckDBPyConnection) -> None:
        self.home, self.held = home, ExitStack()
        self.engine: Engine | None = None
        self._there: dict[str, str] = {}  # relations whose rows lie in the engine: flat names, and those here
        self._sent: set[str] = set()  # those from here that the engine has as well
        self._types: dict[str, dict[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.home, name)

    def close(self) -> None:
        """Leave the engine, where nothing stays, and DuckDB."""
        self.held.close()
        self.home.close()

    def given(self, types: Mapping[str, str]) -> tuple[str, str]:
        """A table of the source: its name in the engine, which makes it, and the one here."""
        name = f"t{len(self._there)}"
        here = f"memory.source.{name}"
        columns = ", ".join(f"{identifier(name)} {kind}" for name, kind in types.items())
        self.home.execute(f"CREATE SCHEMA IF NOT EXISTS memory.source; CREATE TABLE {here} ({columns})")
        self._there[f"source__{name}"] = here
        return f"source__{name}", here

    def asks(self, text: str) -> bool:
        """Whether a query asks for rows that lie in the engine."""
        from crmlib.books.dialects import parsed, relations

        return bool(relations(parsed(text)).keys() & self._there)

    def execute(self, text: str) -> Any:
        """Run statements; the answer of the last one, as DuckDB gives it."""
        return [self._run(statement.query.strip().rstrip(";")) for statement in self.home.extract_statements(text)][-1]

    def _run(self, text: str) -> Any:
        from sqlglot import exp

        from crmlib.books.dialects import parsed, relations

        if re.match("DESCRIBE|SET|CREATE.* MACRO|DROP MACRO", text):
            return self.home.execute(text)
        if copied := re.fullmatch(r"COPY \((.*)\) TO ('.*') (\(FORMAT parquet.*\))", text, re.DOTALL):
            return self.home.execute(f"COPY ({self._answer(copied[1])}) TO {copied[2]} {copied[3]}")
        tree = parsed(text)
        made = next(iter(relations(tree.this).items()), None) if isinstance(tree, exp.Create | exp.Insert) else None
        asked = relations(tree.expression if tree.key == "create" and tree.expression else tree).keys() & self._there
        if not asked:
            if made:
                self._sent.discard(made[0])
                self._there.pop(made[0], None)
            return self.home.execute(text)
        if made is None:
            return self.home.execute(self._answer(text))
        done = self.home.execute(text)  # of no rows, but with all names and types
        self._make(tree, *made)
        return done

    def _make(self, tree: Any, name: str, here: str) -> None:
        assert self.engine
        if tree.key == "insert":
            self._send(name, here)
            self.engine.add(name, self._translated(tree.expression))
        else:
            self.engine.make(name, self._translated(tree.expression), stored=tree.kind == "TABLE")
        self._types.pop(name, None)
        self._there[name] = here
        if name.startswith(HOME):
            answer = self._answer(f"FROM {here}")
            del self._there[name]
            self.home.execute(f"INSERT INTO {here} {answer}")

    def _answer(self, text: str) -> str:
        """A query for what the engine answers; the query itself where it is none of its business."""
        from crmlib.books.dialects import parsed, relations

        tree = parsed(text)
        if not relations(tree).keys() & self._there:
            return text
        assert self.engine
        described = self.home.execute(f"DESCRIBE {text}").fetchall()
        rows = self.engine.fetch(self._translated(tree))
        rows = rows.rename_columns([f"c{place}" for place, _ in enumerate(described)])
        self.home.register("answer", _with_decimals(rows, [kind for _, kind, *_ in described]))
        columns = [f"c{place}::{kind} AS {identifier(name)}" for place, (name, kind, *_) in enumerate(described)]
        return f"SELECT {', '.join(columns)} FROM answer"

    def _translated(self, tree: Any) -> str:
        from crmlib.books.dialects import relations, translated

        assert self.engine
        named = relations(tree)
        for name, here in named.items():
            self._send(name, here)
            if name not in self._types:
                self._types[name] = self._described(here)
        return translated(tree, self.engine.dialect, {name: self._types[name] for name in named})

    def _send(self, name: str, here: str) -> None:
        """Let the engine have a relation of which the rows are here."""
        if name in self._sent or name in self._there:
            return
        assert self.engine
        self.engine.put(name, self.home.execute(f"FROM {here}").to_arrow_table(), self._described(here))
        self._sent.add(name)

    def _described(self, here: str) -> dict[str, str]:
        return {name: kind for name, kind, *_ in self.home.execute(f"DESCRIBE {here}").fetchall()}


def _with_decimals(rows: pa.Table, kinds: Sequence[str]) -> pa.Table:
    """Rows with numbers that came as text as decimals; one with more digits than its type stays text, for DuckDB to round, which takes a hundred times as long."""
    import pyarrow as pa

    for place, kind in enumerate(kinds):
        given = getattr(rows.schema.types[place], "storage_type", rows.schema.types[place])
        if (of := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)) and pa.types.is_string(given):
            with contextlib.suppress(pa.ArrowInvalid):
                numbers = rows[place].cast(given).cast(pa.decimal128(int(of[1]), int(of[2])))
                rows = rows.set_column(place, rows.column_names[place], numbers)
    return rows


def refuse_currencies(engine: str) -> None:
    """Stop where amounts would have to be converted."""
    way_out = "convert the amounts at the source and leave exchange_rates out, or leave `engine` out"
    raise SettingsError(f"engine: {engine} converts no currencies; {way_out}")
