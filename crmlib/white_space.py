"""White space: families of products of which a customer buys little or nothing while those who buy alike buy more, and how often it came true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crmlib.books.stored import Books, Frame, kept, sales_in_floats, shared
from crmlib.declared.periods import Period

FEWEST = 5  # customers in a group, below which its quartiles say nothing
QUARTILES = [0.25, 0.5, 0.75]
NEIGHBOURS = 10  # customers nearest in what they buy
LITTLE = 0.5  # of what the lower quarter of the neighbours spend on a family: less is white space
CLOSED = 0.5  # of the gap to the neighbours' median, from which white space counts as filled
MOST = 4_000  # customers by sales among whom white space is looked for
SPACES = ["customer_id", "item", "own", "low", "median", "high", "peers"]


@dataclass(frozen=True)
class Test:
    """White space named a year before and how much of it was filled since, beside naming the best-selling families as often."""

    named: int
    filled: int
    best_named: int
    best_filled: int

    @property
    def hit_share(self) -> float:
        """The share that was filled; missing where none was named."""
        return self.filled / self.named if self.named else float("nan")

    @property
    def best_share(self) -> float:
        """The same of the best-selling families."""
        return self.best_filled / self.best_named if self.best_named else float("nan")


@shared
def white_space(books: Books, period: Period) -> Frame:
    """Families of which a customer buys little or nothing, and those who buy alike otherwise buy more.

    The neighbours are the nearest by what they buy outside the family (cosine of the square roots of shares of sales by product); the
    customer spends on it less than `LITTLE` of what their lower quarter does.

    Returns
    -------
    One row per customer and family: customer_id, item (the family), own (its share of what the customer buys), low, median and high (quartiles
    of the neighbours' shares) and peers (the nearest who buy it, by name). Empty without families or with few customers.
    """
    from scipy.sparse import csr_array
    from sklearn.neighbors import NearestNeighbors

    bought, family = _bought(books, period)
    names, parts = books.customers.set_index("customer_id")["customer_name"], [pd.DataFrame(columns=SPACES)]
    for item, own in _family_shares(bought, family).items():
        others = bought.loc[:, (family != item).to_numpy()]
        others = others[others.sum(axis=1) > 0]
        if len(others) <= FEWEST:
            continue
        points = csr_array(np.sqrt(others.to_numpy()))  # of amounts as of shares: a cosine knows no length
        many = min(NEIGHBOURS, len(others) - 1)
        nearest = NearestNeighbors(n_neighbors=many, metric="cosine", algorithm="brute").fit(points)
        places, own = nearest.kneighbors(return_distance=False), own[others.index]
        low, median, high = np.quantile(own.to_numpy()[places], QUARTILES, axis=1)
        sizes = {"own": own.to_numpy(), "low": low, "median": median, "high": high}
        rows = pd.DataFrame({"customer_id": own.index, **sizes, "item": str(item)})
        rows = rows[rows["own"] < LITTLE * rows["low"]]
        near, named = places[rows.index], names.reindex(own.index).to_numpy()
        buying = own.to_numpy()[near] >= rows[["low"]].to_numpy()
        parts.append(rows.assign(peers=[", ".join(named[p[buys][:3]]) for p, buys in zip(near, buying, strict=True)]))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


@shared
def white_space_test(books: Books, period: Period) -> Test:
    """White space named a year before the period, held against the period; nothing where the books do not hold that year."""
    before = period.year_before()
    past = white_space(books, before) if books.comparable(before) else white_space(books, period).iloc[:0]
    if past.empty:
        return Test(0, 0, 0, 0)
    bought, family = _bought(books, before)
    of_all = _family_shares(bought.sum().to_frame().T, family).iloc[0]
    pairs = _family_shares(bought, family).stack().rename_axis(["customer_id", "item"])
    best = pd.DataFrame({"own": pairs}).reset_index().assign(median=lambda rows: rows["item"].map(of_all.to_dict()))
    best = best[best["own"] < LITTLE * best["median"]].sort_values(["median", "own"], ascending=[False, True])
    now: Any = _family_shares(*_bought(books, period)).stack()
    return Test(len(past), _filled(past, now), len(best[: len(past)]), _filled(best[: len(past)], now))


def _filled(named: Frame, now: pd.Series) -> int:
    """Of how many pairs of customer and family the gap closed by `CLOSED` or more."""
    later = now.reindex(pd.MultiIndex.from_frame(named[["customer_id", "item"]])).to_numpy()
    return int((later - named["own"] >= CLOSED * (named["median"] - named["own"])).sum())


@kept
def _bought(books: Books, period: Period) -> tuple[Frame, pd.Series]:
    """Sales of the largest customers by product (columns), and the family of each product; empty without families."""
    products, sales = books.table("products"), sales_in_floats(books, period)
    if products is None or sales is None or "product_family" not in products:
        return pd.DataFrame(), pd.Series(dtype=object)
    known = sales[sales["customer_id"].isin(books.customers["customer_id"])]
    spent = known.assign(gross_sales=known["gross_sales"].clip(lower=0))
    total = spent.groupby("customer_id")["gross_sales"].sum()
    largest = spent["customer_id"].isin(total[total > 0].nlargest(MOST).index)
    table = spent[largest].set_index(["customer_id", "product_id"])["gross_sales"].unstack(fill_value=0)
    family = pd.Series(table.columns, table.columns).map(products.set_index("product_id")["product_family"])
    return table, family.fillna("").astype(object)


def _family_shares(bought: Frame, family: pd.Series) -> Frame:
    """The share of each family in what each customer buys."""
    if bought.empty:
        return bought
    sums = bought.T.groupby(family.to_numpy()).sum().T.drop(columns="", errors="ignore")
    return sums.div(bought.sum(axis=1), axis=0)
