"""What each customer did month by month and on which days it ordered, the models that carry it forward, and the test of those models on the past.

A model takes a history and gives the expected margin of the next months, by customer, in the engagement's currency, not
discounted. The two simple ones are what a manager would do: last year again, and one's own rate times one factor learnt earlier.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crmlib import purchases
from crmlib.books.stored import months_of, order_days
from crmlib.declared.judgement import Rules, States
from crmlib.declared.periods import Period, add_months
from crmlib.purchases import TINY, Array, Orders, Purchases, order_size_level, ranking_gini, top_share
from crmlib.states import known_since, state_table

if TYPE_CHECKING:
    from crmlib.books.stored import Books


Frame = pd.DataFrame

LOW, HIGH = 0.10, 0.90  # the 80 % range
MANY = 20_000  # customers beyond which trials take a sample and draws of a sum are normal
YEAR, APART = 12, 3  # months: of a pace; between two origins of trials
OPENING = 6  # first months of a customer, whose mean is the level that smoothing begins with
BIASED_SHARE = 0.1  # of a month's contribution, by which a forecast is off in every month alike: that does not even out
YOUNG = 6  # months of history with which the variance counts twice: so few hardly show it
LEAST_SPREAD = 0.01  # of the median customer's: one whose months are all alike may still change
# weights of level and of trend, and what is left of the trend a month later; the first where none is learnt
SMOOTHING = [
    (0.1, 0.0, 0.9), (0.05, 0.0, 0.9), (0.2, 0.0, 0.9), (0.4, 0.0, 0.9), (0.1, 0.1, 0.9), (0.2, 0.1, 0.9), (0.1, 0.2, 0.98), (0.3, 0.2, 0.98),
]  # fmt: skip
AVERAGE = "average of models"
# kinds of customers by their state: each has a model, a correction and ranges of its own
KIND_OF = {
    "active": "steady",
    "slowing": "steady",
    "new": "new",
    "silent": "silent or lost",
    "lost": "silent or lost",
    "no order": "silent or lost",
}
TESTED = ["group", "model", "months", "origins", "customers", "error", "gini", "top_fifth_share", "bias", "coverage", "last_error",
          "chosen_before", "chosen"]  # fmt: skip


@dataclass(frozen=True)
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

    def known_by(self, months: int) -> Array:
        """Who was a customer within the first months."""
        return np.asarray(((self.margin[:, :months] != 0) | (self.sales[:, :months] > 0)).any(axis=1))

    def until(self, months: int) -> History:
        """The first months only, of those who were customers by then, with the season as it was known then."""
        season = purchases.seasonal_indices(self.sales[:, :months].sum(axis=0), self.start.month)
        return replace(self.of(self.known_by(months), months), season=season)

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
        "contribution": {
            line.id: line.sign for line in leaves if line.is_trade or (line.is_cost and not line.is_assignable)
        },
        "assignable": {line.id: -line.sign for line in leaves if line.is_assignable},
    }
    rules = books.engagement.judgement("segments.yml", Rules)
    every = History(
        np.array(customers, dtype=object), coverage.start, **months_of(books, until, customers, kinds),
        orders=Orders(*order_days(books, customers, until.end)), season=np.ones(YEAR), terms=rules.states,
        since=known_since(books, np.arange(len(customers)), len(customers)), can_lose=books.statement.has_costs,
    )  # fmt: skip
    return every.until(every.months)


def last_year_again(past: History, months: int) -> Array:
    """The margin of the last twelve months at the same pace; a newer customer's own months at theirs."""
    return _pace(past, past.margin, months)


def _pace(past: History, amounts: Array, months: int) -> Array:
    """Amounts by month, carried on as in each customer's last twelve months, or in as many as it has."""
    latest = np.minimum(past.months - past.begin, YEAR)
    return np.asarray(amounts[:, -YEAR:].sum(axis=1) / latest * months)


def own_rate(past: History, months: int) -> Array:
    """Each customer's own margin a month since its first × the months × one factor for all, learnt at an earlier origin (1 if none)."""
    factor, learnt = 1.0, _earlier(past)
    if learnt:
        expected, realised = (_rate(learnt[0]) * YEAR).sum(), learnt[1].sum()
        factor = float(realised / expected) if expected > 0 and realised > 0 else 1.0
    return np.asarray(_rate(past) * months * factor)


def _rate(past: History) -> Array:
    return np.asarray(past.margin.sum(axis=1) / (past.months - past.begin))


def _earlier(past: History) -> tuple[History, Array] | None:
    """The history a year before its end and the margin that came in that year; None where less than a year would be left."""
    if past.months < 2 * YEAR:
        return None
    customers = past.known_by(past.months - YEAR)
    return (past.until(past.months - YEAR), past.margin[customers, -YEAR:].sum(axis=1)) if customers.any() else None


