"""CSV files as text, record by record; a broken file or row becomes a finding with its place."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, UnreadableError, broken_row, rejection, tally
from crmlib.books.raw import RawBooks
from crmlib.declared.settings import Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


BATCH = 50_000  # records held in memory


def read_csv(file: Path, formats: Formats, con: Backend, work: Path, books: RawBooks, table: str) -> ir.Table:
    """A CSV file staged as text, record by record."""
    where, encoding = {"table": table, "file": file.name}, _encoding(file, formats.encoding)
    if not file.stat().st_size:
        raise UnreadableError(rejection("file-empty", "the file is empty", "fill or remove it", **where))
    header, staged = (_header(file, encoding, formats.delimiter, where), work / f"text-{table}-{file.stem}.parquet")
    rows, broken = _staged_plain(file, encoding, header, formats.delimiter, staged) or _staged_records(
        file, encoding, header, formats.delimiter, staged
    )
    books.defects += [replace(found, table=table, file=file.name) for found in broken]
    if not rows and not broken:
        raise UnreadableError(
            rejection("header-only", "there is a header and no row", "fill or remove the file", **where)
        )
    return con.read_parquet(str(staged))


def _encoding(file: Path, declared: str) -> str:
    """The declared encoding, or the one that a byte-order mark names."""
    with file.open("rb") as stream:
        mark = stream.read(3)
    if mark[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8-sig" if mark == b"\xef\xbb\xbf" or codecs.lookup(declared).name in {"utf-8", "ascii"} else declared


def _header(file: Path, encoding: str, delimiter: str, where: Mapping[str, str]) -> list[str]:
    with file.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
        try:
            header = next(csv.reader(stream, delimiter=delimiter, strict=True), [])
        except (csv.Error, UnicodeError) as error:
            raise UnreadableError(
                rejection("header-unreadable", f"the header cannot be read: {error}", "mend row 1", row=1, **where)
            ) from None
    if problem := _bad_text("".join(header)):
        raise UnreadableError(broken_row(problem, 1, "".join(header), **where))
    check_header(header, where)
    return header


def _staged_plain(
    file: Path, encoding: str, header: list[str], delimiter: str, staged: Path
) -> tuple[int, list[Finding]] | None:
    """Stage a whole file in blocks where that is sure to give the same as record by record, else None.

    Sure is UTF-8 without a quotation mark or NUL in which every line has all its values.
    """
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if encoding != "utf-8-sig" or _holds(file, b'"', b"\0"):
        return None
    schema = pa.schema([*((name, pa.string()) for name in header), ("_file", pa.string()), ("_row", pa.int64())])
    row = 2
    try:
        with pq.ParquetWriter(staged, schema) as writer:
            for block in pc.open_csv(
                file,
                read_options=pc.ReadOptions(block_size=2**24),
                parse_options=pc.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
                convert_options=pc.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
            ):
                bare = block.filter(compute.equal(compute.utf8_trim_whitespace(block.column(0)), ""))
                if any(not "".join(values).strip() for values in zip(*bare.to_pydict().values(), strict=True)):
                    return None  # a blank line counts as a row and is no record
                numbers = pa.array(range(row, row + len(block)), pa.int64())
                writer.write_batch(
                    pa.record_batch([*block.columns, pa.repeat(file.name, len(block)), numbers], schema=schema)
                )
                row += len(block)
    except pa.ArrowInvalid:
        return None
    return row - 2, []


def _holds(file: Path, *marks: bytes) -> bool:
    with file.open("rb") as stream:
        return any(mark in block for block in iter(lambda: stream.read(2**24), b"") for mark in marks)


def _staged_records(
    file: Path, encoding: str, header: list[str], delimiter: str, staged: Path
) -> tuple[int, list[Finding]]:
    """Stage a file record by record; returns how many, and the records that are broken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([*((name, pa.string()) for name in header), ("_file", pa.string()), ("_row", pa.int64())])
    broken: list[Finding] = []
    good: list[tuple[Any, ...]] = []
    staged_rows = 0
    with (
        file.open(encoding=encoding, errors="surrogateescape", newline="") as stream,
        pq.ParquetWriter(staged, schema) as writer,
    ):
        records = _records(stream, delimiter)
        next(records)
        for row, values, problem in records:
            problem = problem or _length_problem(len(values), len(header)) or _bad_text("".join(values))
            if problem:
                tally(broken, broken_row(problem, row, delimiter.join(values)))
            elif any(map(str.strip, values)):
                good.append((*values, file.name, row))
            if len(good) == BATCH:
                staged_rows += _flushed(good, writer)
        staged_rows += _flushed(good, writer)
    return staged_rows, broken


def _flushed(rows: list[tuple[Any, ...]], writer: Any) -> int:
    """Write the rows in memory, forget them, and say how many there were."""
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else ([] for _ in writer.schema)
    writer.write_table(
        pa.table(
            [pa.array(c, kind) for c, kind in zip(columns, writer.schema.types, strict=True)], schema=writer.schema
        )
    )
    written = len(rows)
    rows.clear()
    return written


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


def _length_problem(found: int, expected: int) -> str:
    return "" if found == expected else "row-too-short" if found < expected else "row-too-long"


def _bad_text(text: str) -> str:
    """NUL, or bytes that could not be decoded (which arrive as lone surrogates)."""
    if "\0" in text:
        return "nul"
    return "" if text.isascii() or not re.search(r"[\ud800-\udfff]", text) else "undecodable"


def check_header(header: list[str], where: Mapping[str, str]) -> None:
    folded = [name.strip().casefold() for name in header]
    if twice := sorted({name for name in folded if name and folded.count(name) > 1}):
        raise UnreadableError(
            rejection("column-twice", f"the header has {twice[0]!r} more than once", "keep one of them", row=1,
                      column=twice[0], **where)
        )  # fmt: skip
    if not any(folded) or any(not name for name in folded):
        raise UnreadableError(
            rejection("header-blank", "the header has a blank name", "name every column in row 1", row=1, **where)
        )
