"""What each customer did month by month and on which days it ordered, and the models that carry it forward.

A model takes a history, and one to learn from, and gives the expected margin of the next twelve months, by customer, in the engagement's
currency, not discounted. The two simple ones are what a manager would do: last year again, and one's own rate times one factor learnt earlier.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crmlib import purchases
from crmlib.books.stored import Books, Frame, months_of, order_days
from crmlib.declared.judgement import Rules, States
from crmlib.declared.periods import Period, add_months
from crmlib.purchases import TINY, Array, Orders, Purchases, order_size_level
from crmlib.states import YEAR_DAYS, known_since, state_table

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor


YEAR, APART = 12, 3  # months: of a forecast; between two origins
OPENING = 6  # first months of a customer, whose mean is the level that smoothing begins with; months of books before the first origin
# weights of level and of trend, and what is left of the trend a month later; the first where none is learnt
SMOOTHING = [
    (0.1, 0.0, 0.9), (0.05, 0.0, 0.9), (0.2, 0.0, 0.9), (0.4, 0.0, 0.9), (0.1, 0.1, 0.9), (0.2, 0.1, 0.9), (0.1, 0.2, 0.98), (0.3, 0.2, 0.98),
]  # fmt: skip
# of a customer's gaps (gamma): from far more uneven than by chance to nearly even; beyond, few gaps prove nothing
SHAPES = (0.2, 20.0)
TAUGHT = 200  # customers of whom trees can learn; of fewer they only learn the noise
# the median, so that a few large customers do not lead the trees; what that misses of the total is corrected with the rest
TREES = {
    "loss": "quantile", "quantile": 0.5, "max_iter": 80, "learning_rate": 0.06, "max_leaf_nodes": 12, "min_samples_leaf": 30,
    "l2_regularization": 1.0,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class History:
    """What each customer did, month of invoice by month: one row per customer, one column per month from `start`; and its order days.

    `contribution` is after variable cost, `assignable` the cost kept for this customer (salaries, promotion, assets …), `sales` gross,
    all in the engagement's currency; `orders` are by order date, and may begin before `start`. `season` has twelve indices, January
    first: the calendar month's total sales over the average month; `terms` say from when a customer is silent; `since` is the day since which
    each is a customer, where the ledger says; without any cost in the books nobody `can_lose`.
    """

    customer_ids: Array
    start: date
    contribution: Array
    assignable: Array
    sales: Array
    orders: Orders
    season: Array
    terms: States = field(default_factory=States)
    since: Array | None = None
    can_lose: bool = True

    @property
    def months(self) -> int:
        """Months of history."""
        return int(self.sales.shape[1])

    @functools.cached_property
    def rhythm(self) -> Frame:
        """How each customer orders and its state (see `states.state_table`), as of the last day."""
        return state_table(self.orders, self.sales / self.indices(0, self.months), self.start, self.terms, self.since)

    def day(self, months: int) -> int:
        """The first day after so many months."""
        return int(np.datetime64(add_months(self.start, months), "D").astype(int))

    def days(self, months: int) -> int:
        """Days of the next months."""
        return self.day(self.months + months) - self.day(self.months)

    @property
    def margin(self) -> Array:
        """Contribution less assignable cost."""
        return np.asarray(self.contribution - self.assignable)

    @property
    def begin(self) -> Array:
        """By customer: number of the first month with any margin."""
        return np.asarray((self.margin != 0).argmax(axis=1))

    def of(self, chosen: Array, months: int | None = None) -> History:
        """Some of the customers, and the first months only; the season of all, as it was known."""
        parts = {name: getattr(self, name)[chosen][:, :months] for name in ("contribution", "assignable", "sales")}
        ids, place = self.customer_ids[chosen], np.full(len(self.customer_ids), -1)
        place[chosen] = np.arange(len(ids))
        parts["since"] = None if self.since is None else self.since[chosen]
        return replace(self, customer_ids=ids, orders=self.orders.of(place, self.day(months or self.months)), **parts)

    def drawn(self, most: int, seed: int) -> History:
        """So many of the customers, each once, drawn at random; all where there are no more."""
        size = len(self.customer_ids)
        return self if size <= most else self.of(np.sort(np.random.default_rng(seed).choice(size, most, replace=False)))

    def known_by(self, months: int) -> Array:
        """Who was a customer within the first months."""
        return np.asarray(((self.margin[:, :months] != 0) | (self.sales[:, :months] > 0)).any(axis=1))

    def until(self, months: int) -> History:
        """The first months only, of those who were customers by then, with the season as it was known then."""
        season = purchases.seasonal_indices(self.sales[:, :months].sum(axis=0), self.start.month)
        known = self.known_by(months)
        whole = known.all() and months == self.months  # of a million customers a copy would be half of the memory
        return replace(self if whole else self.of(known, months), season=season)

    @functools.cached_property
    def bg_nbd(self) -> purchases.BgNbd:
        """The model fitted to these customers, once."""
        return purchases.fit_bg_nbd(buying(self)[1])

    @functools.cached_property
    def pareto_nbd(self) -> purchases.ParetoNbd:
        """The model fitted to these customers by the size of their orders, once."""
        _, orders, size = buying(self)
        return purchases.fit_pareto_nbd(orders, order_size_level(size))

    @functools.cached_property
    def leaving(self) -> tuple[float, float]:
        """The share of customers that leave in a year: of those who had ordered once, and more often, a year before or in the middle of the books."""
        origin = max(self.months - YEAR, self.months // 2)
        day, end = self.day(origin), self.day(self.months)
        orders, size = self.orders, len(self.customer_ids)
        spans = ((orders.day < day), (orders.day >= day), (orders.day < day) & (orders.day >= day - YEAR_DAYS))
        before, after, lately = (np.bincount(orders.customer[span], minlength=size) for span in spans)
        shares = []
        for group in ((lately > 0) & (before == 1), (lately > 0) & (before > 1)):
            # as if one of two more had stayed: few say little
            stayed = ((after[group] > 0).sum() + 1) / (group.sum() + 2)
            shares.append(float(1 - stayed ** (YEAR_DAYS / (end - day))))
        return shares[0], shares[1]

    @functools.cached_property
    def smoothing(self) -> tuple[float, float, float]:
        """The weights that would have served best a year before."""
        if not (learnt := _earlier(self)):
            return SMOOTHING[0]
        before, actual = learnt
        errors = [np.square(_smoothed(before, tried) - _assignable(before) - actual).sum() for tried in SMOOTHING]
        return SMOOTHING[int(np.argmin(errors))]

    @functools.cached_property
    def trees(self) -> HistGradientBoostingRegressor | None:
        """What trees learn from earlier origins of these customers; None with fewer than `TAUGHT`."""
        return _grown(self)

    def indices(self, first: int, last: int) -> Array:
        """The season's index of months by number, from the first to before the last."""
        return np.asarray(self.season[(self.start.month - 1 + np.arange(first, last)) % 12])


