"""The books as they come: CSV, Parquet, an Excel workbook or a DuckDB file, each row with its file and its number.

CSV and Excel are read as text; nothing is guessed. A file whose form is broken becomes a `Finding` with its row.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.engagement import Engagement, Formats, SettingsError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import openpyxl
    from ibis.backends.duckdb import Backend

LARGEST_WORKBOOK = 2 * 1024**3  # bytes unpacked; a larger one is refused unopened
MOST_LISTED = 100  # broken rows of one kind in one file
BATCH = 50_000  # records held in memory
BROKEN_ROWS = {
    "row-too-short": ("fewer values than the header", "fill the row up to the header's columns"),
    "row-too-long": ("more values than the header", "quote values that hold the delimiter"),
    "quote-open": ("a quotation mark is not closed, or text follows it; the row ends where the reader found its feet", "close it, or double marks inside a value"),
    "undecodable": ("bytes that are not in the declared encoding", "set formats.encoding, or save as UTF-8"),
    "nul": ("a NUL character", "remove it"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing found in the books: verdict (reject, warn or accept), where, what, and the way out.

    `row` counts as a spreadsheet does (the header is row 1); `count` and `amount` say how much is concerned.
    """

    verdict: str
    code: str
    message: str
    way_out: str
    table: str = ""
    file: str = ""
    row: int | None = None
    column: str = ""
    value: str = ""
    count: int = 1
    amount: Decimal | None = None


def rejection(code: str, message: str, way_out: str, **where: Any) -> Finding:
    """A finding that stops the run."""
    return Finding("reject", code, message, way_out, **where)


@dataclass
class RawBooks:
    """Raw tables by ledger name (columns as the client names them, and `_file` and `_row`), and what was found on the way.

    `_row` counts as a spreadsheet does. `text` names the tables whose values are all text; `files` gives each file's SHA-256.
    """

    tables: dict[str, ir.Table] = field(default_factory=dict)
    text: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    defects: list[Finding] = field(default_factory=list)


def source_path(engagement: Engagement) -> Path:
    """The folder, workbook or database of an engagement; `env:NAME` reads the path from the environment.

    Raises
    ------
    SettingsError
        The variable is not set, or nothing is there.
    """
    source = engagement.settings.source
    if source.startswith("env:"):
        if not (found := os.environ.get(source[4:])):
            raise SettingsError(f"source is {source}, but the environment variable {source[4:]} is not set")
        path = Path(found).expanduser().resolve()
    else:
        path = (engagement.folder / source).resolve()
    if not path.exists():
        raise SettingsError(
            f"source {source!r} of {engagement.name} is not there; relative paths begin at engagement.yml"
        )
    return path


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
        _read_workbook(engagement, path, names, con, work, books)
    elif path.suffix.lower() in {".duckdb", ".db"}:
        _read_database(engagement, path, names, con, books)
    else:
        raise SettingsError(f"source {path.name}: expected a folder, an .xlsx workbook or a .duckdb file")
    _read_queries(engagement, path, names, con, work, books)
    return books


