"""The ledger read: headers held against the dictionary, values typed, every defect of every file told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.ledger import SHOWN, Ledger, close, connect, identifier, quoted
from crmlib.books.raw import Raw, Reader, source_files
from crmlib.books.sources import read_raw
from crmlib.books.typing import typed_value
from crmlib.books.views import make_views
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import Column, Table, tables
from crmlib.declared.reading import nearest

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def read_ledger(engagement: Engagement, work: Path) -> Ledger:
    """Read every table that is there; text becomes typed Parquet in the folder `work`.

    The engine of the ledger reads the source and the folder in which `work` lies, and nothing else.

    Raises
    ------
    SettingsError
        The source is not there, or a mapping names a file, sheet or table that is not in it.
    """
    work.mkdir(parents=True, exist_ok=True)
    reader = Reader(engagement, connect(), work)
    native = [file for file in source_files(engagement).values() if file.suffix.lower() not in {".csv", ".sql"}]
    close(reader.con, work.parent, native)
    raws = read_raw(reader)
    reader.con.raw_sql("CREATE SCHEMA memory.typed")
    defects = [finding for raw in raws.values() for finding in raw.findings]
    defects += _missing_tables(raws, defects)
    typed: dict[str, ir.Table] = {}
    for name, raw in raws.items():
        if raw.table is not None:
            table, findings = _typed_table(reader, name, raw, raw.table)
            typed |= table
            defects += findings
    ledger = Ledger(engagement, reader.con, typed, tuple(defects), raws[""].state)
    make_views(ledger)
    return ledger


def _missing_tables(raws: Mapping[str, Raw], defects: list[Finding]) -> list[Finding]:
    blamed = {finding.table for finding in defects}
    return [
        rejection("table-missing", f"the ledger has no table {t.name}", f"add it, or map it under tables.{t.name}",
                  table=t.name)
        for t in tables().values()
        if t.required and t.name not in raws and t.name not in blamed and "" not in blamed
    ]  # fmt: skip


def _typed_table(reader: Reader, name: str, raw: Raw, expr: ir.Table) -> tuple[dict[str, ir.Table], list[Finding]]:
    """A table with its columns typed, if its header is right, and what is wrong with it."""
    columns, header = _columns(reader.engagement, tables()[name], expr)
    bad = {f"_bad_{c.name}": problem for c, _, _, problem in columns}
    checked = expr.select("_file", "_row", **{c.name: value for c, _, value, _ in columns}, **bad)
    try:
        # text is converted once, then as quick as what came typed
        _make_typed(reader.con, checked, name, reader.work / f"{name}.parquet" if raw.text else None)
        findings = header + _value_defects(reader.con, expr, columns, name)
    except Exception as error:  # a damaged file or a client's view may fail where its rows are read
        message = shortened(f"the table cannot be read: {reader.said(error)}", 200)
        return {}, [rejection("table-unreadable", message, "export it anew, or mend the view", table=name)]
    return ({} if header else {name: reader.con.table(name, database=("memory", "typed"))}), findings


def _make_typed(con: Backend, checked: ir.Table, name: str, path: Path | None) -> None:
    """The view `typed.NAME`, and `typed.checked_NAME` that has the defects' codes too."""
    if path:
        con.to_parquet(checked, str(path))
        con.raw_sql(f"CREATE VIEW memory.typed.checked_{name} AS FROM read_parquet({quoted(path)})")
    else:
        con.create_view(f"checked_{name}", checked, database=("memory", "typed"))
    columns = ", ".join(identifier(c) for c in checked.columns if not c.startswith("_bad_"))
    con.raw_sql(f"CREATE VIEW memory.typed.{name} AS SELECT {columns} FROM memory.typed.checked_{name}")


TypedColumn = tuple[Column, str, Any, Any]  # record, the client's column, typed value, code of the defect or null


def _columns(engagement: Engagement, table: Table, raw: ir.Table) -> tuple[list[TypedColumn], list[Finding]]:
    """Each record's column that is there, typed; or what is wrong with the header."""
    spec = engagement.table(table.name)
    formats = spec.formats or engagement.settings.formats
    records = {**table.columns, **_own_columns(engagement, table)}
    typed, found = [], _unknown_mappings(table, spec.columns, records)
    for column in records.values():
        source = spec.column(column.name)
        if source.column in raw.columns:
            typed.append((column, str(source.column), *typed_value(raw[source.column], column, source, formats)))
        elif near := _near_column(
            str(source.column), raw.columns, mapped=column.name in spec.columns or column.required
        ):
            found.append(_header_finding(table.name, str(source.column), near, raw))
        elif column.required or column.name in spec.columns:
            found.append(_header_finding(table.name, str(source.column), "", raw))
    return typed, found


