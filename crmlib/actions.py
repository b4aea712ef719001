"""What to do first: one list of customers with what is at stake, what drives it, the lever, its worth and whose task it is."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

from crmlib import profitability, states
from crmlib.books.stored import CELL, Books, Frame
from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period
from crmlib.declared.statement import Line

COLUMNS = ["customer_id", "customer_name", "segment", "at_stake", "driver", "lever", "worth", "owner"]
LEVERS = {
    "discount": "Review discounts and the causes of returns",
    "goods": "Reprice, or sell a richer mix",
    "receivables": "Shorten the terms of payment",
    "inventory": "Hold less stock for the customer",
    "assignable": "Cut it back or tie it to sales",
    "variable": "Charge for it, or change how the customer orders",
}
SIGNALS = {
    "slowing": "Visit, and find out why",
    "silent": "Visit, and find out why",
    "lost": "Win back, or close the account",
}


def actions(books: Books, period: Period) -> Frame:
    """The customers to act on, most at stake first: who loses, and who contributed and is slowing, silent or lost.

    Returns
    -------
    One row per customer: customer_id, customer_name, segment (where customers have one), at_stake (the loss; of those at risk the margin of
    their last twelve months with sales), driver (the line or signal behind it), lever, worth (what the firm gains where that line comes down
    to the share of sales that it has for all customers, at most the loss; of those at risk what is at stake) and owner (the account manager).
    """
    rows = pd.concat([_losers(books, period), _at_risk(books, period)], ignore_index=True)
    rows = rows.sort_values(["at_stake", "customer_id"], ascending=[False, True]).drop_duplicates("customer_id")
    named = books.customers.rename(columns={"account_manager": "owner"})
    known = [c for c in ("customer_id", "customer_name", "segment", "owner") if c in named]
    listed = rows.merge(named[known], on="customer_id", how="left")
    return listed[[c for c in COLUMNS if c in listed]].reset_index(drop=True)


def _losers(books: Books, period: Period) -> Frame:
    report, margin = profitability.customer_profitability(books, period), books.statement_in(period).net_margin.id
    customers = report[report["customer_id"] != ""]
    losers = customers[customers[margin] < 0][["customer_id", margin]]
    rows = losers.merge(profitability.deciding_lines(books, customers, period), on="customer_id")
    lines = {line.label: line for line in books.statement.lines}
    pairs = zip(rows["effect"], rows[margin], strict=True)
    worth = [max(Decimal(0), min(-effect, -lost)).quantize(CELL) for effect, lost in pairs]
    levers = [_lever(lines[label]) for label in rows["line"]]
    return rows[["customer_id"]].assign(at_stake=-rows[margin], driver=rows["line"], lever=levers, worth=worth)


def _lever(line: Line) -> str:
    """What moves a line."""
    kind = "assignable" if line.is_assignable else "variable"
    kind = "discount" if line.is_trade else "goods" if line.is_goods else kind
    return LEVERS.get(line.balance, LEVERS[kind])


def _at_risk(books: Books, period: Period) -> Frame:
    signals = states.at_risk(books, period, books.engagement.judgement("segments.yml", Rules))
    signals = signals[signals["material"] & (signals["yearly_margin"] > 0)]
    stake = [Decimal(str(margin)).quantize(CELL) for margin in signals["yearly_margin"]]
    states_since = zip(signals["state"], signals["since"], strict=True)
    since = [f"{state.capitalize()} since {day:%B %Y}" for state, day in states_since]
    rows = {"customer_id": signals["account_id"], "at_stake": stake, "driver": since, "worth": stake}
    return pd.DataFrame({**rows, "lever": signals["state"].map(SIGNALS)}).astype(object)
