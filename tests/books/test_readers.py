"""Every reader tells the same of a bad ledger: CSV files, a workbook, a .sql file over both, a DuckDB file and Parquet."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest
from test_intake import CORPUS, READ, TYPED, as_parquet, assert_as_expected, check, files_of, make_engagement


def write_csv(folder: Path, files: dict[str, str]) -> None:
    for file, text in files.items():
        (folder / "ledger" / file).write_text(text, encoding="utf-8", newline="")


def write_workbook(folder: Path, files: dict[str, str], *, native: bool) -> None:
    """The files as sheets of books.xlsx, their values as text or as numbers and dates."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for file, text in files.items():
        header, *rows = csv.reader(io.StringIO(text))
        typed_rows = [list(row.values()) for row in as_parquet(text, Path(file).stem).to_pylist()] if native else rows
        sheet = book.create_sheet(Path(file).stem)
        for row in (header, *typed_rows):
            sheet.append([None if value == "" else value for value in row])
    book.save(folder / "books.xlsx")


def write_duckdb(folder: Path, files: dict[str, str]) -> None:
    with duckdb.connect(str(folder / "books.duckdb")) as con:
        for file, text in files.items():
            con.register("arrow", as_parquet(text, Path(file).stem))
            con.execute(f'CREATE TABLE "{Path(file).stem}" AS FROM arrow')
            con.unregister("arrow")


def write_parquet(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        pq.write_table(
            as_parquet(text, Path(name).stem.split("-")[0]), folder / "ledger" / Path(name).with_suffix(".parquet")
        )


FILES = [
    case for case in CORPUS["cases"] if case.get("typed", True) and any("-" in file for file in case.get("files", {}))
]
READERS = {  # the source, how it is written, as what it names a file, and the ledgers: those of text only for a reader of text
    "sql over csv": ("ledger", write_csv, "{}.csv", READ),
    "xlsx": ("books.xlsx", partial(write_workbook, native=False), "books.xlsx:{}", READ),
    "sql over xlsx": ("books.xlsx", partial(write_workbook, native=False), "books.xlsx:{}", CORPUS["header"]),
    "xlsx typed": ("books.xlsx", partial(write_workbook, native=True), "books.xlsx:{}", TYPED),
    "duckdb": ("books.duckdb", write_duckdb, "{}", TYPED),
    "parquet": ("ledger", write_parquet, "{}.parquet", TYPED + FILES),
}
TRIED = {f"{reader}, {case['name']}": (reader, case) for reader, (*_, cases) in READERS.items() for case in cases}


@pytest.mark.parametrize(("reader", "case"), TRIED.values(), ids=TRIED)
def test_every_reader_tells_the_same_of_a_bad_ledger(reader: str, case: dict[str, Any], tmp_path: Path) -> None:
    source, write, name, _ = READERS[reader]
    files, settings = files_of(case), case.get("settings", {})
    tables = settings.get("tables", {})
    if "sql" in reader:
        changed = {file for part in ("files", "change", "add") for file in case.get(part, {})} & {*files}
        sources = {Path(file).stem: {"source": f"{Path(file).stem}.sql"} for file in changed}
        tables = {**tables, **{table: {**tables.get(table, {}), **source} for table, source in sources.items()}}
    folder = make_engagement(tmp_path / "e", {**settings, "source": source, "tables": tables})
    for table in map(Path, files):
        (folder / f"{table.stem}.sql").write_text(f"SELECT * FROM {table.stem}\n")
    write(folder, files)
    assert_as_expected(check(folder), case, name)
