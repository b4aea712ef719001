"""A client's files, sheets and tables as views in a private engine, each with how its text is written."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from crmlib.books.csv_files import heads
from crmlib.books.ledger import identifier, quoted
from crmlib.books.postgres import staged_tables
from crmlib.books.printed import as_csv, starts_of
from crmlib.books.raw import LOG, WORKBOOKS, database_url
from crmlib.books.sheets import DATABASES, Engine, Sheet
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import DECLARED, SettingsError
from crmlib.declared.settings import COUNTED, Settings
from crmlib.declared.statement import read_statement
from crmlib.declared.vocabulary import month_of

LOOKED_AT = 200  # first records of a file, by which delimiter and header are found


def opened(engine: Engine, source: str) -> Iterator[Sheet]:
    """What is in a file or a database, by the names that a mapping will say."""
    file = Path(source)
    LOG.info("looking at %s", file.name)
    kind = file.suffix.lower()
    if source.startswith("env:"):
        yield from _server(engine, source)
    elif kind in WORKBOOKS:
        yield from _workbook(engine, file)
    elif kind == ".parquet":
        yield Sheet(engine, (file.stem,), file).giving(f"FROM read_parquet({quoted(file)}, hive_partitioning = false)")
    elif kind in DATABASES:
        yield from _database(engine, file)
    elif kind in {".csv", ".txt", ".tsv"} or _is_text(file):  # SAP gives text with tabs as .xls
        yield _csv(engine, file)
    else:
        raise SettingsError(
            f"{file.name}: expected .csv, .txt, .xlsx, .parquet or .duckdb; open it in a spreadsheet and save it as .xlsx"
        )


def _database(engine: Engine, file: Path) -> Iterator[Sheet]:
    try:
        engine.con.execute(f"ATTACH {quoted(file)} AS client (READ_ONLY)")
    except Exception:  # the engine's own error may hold a path
        raise SettingsError(f"{file.name} cannot be opened as a DuckDB file") from None
    known = "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'client' AND table_schema = 'main'"
    for (name,) in engine.rows(f"{known} ORDER BY 1"):
        yield Sheet(engine, (name,), file).giving(f"FROM client.main.{identifier(name)}")


def _server(engine: Engine, source: str) -> Iterator[Sheet]:
    required = {"client": "-", "currency": "XXX", "coverage": {"start": "2000-01", "end": "2000-01"}}
    settings = Settings.model_validate(required | {"source": source})
    engagement = Engagement(
        "new", engine.work, settings, read_statement(DECLARED / "statement.yml", at_full_cost=False)
    )
    if not (url := database_url(engagement)):
        raise SettingsError(f"{source} must hold a URL that begins with postgresql://; is the variable set?")
    for name, file in staged_tables(engagement, url, engine.work):
        yield Sheet(engine, (name,), Path(source)).giving(f"FROM read_parquet({quoted(file)})")


def _csv(engine: Engine, file: Path) -> Sheet:
    encoding = _encoding(file)
    with file.open(encoding=encoding, newline="") as stream:
        lines = list(islice(stream, LOOKED_AT))
    best, starts = max((_header(lines, mark) for mark in ";,\t|"), key=lambda found: found[0])[1:], list[int]()
    if (len(best[-1]) < 2 or best[0] == "|") and starts_of(lines):  # a list to its end divides its first rows
        with file.open(encoding=encoding) as stream:
            starts = starts_of(stream)
        best = _header([*as_csv(lines, starts)], "\t")[1:] if starts else best
    delimiter, row, count, header = best
    above = _above([*csv.reader(lines[: max(row - count, 0)], delimiter=delimiter)])
    own = (file.stem,), file, row, count, _by_place(header)
    sheet = Sheet(engine, *own, encoding.removesuffix("-sig"), delimiter, tuple(starts), above=above)
    if len(header) < 2:
        raise SettingsError(f"{file.name} is no table: no mark divides its rows alike, as in a list for a printer; export it as CSV, as text with tabs, or as .xlsx; of a file of bookings, such as SIE, which seldom name customers, take the list of invoices instead")  # fmt: skip
    if starts or encoding not in {"utf-8", "utf-8-sig"}:
        plain = engine.new_file(".csv")
        with file.open(encoding=encoding, newline="") as given, plain.open("w", encoding="utf-8", newline="") as out:
            out.writelines(as_csv(given, starts, row) if starts else given)
        file = plain
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
    options = "quote = '\"', escape = '\"', null_padding = true, strict_mode = false, ignore_errors = true"
    options += f", auto_detect = false, header = false, skip = {row}, columns = {{{columns}}}"
    return sheet.giving(f"FROM read_csv({quoted(file)}, delim = {quoted(delimiter)}, {options})", staged=True)


def _workbook(engine: Engine, file: Path) -> Iterator[Sheet]:
    import openpyxl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception:  # openpyxl raises what its parsers raise
        raise SettingsError(f"{file.name} cannot be opened as an Excel workbook; save it anew as .xlsx") from None
    serial = next(form for form, (start, *_) in COUNTED.items() if start == book.epoch.date())
    for title in book.sheetnames:
        rows = [list(row) for row in book[title].iter_rows(values_only=True)]
        texts = [["" if cell is None else str(cell) for cell in row] for row in rows[:LOOKED_AT]]
        row, count, header = _header_of(texts)
        cells = [(r + [None] * len(header))[: len(header)] for r in rows[row:] if any(c is not None for c in r)]
        if not header or not cells:
            continue
        columns = {n: pa.array(*_typed(c)) for n, c in zip(header, zip(*cells, strict=True), strict=True)}
        staged = engine.new_file()
        pq.write_table(pa.table(columns), staged)
        own = (f"{file.stem}:{title}",), file, row, count, _by_place(header)
        sheet = Sheet(engine, *own, serial=serial, above=_above(texts[: row - count]))
        yield sheet.giving(f"FROM read_parquet({quoted(staged)})")


def _by_place(header: Sequence[str]) -> bool:
    return any(name == f"column {place}" for place, name in enumerate(header, 1))


def _above(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return (tuple(cell for row in rows for cell in row),) if rows else ()


def _is_text(file: Path) -> bool:
    """Whether a file is plain text, and no web page."""
    with file.open("rb") as stream:
        first = stream.read(2**12)
    marked = first[:2] in (b"\xff\xfe", b"\xfe\xff")
    return marked or not (b"\0" in first or first.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"))


def _encoding(file: Path) -> str:
    """The encoding that a mark names, or UTF-8 where every byte bears it out, or that of Windows."""
    with file.open("rb") as stream:
        mark = stream.read(3)
    if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        with file.open(encoding="utf-8-sig") as text:
            while text.read(2**22):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig" if mark == b"\xef\xbb\xbf" else "utf-8"


def _header(lines: Sequence[str], delimiter: str) -> tuple[tuple[float, int], str, int, int, list[str]]:
    """How well a delimiter divides these lines, with it, the header's last row, how many it has, and the header."""
    try:
        rows = [*csv.reader(lines, delimiter=delimiter)]
    except csv.Error:
        rows = []
    row, count, header = _header_of(rows)
    alike = sum(len(r) == len(header) for r in rows) / max(len(rows), 1)
    return ((alike if len(header) > 1 else 0.01 * (delimiter == ","), len(header)), delimiter, row, count, header)


