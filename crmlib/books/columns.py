"""Which of the client's columns is which of the ledger's: found by name, computed, or a constant; and what is wrong with a header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crmlib.books.defects import gravest
from crmlib.books.expressions import names_in, parsed, summed, with_computed
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.ledger import Rows, identifier, quoted
from crmlib.books.raw import PLACE, Reader
from crmlib.books.typing import step, stepped, typed_value
from crmlib.books.unread import unread_columns
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import Column, Table
from crmlib.declared.reading import SettingsError, did_you_mean, nearest
from crmlib.declared.settings import ColumnSource, Formats, Kind, TableSource

WHERE = "where"  # the column that says whether a row meets the mapping's condition
COMPUTED = "= "  # begins the name of what is computed


@dataclass(frozen=True)
class TypedColumn:
    """A column of the ledger: its record, and in SQL its value, what it was read from, and the code of the defect or null."""

    record: Column
    value: str
    text: str
    problem: str


def typed_columns(reader: Reader, table: Table, raw: Rows) -> tuple[Rows, list[TypedColumn], list[Finding]]:
    """The client's table with what was computed, each record's column that is there, and what is wrong with the header."""
    spec = reader.engagement.table(table.name)
    records = {**table.columns, **_own_columns(reader.engagement, table)}
    given = raw
    raw, absent = _with_computed(reader, table, raw, records)
    found = _unknown_mappings(table, spec.columns, records) + [f for each in absent.values() for f in each]
    read = _read(spec, given, records)
    typed, steps = [], dict[str, dict[str, str]]()
    for column in records.values():
        source = spec.column(column.name)
        if one := _given(raw, column, source, reader.formats(table.name)):
            steps[column.name], text, worse = one
            code = gravest(*worse, step("code", column.name)) if worse else step("code", column.name)
            typed.append(TypedColumn(column, step("value", column.name), text, code))
        elif column.name not in absent:
            needed = column.required or column.name in spec.columns
            left = {c: kind for c, kind in raw.types.items() if needed or c not in read | {*spec.unread}}
            wanted = ", ".join(source.column)
            found += column_missing(reader, table.name, wanted, replace(raw, types=left), needed=needed)
    found += unread_columns(reader, table, given, read, {t.record.name for t in typed})
    typed = [replace(t, value=f"(-{t.value})") if _is_turned(spec, t.record) else t for t in typed]
    typed = _documented(typed, raw, table, spec.document)
    if table.name == "invoice_lines":
        typed = _without_excluded(typed)
    if COMPUTED + WHERE in raw.columns:
        value, text, bad = (identifier(f"{COMPUTED}{WHERE}{part}") for part in ("", "_text", "_bad"))
        typed = [replace(t, problem=f"CASE WHEN {value} THEN {t.problem} END") for t in typed]
        undecided = f"CASE {bad} WHEN 'blank' THEN 'undecided' ELSE {bad} END"
        where = Column(name=WHERE, type="text", meaning="whether the row is kept")
        typed.append(TypedColumn(where, value, text, undecided))
    return replace(raw, query=stepped(raw.query, steps)), typed, found


def _read(spec: TableSource, raw: Rows, records: Mapping[str, Column]) -> set[str]:
    """The client's columns that the mapping or their own names put to use."""
    texts = [text for name in records for text in spec.column(name).column]
    trees = [parsed(t) for t in (*texts, *spec.kinds.values(), spec.where or "") if t and t not in raw.columns]
    names = [*texts, *spec.document, *spec.join, *(key for keys in spec.join.values() for key in keys)]
    names += [name for tree in trees if tree is not None for name in names_in(tree)]
    return {*names, *(name.rpartition(".")[2] for name in names)}


def _is_turned(spec: TableSource, record: Column) -> bool:
    return record.type in {"money", "measure"} and spec.sign_of(record.name) == "turned"


def _without_excluded(typed: list[TypedColumn]) -> list[TypedColumn]:
    """The columns of invoice lines, of which none need be readable in a line that is excluded."""
    kinds = [t.value for t in typed if t.record.name == "kind"]
    return [
        replace(t, problem=f"CASE WHEN {kind} IS DISTINCT FROM 'exclude' THEN {t.problem} END")
        for kind in kinds
        for t in typed
    ] or typed


def _documented(typed: list[TypedColumn], raw: Rows, table: Table, document: Sequence[str]) -> list[TypedColumn]:
    """The columns, with the number of a document made whole where numbers begin again: 2024/1001.

    Raises
    ------
    SettingsError
        The document names what is neither a column of the client nor the year.
    """
    values = {t.record.name: t.value for t in typed}
    if not document or not {"order_id", table.date} <= set(values):
        return typed
    own = [c for c in raw.columns if not c.startswith("_")]
    if unknown := [name for name in document if name not in {"order_id", "year", *own}]:
        allowed = list(dict.fromkeys(["order_id", "year", *own]))
        there = f"there are {', '.join(allowed)}{did_you_mean(unknown[0], allowed)}"
        raise SettingsError(f"tables.{table.name}.document: {unknown[0]!r} is not in the header; {there}")
    whole = values["order_id"]
    for name in reversed([name for name in document if name != "order_id"]):
        part = identifier(name) if name in own else f"year({values[str(table.date)]})"
        whole = f"coalesce(stripped({part}::VARCHAR), '') || '/' || {whole}"
    return [replace(t, value=whole) if t.record.name == "order_id" else t for t in typed]


