"""Opportunities with accounts: what each could add to a customer's contribution in a period like this one.

Found by comparison, never from one customer alone: a rate of its own beside the quartiles of its group, a family of products that its
neighbours buy. Each line of the statement is compared once, so that nothing is counted twice, and what people judged takes the place of
what was computed. Sizes are expectations, in floats.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from crmlib import states
from crmlib.books.stored import Books, Frame, sales_of, services, shared
from crmlib.criteria import judgement_records, mistakes_in
from crmlib.declared.judgement import KINDS, Opportunity, Rules
from crmlib.declared.periods import Period
from crmlib.declared.reading import refuse_mistakes
from crmlib.profitability import baskets, buyers, customer_profitability, days_outstanding, in_floats, product_families
from crmlib.white_space import FEWEST, QUARTILES, white_space, white_space_test

SMALL_ORDER = 0.75  # of the group's median: smaller orders are named as a cause
LEAST = 0.002  # of a customer's sales: less is not worth a talk
MORE_OFTEN = 1.05  # times the group's median, from which an activity is named as a cause
ALL = "all customers"
SPACE = "white space"
RETURNED = "Returns and allowances"  # what is given back after the invoice, apart from its discount
PAID = "pays {paid:.1%} of the average price, the median of customers of its volume {usual:.1%}"
VOLUME = 10  # times the median sales of those of its volume, and a part as small: beyond it a customer has no equals
SPACED = "{own:.1%} of what it buys; of what those like it buy {median:.1%} ({peers})"
GOODS = "goods are {rate:.1%} of its sales at average prices, the median of {group} {median:.1%}"
FOUND = ["customer_id", "kind", "item", "expected", "low", "high", "ease", "owner", "evidence", "source"]


@dataclass(frozen=True)
class Measure:
    """A rate of all customers, more of it being worse: kind, item and owner of the opportunity; and by customer rate, base in money, group, cause."""

    kind: str
    item: str
    owner: str
    rate: pd.Series
    base: pd.Series
    group: pd.Series
    cause: pd.Series | None = None
    form: str = "{rate:.1%} of sales, the median of {group} {median:.1%}"

    def evidence(self, customers: pd.Index, medians: pd.Series) -> list[str]:
        """Each customer's rate beside the median, and what causes it, in words."""
        causes = pd.Series("", customers) if self.cause is None else self.cause[customers]
        rows = zip(self.rate[customers], self.group[customers], medians, causes, strict=True)
        told = [
            (self.form.format(rate=rate, group=group, median=median, paid=1 - rate, usual=1 - median), cause)
            for rate, group, median, cause in rows
        ]
        return ["; ".join(filter(None, parts)) for parts in told]


@shared
def opportunities(books: Books, period: Period) -> Frame:
    """Every open opportunity of every customer who bought, the largest first; of who is silent or lost by then only what people judged.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).

    Returns
    -------
    One row per customer, kind (white space, price, mix, cost to serve, payment terms; of judged ones also other) and item (family or line):
    customer_name, segment, driver (its place between the customer and EVA), expected contribution with low and high, ease, owner, evidence,
    source (computed, judged).
    """
    bought = _buyers(books, period)
    spaces = _sized_spaces(books, period, bought)
    parts = [pd.DataFrame(columns=FOUND), spaces]
    parts += [beyond(measure) for measure in _measures(books, period, bought, set(spaces["customer_id"]))]
    computed, judged = pd.concat([part for part in parts if len(part)] or parts[:1]), read_opportunities(books)
    gone = states.gone(books, period, books.engagement.judgement("segments.yml", Rules))
    computed = computed[~computed["customer_id"].isin(gone)]
    settled = set(zip(judged["customer_id"], judged["kind"], judged["item"], strict=True))
    keys = zip(computed["customer_id"], computed["kind"], computed["item"], strict=True)
    fresh = computed[np.array([not settled & {(c, k, i), (c, k, "")} for c, k, i in keys], bool)]
    rows = pd.concat([part for part in (fresh, judged[judged["status"] == "open"]) if len(part)] or [fresh])
    named = books.customers.set_index("customer_id")
    rows.insert(1, "customer_name", rows["customer_id"].map(named["customer_name"]))
    rows.insert(2, "segment", rows["customer_id"].map(named["segment"]))
    rows.insert(4, "driver", rows["kind"].map({kind: driver for kind, (driver, _) in KINDS.items()}))
    rows = rows.astype({"expected": float, "low": float, "high": float}).drop(columns="status", errors="ignore")
    first = ["expected", "customer_id", "kind", "item"]
    return rows.sort_values(first, ascending=[False, True, True, True], ignore_index=True)


