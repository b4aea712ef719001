"""Excel workbooks as text, as the declared formats would write it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.csv_files import check_header, headings, skipped_rows
from crmlib.books.findings import Finding, UnreadableError, broken_row, rejection, shortened, tally
from crmlib.books.raw import Part, Raw, Reader, Source
from crmlib.declared.ledger import tables
from crmlib.declared.settings import COUNTED, Formats

if TYPE_CHECKING:
    import openpyxl

LARGEST_WORKBOOK = 2 * 1024**3  # bytes unpacked; a larger one is refused unopened
LARGE_WORKBOOK = 50 * 1024**2  # bytes unpacked, from which on it is tried in a process of its own
MOST_CELLS = 60_000_000  # of a sheet, from its first cell to its last
MOST_MEMORY = 0.5  # of the machine's


def workbook(reader: Reader, path: Path) -> Source:
    """The sheets of a workbook by their titles; those that could all be one table are told and not read."""
    try:
        values, formulas = _open_workbook(path, reader.engagement.settings.query_timeout_seconds)
    except UnreadableError as error:
        return Source(findings=(error.finding,))
    titles = values.sheetnames
    near = {
        name: [t for t in titles if t.strip().casefold() == name]
        for name in tables() if not reader.engagement.table(name).source
    }  # fmt: skip
    unclear = {name: sheets for name, sheets in near.items() if sheets and sheets != [name]}
    read = {t: partial(_sheet, reader, (values[t], formulas[t]), f"{path.name}:{t}") for t in titles}
    sheets = {t: [Part(t, read[t])] for t in titles}
    straight = {t: sheet for t, sheet in sheets.items() if not any(t in others for others in unclear.values())}
    untold = {name: [Part(name, partial(_unclear, path.name, others))] for name, others in unclear.items()}
    return Source({**straight, **untold}, sheets)


def _unclear(file: str, sheets: list[str], table: str) -> Raw:
    message = f"sheets {', '.join(map(repr, sheets))} could all be {table}"
    way_out = f"name the right one under tables.{table}.source"
    return Raw(findings=(rejection("sheet-unclear", message, way_out, table=table, file=file),))


def _sheet(reader: Reader, sheets: tuple[Any, Any], file: str, table: str) -> Raw:
    where = {"table": table, "file": file}
    try:
        staged = reader.new_file()
        findings = _stage_sheet(*sheets, reader, staged, where)
        return reader.staged(staged, where, findings)
    except UnreadableError as error:
        return Raw(findings=(error.finding,))


def _open_workbook(path: Path, most_seconds: int) -> tuple[openpyxl.Workbook, openpyxl.Workbook]:
    """The workbook twice: with values, and with formulas."""
    import zipfile

    where = {"file": path.name}
    if path.read_bytes()[:4] == b"\xd0\xcf\x11\xe0":
        raise UnreadableError(rejection("encrypted", "the workbook is encrypted, or in the format before 2007",
                                    "save it without password as .xlsx", **where))  # fmt: skip
    if not zipfile.is_zipfile(path):
        raise UnreadableError(
            rejection("not-a-workbook", "the file is no Excel workbook", "save it as .xlsx, or as CSV", **where)
        )
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > max(LARGEST_WORKBOOK, 0) or unpacked > 500 * max(path.stat().st_size, 100_000):
        raise UnreadableError(
            rejection("workbook-bomb", f"the workbook would unpack to {unpacked:,} bytes", "export it as CSV", **where)
        )
    if unpacked > LARGE_WORKBOOK and (problem := _beyond_limits(path, most_seconds)):
        raise UnreadableError(rejection("workbook-too-large", problem, "export it as CSV", **where))
    try:
        return _opened(path)
    except Exception as error:  # openpyxl raises what its parsers raise
        raise UnreadableError(
            rejection("not-a-workbook", f"the workbook cannot be read: {error}", "save it anew as .xlsx", **where)
        ) from None


def _opened(path: Path) -> tuple[openpyxl.Workbook, openpyxl.Workbook]:
    import openpyxl

    return openpyxl.load_workbook(path, data_only=True), openpyxl.load_workbook(path)


def _beyond_limits(path: Path, most_seconds: int) -> str:
    """What keeps a workbook from being opened within limits of memory and time, in a process that ends with it; '' where nothing does."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_try_to_open, args=(path, most_seconds), daemon=True)
    process.start()
    process.join(most_seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return f"the workbook takes longer than {most_seconds} s to open (query_timeout_seconds)"
    return (
        f"the workbook takes more than {MOST_MEMORY:.0%} of this machine's memory to open" if process.exitcode else ""
    )


def _try_to_open(path: Path, most_seconds: int) -> None:
    """Open a workbook within limits; what it is that cannot be read is told by who opens it next."""
    with contextlib.suppress(ImportError):  # no such limits there
        import resource

        memory = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * MOST_MEMORY)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, most_seconds))  # though nobody waits any more
    try:
        _opened(path)
    except MemoryError:
        os._exit(1)
    except Exception:
        os._exit(0)


