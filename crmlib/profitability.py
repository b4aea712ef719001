"""The customer profitability report: revenues minus avoidable costs, by customer, group and period.

Amounts are Decimals, positive for what their column says; margins carry their sign. A share of a total that is zero or
negative is no number and comes as None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pandas as pd

from crmlib.accounts import accounts
from crmlib.books.stored import (
    CELL,
    HALF_CENT,
    Books,
    Frame,
    group_totals,
    kept,
    owner_totals,
    owners_of,
    read_cube,
    sales_in_floats,
    sales_of,
)
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError
from crmlib.declared.statement import Statement

REST = ("Unassigned", "Other owners")
EVERYONE = "All customers"
GROUPINGS = ("account_type", "segment", "own_segment", "industry", "region")


@kept
def customer_profitability(books: Books, period: Period) -> Frame:
    """The report by customer: one row per customer with anything in the period, and one of what has no known customer.

    Columns: the customers' attributes, every available line and subtotal of the statement in order, then drivers and
    other memo columns of the cube. Sorted by net margin, best first; Unassigned last.
    """
    statement, lines = books.statement_in(period), _columns(replace(books, added=""), period)
    named = books.customers.merge(lines, how="right", left_on="customer_id", right_on="owner").drop(columns="owner")
    texts = [c for c in books.customers.columns if books.customers[c].dtype == object]
    named = named.fillna(dict.fromkeys(texts, ""))
    named.loc[named["customer_id"] == "", "customer_name"] = "Unassigned"
    order = [c.id for c in statement.customer_lines]
    memo = [c for c in lines.columns[1:] if c not in {line.id for line in statement.lines}]
    ranked = named.sort_values([statement.net_margin.id, "customer_id"], ascending=[False, True])
    ranked = ranked.iloc[(ranked["customer_id"] == "").argsort(kind="stable")]
    return ranked[[*books.customers.columns, *order, *memo]].reset_index(drop=True)


@kept
def _columns(books: Books, period: Period) -> Frame:
    """The statement of each customer with anything in the period, of which no attribute is asked: owner ('' for Unassigned), lines, memo columns."""
    totals = owner_totals(books, period)
    rows = totals[totals["level"].isin(["customer", "unassigned"])].drop(columns="level")
    return books.statement_in(period).with_subtotals(rows[rows.drop(columns="owner").ne(0).any(axis=1)])


def buyers(customers: Frame) -> Frame:
    """Those of a report by customer (as `customer_profitability`) with sales above zero, by customer_id (the index)."""
    return customers[(customers["customer_id"] != "") & (customers["sales"] > 0)].set_index("customer_id")


def in_floats(books: Books, rows: Frame) -> Frame:
    """Rows of a report by customer with amounts as floats, attributes as they are."""
    return rows.astype({column: float for column in rows if column not in books.customers})


@dataclass(frozen=True)
class GroupReport:
    """The report by group of customers; groups, the rest and the firm come apart, and add up.

    Attributes
    ----------
    groups
        One row per group (the index), best first: `customers` (how many), every line and subtotal, `own_costs` (what the group owns and
        none of its customers does).
    rest
        Unassigned (what has no known customer) and Other owners (costs owned by groups of another kind), as far as there are any.
    firm
        All together, with the pool down to operating profit.
    """

    groups: Frame
    rest: Frame
    firm: pd.Series

    @property
    def whole(self) -> Frame:
        """All rows in order, the firm last."""
        whole: Frame = pd.concat([self.groups, self.rest, self.firm.to_frame().T])
        whole.index.name = self.groups.index.name
        return whole


def group_profitability(books: Books, period: Period, by: str = "account_type") -> GroupReport:
    """The report by a group of customers: each group's customers less the group's own costs; the rows add up to the firm."""
    statement, owners = books.statement_in(period), owners_of(books, period)
    groups, leaves = group_of(books, owners, by), [line.id for line in statement.leaves]
    totals = group_totals(books, period, groups)
    by_group = totals.assign(own_costs=own_costs_of(totals, statement)).groupby("group")
    sums = by_group[[*leaves, "own_costs"]].sum().rename_axis(by)
    sums.insert(0, "customers", (owners["level"] == "customer").groupby(groups).sum().reindex(sums.index))
    whole = pd.concat([sums.drop(index="Firm", errors="ignore"), sums.sum().rename("Firm").to_frame().T])
    lines = statement.with_subtotals(whole, firm=True).rename_axis(by)
    lines = lines.assign(customers=lines["customers"].astype(int))
    firm, rows = lines.loc["Firm"], lines.drop(index="Firm").astype(object)
    rows[[line.id for line in statement.firm_lines if line.is_firms]] = None
    inside = rows[~rows.index.isin(REST)]
    best_first = inside.sort_values(statement.net_margin.id, ascending=False, kind="stable")
    return GroupReport(best_first, rows.reindex([name for name in REST if name in rows.index]), firm)


def from_customers_to_profit(books: Books, period: Period) -> pd.Series:
    """Down from the margin of customers to the last line of the firm: what has no known customer, what groups own, each cost of nobody.

    The first amount and the steps add up to the last.
    """
    statement, totals = books.statement_in(period), _level_totals(books, period)
    own = [line for line in statement.leaves if not line.is_pool]
    margin = sum((totals[line.id] * line.sign for line in own), totals["sales"] * 0)
    kinds = {"customer": "Customers", "unassigned": "Unassigned", "firm": ""}
    parts = margin.groupby(totals["level"].map(lambda level: kinds.get(level, "Costs of whole customer groups"))).sum()
    owners = parts.reindex(
        [name for name in ("Customers", "Unassigned", "Costs of whole customer groups") if name in parts]
    )
    pool = {line.label: totals[line.id].sum() * line.sign for line in statement.leaves if line.is_pool}
    steps = {**dict(owners), **pool}
    return pd.Series({**steps, statement.firm_lines[-1].label: sum(steps.values())}, dtype=object)


def group_months(books: Books, by: str, line: str) -> Frame:
    """A line or subtotal of the statement by month of the coverage (rows) and group of customers (columns), the costs that groups own in it."""
    coverage = books.engagement.coverage
    owners = owners_of(books, coverage).assign(group=lambda there: group_of(books, there, by))
    owners = owners[owners["group"].notna() & ~owners["group"].isin([*REST, "Firm"])]
    sums = read_cube(books, coverage, owners, ["group", "month"])
    sums = sums[["group", "month", *(leaf.id for leaf in books.statement.leaves)]]
    months = books.statement.with_subtotals(sums).pivot(index="month", columns="group", values=line)
    return months.reindex(coverage.month_starts()).astype(float).fillna(0)


def concentration(customers: Frame, by: str, largest: int) -> Frame:
    """On how few customers each group's gross sales rest, of those with sales above zero.

    Parameters
    ----------
    customers
        One row per customer, as `customer_profitability`.
    by
        The attribute that makes the groups; 'all' for one group.

    Returns
    -------
    One row per group (the index): buyers, top_share (of the `largest`), herfindahl (sum of squared shares of sales: 1/n with n customers
    of one size; Hirschman, *The Paternity of an Index*).
    """
    buying = buyers(customers)
    groups = buying[by].replace("", blank(by)) if by != "all" else pd.Series(EVERYONE, index=buying.index)
    sold = buying["sales"].astype(float)
    part = sold / sold.groupby(groups).transform("sum")
    place = part.groupby(groups).rank(ascending=False, method="first")
    sums = pd.DataFrame({"buyers": 1, "top_share": part.where(place <= largest, 0), "herfindahl": part**2})
    measures: Frame = sums.groupby(groups.rename("group")).sum()
    return measures


def product_families(books: Books, period: Period, base: Period | None) -> Frame:
    """What each product family sells, and what is left of it after goods.

    Returns
    -------
    One row per product_family (the index), largest first: sales, of_sales_share, growth_share (on the
    base), and where cost of goods is known gross_contribution (sales less invoice discount and cost of goods, both before returns and credits) with
    contribution_share (of these sales). Empty without products on the lines, or without their families.
    """
    now, before = _by_family(books, period), _by_family(books, base)
    if now is None:
        return pd.DataFrame(columns=["sales", "of_sales_share", "growth_share"]).rename_axis("product_family")
    sold = now["gross_sales"].sort_values(ascending=False, kind="stable")
    families = pd.DataFrame({"sales": sold, "of_sales_share": shares(sold, pd.Series(total(sold), index=sold.index))})
    past = (sold * 0 if before is None else before["gross_sales"].reindex(sold.index)).astype(float)
    families["growth_share"] = sold.astype(float) / past.where(past > 0) - 1
    if "cost_of_goods" in now:
        left = now["gross_sales"] - now.get("discount", Decimal(0)) - now["cost_of_goods"]
        families["gross_contribution"], families["contribution_share"] = left, shares(left.reindex(sold.index), sold)
    return families


def lacking_for_families(books: Books) -> list[str]:
    """What these books lack to show product families, in words; none where they can be shown."""
    needed = {
        ("invoice_lines", "product_id"): "no product on the invoice lines",
        ("products", "product_family"): "no family in the table of products",
    }
    return [words for (table, column), words in needed.items() if column not in books.columns.get(table, [])]


def _by_family(books: Books, period: Period | None) -> Frame | None:
    products, sales = books.table("products"), sales_of(books, period, ["product_id"]) if period else None
    if products is None or sales is None or "product_family" not in products:
        return None
    names = products.set_index("product_id")["product_family"].replace("", blank("family", "Products"))
    family = sales["product_id"].map(names).fillna("(unknown product)").rename("product_family")
    amounts = [c for c in ("gross_sales", "discount", "cost_of_goods") if c in sales]
    sums: Frame = sales.groupby(family)[amounts].sum()
    return sums


def grouping(books: Books, wanted: str = "account_type") -> str:
    """The attribute to group customers by: the one wanted, else, for account_type, the first that the ledger has, else 'all' (one group).

    Raises
    ------
    SettingsError
        Another was wanted that customers do not have.
    """
    if wanted not in {*books.customers.columns, "account_type", "all"}:
        there = ", ".join(c for c in books.customers.columns if c not in {"customer_id", "customer_name"})
        raise SettingsError(f"customers have no column {wanted!r} to group by; there are {there or 'none'}")
    own = (name for name in GROUPINGS if name != "segment" or not books.added)  # segments of the rules last
    return next((name for name in (wanted, *own, "segment") if name in books.customers.columns), "all")


def blank(by: str, noun: str = "Customers") -> str:
    """What those are called who have no value of an attribute."""
    return f"{noun} without {by.removesuffix('_id').replace('_', ' ')}"


def group_of(books: Books, totals: Frame, by: str) -> pd.Series:
    """The group of each row of the cube (level, owner): a value of `by`, Unassigned, Other owners or Firm."""
    owners = totals["owner"]
    if by == "all":
        groups = pd.Series(EVERYONE, index=books.customers["customer_id"])
    elif by == "parent_id":
        groups = families(books)
        owners = owners.mask(totals["level"] == "parent", owners.map(groups))
    elif by in books.customers.columns:
        groups = books.customers.set_index("customer_id")[by]
    else:
        raise SettingsError(f"customers have no column {by!r}; there are {', '.join(books.customers.columns)}")
    names = {*groups, *(books.engagement.segments if by == "segment" else ())}
    level, own_level = totals["level"], by.removesuffix("_id").removeprefix("own_")
    own = (level == own_level) & owners.isin(names)
    named = totals["owner"].map(groups).where(level == "customer", owners.where(own, "Other owners"))
    named = named.replace({"": blank(by), **{name: f"{name} (group)" for name in ("Unassigned", "Firm")}})
    return named.mask(level == "unassigned", "Unassigned").mask(level == "firm", "Firm")


def families(books: Books) -> pd.Series:
    """By customer_id: the name of the topmost parent, which is in its family too; '' for a customer without a family."""
    heads = accounts(books, together=True)
    names = books.customers.set_index("customer_id")["customer_name"]
    names = names.where(~names.duplicated(keep=False), names + " (" + names.index + ")")
    return heads.map(names).where(heads.groupby(heads).transform("size") > 1, "")


def own_costs_of(totals: Frame, statement: Statement) -> pd.Series:
    """The costs booked on a group itself, in money, one per row of `totals`; nothing on a row of a customer or the firm."""
    booked = [line.id for line in statement.leaves if not line.is_pool]
    grouped = ~totals["level"].isin(["customer", "unassigned", "firm"])
    return totals[booked].sum(axis=1).where(grouped, Decimal(0)).map(Decimal)


def firm_profitability(books: Books, period: Period) -> pd.Series:
    """The firm's report: every available line and subtotal down to operating profit, all owners and the pool together."""
    statement = books.statement_in(period)
    totals = _level_totals(books, period)[[line.id for line in statement.leaves]].sum().to_frame().T
    return statement.with_subtotals(totals, firm=True).iloc[0].rename(period.short)


