"""Rows among the lines that are none: headings and totals."""

from __future__ import annotations

import re

from crmlib.books.headings import TOTAL, TOTAL_OF
from crmlib.books.raw import WORKBOOKS
from crmlib.books.written import has_figure
from crmlib.run.drafts import Ask, Draft, Question


def leave_totals(lines: Draft, ask: Ask) -> None:
    """Leave out the rows without date, and with no customer or one called Total, that are headings and totals; where their amounts do not bear it out, as people say."""
    day, customer = (lines.columns.get(role, "") for role in ("invoice_date", "customer_id"))
    if day not in lines.sheet.columns or lines.sheet.columns[day].filled == lines.sheet.rows:
        return
    kind = lines.sheet.columns[day].kind if lines.sheet.file.suffix not in WORKBOOKS else "text"
    dated = has_figure(lines.sheet.spoken(day), lines.sheet.columns[day].kind)
    amount = next(
        (lines.columns[r] for r in ("gross_sales", "with_tax", "cost_of_goods", "quantity") if r in lines.columns), ""
    )
    filled = (
        has_figure(lines.sheet.spoken(amount), lines.sheet.columns[amount].kind)
        if amount in lines.sheet.columns
        else "true"
    )
    # without either it is a note
    rest = lines.sheet.kept(f"NOT coalesce({dated}, false) AND coalesce({filled}, false)")
    if customer not in lines.sheet.columns or not all(
        re.search(TOTAL, said) or re.search(TOTAL_OF, said) for said in rest.values(customer)
    ):
        return
    if others := lines.sheet.not_totals(dated, amount) if amount else []:
        text = f"{len(others)} rows of {lines.sheet.name} have no date and no customer, and amounts that are not the sum of the rows above them. Are they totals, to be left out, or lines?"
        rows = [row for (row,) in others[:3]]
        if ask(Question("tables.invoice_lines.where", text, rows, ["lines", "totals"], "lines")) != "totals":
            return
    lines.where, lines.sheet = has_figure(lines.sheet.spoken(day), kind), lines.sheet.with_figure(day)
