"""The customer profitability report: revenues minus avoidable costs, by customer, group and period.

Amounts are Decimals, positive for what their column says; margins carry their sign. A share of a total that is zero or
negative is no number and comes as None.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, owner_totals, sales_of
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError
from crmlib.declared.statement import Statement

GROUPINGS = ("account_type", "segment", "own_segment", "industry", "region")


def customer_profitability(books: Books, period: Period) -> Frame:
    """The report by customer: one row per customer with anything in the period, and one of what has no known customer.

    Columns: the customers' attributes, every available line and subtotal of the statement in order, then drivers and
    other memo columns of the cube. Sorted by net margin, best first; Unassigned last.
    """
    totals = owner_totals(books, period)
    rows = totals[totals["level"].isin(["customer", "unassigned"])]
    amounts = [c for c in rows.columns if c not in {"level", "owner"}]
    rows = rows[rows[amounts].ne(0).any(axis=1)]
    statement = books.statement_in(period)
    lines = statement.with_subtotals(rows.drop(columns="level"))
    named = books.customers.merge(lines, how="right", left_on="customer_id", right_on="owner").drop(columns="owner")
    texts = [c for c in books.customers.columns if books.customers[c].dtype == object]
    named = named.fillna(dict.fromkeys(texts, ""))
    named.loc[named["customer_id"] == "", "customer_name"] = "Unassigned"
    order = [c.id for c in statement.customer_lines]
    memo = [c for c in amounts if c not in {line.id for line in statement.lines}]
    ranked = named.assign(_last=named["customer_id"] == "").sort_values(
        ["_last", statement.net_margin.id, "customer_id"], ascending=[True, False, True]
    )
    return ranked[[*books.customers.columns, *order, *memo]].reset_index(drop=True)


def group_profitability(books: Books, period: Period, by: str = "account_type") -> Frame:
    """The report by a group of customers: each group's customers less the group's own costs; the rows add up to the firm.

    One row per group, then Unassigned, Other owners (costs owned at another level) and Firm with the pool down to
    operating profit. Column `own_costs` is what the group owns and none of its customers does; `customers` counts.
    """
    statement = books.statement_in(period)
    totals = owner_totals(books, period)
    named = group_of(books, totals, by)
    leaves = [line.id for line in statement.leaves]
    rows = totals.assign(group=named, _own=own_costs_of(totals, statement)).groupby("group", sort=False)
    summed = rows[[*leaves, "_own"]].sum().reset_index()
    counts = totals[totals["level"] == "customer"].assign(group=named)["group"].value_counts()
    summed.insert(1, "customers", summed["group"].map(counts).fillna(0).astype(int))
    firm = (
        summed[leaves].sum().to_frame().T.assign(group="Firm", customers=int(counts.sum()), _own=summed["_own"].sum())
    )
    filled = pd.concat([summed[summed["group"] != "Firm"], firm[summed.columns]], ignore_index=True)
    lines = statement.with_subtotals(filled.rename(columns={"_own": "own_costs"}), firm=True)
    last = {"Unassigned": 1, "Other owners": 2, "Firm": 3}
    lines = lines.assign(_last=lines["group"].map(last).fillna(0)).sort_values(
        ["_last", statement.net_margin.id], ascending=[True, False], kind="stable"
    )
    pool = [li.id for li in statement.firm_lines if li.is_firms]
    lines[pool] = lines[pool].astype(object).where(lines["group"] == "Firm", None)
    return lines.drop(columns="_last").rename(columns={"group": by}).reset_index(drop=True)


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
    return next((name for name in (wanted, *GROUPINGS) if name in books.customers.columns), "all")


def group_of(books: Books, totals: Frame, by: str) -> pd.Series:
    """The group of each row of the cube (level, owner): a value of `by`, Unassigned, Other owners or Firm."""
    if by == "all":
        groups = pd.Series("All customers", index=books.customers["customer_id"])
    elif by in books.customers.columns:
        groups = books.customers.set_index("customer_id")[by]
    else:
        raise SettingsError(f"customers have no column {by!r}; there are {', '.join(books.customers.columns)}")
    names = {*groups, *(books.engagement.segments if by == "segment" else ())}
    level, own_level = totals["level"], by.removesuffix("_id").removeprefix("own_")
    own = (level == own_level) & totals["owner"].isin(names)
    named = totals["owner"].map(groups).where(level == "customer", totals["owner"].where(own, "Other owners"))
    named = named.replace({"": "(none given)", **{name: f"{name} (group)" for name in ("Unassigned", "Firm")}})
    return named.mask(level == "unassigned", "Unassigned").mask(level == "firm", "Firm")


def own_costs_of(totals: Frame, statement: Statement) -> pd.Series:
    booked = [line.id for line in statement.leaves if not line.is_pool]
    grouped = ~totals["level"].isin(["customer", "unassigned", "firm"])
    return totals[booked].sum(axis=1).where(grouped, Decimal(0)).map(Decimal)


def firm_profitability(books: Books, period: Period) -> pd.Series:
    """The firm's report: every available line and subtotal down to operating profit, all owners and the pool together."""
    statement = books.statement_in(period)
    totals = owner_totals(books, period)[[line.id for line in statement.leaves]].sum().to_frame().T
    return statement.with_subtotals(totals, firm=True).iloc[0].rename(period.label)


