"""Groups the data forms: they come back where there are kinds, and are none where there are not."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from crmlib import groups


def kinds(count: int, seed: int = 0) -> pd.DataFrame:
    """Accounts of three kinds, far apart in four measures, each ranked from 0 to 1."""
    rng = np.random.default_rng(seed)
    kind = np.arange(count) % 3
    columns = {f"m{i}": (kind + 0.15 * rng.normal(size=count)) * sign for i, sign in enumerate((1, -1, 1, 1))}
    return pd.DataFrame(columns).rank(pct=True)


FORMS = {
    "k-means": partial(KMeans, n_init=5, random_state=0),
    "gaussian mixture": partial(GaussianMixture, random_state=0),
}


@pytest.mark.parametrize("method", FORMS)
def test_three_kinds_come_back_when_customers_are_drawn_anew_better_than_four(method: str) -> None:
    stability = groups.group_stability(FORMS[method], kinds(300), most=5, seed=0)
    assert stability.index.tolist() == [2, 3, 4, 5]
    assert stability[3] > 0.95 > 0.85 > stability[[4, 5]].max()
    assert stability.equals(groups.group_stability(FORMS[method], kinds(300), most=5, seed=0))


def test_three_kinds_of_buyers_form_three_groups_the_most_profitable_first() -> None:
    kind = np.arange(90) % 3
    customers = (
        kinds(90).set_axis(groups.BEHAVIOUR[1:5], axis=1).assign(customer_id=range(90), sales=1.0, net_margin=kind)
    )
    none = customers.iloc[[0]].assign(customer_id=90, sales=0.0, net_margin=-9)
    formed, tried, members = groups.behaviour_groups(
        pd.concat([none, customers], ignore_index=True), FORMS["k-means"], seed=0
    )
    assert formed[["customers", "net_margin"]].to_dict("index") == {
        f"Group {n}": {"customers": 30, "net_margin": 30 * (3 - n)} for n in (1, 2, 3)
    }
    assert members.tolist() == (3 - kind).tolist()
    assert tried.idxmax() == 3


def test_customers_without_kinds_form_no_groups_that_come_back() -> None:
    alike = pd.DataFrame(np.random.default_rng(0).random((200, 4)), columns=groups.BEHAVIOUR[1:5])
    customers = alike.assign(customer_id=range(200), sales=1.0, net_margin=1.0)
    formed, tried, members = groups.behaviour_groups(customers, FORMS["k-means"], seed=0)
    assert (len(formed), tried.max() < groups.STABLE, len(members)) == (0, True, 0)


def test_a_number_of_groups_needs_five_different_customers_for_each() -> None:
    assert groups.group_stability(FORMS["k-means"], kinds(9), seed=0).empty
    assert groups.group_stability(FORMS["k-means"], pd.DataFrame(np.ones((90, 2))), seed=0).empty
    assert groups.group_stability(FORMS["k-means"], kinds(15), seed=0).index.tolist() == [2, 3]


def test_the_groups_of_ten_thousand_customers_are_tested_in_seconds() -> None:
    begun = time.process_time()
    assert groups.group_stability(FORMS["k-means"], kinds(10_000), most=4, seed=0)[3] > 0.95
    assert time.process_time() - begun < 5
