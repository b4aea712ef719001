"""What to do first: one list of customers with what is at stake, what drives it, the lever, its worth and whose task it is."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

from crmlib import profitability, states
from crmlib.books.stored import CELL, Books, Frame
from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period
from crmlib.declared.statement import Line

# with who loses, who is slowing; and of who is silent or lost with who earned, who lost
AIMS = IMPROVE, KEEP, WIN_BACK, STOP = "improve", "keep", "win back", "stop"
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
LIKE_ALL = "None above that of all customers", "Review prices and every cost"  # who loses as all do: no line stands out
ENDED = "Stop what it still costs; win back on other terms only"  # who lost money and is silent or lost


def actions(books: Books, period: Period) -> Frame:
    """The customers to act on, most to gain first: who loses, and who contributed and is slowing, silent or lost.

    Returns
    -------
    One row per customer: customer_id, customer_name, segment (where customers have one), aim (one of `AIMS`), at_stake (the loss; of those at
    risk the margin of their last twelve months with sales), driver (the line or signal behind it), lever, worth (what the firm gains where
    that line comes down to the share of sales that it has for all customers, at most the loss, nothing of who loses and is gone; missing of
    those at risk: nobody knows what stays or comes back; they stand by what is at stake) and owner (the account manager).
    """
    rules = books.engagement.judgement("segments.yml", Rules)
    gone = states.gone(books, period, rules)
    rows = pd.concat([_losers(books, period, gone), _at_risk(books, period, rules)], ignore_index=True)
    rows = rows.sort_values(["at_stake", "customer_id"], ascending=[False, True]).drop_duplicates("customer_id")
    named = books.customers.rename(columns={"account_manager": "owner"})
    known = [c for c in ("customer_id", "customer_name", "segment", "owner") if c in named]
    listed = rows.merge(named[known], on="customer_id", how="left")
    listed["reach"] = listed["worth"].where(listed["worth"].notna(), listed["at_stake"])
    first = listed.sort_values(["reach", "at_stake", "customer_id"], ascending=[False, False, True])
    return first[[c for c in COLUMNS if c in first]].reset_index(drop=True)


def apart(listed: Frame) -> tuple[Frame, ...]:
    """The actions by aim, in the order of `AIMS`."""
    return tuple(listed[listed["aim"] == aim] for aim in AIMS)


def _losers(books: Books, period: Period, gone: list[str]) -> Frame:
    report, margin = profitability.customer_profitability(books, period), books.statement_in(period).net_margin.id
    customers = report[report["customer_id"] != ""]
    losers = customers[customers[margin] < 0][["customer_id", margin]]
    rows = losers.merge(profitability.deciding_lines(books, customers, period), on="customer_id")
    ended, lines = rows["customer_id"].isin(gone), {line.label: line for line in books.statement.lines}
    gains = zip(rows["effect"], rows[margin], ended, strict=True)
    worth = [max(Decimal(0), min(-effect, -lost)).quantize(CELL) * int(not over) for effect, lost, over in gains]
    usual = rows["effect"] >= 0
    levers = rows["line"].map(lambda label: _lever(lines[label])).mask(usual, LIKE_ALL[1]).mask(ended, ENDED)
    rows["aim"] = ended.map({True: STOP, False: IMPROVE})
    return rows[["customer_id", "aim"]].assign(
        at_stake=-rows[margin], driver=rows["line"].mask(usual, LIKE_ALL[0]), lever=levers, worth=worth
    )


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
    aim = (signals["state"] == "slowing").map({True: KEEP, False: WIN_BACK})
    rows = {"customer_id": signals["account_id"], "aim": aim, "at_stake": stake, "driver": since, "worth": None}
    return pd.DataFrame({**rows, "lever": signals["state"].map(SIGNALS)}).astype(object)
