"""The tables that a client's files hold, whatever their shape: below headings, with cells that count for the rows below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from crmlib.books.headings import TOTAL, TOTAL_OF, below_headings, carried_down, each_has_its_total, outline
from crmlib.books.ledger import identifier, quoted, rows_of
from crmlib.books.opener import opened
from crmlib.books.profiles import Profile
from crmlib.books.sheets import Engine, Sheet
from crmlib.declared.vocabulary import KNOWN, likeness, vocabulary

ALL_BUT_FEW = 0.98  # of the rows of a report that stand below a heading
ALWAYS = 3  # columns that are filled in every row, from which on no row is a total


def sheets(engine: Engine, sources: Iterable[str]) -> list[Sheet]:
    """Every file, sheet or table that has rows, each with its columns; `env:NAME` is the variable of a database's URL.

    Raises
    ------
    SettingsError
        A file is of no kind that is read, or cannot be opened.
    """
    found = (sheet for source in sources for sheet in opened(engine, source) if sheet.columns)
    return [
        sheet.profiled() if sheet.is_typed else _grouped(_carried(_below_headings(sheet).profiled())) for sheet in found
    ]


def _below_headings(sheet: Sheet) -> Sheet:
    """A report whose rows stand below headings as its lines alone, with a column for each heading above them."""
    engine, filled = sheet.engine, " OR ".join(f"{c.text} <> ''" for c in sheet.columns.values())
    rows = rows_of(engine.con, f"SELECT * FROM ({_numbered(sheet)}) WHERE {filled}")
    found = outline(engine.con, rows)
    names = [f"heading {n}" for n in range(1, found.depth + 1)] if found.depth > 1 else ["heading"][: found.depth]
    if not names or {*names} & {*sheet.columns}:
        return sheet
    lines = below_headings(engine.con, rows, found, names, engine.new_file())
    below = f"SELECT count(*), count(*) FILTER ({identifier(names[0])} <> '') FROM ({lines.query})"
    [(all_lines, headed)] = engine.rows(below)
    if headed < ALL_BUT_FEW * max(all_lines, 1):
        return sheet
    return replace(_in_order(sheet, lines.query), headings=tuple(names))


def _carried(sheet: Sheet) -> Sheet:
    """A sheet that writes what its documents have in common in the first row of each alone, as if it did in all."""
    part = [c for c in sheet.columns.values() if 0 < c.filled < sheet.rows]
    full = [c for c in sheet.columns.values() if c.filled == sheet.rows]
    texts = [c for c in full if c.kind == "text" and not c.numbers and not c.dates and c.distinct > 1]
    if len(part) < 2 or len(full) < ALWAYS or not texts:
        return sheet
    is_there = {c.name: f"(coalesce({c.text}, '') <> '')" for c in part}
    first = max(part, key=lambda c: sum(not sheet.has(f"WHERE {is_there[c.name]} <> {is_there[o.name]}") for o in part))
    begins, below = sheet.ask(is_there[first.name], "LIMIT 1"), f"WHERE NOT {is_there[first.name]}"
    alike = [c for c in part if not sheet.has(f"{below} AND {is_there[c.name]}")]
    names = tuple(c.name for c in alike if not (c.is_number and not c.dates))
    called = [f"regexp_matches({identifier(c.name)}, {quoted(w)})" for c in texts for w in (TOTAL, TOTAL_OF)]
    if begins != [(True,)] or len(names) < 2 or sheet.has(f"{below} AND ({' OR '.join(called)})"):
        return sheet
    return _as_carried(sheet, names) if _is_of_documents(sheet, full, alike, is_there[first.name]) else sheet


def _is_of_documents(sheet: Sheet, full: Sequence[Profile], alike: Sequence[Profile], first: str) -> bool:
    """Whether number or date of a document stand in its first row alone, or every row has a number, and one that is no first the same as the row above."""
    words = tuple(vocabulary().tables["invoice_lines"].columns["order_id"])
    numbers = [identifier(c.name) for c in full if likeness(c.name, words) >= KNOWN and c.distinct < sheet.rows]
    for number in numbers:
        above = f"SELECT {first} AS is_first, {number} <> lag({number}) OVER (ORDER BY _row) AS is_other FROM ({_numbered(sheet)})"
        if sheet.engine.rows(f"SELECT 1 FROM ({above}) WHERE is_other AND NOT is_first LIMIT 1"):
            return False
    return bool(numbers) or any(c.dates or likeness(c.name, words) >= KNOWN for c in alike)


def _grouped(sheet: Sheet) -> Sheet:
    """A list that writes whose its rows are in the first of them alone, as merged cells do, and in the total below them, as if it did in all."""
    first = next(iter(sheet.columns.values()))
    if sheet.carried or first.kind != "text" or not 0 < first.filled < sheet.rows:
        return sheet
    cell = f"coalesce({first.text}, '')"
    if not sheet.has(f"WHERE regexp_matches({cell}, {quoted(TOTAL_OF)})"):
        return sheet
    return _as_carried(sheet, (first.name,)) if each_has_its_total([said for (said,) in sheet.ask(cell)]) else sheet


def _as_carried(sheet: Sheet, names: tuple[str, ...]) -> Sheet:
    rows = rows_of(sheet.engine.con, _numbered(sheet))
    return replace(_in_order(sheet, carried_down(rows, names).query).profiled(), carried=names)


def _numbered(sheet: Sheet) -> str:
    return f"SELECT *, '' AS _file, row_number() OVER () AS _row FROM {sheet.view}"


def _in_order(sheet: Sheet, query: str) -> Sheet:
    return sheet.giving(f"SELECT * EXCLUDE (_file, _row) FROM ({query}) ORDER BY _row")