def read_opportunities(books: Books) -> Frame:
    """The rows of judgement/opportunities.csv with their amounts as numbers; empty without the file.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows, wrong = judgement_records(books, "opportunities.csv", Opportunity)
    strangers = rows.loc[~rows["customer_id"].isin(books.customers["customer_id"]), "customer_id"]
    twice = rows.loc[rows.duplicated(["customer_id", "kind", "item"], keep=False), "item"]
    wrong += mistakes_in(strangers, "no such customer; write a customer_id of the ledger")
    wrong += mistakes_in(twice, "this opportunity stands here twice; keep one row")
    refuse_mistakes("judgement/opportunities.csv", wrong)
    return rows.astype({"expected": float, "low": float, "high": float}).assign(source="judged")


def totals(found: Frame, books: Books, period: Period) -> Frame:
    """The opportunities (as `opportunities`) of each customer beside its present margin: nonsense would show.

    Returns
    -------
    One row per customer with one, the largest first: customer_id, customer_name, segment, opportunities (count), expected, low, high, largest (kind and item),
    sales, margin (net), of_sales_share (expected).
    """
    report = customer_profitability(books, period).set_index("customer_id")
    net = books.statement_in(period).net_margin.id
    names = ["customer_id", "customer_name", "segment"]
    sums = found.groupby(names, sort=False).agg(
        opportunities=("expected", "size"), expected=("expected", "sum"), low=("low", "sum"), high=("high", "sum"),
        kind=("kind", "first"), item=("item", "first"),
    ).reset_index()  # fmt: skip
    largest = (sums.pop("kind") + ": " + sums.pop("item")).str.removesuffix(": ") if len(sums) else None
    sums = sums.assign(largest=largest, sales=sums["customer_id"].map(report["sales"]), margin=sums["customer_id"].map(report[net]))  # fmt: skip
    of_sales = sums["expected"] / sums["sales"].astype(float).where(lambda sales: sales > 0)
    return sums.assign(of_sales_share=of_sales).sort_values("expected", ascending=False, ignore_index=True)


def beside(found: Frame, saved: Frame, uplifts: Mapping[str, Decimal]) -> Frame:
    """What opportunities (as `opportunities`) add to agreements, so that nothing is counted twice.

    What an agreement saves with a customer on a line comes off what is expected of the line with this customer, and what it is judged to bring in
    sales or loyalty off the customer's white space; what it costs more than today takes nothing off.

    Parameters
    ----------
    saved, uplifts
        As `agreements.savings` and `agreements.judged_gains`.

    Returns
    -------
    The same with expected, low and high less `both`, which agreements bring already.
    """
    brought: dict[Any, Any] = saved.set_index(["customer_id", "line"])["saved"].to_dict()
    brought |= {(customer, SPACE): gain for customer, gain in uplifts.items()}
    place = found["item"].where(found["kind"] != SPACE, SPACE)
    there = np.array([brought.get(pair, 0) for pair in zip(found["customer_id"], place, strict=True)], float)
    before = found.groupby([found["customer_id"], place])["expected"].cumsum() - found["expected"]
    both = (there - before).clip(0, found["expected"])
    return found.assign(both=both, **{size: (found[size] - both).clip(lower=0) for size in ("expected", "low", "high")})


# --- rates beside those of the group ---------------------------------------------------------------------------------


def _buyers(books: Books, period: Period) -> Frame:
    """The report of those who bought by customer, in floats, with order_value (missing without orders)."""
    bought = in_floats(books, buyers(customer_profitability(books, period)))
    orders = bought["orders"].where(bought["orders"] > 0) if "orders" in bought else np.nan
    return bought.assign(order_value=bought["sales"] / orders)


def _measures(books: Books, period: Period, bought: Frame, spaced: Collection[str]) -> Iterator[Measure]:
    """What is compared: each line of cost to serve, what is given back, net price and mix; each amount in one of them."""
    statement, segment = books.statement_in(period), _groups(bought["segment"])
    compared = functools.partial(Measure, base=bought["sales"], group=segment)
    causes = _causes(books, period, bought, segment)
    for line in (line for line in statement.leaves if line.is_served):
        kind = "payment terms" if line.balance == "receivables" else "cost to serve"
        rate = bought[line.id] / bought["sales"]
        # what only few of a group have, such as a salary, was decided and is no habit
        rate = rate.where(rate.groupby(segment).transform("median") > 0) if line.is_assignable else rate
        cause = _days_outstanding(books, period, bought) if kind == "payment terms" else causes.get(line.id)
        yield compared(kind, line.label, line.owner, rate, cause=cause)
    discount, notes, owner = _invoice_discounts(books, period, bought), None, ""
    if {"credits", "orders"} <= set(bought):
        notes = _more_often(bought["credits"] / bought["orders"], segment, "credit note lines")
    for line in (line for line in statement.leaves if line.is_trade and not line.is_revenue):
        owner, apart = line.owner, discount if "invoice_lines.discount" in line.sources else None
        rate = (bought[line.id] - (0 if apart is None else apart)) / bought["sales"]
        yield compared("cost to serve", line.label if apart is None else RETURNED, owner, rate, cause=notes)
    basket = baskets(books, period).reindex(bought.index)
    fifth = _groups(pd.qcut(bought["sales"].rank(method="first"), max(1, min(5, len(bought) // FEWEST)), labels=False))
    far = bought["sales"] / bought["sales"].groupby(fifth).transform("median")
    rate = (1 - basket["paid"] / basket["at_average"]).where(far.between(1 / VOLUME, VOLUME) & (basket["paid"] > 0))
    yield Measure("price", "Net price for the volume", owner, rate, basket["at_average"], fifth, form=PAID)
    if "goods_at_average" in basket:  # not where there is white space: the same sales would be meant twice
        rate = (basket["goods_at_average"] / basket["at_average"]).where(~bought.index.isin(list(spaced)))
        yield Measure("mix", "Products that leave more", owner, rate, basket["at_average"], segment, form=GOODS)


def _invoice_discounts(books: Books, period: Period, bought: Frame) -> pd.Series | None:
    """The discount on each customer's invoices; None where the ledger does not tell it from what is given back."""
    sales = sales_of(books, period, ["customer_id"])
    if sales is None or "discount" not in sales:
        return None
    return sales.set_index("customer_id")["discount"].reindex(bought.index).astype(float).fillna(0)


