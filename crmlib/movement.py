"""What moved: a margin from one period to another, by line and by price, volume and mix; groups, and what the strategy wants of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, sales_of
from crmlib.declared.judgement import Goal, Market
from crmlib.declared.periods import Period
from crmlib.profitability import customer_profitability, group_months, group_profitability, total

SHARED = Decimal("0.05")
STEPS = ["label", "amount", "kind"]
STANDINGS = ["Came", "Stayed, brought no less", "Stayed, brought less", "Went", "Bought in neither"]


def margin_moves(books: Books, period: Period, base: Period | None, by: str) -> pd.Series:
    """A bridge of the net margin from a base period by who moved it.

    Parameters
    ----------
    by
        'customer' for each customer, else an attribute of customers; its groups come with the costs that they own.

    Returns
    -------
    By name the base, a step for each owner, the largest first, and the period; nothing where the periods have not the same lines.
    """
    if base is None or not books.alike(period, base):
        return pd.Series(dtype=object)
    now, before = (_margins(books, p, by) for p in (period, base))
    owners = now.index.union(before.index, sort=False)
    change = now.reindex(owners, fill_value=Decimal(0)) - before.reindex(owners, fill_value=Decimal(0))
    change = change.iloc[np.argsort(-change.astype(float).abs().to_numpy(), kind="stable")]
    names = books.customers.set_index("customer_id")["customer_name"]
    steps = change.rename(index=names) if by == "customer" else change
    moves: pd.Series = pd.concat([pd.Series({base.short: total(before)}), steps, pd.Series({period.short: total(now)})])
    return moves


def who_came_and_went(books: Books, period: Period, base: Period | None) -> Frame:
    """Sales and net margin of a period and of its base, by whether customers bought in both of them: those who came, who stayed, who went.

    Returns
    -------
    One row each (the index `STANDINGS`; without those of whom there is nobody): customers, sales_before, sales, margin_before, margin, change (of margin).
    Who stayed and brought less is apart from who brought no less. The margins before and their change are missing where the periods have not the same lines; then
    sales say who brought less. Empty without a base, or where nobody bought in it.
    """
    now, before = (_sales_and_margins(books, p) for p in (period, base or period))
    both = pd.concat([now, before.add_suffix("_before")], axis=1).fillna(Decimal(0))
    if base is None or not (both["sales_before"] > 0).any():
        return pd.DataFrame(columns=["customers", "sales_before", "sales", "margin_before", "margin", "change"])
    alike, bought, buys = books.alike(period, base), both["sales_before"] > 0, both["sales"] > 0
    measure = "margin" if alike else "sales"
    less = both[measure] < both[f"{measure}_before"]
    standing = np.select([buys & ~bought, buys & bought & ~less, buys & bought, bought], STANDINGS[:4], STANDINGS[4])
    sums = both.groupby(standing)[["sales_before", "sales", "margin_before", "margin"]].sum()
    sums.insert(0, "customers", pd.Series(standing).value_counts())
    sums = sums if alike else sums.assign(margin_before=None)
    sums["change"] = sums["margin"] - sums["margin_before"] if alike else None
    return sums.reindex([standing for standing in STANDINGS if standing in sums.index])


def standing_moves(stood: Frame, period: Period, base: Period | None) -> pd.Series:
    """A bridge of customers' margin from a base period by `who_came_and_went`; nothing where margins cannot be compared."""
    if base is None or stood.empty or stood["change"].isna().any():
        return pd.Series(dtype=object)
    start, end = total(stood["margin_before"]), total(stood["margin"])
    return pd.Series({base.short: start, **dict(stood["change"]), period.short: end}, dtype=object)


def _sales_and_margins(books: Books, period: Period) -> Frame:
    report, margin = customer_profitability(books, period), books.statement_in(period).net_margin.id
    named = report[report["customer_id"] != ""].set_index("customer_id")
    return named[["sales", margin]].set_axis(["sales", "margin"], axis=1)


def _margins(books: Books, period: Period, by: str) -> pd.Series:
    if by != "customer":
        margin = books.statement_in(period).net_margin.id
        return group_profitability(books, period, by).whole[margin].drop("Firm")
    return _sales_and_margins(books, period)["margin"]


def over_twelve_months(books: Books, by: str, line: str) -> Frame:
    """A line by group (as `group_months`), summed over the twelve months to each month, so that the season does not show; the twelve groups that are largest now.

    Empty where none can be compared with one a year before, which a margin can only where both years have the same lines.
    """
    sums, latest = group_months(books, by, line).rolling(12).sum().dropna(), books.period("last-12-months")
    largest = sums.tail(1).sum().sort_values(ascending=False, kind="stable").index[:12]
    told = len(sums) > 12 and (line == "sales" or books.alike(latest, latest.year_before()))
    return sums[largest] if told else sums.iloc[:0]


