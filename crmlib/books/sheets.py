"""A client's files, sheets and tables as views in a private engine, each with how its text is written."""

from __future__ import annotations

import csv
import functools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

from crmlib.books.csv_files import heads
from crmlib.books.ledger import connect, identifier, quoted
from crmlib.books.postgres import staged_tables
from crmlib.books.printed import as_csv, starts_of
from crmlib.books.raw import LOG, WORKBOOKS, database_url
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import DECLARED, SettingsError
from crmlib.declared.settings import COUNTED, Settings
from crmlib.declared.statement import read_statement
from crmlib.declared.vocabulary import month_of

DATABASES = {".duckdb", ".db"}
LOOKED_AT = 200  # first records of a file, by which delimiter and header are found


@dataclass(frozen=True)
class Profile:
    """What one column holds: `numbers` and `dates` are the forms that fit every value, `kind` the type of a typed one."""

    name: str
    kind: str
    filled: int
    distinct: int
    samples: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...] = ()
    dates: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()  # trailing, parentheses, leading, marked; a currency's sign; timed

    @property
    def is_number(self) -> bool:
        """Whether every value is a number, in one form at least."""
        return bool(self.numbers) or self.kind in {"number", "float"}

    @property
    def is_date(self) -> bool:
        """Whether every value is a date, in one form at least."""
        return bool(self.dates) or self.kind == "date"


@dataclass(frozen=True)
class Sheet:
    """A file, sheet or table: where it is, how its text is written, and its columns."""

    source: tuple[str, ...]
    file: Path
    view: str
    header_row: int = 1
    header_rows: int = 1
    by_place: bool = False  # whether a column without a name is called by its place
    encoding: str = "utf-8"
    delimiter: str = ","
    columns_at: tuple[int, ...] = ()  # where those of a list for a printer begin
    serial: str = ""  # how a workbook counts days
    rows: int = 0
    columns: dict[str, Profile] = field(default_factory=dict)
    headings: tuple[str, ...] = ()  # columns of what stands in headings between the rows
    carried: tuple[str, ...] = ()  # columns that are written in the first of several rows alone
    # of each source the cells of the rows above the header, the first row's first
    above: tuple[tuple[str, ...], ...] = ()
    query: str = ""  # the SELECT over the client's tables that gives it
    head: str = ""  # the table whose columns stand beside, as `head.column`

    @property
    def name(self) -> str:
        """What a mapping says of it: its name, or the pattern of several."""
        if len(self.source) == 1:
            return self.source[0]
        first, last = (os.path.commonprefix(names) for names in (self.source, [name[::-1] for name in self.source]))  # noqa: RUF071
        word = re.search(r"[\W_][^\W\d_]+$", last[::-1])  # a whole one at the end, such as Header
        return re.sub(r"[\d\W_]+$", "", first) + "*" + (word[0] if word else "")

    @property
    def files(self) -> tuple[str, ...]:
        """What `_file` says of the rows of each source."""
        kind = self.file.suffix if self.file.suffix in {".parquet", *WORKBOOKS} else ".csv"
        return tuple(f"{book}{kind}{mark}{title}" for book, mark, title in (s.partition(":") for s in self.source))

    def meets(self, source: str) -> bool:
        """Whether its name, as a pattern, is that of another sheet."""
        return source not in self.source and fnmatchcase(source, self.name)

    def spoken(self, name: str) -> str:
        """A column as it stands in an expression or condition; what is none of them is one already."""
        inner = name.removeprefix(f"{self.head}.") if self.head else name
        return (
            name if name not in self.columns else _bare(name) if inner == name else f"{_bare(self.head)}.{_bare(inner)}"
        )

    def unique(self, column: str) -> bool:
        """Whether every row has another value in a column."""
        return self.rows > 0 and self.columns[column].distinct == self.rows


def _bare(name: str) -> str:
    """A name without quotation marks where the engine needs none."""
    return (
        name if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _keywords() else identifier(name)
    )


@functools.cache
def _keywords() -> set[str]:
    known = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    return {word for (word,) in connect().execute(known).fetchall()}


