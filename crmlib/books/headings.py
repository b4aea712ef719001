"""Reports whose rows stand below headings: what a heading says carried down to its rows, and totals held against the rows above them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.ledger import Rows, identifier, quoted, rows_of
from crmlib.books.typing import step, stepped, typed_value
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError
from crmlib.declared.settings import Formats, TableSource

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TOTAL_WORDS = (
    "totals?|totaux|totale[sn]?|totaal|totalen|sum|sums|summe|summen|somme|suma|soma|gesamt|gesamtergebnis|gesamtsumme|ergebnis|endsumme|zwischensumme|"
    "teilsumme|subtotals?|subtotales?|subtotaal|sous[ -]?total|total g[ée]n[ée]ral|total general|total geral|grand total|sub[ _-]total|"
    "eindtotaal|razem|suma ko[ńn]cowa|celkem|yhteens[äa]|sammanlagt|i alt|toplam|итого|всего|合計|小計|总计|合计"
)
TOTAL = rf"(?i)^\W*({TOTAL_WORDS})\W*$|^\*+$"  # SAP marks totals with asterisks
BEFORE = rf"(?i)^\W*({TOTAL_WORDS})( of| for| von| für| de| des| di| van| do| da)?[\s:–-]+"
BEHIND = rf"(?i)[\s:–-]+({TOTAL_WORDS})\W*$"
TOTAL_OF = f"{BEFORE}|{BEHIND.removeprefix('(?i)')}"  # flags stand at the head alone: PostgreSQL knows no others


@dataclass(frozen=True)
class Outline:
    """Rows below headings: `names` from a row on (its own is no line), and totals with the row after which what they add up begins."""

    names: Sequence[tuple[str, int, list[str]]]
    totals: Sequence[tuple[str, int, int, str]]

    @property
    def depth(self) -> int:
        """How many headings stand one in another at most."""
        return max((len(names) for _, _, names in self.names), default=0)


def outline(con: DuckDBPyConnection, rows: Rows) -> Outline:
    """The headings and totals of a report: a heading is a text alone in its row, a total names one, or is none but a word like Total."""
    cells = ", ".join(f"stripped({identifier(c)}::VARCHAR)" for c in rows.columns if not c.startswith("_"))
    alone = "len(cells) = 1 AND (regexp_matches(cells[1], '\\p{L}') OR first)"
    first = f"coalesce(stripped({identifier(rows.columns[0])}::VARCHAR), '') <> ''"
    listed = f"SELECT _file, _row, list_filter([{cells}], lambda cell: cell <> '') AS cells, {first} AS first FROM ({rows.query})"
    total = " OR ".join(f"regexp_matches(cells[1], {quoted(words)})" for words in (TOTAL, TOTAL_OF))
    found = con.execute(
        f"SELECT _file, _row, cells[1], {alone} FROM ({listed}) WHERE len(cells) > 0 AND ({alone} OR {total}) ORDER BY _file, _row"
    ).fetchall()
    ends = sorted({f"{bare} " for _, _, text, _ in found for bare in _bare(text) if bare != text})
    names: list[tuple[str, int, list[str]]] = []
    totals: list[tuple[str, int, int, str]] = []
    above: list[tuple[str, str, int]] = []
    for file, row, text, lone in found:
        above = [each for each in above if each[0] == file]
        place = next((i for i in reversed(range(len(above))) if _is_total_of(text, above[i][1])), -1)
        if place >= 0 or re.match(TOTAL, text):
            totals.append((file, row, above[place][2] if place >= 0 else 0, text))
            above = above[: max(place, 0)]
        elif lone:
            while above and not _has_total(above[-1][1], ends):
                above.pop()
            above.append((file, text, row))
        else:
            continue
        names.append((file, row, [name for _, name, _ in above]))
    return Outline(names, totals)


def _bare(text: str) -> set[str]:
    """A text without a word of total before or behind it; itself where it has none."""
    return {bare.strip() for words in (BEFORE, BEHIND) if (bare := re.sub(words, "", text)) != text} or {text}


def _is_total_of(text: str, heading: str) -> bool:
    """`Total for Alder`, `Alder, total`, and `Total for Alder with sub-customers`."""
    return any(bare != text and (bare == heading or bare.startswith(f"{heading} ")) for bare in _bare(text))


def each_has_its_total(said: Sequence[str]) -> bool:
    """Whether a column begins with a text, each of its texts is there once, and the next one is its total."""
    groups, totals = list[str](), 0
    for text in (text for text in said if text and not re.match(TOTAL, text)):
        is_total = bool(groups) and _is_total_of(text, groups[-1])
        totals += is_total
        groups += [] if is_total else [text]
    return bool(said[0]) and len({*groups}) == len(groups) == totals


def _has_total(heading: str, ends: Sequence[str]) -> bool:
    place = bisect_left(ends, f"{heading} ")
    return place < len(ends) and ends[place].startswith(f"{heading} ")


def below_headings(con: DuckDBPyConnection, rows: Rows, found: Outline, names: Sequence[str], file: Path) -> Rows:
    """The lines alone, with a column for each name of a heading; the outline is staged in a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"_file": pa.string(), "_from": pa.int64(), "_names": pa.list_(pa.string())}
    columns = [*zip(*found.names, strict=True)] or [(), (), ()]
    pq.write_table(pa.table({n: pa.array(c, k) for (n, k), c in zip(kinds.items(), columns, strict=True)}), file)
    said = ", ".join(f"coalesce(h._names[{i}], '') AS {identifier(name)}" for i, name in enumerate(names, 1))
    join = f"({rows.query}) l ASOF LEFT JOIN read_parquet({quoted(file)}) h ON l._file = h._file AND l._row >= h._from"
    return rows_of(con, f"SELECT l.*, {said} FROM {join} WHERE h._from IS NULL OR l._row > h._from")