def _groups(group: pd.Series) -> pd.Series:
    """What each customer is compared with: its own group, or all where that is of fewer than `FEWEST`."""
    return group.astype(object).where(group.map(group.value_counts()) >= FEWEST, ALL)


def beyond(measure: Measure) -> Frame:
    """What customers beyond the upper quartile of their group would gain at its median, at its upper (low) and its lower one (high)."""
    rate = measure.rate.dropna()
    group, whole = measure.group[rate.index], {ALL: rate}
    parts = {name: whole.get(name, members) for name, members in rate.groupby(group)}
    quartiles = {name: part.quantile(QUARTILES) for name, part in parts.items() if len(part) >= FEWEST}
    beside = pd.DataFrame(quartiles, index=QUARTILES).T.reindex(group).set_axis(rate.index)
    base = measure.base[rate.index]
    gains = beside.rsub(rate, axis=0).mul(base, axis=0)
    gains = gains[(gains[0.75] > 0) & (gains[0.5] >= LEAST * base)]
    return _rows(measure.kind, measure.owner, pd.DataFrame({
        "customer_id": gains.index, "item": measure.item, "expected": gains[0.5].to_numpy(), "low": gains[0.75].to_numpy(),
        "high": gains[0.25].to_numpy(), "evidence": measure.evidence(gains.index, beside.loc[gains.index, 0.5]),
    }))  # fmt: skip


