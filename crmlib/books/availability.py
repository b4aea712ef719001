"""Which lines of the statement a ledger can fill, and of which days their sources speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from crmlib.books.ledger import Ledger
from crmlib.books.views import has_kinds
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError
from crmlib.declared.statement import CAPITAL_BALANCES, Line, Statement

KINDS = {"returns": "return", "fees": "fee"}  # sources that are lines of one kind
BEGIN = """SELECT line, CASE WHEN count(*) = count(first_day) THEN date_trunc('month', min(first_day))::DATE END
           FROM books.activity_types LEFT JOIN books.first_rates USING (activity) GROUP BY line"""
STATES = ("balances", "capacity")  # tables of what is at a month's end; all others hold events


def with_sources(statement: Statement, ledger: Ledger) -> Statement:
    """The statement with each leaf kept to the sources that this ledger has, and each subtotal's note.

    Raises
    ------
    SettingsError
        A line has amounts in several sources that it does not declare to add, or names a measure that is not there.
    """
    filled, wrong = _filled(statement, ledger), []
    for line in statement.lines:
        found = filled.get(line.id, ())
        extra = [s for s in found if s not in line.sources]
        if len(found) > 1 and (extra or not line.add):
            wrong.append(
                f"{line.id} has amounts in {' and '.join(found)}: remove one, or declare them as its sources with `add: true`"
            )
        wrong += [
            f"{line.id}: source {s} is neither in the records nor in the ledger"
            for m in line.measures
            if m not in tables()["invoice_lines"].columns and (s := f"invoice_lines.{m}") not in found
        ]  # fmt: skip
    if _there("returns", ledger) and not any("returns" in sources for sources in filled.values()):
        wrong.append("the ledger has returns (negative invoice lines), and no line has the source returns")
    if wrong:
        raise SettingsError("statement and ledger do not go together:\n" + "\n".join(f"  {w}" for w in wrong))
    marked = [
        li if li.subtotal else replace(li, sources=filled[li.id], available=bool(filled[li.id]))
        for li in statement.lines
    ]
    return Statement(tuple(noted(marked)))


def _filled(statement: Statement, ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """The sources that have something for each leaf: a column that is there, an activity with its line, a booking."""
    named: dict[str, set[str]] = {}
    query = """SELECT DISTINCT 'costs', line FROM books.costs
               UNION SELECT 'rates', line FROM books.activity_types WHERE driver IS NOT NULL OR EXISTS (FROM books.activities)"""
    for source, line in ledger.con.execute(query).fetchall():
        named.setdefault(source, set()).add(line)
    filled = {}
    for line in (li for li in statement.lines if not li.subtotal):
        found = [s for s in line.sources if s not in {"rates", "costs"} and _there(s, ledger)]
        found += [s for s in ("rates", "costs") if line.id in named.get(s, ())]
        filled[line.id] = tuple(found)
    return filled


def _there(source: str, ledger: Ledger) -> bool:
    if source == "capital_charges":
        return any(ledger.has("balances", column) for column in CAPITAL_BALANCES)
    if source == "capacity":
        return ledger.has("capacity") and ledger.has("activity_types", "pool")
    if source in KINDS:
        rows = f"SELECT 1 FROM books.bare_invoice_lines WHERE _covered AND kind = '{KINDS[source]}' LIMIT 1"
        return (source == "returns" or has_kinds(ledger)) and bool(ledger.con.execute(rows).fetchall())
    table, _, column = source.partition(".")
    return ledger.has(table, *([column] if column else []))


def line_spans(ledger: Ledger, statement: Statement) -> dict[str, tuple[date, date]]:
    """The days from which to which each line's sources speak.

    A table of events speaks of all that the books cover: a month without a row is zero. A table of states (balances, capacity) speaks
    only of the months that it has, and what rates make begins with the first of them.
    """
    coverage, states = ledger.engagement.coverage, {name: _span(ledger, name) for name in STATES if ledger.has(name)}
    begin, whole = dict(ledger.con.execute(BEGIN).fetchall()), (coverage.start, coverage.end)
    spans: dict[str, tuple[date, date]] = {}
    for line in statement.leaves:
        states["rates"] = (max(coverage.start, begin.get(line.id) or coverage.start), coverage.end)
        days = [states.get("balances" if s == "capital_charges" else s.split(".")[0], whole) for s in line.sources]
        spans[line.id] = (min(first for first, _ in days), max(last for _, last in days))
    return spans


def _span(ledger: Ledger, name: str) -> tuple[date, date]:
    """The first and last covered month that a table of states has; all where it has none."""
    whole = ledger.engagement.coverage
    [(first, last)] = ledger.con.execute(f"SELECT min(month), max(month) FROM books.{name} WHERE _covered").fetchall()
    return (whole.start, whole.end) if first is None else (first, last)


def noted(lines: Sequence[Line]) -> list[Line]:
    """The lines; each subtotal says in its name what is not in it, and the firm's is left out where nothing of the pool is there."""
    noted = []
    for place, line in enumerate(lines):
        above = [leaf for leaf in lines[:place] if not leaf.subtotal]
        if line.firm_only and not any(leaf.is_pool and leaf.available for leaf in above):
            line = replace(line, available=False)
        elif line.subtotal and not all(leaf.available for leaf in above):
            line = _before(line, above)
        noted.append(line)
    return noted


def _before(line: Line, above: Sequence[Line]) -> Line:
    """A subtotal whose name says what is missing; where no cost is in the books it is no margin, and called what it is."""
    costs = [leaf for leaf in above if leaf.is_cost]
    if costs and not any(leaf.available for leaf in costs):
        less = any(leaf.available and leaf.is_trade and not leaf.is_revenue for leaf in above)
        label = "Sales less deductions" if less else "Gross sales"
        return replace(line, label=label, short="", note="no cost is in these books")
    missing = []
    for kind, members in _kinds(above).items():
        absent = [leaf for leaf in members if not leaf.available]
        missing += [kind] if absent == members and len(members) > 1 else [leaf.name for leaf in absent]
    listed = [", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing
    return replace(line, note=f"before {' and '.join(listed)}")


def _kinds(leaves: Sequence[Line]) -> dict[str, list[Line]]:
    """Lines by what they are called together."""
    called = {"variable": "all variable cost to serve", "assignable": "all costs kept for customers",
              "asset_charge": "all charges for assets"}  # fmt: skip
    kinds: dict[str, list[Line]] = {}
    for leaf in leaves:
        kinds.setdefault(leaf.id if leaf.is_goods else called.get(leaf.cls, leaf.id), []).append(leaf)
    return kinds
