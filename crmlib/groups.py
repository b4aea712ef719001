"""Groups that customers form by how they buy, whatever the rules of the segments say, if they come back when customers are drawn anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crmlib.books.stored import Frame

BEHAVIOUR = ["sales", "growth_share", "margin_level_share", "cost_to_serve_share", "discount_share", "order_value",
             "active_months_share", "product_concentration_share"]  # by which groups are formed  # fmt: skip
SAMPLE = 4_000  # accounts that form the groups; all others are placed in them
STABLE = 0.75  # stability (`group_stability`) from which groups count as coming back
FEWEST = 5  # different accounts for each group, below which no number of groups is tried
BOOTSTRAPS = (10, 25)  # samples for a large ledger, for a small one
DRAWN = 100_000  # accounts drawn in all, between those two
MEGABYTES = 32  # of distances between accounts at a time


def behaviour_groups(customers: Frame, form: Callable[[int], Any], *, seed: int) -> tuple[Frame, pd.Series, pd.Series]:
    """The groups that those who bought form by how they buy, whatever the rules say, where they come back when customers are drawn anew.

    Each measure of `BEHAVIOUR` is ranked, what is missing stands in the middle. Of the numbers of groups that come back (`STABLE`) the one whose
    groups are farthest apart (silhouette; Rousseeuw 1987) is taken.

    Returns
    -------
    One row per group, the most profitable first: customers, net_margin (sum), and medians of the measures; each number of groups tried with its
    stability; and the group (its number) of each customer who bought. The first and the last are empty where no grouping comes back.
    """
    from sklearn import config_context
    from sklearn.metrics import silhouette_score

    buyers = customers.filter(["customer_id", "net_margin", *BEHAVIOUR])[customers["sales"] > 0]
    measured = [name for name in BEHAVIOUR if name in buyers and buyers[name].notna().any()]
    ranks = pd.DataFrame({name: buyers[name].rank(pct=True).fillna(0.5) for name in measured})
    sample = ranks.sample(min(len(ranks), SAMPLE), random_state=seed)
    # sums in one order: every run forms the same groups
    with threadpool_limits(1), config_context(working_memory=MEGABYTES):
        tried = group_stability(form, sample, seed=seed)
        apart = {n: silhouette_score(sample, form(n).fit_predict(sample)) for n in tried.index[tried >= STABLE]}
        count = max(apart, key=apart.__getitem__, default=0)
        labels = pd.Series(form(count).fit(sample).predict(ranks), buyers.index) if count else pd.Series(dtype=int)
    sums = {"customer_id": "size", "net_margin": "sum"} | dict.fromkeys(measured, "median")
    profile = buyers.loc[labels.index].groupby(labels).agg(sums).rename(columns={"customer_id": "customers"})
    profile = profile.sort_values("net_margin", ascending=False)
    names = pd.Series(range(1, len(profile) + 1), profile.index, dtype=int)
    return profile.set_axis([f"Group {n}" for n in names]).rename_axis("group"), tried, labels.map(names)


def group_stability(form: Callable[[int], Any], values: Frame, *, most: int = 8, seed: int) -> pd.Series:
    """How far the same groups come back when accounts are drawn anew, by number of groups from 2.

    Parameters
    ----------
    form
        Gives a model of scikit-learn for so many groups, such as ``partial(KMeans, n_init=5, random_state=0)``.
    values
        What accounts are grouped by; all are compared in each draw, so of many give a sample.

    Returns
    -------
    The mean adjusted Rand index (Hubert & Arabie 1985; 1: the same, 0: as by chance) between the groups of all and those of models fitted
    to bootstrap samples (Hennig 2007); empty with fewer than `FEWEST` different accounts a group.
    """
    from sklearn.metrics import adjusted_rand_score

    points, rng, indices = values.to_numpy(float), np.random.default_rng(seed), {}
    few, many = BOOTSTRAPS

    def labels(count: int, rows: Any) -> Any:
        return form(count).fit(points[rows]).predict(points)

    # one thread for each fit: sums are then made in one order, and every run gives the same
    with threadpool_limits(1), ThreadPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        for count in range(2, min(most, len(np.unique(points, axis=0)) // FEWEST) + 1):
            draws = rng.integers(0, len(points), (max(few, min(many, DRAWN // len(points))), len(points)))
            whole, *drawn = pool.map(functools.partial(labels, count), [slice(None), *draws])
            indices[count] = float(np.mean([adjusted_rand_score(whole, other) for other in drawn]))
    return pd.Series(indices, dtype=float, name="stability").rename_axis("groups")
