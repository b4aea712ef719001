"""A business-to-business ledger with what real ones have: churn, growth, season, returns, new customers, regular and irregular buyers, a year's own luck.

Each customer orders by its own mean gap (from a week to half a year) and evenness (on the day, or as by chance), for amounts around its own size; it leaves
for good at its own rate, dies down before in some cases, and returns a part of some orders. All together grow, have a season, and good and bad years.
Five customers are planted, one of each state at the end of the known months (`PLANTED`). The months after are kept from the models.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from crmlib.forecasts import History
from crmlib.purchases import Orders

START = date(2022, 1, 1)
SEASON = np.array([0.85, 0.9, 1.05, 1.0, 1.0, 0.95, 0.8, 0.85, 1.1, 1.15, 1.2, 1.15])
# name: first day, mean gap, last day before the end of the known months, factor on the gap in the latest year
PLANTED = {
    "PLANTED-ACTIVE": (0, 14, 0, 1.0), "PLANTED-NEW": (-200, 14, 0, 1.0), "PLANTED-SLOWING": (0, 9, 0, 2.5),
    "PLANTED-SILENT": (0, 20, 120, 1.0), "PLANTED-LOST": (0, 9, 328, 1.0),
}  # fmt: skip
MONTH_DAYS = 365.25 / 12


class Generated(NamedTuple):
    """What the models may know, and what came in the year after by customer of `known`."""

    known: History
    later: np.ndarray


def generated(*, seed: int, months: int = 36, customers: int = 1_500, ahead: int = 12, costs: bool = True) -> Generated:
    """A ledger of so many months and the year after."""
    rng, days = np.random.default_rng(seed), (months + ahead) * MONTH_DAYS
    known_days = months * MONTH_DAYS
    lucks = np.exp(rng.normal(0, 0.06, months // 12 + 2))  # of calendar years
    size = rng.lognormal(6.5, 1.1, customers)
    gap = np.exp(rng.uniform(np.log(7), np.log(180), customers))
    shape = np.where(rng.random(customers) < 0.4, 12.0, 1.0)  # regular buyers, and irregular
    begin = np.where(rng.random(customers) < 0.6, -rng.uniform(0, 400, customers), rng.uniform(0, days, customers))
    life = rng.exponential(1 / rng.gamma(2, 0.12 / 365 / 2, customers))
    life = np.where(rng.random(customers) < 0.12, rng.uniform(0, 40, customers), life)  # tried us once
    fades = rng.random(customers) < 0.3
    trend = rng.normal(0.03, 0.12, customers) / 365
    ids = [f"C{i:05}" for i in range(customers)]
    for place, (name, (first, mean, silent, _)) in enumerate(PLANTED.items()):
        begin[place], gap[place], shape[place], trend[place] = (known_days + first if first < 0 else 5), mean, 40.0, 0.0
        end = known_days - silent if silent else days
        life[place], fades[place], size[place], ids[place] = end - begin[place], False, 800.0, name
    rows = [_orders_of(rng, (begin[i], gap[i], shape[i], life[i], fades[i], list(PLANTED.values())[i][3] if i < len(PLANTED) else 1.0), days, known_days)
            for i in range(customers)]  # fmt: skip
    who, day = np.repeat(np.arange(customers), list(map(len, rows))), np.concatenate(rows)
    month = np.minimum((day / MONTH_DAYS).astype(int), months + ahead - 1)
    # the season moves how much is bought, the luck of the year and the trend too
    value = (
        size[who]
        * rng.lognormal(-0.08, 0.4, len(who))
        * SEASON[month % 12]
        * lucks[month // 12]
        * np.exp(trend[who] * (day - days / 2))
    )
    return _history(rng, (who, day, month, value), ids, (months, ahead), costs)


def _orders_of(rng: np.random.Generator, habits: tuple[float, ...], days: float, known: float) -> np.ndarray:
    begin, gap, shape, life, fades, slower = habits
    at, found = begin, []
    while at < min(days, begin + life):
        if at >= 0:
            found.append(at)
        fading = 3.0 if fades and at > begin + life - 150 else 1.0
        late = slower if at > known - 365 else 1.0
        at += rng.gamma(shape, gap / shape) * fading * late + 1.0
    return np.array(found)


def _history(
    rng: np.random.Generator, orders: tuple[np.ndarray, ...], ids: list[str], span: tuple[int, int], costs: bool
) -> Generated:
    (who, day, month, value), (months, ahead) = orders, span
    shape = (len(ids), months + ahead)
    sales, contribution = np.zeros(shape), np.zeros(shape)
    share = rng.uniform(0.15, 0.5, len(ids)) if costs else np.ones(len(ids))
    served = rng.gamma(2, 30, len(ids)) if costs else np.zeros(len(ids))
    back = np.where(rng.random(len(who)) < 0.04, rng.uniform(0.2, 1, len(who)), 0.0) * value
    np.add.at(sales, (who, month), value)
    np.add.at(contribution, (who, month), value * share[who] - served[who])
    np.add.at(contribution, (who, np.minimum(month + 1, months + ahead - 1)), -back * share[who])
    begun = int(np.datetime64(START, "D").astype(int))
    whole = History(np.array(ids, dtype=object), START, contribution, np.zeros(shape), sales,
                    Orders(who, np.floor(day).astype(int) + begun, value), np.ones(12), can_lose=costs)  # fmt: skip
    known = whole.until(months)
    return Generated(known, whole.margin[whole.known_by(months), months:].sum(axis=1))