def _level_totals(books: Books, period: Period) -> Frame:
    """As `owner_totals`, all owners of a level together."""
    return group_totals(books, period, owners_of(books, period)["level"])


def compare_periods(books: Books, period: Period, others: Sequence[Period]) -> Frame:
    """The firm's report for a period beside others, on the lines that each has: one row per line, one column per period.

    A period that the books do not cover has no column; a line that a period does not have is None there.
    """
    columns = {p.short: firm_profitability(books, p) for p in [period, *others] if books.comparable(p)}
    table = pd.DataFrame(columns).reindex([line.id for line in books.statement.firm_lines]).astype(object)
    return table.where(table.notna(), None)


def share(part: Decimal | None, total: Decimal | None) -> Decimal | None:
    """Part of a total, 8 decimals; None where the total is zero or negative, since that is no share."""
    if part is None or total is None or total <= 0:
        return None
    return (part / total).quantize(CELL)


def adds_up(parts: pd.Series, whole: Decimal) -> bool:
    """Whether amounts add up to a whole, to the cent."""
    return abs(total(parts) - whole) < HALF_CENT


def shares(parts: pd.Series, totals: pd.Series) -> pd.Series:
    """Each part's share of its total (as `share`); what is no number is missing."""
    pairs = zip(parts, totals, strict=True)
    return pd.Series([share(part, total) for part, total in pairs], index=parts.index, dtype=object).dropna()