def price_volume_mix(books: Books, period: Period, base: Period | None, customer_id: str | None = None) -> Frame:
    """What moved the gross contribution (gross sales less discount and cost of goods) from a base period, of all or of one customer.

    By product. Volume is growth at base prices; mix is what the shift between products did beyond it; price and cost are
    the changes on the quantities sold now; products without quantity in one of the periods are new or lost. The steps add
    up to the change exactly.

    Returns
    -------
    Rows base, volume, mix, price, cost, new products, lost products, other (no product or quantity), period; columns label,
    amount, kind. Empty without a base, where the ledger has no products, quantities or cost, and where the products of the two periods
    have less than `SHARED` of the base's sales in common: what is new or lost then is the codes.
    """
    before, now = (_by_product(books, p, customer_id) for p in (base, period))
    if base is None or before is None or now is None or (customer_id and before.empty):
        return pd.DataFrame(columns=STEPS)
    both = before.merge(now, how="outer", left_index=True, right_index=True, suffixes=("_0", "_1")).fillna(Decimal(0))
    bought = (both["quantity_0"] > 0) & (both.index != "")
    sold = (both["quantity_1"] > 0) & (both.index != "")
    kept = both[bought & sold]
    if total(kept["net_0"]) < SHARED * total(both["net_0"]):
        return pd.DataFrame(columns=STEPS)
    change = both["net_1"] - both["cost_1"] - both["net_0"] + both["cost_0"]
    net_at_base = kept["net_0"] * (kept["quantity_1"] / kept["quantity_0"])
    cost_at_base = kept["cost_0"] * (kept["quantity_1"] / kept["quantity_0"])
    margin_before = total(kept["net_0"]) - total(kept["cost_0"])
    growth = total(net_at_base) / total(kept["net_0"]) - 1 if total(kept["net_0"]) > 0 else Decimal(0)
    volume = (margin_before * growth).quantize(CELL)
    steps = {
        "Volume": volume,
        "Mix": total(net_at_base) - total(cost_at_base) - margin_before - volume,
        "Price": total(kept["net_1"]) - total(net_at_base),
        "Cost of goods": total(cost_at_base) - total(kept["cost_1"]),
        "New products": total(change[~bought & sold]),
        "Lost products": total(change[bought & ~sold]),
        "No product or quantity": total(change[~bought & ~sold]),
    }  # fmt: skip
    start, end = (total(both[f"net_{i}"]) - total(both[f"cost_{i}"]) for i in (0, 1))
    rows = [(label, amount, "step") for label, amount in steps.items() if amount or label != "No product or quantity"]
    return pd.DataFrame([(base.short, start, "total"), *rows, (period.short, end, "total")], columns=STEPS)


def products_moved(books: Books, customer_id: str, period: Period, base: Period | None) -> Frame:
    """What one customer buys, by product, and bought in the base: the largest changes first.

    Returns
    -------
    product_name, product_family (where the ledger has it), sales, sales_before, change, and what (new, dropped, more, less). Empty without
    products on the lines, or without a base.
    """
    products = books.table("products")
    before, now = (_by_product(books, p, customer_id, "gross_sales") for p in (base, period))
    if before is None or now is None:
        return pd.DataFrame(columns=["product_name", "sales", "sales_before", "change", "what"])
    sums = {"sales": now["gross_sales"], "sales_before": before["gross_sales"]}
    both = pd.concat(sums, axis=1).fillna(Decimal(0))
    both["change"] = both["sales"] - both["sales_before"]
    tests = [both["sales_before"] <= 0, both["sales"] <= 0, both["change"] > 0]
    both["what"] = np.select(tests, ["new", "dropped", "more"], "less")
    named = both if products is None else both.join(products.set_index("product_id"))
    known = named["product_name"] if "product_name" in named else pd.Series(pd.NA, named.index)
    named = named.assign(product_name=known.where(known.notna(), named.index))
    names = [c for c in ("product_name", "product_family", "sales", "sales_before", "change", "what") if c in named]
    moved = named[named["change"] != 0].sort_values("change", key=lambda change: -abs(change.astype(float)))
    return moved[names].reset_index(drop=True)


def _by_product(books: Books, period: Period | None, customer_id: str | None = None, *only: str) -> Frame | None:
    sales = sales_of(books, period, ["product_id"], customer_id) if period else None
    if sales is None or not ({*only} or {"quantity", "cost_of_goods"}) <= set(sales):
        return None
    if only:
        return sales.groupby("product_id")[list(only)].sum()
    net = sales["gross_sales"] - sales.get("discount", Decimal(0))
    return sales.assign(net=net, cost=sales["cost_of_goods"]).groupby("product_id")[["quantity", "net", "cost"]].sum()


@dataclass(frozen=True)
class Development:
    """How groups of one kind and the firm stand, and how they moved.

    Attributes
    ----------
    groups
        One row per group (the index), best margin first: customers, sales, net_margin, sales_before, net_margin_before (in the base),
        growth_share, net_margin_share (of gross sales), of_sales_share (of the firm's), all_growth_share, all_net_margin_share (of all
        groups together).
    firm
        The same of the firm, as far as it has them.
    """

    groups: Frame
    firm: pd.Series