def carried_down(rows: Rows, names: Sequence[str]) -> Rows:
    """Columns that are written in the first row of several alone: a row in which all are blank has those of the last one in which one is not."""
    filled = " OR ".join(f"stripped({identifier(name)}::VARCHAR) <> ''" for name in names)
    first = ", ".join(
        f"first_value({identifier(n)}) OVER (PARTITION BY _file, _group ORDER BY _row) AS {identifier(n)}"
        for n in names
    )
    place = "PARTITION BY _file ORDER BY _row"
    group = f"SELECT *, count(*) FILTER ({filled}) OVER ({place}) AS _group FROM ({rows.query})"
    return rows_of(rows.con, f"SELECT * EXCLUDE (_group) REPLACE ({first}) FROM ({group})")


def with_carried(rows: Rows, spec: TableSource, where: Mapping[str, Any]) -> tuple[str, list[Finding]]:
    """The query for a table whose rows repeat nothing, as if they did, and how many those are.

    Raises
    ------
    SettingsError
        A name is no column.
    """
    if absent := [name for name in spec.carried if name not in rows.columns]:
        there = ", ".join(name for name in rows.columns if not name.startswith("_"))
        raise SettingsError(f"tables.{where['table']}.carried: {absent[0]!r} is not in the header; there are {there}")
    blank = " AND ".join(f"coalesce(stripped({identifier(name)}::VARCHAR), '') = ''" for name in spec.carried)
    [(count,)] = rows.con.execute(f"SELECT count(*) FROM ({rows.query}) WHERE {blank}").fetchall()
    message = f"rows that have {', '.join(spec.carried)} of the row above them (`carried`)"
    told = [Finding("accept", "carried-down", message, "nothing to do", count=count, **where)] if count else []
    return carried_down(rows, spec.carried).query, told


def with_headings(
    rows: Rows, spec: TableSource, formats: Formats, where: Mapping[str, Any], file: Path
) -> tuple[str, list[Finding]]:
    """The query for the lines of a report with what their headings say, and what is found of headings and totals.

    Raises
    ------
    SettingsError
        A name for headings is that of a column.
    """
    if taken := [name for name in spec.heading if name in rows.columns]:
        raise SettingsError(
            f"tables.{where['table']}.heading: {taken[0]!r} is a column of the file too; take another name"
        )
    found = outline(rows.con, rows)
    lines = below_headings(rows.con, rows, found, spec.heading, file)
    findings = [*_too_deep(found, spec, where), *_totals(rows, lines, found, spec, formats, where)]
    if not found.names:
        message = "no row holds a heading, a text alone in its row"
        findings.append(rejection("heading-missing", message, f"take tables.{where['table']}.heading away", **where))
    return lines.query, findings


