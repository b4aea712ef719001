"""The measures of customer profitability: revenues minus avoidable costs, by customer, group and period.

Amounts are Decimals, positive for what their column says; margins carry their sign. A share of a total that is zero or
negative is no number and comes as None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from pathlib import Path

import pandas as pd

from crmlib.books import Books, Frame, plain
from crmlib.engagement import Period, SettingsError
from crmlib.statement import Statement


# --- reading the cube ------------------------------------------------------------------------------------------------


def read_cube(books: Books, period: Period) -> Frame:
    """Rows of the cube in a period, those of the firm included (level 'firm'); amounts a row does not have are zero."""
    parts = [_filtered(books.cache / f"{name}.parquet", period) for name in ("cube", "firm")]
    frame = pd.concat([p for p in parts if p is not None], ignore_index=True)
    amounts = [c for c in frame.columns if c not in {"level", "owner", "month"}]
    return frame.fillna(dict.fromkeys(amounts, Decimal(0)))


def _filtered(path: Path, period: Period) -> Frame | None:
    if not path.exists():
        return None
    return plain(pd.read_parquet(path, filters=[("month", ">=", period.start), ("month", "<", period.end)]))


def owner_totals(books: Books, period: Period) -> Frame:
    """One row per level and owner: every amount of the cube summed over a period."""
    import pyarrow.parquet as pq

    months = [("month", ">=", period.start), ("month", "<", period.end)]
    frames = []
    for path in (books.cache / "cube.parquet", books.cache / "firm.parquet"):
        if path.exists():
            table = pq.read_table(path, filters=months)
            amounts = [c for c in table.column_names if c not in {"level", "owner", "month"}]
            summed = table.group_by(["level", "owner"]).aggregate([(c, "sum") for c in amounts])
            frames.append(summed.rename_columns({f"{c}_sum": c for c in amounts}).to_pandas())
    frame = plain(pd.concat(frames, ignore_index=True))
    amounts = [c for c in frame.columns if c not in {"level", "owner"}]
    return frame.fillna(dict.fromkeys(amounts, Decimal(0)))


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
    named = named.fillna(dict.fromkeys(books.customers.columns, ""))
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
    named = _group_of(books, totals, by)
    leaves = [line.id for line in statement.leaves]
    rows = totals.assign(group=named, _own=_own_costs(totals, statement)).groupby("group", sort=False)
    summed = rows[[*leaves, "_own"]].sum().reset_index()
    counts = totals[totals["level"] == "customer"].assign(group=named)["group"].value_counts()
    summed.insert(1, "customers", summed["group"].map(counts).fillna(0).astype(int))
    firm = summed[leaves].sum().to_frame().T.assign(group="Firm", customers=int(counts.sum()), _own=summed["_own"].sum())
    filled = pd.concat([summed[summed["group"] != "Firm"], firm[summed.columns]], ignore_index=True)
    lines = statement.with_subtotals(filled.rename(columns={"_own": "own_costs"}), firm=True)
    last = {"Unassigned": 1, "Other owners": 2, "Firm": 3}
    lines = lines.assign(_last=lines["group"].map(last).fillna(0)).sort_values(
        ["_last", statement.net_margin.id], ascending=[True, False], kind="stable"
    )
    pool = [li.id for li in statement.firm_lines if li.cls == "pool" or li.firm_only]
    lines[pool] = lines[pool].astype(object).where(lines["group"] == "Firm", None)
    return lines.drop(columns="_last").rename(columns={"group": by}).reset_index(drop=True)


def _group_of(books: Books, totals: Frame, by: str) -> pd.Series:
    """Each owner's group; the firm's own rows and what cannot be placed have names of their own."""
    if by not in books.customers.columns:
        raise SettingsError(f"customers have no column {by!r}; there are {', '.join(books.customers.columns)}")
    groups = books.customers.set_index("customer_id")[by]
    level, own_level = totals["level"], by.removesuffix("_id")
    named = totals["owner"].map(groups).where(level == "customer", totals["owner"].where(level == own_level, "Other owners"))
    return named.replace("", "(none given)").mask(level == "unassigned", "Unassigned").mask(level == "firm", "Firm")


def _own_costs(totals: Frame, statement: Statement) -> pd.Series:
    booked = [line.id for line in statement.leaves if line.cls != "pool"]
    grouped = ~totals["level"].isin(["customer", "unassigned", "firm"])
    return totals[booked].sum(axis=1).where(grouped, Decimal(0))


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
    return pd.DataFrame(columns).reindex([li.id for li in books.statement.firm_lines]).astype(object).where(lambda t: t.notna(), None)
