"""The books as they come: a folder of files, a workbook or a database, each row with its file and its number."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from crmlib.books.csv_files import read_csv
from crmlib.books.databases import database
from crmlib.books.findings import Finding, UnreadableError, rejection, shortened
from crmlib.books.ledger import quoted, sha256
from crmlib.books.postgres import postgres
from crmlib.books.queries import read_queries
from crmlib.books.raw import Raw, Reader, Source, data_files, database_url, source_path, wanted_tables
from crmlib.books.workbooks import workbook
from crmlib.declared.reading import SettingsError


def read_raw(reader: Reader) -> dict[str, Raw]:
    """Every table of the ledger that is there, by name; what is wrong with the source as a whole stands under ''.

    Raises
    ------
    SettingsError
        The source is not there, is of no known kind, or a mapping names something that is not in it.
    """
    with _opened(reader) as source:
        direct = [] if source.findings else wanted_tables(reader.engagement, source.tables)
        tables = {name: source.tables[table](name) for name, table in direct}
        tables |= read_queries(reader, source)
    reader.con.raw_sql("SET search_path = 'memory.main'")  # a database's own names are no longer seen
    return {"": Raw(findings=source.findings, state=source.state), **tables}


def _opened(reader: Reader) -> AbstractContextManager[Source]:
    if url := database_url(reader.engagement):
        return postgres(reader, url)
    path = source_path(reader.engagement)
    if path.is_dir():
        return nullcontext(_folder(reader, path))
    if path.suffix.lower() in {".xlsx", ".xlsm"}:
        return nullcontext(workbook(reader, path))
    if path.suffix.lower() in {".duckdb", ".db"}:
        return nullcontext(database(reader, path))
    raise SettingsError(f"source {path.name}: expected a folder, an .xlsx workbook or a .duckdb file")


def _folder(reader: Reader, folder: Path) -> Source:
    """Files by table, `costs-2024.csv` beside `costs-2025.csv`; a query sees each under its own name."""
    groups: dict[str, list[Path]] = {}
    single: dict[str, list[Path]] = {}
    files = data_files(folder)
    for file in files:
        groups.setdefault(file.stem.split("-")[0], []).append(file)
        single.setdefault(file.stem, []).append(file)
    named = {f.name: [f] for f in files} | groups
    tables, queried = ({n: partial(_files, reader, fs) for n, fs in each.items()} for each in (named, single))
    return Source(tables, queried)


def _files(reader: Reader, files: list[Path], table: str) -> Raw:
    """The files of one table, one below the other."""
    import ibis

    raws = [_file(reader, file, table) for file in files]
    parts = [raw.table for raw in raws if raw.table is not None]
    findings = [*_copies(files, table), *(f for raw in raws for f in raw.findings)]
    if len({tuple(part.columns) for part in parts}) > 1:
        message, way_out = f"the files of {table} differ in their headers", "give all files of a table the same header"
        return Raw(findings=(*findings, rejection("headers-differ", message, way_out, table=table)))
    whole = ibis.union(*parts) if len(parts) > 1 else next(iter(parts), None)
    return Raw(whole, tuple(findings), text=all(raw.text for raw in raws))


def _copies(files: list[Path], table: str) -> list[Finding]:
    first: dict[str, str] = {}
    hashes = [(file.name, sha256(file)) for file in (files if len(files) > 1 else ())]
    return [
        rejection("file-twice", f"{name} has the same content as {same}", "remove one of them", table=table, file=name)
        for name, digest in hashes if (same := first.setdefault(digest, name)) != name
    ]  # fmt: skip


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