class Opener:
    """A private engine, and the folder in which text is staged for it."""

    def __init__(self, work: Path) -> None:
        self.con, self.work = connect(), work

    def new_file(self, kind: str = ".parquet") -> Path:
        """A path in the folder for staged text."""
        return self.work / f"{len(list(self.work.iterdir()))}{kind}"

    def rows(self, query: str) -> list[Any]:
        """The rows of a query about the views."""
        return list(self.con.execute(query).fetchall())

    def opened(self, source: str) -> Iterator[Sheet]:
        """What is in a file or a database, by the names that a mapping will say."""
        file = Path(source)
        LOG.info("looking at %s", file.name)
        kind = file.suffix.lower()
        if source.startswith("env:"):
            yield from self._server(source)
        elif kind in WORKBOOKS:
            yield from self._workbook(file)
        elif kind == ".parquet":
            yield self.view(
                Sheet((file.stem,), file, ""), f"FROM read_parquet({quoted(file)}, hive_partitioning = false)"
            )
        elif kind in DATABASES:
            yield from self._database(file)
        elif kind in {".csv", ".txt", ".tsv"} or _is_text(file):  # SAP gives text with tabs as .xls
            yield self._csv(file)
        else:
            raise SettingsError(
                f"{file.name}: expected .csv, .txt, .xlsx, .parquet or .duckdb; open it in a spreadsheet and save it as .xlsx"
            )

    def view(self, sheet: Sheet, query: str, *, staged: bool = False) -> Sheet:
        """A query as a view, of what it gives now where that is `staged`, and its columns by the type that they have."""
        view = f"t{len(self.rows('FROM duckdb_views() WHERE NOT internal'))}"
        try:
            if staged:
                file = quoted(self.new_file())
                self.con.execute(f"COPY ({query}) TO {file} (FORMAT parquet)")
                query = f"FROM read_parquet({file})"
            self.con.execute(f"CREATE VIEW {view} AS {query}")
            described = self.rows(f"SELECT column_name, column_type FROM (DESCRIBE {view})")
        except Exception as error:  # the engine's own error says why
            said = str(error).splitlines()[0].replace(str(sheet.file), sheet.file.name)
            raise SettingsError(f"{sheet.file.name} cannot be read: {said[:200]}") from None
        zoned = {name: frozenset({"timed"} if "TIME ZONE" in dtype else ()) for name, dtype in described}
        return replace(
            sheet, view=view, columns={n: Profile(n, _kind(t), 0, 0, (), marks=zoned[n]) for n, t in described}
        )

    def _database(self, file: Path) -> Iterator[Sheet]:
        try:
            self.con.execute(f"ATTACH {quoted(file)} AS client (READ_ONLY)")
        except Exception:  # the engine's own error may hold a path
            raise SettingsError(f"{file.name} cannot be opened as a DuckDB file") from None
        known = (
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'client' AND table_schema = 'main'"
        )
        for (name,) in self.rows(f"{known} ORDER BY 1"):
            yield self.view(Sheet((name,), file, ""), f"FROM client.main.{identifier(name)}")

    def _server(self, source: str) -> Iterator[Sheet]:
        required = {"client": "-", "currency": "XXX", "coverage": {"start": "2000-01", "end": "2000-01"}}
        settings = Settings.model_validate(required | {"source": source})
        engagement = Engagement(
            "new", self.work, settings, read_statement(DECLARED / "statement.yml", at_full_cost=False)
        )
        if not (url := database_url(engagement)):
            raise SettingsError(f"{source} must hold a URL that begins with postgresql://; is the variable set?")
        for name, file in staged_tables(engagement, url, self.work):
            yield self.view(Sheet((name,), Path(source), ""), f"FROM read_parquet({quoted(file)})")

    def _csv(self, file: Path) -> Sheet:
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
        own = (file.stem,), file, "", row, count, _by_place(header)
        sheet = Sheet(*own, encoding.removesuffix("-sig"), delimiter, tuple(starts), above=above)
        if len(header) < 2:
            raise SettingsError(f"{file.name} is no table: no mark divides its rows alike, as in a list for a printer; export it as CSV, as text with tabs, or as .xlsx; of a file of bookings, such as SIE, which seldom name customers, take the list of invoices instead")  # fmt: skip
        if starts or encoding not in {"utf-8", "utf-8-sig"}:
            plain = self.new_file(".csv")
            with (
                file.open(encoding=encoding, newline="") as given,
                plain.open("w", encoding="utf-8", newline="") as out,
            ):
                out.writelines(as_csv(given, starts, row) if starts else given)
            file = plain
        columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
        options = "quote = '\"', escape = '\"', null_padding = true, strict_mode = false, ignore_errors = true"
        options += f", auto_detect = false, header = false, skip = {row}, columns = {{{columns}}}"
        return self.view(sheet, f"FROM read_csv({quoted(file)}, delim = {quoted(delimiter)}, {options})", staged=True)

    def _workbook(self, file: Path) -> Iterator[Sheet]:
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
            staged = self.new_file()
            pq.write_table(pa.table(columns), staged)
            own = (f"{file.stem}:{title}",), file, "", row, count, _by_place(header)
            sheet = Sheet(*own, serial=serial, above=_above(texts[: row - count]))
            yield self.view(sheet, f"FROM read_parquet({quoted(staged)})")


def _by_place(header: Sequence[str]) -> bool:
    return any(name == f"column {place}" for place, name in enumerate(header, 1))


def _above(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return (tuple(cell for row in rows for cell in row),) if rows else ()


def _kind(dtype: str) -> str:
    if dtype in {"FLOAT", "DOUBLE"}:
        return "float"
    if re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|DECIMAL|INTEGER|UINTEGER", dtype):
        return "number"
    return "date" if dtype.startswith(("DATE", "TIMESTAMP")) else "text" if dtype == "VARCHAR" else "other"


def is_typed(source: Path) -> bool:
    """Whether a file or a database brings types of its own."""
    return source.suffix.lower() in {".parquet", *DATABASES} or str(source).startswith("env:")


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