def whale_curve(customers: Frame, measure: str) -> Frame:
    """Customers from best to worst and what they earn together.

    Parameters
    ----------
    customers
        One row per customer, as `customer_profitability`.

    Returns
    -------
    One row per customer: rank, rank_share (of customers, 0 to 1), margin, cumulative, and group (top fifth, middle, bottom fifth; of
    fewer than five customers there are no fifths).
    """
    ranked = customers.sort_values([measure, "customer_id"], ascending=[False, True])
    count = len(ranked)
    curve = pd.DataFrame({
        "customer_id": ranked["customer_id"].to_numpy(), "customer_name": ranked["customer_name"].to_numpy(), "rank": range(1, count + 1),
        "margin": ranked[measure].to_numpy(), "cumulative": ranked[measure].cumsum().to_numpy(),
    })  # fmt: skip
    curve.insert(3, "rank_share", curve["rank"] / count)
    fifth = round(count / 5) if count >= 5 else 0
    rank, rest = curve["rank"], "middle" if fifth else "all"
    return curve.assign(group=np.select([rank <= fifth, rank > count - fifth], ["top fifth", "bottom fifth"], rest))


def net_price_and_cost_to_serve(books: Books, customers: Frame, period: Period) -> Frame:
    """Where each customer stands on price and on effort.

    Returns
    -------
    One row per customer with positive gross sales: `net_price_index` (what it pays after invoice discounts for its own mix, over
    what all customers pay on average for the same products; 1 is average) and `cost_to_serve_share` (cost below the manufacturing
    contribution over gross sales), as floats, with sales and margin. Empty without products and quantities, or any cost to serve.
    """
    statement = books.statement_in(period)
    basket, served = baskets(books, period), [line.id for line in statement.leaves if line.is_served]
    buying = buyers(customers if served else customers.iloc[:0])
    index = (basket["paid"] / basket["at_average"]).reindex(buying.index)
    effort, margin = buying[served].sum(axis=1) / buying["sales"], buying[statement.net_margin.id]
    placed = buying[["customer_name"]].assign(net_price_index=index, cost_to_serve_share=effort)
    placed = placed.assign(sales=buying["sales"], margin=margin).dropna(subset=["net_price_index"])
    return in_floats(books, placed).reset_index()


