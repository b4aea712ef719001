"""Accounts, for which decisions are made: customers or whole families, and what the books say of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crmlib.books.ledger import identifier, quoted
from crmlib.books.stored import Books, Frame
from crmlib.declared.periods import Period

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
    heads = (named[named.index.isin(account)] if together else named).rename_axis("account_id").sort_index()
    sums = _sums(books, period, heads.index, account if together else None)
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


def _sums(books: Books, period: Period, heads: pd.Index, account: pd.Series | None) -> Frame:
    """Amounts of each account in the period and a year before, summed exactly by DuckDB and then floats; `account` where families stand together."""
    import duckdb

    statement, base = books.statement_in(period), period.year_before()
    leaves = [line for line in statement.leaves if not line.is_pool]
    goods = [line.id for line in leaves if line.is_goods]
    kinds = {
        "sales": ["sales"], "goods": goods, "deductions": [li.id for li in leaves if li.is_trade and not li.is_revenue],
        "served": [li.id for li in leaves if li.is_served],
    }  # fmt: skip
    kinds["net_margin"] = [li.id for li in leaves]
    key = {"cube": ("owner", "", "*"), "sales": ("customer_id", "")} if account is None else FAMILY
    with duckdb.connect() as con:
        if account is not None:
            con.register("members", account.rename_axis("customer_id").reset_index().astype("str"))
        cube = f"read_parquet({quoted(books.cache / 'cube.parquet')})"
        if any(row[0] == "driver_orders" for row in con.execute(f"DESCRIBE SELECT * FROM {cube}").fetchall()):
            kinds["orders"] = ["driver_orders"]
        cost = {li.id for li in leaves if li.sign < 0}
        parts = [
            f"coalesce(sum({' '.join(('-' if kind == 'net_margin' and i in cost else '+') + identifier(i) for i in ids)}), 0)"
            f"::DOUBLE AS {kind}" for kind, ids in kinds.items() if ids
        ]  # fmt: skip
        now = {"start": period.start, "end": period.end}
        dates = {**now, "base": base.start, "base_end": base.end, "months": period.months}
        queries: list[tuple[str, dict[str, Any]]] = [
            (SUMS.format(parts=", ".join(parts), cube=cube, key=key["cube"]), dates)
        ]
        if (path := books.cache / "sales.parquet").exists():
            queries.append((BREADTH.format(path=quoted(path), key=key["sales"]), now))
        made = []
        for begin in range(0, len(heads), AT_A_TIME):
            some = heads[begin : begin + AT_A_TIME]
            con.register("heads", pd.DataFrame({"account_id": some.astype("str"), "place": np.arange(len(some))}))
            reach = {"first": some[0], "last": some[-1]}
            found = [con.execute(query, given | reach).df().set_index("place") for query, given in queries]
            made.append(pd.concat(found, axis=1).sort_index().set_axis(some))
    return pd.concat(made)


AT_A_TIME = 250_000  # accounts, sorted; a million take less than 1 GB
FAMILY = {
    "cube": ("m.account_id", "JOIN members m ON c.owner = m.customer_id", "DISTINCT month"),
    "sales": ("m.account_id", "JOIN members m USING (customer_id)"),
}
SUMS = """
WITH rows AS NOT MATERIALIZED (SELECT {key[0]} AS account_id, c.* FROM {cube} c {key[1]} WHERE c.level = 'customer' AND c.month < $end
              AND {key[0]} BETWEEN $first AND $last),
before AS (SELECT account_id, min(month) FILTER (sales > 0) AS began, sum(sales) FILTER (month >= $base AND month < $base_end) AS base
           FROM rows GROUP BY account_id)
SELECT place, {parts}, coalesce(any_value(base), 0)::DOUBLE AS year_before,
       count({key[2]}) FILTER (sales > 0)::DOUBLE AS active_months,
       coalesce(sum(sales) FILTER (month - INTERVAL 12 MONTH >= began), 0)::DOUBLE AS same_months,
       greatest(0, $months - greatest(0, datediff('month', $base, any_value(began))))::DOUBLE AS comparable_months
FROM (FROM heads LEFT JOIN before USING (account_id)) LEFT JOIN (FROM rows WHERE month >= $start) USING (account_id) GROUP BY place
"""
BREADTH = """
SELECT place, max(bought)::DOUBLE / sum(bought)::DOUBLE AS product_concentration_share
FROM (SELECT {key[0]} AS account_id, product_id, sum(s.gross_sales) AS bought FROM read_parquet({path}) s {key[1]}
      WHERE s.month >= $start AND s.month < $end AND {key[0]} BETWEEN $first AND $last GROUP BY ALL HAVING bought > 0) JOIN heads USING (account_id) GROUP BY place
"""


def rank_share(values: pd.Series, among: pd.Series) -> pd.Series:
    """Place of each value among those chosen, 0 (lowest) to 1, ties in the middle; alone it is 0.5, else missing."""
    ranks = values.where(among).rank()
    count = int(ranks.notna().sum())
    return (ranks - 1) / (count - 1) if count > 1 else ranks * 0.5