def level_and_trend(past: History, months: int) -> Array:
    """Smoothed contribution with damped trend and the season − assignable cost at last year's pace, as likely as the customer is active.

    One set of smoothing weights for all, learnt at an earlier origin. Source: Gardner & McKenzie (1985), Forecasting trends in
    time series, Management Science 31(10).
    """
    weights, learnt = SMOOTHING[0], _earlier(past)
    if learnt:
        before, actual = learnt
        goes_on = _pace(before, before.assignable, YEAR)
        errors = [np.square(_smoothed(before, YEAR, tried) - goes_on - actual).sum() for tried in SMOOTHING]
        weights = SMOOTHING[int(np.argmin(errors))]
    expected = _smoothed(past, months, weights) - _pace(past, past.assignable, months)
    return np.asarray(active_probability(past) * expected)


def _smoothed(past: History, months: int, weights: tuple[float, float, float]) -> Array:
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
    ahead = past.indices(past.months, past.months + months)
    damped = damping * (1 - damping ** np.arange(1, months + 1)) / (1 - damping)
    return np.asarray(level * ahead.sum() + trend * (damped @ ahead))


def bg_nbd_value(past: History, months: int) -> Array:
    """Expected order days (BG/NBD) × contribution per order day, shrunk − assignable cost while the customer stays."""
    bought, orders, _ = buying(past)
    model = purchases.fit_bg_nbd(orders)
    expected = model.expected_purchases(past.days(months), orders)
    return _while_active(past, months, bought, expected, model.active_probability(orders))


def pareto_nbd_value(past: History, months: int) -> Array:
    """As `bg_nbd_value` by Pareto/NBD, in which customers with larger orders may order more or less often."""
    bought, orders, size = buying(past)
    level = order_size_level(size)
    model = purchases.fit_pareto_nbd(orders, level)
    expected = model.expected_purchases(past.days(months), orders, level)
    return _while_active(past, months, bought, expected, model.active_probability(orders, level))


def buying(past: History) -> tuple[Array, Purchases, Array]:
    """Who ever ordered; of those, their order days as purchases, in days, and gross sales per order day."""
    how = past.rhythm
    bought = (how["order_days"] > 0).to_numpy()
    bought = bought if bought.any() else ~bought  # where nobody has, all stand for customers of whom nothing is known
    count, age, silent = how.loc[bought, ["order_days", "age_days", "silent_days"]].fillna(0).to_numpy(dtype=float).T
    sales = np.bincount(past.orders.customer, past.orders.sales, len(bought))[bought]
    return bought, Purchases(np.maximum(count - 1, 0), age - silent, age), sales / np.maximum(count, 1)


def active_probability(past: History) -> Array:
    """Probability (0 to 1) that each customer still buys, by BG/NBD; 1 for who never ordered, of whom nothing is known."""
    bought, orders, _ = buying(past)
    active = np.ones(len(bought))
    active[bought] = purchases.fit_bg_nbd(orders).active_probability(orders)
    return active


def _while_active(past: History, months: int, bought: Array, expected: Array, active: Array) -> Array:
    """Contribution of the orders of those who ever ordered − assignable cost, which goes on as long as the customer is active."""
    earned, stays = np.zeros(len(bought)), np.ones(len(bought))
    earned[bought], stays[bought] = expected * contribution_per_order_day(past.of(bought)), active
    return np.asarray(earned - stays * _pace(past, past.assignable, months))


def contribution_per_order_day(past: History) -> Array:
    """Contribution per order day, shrunk to the group's mean by how much customers differ and days scatter; may be negative.

    Weight of the customer's own mean: n / (n + variance within / variance between), both by moments (Bühlmann credibility). Contribution is
    known by month of invoice: that of a day is taken to scatter as its sales do, at the group's ratio.
    """
    orders = past.orders
    count = np.maximum(np.bincount(orders.customer, minlength=len(past.customer_ids)), 1)
    own = past.contribution.sum(axis=1) / count
    if len(own) < 2 or not len(orders.day):
        return np.asarray(own)
    size = np.bincount(orders.customer, orders.sales, len(own)) / count
    scatter = np.square(orders.sales - size[orders.customer]).sum() / max((count - 1).sum(), 1)
    within = scatter * (past.contribution.sum() / orders.sales.sum()) ** 2
    between = max(float(np.var(own) - within * np.mean(1 / count)), TINY)
    weight = count * between / (count * between + within)
    return np.asarray(weight * own + (1 - weight) * np.average(own, weights=count))


Model = Callable[[History, int], Array]
SIMPLE: dict[str, Model] = {"last year again": last_year_again, "own rate × factor": own_rate}
MODELS: dict[str, Model] = {
    **SIMPLE, "level, trend and season": level_and_trend, "BG/NBD": bg_nbd_value, "Pareto/NBD by order size": pareto_nbd_value,
}  # fmt: skip