def baskets(books: Books, period: Period) -> Frame:
    """What each customer's products come to at what all customers pay, and what their goods cost, on average.

    Returns
    -------
    By customer_id, as far as the ledger has products and quantities: paid (after invoice discount), at_average (the same quantities at average
    net prices, above zero) and, with cost of goods, goods_at_average, as floats. Else empty.
    """
    sales, product = sales_in_floats(books, period), sales_of(books, period, ["product_id"])
    if sales is None or product is None or sales.empty or "quantity" not in sales:
        return pd.DataFrame(columns=["paid", "at_average"])
    sold = [table.assign(paid=table["gross_sales"] - table.get("discount", 0)) for table in (sales, product)]
    amounts = {"paid": "at_average", "cost_of_goods": "goods_at_average"}
    amounts = {name: name_at for name, name_at in amounts.items() if name in sold[0]}
    bought = sold[1][sold[1]["quantity"] > 0].set_index("product_id")  # quantities in decimals, so that none is none
    average = bought[list(amounts)].div(bought["quantity"], axis=0).astype(float).rename(columns=amounts)
    known = sold[0][sold[0]["product_id"].isin(average.index)]
    at_average = average.loc[known["product_id"]].set_axis(known.index).mul(known["quantity"], axis=0)
    totals = pd.concat([known[["paid"]], at_average], axis=1).groupby(known["customer_id"]).sum()
    return totals[totals["at_average"] > 0]


