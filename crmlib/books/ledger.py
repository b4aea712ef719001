"""The ledger as it was read: typed tables in a private engine."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.findings import Finding
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import COUNTED, tables

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    from ibis.backends.duckdb import Backend


SHOWN = 100  # defects of one kind in one column that are listed row by row; the rest is counted in the last
# text without blanks around it; only where there are some is it looked at mark by mark, which takes tenfold
BLANKS = [f"chr({ord(mark)})" for mark in string.whitespace]
STRIPPED = f"""CREATE TEMP MACRO stripped(text) AS CASE WHEN text < '!' OR {" OR ".join(f"suffix(text, {b})" for b in BLANKS)}
               THEN trim(text, {" || ".join(BLANKS)}) ELSE text END"""


@dataclass(frozen=True)
class Ledger:
    """The typed tables that are there, with `_file` and `_row` (as a spreadsheet counts), as unexecuted expressions.

    `defects` holds what could not be read, `state` what the database was when it was read.
    """

    engagement: Engagement
    con: Backend
    tables: Mapping[str, ir.Table]
    defects: tuple[Finding, ...]
    state: str = ""

    def has(self, table: str, *columns: str) -> bool:
        """Whether a table is there, with all these columns."""
        return table in self.tables and all(c in self.tables[table].columns for c in columns)

    def covered(self, table: str) -> ir.Table:
        """Rows of a table that count: within the engagement's coverage (all, where the table has no date), and of a kind that does."""
        expr, day, coverage = self.tables[table], tables()[table].date, self.engagement.coverage
        if table == "invoice_lines":
            expr = expr.filter(expr.kind.isin(COUNTED))
        return expr if day is None else expr.filter((expr[day] >= coverage.start) & (expr[day] < coverage.end))


def connect() -> Backend:
    """A private engine in memory that fetches nothing."""
    import ibis

    con = ibis.duckdb.connect()
    con.raw_sql("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    con.raw_sql(STRIPPED)
    return con


def close(con: Backend, folder: Path, files: Iterable[Path]) -> None:
    """Let an engine read and write in one folder, read these files beside it, and nothing else: not to be undone."""
    others = ", ".join(quoted(file) for file in files)
    con.raw_sql(
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


def sha256(file: Path) -> str:
    """Hash of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def numeric_columns(expr: ir.Table) -> list[str]:
    """Money, quantity, rate and measure columns of a typed table."""
    return [c for c, dtype in expr.schema().items() if dtype.is_decimal() and not c.startswith("_")]


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as Python text, missing text as ''; dates as dates."""
    import pandas as pd

    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.StringDtype):
            frame[name] = frame[name].fillna("").astype(object)
        elif dtype.kind == "M":
            frame[name] = frame[name].dt.date
    return frame