def compare_periods(books: Books, period: Period, others: Sequence[Period]) -> Frame:
    """The firm's report for a period beside others, on the lines that each has: one row per line, one column per period.

    A period that the books do not cover has no column; a line that a period does not have is None there.
    """
    columns = {p.label: firm_profitability(books, p) for p in [period, *others] if books.comparable(p)}
    return (
        pd.DataFrame(columns)
        .reindex([li.id for li in books.statement.firm_lines])
        .astype(object)
        .where(lambda t: t.notna(), None)
    )


def share(part: Decimal | None, total: Decimal | None) -> Decimal | None:
    """Part of a total, 8 decimals; None where the total is zero or negative, since that is no share."""
    if part is None or total is None or total <= 0:
        return None
    return (part / total).quantize(CELL)


def whale_curve(customers: Frame, measure: str) -> Frame:
    """Customers from best to worst and what they earn together.

    Parameters
    ----------
    customers
        One row per customer, as `customer_profitability`.

    Returns
    -------
    One row per customer: rank, rank_share (of customers, 0 to 1), margin, cumulative, and group (top fifth, middle, bottom fifth).
    """
    ranked = customers.sort_values([measure, "customer_id"], ascending=[False, True])
    count = len(ranked)
    curve = pd.DataFrame({
        "customer_id": ranked["customer_id"].to_numpy(), "customer_name": ranked["customer_name"].to_numpy(), "rank": range(1, count + 1),
        "margin": ranked[measure].to_numpy(), "cumulative": ranked[measure].cumsum().to_numpy(),
    })  # fmt: skip
    curve.insert(3, "rank_share", curve["rank"] / count)
    fifth = max(1, round(count / 5))
    position = curve["rank"].map(
        lambda r: "top fifth" if r <= fifth else "bottom fifth" if r > count - fifth else "middle"
    )
    return curve.assign(group=position)


def net_price_and_cost_to_serve(books: Books, customers: Frame, period: Period) -> Frame:
    """Where each customer stands on price and on effort.

    Returns
    -------
    One row per customer with positive gross sales: `net_price_index` (what it pays after invoice discounts for its own mix, over
    what all customers pay on average for the same products; 1 is average; net sales over gross sales where there are no
    products) and `cost_to_serve` (cost below the manufacturing contribution over gross sales), and the net margin.
    """
    statement = books.statement_in(period)
    served = [line.id for line in statement.leaves if line.is_served]
    buying = customers[(customers["sales"] > 0) & (customers["customer_id"] != "")]
    cost = buying[served].sum(axis=1) / buying["sales"] if served else buying["sales"] * 0
    index = _net_price_index(books, period)
    fallback = buying["net_sales"] / buying["sales"] if "net_sales" in buying else buying["sales"] * 0 + 1
    price = fallback if index is None else buying["customer_id"].map(index)
    placed = buying[["customer_id", "customer_name", "sales", statement.net_margin.id]].assign(
        net_price_index=price, cost_to_serve=cost
    )
    return placed.dropna(subset=["net_price_index"]).reset_index(drop=True)


def _net_price_index(books: Books, period: Period) -> pd.Series | None:
    sales = sales_of(books, period)
    if sales is None or sales.empty:
        return None
    paid = sales["gross_sales"] - sales.get("discount", Decimal(0))
    summed = sales.assign(paid=paid).groupby(["customer_id", "product_id"])[["quantity", "paid"]].sum().reset_index()
    product = summed.groupby("product_id")[["quantity", "paid"]].sum()
    average = product[product["quantity"] > 0].apply(lambda r: r["paid"] / r["quantity"], axis=1)
    summed = summed[summed["product_id"].isin(average.index)]
    summed = summed.assign(at_average=summed["quantity"] * summed["product_id"].map(average))
    totals = summed.groupby("customer_id")[["paid", "at_average"]].sum()
    totals = totals[totals["at_average"] > 0]
    return totals["paid"] / totals["at_average"]


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
    ahead = effects.sum(axis=1)
    rows = []
    for position, row in effects.iterrows():
        best = (row if ahead[position] >= 0 else -row).map(float).idxmax()
        rows.append((customers.loc[position, "customer_id"], best, row[best]))
    return pd.DataFrame(rows, columns=["customer_id", "line", "effect"])


def total(amounts: pd.Series) -> Decimal:
    return sum(amounts, Decimal(0))
