"""CSV files as text, record by record; a broken file or row becomes a finding with its place."""

from __future__ import annotations

import codecs
import csv
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from crmlib.books.findings import Finding, UnreadableError, broken_row, rejection, shortened, tally
from crmlib.books.ledger import quoted
from crmlib.books.printed import as_csv
from crmlib.books.raw import PLACE, Raw, Reader
from crmlib.declared.settings import TableSource

BATCH = 50_000  # records held in memory
BLOCK = 2**19  # bytes looked at in one go
MOST_COLUMNS = 2**14  # as of a sheet


@dataclass(frozen=True)
class _Text:
    """A file as it is to be read, and where it is staged."""

    file: Path
    encoding: str
    delimiter: str
    header: list[str]
    header_row: int
    staged: Path
    headed: bool  # rows stand below headings
    columns_at: Sequence[int] = ()  # of a list for a printer

    @property
    def schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([*((n, pa.string()) for n in self.header), ("_file", pa.string()), ("_row", pa.int64())])

    @contextmanager
    def open(self) -> Iterator[Iterable[str]]:
        with self.file.open(encoding=self.encoding, errors="surrogateescape", newline="") as lines:
            yield as_csv(lines, self.columns_at, self.header_row) if self.columns_at else lines


def read_csv(reader: Reader, file: Path, where: Mapping[str, str]) -> Raw:
    """A CSV file staged as text, record by record.

    Raises
    ------
    UnreadableError
        The file is empty, or its header cannot be read.
    """
    spec = reader.engagement.table(where["table"])
    if not file.stat().st_size:
        raise UnreadableError(rejection("file-empty", "the file is empty", "fill or remove it", **where))
    text, skipped = _opened(reader, file, where)
    header_row = text.header_row
    if not (text.headed or spec.carried) and (plain := _plain(text)):
        rows, lines = plain
        query, in_order = (
            f"SELECT *, {quoted(file.name)} AS _file, {row} + {header_row} AS _row FROM {rows}"
            for row in ("row_number() OVER ()", "0::BIGINT")
        )
        return replace(reader.raw(query, where, skipped, text=True), in_order=in_order, lines=lines)
    broken = [replace(f, table=where["table"], file=where["file"]) for f in _staged_records(text)]
    return reader.staged(text.staged, where, [*skipped, *broken])


def csv_columns(reader: Reader, file: Path, where: Mapping[str, str]) -> list[str]:
    """The names in the header of a CSV file.

    Raises
    ------
    UnreadableError
        The header cannot be read.
    """
    return _opened(reader, file, where)[0].header


def _opened(reader: Reader, file: Path, where: Mapping[str, str]) -> tuple[_Text, list[Finding]]:
    formats, spec = reader.formats(where["table"]), reader.engagement.table(where["table"])
    encoding, headed = _encoding(file, formats.encoding), bool(spec.heading)
    delimiter = "\t" if formats.columns_at else formats.delimiter
    text = _Text(file, encoding, delimiter, [], spec.header_row, reader.new_file(), headed, formats.columns_at)
    header, skipped = _header(text, where, spec)
    return replace(text, header=header), skipped


def _encoding(file: Path, declared: str) -> str:
    """The declared encoding, or the one that a byte-order mark names."""
    with file.open("rb") as stream:
        mark = stream.read(3)
    if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8-sig" if mark == b"\xef\xbb\xbf" or codecs.lookup(declared).name in {"utf-8", "ascii"} else declared


def _header(text: _Text, where: Mapping[str, str], spec: TableSource) -> tuple[list[str], list[Finding]]:
    """The names of the columns, and that rows above them are skipped where the mapping says so."""
    with text.open() as stream:
        records = csv.reader(stream, delimiter=text.delimiter, strict=True)
        try:
            above = [next(records, []) for _ in range(text.header_row)]
            header, above = headings(above, spec), above[: -spec.header_rows]
        except (csv.Error, UnicodeError) as error:
            row = text.header_row
            message = f"the header cannot be read: {error}"
            raise UnreadableError(
                rejection("header-unreadable", message, f"mend row {row}", row=row, **where)
            ) from None
    if problem := _bad_text("".join(header)):
        raise UnreadableError(broken_row(problem, text.header_row, "".join(header), **where))
    check_header(header, where, text.header_row)
    return header, skipped_rows(above, where)


