"""The four figures of a period, with the year before: one for the summary, the workbook and the print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from crmlib.books.stored import Books
from crmlib.declared.periods import Period
from crmlib.declared.statement import Line
from crmlib.profitability import customer_profitability, firm_profitability, share, total

SHOWN = ("net_sales", "contribution_margin", "operating_profit")


@dataclass(frozen=True)
class Headline:
    """A subtotal of the firm, or the margin of its customers: now, the year before (None where it cannot be compared), share of gross sales."""

    name: str
    now: Decimal
    before: Decimal | None
    year: str
    share: Decimal | None
    note: str = ""  # the name in full, where the headline is marked with a *


def headlines(books: Books, period: Period) -> list[Headline]:
    """The headline figures of a period, top down; the year before only where both hold the same lines."""
    year, statement = period.year_before(), books.statement_in(period)
    comparable = books.comparable(year) and books.alike(period, year)
    sales = next(firm_profitability(books, period).get(line.id) for line in statement.lines if line.is_revenue)
    rows = {}
    for line in statement.firm_lines:
        if line.subtotal and (line == statement.net_margin or line.id in SHOWN):
            now, before = (_value(books, p, line) if p else None for p in (period, year if comparable else None))
            owned = replace(line, label=f"{line.label} of customers") if line == statement.net_margin else line
            note = owned.title if owned.note else ""
            rows[line.id] = Headline(
                owned.head,
                now or Decimal(0),
                before,
                year.words,
                share(now, sales) if statement.has_costs else None,
                note,
            )
    margin = rows[statement.net_margin.id]
    return [row for row in rows.values() if row is margin or row.now != margin.now]  # books with few costs say it once


def _value(books: Books, period: Period, line: Line) -> Decimal:
    """The firm's amount of a subtotal; the net margin is that of known customers."""
    if line.id != books.statement_in(period).net_margin.id:
        return Decimal(firm_profitability(books, period)[line.id])
    report = customer_profitability(books, period)
    return total(report.loc[report["customer_id"] != "", line.id])