def _rows(kind: str, owner: str, found: Frame) -> Frame:
    """Rows of the register of one kind, as computed."""
    return found.assign(kind=kind, ease=KINDS[kind][1], owner=owner, source="computed")


# --- what causes it --------------------------------------------------------------------------------------------------


def _more_often(each: pd.Series, group: pd.Series, what: str) -> pd.Series:
    """In words how often something is an order, where that is more than the group's median."""
    usual = each.groupby(group).transform("median")
    told = [f"{what} {a:.2f} an order, the median {b:.2f}" for a, b in zip(each, usual, strict=True)]
    return pd.Series(told, each.index).where(each > MORE_OFTEN * usual, "")


def _causes(books: Books, period: Period, bought: Frame, group: pd.Series) -> dict[str, pd.Series]:
    """By line that activities make: the behaviour behind it, by customer: the activity farthest above the group's, and small orders."""
    types, done = books.table("activity_types"), services(books, period, ["owner", "activity"])
    if types is None or done.empty or "orders" not in bought:
        return {}
    wide = done.astype({"quantity": float, "amount": float}).pivot_table(
        index="owner", columns="activity", values=["quantity", "amount"], aggfunc="sum").reindex(bought.index).fillna(0)  # fmt: skip
    of_sales = wide["amount"].div(bought["sales"], axis=0)
    beyond = of_sales - of_sales.groupby(group).transform("median")
    each = wide["quantity"].div(bought["orders"].where(bought["orders"] > 0), axis=0)
    often = pd.DataFrame({a: _more_often(each[a], group, a.replace("_", " ")) for a in each})
    usual = bought["order_value"].groupby(group).transform("median")
    orders = [f"orders of {v:,.0f}, the median {m:,.0f}" for v, m in zip(bought["order_value"], usual, strict=True)]
    small = pd.Series(orders, bought.index).where(bought["order_value"] < SMALL_ORDER * usual, "")
    causes, rows = {}, np.arange(len(often))
    for line, kinds in types[types["activity"].isin(list(each))].groupby("line")["activity"]:
        names = pd.DataFrame(beyond[list(kinds)]).idxmax(axis=1)
        first: Any = pd.Series(often.to_numpy()[rows, often.columns.get_indexer(pd.Index(names))], names.index)
        causes[str(line)] = first.where(first != "", small)
    return causes


def _days_outstanding(books: Books, period: Period, bought: Frame) -> pd.Series:
    """Days that sales are owed, and what was agreed where the ledger says so, in words."""
    days = days_outstanding(books, period, bought).map("{:.0f} days outstanding".format)
    agreed = bought.get("payment_terms_days", pd.Series(np.nan, bought.index)).astype(float)
    return days + agreed.map(", {:.0f} agreed".format).where(agreed.notna(), "")


# --- white space, sized -------------------------------------------------------------------------------------------------


def _sized_spaces(books: Books, period: Period, bought: Frame) -> Frame:
    """White space with its size: what the neighbours spend beyond the customer, at what the family leaves, times how often it came true."""
    hit, families = white_space_test(books, period).hit_share, product_families(books, period, None)
    if not hit > 0 or "contribution_share" not in families:
        return pd.DataFrame(columns=FOUND)
    spaces = white_space(books, period)
    spaces = spaces[spaces["customer_id"].isin(bought.index)]
    served = [line.id for line in books.statement_in(period).leaves if line.is_served and not line.is_assignable]
    own = bought.loc[spaces["customer_id"]].set_axis(spaces.index)
    left = spaces["item"].map(families["contribution_share"].astype(float).to_dict())
    left = left - own[served].sum(axis=1) / own["sales"]
    sizes = spaces[["median", "low", "high"]].sub(spaces["own"], axis=0).mul(own["sales"] * left * hit, axis=0)
    told = list(map(SPACED.format_map, spaces.to_dict("records")))
    owner = books.statement["sales"].owner
    found = spaces[["customer_id", "item"]].join(sizes.rename(columns={"median": "expected"})).assign(evidence=told)
    return _rows("white space", owner, found[found["expected"] >= LEAST * own["sales"]])