def _given(
    raw: Rows, column: Column, source: ColumnSource, formats: Formats
) -> tuple[dict[str, str], str, list[str]] | None:
    """A column as it comes, computed, a constant, or the client's; None where it is not there.

    Returns the steps that type it, what it is read from, and codes of what was wrong before.
    """
    if (name := COMPUTED + column.name) in raw.columns:
        spec, given = source.model_copy(update={"cast": True}), identifier(name)
        steps = typed_value(given, raw.types[name], column, spec, formats)
        return steps, identifier(f"{name}_text"), [identifier(f"{name}_bad")]
    if source.value is not None:
        given = f"{quoted(source.value)}::VARCHAR"
        return typed_value(given, "VARCHAR", column, source, Formats.model_validate({})), given, []
    if len(source.column) == 1 and (name := source.column[0]) in raw.columns:
        return (
            typed_value(identifier(name), raw.types[name], column, source, formats),
            f"{identifier(name)}::VARCHAR",
            [],
        )
    return None


def _with_computed(
    reader: Reader, table: Table, raw: Rows, records: Mapping[str, Column]
) -> tuple[Rows, dict[str, list[Finding]]]:
    """The table with the mapping's condition and its expressions, and by these the columns that are not in the header.

    Raises
    ------
    SettingsError
        The condition is none, or an expression cannot be computed.
    """
    spec, formats, found = reader.engagement.table(table.name), reader.formats(table.name), dict[str, list[Finding]]()
    condition = {WHERE: ("where", ColumnSource.model_validate({"column": spec.where}), False)} if spec.where else {}
    wanted = {c: (f"columns.{c}", source, records[c].numeric) for c, source in spec.columns.items() if c in records}
    if spec.kinds:
        text = _kind_of_line(table.name, spec.kinds, "kind" if "kind" in raw.columns else "'sale'")
        condition["kind"] = ("kinds", ColumnSource.model_validate({"column": text}), False)
    for name, (key, source, number) in (condition | wanted).items():
        place, tree = f"tables.{table.name}.{key}", _tree(source, raw, named=key != "where")
        if tree is None and key == "where":
            raise SettingsError(f"{place}: {spec.where!r} is no condition on one row; such as state = 'posted'")
        if tree is None:
            continue
        absent = [column_missing(reader, table.name, c, raw) for c in names_in(tree) if c not in raw.columns]
        if absent:
            found[name] = [finding for each in absent for finding in each]
            continue
        try:
            raw = with_computed(raw, COMPUTED + name, tree, source, formats, number=number)
        except Exception as error:  # the engine's own error says why
            raise SettingsError(f"{place}: {reader.said(error)}") from None
        if key == "where" and (kind := raw.types[COMPUTED + name]) != "BOOLEAN":
            raise SettingsError(
                f"{place}: {spec.where!r} is {'text' if kind == 'VARCHAR' else kind.lower()}, not true or false; such as state = 'posted'"
            )
    return raw, found


def _tree(source: ColumnSource, raw: Rows, *, named: bool) -> Any:
    """What is to be computed; None where nothing is, since the client's column is named, if a name may stand alone."""
    if len(source.column) > 1:
        return summed(source.column)
    text = "".join(source.column)
    return None if not text or (named and _same_name(text, raw.columns)) else parsed(text)


def _kind_of_line(table: str, kinds: Mapping[Kind, str], otherwise: str) -> str:
    """The kinds' conditions as one expression, in which the first that is met counts.

    Raises
    ------
    SettingsError
        One is no condition.
    """
    for kind, text in kinds.items():
        if parsed(text) is None:
            raise SettingsError(
                f"tables.{table}.kinds.{kind}: {text!r} is no condition on one row; such as type = 'CN'"
            )
    cases = " ".join(f"WHEN ({text}) THEN '{kind}'" for kind, text in kinds.items())
    return f"CASE {cases} ELSE {otherwise} END"


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


def column_missing(reader: Reader, table: str, wanted: str, raw: Rows, *, needed: bool = True) -> list[Finding]:
    """The rejection of a column that is not in the header, but for one that is not needed and that none is like."""
    same = _same_name(wanted, raw.columns)
    near = same or nearest(wanted, [c for c in raw.columns if not c.startswith("_")]) if needed else same
    if not (near or needed):
        return []
    hint = f"; {near!r} is near" if near else ""
    way_out = f"rename it, or map it under tables.{table}.columns" + (
        "" if needed else f"; or name it under tables.{table}.unread"
    )
    if re.search(r"[;,|\t]", "".join(c for c in raw.columns if c not in PLACE)) and len(raw.columns) == 1 + len(PLACE):
        way_out = "the header is read as one name: declare formats.delimiter"
    hint += "" if re.fullmatch(r"[\w\s.-]+", wanted) else ", nor an expression on the columns of one row"
    return [rejection("column-missing", f"column {wanted!r} is not in the header{hint}", way_out, table=table,
                      file=raw.first_file(), row=reader.engagement.table(table).header_row, column=wanted, value=shortened(near))]  # fmt: skip


def _same_name(wanted: str, present: tuple[str, ...]) -> str:
    """A column that differs in case or spaces only."""
    bare = re.sub(r"[\s_-]", "", wanted.casefold())
    same = [c for c in present if re.sub(r"[\s_-]", "", c.casefold()) == bare]
    return next(iter(same), "")
