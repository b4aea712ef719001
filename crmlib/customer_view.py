"""The customer's side: what an account earns with what it buys from us, as it tells us or as we estimate it, beside what we earn with it.

Both accounts meet in our net sales, which the customer pays for the goods, and in what it owes us, which it need not raise as capital.
Estimates are from `customer_rates` in engagement.yml and are called so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from crmlib import eva, gain_sharing
from crmlib.books.stored import Books, Frame, capital
from crmlib.declared.periods import Period, parse_period
from crmlib.declared.settings import CustomerRates
from crmlib.declared.statement import Line
from crmlib.implementation import service_held
from crmlib.menu import CENT, read_agreements
from crmlib.profitability import customer_profitability, total

SALES, GOODS, STOCK, GUESS = "sales", "cost_of_goods", "inventory", "own_costs_estimated"
OWN = (SALES, GOODS, STOCK)  # lines of a customer's report that are no cost of its own beside the goods
MOST = 6  # accounts side by side
DAYS, ZERO = Decimal(365), Decimal(0)


@dataclass(frozen=True)
class Sides:
    """Both sides of the accounts of which something is known: `rows`, one per account (the index: its name, and told or estimated), by `lines` in order."""

    rows: Frame
    lines: tuple[Line, ...]


def told(books: Books, period: Period) -> Frame:
    """What customers tell of a period: one row per customer_id (the index) whose report covers it whole, one column per line of it; inventory is a mean."""
    given = books.table("customer_view")
    rows = pd.DataFrame(columns=["customer_id", "period", "line", "amount"]) if given is None else given
    fiscal = books.engagement.settings.fiscal_year_start
    spans = {text: parse_period(text, None, fiscal) for text in rows["period"].unique()}
    rows = rows[rows["period"].isin([text for text, span in spans.items() if span.within(period)])]
    rows = rows.assign(months=rows["period"].map(lambda text: spans[text].months))
    covered = rows.drop_duplicates(["customer_id", "period"]).groupby("customer_id")["months"].sum()
    whole: Any = rows[rows["customer_id"].isin(covered.index[covered == period.months])]
    parts = [row.amount * row.months / period.months if row.line == STOCK else row.amount for row in whole.itertuples()]
    whole = whole.assign(amount=pd.Series(parts, whole.index, dtype=object))
    return whole.groupby(["customer_id", "line"])["amount"].sum().unstack(fill_value=ZERO)  # type: ignore[no-any-return]


def both_sides(books: Books, period: Period) -> Sides:
    """Those who told, and, where there are rates for it, estimates of those with an agreement of their own; the largest first, at most `MOST`.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).

    Returns
    -------
    Lines as they enter: what they sell our goods for, these goods, costs of their own, their margin, the charge for the capital tied up (their stock of our
    goods less what they owe us) and their margin after it; our net margin; both together; the value that either adds after tax; what our
    agreement adds to theirs (`agreement_adds`). What needs rates is not there without them.
    """
    rates, reports = books.engagement.settings.customer_rates, told(books, period)
    report: Any = customer_profitability(books, period).set_index("customer_id")
    net_sales = sum((report[n.id] * n.sign for n in books.statement_in(period).leaves if n.is_trade), report[SALES] * 0)
    agreed = {a.account for a in read_agreements(books).in_force(period.start, period.end) if a.account and rates}
    known = [c for c in report.index if c in reports.index or (c in agreed and net_sales[c] > 0)]
    first = sorted(known, key=lambda c: (c not in reports.index, -net_sales[c]))[:MOST]
    owed, margin = capital(books, period)["receivables"], report[books.statement_in(period).net_margin.id]
    rows, names = list[dict[str, Any]](), list[str]()
    for customer in first:
        is_told, paid = customer in reports.index, net_sales[customer]
        own = reports.loc[customer].to_dict() if is_told else _estimated(paid, rates, period)
        rows.append(_account({GOODS: paid, **own}, margin[customer], owed.get(customer, ZERO), books, period))
        rows[-1] |= {"agreement_adds": agreement_adds(books, period, customer, rates)} if rates else {}
        names.append(f"{report.at[customer, 'customer_name']} ({'told' if is_told else 'estimated'})")
    costs = [*(str(line) for line in reports.columns if line not in OWN), GUESS]
    lines = _lines(books, costs)
    table = pd.DataFrame(rows, index=names, columns=[line.id for line in lines], dtype=object)
    table = table.assign(**{cost: table[cost].where(table[cost].notna(), 0).map(Decimal) for cost in costs})
    shown = [line for line in lines if table[line.id].notna().any() and (line.id != GUESS or table[GUESS].any())]
    return Sides(table, tuple(shown))


def _estimated(paid: Decimal, rates: Any, period: Period) -> dict[str, Decimal]:
    """Lines of a customer that tells nothing, from what it pays us."""
    sales = (paid / (1 - rates.gross_margin_share)).quantize(CENT)
    stock = paid * rates.stock_days / (DAYS * period.months / 12)
    return {SALES: sales, GUESS: (sales * rates.cost_share).quantize(CENT), STOCK: stock.quantize(CENT)}


def _account(own: Mapping[str, Decimal], ours: Decimal, owed: Decimal, books: Books, period: Period) -> dict[str, Any]:
    """The lines of one account, from its own, our net margin with it, and what it owes us."""
    settings, sold = books.engagement.settings, own.get(SALES, ZERO)
    rates, costs = settings.customer_rates, {line: amount for line, amount in own.items() if line not in {SALES, STOCK}}
    theirs = sold - sum(costs.values(), ZERO)
    row: dict[str, Any] = {SALES: sold, **costs, "their_margin": theirs, "our_margin": ours}
    if rates:
        charge_rate = rates.cost_of_capital / (1 - rates.tax_rate) * period.months / 12
        row["their_charge"] = ((own.get(STOCK, ZERO) - owed) * charge_rate).quantize(CENT)
        row["their_net"] = theirs = theirs - row["their_charge"]
        row["their_value"] = (theirs * (1 - rates.tax_rate)).quantize(CENT)
    if not eva.lacking(books, period, of_firm=False):
        row["our_value"] = (ours * (1 - settings.rates.tax_rate)).quantize(CENT)
    return row | {"both_margins": theirs + ours}


def agreement_adds(books: Books, period: Period, account: str, rates: CustomerRates) -> Decimal:
    """What our agreement adds to the value of an account in a period like this one, after tax, as far as it is known.

    The even yearly amount whose present value is the account's part of joint projects after the agreed split, and what we owed it for service below target.
    """
    sharing, held = gain_sharing.read_gain_sharing(books), service_held(books, period)
    projects = [project for project in sharing.projects if project.account == account]
    yearly = [gain_sharing.their_part(books, sharing, p) / _present(p.their_cost_of_capital, p.years) for p in projects]
    owed = total(held.loc[(held["customer_id"] == account) & held["held"].astype(bool), "owed"])
    return (sum(yearly, ZERO) * period.months / 12 + owed * (1 - rates.tax_rate)).quantize(CENT)


def _present(cost: Decimal, years: int) -> Decimal:
    """The present value of one at the end of each of so many years."""
    return sum((1 / (1 + cost) ** year for year in range(1, years + 1)), ZERO)


def _lines(books: Books, costs: Sequence[str]) -> list[Line]:
    net = books.engagement.statement.net_margin
    return [
        Line(SALES, "What they sell our goods for", "revenue"), Line(GOODS, "Our goods, at what they pay us", "variable"),
        *(Line(cost, cost.replace("_", " ").capitalize(), "variable") for cost in costs), Line("their_margin", "Their margin", subtotal=True),
        Line("their_charge", "Charge for their capital", "variable"), Line("their_net", "Their margin after it", subtotal=True),
        Line("our_margin", f"Our {net.name}", "revenue"), Line("both_margins", "Both sides together", subtotal=True),
        Line("their_value", "Value that they add, after tax", "revenue"), Line("agreement_adds", "Agreement and joint projects add to it", "revenue"), Line("our_value", "Value that we add, after tax", "revenue"),
    ]  # fmt: skip