def _wanted(engagement: Engagement, names: Iterable[str], available: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Ledger name and source name of each table that comes straight from the source."""
    known = list(available)
    for name in names:
        given = engagement.table(name).source
        if given and given.endswith(".sql"):
            continue
        if given and given not in known:
            near = difflib.get_close_matches(given, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known[:12]) or 'none'}"
            raise SettingsError(f"tables.{name}.source: {given!r} is not in the source{hint}")
        if given or name in known:
            yield name, given or name


# --- folders ---------------------------------------------------------------------------------------------------------


def _read_folder(
    engagement: Engagement, folder: Path, names: Iterable[str], con: Backend, work: Path, books: RawBooks
) -> None:
    groups = _files_by_table(folder)
    for name, source in _wanted(engagement, names, [*groups, *(f.name for group in groups.values() for f in group)]):
        files = groups.get(source) or [folder / source]
        formats = engagement.table(name).formats or engagement.settings.formats
        parts = [_read_file(file, formats, con, work, books, name) for file in files]
        for file in files:
            books.files[file.name] = sha256(file)
        _reject_copies(files, books, name)
        _add(books, name, [p for p in parts if p is not None], text=files[0].suffix.lower() == ".csv")


def _files_by_table(folder: Path) -> dict[str, list[Path]]:
    """CSV and Parquet files by table: `costs.csv`, and `costs-2024.csv` beside `costs-2025.csv`."""
    groups: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in {".csv", ".parquet"}:
            groups.setdefault(file.stem.split("-")[0], []).append(file)
    return groups


def _reject_copies(files: list[Path], books: RawBooks, table: str) -> None:
    seen: dict[str, str] = {}
    for file in files:
        digest = books.files[file.name]
        if digest in seen:
            message = f"{file.name} has the same content as {seen[digest]}"
            books.defects.append(rejection("file-twice", message, "remove one of them", table=table, file=file.name))
        seen.setdefault(digest, file.name)


def _add(books: RawBooks, name: str, parts: list[ir.Table], *, text: bool) -> None:
    import ibis

    if not parts:
        return
    headers = {tuple(p.columns) for p in parts}
    if len(headers) > 1:
        way_out = "give all files of a table the same header"
        books.defects.append(
            rejection("headers-differ", f"the files of {name} differ in their headers", way_out, table=name)
        )
        return
    books.tables[name] = ibis.union(*parts) if len(parts) > 1 else parts[0]
    if text:
        books.text.add(name)


def _read_file(file: Path, formats: Formats, con: Backend, work: Path, books: RawBooks, table: str) -> ir.Table | None:
    if file.suffix.lower() == ".parquet":
        return _read_parquet(file, con, books, table)
    try:
        return _read_csv(file, formats, con, work, books, table)
    except _UnreadableError as error:
        books.defects.append(error.finding)
        return None


def _read_parquet(file: Path, con: Backend, books: RawBooks, table: str) -> ir.Table | None:
    where = {"table": table, "file": file.name}
    query = f"SELECT *, {_quoted(file.name)} AS _file, file_row_number + 2 AS _row FROM read_parquet({_quoted(file)}, file_row_number = true)"
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


class _UnreadableError(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _read_csv(file: Path, formats: Formats, con: Backend, work: Path, books: RawBooks, table: str) -> ir.Table:
    """A CSV file staged as text, record by record."""
    where, encoding = {"table": table, "file": file.name}, _encoding(file, formats.encoding)
    if not file.stat().st_size:
        raise _UnreadableError(rejection("file-empty", "the file is empty", "fill or remove it", **where))
    header, staged = _header(file, encoding, formats.delimiter, where), work / f"text-{table}-{file.stem}.parquet"
    rows, broken = _staged_plain(file, encoding, header, formats.delimiter, staged) or _staged_records(
        file, encoding, header, formats.delimiter, staged
    )
    books.defects += [replace(found, table=table, file=file.name) for found in broken]
    if not rows and not broken:
        raise _UnreadableError(
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
            raise _UnreadableError(
                rejection("header-unreadable", f"the header cannot be read: {error}", "mend row 1", row=1, **where)
            ) from None
    if problem := _bad_text("".join(header)):
        raise _UnreadableError(_broken(problem, 1, "".join(header), **where))
    _check_header(header, where)
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
                _tally(broken, _broken(problem, row, delimiter.join(values)))
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


def _broken(code: str, row: int, text: str, **where: Any) -> Finding:
    message, way_out = BROKEN_ROWS[code]
    return rejection(
        code, message, way_out, row=row, value=shortened(text.encode("utf-8", "backslashreplace").decode()), **where
    )


def _tally(found: list[Finding], one: Finding) -> None:
    """List a broken row, or count it in the last of its kind when a hundred are listed."""
    same = [i for i, f in enumerate(found) if f.code == one.code]
    if len(same) < MOST_LISTED:
        found.append(one)
    else:
        found[same[-1]] = replace(found[same[-1]], count=found[same[-1]].count + 1)


def _check_header(header: list[str], where: Mapping[str, str]) -> None:
    folded = [name.strip().casefold() for name in header]
    if twice := sorted({name for name in folded if name and folded.count(name) > 1}):
        raise _UnreadableError(
            rejection("column-twice", f"the header has {twice[0]!r} more than once", "keep one of them", row=1,
                      column=twice[0], **where)
        )  # fmt: skip
    if not any(folded) or any(not name for name in folded):
        raise _UnreadableError(
            rejection("header-blank", "the header has a blank name", "name every column in row 1", row=1, **where)
        )


# --- workbooks -------------------------------------------------------------------------------------------------------


def _read_workbook(
    engagement: Engagement, path: Path, names: Iterable[str], con: Backend, work: Path, books: RawBooks
) -> None:
    books.files[path.name] = sha256(path)
    try:
        values, formulas = _open_workbook(path)
    except _UnreadableError as error:
        books.defects.append(error.finding)
        return
    titles = values.sheetnames
    for name in names:
        near = [t for t in titles if t.strip().casefold() == name]
        if not engagement.table(name).source and near and (near != [name]):
            message = f"sheets {', '.join(map(repr, near))} could all be {name}"
            way_out = f"name the right one under tables.{name}.source"
            books.defects.append(rejection("sheet-unclear", message, way_out, table=name, file=path.name))
            titles = [t for t in titles if t not in near]
    for name, sheet in _wanted(engagement, names, titles):
        formats = engagement.table(name).formats or engagement.settings.formats
        where = {"table": name, "file": f"{path.name}:{sheet}"}
        try:
            staged = _stage_sheet(values[sheet], formulas[sheet], formats, work / f"text-{name}.parquet", books, where)
        except _UnreadableError as error:
            books.defects.append(error.finding)
            continue
        _add(books, name, [con.read_parquet(str(staged))], text=True)


def _open_workbook(path: Path) -> tuple[openpyxl.Workbook, openpyxl.Workbook]:
    """The workbook twice: with values, and with formulas."""
    import zipfile

    import openpyxl

    where = {"file": path.name}
    if path.read_bytes()[:4] == b"\xd0\xcf\x11\xe0":
        raise _UnreadableError(rejection("encrypted", "the workbook is encrypted, or in the format before 2007",
                                    "save it without password as .xlsx", **where))  # fmt: skip
    if not zipfile.is_zipfile(path):
        raise _UnreadableError(
            rejection("not-a-workbook", "the file is no Excel workbook", "save it as .xlsx, or as CSV", **where)
        )
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > max(LARGEST_WORKBOOK, 0) or unpacked > 500 * max(path.stat().st_size, 100_000):
        raise _UnreadableError(
            rejection("workbook-bomb", f"the workbook would unpack to {unpacked:,} bytes", "export it as CSV", **where)
        )
    try:
        return openpyxl.load_workbook(path, data_only=True), openpyxl.load_workbook(path)
    except Exception as error:  # openpyxl raises what its parsers raise
        raise _UnreadableError(
            rejection("not-a-workbook", f"the workbook cannot be read: {error}", "save it anew as .xlsx", **where)
        ) from None


def _stage_sheet(
    values: Any, formulas: Any, formats: Formats, staged: Path, books: RawBooks, where: Mapping[str, str]
) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    merged = [str(r) for r in values.merged_cells.ranges if r.min_row == 1]
    if merged:
        raise _UnreadableError(
            rejection("header-merged", f"cells {merged[0]} of the header are merged", "unmerge them", row=1, **where)
        )
    rows = list(values.iter_rows(values_only=True))
    header = ["" if v is None else str(v) for v in rows[0]] if rows else []
    while header and not header[-1]:
        header.pop()
    _check_header(header, where)
    filled = [(n, r[: len(header)]) for n, r in enumerate(rows[1:], 2) if any(v is not None for v in r)]
    if not filled:
        raise _UnreadableError(
            rejection("header-only", "there is a header and no row", "fill or remove the sheet", **where)
        )
    books.defects += _hidden_rows(values, where) + _formulas_without_value(values, formulas, header, where)
    text = {name: [as_declared(r[i], formats) for _, r in filled] for i, name in enumerate(header)}
    table = pa.table({k: pa.array(v, pa.string()) for k, v in text.items()})
    table = table.append_column("_file", pa.array([where["file"]] * len(filled), pa.string()))
    pq.write_table(table.append_column("_row", pa.array([n for n, _ in filled], pa.int64())), staged)
    return staged


def _hidden_rows(sheet: Any, where: Mapping[str, Any]) -> list[Finding]:
    hidden = [n for n, row in sheet.row_dimensions.items() if row.hidden and 1 < n <= sheet.max_row]
    if not hidden:
        return []
    message = f"{len(hidden)} hidden row(s), read like the others"
    return [
        Finding("warn", "rows-hidden", message, "unhide or delete them", row=min(hidden), count=len(hidden), **where)
    ]


def _formulas_without_value(values: Any, formulas: Any, header: list[str], where: Mapping[str, str]) -> list[Finding]:
    found = []
    for row in formulas.iter_rows(min_row=2, max_col=len(header)):
        for cell in row:
            if cell.data_type == "f" and values.cell(cell.row, cell.column).value is None:
                found.append(
                    rejection("formula-without-value", "a formula whose value was never saved", "open and save in Excel",
                              row=cell.row, column=header[cell.column - 1], value=shortened(str(cell.value)), **where)
                )  # fmt: skip
    return found


def as_declared(value: Any, formats: Formats) -> str | None:
    """A native cell as the declared format would write it; numbers within 1e-9 of four decimals are those four decimals."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime | date):
        midnight = not isinstance(value, datetime) or value.time() == datetime.min.time()
        return f"{value:{formats.dates[0]}}" if midnight else str(value)
    number = Decimal(str(value))
    if number.is_finite() and abs(number - (rounded := round(number, 4))) < Decimal("1e-9"):
        number = rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded.normalize()
    text = f"{abs(number):f}".replace(".", formats.decimal)
    forms = {"leading": f"-{text}", "trailing": f"{text}-", "parentheses": f"({text})"}
    return forms[formats.negative] if number < 0 else text


# --- databases and queries -------------------------------------------------------------------------------------------


def _read_database(engagement: Engagement, path: Path, names: Iterable[str], con: Backend, books: RawBooks) -> None:
    books.files[path.name] = sha256(path)
    try:
        con.raw_sql(f"ATTACH {_quoted(path)} AS client (READ_ONLY)")
    except Exception as error:  # the engine's own error says why
        raise SettingsError(
            f"source {path.name} cannot be opened as a DuckDB file: {str(error).splitlines()[0]}"
        ) from None
    known = [
        row[0]
        for row in con.raw_sql("SELECT table_name FROM duckdb_tables() WHERE database_name = 'client'").fetchall()
    ]
    known += [
        row[0]
        for row in con.raw_sql(
            "SELECT view_name FROM duckdb_views() WHERE database_name = 'client' AND NOT internal"
        ).fetchall()
    ]
    for name, source in _wanted(engagement, names, known):
        books.tables[name] = con.sql(
            f'SELECT *, {_quoted(source)} AS _file, row_number() OVER () + 1 AS _row FROM client."{source}"'
        )


def _read_queries(
    engagement: Engagement, path: Path, names: Iterable[str], con: Backend, work: Path, books: RawBooks
) -> None:
    """Tables mapped to a .sql file, which sees every file of the folder, or table of the database, under its own name."""
    queries = {n: s for n in names if (s := engagement.table(n).source) and s.endswith(".sql")}
    if not queries:
        return
    if path.is_dir():
        for file in [f for group in _files_by_table(path).values() for f in group]:
            reader = "read_parquet" if file.suffix.lower() == ".parquet" else "read_csv"
            options = "" if reader == "read_parquet" else ", all_varchar = true, header = true"
            con.raw_sql(f'CREATE OR REPLACE VIEW "{file.stem}" AS SELECT * FROM {reader}({_quoted(file)}{options})')
            books.files[file.name] = sha256(file)
    elif path.suffix.lower() in {".duckdb", ".db"}:
        con.raw_sql("SET search_path = 'client.main,memory.main'")
    for name, query in queries.items():
        file = engagement.folder / query
        if not file.is_file():
            raise SettingsError(f"tables.{name}.source: there is no {query} beside engagement.yml")
        books.files[query] = sha256(file)
        text = file.read_text(encoding="utf-8").strip().rstrip(";")
        staged = work / f"query-{name}.parquet"  # kept, so that its rows have one order
        rows = f"SELECT *, {_quoted(query)} AS _file, row_number() OVER () + 1 AS _row FROM ({text}\n)"
        try:
            con.raw_sql(f"COPY ({rows}) TO {_quoted(staged)} (FORMAT parquet)")
            books.tables[name] = con.read_parquet(str(staged))
        except Exception as error:  # the engine's own error says why
            raise SettingsError(f"{query}: {error}") from None
    con.raw_sql("SET search_path = 'memory.main'")


def sha256(file: Path) -> str:
    """Hash of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shortened(text: str, length: int = 60) -> str:
    """A value as it is shown: control and bidirectional characters as visible escapes, long ones cut with a mark."""
    visible = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", lambda m: f"\\u{ord(m[0]):04x}", text
    )
    return visible if len(visible) <= length else visible[: length - 1] + "…"


def _quoted(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"
