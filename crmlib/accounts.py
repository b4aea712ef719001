"""Accounts, for which decisions are made: customers or whole families, and what the books say of each."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from crmlib.books.stored import Books, Frame, summed_by_account
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, did_you_mean

COMPARABLE_MONTHS_SHARE = 0.5  # of a period; with fewer of them growth is no number


def accounts(books: Books, *, together: bool) -> pd.Series:
    """By customer_id: the account that decisions are made for; the topmost parent where families stand together."""
    ids = books.customers["customer_id"]
    account = pd.Series(ids.to_numpy(), index=ids.to_numpy(), dtype=object, name="account_id")
    if together and "parent_id" in books.customers:
        above = pd.Series(books.customers["parent_id"].to_numpy(), index=ids.to_numpy(), dtype=object)
        above = above[above != ""]
        for _ in range(10):  # parents of parents; a circle ends here
            account = account.map(above).where(lambda head: head.notna(), account)
    return account


def measures(books: Books, period: Period, *, together: bool = False) -> Frame:
    """What the books say of each account: index account_id, its name, the customers' attributes and `MEASURES`.

    Growth compares the months since a year after the first purchase, and is missing where these are fewer than half of
    the period. Shares of sales are missing without sales. Sums are exact, then floats, since only ranks are made of them.
    """
    account, named = accounts(books, together=together), books.customers.set_index("customer_id")
    heads = named[named.index.isin(account)].rename_axis("account_id").sort_index()
    sums = _sums(books, period, account).reindex(heads.index)
    sales = sums["sales"].where(sums["sales"] > 0)
    growth = (sums["same_months"] / sums["year_before"].where(sums["year_before"] > 0) - 1).where(
        sums["comparable_months"] >= COMPARABLE_MONTHS_SHARE * period.months
    )
    orders = sums["orders"].where(sums["orders"] > 0) if "orders" in sums else None
    since = (
        pd.to_datetime(named["customer_since"], errors="coerce").groupby(account).min()
        if "customer_since" in named
        else None
    )
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
            near = did_you_mean(wanted, list(known.index))
            raise SettingsError(
                f"customer_id {wanted!r} has nothing in this period, or is no customer of the ledger{near}"
            )
        return wanted
    among = known[known.index.isin(list(keys))] if known.index.isin(list(keys)).any() else known
    return str(among[margin].astype(float).idxmax())


def service_levels(books: Books, period: Period) -> Frame:
    """The service given to each customer in a period, beside what was agreed.

    Returns
    -------
    One row per customer_id and measure: given_share, agreed_share (missing where nothing was), months, months_below (what was agreed), and
    all_share (of all customers). Empty without the table of service.
    """
    names = ["customer_id", "measure", "given_share", "agreed_share", "months", "months_below", "all_share"]
    table = books.table("service_levels")
    rows = pd.DataFrame(columns=[*names, "month"]) if table is None else table
    rows = rows[(rows["month"] >= period.start) & (rows["month"] < period.end) & (rows.get("denominator", 0) > 0)]
    if rows.empty:
        return pd.DataFrame(columns=names)
    rows = rows.assign(agreed=rows["agreed"].astype(float) if "agreed" in rows else float("nan"))
    rows = rows.astype({"numerator": float, "denominator": float})
    rows = rows.assign(
        below=rows["numerator"] < rows["agreed"] * rows["denominator"],
        agreed_weight=rows["agreed"] * rows["denominator"],
    )
    by = rows.groupby(["customer_id", "measure"])
    sums, whole = (
        by[["numerator", "denominator", "below"]].sum(),
        rows.groupby("measure")[["numerator", "denominator"]].sum(),
    )
    given = pd.DataFrame({
        "given_share": sums["numerator"] / sums["denominator"], "agreed_share": by["agreed_weight"].sum(min_count=1) / sums["denominator"],
        "months": by.size(), "months_below": sums["below"].astype(int),
    }).reset_index()  # fmt: skip
    return given.assign(all_share=given["measure"].map(whole["numerator"] / whole["denominator"]))


def rank_share(values: pd.Series, among: pd.Series) -> pd.Series:
    """Place of each value among those chosen, 0 (lowest) to 1, ties in the middle; alone it is 0.5, else missing."""
    ranks = values.where(among).rank()
    count = int(ranks.notna().sum())
    return (ranks - 1) / (count - 1) if count > 1 else ranks * 0.5