def _header_of(rows: Sequence[Sequence[str]]) -> tuple[int, int, list[str]]:
    """The last row of the header, from 1, how many it has, and its names: the first row of names alone that is as wide as most rows; where none is, what two or three name together, or where months stand below years."""
    widths = Counter(_width(row) for row in rows if any(cell.strip() for cell in row))
    usual = max(widths, key=lambda width: (widths[width], width), default=0)
    able = (
        (n, count, _names(rows[max(n - count, 0) : n], usual)) for count in (1, 2, 3) for n in range(1, len(rows) + 1)
    )
    number, count, names = next((each for each in able if each[2]), (0, 1, []))
    dated = _names(rows[max(number - 2, 0) : number], usual) if count == 1 else []
    dates = sum(bool(month_of(name)) for name in names)
    if sum(bool(month_of(name)) for name in dated) > dates:
        return number, 2, dated
    below = [cell for row in rows[number : number + 1] for cell in row if cell.strip()]
    if count == 1 and dates > 1 and len(below) > 1 and all(map(_is_name, below)):  # measures stand below months
        return number + 1, 2, _names(rows[number - 1 : number + 1], usual)
    return number, count, names


def _names(rows: Sequence[Sequence[str]], usual: int) -> list[str]:
    """What rows name their columns, if these are names alone, each another, and as many as most rows have cells."""
    row = heads(rows) if len(rows) > 1 else [*rows[0]] if rows else []
    names = row[: _width(row)]
    filled = [name for name in names if name.strip()]
    is_one = len(filled) >= max(0.7 * usual, 1) and len({f.casefold() for f in filled}) == len(filled)
    return [name or f"column {n}" for n, name in enumerate(names, 1)] if is_one and all(map(_is_name, filled)) else []


def _width(row: Sequence[str]) -> int:
    return max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0)


def _is_name(cell: str) -> bool:
    return bool(re.search(r"[^\W\d_]", cell) or re.fullmatch(r"[^\w\s]", cell) or month_of(cell)) and len(cell) < 80


def _typed(cells: Sequence[Any]) -> tuple[list[Any], Any]:
    """Cells of one kind with their type, others as text."""
    import pyarrow as pa

    filled = [cell for cell in cells if cell is not None]
    if filled and all(isinstance(cell, datetime | date) for cell in filled):
        return [
            c if c is None or isinstance(c, datetime) else datetime(c.year, c.month, c.day) for c in cells
        ], pa.timestamp("us")
    if filled and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in filled):
        whole = all(float(cell).is_integer() for cell in filled)
        return [
            None if c is None else int(c) if whole else float(c) for c in cells
        ], pa.int64() if whole else pa.float64()
    return [None if c is None else str(c) for c in cells], pa.string()
