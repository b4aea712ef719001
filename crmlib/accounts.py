"""Accounts, for which decisions are made: customers or whole families, and what the books say of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from crmlib.books.stored import Books, Frame, months_of, summed_by_account
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, did_you_mean

COMPARABLE_MONTHS_SHARE = 0.5  # of a period; with fewer of them growth is no number
YEAR = 12  # months
LEDGER_DIGITS = 4  # of money: a sum of floats is rounded to them, so that equal amounts are equal


def accounts(books: Books, *, together: bool) -> pd.Series:
    """By customer_id: the account that decisions are made for; the topmost parent where families stand together."""
    ids = pd.Index(books.customers["customer_id"], dtype=object)  # as Python's text: nothing need be converted
    account = pd.Series(ids, index=ids, dtype=object, name="account_id")
    if together and "parent_id" in books.customers:
        above = pd.Series(books.customers["parent_id"].to_numpy(), index=ids, dtype=object)
        above = above[above != ""]
        for _ in range(10):  # parents of parents; a circle ends here
            account = account.map(above).where(lambda head: head.notna(), account)
    return account


def places(books: Books, *, together: bool) -> tuple[pd.Index, np.ndarray]:
    """The accounts, and of each customer the place of its account among them."""
    account = accounts(books, together=together)
    heads = pd.Index(account.unique(), dtype=object, name="account_id")
    return heads, heads.get_indexer(pd.Index(account, dtype=object)) if together else np.arange(len(account))


def monthly(
    books: Books, period: Period, kinds: Mapping[str, Mapping[str, int]], place: np.ndarray, rows: int
) -> dict[str, np.ndarray]:
    """Sums of lines (as `stored.months_of`) by account and month, from the start of the books to the end of a period."""
    until = Period(books.engagement.coverage.start, period.end)
    sums = months_of(books, until, books.customers["customer_id"].tolist(), kinds)
    if rows == len(place):
        return sums
    totals = {kind: np.zeros((rows, until.months)) for kind in kinds}
    for kind, total in totals.items():
        np.add.at(total, place, sums[kind])
    return totals


def measures(books: Books, period: Period, *, together: bool = False) -> Frame:
    """What the books say of each account: index account_id, its name, the customers' attributes and `MEASURES`.

    Growth compares the months since a year after the first purchase, and is missing where these are fewer than half of
    the period. Shares of sales are missing without sales. Sums are exact, then floats, since only ranks are made of them.
    """
    account = accounts(books, together=together)
    named = books.customers.drop(columns="customer_id").set_index(account.index)
    heads = named[account.index.isin(account)] if together else named
    heads = heads.rename_axis("account_id").sort_index()
    sums = _sums(books, period, account).join(_months(books, period, together=together)).reindex(heads.index)
    sales = sums["sales"].where(sums["sales"] > 0)
    growth = sums["same_months"] / sums["year_before"].where(sums["year_before"] > 0) - 1
    growth = growth.where(sums["comparable_months"] >= COMPARABLE_MONTHS_SHARE * period.months)
    orders = sums["orders"].where(sums["orders"] > 0) if "orders" in sums else None
    since = named.get("customer_since")
    since = None if since is None else pd.to_datetime(since, errors="coerce").groupby(account).min()
    made = {
        "sales": sums["sales"], "net_margin": sums["net_margin"], "growth_share": growth if books.comparable(period.year_before()) else None,
        "margin_level_share": (sums["sales"] - sums.get("deductions", 0) - sums["goods"]) / sales if "goods" in sums else None,
        "net_margin_share": sums["net_margin"] / sales, "cost_to_serve_share": sums["served"] / sales if "served" in sums else None,
        "discount_share": sums["deductions"] / sales if "deductions" in sums else None, "orders": orders,
        "order_value": sales / orders if orders is not None else None, "active_months_share": sums["active_months"] / period.months,
        "product_concentration_share": sums.get("product_concentration_share"),
        "tenure_years": None if since is None else (pd.Timestamp(period.end) - since).dt.days / 365.25,
    }  # fmt: skip
    return heads.assign(**{name: values for name, values in made.items() if values is not None})


def _sums(books: Books, period: Period, account: pd.Series) -> Frame:
    leaves = [line for line in books.statement_in(period).leaves if not line.is_pool]
    columns = {
        "sales": [line.id for line in leaves if line.is_revenue],
        "goods": [line.id for line in leaves if line.is_goods],
        "deductions": [line.id for line in leaves if line.is_trade and not line.is_revenue],
        "served": [line.id for line in leaves if line.is_served],
        "orders": ["orders"],
    }
    kinds = {kind: dict.fromkeys(ids, 1) for kind, ids in columns.items()}
    return summed_by_account(books, period, account, {**kinds, "net_margin": {line.id: line.sign for line in leaves}})


def _months(books: Books, period: Period, *, together: bool) -> Frame:
    """By account: active_months of the period, sales of the year_before, same_months (sales of the months since a year after the first purchase), comparable_months."""
    heads, place = places(books, together=together)
    revenue = {line.id: 1 for line in books.statement.leaves if line.is_revenue}
    sales = monthly(books, period, {"sales": revenue}, place, len(heads))["sales"]
    first, bought = sales.shape[1] - period.months, sales > 0
    last = first - YEAR + period.months  # after the same months of the year before
    begun = np.where(bought.any(axis=1), bought.argmax(axis=1), sales.shape[1])
    since = np.arange(first, sales.shape[1]) - YEAR >= begun[:, None]
    return pd.DataFrame({
        "year_before": sales[:, max(first - YEAR, 0) : max(last, 0)].sum(axis=1).round(LEDGER_DIGITS),
        "same_months": np.einsum("ij,ij->i", sales[:, first:], since).round(LEDGER_DIGITS),
        "active_months": bought[:, first:].sum(axis=1), "comparable_months": np.clip(last - begun, 0, period.months),
    }, index=heads, dtype=float)  # fmt: skip


def chosen_account(report: Frame, wanted: str, keys: Collection[str], margin: str) -> str:
    """The customer wanted of a report by customer; where none is, the most profitable of the keys, else of all.

    Raises
    ------
    SettingsError
        It is no customer of this report; names the nearest.
    """
    known = report.loc[report["customer_id"] != ""].set_index("customer_id")
    if wanted:
        if wanted not in known.index:
            why = "has nothing in this period, or is no customer of the ledger"
            raise SettingsError(f"customer_id {wanted!r} {why}{did_you_mean(wanted, list(known.index))}")
        return wanted
    is_key = known.index.isin(list(keys))
    return str(known[is_key | ~is_key.any()][margin].astype(float).idxmax())


def service_levels(books: Books, period: Period) -> Frame:
    """The service given to each customer in a period, beside what was agreed.

    Returns
    -------
    One row per customer_id and measure: given_share, agreed_share (missing where nothing was), months, months_below (what was agreed), and
    all_share (of all customers). Empty without the table of service.
    """
    names = ["customer_id", "measure", "given_share", "agreed_share", "months", "months_below", "all_share"]
    table = books.table("service_levels")
    rows = pd.DataFrame(columns=[*names, "month", "denominator"]) if table is None else period.rows(table)
    rows = rows[rows["denominator"] > 0]
    if rows.empty:
        return pd.DataFrame(columns=names)
    agreed = rows["agreed"].astype(float) if "agreed" in rows else float("nan")
    rows = rows.astype({"numerator": float, "denominator": float})
    rows["agreed"] = agreed * rows["denominator"]
    rows["below"] = rows["numerator"] < rows["agreed"]
    by = rows.groupby(["customer_id", "measure"])
    sums = by[["numerator", "denominator", "below"]].sum()
    whole = rows.groupby("measure")[["numerator", "denominator"]].sum()
    given = pd.DataFrame({
        "given_share": sums["numerator"] / sums["denominator"], "agreed_share": by["agreed"].sum(min_count=1) / sums["denominator"],
        "months": by.size(), "months_below": sums["below"].astype(int),
    }).reset_index()  # fmt: skip
    return given.assign(all_share=given["measure"].map(whole["numerator"] / whole["denominator"]))


def rank_share(values: pd.Series, among: pd.Series) -> pd.Series:
    """Place of each value among those chosen, 0 (lowest) to 1, ties in the middle; alone it is 0.5, else missing."""
    ranks = values.where(among).rank()
    count = int(ranks.notna().sum())
    return (ranks - 1) / (count - 1) if count > 1 else ranks * 0.5
