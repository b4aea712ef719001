"""The books as they come: a folder of files, a workbook or a database, each row with its file and its number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from crmlib.books.csv_files import check_header, read_csv
from crmlib.books.databases import database
from crmlib.books.engines import TRANSACTIONS
from crmlib.books.findings import Finding, UnreadableError, rejection, shortened
from crmlib.books.joins import joined
from crmlib.books.ledger import identifier, quoted, rows_of
from crmlib.books.postgres import postgres
from crmlib.books.queries import named_in, read_queries
from crmlib.books.raw import (
    WORKBOOKS,
    Part,
    Raw,
    Reader,
    Source,
    all_files,
    data_files,
    database_url,
    parquet_folders,
    source_path,
    wanted_tables,
)
from crmlib.books.spark import held_files, spark
from crmlib.books.unread import unread_files
from crmlib.books.workbooks import workbook
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables as ledger_tables
from crmlib.declared.reading import CrmError, SettingsError


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
        headers = {name: raw.table.columns for name, raw in tables.items() if raw.table is not None}
        tables |= read_queries(reader, source)
        tables = {name: _with_joins(reader, source, name, raw) for name, raw in tables.items()}
        read = set[str]() if source.findings else _read_parts(reader, source, direct)
        unread = [] if source.findings else unread_files(reader, source, read, tables, headers)
    reader.con.execute("SET search_path = 'memory.main'")  # a database's own names are no longer seen
    return {"": Raw(findings=(*source.findings, *unread), state=source.state), **tables}


def _read_parts(reader: Reader, source: Source, direct: Iterable[tuple[str, Sequence[str]]]) -> set[str]:
    """The files, sheets or tables that some table is read from, joined to, or queried from."""
    specs = [reader.engagement.table(name) for name in ledger_tables()]
    names = [name for _, each in direct for name in each] + [name for spec in specs for name in spec.join]
    queried = [part.name for query in (s.query for s in specs if s.query) for part in named_in(reader, source, query)]
    return {*queried, *(part.name for part in source.parts(names, "source"))}


def _opened(reader: Reader) -> AbstractContextManager[Source]:
    engine, url = reader.engagement.settings.engine, database_url(reader.engagement)
    if url and engine != "spark":
        return postgres(reader, url)
    if engine == "postgres":
        raise SettingsError("engine: postgres needs a database, `source: env:NAME`; for files leave `engine` out")
    if url or (engine == "spark" and not source_path(reader.engagement).is_dir()):
        raise SettingsError("engine: spark needs a folder of Parquet files as source; for others leave `engine` out")
    path = source_path(reader.engagement)
    if reader.session:
        reader.session.engine = engine_there = spark(reader.engagement)
        reader.session.held.callback(engine_there.leave)
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
        raise SettingsError(f"tables.{table}.header_row: only CSV files and sheets have rows above a header; drop it")
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
    parts += [Part(sub.name, partial(_parquet, reader, files)) for sub, files in parquet_folders(folder).items()]
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
    dotted = [n for n in _mapped(reader.engagement) if re.fullmatch(r"\w+(\.\w+)+", n)] if reader.session else []
    if lost := [name for name in dotted if not {name, Path(name).stem} & {*groups, *single}]:
        way_out = "name the folder of Parquet in which it lies (DESCRIBE FORMATTED says where)"
        raise SettingsError(f"engine: spark reads no table of a catalogue, as {lost[0]} would be; {way_out}")
    known = {*(part.name for part in parts), *(file.name for file in books)}
    others = [file for file in all_files(folder) if file not in known and file.partition("/")[0] not in known]
    return Source({p.name: [p] for p in parts} | sheets | single | groups, single, others=others)


def _mapped(engagement: Engagement) -> Iterator[str]:
    """The names of the source that a mapping speaks of."""
    for spec in engagement.settings.tables.values():
        yield from (*spec.source, *spec.join)


def _unreadable(finding: Finding, table: str) -> Raw:
    return Raw(findings=(replace(finding, table=table),))


def _file(reader: Reader, file: Path, table: str) -> Raw:
    if file.suffix.lower() != ".csv":
        return _parquet(reader, [file], table)
    try:
        return read_csv(reader, file, {"table": table, "file": file.name})
    except UnreadableError as error:
        return Raw(findings=(error.finding,))


def _parquet(reader: Reader, files: Sequence[Path], table: str) -> Raw:
    """A Parquet file, or those of a folder, whose sub-folders may be named column=value."""
    import pyarrow.parquet as pq

    base = source_path(reader.engagement)
    where = {"table": table, "file": files[0].relative_to(base).parts[0]}
    rows = f"read_parquet([{', '.join(map(quoted, files))}], file_row_number = true, filename = '_path', hive_partitioning = false)"
    file = f"substr(_path, {len(str(base)) + 2})" if files[0].parent != base else quoted(files[0].name)
    query = f"SELECT * EXCLUDE (_path, file_row_number), {file} AS _file, file_row_number + 2 AS _row FROM {rows}"
    try:
        check_header(pq.read_schema(files[0]).names, where)
        if finding := _differing(reader, files, where):
            return Raw(findings=(finding,))
        if reader.session and table in TRANSACTIONS:
            query = f"FROM {held_files(reader, base / where['file'], rows_of(reader.session.home, query))}"
        return reader.raw(f"SELECT *{''.join(_named_by_folders(files, base))} FROM ({query})", where)
    except CrmError:
        raise
    except UnreadableError as error:
        return Raw(findings=(error.finding,))
    except Exception as error:  # the engine's own error says why
        message = f"the file cannot be read as Parquet: {reader.said(error)}"
        return Raw(findings=(rejection("not-parquet", shortened(message, 200), "export it anew", **where),))


def _differing(reader: Reader, files: Sequence[Path], where: dict[str, str]) -> Finding | None:
    """The rejection of a folder whose files differ in their columns."""
    headers = f"""SELECT file_name, list((name, coalesce(duckdb_type, type)) ORDER BY name) AS header
                  FROM parquet_schema([{", ".join(map(quoted, files))}]) WHERE num_children IS NULL GROUP BY ALL"""
    first = f"SELECT min(file_name) AS file FROM ({headers}) GROUP BY header ORDER BY file LIMIT 2"
    names = [Path(file).name for (file,) in reader.con.execute(first).fetchall()] if len(files) > 1 else []
    message = f"its files differ in their columns or types: {' and '.join(names)}"
    finding = rejection("headers-differ", message, "give all files the same columns", **where)
    return finding if len(names) > 1 else None


def _named_by_folders(files: Sequence[Path], base: Path) -> Iterator[str]:
    """The columns that folders name, such as year=2024: text, or a day where all are."""
    folders = [part.partition("=") for file in files for part in file.relative_to(base).parts[1:-1] if "=" in part]
    for name in dict.fromkeys(name for name, *_ in folders):
        days = all(re.fullmatch(r"\d{4}-\d\d-\d\d", value) for known, _, value in folders if known == name)
        text = f"url_decode(replace(regexp_extract(_file, {quoted(f'/{re.escape(name)}=([^/]*)/')}, 1), '+', '%2B'))"
        yield f", CAST(nullif({text}, '__HIVE_DEFAULT_PARTITION__') AS {'DATE' if days else 'VARCHAR'}) AS {identifier(name)}"