def group_development(books: Books, period: Period, base: Period | None, by: str) -> Development:
    """Size, growth and margin of each group by an attribute, on a base period; growth is missing without sales in the base.

    Margins are set against the base's only where both periods have the same lines; else net_margin_before is missing.
    """
    now, before = _sales_and_margin(books, period, by), _sales_and_margin(books, base, by)
    if base and not books.alike(period, base):
        before["net_margin"] = np.nan
    together, earlier = (frame.drop(index="Firm", errors="ignore").sum().to_frame().T for frame in (now, before))
    rows, every = _with_ratios(now, before), _with_ratios(together, earlier).iloc[0]
    firm = rows.loc["Firm"]
    groups = rows.drop(index="Firm").astype({"customers": int})
    groups["of_sales_share"] = rows["sales"] / firm["sales"] if firm["sales"] > 0 else np.nan
    groups = groups.assign(**{f"all_{name}": every[name] for name in ("growth_share", "net_margin_share")})
    return Development(groups, firm)


def _sales_and_margin(books: Books, period: Period | None, by: str) -> Frame:
    """Customers, sales and net margin of each group and of the firm, as floats; no row without a period."""
    if period is None:
        return pd.DataFrame(columns=["customers", "sales", "net_margin"], dtype=float)
    report = group_profitability(books, period, by)
    columns = {"customers": "customers", "sales": "sales", books.statement_in(period).net_margin.id: "net_margin"}
    rows = pd.concat([report.groups, report.firm.to_frame().T])
    sums: Frame = rows[list(columns)].rename(columns=columns).astype(float).rename_axis("group")
    return sums


def _with_ratios(now: Frame, before: Frame) -> Frame:
    rows = now.join(before[["sales", "net_margin"]].add_suffix("_before"))
    growth = rows["sales"] / rows["sales_before"].where(rows["sales_before"] > 0) - 1
    margin_share = rows["net_margin"] / rows["sales"].where(rows["sales"] > 0)
    return rows.assign(growth_share=growth, net_margin_share=margin_share)


def market_verdicts(markets: Sequence[Market], groups: Frame, tolerance_share: float) -> Frame:
    """Whether the numbers bear out what the strategy wants of each market: its sales, its margin and how both moved.

    Parameters
    ----------
    groups
        As `Development.groups`, by attribute and group (the index).
    tolerance_share
        A fall of sales or margin up to this share still counts as held.

    Returns
    -------
    One row per market: attribute, group, stance, because, the columns of `groups` and verdict: supported, or the first that holds of
    what stands below.
    """
    wanted = [(m.by, m.group, m.stance, m.because) for m in markets]
    stands = pd.DataFrame(wanted, columns=["attribute", "group", "stance", "because"], dtype=object)
    stands = stands.merge(groups.reset_index(), how="left", on=["attribute", "group"])
    grow, hold, shrink = (stands["stance"] == stance for stance in ("grow", "hold", "shrink"))
    growth, margin, before = stands["growth_share"], stands["net_margin"], stands["net_margin_before"]
    keeps_more = stands["net_margin_share"] > stands["all_net_margin_share"].clip(lower=0)
    verdicts = {
        "open: nothing in the period": margin.isna(),
        "contradicted: loses money": ~shrink & (margin < 0),
        "contradicted: sales fall": grow & (growth < 0),
        "contradicted: keeps more of its sales than all": shrink & keeps_more,
        "open: no sales a year before": growth.isna(),
        "not followed: sales fall": hold & (growth < -tolerance_share),
        "not followed: margin falls": ~shrink & (margin < before - tolerance_share * before.abs()),
        "not followed: grows less than all": grow & (growth < stands["all_growth_share"]),
        "not followed: sales grow": shrink & (growth > 0),
        "open: the margin before is not comparable": ~shrink & before.isna(),
    }
    return stands.assign(verdict=np.select(list(verdicts.values()), list(verdicts), "supported"))


def goal_verdicts(goals: Sequence[Goal], groups: Frame, firm: pd.Series) -> Frame:
    """What was to be reached and what was: goal, measure, target, reached, verdict; `groups` and `firm` as in `market_verdicts`."""
    owners: dict[Any, Any] = {("", ""): firm, **dict(groups.iterrows())}
    rows = []
    for goal in goals:
        owner = owners.get((goal.by, goal.group) if goal.group else ("", ""), {})
        rows.append((goal.text, goal.measure, goal.target, owner.get(goal.measure)))
    reached = pd.DataFrame(rows, columns=["goal", "measure", "target", "reached"])
    reached = reached.astype({"target": float, "reached": float})
    verdict = (reached["reached"] >= reached["target"]).map({True: "reached", False: "missed"})
    told = reached[["target", "reached"]].notna().all(axis=1)
    return reached.assign(verdict=verdict.where(told, "cannot be told from these books"))