def _stage_sheet(values: Any, formulas: Any, reader: Reader, staged: Path, where: Mapping[str, str]) -> list[Finding]:
    """Stage a sheet's rows; returns what was found beside them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    formats, spec = reader.formats(where["table"]), reader.engagement.table(where["table"])
    top = spec.header_row
    merged = [str(r) for r in values.merged_cells.ranges if r.min_row <= top <= r.max_row]
    if merged and spec.header_rows == 1:
        message = f"cells {merged[0]} of the header are merged"
        raise UnreadableError(rejection("header-merged", message, "unmerge them", row=top, **where))
    start, known = values.parent.epoch.date(), {form: COUNTED[form][0] for form in formats.dates if "serial" in form}
    if other := [form for form, first in known.items() if first != start]:
        message = f"the workbook counts days from {start:%Y-%m-%d} on, and {other[0]} from {known[other[0]]} on"
        own = next(form for form, (first, *_) in COUNTED.items() if first == start)
        raise UnreadableError(rejection("serial-other", message, f"write {own} under formats.dates", **where))
    if values.max_row * values.max_column > MOST_CELLS:
        last = f"{values.max_column:,} columns and {values.max_row:,} rows"
        message = f"the sheet reaches over {last}, as a cell far away makes it"
        raise UnreadableError(
            rejection("sheet-too-large", message, "delete what stands far away, or export it as CSV", **where)
        )
    rows = list(values.iter_rows(values_only=True))
    above = [["" if v is None else str(v) for v in row] for row in rows[:top]]
    width = max((n for row in above[-spec.header_rows :] for n, cell in enumerate(row, 1) if cell), default=0)
    header = headings([row[:width] for row in above], spec) if len(above) == top else []
    check_header(header, where, top)
    filled = [(n, r) for n, r in enumerate(rows[top:], top + 1) if any(v is not None for v in r)]
    broken: list[Finding] = []
    for n, row in filled:
        if any(v is not None for v in row[len(header) :]):
            tally(broken, broken_row("row-too-long", n, " ".join(str(v) for v in row if v is not None), **where))
    text = {name: [as_declared(r[i], formats) or "" for _, r in filled] for i, name in enumerate(header)}
    table = pa.table({k: pa.array(v, pa.string()) for k, v in text.items()})
    table = table.append_column("_file", pa.array([where["file"]] * len(filled), pa.string()))
    pq.write_table(table.append_column("_row", pa.array([n for n, _ in filled], pa.int64())), staged)
    return [
        *skipped_rows(rows[: top - spec.header_rows], where), *broken, *_times_cut(filled, header, where),
        *_hidden_rows(values, where, top), *_formulas_without_value(values, formulas, header, where, top),
    ]  # fmt: skip


def _times_cut(filled: Sequence[tuple[int, Any]], header: Sequence[str], where: Mapping[str, Any]) -> list[Finding]:
    """One finding per column whose dates have a time of day."""
    found = []
    for i, name in enumerate(header):
        timed = [(n, row[i]) for n, row in filled if isinstance(row[i], datetime) and row[i].time() != time()]
        if timed:
            place = {**where, "row": timed[0][0], "column": name, "value": str(timed[0][1]), "count": len(timed)}
            found.append(Finding("accept", "time-cut", "a time of day, cut to its date", "nothing to do", **place))
    return found


def _hidden_rows(sheet: Any, where: Mapping[str, Any], top: int) -> list[Finding]:
    hidden = [n for n, row in sheet.row_dimensions.items() if row.hidden and top < n <= sheet.max_row]
    if not hidden:
        return []
    message = f"{len(hidden)} hidden row(s), read like the others"
    return [
        Finding("warn", "rows-hidden", message, "unhide or delete them", row=min(hidden), count=len(hidden), **where)
    ]


def _formulas_without_value(
    values: Any, formulas: Any, header: list[str], where: Mapping[str, str], top: int
) -> list[Finding]:
    cells = (cell for row in formulas.iter_rows(min_row=top + 1, max_col=len(header)) for cell in row)
    return [
        rejection("formula-without-value", "a formula whose value was never saved", "open and save in Excel",
                  row=cell.row, column=header[cell.column - 1], value=shortened(str(cell.value)), **where)
        for cell in cells if cell.data_type == "f" and values.cell(cell.row, cell.column).value is None
    ]  # fmt: skip


def as_declared(value: Any, formats: Formats) -> str | None:
    """A native cell as the declared format would write it; numbers within 1e-9 of four decimals are those."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime | date):
        form = next((form for form in formats.dates if {*re.findall("%.", form)} & {"%d", "%j"}), "%Y-%m-%d")
        start, in_a_day, _ = COUNTED.get(formats.dates[0], (None, 1, ""))
        return str((date(*value.timetuple()[:3]) - start).days * in_a_day) if start else f"{value:{form}}"
    number = Decimal(str(value))
    if number.is_finite() and number.adjusted() < 20 and abs(number - (rounded := round(number, 4))) < Decimal("1e-9"):
        number = rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded.normalize()
    text = f"{abs(number):f}".replace(".", formats.decimal)
    forms = {"leading": f"-{text}", "trailing": f"{text}-", "parentheses": f"({text})", "CR": f"{text} CR"}
    return forms[formats.negative] if number < 0 else text
