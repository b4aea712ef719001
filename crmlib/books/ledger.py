"""The ledger as it was read: typed tables in a private engine."""

from __future__ import annotations

import functools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.findings import Finding
from crmlib.declared.engagement import Engagement

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection


SHOWN = 100  # defects of one kind in one column that are listed row by row; the rest is counted in the last
BLANKS = "\u00a0\u202f"  # typographic twins of a blank


def may_begin_blank(text: str) -> str:
    """Condition that a text begins with a blank, or no letter of ASCII, among which the other blanks are: cheap, for what is hardly ever so."""
    return f"({text} < '!' OR {text} >= '{BLANKS[0]}')"


_ENDS = " OR ".join(f"suffix(text, '{blank}')" for blank in string.whitespace + BLANKS)
# text without blanks around it; only where there may be some is it looked at mark by mark, which takes tenfold
STRIPPED = f"""CREATE TEMP MACRO stripped(text) AS CASE WHEN {may_begin_blank("text")} OR {_ENDS}
               THEN trim(text, '{string.whitespace}{BLANKS}') ELSE text END"""


@dataclass(frozen=True)
class Rows:
    """A table as it is asked for, by a query that has not run: `types` says what the engine calls each column's type."""

    con: DuckDBPyConnection
    query: str
    types: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    def adding(self, columns: Mapping[str, str]) -> Rows:
        """The table with more columns, each by its expression."""
        added = ", ".join(f"{value} AS {identifier(name)}" for name, value in columns.items())
        return rows_of(self.con, f"SELECT *, {added} FROM ({self.query})") if columns else self

    def is_text(self, column: str) -> bool:
        """Whether a column is text, not a type of its own."""
        return self.types[column].startswith(("VARCHAR", "ENUM"))

    def first_file(self) -> str:
        """The file of the first row; '' without rows."""
        return next((file for (file,) in self.con.execute(f"SELECT _file FROM ({self.query}) LIMIT 1").fetchall()), "")


def rows_of(con: DuckDBPyConnection, query: str) -> Rows:
    """The table that a query asks for."""
    described = con.execute(f"DESCRIBE {query}").fetchall()
    return Rows(con, query, {name: kind for name, kind, *_ in described})


@dataclass(frozen=True)
class Ledger:
    """The typed tables that are there, views in the schema `typed`, with `_file` and `_row` (as a spreadsheet counts).

    `defects` holds what could not be read, `state` what the database was when it was read.
    """

    engagement: Engagement
    con: DuckDBPyConnection
    tables: Mapping[str, Rows]
    defects: tuple[Finding, ...]
    state: str = ""

    def has(self, table: str, *columns: str) -> bool:
        """Whether a table is there, with all these columns."""
        return table in self.tables and all(c in self.tables[table].columns for c in columns)


def connect() -> DuckDBPyConnection:
    """A private engine in memory that fetches nothing."""
    import duckdb

    con = duckdb.connect()
    con.execute(
        "SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'; SET enable_progress_bar = false; "
        "SET disabled_optimizers = 'statistics_propagation'; SET parquet_metadata_cache = true"
    )
    con.execute(STRIPPED)
    return con


@functools.cache
def _shared() -> DuckDBPyConnection:
    """The engine of this process: to start one takes longer than to sum small books."""
    import duckdb

    return duckdb.connect()


def engine(**config: str) -> DuckDBPyConnection:
    """A connection to the engine of this process, or to one so configured, without the bar of progress that it would show in a page."""
    import duckdb

    con = duckdb.connect(config=dict(config)) if config else _shared().cursor()
    con.execute("SET enable_progress_bar = false")
    return con


def close(con: DuckDBPyConnection, folder: Path, files: Iterable[Path]) -> None:
    """Let an engine read and write in one folder, read these files beside it, and nothing else: not to be undone."""
    others = ", ".join(quoted(file) for file in files)
    con.execute(
        f"SET temp_directory = {quoted(folder / 'spilt')}; SET allowed_directories = [{quoted(folder)}]; "
        f"SET allowed_paths = [{others}]; SET python_enable_replacements = false; "
        "SET enable_external_access = false; SET lock_configuration = true"
    )


def quoted(value: str | Path) -> str:
    """A text or path as a literal of SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """The name of a column or table as it stands in SQL, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def numeric_columns(rows: Rows) -> list[str]:
    """Money, quantity, rate and measure columns of a typed table."""
    return [c for c, kind in rows.types.items() if kind.startswith("DECIMAL") and not c.startswith("_")]


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as Python text, missing text as ''; dates as dates."""
    import pandas as pd

    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.StringDtype):
            frame[name] = frame[name].fillna("").astype(object)
        elif dtype.kind == "M":
            frame[name] = frame[name].dt.date
    return frame