def headings(rows: Sequence[Sequence[str]], spec: TableSource) -> list[str]:
    """The names of a header, in the last of these rows or the last few; where the mapping says its row, or headings, as of a report, a blank one is `column 3` by its place."""
    header = rows[-1] if spec.header_rows == 1 else heads(rows[-spec.header_rows :])
    by_place = bool(spec.heading) or "header_row" in spec.model_fields_set
    return [f"column {place}" if by_place and not name.strip() else name for place, name in enumerate(header, 1)]


def heads(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names of several rows: what stands in each, from above; above a name of the last row a blank is what stands left of it, unless that is named already, as before a total."""
    names, left = list[str](), [""] * len(rows)
    for cells in zip_longest(*rows, fillvalue=""):
        first = next((level for level, cell in enumerate(cells) if cell.strip()), 0) if cells[-1].strip() else 0
        left = [*left[:first], *cells[first:]]
        name = " ".join(cell.strip() for cell in left if cell.strip())
        names.append(cells[-1].strip() if name in names else name)
    return names


def skipped_rows(above: Sequence[Sequence[Any]], where: Mapping[str, Any]) -> list[Finding]:
    """That rows above the header are left out."""
    if not above:
        return []
    first = " ".join(str(value) for row in above for value in row if value not in {None, ""})
    message = f"{len(above)} row(s) above the header are skipped (`header_row: {len(above) + 1}`)"
    return [
        Finding(
            "accept", "rows-skipped", message, "nothing to do", row=1, value=shortened(first), count=len(above), **where
        )
    ]


def _plain(text: _Text) -> tuple[str, int] | None:
    """A whole file as the engine reads it, and its lines below the header, where that is sure to give the same as record by record."""
    known = (
        not text.columns_at and text.encoding == "utf-8-sig" and len(text.header) <= 256 and ord(text.delimiter) < 128
    )
    lines = _whole_lines(text) if known and not {*text.header} & {*PLACE} else -1
    if lines < 0:
        return None
    link = text.staged.with_suffix(".csv")  # the engine reads nothing outside its folder
    try:
        link.hardlink_to(text.file.resolve())
    except OSError:  # on another disk
        shutil.copyfile(text.file, link)
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in text.header)
    options = f"delim = {quoted(text.delimiter)}, skip = {text.header_row}, columns = {{{columns}}}, nullstr = '\u0001'"
    return f"read_csv({quoted(link)}, auto_detect = false, header = false, quote = '', escape = '', {options})", lines


def _whole_lines(text: _Text) -> int:
    """How many lines stand below the header; −1 unless each is whole and not blank, has the same end, and is UTF-8 without a quotation mark or NUL."""
    found, kinds, begun = 0, set[bool](), b""
    with text.file.open("rb") as stream:
        for line in (stream.readline() for _ in range(text.header_row)):
            kinds.add(line.endswith(b"\r\n"))
            if not line.strip() or _is_odd(line, kinds):
                return -1
        for block in iter(lambda: stream.read(BLOCK), b""):
            whole, end, begun = (begun + block).rpartition(b"\n")
            kinds |= {whole.endswith(b"\r")} if end else set()
            lines = _lines(whole + end, text) if end else 0
            if lines < 0 or len(begun) > BLOCK or _is_odd(whole + end, kinds):
                return -1
            found += lines
    last = _lines(begun + b"\n", text) if begun else 0
    return -1 if last < 0 or b"\r" in begun or _is_odd(begun + b"\n", {False}) else found + last


def _is_odd(lines: bytes, kinds: set[bool]) -> bool:
    """Whether some lines have not all the one end, or are no UTF-8, or hold a quotation mark or NUL; `kinds`: ends so far that have a carriage return, or none."""
    ends = lines.count(b"\n") if True in kinds else 0
    if (
        len(kinds) > 1
        or b'"' in lines
        or b"\0" in lines
        or lines.count(b"\r") != ends
        or (ends and lines.count(b"\r\n") != ends)
    ):
        return True
    try:
        return not lines.isascii() and not lines.decode()
    except UnicodeError:
        return True


def _lines(lines: bytes, text: _Text) -> int:
    """How many lines these are; −1 if one has not as many values as the header, or only blanks."""
    import numpy as np

    marks, width, mark = np.frombuffer(lines, np.uint8), len(text.header), ord(text.delimiter)
    ends = np.flatnonzero(marks == ord("\n"))
    begins = np.concatenate([[0], ends[:-1] + 1])
    bare = (marks[begins] <= ord(" ")) | (marks[begins] == mark)
    blanks = bytes([*range(ord("!")), mark])
    if any(not lines[begin:end].strip(blanks) for begin, end in zip(begins[bare], ends[bare], strict=True)):
        return -1
    delimiters = (marks == mark).view(np.uint8)  # counted by line in one byte, which is enough if they are right in sum
    whole = (np.add.reduceat(delimiters, begins, dtype=np.uint8) == width - 1).all() and np.count_nonzero(
        delimiters
    ) == (width - 1) * len(ends)
    return len(ends) if whole else -1


def _staged_records(text: _Text) -> list[Finding]:
    """Stage a file record by record; returns the records that are broken."""
    import pyarrow.parquet as pq

    broken: list[Finding] = []
    good: list[tuple[Any, ...]] = []
    with text.open() as stream, pq.ParquetWriter(text.staged, text.schema) as writer:
        records = _records(stream, text.delimiter)
        for row, values, problem in records:
            if row <= text.header_row:
                continue
            if text.headed and len(values) == 1:
                values += [""] * (len(text.header) - 1)
            problem = problem or _swallowed(values, text) or _length_problem(len(values), len(text.header))
            problem = problem or _bad_text("".join(values))
            if problem:
                tally(broken, broken_row(problem, row, text.delimiter.join(values)))
            elif any(map(str.strip, values)):
                good.append((*values, text.file.name, row))
            if len(good) == BATCH:
                _flush(good, writer)
        _flush(good, writer)
    return broken


def _flush(rows: list[tuple[Any, ...]], writer: Any) -> None:
    """Write the rows in memory, and forget them."""
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else ([] for _ in writer.schema)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, writer.schema.types, strict=True)]
    writer.write_table(pa.table(arrays, schema=writer.schema))
    rows.clear()


def _records(stream: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """Row as a spreadsheet counts, values, and what is wrong with the record; blank lines count and are left out."""
    reader, row = csv.reader(stream, delimiter=delimiter, strict=True), 0
    while True:
        row, before = row + 1, reader.line_num
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield row, [], "quote-open"
            row += max(reader.line_num - before - 1, 0)
        except UnicodeError:
            yield row, [], "undecodable"
            return
        else:
            if values and (len(values) > 1 or values[0].strip()):
                yield row, values, ""


def _swallowed(values: Sequence[str], text: _Text) -> str:
    """Whether a value holds as many delimiters (no blank behind them) as the rows would that its line ends end."""
    for value in values:
        ends = len(value.splitlines()) - 1
        if (
            ends > 0
            and len(re.findall(re.escape(text.delimiter) + "(?! )", value)) >= ends * (len(text.header) - 1) > 0
        ):
            return "quote-swallows"
    return ""


def _length_problem(count: int, expected: int) -> str:
    return "" if count == expected else "row-too-short" if count < expected else "row-too-long"


def _bad_text(text: str) -> str:
    """NUL, or bytes that could not be decoded (which arrive as lone surrogates)."""
    if "\0" in text:
        return "nul"
    return "" if text.isascii() or not re.search(r"[\ud800-\udfff]", text) else "undecodable"


def check_header(header: Sequence[str], where: Mapping[str, str], row: int = 1) -> None:
    """Refuse a header with a name twice, or with a blank one.

    Raises
    ------
    UnreadableError
        Says which.
    """
    folded = Counter(name.strip().casefold() for name in header)
    if len(header) > MOST_COLUMNS:
        message = f"the header has {len(header)} names, more than the {MOST_COLUMNS} of a sheet"
        way_out = "take columns away that nobody needs, or turn rows and columns"
        raise UnreadableError(rejection("columns-too-many", message, way_out, row=row, **where))
    if twice := sorted(name for name, count in folded.items() if name and count > 1):
        message = f"the header has {twice[0]!r} more than once"
        finding = rejection("column-twice", message, "keep one of them", row=row, column=twice[0], **where)
        raise UnreadableError(finding)
    if not folded or "" in folded:
        way_out = f"name every column in row {row}, or say under tables.{where['table']}.header_row where it stands"
        raise UnreadableError(rejection("header-blank", "the header has a blank name", way_out, row=row, **where))
