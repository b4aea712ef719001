"""What to do first: one list of customers with what is at stake, what drives it, the lever, its worth and whose task it is."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

from crmlib import profitability, states
from crmlib.accounts import places
from crmlib.books.stored import CELL, Books, Frame
from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period
from crmlib.declared.statement import Line

IMPROVE, WIN_BACK = "improve", "win back"  # the aim with who still buys, and with who is silent or lost: never one sum
GONE = ("silent", "lost")
COLUMNS = ["customer_id", "customer_name", "segment", "aim", "at_stake", "driver", "lever", "worth", "owner"]
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
    "silent": "Win back: visit, and find out why",
    "lost": "Win back, or close the account",
}
ENDED = "Stop what it still costs; win back on other terms only"  # who lost money and is silent or lost


def actions(books: Books, period: Period) -> Frame:
    """The customers to act on, most to gain first: who loses, and who contributed and is slowing, silent or lost.

    Returns
    -------
    One row per customer: customer_id, customer_name, segment (where customers have one), aim (improve who still buys, win back who is silent
    or lost), at_stake (the loss; of those at risk the margin of their last twelve months with sales), driver (the line or signal behind it),
    lever, worth (what the firm gains where that line comes down to the share of sales that it has for all customers, at most the loss, nothing
    of who loses and is gone; of those at risk what is at stake) and owner (the account manager).
    """
    rules = books.engagement.judgement("segments.yml", Rules)
    _, place = places(books, together=rules.together)
    ended = states.customer_states(books, period, rules)["state"].isin(GONE).to_numpy()[place]
    gone = books.customers.loc[ended, "customer_id"]
    rows = pd.concat([_losers(books, period, gone), _at_risk(books, period, rules)], ignore_index=True)
    rows = rows.sort_values(["at_stake", "customer_id"], ascending=[False, True]).drop_duplicates("customer_id")
    rows["aim"] = rows["customer_id"].isin(gone).map({True: WIN_BACK, False: IMPROVE})
    named = books.customers.rename(columns={"account_manager": "owner"})
    known = [c for c in ("customer_id", "customer_name", "segment", "owner") if c in named]
    listed = rows.merge(named[known], on="customer_id", how="left")
    first = listed.sort_values(["worth", "at_stake", "customer_id"], ascending=[False, False, True])
    return first[[c for c in COLUMNS if c in first]].reset_index(drop=True)


def apart(listed: Frame) -> tuple[Frame, Frame]:
    """The actions that are worth something: with who still buys, and with who is silent or lost."""
    gains = listed[listed["worth"] > 0]
    return gains[gains["aim"] == IMPROVE], gains[gains["aim"] == WIN_BACK]


def _losers(books: Books, period: Period, gone: pd.Series) -> Frame:
    report, margin = profitability.customer_profitability(books, period), books.statement_in(period).net_margin.id
    customers = report[report["customer_id"] != ""]
    losers = customers[customers[margin] < 0][["customer_id", margin]]
    rows = losers.merge(profitability.deciding_lines(books, customers, period), on="customer_id")
    ended, lines = rows["customer_id"].isin(gone), {line.label: line for line in books.statement.lines}
    gains = zip(rows["effect"], rows[margin], ended, strict=True)
    worth = [max(Decimal(0), min(-effect, -lost)).quantize(CELL) * int(not over) for effect, lost, over in gains]
    levers = rows["line"].map(lambda label: _lever(lines[label])).mask(ended, ENDED)
    return rows[["customer_id"]].assign(at_stake=-rows[margin], driver=rows["line"], lever=levers, worth=worth)


def _lever(line: Line) -> str:
    """What moves a line."""
    kind = "assignable" if line.is_assignable else "variable"
    kind = "discount" if line.is_trade else "goods" if line.is_goods else kind
    return LEVERS.get(line.balance, LEVERS[kind])


def _at_risk(books: Books, period: Period, rules: Rules) -> Frame:
    signals = states.at_risk(books, period, rules)
    signals = signals[signals["material"] & (signals["yearly_margin"] > 0)]
    stake = [Decimal(str(margin)).quantize(CELL) for margin in signals["yearly_margin"]]
    states_since = zip(signals["state"], signals["since"], strict=True)
    since = [f"{state.capitalize()} since {day:%B %Y}" for state, day in states_since]
    rows = {"customer_id": signals["account_id"], "at_stake": stake, "driver": since, "worth": stake}
    return pd.DataFrame({**rows, "lever": signals["state"].map(SIGNALS)}).astype(object)
