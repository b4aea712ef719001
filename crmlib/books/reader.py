"""The ledger read: headers held against the dictionary, values typed, every defect of every file told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from crmlib.books.columns import COMPUTED, WHERE, TypedColumn, typed_columns
from crmlib.books.currencies import convert
from crmlib.books.defects import TOLD, listed
from crmlib.books.engines import Session, refuse_currencies
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.forms import settle_lines
from crmlib.books.ledger import Ledger, Rows, close, connect, identifier, may_begin_blank, quoted, rows_of
from crmlib.books.raw import Raw, Reader, source_files
from crmlib.books.sources import read_raw
from crmlib.books.typing import step
from crmlib.books.views import make_views
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import Table, tables
from crmlib.declared.reading import CrmError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def read_ledger(engagement: Engagement, work: Path) -> Ledger:
    """Read every table that is there; text becomes typed Parquet in the folder `work`.

    The engine of the ledger reads the source and the folder in which `work` lies, and nothing else.

    Raises
    ------
    SettingsError
        The source is not there, or a mapping names a file, sheet or table that is not in it.
    """
    work.mkdir(parents=True, exist_ok=True)
    home = connect()
    session = Session(home) if engagement.settings.engine != "duckdb" else None
    reader = Reader(engagement, cast("DuckDBPyConnection", session or home), work, session)
    native = [file for file in source_files(engagement).values() if file.suffix.lower() not in {".csv", ".sql"}]
    native += [file.with_name(f"{file.name}.wal") for file in native]  # which a database looks for, there or not
    close(home, work.parent, native)
    with ExitStack() as failed:
        failed.callback(reader.con.close)
        ledger = _read(reader)
        failed.pop_all()
    return ledger


def _read(reader: Reader) -> Ledger:
    engagement = reader.engagement
    raws = read_raw(reader)
    reader.con.execute("CREATE SCHEMA memory.typed")
    defects = list(dict.fromkeys(finding for raw in raws.values() for finding in raw.findings))
    defects += _missing_tables(raws, defects)
    typed: dict[str, Rows] = {}
    for name, raw in raws.items():
        if raw.table is not None:
            table, findings = _typed_table(reader, name, raw, raw.table)
            typed |= table
            defects += findings
    if "exchange_rates" in typed:
        if reader.session:
            refuse_currencies(engagement.settings.engine)
        for name in typed:
            defects += convert(reader.con, engagement, name, typed[name].columns)
            typed[name] = rows_of(reader.con, f"FROM memory.typed.{name}")
    ledger = Ledger(engagement, reader.con, typed, tuple(defects), raws[""].state)
    make_views(ledger)
    return ledger


def _missing_tables(raws: Mapping[str, Raw], defects: list[Finding]) -> list[Finding]:
    blamed = {finding.table for finding in defects if finding.verdict == "reject"}
    return [
        rejection("table-missing", f"the ledger has no table {t.name}", f"add it, or map it under tables.{t.name}",
                  table=t.name)
        for t in tables().values()
        if t.required and t.name not in raws and t.name not in blamed and "" not in blamed
    ]  # fmt: skip


def _typed_table(reader: Reader, name: str, raw: Raw, given: Rows) -> tuple[dict[str, Rows], list[Finding]]:
    """A table with its columns typed, if its header is right, and what is wrong with it."""
    rows, columns, header = typed_columns(reader, tables()[name], given)
    there = reader.session and reader.session.asks(given.query)
    costly = raw.text or any(column.startswith(COMPUTED) for column in rows.columns)
    if there and (undeclared := _undeclared(tables()[name], given, columns)):
        return {}, header + undeclared
    written = {f"{identifier(name)}::VARCHAR" for name in rows.columns if rows.is_text(name)}
    plain = [
        c
        for c in columns
        if c.text in written and c.record.dtype == "string" and c.value == step("value", c.record.name)
    ]
    texts = {} if costly else {c.record.name: c.text for c in plain}
    values = {c.record.name: c.value for c in columns}
    marks = {f"_bad_{c.record.name}": f"({c.problem}) IS NOT NULL" for c in columns}
    marks |= {f"_same_{c}": f"{values[c]} IS NOT DISTINCT FROM {text}" for c, text in texts.items()}
    try:
        # text is converted once, then as quick as what came typed
        path = reader.work / f"{name}.parquet" if costly and not there else None
        checked = _selected(rows, values | marks)
        if raw.in_order:
            checked = checked.replace(given.query, raw.in_order)
        _make_typed(reader.con, checked, name, [*values], path, in_order=bool(raw.in_order))
        odd = "" if costly or there else f"SELECT count_if({_odd(columns, texts, marks)}) FROM ({rows.query})"
        counts = _counted(reader.con, marks, name, odd)
        findings = header + _value_defects(rows, columns, counts, name) + _left_out(reader, columns, name)
        if as_given := {c: text for c, text in texts.items() if counts[f"_same_{c}"] == counts["rows"]}:
            given_so = _selected(rows, values | as_given)  # none of it is trimmed again and again
            reader.con.execute(f"CREATE OR REPLACE VIEW memory.typed.{_plain(name)} AS {given_so}")
        if name == "invoice_lines":
            settle_lines(reader.con, list(values))
    except CrmError:  # a server says by itself where
        raise
    except Exception as error:  # a damaged file or a client's view may fail where its rows are read
        message = shortened(f"the table cannot be read: {reader.said(error)}", 200)
        return {}, [rejection("table-unreadable", message, "export it anew, or mend the view", table=name)]
    unusable = any(f.verdict == "reject" and f.code != "column-misnamed" for f in header)
    return ({} if unusable else {name: rows_of(reader.con, f"FROM memory.typed.{name}")}), findings


def _undeclared(table: Table, rows: Rows, columns: Sequence[TypedColumn]) -> list[Finding]:
    """Numbers and days that are written as text, which only the engine here types."""
    texts = {f"{identifier(name)}::VARCHAR": name for name in rows.columns if rows.is_text(name)}
    found = [
        (c, "number" if c.record.numeric else "date") for c in columns if c.record.dtype != "string" and c.text in texts
    ]
    return [
        rejection(f"type-not-{kind}", TOLD[f"type-not-{kind}"][0], "declare its type at the source, or leave `engine` out",
                  table=table.name, file=rows.first_file(), column=texts[column.text])
        for column, kind in found
    ]  # fmt: skip


def _selected(rows: Rows, columns: Mapping[str, str]) -> str:
    named = ", ".join(f"{value} AS {identifier(name)}" for name, value in columns.items())
    return f"SELECT _file, _row, {named} FROM ({rows.query})"


def _plain(name: str) -> str:
    """The view of a table as it is typed: of invoice lines, whose kinds are still to be settled, another than of its own name."""
    return "plain_lines" if name == "invoice_lines" else name


def _make_typed(
    con: DuckDBPyConnection, checked: str, name: str, columns: Sequence[str], path: Path | None, *, in_order: bool
) -> None:
    """The view `typed.NAME` of the rows that are kept, and `typed.checked_NAME` of all, with whether they have defects."""
    if path:
        con.execute(f"COPY ({checked}) TO {quoted(path)} (FORMAT parquet, COMPRESSION uncompressed)")  # it is soon gone
        checked = f"FROM read_parquet({quoted(path)})"
    if path and in_order:
        checked = f"""SELECT * EXCLUDE (file_row_number) REPLACE (_row + file_row_number + 1 AS _row)
                      FROM read_parquet({quoted(path)}, file_row_number = true)"""
    con.execute(f"CREATE VIEW memory.typed.checked_{name} AS {checked}")
    named = ", ".join(["_file", "_row", *(identifier(c) for c in columns if c != WHERE)])
    kept = f" WHERE {identifier(WHERE)}" if WHERE in columns else ""
    con.execute(f"CREATE VIEW memory.typed.{_plain(name)} AS SELECT {named} FROM memory.typed.checked_{name}{kept}")


def _odd(columns: Sequence[TypedColumn], texts: Mapping[str, str], marks: Mapping[str, str]) -> str:
    """Condition on a row that is not as it should be, cheaper than all its marks: of a key that may be blank only blanks around it can be wrong."""
    sure = {
        c.record.name for c in columns if c.record.type == "key" and (c.record.blank or not c.record.required)
    } & texts.keys()
    wrong = [marks[f"_bad_{c.record.name}"] for c in columns if c.record.name not in sure]
    edges = [may_begin_blank(edge) for text in texts.values() for edge in (text, f"reverse({text})")]
    return " OR ".join([*edges, *wrong]) or "false"


def _counted(con: DuckDBPyConnection, marks: Mapping[str, str], name: str, odd: str) -> Mapping[str, int]:
    """How many rows there are, have each defect, and hold each text as it was given: nought of all where the query `odd` counts no row."""
    if odd and con.execute(odd).fetchall() == [(0,)]:
        return dict.fromkeys(["rows", *marks], 0)
    parts = [f"count_if({identifier(mark)})" for mark in marks]
    [counts] = con.execute(f"SELECT {', '.join(['count(*)', *parts])} FROM memory.typed.checked_{name}").fetchall()
    return dict(zip(["rows", *marks], counts, strict=True))


def _left_out(reader: Reader, columns: list[TypedColumn], table: str) -> list[Finding]:
    """The rows that do not meet the mapping's condition, with their amount."""
    names = [c.record.name for c in columns]
    if WHERE not in names:
        return []
    amount = next((identifier(c.record.name) for c in columns if c.record.type == "money"), "NULL::DECIMAL(18, 4)")
    query = f"""SELECT count(*), sum({amount}), min(_file), min_by(_row, (_file, _row))
                FROM memory.typed.checked_{table} WHERE NOT {identifier(WHERE)}"""
    count, total, file, row = reader.con.execute(query).fetchall()[0]
    message, text = (
        "rows that do not meet the mapping's `where` are left out",
        reader.engagement.table(table).where or "",
    )
    place = {"table": table, "file": file, "row": row, "column": WHERE, "value": shortened(text)}
    return (
        [Finding("accept", "left-out", message, "nothing to do", count=count, amount=total, **place)] if count else []
    )


def _value_defects(rows: Rows, columns: list[TypedColumn], counts: Mapping[str, int], table: str) -> list[Finding]:
    """One finding per row and column that cannot be read, listed only where there are any."""
    found: list[Finding] = []
    for column in columns:
        if counts[f"_bad_{column.record.name}"]:
            amount = column.value if column.record.type in {"money", "measure"} else "NULL::DECIMAL(18, 4)"
            shown = _selected(rows, {"code": column.problem, "text": column.text, "amount": amount})
            found += listed(rows.con, f"{shown} WHERE code IS NOT NULL", column.record, table)
    return found
