"""The books as they come: a folder of files, a workbook or a database, each row with its file and its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from crmlib.books.csv_files import read_csv
from crmlib.books.databases import database
from crmlib.books.findings import Finding, UnreadableError, rejection, shortened
from crmlib.books.joins import joined
from crmlib.books.ledger import quoted
from crmlib.books.postgres import postgres
from crmlib.books.queries import named_in, read_queries
from crmlib.books.raw import WORKBOOKS, Part, Raw, Reader, Source, data_files, database_url, source_path, wanted_tables
from crmlib.books.unread import unread_files
from crmlib.books.workbooks import workbook
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables as ledger_tables
from crmlib.declared.reading import SettingsError


def read_raw(reader: Reader) -> dict[str, Raw]:
    """Every table of the ledger that is there, by name; what is wrong with the source as a whole stands under ''.

    Raises
    ------
    SettingsError
        The source is not there, is of no known kind, or a mapping names something that is not in it.
    """
    with nullcontext(reader.session.held) if reader.session else ExitStack() as opened:
        source = opened.enter_context(_opened(reader))
        direct = [] if source.findings else list(wanted_tables(reader.engagement, source.tables))
        tables = {name: source.read(names, name, f"tables.{name}.source") for name, names in direct}
        tables |= read_queries(reader, source)
        tables = {name: _with_joins(reader, source, name, raw) for name, raw in tables.items()}
        unread = [] if source.findings else unread_files(reader, source, _read_parts(reader, source, direct), tables)
    reader.con.execute("SET search_path = 'memory.main'")  # a database's own names are no longer seen
    return {"": Raw(findings=(*source.findings, *unread), state=source.state), **tables}


def _read_parts(reader: Reader, source: Source, direct: Iterable[tuple[str, Sequence[str]]]) -> set[str]:
    """The files, sheets or tables that some table is read from, joined to, or queried from."""
    specs = [reader.engagement.table(name) for name in ledger_tables()]
    names = [name for _, each in direct for name in each] + [name for spec in specs for name in spec.join]
    queried = [part.name for query in (s.query for s in specs if s.query) for part in named_in(reader, source, query)]
    return {*queried, *(part.name for part in source.parts(names, "source"))}


def _opened(reader: Reader) -> AbstractContextManager[Source]:
    if url := database_url(reader.engagement):
        return postgres(reader, url)
    if reader.session:
        raise SettingsError("engine: postgres needs a database, `source: env:NAME`; for files leave `engine` out")
    path = source_path(reader.engagement)
    if path.is_dir():
        return nullcontext(_folder(reader, path))
    if path.suffix.lower() in WORKBOOKS:
        return nullcontext(workbook(reader, path))
    if path.suffix.lower() in {".duckdb", ".db"}:
        return nullcontext(database(reader, path))
    raise SettingsError(f"source {path.name}: expected a folder, an .xlsx workbook or a .duckdb file")


def _with_joins(reader: Reader, source: Source, table: str, raw: Raw) -> Raw:
    """A table with the columns of those to which its mapping joins it.

    Raises
    ------
    SettingsError
        The mapping names a table that is not there, or a header's row where there is none.
    """
    if reader.engagement.table(table).header_row > 1 and not (raw.text or raw.findings):
        raise SettingsError(
            f"tables.{table}.header_row: only CSV files and sheets have rows above a header; take it away"
        )
    others = {name: source.read([name], table, f"tables.{table}.join") for name in reader.engagement.table(table).join}
    return joined(reader, raw, table, others) if others else raw


def _folder(reader: Reader, folder: Path) -> Source:
    """Files by table, `costs-2024.csv` beside `costs-2025.csv`; a query sees each under its own name.

    Sheets of workbooks among them are `workbook:sheet`, and an only sheet has the workbook's name.
    """
    groups: dict[str, list[Part]] = {}
    single: dict[str, list[Part]] = {}
    sheets: dict[str, list[Part]] = {}
    books = {file: workbook(reader, file) for file in data_files(folder) if file.suffix.lower() in WORKBOOKS}
    parts = [Part(file.name, partial(_file, reader, file), file) for file in data_files(folder) if file not in books]
    for part in parts:
        stem = part.name.rsplit(".", 1)[0]
        groups.setdefault(stem.split("-")[0], []).append(part)
        single.setdefault(stem, []).append(part)
    for file, book in books.items():
        for finding in book.findings:  # of a workbook that cannot be opened: told to the table that is read from it
            broken = [Part(file.name, partial(_unreadable, finding))]
            names = [n for n in _mapped(reader.engagement) if n.startswith(f"{file.stem}:")]
            single |= dict.fromkeys((file.name, file.stem, *names), broken)
        for title, [sheet] in book.queried.items():
            single[f"{file.stem}:{title}"] = [replace(sheet, name=f"{file.stem}:{title}")]
        if len(book.queried) == 1:
            single.setdefault(file.stem, []).extend(single[f"{file.stem}:{title}"])
            sheets[file.name] = single[f"{file.stem}:{title}"]
    known = {*(part.name for part in parts), *(file.name for file in books)}
    others = [f.name for f in sorted(folder.iterdir()) if f.is_file() and f.name not in known and f.name[0] != "."]
    return Source({p.name: [p] for p in parts} | sheets | single | groups, single, others=others)


def _mapped(engagement: Engagement) -> Iterator[str]:
    """The names of the source that a mapping speaks of."""
    for spec in engagement.settings.tables.values():
        yield from (*spec.source, *spec.join)


def _unreadable(finding: Finding, table: str) -> Raw:
    return Raw(findings=(replace(finding, table=table),))


def _file(reader: Reader, file: Path, table: str) -> Raw:
    where = {"table": table, "file": file.name}
    try:
        return read_csv(reader, file, where) if file.suffix.lower() == ".csv" else _parquet(reader, file, where)
    except UnreadableError as error:
        return Raw(findings=(error.finding,))


def _parquet(reader: Reader, file: Path, where: dict[str, str]) -> Raw:
    rows = f"read_parquet({quoted(file)}, file_row_number = true, hive_partitioning = false)"
    columns = f"* EXCLUDE (file_row_number), {quoted(file.name)} AS _file, file_row_number + 2 AS _row"
    try:
        return reader.raw(f"SELECT {columns} FROM {rows}", where)
    except Exception as error:  # the engine's own error says why
        message = f"the file cannot be read as Parquet: {reader.said(error)}"
        raise UnreadableError(rejection("not-parquet", shortened(message, 200), "export it anew", **where)) from None