def history(books: Books, period: Period | None = None) -> History:
    """Every customer's months from the start of the books to the end of a period (default: of the coverage)."""
    coverage = books.engagement.coverage
    until = Period(coverage.start, period.end if period else coverage.end)
    leaves, customers = books.statement.leaves, books.customers["customer_id"].tolist()
    kinds = {
        "sales": {line.id: 1 for line in leaves if line.is_revenue},
        "contribution": {line.id: line.sign for line in leaves if not (line.is_assignable or line.is_pool)},
        "assignable": {line.id: -line.sign for line in leaves if line.is_assignable},
    }
    rules = books.engagement.judgement("segments.yml", Rules)
    every = History(
        np.array(customers, dtype=object), coverage.start, **months_of(books, until, customers, kinds),
        orders=Orders(*order_days(books, customers, until.end)), season=np.ones(YEAR), terms=rules.states,
        since=known_since(books, np.arange(len(customers)), len(customers)), can_lose=books.statement.has_costs,
    )  # fmt: skip
    return every.until(every.months)


def last_year_again(past: History, known: History) -> Array:
    """What each customer brought in the last twelve months, as it is; where the books are shorter, their months at the same pace."""
    return np.asarray(past.margin[:, -YEAR:].sum(axis=1) * YEAR / min(past.months, YEAR))


def own_rate(past: History, known: History) -> Array:
    """Each customer's own margin a month since its first × 12 × one factor for all, learnt a year earlier (1 if the books are too short)."""
    factor, learnt = 1.0, _earlier(known)
    if learnt:
        expected, realised = _rate(learnt[0]).sum() * YEAR, learnt[1].sum()
        factor = float(realised / expected) if expected > 0 and realised > 0 else 1.0
    return np.asarray(_rate(past) * YEAR * factor)


def _rate(past: History) -> Array:
    return np.asarray(past.margin.sum(axis=1) / (past.months - past.begin))


def _earlier(known: History) -> tuple[History, Array] | None:
    """The history a year before its end and the margin that came in that year; None where less than half a year would be left."""
    first = known.months - YEAR
    if first < OPENING or not known.known_by(first).any():
        return None
    return known.until(first), known.margin[known.known_by(first), first:].sum(axis=1)


