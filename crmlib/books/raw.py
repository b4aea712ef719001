"""The client's source: what may be read, what a reader needs, and what it gives."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, rejection
from crmlib.books.ledger import quoted
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError, did_you_mean
from crmlib.declared.settings import Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

LOG = logging.getLogger(__name__)  # of progress


@dataclass(frozen=True)
class Raw:
    """A table as it comes: the client's columns, `_file`, and `_row` as a spreadsheet counts; None if unreadable.

    `findings` holds what was found on the way; `text` says that values were written as text and are still to be typed; `state` is
    that of the database, for a source as a whole.
    """

    table: ir.Table | None = None
    findings: tuple[Finding, ...] = ()
    text: bool = False
    state: str = ""


@dataclass(frozen=True)
class Reader:
    """What every reader needs: the engagement, the engine, and a folder in which text is staged as Parquet."""

    engagement: Engagement
    con: Backend
    work: Path

    def formats(self, table: str) -> Formats:
        """How the text of a table is written."""
        return self.engagement.table(table).formats or self.engagement.settings.formats

    def new_file(self) -> Path:
        """A path in the folder for staged text, whose name owes nothing to the client's."""
        return self.work / f"raw-{uuid.uuid4().hex}.parquet"

    def raw(self, query: str, where: Mapping[str, str], findings: Iterable[Finding] = (), *, text: bool = False) -> Raw:
        """The rows of a query; a rejection where there are columns and no row, the same for every reader."""
        findings = tuple(findings)
        if not findings and not self.con.raw_sql(f"SELECT 1 FROM ({query}) LIMIT 1").fetchall():
            message, way_out = "there are columns and no row", "fill it or take it away"
            return Raw(findings=(rejection("header-only", message, way_out, **where),))
        return Raw(self.con.sql(query), findings, text)

    def staged(self, file: Path, where: Mapping[str, str], findings: Iterable[Finding] = ()) -> Raw:
        """A table that was staged as text."""
        return self.raw(f"FROM read_parquet({quoted(file)})", where, findings, text=True)

    def written(self, batches: Any, where: Mapping[str, str]) -> Path:
        """Batches of rows as Parquet, numbered as they come, so that they have one order; progress is told."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([*batches.schema, ("_file", pa.string()), ("_row", pa.int64())])
        path, row = self.new_file(), 2
        with pq.ParquetWriter(path, schema, store_decimal_as_integer=True) as writer:
            for batch in batches:
                numbers = pa.array(range(row, row + len(batch)), pa.int64())
                columns = [*batch.columns, pa.repeat(where["file"], len(batch)), numbers]
                writer.write_batch(pa.record_batch(columns, schema=schema))
                row += len(batch)
                LOG.info("%s: %s rows read", where["file"], f"{row - 2:,}")
        return path

    def said(self, error: Exception) -> str:
        """The first line of the engine's own error, without any path of this machine."""
        line = str(error).strip().splitlines()[0]
        here = [] if database_url(self.engagement) else [source_path(self.engagement).parent]
        for folder in (*here, self.work):
            line = line.replace(f"{folder}{os.sep}", "")
        return line


Tables = Mapping[str, Callable[[str], Raw]]  # by name in the source: reads it as the table of the ledger that is named


@dataclass(frozen=True)
class Source:
    """A source, opened: tables that a mapping may name, those that a query sees, and what is wrong with the whole.

    A database answers queries itself (ledger table, query's file, its text), and says in which state it was read.
    """

    tables: Tables = field(default_factory=dict)
    queried: Tables = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    answer: Callable[[str, str, str], Raw] | None = None
    state: str = ""


def database_url(engagement: Engagement) -> str:
    """The URL of the database that the source names; '' where it is no database.

    Raises
    ------
    SettingsError
        The URL is of another kind of database; it is not shown.
    """
    source = engagement.settings.source
    url = os.environ.get(source[4:], "") if source.startswith("env:") else ""
    scheme, mark, _ = url.partition("://")
    if mark and scheme not in {"postgresql", "postgres"}:
        raise SettingsError(f"source {source}: its value must begin with postgresql:// (or be the path of files)")
    return url if mark else ""


def source_path(engagement: Engagement) -> Path:
    """The folder, workbook or database of an engagement; `env:NAME` reads the path from the environment.

    Raises
    ------
    SettingsError
        The variable is not set, or nothing is there.
    """
    source = engagement.settings.source
    if source.startswith("env:"):
        if not (value := os.environ.get(source[4:])):
            raise SettingsError(f"source is {source}, but the environment variable {source[4:]} is not set")
        path = Path(value).expanduser().resolve()
    else:
        path = (engagement.folder / source).resolve()
    if not path.exists():
        raise SettingsError(
            f"source {source!r} of {engagement.name} is not there; relative paths begin at engagement.yml"
        )
    return path


def source_files(engagement: Engagement) -> dict[str, Path]:
    """Every file that the ledger may be read from, by name: no other can be."""
    queries = [t.source for t in engagement.settings.tables.values() if t.source and t.source.endswith(".sql")]
    files: dict[str, Path] = {}
    if not database_url(engagement):
        path = source_path(engagement)
        beside = [path, path.with_name(f"{path.name}.wal")]  # a database, and what was written to it last
        files = {file.name: file for file in (data_files(path) if path.is_dir() else beside)}
    files |= {query: engagement.folder / query for query in queries}
    return {name: file for name, file in files.items() if file.is_file()}


def data_files(folder: Path) -> list[Path]:
    """The CSV and Parquet files of a folder."""
    return [f for f in sorted(folder.iterdir()) if f.is_file() and f.suffix.lower() in {".csv", ".parquet"}]


def wanted_tables(engagement: Engagement, available: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Ledger name and source name of each table that comes straight from the source."""
    known = list(available)
    for name in tables():
        mapped = engagement.table(name).source
        source = mapped or name
        if source.endswith(".sql") or not (mapped or name in known):
            continue
        if source not in known:
            there = f"; there are {', '.join(known[:12]) or 'none'}{did_you_mean(source, known)}"
            raise SettingsError(f"tables.{name}.source: {source!r} is not in the source{there}")
        yield name, source


def place_in_query(said: str) -> str:
    """Line and column of a query's mistake, where the engine says so."""
    if not (line := re.search(r"^(LINE (\d+): ).*\n( *)\^", said, re.MULTILINE)):
        return ""
    return f", line {line[2]}, column {max(len(line[3]) - len(line[1]) + 1, 1)}"