def _own_columns(engagement: Engagement, table: Table) -> dict[str, Column]:
    """Columns beyond the records: measures of invoice_lines that statement or mapping add, attributes of customers."""
    given = engagement.table(table.name).columns
    unmapped = [c for c in table.columns if c not in given]
    added = [c for c in given if c not in table.columns and not nearest(c, unmapped, 0.8)]
    if table.name == "customers":
        named = [c for c in added if c not in {line.id for line in engagement.statement.lines}]  # columns of the cube
        return {n: Column(name=n, type="text", meaning="attribute of this company") for n in named}
    if table.name == "invoice_lines":
        measures = [*(measure for line in engagement.statement.lines for measure in line.measures), *added]
        taken = {c.casefold() for c in table.columns}
        own = {m.casefold(): m for m in measures if m.casefold() not in taken and not m.startswith("_")}
        return {m: Column(name=m, type="measure", meaning="measure of this company") for m in own.values()}
    return {}


def _unknown_mappings(table: Table, mapped: Mapping[str, Any], records: Mapping[str, Column]) -> list[Finding]:
    return [
        rejection("mapping-unknown", f"tables.{table.name}.columns.{name}: the ledger has no such column",
                  f"allowed: {', '.join(records)}", table=table.name, column=name)
        for name in mapped if name not in records
    ]  # fmt: skip


def _near_column(wanted: str, present: tuple[str, ...], *, mapped: bool) -> str:
    """A column that differs in case or spaces only, or, where one is needed, the nearest."""
    same = [c for c in present if re.sub(r"[\s_-]", "", c.casefold()) == re.sub(r"[\s_-]", "", wanted.casefold())]
    return same[0] if same else nearest(wanted, [c for c in present if not c.startswith("_")]) if mapped else ""


def _header_finding(table: str, wanted: str, near: str, raw: ir.Table) -> Finding:
    hint = f"; {near!r} is near" if near else ""
    file = raw.limit(1)["_file"].execute()
    way_out = f"rename it, or map it under tables.{table}.columns"
    return rejection("column-missing", f"column {wanted!r} is not in the header{hint}", way_out, table=table,
                     file=file.iloc[0] if len(file) else "", row=1, column=wanted, value=shortened(near))  # fmt: skip


TOLD = {
    "key-trimmed": ("a key with blanks around it; read without them", "trim it at the source"),
    "blank": ("blank where a value is needed", "fill it; for a number, `blank: zero` in the mapping means nought"),
    "number-format": ("not a number as the settings declare it", "write it like 1234.56, or declare it under formats"),
    "number-too-long": ("more digits or decimals than the column holds ({digits})", "round it at the source"),
    "date-format": ("not a date as the settings declare it", "write it so, or declare its format under formats.dates"),
    "date-impossible": ("a date that does not exist", "mend it at the source"),
    "date-ambiguous": ("a date that fits two declared formats with two results", "declare one format for this table"),
    "date-with-time": ("a time of day where a date is needed", "map the column with `cast: true` to take the date"),
    "date-with-zone": ("a time with zone where a date is needed", "map it with `cast: true` to take the date in UTC"),
    "month-not-first": ("a month is written as its first day", "write the first day of the month"),
    "value-unknown": ("not one of {values}", "use one of these"),
    "type-floating": ("floating-point numbers, not decimals", "store decimals, or map it with `cast: true`"),
    "type-not-number": ("no number type", "store decimals, or convert in a .sql mapping"),
    "type-not-date": ("no date type", "store dates, or convert in a .sql mapping"),
    "type-not-text": ("no text type", "map the column with `cast: true`, or convert in a .sql mapping"),
}  # fmt: skip


def _value_defects(con: Backend, raw: ir.Table, columns: list[TypedColumn], table: str) -> list[Finding]:
    """One finding per row and column that cannot be read: counted in one pass, listed only where there are any."""
    counts = ", ".join(f"count({identifier(f'_bad_{c.name}')})" for c, *_ in columns)
    counted = con.raw_sql(f"SELECT {counts} FROM memory.typed.checked_{table}").fetchall()[0] if columns else ()
    found: list[Finding] = []
    for (column, source, _, problem), count in zip(columns, counted, strict=True):
        if count:
            shown = raw.select("_file", "_row", code=problem, text=raw[source].cast("string"))
            found += _listed(shown.filter(shown.code.notnull()), column, table)
    return found


def _listed(shown: ir.Table, column: Column, table: str) -> list[Finding]:
    findings = []
    filled = {"values": ", ".join(column.values), "digits": column.dtype}
    for kind in shown.group_by("code").aggregate(total=shown.count()).order_by("code").to_pyarrow().to_pylist():
        code, total = kind["code"], kind["total"]
        rows = shown.filter(shown.code == code).order_by("_file", "_row").limit(SHOWN).to_pyarrow().to_pylist()
        verdict = "warn" if code == "key-trimmed" else "reject"
        for i, row in enumerate(rows, 1):
            left = total - SHOWN if i == SHOWN else 0
            more = f"; {left:,} more rows like this" if left else ""
            place = {"table": table, "file": row["_file"], "row": row["_row"], "column": column.name}
            message = TOLD[code][0].format(**filled) + more
            value = shortened(row["text"] or "")
            findings.append(Finding(verdict, code, message, TOLD[code][1], value=value, count=1 + left, **place))
    return findings
