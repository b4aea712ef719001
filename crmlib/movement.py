"""What moved: a margin from one period to another, by line and by price, volume and mix."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, sales_of
from crmlib.declared.periods import Period
from crmlib.declared.statement import Statement
from crmlib.profitability import total

STEPS = ["label", "amount", "kind"]


def margin_bridge(compared: Frame, statement: Statement, *, until: str) -> Frame:
    """What each line did to a margin from one period to the other.

    Parameters
    ----------
    compared
        As `compare_periods`: the first column is the period, the second the base.
    until
        The subtotal at which the bridge ends.

    Returns
    -------
    Rows: the base, one step per line that both periods have (effect on the margin, signed), the period; none without a base.
    Columns: label, amount, kind.
    """
    if compared.shape[1] < 2:
        return pd.DataFrame(columns=STEPS)
    now, base = compared.columns[:2]
    both = compared[[now, base]].dropna()
    order = [line.id for line in statement.lines]
    above = [line for line in statement.leaves if line.id in both.index and order.index(line.id) < order.index(until)]
    steps = [(line.label, (both.at[line.id, now] - both.at[line.id, base]) * line.sign, "step") for line in above]
    start, end = (sum((both.at[line.id, c] * line.sign for line in above), Decimal(0)) for c in (base, now))
    return pd.DataFrame([(base, start, "total"), *steps, (now, end, "total")], columns=STEPS)


def over_twelve_months(months: Frame) -> Frame:
    """Sums of the twelve months to each month, so that the season does not show; empty where there are not two of them to compare."""
    sums = months.rolling(12).sum().dropna()
    return sums if len(sums) > 1 else sums.iloc[:0]


def price_volume_mix(books: Books, period: Period, base: Period | None) -> Frame:
    """What moved the gross contribution (gross sales less discount and cost of goods) from a base period.

    By product. Volume is growth at base prices; mix is what the shift between products did beyond it; price and cost are
    the changes on the quantities sold now; products without quantity in one of the periods are new or lost. The steps add
    up to the change exactly.

    Returns
    -------
    Rows base, volume, mix, price, cost, new products, lost products, other (no product or quantity), period; columns label,
    amount, kind. Empty without a base, or where the ledger has no products, quantities or cost.
    """
    before, now = (_by_product(books, p) for p in (base, period))
    if base is None or before is None or now is None:
        return pd.DataFrame(columns=STEPS)
    both = before.merge(now, how="outer", left_index=True, right_index=True, suffixes=("_0", "_1")).fillna(Decimal(0))
    bought = (both["quantity_0"] > 0) & (both.index != "")
    sold = (both["quantity_1"] > 0) & (both.index != "")
    kept = both[bought & sold]
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
    return pd.DataFrame(
        [(base.label, start, "total"), *rows, (period.label, end, "total")], columns=["label", "amount", "kind"]
    )


def _by_product(books: Books, period: Period | None) -> Frame | None:
    sales = sales_of(books, period) if period else None
    if sales is None or not {"quantity", "cost_of_goods"} <= set(sales):
        return None
    net = sales["gross_sales"] - sales.get("discount", Decimal(0))
    return sales.assign(net=net, cost=sales["cost_of_goods"]).groupby("product_id")[["quantity", "net", "cost"]].sum()
