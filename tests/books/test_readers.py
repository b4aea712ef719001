"""Every reader tells the same of a bad ledger: CSV files, a workbook, a .sql file over both, and a DuckDB file (Parquet in test_intake)."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import duckdb
import openpyxl
import pytest
from test_intake import READ, as_parquet, assert_as_expected, check, files_of, make_engagement


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


READERS = {  # the source, how it is written, as what it names a file, and whether its values are typed
    "sql over csv": ("ledger", None, "{}.csv", False),
    "xlsx": ("books.xlsx", partial(write_workbook, native=False), "books.xlsx:{}", False),
    "sql over xlsx": ("books.xlsx", partial(write_workbook, native=False), "books.xlsx:{}", False),
    "xlsx typed": ("books.xlsx", partial(write_workbook, native=True), "books.xlsx:{}", True),
    "duckdb": ("books.duckdb", write_duckdb, "{}", True),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_tells_the_same_of_a_bad_ledger(reader: str, tmp_path: Path) -> None:
    source, write, name, is_typed = READERS[reader]
    for case in (case for case in READ if case.get("typed", True) or not is_typed):
        files, settings = files_of(case), case.get("settings", {})
        tables = settings.get("tables", {})
        if "sql" in reader:
            tables = {t: {**tables.get(t, {}), "source": f"{t}.sql"} for t in (Path(file).stem for file in files)}
        folder = make_engagement(
            tmp_path / case["name"].replace(" ", "_"), {**settings, "source": source, "tables": tables}
        )
        for file, text in files.items():
            (folder / f"{Path(file).stem}.sql").write_text(f"SELECT * FROM {Path(file).stem}\n")
            (folder / "ledger" / file).write_text(text, encoding="utf-8", newline="")
        if write:
            write(folder, files)
        assert_as_expected(check(folder), case, name)
