"""The ledger read: headers held against the dictionary, values typed, every defect of every file told at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.columns import WHERE, TypedColumn, typed_columns
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.ledger import SHOWN, Ledger, close, connect, identifier, quoted
from crmlib.books.raw import Raw, Reader, source_files
from crmlib.books.sources import read_raw
from crmlib.books.views import make_views
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import Column, tables

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
    expr, columns, header = typed_columns(reader, tables()[name], expr)
    bad = {f"_bad_{c.record.name}": c.problem for c in columns}
    checked = expr.select("_file", "_row", **{c.record.name: c.value for c in columns}, **bad)
    costly = raw.text or any(c.startswith("_") for c in expr.columns if c not in {"_file", "_row"})
    try:
        # text is converted once, then as quick as what came typed
        _make_typed(reader.con, checked, name, reader.work / f"{name}.parquet" if costly else None)
        findings = header + _value_defects(reader.con, expr, columns, name) + _left_out(reader, columns, name)
    except Exception as error:  # a damaged file or a client's view may fail where its rows are read
        message = shortened(f"the table cannot be read: {reader.said(error)}", 200)
        return {}, [rejection("table-unreadable", message, "export it anew, or mend the view", table=name)]
    return ({} if header else {name: reader.con.table(name, database=("memory", "typed"))}), findings


def _make_typed(con: Backend, checked: ir.Table, name: str, path: Path | None) -> None:
    """The view `typed.NAME` of the rows that are kept, and `typed.checked_NAME` of all, with the defects' codes."""
    if path:
        con.to_parquet(checked, str(path))
        con.raw_sql(f"CREATE VIEW memory.typed.checked_{name} AS FROM read_parquet({quoted(path)})")
    else:
        con.create_view(f"checked_{name}", checked, database=("memory", "typed"))
    columns = ", ".join(identifier(c) for c in checked.columns if not c.startswith("_bad_") and c != WHERE)
    kept = f" WHERE {identifier(WHERE)}" if WHERE in checked.columns else ""
    con.raw_sql(f"CREATE VIEW memory.typed.{name} AS SELECT {columns} FROM memory.typed.checked_{name}{kept}")


def _left_out(reader: Reader, columns: list[TypedColumn], table: str) -> list[Finding]:
    """The rows that do not meet the mapping's condition, with their amount."""
    names = [c.record.name for c in columns]
    if WHERE not in names:
        return []
    amount = next((identifier(c.record.name) for c in columns if c.record.type == "money"), "NULL::DECIMAL(18, 4)")
    query = f"""SELECT count(*), sum({amount}), min(_file), min_by(_row, (_file, _row))
                FROM memory.typed.checked_{table} WHERE NOT {identifier(WHERE)}"""
    count, total, file, row = reader.con.raw_sql(query).fetchall()[0]
    message, text = (
        "rows that do not meet the mapping's `where` are left out",
        reader.engagement.table(table).where or "",
    )
    place = {"table": table, "file": file, "row": row, "column": WHERE, "value": shortened(text)}
    return (
        [Finding("accept", "left-out", message, "nothing to do", count=count, amount=total, **place)] if count else []
    )


TOLD = {
    "key-trimmed": ("a key with blanks around it; read without them", "trim it at the source"),
    "blank": ("blank where a value is needed", "fill it; for a number, `blank: zero` in the mapping means nought"),
    "number-format": ("not a number as the settings declare it", "write it like 1234.56, or declare it under formats"),
    "number-too-long": ("more digits or decimals than the column holds ({digits})", "round it at the source, or map it with `cast: true`"),
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
    "key-not-whole": ("a floating-point number that is not whole, where a key is needed", "store the key as text"),
    "undecided": ("the condition is neither true nor false here, since a column is blank", "say what a blank means, such as coalesce(state, '') = 'posted'"),
    "blank-zero": ("blank, read as nought (`blank: zero`)", "nothing to do"),
    "cast": ("floating-point, read as decimal (`cast: true`)", "nothing to do"),
    "rounded": ("rounded to the column's decimals ({digits})", "nothing to do"),
    "time-cut": ("a time of day, cut to its date", "nothing to do"),
}  # fmt: skip
ACCEPTED = (
    "blank-zero",
    "cast",
    "rounded",
    "time-cut",
)  # conversions that the mapping asks for, told once with their amount


def _value_defects(con: Backend, raw: ir.Table, columns: list[TypedColumn], table: str) -> list[Finding]:
    """One finding per row and column that cannot be read: counted in one pass, listed only where there are any."""
    import ibis

    counts = ", ".join(f"count({identifier(f'_bad_{c.record.name}')})" for c in columns)
    counted = con.raw_sql(f"SELECT {counts} FROM memory.typed.checked_{table}").fetchall()[0] if columns else ()
    found: list[Finding] = []
    for column, count in zip(columns, counted, strict=True):
        if count:
            amount = column.value if column.record.type in {"money", "measure"} else ibis.null("decimal(18, 4)")
            shown = raw.select("_file", "_row", code=column.problem, text=column.text, amount=amount)
            found += _listed(shown.filter(shown.code.notnull()), column.record, table)
    return found


def _listed(shown: ir.Table, column: Column, table: str) -> list[Finding]:
    findings = []
    filled = {"values": ", ".join(column.values), "digits": column.dtype}
    kinds = shown.group_by("code").aggregate(total=shown.count(), amount=shown.amount.sum()).order_by("code")
    for kind in kinds.to_pyarrow().to_pylist():
        code, total, accepted = kind["code"], kind["total"], kind["code"] in ACCEPTED
        most = 1 if accepted else SHOWN
        rows = shown.filter(shown.code == code).order_by("_file", "_row").limit(most).to_pyarrow().to_pylist()
        verdict = "accept" if accepted else "warn" if code == "key-trimmed" else "reject"
        for i, row in enumerate(rows, 1):
            left = total - most if i == most else 0
            more = f"; {left:,} more rows like this" if left else ""
            place = {"table": table, "file": row["_file"], "row": row["_row"], "column": column.name}
            message = TOLD[code][0].format(**filled) + more
            value, amount = shortened(row["text"] or ""), kind["amount"] if accepted else None
            findings.append(
                Finding(verdict, code, message, TOLD[code][1], value=value, count=1 + left, amount=amount, **place)
            )
    return findings
