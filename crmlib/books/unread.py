"""What of the source is not read: files, sheets, tables and columns, listed; refused where one looks like what is missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from crmlib.books.csv_files import csv_columns
from crmlib.books.findings import Finding, UnreadableError, rejection, shortened
from crmlib.books.ledger import Rows, identifier
from crmlib.books.raw import PLACE, Part, Reader, Source
from crmlib.declared.ledger import Table, tables
from crmlib.declared.reading import NEAR, bare_name, folded, nearest
from crmlib.declared.vocabulary import kind_of, parts

MOST_NAMED = 20  # names and values in one message
# in the name of a column, its words joined by _: that rows may not be what they seem, and that its values may name returns, drafts or quotes
TELLING = re.compile(
    r"currenc|wahrung|status|statut|storn[oi]|steuer(?:_|betrag|satz|$)|anulad|annul|cancel|deleted|geloscht|supprim|eliminad|entwurf|brouillon|borrador|s[cz]enario|budget|forecast|version|"
    r"(?:^|_)(?:tax|vat|mwst|mw_st|ust|tva|iva|void|draft|posted|devise|moneda|divisa|estado|etat|ccy|(?:state|plan|actual|curr|test)(?:_|$))"
)
OF_KINDS = re.compile(r"(?:type|typ|art|tipo|kind|nature|class)(?:_|$)")
Headers = Mapping[str, Collection[str]]  # the client's columns of each table


def unread_files(
    reader: Reader, source: Source, read: Collection[str], there: Collection[str], headers: Headers
) -> list[Finding]:
    """What of the source is in no table; `read` names the parts that are, `there` the tables of the ledger that are, by `headers` those read straight."""
    left = [name for name in _names(source) if name not in read]
    meant = {name: _near_table(name) for name in left if not _on_purpose(name, reader.engagement.settings.unread)}
    ways = {name: _to_be_read(name, table, source.others) for name, table in meant.items() if table}
    findings = [_misnamed(name, meant[name], way, absent=meant[name] not in there) for name, way in ways.items()]
    alike = {name: table for name in meant if (table := "" if meant[name] else _like(reader, source, name, headers))}
    findings += [_left_behind(name, table) for name, table in alike.items()]
    if others := [name for name in left if not meant.get(name) and name not in alike]:
        findings.append(_listed("files-unread", "not read", others))
    return findings


def _names(source: Source) -> list[str]:
    parts = dict.fromkeys(part.name for each in source.tables.values() for part in each)
    return list(dict.fromkeys([*parts, *source.others]))


def _near_table(name: str) -> str:
    bare = {bare_name(table): table for table in tables()}
    given = [bare_name(part) for part in (name.rpartition(":")[2], name.partition(":")[0])]  # a sheet, and its workbook
    return next((bare[n] for g in given if (n := nearest(g, bare, NEAR))), "")


def _on_purpose(name: str, unread: Iterable[str]) -> bool:
    book, _, sheet = name.rpartition(":")
    own = {name, name.rsplit(".", 1)[0], name.partition("/")[0], book, f"{book}.xlsx", sheet if book else name}
    return bool(own & {*unread})


def _to_be_read(name: str, table: str, others: Collection[str]) -> str:
    """What makes a file that of a table; `others` are of no kind that is read, or lie deeper."""
    if name.endswith(".sql"):
        return f"put it beside engagement.yml and say `source: {name}` under tables.{table}"
    if "/" in name:
        return "move it out of its folder, beside the other files of the source"
    if name in others:
        return f"CSV, .xlsx and Parquet are read: save it as {table} in one of these"
    return f"say `source: {name!r}` under tables.{table} (a list, if there are several), or rename it"


def _misnamed(name: str, table: str, way: str, *, absent: bool) -> Finding:
    why = "which is not there" if absent else "which is read from elsewhere"
    message = f"{name!r} is not read; its name is like that of the table {table}, {why}"
    way_out = f"{way}; if it is something else, name it under `unread`"
    return Finding("reject" if absent else "warn", "file-misnamed", message, way_out, table=table, file=name)


def _like(reader: Reader, source: Source, name: str, headers: Headers) -> str:
    """The table of transactions that is read from parts with the very header of this one; a database has many tables alike."""
    dated = {table: {*header} for table, header in headers.items() if tables()[table].date}
    parts = [] if source.answer else source.tables.get(name, source.queried.get(name, []))
    seen: dict[str, set[str]] = {}  # by how it is read: most tables are read alike
    for table, header in dated.items() if parts else ():
        spec = reader.engagement.table(table)
        form = f"{spec.header_row} {spec.header_rows} {reader.formats(table)}"
        if form not in seen:
            seen[form] = {*_header(reader, parts[0], table), *PLACE}
        if seen[form] == header:
            return table
    return ""


def _header(reader: Reader, part: Part, table: str) -> Collection[str]:
    if part.file is None or part.file.suffix.lower() != ".csv":
        raw = part.read(table).table
        return raw.columns if raw else ()
    try:
        return csv_columns(reader, part.file, {"table": table, "file": part.name})
    except UnreadableError:
        return ()  # nobody asked for it


def _left_behind(name: str, table: str) -> Finding:
    message = f"{name!r} is not read, and has the columns from which {table} is read"
    way_out = f"name it too under tables.{table}.source (a list, or a pattern); if it is left out on purpose, name it under `unread`"
    return Finding("warn", "file-alike", message, way_out, table=table, file=name)


def _listed(code: str, what: str, names: list[str], **at: Any) -> Finding:
    shown = ", ".join(shortened(name) for name in names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")
    return Finding("accept", code, f"{what}: {shown}", "nothing to do if they are not needed", count=len(names), **at)


def unread_columns(
    reader: Reader, table: Table, raw: Rows, read: Collection[str], there: Collection[str]
) -> list[Finding]:
    """The client's columns that nothing reads; `read` names those that are, `there` the ledger's columns that the table has."""
    spec = reader.engagement.table(table.name)
    left = [c for c in raw.columns if c not in read and not c.startswith("_") and "." not in c]
    if not left:
        return []
    place = {"table": table.name, "file": raw.first_file()}
    absent = {
        n: c.also for n, c in table.columns.items() if not (c.required or n in there or any(_alike(n, o) for o in left))
    }
    findings, known = [_listed("columns-unread", "columns that are not read", left, **place)], set(spec.unread)
    for name in left:
        if name in known:
            continue
        if near := _near_column(name, absent):
            way_out = f"map it, `{near}: {name!r}`, under tables.{table.name}.columns; if it is something else, name it under tables.{table.name}.unread"
            message = f"{name!r} is not read, and {near} is not there"
            findings.append(rejection("column-misnamed", message, way_out, row=spec.header_row, column=name, **place))
        elif table.date and (TELLING.search(words := "_".join(parts(name))) or OF_KINDS.search(words)):
            findings += _telling(reader, raw, name, place)
    return findings


def _near_column(name: str, absent: dict[str, tuple[str, ...]]) -> str:
    same = [column for column, also in absent.items() if any(_alike(name, other) for other in also)]
    return next(iter(same), "") or nearest(name.casefold(), absent, NEAR)


def _alike(name: str, other: str) -> bool:
    return re.sub(r"[\W_]", "", folded(name)) == re.sub(r"[\W_]", "", folded(other))


def _telling(reader: Reader, raw: Rows, name: str, place: dict[str, Any]) -> list[Finding]:
    """A warning, if the column has several values that may tell rows apart, or one that is another currency."""
    query = f"SELECT DISTINCT CAST({identifier(name)} AS VARCHAR) AS value FROM ({raw.query}) ORDER BY value LIMIT {MOST_NAMED}"
    values = [row[0] or "(blank)" for row in reader.con.execute(query).fetchall()]
    telling = TELLING.search("_".join(parts(name)))
    other_currency = (
        telling and re.fullmatch("[A-Z]{3}", values[0]) and values[0] != reader.engagement.settings.currency
    )
    if (len(values) < 2 or not (telling or any(map(kind_of, values)))) and not other_currency:
        return []
    message = f"{name!r} is not read; it has the values {', '.join(map(shortened, values))}: are all these rows what the table holds?"
    way_out = (
        f"leave rows out by `where` or `kinds` under tables.{place['table']}, map the column (a currency as `currency`), "
        f"or name it under tables.{place['table']}.unread"
    )
    return [Finding("warn", "column-telling", message, way_out, column=name, **place)]
