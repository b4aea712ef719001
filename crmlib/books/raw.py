"""The client's source: what may be read, what a reader needs, and what it gives."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, refusal_in, rejection, shortened
from crmlib.books.headings import with_carried, with_headings
from crmlib.books.ledger import Rows, identifier, quoted, rows_of
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError, did_you_mean, sha256
from crmlib.declared.settings import Formats

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from crmlib.books.engines import Session

LOG = logging.getLogger(__name__)  # of progress
PLACE = ("_file", "_row")  # of a row in the source, in every table
WORKBOOKS = {".xlsx", ".xlsm"}


@dataclass(frozen=True)
class Raw:
    """A table as it comes: the client's columns, `_file`, and `_row` as a spreadsheet counts; None if unreadable.

    `findings` holds what was found on the way; `text` says that values were written as text and are still to be typed; `state` is
    that of the database, for a source as a whole. `in_order` is a second query for a text whose `lines` come one after another: `_row`
    is what is to be added to a line's place among them, since to number lines in a query takes as long as to read them.
    """

    table: Rows | None = None
    findings: tuple[Finding, ...] = ()
    text: bool = False
    state: str = ""
    in_order: str = ""
    lines: int = 0


@dataclass(frozen=True)
class Reader:
    """What every reader needs: the engagement, the engine, and a folder in which text is staged as Parquet.

    `session` is the engine too, where transactions stay where they lie.
    """

    engagement: Engagement
    con: DuckDBPyConnection
    work: Path
    session: Session | None = None

    def formats(self, table: str) -> Formats:
        """How the text of a table is written."""
        return self.engagement.table(table).formats or self.engagement.settings.formats

    def new_file(self) -> Path:
        """A path in the folder for staged text, whose name owes nothing to the client's."""
        return self.work / f"raw-{uuid.uuid4().hex}.parquet"

    def raw(self, query: str, where: Mapping[str, str], findings: Iterable[Finding] = (), *, text: bool = False) -> Raw:
        """The rows of a query; a rejection where there are columns and no row, the same for every reader."""
        findings = tuple(findings)
        if not findings and not self.con.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchall():
            message, way_out = "there are columns and no row", "fill it or take it away"
            return Raw(findings=(rejection("header-only", message, way_out, **where),))
        spec = self.engagement.table(where["table"])
        if (spec.heading or spec.carried) and where["file"] != spec.query:
            query, more = self._outlined(query, where, text=text)
            findings += more
        return Raw(rows_of(self.con, query), findings, text)

    def _outlined(self, query: str, where: Mapping[str, str], *, text: bool) -> tuple[str, tuple[Finding, ...]]:
        """The rows with what their headings say, and with what is written in the first of several rows alone."""
        spec, table, findings = self.engagement.table(where["table"]), where["table"], list[Finding]()
        if not text:
            raise SettingsError(
                f"tables.{table}: `heading` and `carried` are for CSV files and sheets alone, whose rows have an order; take them away"
            )
        if spec.heading:
            rows = rows_of(self.con, query)
            query, findings = with_headings(rows, spec, self.formats(table), where, self.new_file())
        if spec.carried:
            query, more = with_carried(rows_of(self.con, query), spec, where)
            findings += more
        return query, tuple(findings)

    def staged(self, file: Path, where: Mapping[str, str], findings: Iterable[Finding] = ()) -> Raw:
        """A table that was staged as text."""
        return self.raw(f"FROM read_parquet({quoted(file)})", where, findings, text=True)

    def written(self, batches: Any, where: Mapping[str, str]) -> Path:
        """Batches of rows as Parquet, numbered as they come, so that they have one order; progress is told."""
        import pyarrow as pa
        import pyarrow.compute as compute
        import pyarrow.parquet as pq

        names = batches.schema.names
        kept = [i for i, name in enumerate(names) if name not in PLACE]
        kinds = (pa.string(), pa.int64())
        schema = pa.schema([*(batches.schema.field(i) for i in kept), *zip(PLACE, kinds, strict=True)])
        path, row = self.new_file(), 2
        with pq.ParquetWriter(path, schema, store_decimal_as_integer=True) as writer:
            for batch in batches:
                numbers = pa.array(range(row, row + len(batch)), pa.int64())
                place = [pa.repeat(where["file"], len(batch)), numbers]
                if set(PLACE) <= set(
                    names
                ):  # the first of each name; a row without its place in the source has the one here
                    given = [batch.column(names.index(n)).cast(k) for n, k in zip(PLACE, kinds, strict=True)]
                    lost = compute.or_(*(compute.is_null(each) for each in given))
                    place = [compute.if_else(lost, own, each) for own, each in zip(place, given, strict=True)]
                writer.write_batch(pa.record_batch([*(batch.column(i) for i in kept), *place], schema=schema))
                row += len(batch)
                LOG.info("%s: %s rows read", where["file"], f"{row - 2:,}")
        return path

    def said(self, error: Exception) -> str:
        """The first line of the engine's own error, without any path of this machine.

        Raises
        ------
        OSError
            The system refused: the file is not to blame.
        """
        if refused := refusal_in(error):
            raise refused from None
        line = str(error).strip().splitlines()[0]
        here = [] if database_url(self.engagement) else [source_path(self.engagement).parent]
        for folder in (*here, self.work):
            line = line.replace(f"{folder}{os.sep}", "")
        return line