def forecasts(past: History, months: int, model: str = AVERAGE) -> dict[str, Array]:
    """The forecast of one model; or of all, with the average of those that are not simple: what each gets wrong by itself partly cancels."""
    if model in MODELS:
        return {model: MODELS[model](past, months)}
    each = {name: forecast(past, months) for name, forecast in MODELS.items()}
    return {**each, AVERAGE: np.asarray(np.mean([each[name] for name in MODELS if name not in SIMPLE], axis=0))}


def spread(past: History, months: int) -> Array:
    """How far a customer's total of so many months may scatter, in money: from its own months, wider where there are few."""
    count = past.months - past.begin
    inside = np.arange(past.months)[None, :] >= past.begin[:, None]
    variance = (np.square(past.margin - _rate(past)[:, None]) * inside).sum(axis=1) / count
    size = np.abs(past.contribution).sum(axis=1) / count
    total = np.sqrt((months * variance + np.square(BIASED_SHARE * months * size)) * (1 + YOUNG / count))
    return np.asarray(
        np.maximum(total, LEAST_SPREAD * float(np.median(total)) + 1e-9)
    )  # never zero: errors are told in it


def groups_of(past: History) -> dict[str, Array]:
    """Which customers are of which kind, by their state; a kind without customers is left out."""
    kind = past.rhythm["state"].map(KIND_OF)
    return {name: (kind == name).to_numpy() for name in dict.fromkeys(KIND_OF.values()) if (kind == name).any()}


def trials(past: History, months: int, *, seed: int = 0) -> Frame:
    """Every model at every origin: origin, group, model, expected, actual, spread; one row per customer known at the origin.

    Origins lie `APART` months, the first after as many months as are forecast, the last so many before the end. Of more than `MANY`
    customers a random sample is tried.
    """
    if len(past.customer_ids) > MANY:
        past = past.of(np.sort(np.random.default_rng(seed).choice(len(past.customer_ids), MANY, replace=False)))
    rows = [pd.DataFrame(columns=["origin", "group", "model", "expected", "actual", "spread"])]
    for origin in range(past.months - months, months - 1, -APART):
        known = past.until(origin)
        later = past.margin[past.known_by(origin), origin : origin + months].sum(axis=1)
        for group, chosen in groups_of(known).items():
            tried, scale = forecasts(known.of(chosen), months), spread(known.of(chosen), months)
            rows += [pd.DataFrame({"origin": origin, "group": group, "model": model, "expected": expected, "actual": later[chosen],
                                   "spread": scale}) for model, expected in tried.items()]  # fmt: skip
    return pd.concat(rows[1:], ignore_index=True) if len(rows) > 1 else rows[0]


def backtest(tried: Frame, months: int) -> Frame:
    """The trials by group and model, not discounted, with the model chosen: the least error; a simple one unless both are beaten.

    What is chosen on all origins has no error of its own beside theirs, which chose it. So the way of choosing is tested: `chosen_before` is
    what the origins whose months had passed by the last one would have chosen (none where none had), and `last_error` the error at that last one.
    """
    tried = tried.assign(square=np.square(tried["expected"] - tried["actual"]))
    last = tried["origin"].max()
    before, now = _least(tried[tried["origin"] + months <= last]), _least(tried)
    rows = []
    for (group, model), part in tried.groupby(["group", "model"], sort=False):
        origins = [(t["actual"].to_numpy(), t["expected"].to_numpy()) for _, t in part.groupby("origin")]
        ranking = [np.mean([f(actual, expected) for actual, expected in origins]) for f in (ranking_gini, top_share)]
        total = float(part["actual"].sum())
        bias = (part["expected"].sum() - total) / abs(total) if total else float("nan")
        errors = np.sqrt([part["square"].mean(), part.loc[part["origin"] == last, "square"].mean()])
        rows.append((group, model, months, len(origins), round(len(part) / len(origins)), errors[0], *ranking, bias,
                     _coverage(part, months), errors[1], (group, model) in before, (group, model) in now))  # fmt: skip
    return pd.DataFrame(rows, columns=TESTED)


def _least(tried: Frame) -> set[tuple[str, str]]:
    """By group the model with the least mean square, the simpler where two are alike."""
    squares = tried.groupby(["group", "model"], sort=False)["square"].mean()
    return set(squares.groupby("group").idxmin())


def residuals(tried: Frame) -> Array:
    """What was actual less what was expected, in spreads."""
    return ((tried["actual"] - tried["expected"]) / tried["spread"]).to_numpy(dtype=float)


def _coverage(tried: Frame, months: int) -> float:
    """Share of customers inside ranges made only from origins whose months had passed; nan where there is none."""
    inside: list[Array] = []
    for origin, now in tried.groupby("origin"):
        earlier = tried[tried["origin"] + months <= origin]
        if len(earlier):
            low, high = np.quantile(residuals(earlier), [LOW, HIGH])
            inside.append((residuals(now) >= min(low, 0)) & (residuals(now) <= max(high, 0)))
    return float(np.concatenate(inside).mean()) if inside else float("nan")