def _too_deep(found: Outline, spec: TableSource, where: Mapping[str, Any]) -> Iterator[Finding]:
    row, names = next(((row, names) for _, row, names in found.names if len(names) > len(spec.heading)), (0, []))
    if names:
        message = f"below {len(names)} headings, one in another ({shortened(' / '.join(names))}), of which the mapping names {len(spec.heading)}"
        way_out = f"name each, the outermost first, such as `heading: [customer, job]` under tables.{where['table']}"
        yield rejection("heading-deeper", message, way_out, row=row, value=shortened(names[-1]), **where)


def _totals(
    rows: Rows, lines: Rows, found: Outline, spec: TableSource, formats: Formats, where: Mapping[str, Any]
) -> list[Finding]:
    """Totals that are not the sum of their rows, in what is mapped by its name alone; those that are, or cannot be compared, counted."""
    if not found.totals:
        return []
    records = {c.name: c for c in tables()[where["table"]].columns.values() if c.type in {"money", "quantity"}}
    compared = {n: "".join(spec.column(n).column) for n in records if "".join(spec.column(n).column) in rows.columns}
    own, theirs = (
        {
            n: typed_value(text.format(identifier(c)), "VARCHAR", records[n], spec.column(n), formats)
            for n, c in compared.items()
        }
        for text in ("{}", "regexp_replace({}, '[$€£¥]', '')")  # signs of currencies stand beside totals alone
    )
    listed = ", ".join(f"({quoted(file)}, {row}, {after}, {quoted(text)})" for file, row, after, text in found.totals)
    sums = ", ".join(f"sum(l.{step('value', n)}) AS {identifier(n)}, any_value(w.{step('value', n)})" for n in compared)
    query = f"""SELECT t.*{f", {sums}" if sums else ""} FROM (VALUES {listed}) t(_file, _row, _after, _text)
                JOIN ({stepped(rows.query, theirs)}) w ON w._file = t._file AND w._row = t._row
                LEFT JOIN ({stepped(lines.query, own)}) l ON l._file = t._file AND l._row > t._after AND l._row < t._row
                GROUP BY t._file, t._row, t._after, t._text ORDER BY t._file, t._row"""
    findings, equal, unread = list[Finding](), 0, 0
    for _, row, after, text, *amounts in rows.con.execute(query).fetchall():
        pairs = zip(compared, amounts[::2], amounts[1::2], strict=True)
        held = [(name, own or Decimal(0), total) for name, own, total in pairs if total is not None]
        wrong = [each for each in held if each[1] != each[2]]
        findings += [_not_equal(row, after, text, each, where) for each in wrong]
        equal += bool(held) and not wrong
        unread += not held
    return [*findings, *_counted(equal, unread, where)]


def _not_equal(
    row: int, after: int, text: str, each: tuple[str, Decimal, Decimal], where: Mapping[str, Any]
) -> Finding:
    name, own, total = each
    message = (
        f"this total says {total:,.2f} of {name}, and the rows above it, from {after + 1} on, add up to {own:,.2f}"
    )
    way_out = "export it anew, whole; where a row is right and the total is not, mend the total"
    return rejection("total-differs", message, way_out, row=row, column=name, value=shortened(text), **where)


def _counted(equal: int, unread: int, where: Mapping[str, Any]) -> Iterator[Finding]:
    if equal:
        message = "totals that are the sum of the rows above them"
        yield Finding("accept", "totals-agree", message, "nothing to do", count=equal, **where)
    if unread:
        message = "rows of totals, left out and not compared: an amount is compared that is mapped by its name alone"
        yield Finding("accept", "totals-unread", message, "nothing to do", count=unread, **where)
