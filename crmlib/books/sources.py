"""The books as they come: a folder of files, a workbook or a database, each row with its file and its number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.csv_files import read_csv
from crmlib.books.databases import read_database, read_queries
from crmlib.books.findings import UnreadableError, rejection, shortened
from crmlib.books.ledger import quoted, sha256
from crmlib.books.raw import RawBooks, add_table, files_by_table, source_path, wanted_tables
from crmlib.books.workbooks import read_workbook
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import SettingsError
from crmlib.declared.settings import Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def read_raw(engagement: Engagement, names: Iterable[str], con: Backend, work: Path) -> RawBooks:
    """Read the named tables that are there; text is staged as Parquet in the folder `work`.

    Raises
    ------
    SettingsError
        The source is not there, is of no known kind, or a mapping names something that is not in it.
    """
    path, books = source_path(engagement), RawBooks()
    if path.is_dir():
        _read_folder(engagement, path, names, con, work, books)
    elif path.suffix.lower() in {".xlsx", ".xlsm"}:
        read_workbook(engagement, path, names, con, work, books)
    elif path.suffix.lower() in {".duckdb", ".db"}:
        read_database(engagement, path, names, con, books)
    else:
        raise SettingsError(f"source {path.name}: expected a folder, an .xlsx workbook or a .duckdb file")
    read_queries(engagement, path, names, con, work, books)
    return books


def _read_folder(
    engagement: Engagement, folder: Path, names: Iterable[str], con: Backend, work: Path, books: RawBooks
) -> None:
    groups = files_by_table(folder)
    for name, source in wanted_tables(
        engagement, names, [*groups, *(f.name for group in groups.values() for f in group)]
    ):
        files = groups.get(source) or [folder / source]
        formats = engagement.table(name).formats or engagement.settings.formats
        parts = [_read_file(file, formats, con, work, books, name) for file in files]
        for file in files:
            books.files[file.name] = sha256(file)
        _reject_copies(files, books, name)
        add_table(books, name, [p for p in parts if p is not None], text=files[0].suffix.lower() == ".csv")


def _reject_copies(files: list[Path], books: RawBooks, table: str) -> None:
    seen: dict[str, str] = {}
    for file in files:
        digest = books.files[file.name]
        if digest in seen:
            message = f"{file.name} has the same content as {seen[digest]}"
            books.defects.append(rejection("file-twice", message, "remove one of them", table=table, file=file.name))
        seen.setdefault(digest, file.name)


def _read_file(file: Path, formats: Formats, con: Backend, work: Path, books: RawBooks, table: str) -> ir.Table | None:
    if file.suffix.lower() == ".parquet":
        return _read_parquet(file, con, books, table)
    try:
        return read_csv(file, formats, con, work, books, table)
    except UnreadableError as error:
        books.defects.append(error.finding)
        return None


def _read_parquet(file: Path, con: Backend, books: RawBooks, table: str) -> ir.Table | None:
    where = {"table": table, "file": file.name}
    query = f"SELECT *, {quoted(file.name)} AS _file, file_row_number + 2 AS _row FROM read_parquet({quoted(file)}, file_row_number = true)"
    try:
        expr = con.sql(query).drop("file_row_number")
    except Exception as error:  # the engine's own error says why
        message = f"the file cannot be read as Parquet: {str(error).splitlines()[0]}"
        books.defects.append(rejection("not-parquet", shortened(message, 200), "export it anew", **where))
        return None
    if not expr.limit(1).count().execute():
        books.defects.append(
            rejection("header-only", "there are columns and no row", "fill or remove the file", **where)
        )
        return None
    return expr