def deciding_lines(books: Books, customers: Frame, period: Period) -> Frame:
    """The one line that makes each customer better or worse than the firm's average customer would be at its sales.

    Returns
    -------
    One row per customer: customer_id, line (label), effect (amount by which that line's share of gross sales differs from
    all customers' share, signed as it moves the margin).
    """
    statement = books.statement_in(period)
    leaves = [line for line in statement.leaves if not (line.is_pool or line.is_revenue)]
    total = customers["sales"].sum()
    effects = pd.DataFrame({
        line.label: (customers[line.id] - customers["sales"] * (customers[line.id].sum() / total if total > 0 else Decimal(0))) * line.sign
        for line in leaves
    })  # fmt: skip
    if effects.empty:
        effects = pd.DataFrame({statement["sales"].label: customers["sales"] * 0})
    sides = np.where(effects.sum(axis=1) >= 0, 1, -1)
    best = (effects.astype(float).to_numpy() * sides[:, None]).argmax(axis=1)
    found = effects.to_numpy()[np.arange(len(effects)), best]
    return customers[["customer_id"]].assign(line=effects.columns[best], effect=found)


def of_customer(reports: Mapping[str, Frame], customer_id: str) -> Frame:
    """One customer's lines (rows) in each report (columns) in which it has anything; reports by label, as `customer_profitability`."""
    found = {label: report[report["customer_id"] == customer_id] for label, report in reports.items()}
    rows = {label: row.iloc[0] for label, row in found.items() if len(row)}
    return pd.DataFrame(rows, dtype=object)


def against_segment(customers: Frame, statement: Statement, customer_id: str) -> pd.Series:
    """What each line does to a customer's margin beside the median of those of its segment who bought, at the customer's sales.

    By label, the worst first: (median share of gross sales − own share) × own sales, with the line's sign. Empty without sales of its own, or
    with nobody else in the segment.
    """
    buying = buyers(customers)
    if customer_id not in buying.index:
        return pd.Series(dtype=float)
    peers, own = buying[buying["segment"] == buying.at[customer_id, "segment"]], buying.loc[customer_id]
    lines = [line for line in statement.leaves if not (line.is_pool or line.is_revenue)]
    rates = peers[[line.id for line in lines]].astype(float).div(peers["sales"].astype(float), axis=0)
    signs = pd.Series({line.id: line.sign for line in lines}, dtype=float)
    effects = (rates.loc[customer_id] - rates.median()) * signs * float(own["sales"])
    named: pd.Series = effects.rename({line.id: line.label for line in lines}).sort_values(kind="stable")
    return named[(named != 0) & (len(peers) > 1)]


def days_outstanding(books: Books, period: Period, customers: Frame) -> pd.Series:
    """Days that each customer's net sales are owed, from the charge for receivables; missing without one, or without net sales above zero."""
    statement, rate = books.statement_in(period), float(books.engagement.settings.rates.capital_charge_rate)
    charges = [line.id for line in statement.leaves if line.balance == "receivables"]
    amounts = customers[[line.id for line in statement.leaves if line.is_trade or line.id in charges]].astype(float)
    net = sum((amounts[line.id] * line.sign for line in statement.leaves if line.is_trade), amounts["sales"] * 0)
    charge = amounts[charges].sum(axis=1, min_count=1)
    days: pd.Series = charge / (rate or float("nan")) / net.where(net > 0) * 365
    return days


def total(amounts: pd.Series) -> Decimal:
    """The sum of decimals as a decimal, nothing for no rows."""
    return sum(amounts, Decimal(0))


def losers_and_earners(books: Books, customers: Frame, period: Period) -> Frame:
    """What each line takes of the gross sales of customers who lose beside those who do not, the largest difference first.

    Parameters
    ----------
    customers
        One row per customer, as `customer_profitability`, without Unassigned.

    Returns
    -------
    By the line's label, of lines that take more of losers' sales: losers_share and earners_share (of their gross sales), and losers_amount, total_amount (of both). Empty where nobody
    loses, nobody earns, or either sold nothing.
    """
    statement = books.statement_in(period)
    lines = [line for line in statement.leaves if not (line.is_pool or line.is_revenue)]
    loses = customers[statement.net_margin.id] < 0
    sides = [customers[loses], customers[~loses]]
    sold = [total(side["sales"]) for side in sides]
    rows = []
    for line in lines if min(sold) > 0 else ():
        lost, earned = (total(side[line.id]) for side in sides)
        rows.append((line.label, lost / sold[0], earned / sold[1], lost, lost + earned))
    columns = ["line", "losers_share", "earners_share", "losers_amount", "total_amount"]
    compared = pd.DataFrame(rows, columns=columns, dtype=object).set_index("line")
    apart = (compared["losers_share"] - compared["earners_share"]).astype(float)
    return compared.loc[apart[apart > 0].sort_values(ascending=False, kind="stable").index]