def level_and_trend(past: History, known: History) -> Array:
    """Smoothed contribution with damped trend and the season − assignable cost as last year, as likely as the customer is active.

    One set of smoothing weights for all, learnt at an earlier origin. Source: Gardner & McKenzie (1985), Forecasting trends in
    time series, Management Science 31(10).
    """
    return np.asarray(active_probability(past, known) * (_smoothed(past, known.smoothing) - _assignable(past)))


def _assignable(past: History) -> Array:
    return np.asarray(past.assignable[:, -YEAR:].sum(axis=1) * YEAR / np.minimum(past.months - past.begin, YEAR))


def _smoothed(past: History, weights: tuple[float, float, float]) -> Array:
    by_level, by_trend, damping = weights
    adjusted = past.contribution / past.indices(0, past.months)
    opening = np.arange(past.months)[None, :] - past.begin[:, None]
    first = (opening >= 0) & (opening < OPENING)
    level = (adjusted * first).sum(axis=1) / np.minimum(OPENING, past.months - past.begin)
    trend = np.zeros(len(level))
    for month in range(past.months):
        since = opening[:, month] >= 0
        error = (adjusted[:, month] - level - damping * trend) * since
        level = level + damping * trend + by_level * error
        trend = damping * trend + by_level * by_trend * error
    ahead = past.indices(past.months, past.months + YEAR)
    damped = damping * (1 - damping ** np.arange(1, YEAR + 1)) / (1 - damping)
    return np.asarray(level * ahead.sum() + trend * (damped @ ahead))


def bg_nbd_value(past: History, known: History) -> Array:
    """Expected order days (BG/NBD) × contribution per order day, shrunk − assignable cost while the customer stays."""
    _, orders, _ = buying(past)
    expected, active = known.bg_nbd.expected_purchases(past.days(YEAR), orders), known.bg_nbd.active_probability(orders)
    return _while_active(past, known, expected, active)


def pareto_nbd_value(past: History, known: History) -> Array:
    """As `bg_nbd_value` by Pareto/NBD, in which customers with larger orders may order more or less often."""
    _, orders, size = buying(past)
    level, model = order_size_level(size, among=buying(known)[2]), known.pareto_nbd
    expected = model.expected_purchases(past.days(YEAR), orders, level)
    return _while_active(past, known, expected, model.active_probability(orders, level))


def buying(past: History) -> tuple[Array, Purchases, Array]:
    """Who ever ordered; of those, their order days as purchases, in days, and gross sales per order day."""
    how = past.rhythm
    bought = (how["order_days"] > 0).to_numpy()
    bought = bought if bought.any() else ~bought  # where nobody has, all stand for customers of whom nothing is known
    count, age, silent = how.loc[bought, ["order_days", "age_days", "silent_days"]].fillna(0).to_numpy(dtype=float).T
    sales = np.bincount(past.orders.customer, past.orders.sales, len(bought))[bought]
    return bought, Purchases(np.maximum(count - 1, 0), age - silent, age), sales / np.maximum(count, 1)


def active_probability(past: History, known: History) -> Array:
    """Probability (0 to 1) that each customer still buys, by its own rhythm; 1 for who never ordered, of whom nothing is known.

    What speaks for it is how likely an active customer is silent for so long: the survival of a gamma distribution with the customer's own mean
    gap and unevenness, both drawn towards the typical customer's. What speaks against it is how many leave in that time: the yearly share that the
    ledger shows, of who ordered once and of who ordered again. Regular buyers are so told from irregular ones, as BG/NBD does not.
    """
    from scipy.special import gammaincc

    how = past.rhythm
    shape = np.clip(1 / np.maximum(how["unevenness"], TINY), *SHAPES)
    silent_if_active = gammaincc(shape, shape * how["silent_days"] / how["rhythm_days"])
    once, again = known.leaving
    stays = (1 - np.where(how["order_days"] > 1, again, once)) ** (how["silent_days"] / YEAR_DAYS)
    active = silent_if_active * stays / (silent_if_active * stays + 1 - stays + TINY)
    return np.where(how["order_days"] > 0, active, 1.0)


def _while_active(past: History, known: History, expected: Array, active: Array) -> Array:
    """Contribution of the orders of those who ever ordered − assignable cost, which goes on as long as the customer is active."""
    bought = buying(past)[0]
    earned, stays = np.zeros(len(bought)), np.ones(len(bought))
    earned[bought], stays[bought] = expected * contribution_per_order_day(past, known)[bought], active
    return np.asarray(earned - stays * _assignable(past))