@dataclass(frozen=True)
class Part:
    """A file, sheet or table of the source: reads it as the table of the ledger that is named."""

    name: str
    read: Callable[[str], Raw]
    file: Path | None = None


Parts = Mapping[str, Sequence[Part]]  # by the name that a mapping or a query says


@dataclass(frozen=True)
class Source:
    """A source, opened: tables that a mapping may name, those that a query sees, and what is wrong with the whole.

    A database answers queries itself (ledger table, query's file, its text), and says in which state it was read. `others` lie in
    the folder and are no tables.
    """

    tables: Parts = field(default_factory=dict)
    queried: Parts = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    answer: Callable[[str, str, str], Raw] | None = None
    state: str = ""
    others: Sequence[str] = ()

    def parts(self, names: Iterable[str], place: str) -> list[Part]:
        """What names and patterns such as sales_*.csv mean, each once.

        Raises
        ------
        SettingsError
            Nothing has such a name; says which names there are.
        """
        parts: dict[str, Part] = {}
        for name in names:
            like = [part for known, each in self.tables.items() if fnmatchcase(known, name) for part in each]
            found = self.tables.get(name, like)
            if not found:
                there = f"; there are {', '.join(list(self.tables)[:12]) or 'none'}{did_you_mean(name, self.tables)}"
                raise SettingsError(f"{place}: {name!r} is not in the source{there}")
            parts |= {part.name: part for part in found}
        return list(parts.values())

    def read(self, names: Iterable[str], table: str, place: str) -> Raw:
        """What names and patterns mean, one below the other, as the table of the ledger that is named."""
        return together(self.parts(names, place), table)


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


def together(parts: Sequence[Part], table: str) -> Raw:
    """Files, sheets or tables of one kind, one below the other."""
    raws = [part.read(table) for part in parts]
    tables = [raw.table for raw in raws if raw.table is not None]
    findings = [*_copies(parts, table), *(f for raw in raws for f in raw.findings)]
    forms = [{(name, t.is_text(name)) for name in t.columns} for t in tables]
    if apart := sorted({name for form in forms for name, _ in form ^ forms[0]}):
        message = f"the files of {table} differ in {', '.join(apart)}: not in all of them, or text here and typed there"
        findings.append(rejection("headers-differ", message, "give all the same columns, in one form", table=table))
        return Raw(findings=tuple(findings))
    whole = next(iter(tables), None)
    if whole and len(tables) > 1:
        columns = ", ".join(map(identifier, whole.columns))
        whole = rows_of(whole.con, " UNION ALL ".join(f"SELECT {columns} FROM ({t.query})" for t in tables))
    before = [0, *accumulate(raw.lines for raw in raws)]
    placed = [
        f"SELECT * REPLACE (_row - {n} AS _row) FROM ({raw.in_order})" for n, raw in zip(before, raws, strict=False)
    ]
    in_order = " UNION ALL BY NAME ".join(placed) if all(raw.in_order for raw in raws) else ""
    return Raw(whole, tuple(findings), text=all(raw.text for raw in raws), in_order=in_order, lines=before[-1])