def contribution_per_order_day(past: History, known: History) -> Array:
    """Contribution per order day, shrunk to the mean of all by how much customers differ and days scatter; may be negative.

    Weight of the customer's own mean: n / (n + variance within / variance between), both by moments (Bühlmann credibility). Contribution is
    known by month of invoice: that of a day is taken to scatter as its sales do, at the ratio of all.
    """
    (count, own), (counts, owns) = (_per_order_day(each) for each in (past, known))
    orders = known.orders
    if len(owns) < 2 or not len(orders.day):
        return own
    size = np.bincount(orders.customer, orders.sales, len(owns)) / counts
    scatter = np.square(orders.sales - size[orders.customer]).sum() / max((counts - 1).sum(), 1)
    within = scatter * (known.contribution.sum() / orders.sales.sum()) ** 2
    between = max(float(np.var(owns) - within * np.mean(1 / counts)), TINY)
    weight = count * between / (count * between + within)
    return np.asarray(weight * own + (1 - weight) * np.average(owns, weights=counts))


def _per_order_day(past: History) -> tuple[Array, Array]:
    count = np.maximum(np.bincount(past.orders.customer, minlength=len(past.customer_ids)), 1)
    return count, np.asarray(past.contribution.sum(axis=1) / count)


def boosted(past: History, known: History) -> Array:
    """Gradient boosting across customers on what the cube and the rhythm say of each, trained on earlier origins; last year again without such.

    The trees forecast the year's margin over the customer's own scale. Source: Friedman (2001), Greedy function approximation, Annals of
    Statistics 29(5); scikit-learn's histogram form.
    """
    if known.trees is None:
        return last_year_again(past, known)
    return np.asarray(known.trees.predict(_traits(past, known)) * _scale(past))


def _grown(known: History) -> HistGradientBoostingRegressor | None:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    origins = range(known.months - YEAR, OPENING - 1, -YEAR // 2)
    lessons = [(known.until(o), known.margin[known.known_by(o), o : o + YEAR].sum(axis=1)) for o in origins]
    if sum(len(actual) for _, actual in lessons) < TAUGHT:
        return None
    traits = np.vstack([_traits(each, known) for each, _ in lessons])
    scale = np.concatenate([_scale(each) for each, _ in lessons])
    with threadpool_limits(1):  # sums are made in one order
        model = HistGradientBoostingRegressor(random_state=0, **TREES)
        return model.fit(traits, np.concatenate([actual for _, actual in lessons]) / scale, sample_weight=scale)


def _scale(past: History) -> Array:
    """A customer's own scale, in money a year: its contribution of the latest twelve months or, if larger, at its pace since the first."""
    size = np.abs(past.contribution)
    pace = size.sum(axis=1) / (past.months - past.begin) * YEAR
    return np.asarray(np.maximum(np.maximum(size[:, -YEAR:].sum(axis=1), pace), TINY))


def _traits(past: History, known: History) -> Array:
    """What trees see of each customer: its latest quarter, half, year and the year before over its scale, its age, rhythm and size."""
    how, scale, margin = past.rhythm, _scale(past), past.margin
    spans = [margin[:, -months:].sum(axis=1) / scale for months in (3, 6, YEAR)]
    year_before = margin[:, -2 * YEAR : -YEAR].sum(axis=1) / scale
    relative = how["silent_days"] / how["rhythm_days"]
    assignable = past.assignable[:, -YEAR:].sum(axis=1) / scale
    return np.column_stack([*spans, year_before, assignable, past.months - past.begin, np.log(scale), how["order_days"], relative,
                            how["rhythm_days"], how["unevenness"], active_probability(past, known)])  # fmt: skip


Model = Callable[[History, History], Array]
SIMPLE: dict[str, Model] = {"last year again": last_year_again, "own rate × factor": own_rate}
MODELS: dict[str, Model] = {
    **SIMPLE, "level, trend and season": level_and_trend, "BG/NBD": bg_nbd_value, "Pareto/NBD by order size": pareto_nbd_value,
    "gradient boosting": boosted,
}  # fmt: skip
AVERAGE = "average of models"


def forecasts(past: History, known: History | None = None, models: Collection[str] = (*MODELS, AVERAGE)) -> Frame:
    """The margin of the next twelve months by customer (rows, in order) and model (columns).

    Parameters
    ----------
    known
        The history that models learn from, if that is not the customers' own: a sample of all at the same time.
    models
        Those wanted; the average is of all that are not simple: what each gets wrong by itself partly cancels.
    """
    learnt = known or past
    wanted = [name for name in MODELS if name in models or (AVERAGE in models and name not in SIMPLE)]
    made = pd.DataFrame({name: MODELS[name](past, learnt) for name in wanted})
    if AVERAGE in models:
        made[AVERAGE] = made[[name for name in MODELS if name not in SIMPLE]].mean(axis=1)
    return made[list(models)] if past.can_lose else made[list(models)].clip(lower=0)