def _copies(parts: Sequence[Part], table: str) -> list[Finding]:
    first: dict[str, str] = {}
    hashes = [(part.name, sha256(part.file)) for part in (parts if len(parts) > 1 else ()) if part.file]
    return [
        rejection("file-twice", f"{name} has the same content as {same}", "remove one of them", table=table, file=name)
        for name, digest in hashes if (same := first.setdefault(digest, name)) != name
    ]  # fmt: skip


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
    if not path.name or not os.access(path, os.R_OK):
        told = f"source {shortened(source)!r} of {engagement.name} is not there or cannot be read"
        raise SettingsError(f"{told}; relative paths begin at engagement.yml")
    return path


def source_files(engagement: Engagement) -> dict[str, Path]:
    """Every file that the ledger may be read from, by name: no other can be."""
    queries = [t.query for t in engagement.settings.tables.values() if t.query]
    files: dict[str, Path] = {}
    if not database_url(engagement):
        path = source_path(engagement)
        beside = [path, path.with_name(f"{path.name}.wal")]  # a database, and what was written to it last
        found = [*data_files(path), *chain.from_iterable(parquet_folders(path).values())] if path.is_dir() else beside
        files = {file.relative_to(path if path.is_dir() else path.parent).as_posix(): file for file in found}
    files |= {query: engagement.folder / query for query in queries}
    return {name: file for name, file in files.items() if file.is_file()}


def all_files(path: Path) -> list[str]:
    """All that may be a file in a folder and those below it, by its path; names that begin with a dot are of tools.

    Raises
    ------
    SettingsError
        A name is no text.
    """
    found = (file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file())
    files = [file for file in found if "/." not in f"/{file}"]
    if wrong := [file for file in files if re.search("[\ud800-\udfff]", file)]:
        raise SettingsError(f"the name of the file {wrong[0]!r} is not in UTF-8; rename it")
    return files


def data_files(folder: Path) -> list[Path]:
    """The CSV and Parquet files and the workbooks of a folder.

    Raises
    ------
    SettingsError
        One has the name of a file and is none.
    """
    kinds = {".csv", ".parquet", *WORKBOOKS}
    files = [f for f in sorted(folder.iterdir()) if f.suffix.lower() in kinds and f.name[:2] != "~$" and not f.is_dir()]
    if wrong := [file.name for file in files if not file.is_file()]:
        raise SettingsError(f"{wrong[0]!r} of the source is no file, but a link to nowhere or a pipe; take it away")
    return files


def parquet_folders(folder: Path) -> dict[Path, list[Path]]:
    """The Parquet files of each folder in a folder; names that begin with a dot or _ are of those who write them."""
    folders = {sub: sorted(sub.rglob("*.parquet")) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    seen = {
        sub: [f for f in files if not re.search(r"/[._]", f"/{f.relative_to(folder)}")]
        for sub, files in folders.items()
    }
    return {sub: files for sub, files in seen.items() if files}


def wanted_tables(engagement: Engagement, available: Iterable[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Ledger name and names in the source of each table that comes straight from the source."""
    known = set(available)
    for name in tables():
        spec = engagement.table(name)
        if not spec.query and (spec.source or name in known):
            yield name, spec.source or (name,)


def place_in_query(said: str) -> str:
    """Line and column of a query's mistake, where the engine says so."""
    if not (line := re.search(r"^(LINE (\d+): ).*\n( *)\^", said, re.MULTILINE)):
        return ""
    return f", line {line[2]}, column {max(len(line[3]) - len(line[1]) + 1, 1)}"
