"""How customers buy: their rhythm, season and decline; how often they order from here on; and how good a forecast is.

For the buy-till-you-die models a history of purchases is three numbers by customer: `frequency` (repeat purchases; the first is not counted), `recency` and
`age` (time from the first purchase to the last, and to the end of the history, in one unit). Identical histories are counted once.
Days are numbers, counted from 1970.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame as Frame


Array = np.ndarray[Any, np.dtype[Any]]


BOUND = 5.0  # of the logarithm of a parameter (times in mean ages): keeps a fit on almost no data finite


STEADY_SHARE, STEADY_MONTHS, MONTH_DAYS = 0.75, 6, 365.25 / 12


NODES = 24  # of the quadrature over the time at which a customer may have left


@dataclass(frozen=True)
class Orders:
    """The days on which customers ordered, one after another by customer: the customer's row, the day, and the day's gross sales."""

    customer: Array
    day: Array
    sales: Array

    def of(self, place: Array, end: int) -> Orders:
        """Those before a day, of customers with a new place (not −1)."""
        row = place[self.customer]
        kept = (row >= 0) & (self.day < end)
        return Orders(row[kept], self.day[kept], self.sales[kept])


def rhythm(orders: Orders, customers: int, today: int) -> Frame:
    """How each customer orders, up to and with a day.

    Returns
    -------
    One row per customer: order_days (count), last_order (date; None without any), age_days and silent_days (since the first and the last
    order; nan without any), usual_gap_days (mean between order days; nan with fewer than two), and steady: half a year or more since the
    first order, and orders in three of four months since, counted back from today.
    """
    import pandas as pd

    count = np.bincount(orders.customer, minlength=customers)
    ever, end, day = count > 0, np.cumsum(count), np.append(orders.day, today)
    first, last = day[end - count], day[end - 1]
    months = ((today - orders.day) / MONTH_DAYS).astype(int)
    another = np.append(True, (np.diff(orders.customer) != 0) | (np.diff(months) != 0))[: len(months)]
    ordering = np.bincount(orders.customer[another], minlength=customers)
    age = ((today - first) / MONTH_DAYS).astype(int) + 1
    return pd.DataFrame({
        "order_days": count, "last_order": np.where(ever, last.astype("datetime64[D]"), np.datetime64("NaT")).astype(object),
        "age_days": np.where(ever, today - first, np.nan), "silent_days": np.where(ever, today - last, np.nan),
        "usual_gap_days": np.where(count > 1, (last - first) / np.maximum(count - 1, 1), np.nan),
        "steady": ever & (age >= STEADY_MONTHS) & (ordering >= STEADY_SHARE * age),
    })  # fmt: skip


def seasonal_indices(sales: Array, first_calendar_month: int) -> Array:
    """Twelve indices, January first: sales of each calendar month over its year's average; all 1 with fewer than two whole years."""
    years = len(sales) // 12
    recent = sales[len(sales) - years * 12 :].reshape(years, 12)
    if years < 2 or recent.min() <= 0:
        return np.ones(12)
    index = (recent / recent.mean(axis=1, keepdims=True)).mean(axis=0)
    return np.roll(index, (first_calendar_month - 1 + len(sales)) % 12)


def declines(sales: Array, begin: Array) -> tuple[Array, Array, Array]:
    """By customer: the month from which sales fall (its number), the share fallen to the end, and the slope in standard errors.

    Least squares of sales by month, season taken out, on a level and a straight line from some month on; the month that fits best, at
    least six before the end. Months before a customer's `begin` do not count; with fewer than twelve there is no decline.
    """
    months = sales.shape[1]
    inside = (np.arange(months)[None, :] >= begin[:, None]).astype(float)
    sales, count = sales * inside, inside.sum(axis=1)
    best, since, fall, slope = (np.full(len(count), np.inf), begin.copy(), np.zeros(len(count)), np.zeros(len(count)))
    total = np.square(sales).sum(axis=1) - np.square(sales.sum(axis=1)) / count
    for start in range(months - 6):
        line = np.maximum(np.arange(months) - start, 0) * inside
        centred = (line - (line.sum(axis=1) / count)[:, None]) * inside
        across = np.square(centred).sum(axis=1) + 1e-12
        by = (centred * sales).sum(axis=1) / across
        left = np.maximum(total - by**2 * across, 1e-9)
        level = (sales.sum(axis=1) - by * line.sum(axis=1)) / count
        better = (count >= 12) & (left < best) & (start >= begin) & (level > 0)
        fallen = np.minimum(-by * (months - 1 - start) / np.where(level > 0, level, 1), 1)
        error = np.sqrt(left / np.maximum(count - 3, 1) / across)
        best, since = np.where(better, left, best), np.where(better, start + 1, since)
        fall, slope = np.where(better, fallen, fall), np.where(better, by / error, slope)
    return since, fall, slope


@dataclass(frozen=True)
class BgNbd:
    """A fitted BG/NBD model: purchases come at a customer's own rate until, after one of them, it leaves for good.

    Rates are gamma (r, alpha), chances of leaving beta (a, b). Times are in the unit of what it was fitted to.
    Source: Fader, Hardie & Lee (2005), "Counting your customers" the easy way, Marketing Science 24(2).
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def active_probability(self, frequency: Array, recency: Array, age: Array) -> Array:
        """Probability (0 to 1) that the customer has not left; by the model's nature 1 without a repeat purchase."""
        repeat = np.maximum(frequency, 1)
        odds = np.log(self.a / (self.b + repeat - 1)) + (self.r + frequency) * np.log(
            (self.alpha + age) / (self.alpha + recency)
        )
        return np.where(frequency > 0, 1 / (1 + np.exp(np.minimum(odds, 700))), 1.0)

    def expected_purchases(self, time: float, frequency: Array, recency: Array, age: Array) -> Array:
        """Expected purchases in the `time` after `age`, given the past (equation 10 of the source)."""
        from scipy.special import hyp2f1

        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        total, end = a + self.b + frequency - 1, self.alpha + age + time
        series = hyp2f1(
            a + self.b - 1 - self.r, a - 1, total, time / end
        )  # after Euler's transformation: stable for many purchases
        expected = total / (a - 1) * (1 - ((self.alpha + age) / end) ** (a - 1) * series)
        return np.asarray(expected * self.active_probability(frequency, recency, age))

    def drawn_purchases(
        self, time: float, frequency: Array, recency: Array, age: Array, *, draws: int, seed: int
    ) -> Array:
        """Simulated purchases in the `time` after `age`: one row per customer, one column per draw."""
        rng, shape = np.random.default_rng(seed), (len(frequency), draws)
        rate = rng.gamma((self.r + frequency)[:, None], 1 / (self.alpha + age)[:, None], shape)
        leaving = np.clip(rng.beta(self.a, (self.b + frequency)[:, None], shape), 1e-12, 1)
        active = rng.random(shape) < self.active_probability(frequency, recency, age)[:, None]
        return np.where(active, np.minimum(rng.poisson(rate * time), rng.geometric(leaving)), 0)


def fit_bg_nbd(frequency: Array, recency: Array, age: Array) -> BgNbd:
    """The BG/NBD model of greatest likelihood; customers with the same history are counted once, with their number.

    Parameters
    ----------
    frequency
        Repeat purchases (the first is not counted), by customer.
    recency, age
        Time from the first purchase to the last, and to the end of the history, in one unit.

    Notes
    -----
    Never fails to converge: parameters stay within exp(±5) of one unit of mean age. On few customers the result is
    finite and says little, which the backtest shows.
    """
    rows, count, scale = _grouped(frequency, recency, age)
    found, loss = _minimum(_bg_nbd_loss, [0.0, 0.0, 0.0, 1.0], [BOUND] * 4, (*rows, count / count.sum()))
    r, alpha, a, b = np.exp(found)
    total = -loss * count.sum() - np.log(scale) * (rows[0] @ count)
    return BgNbd(float(r), float(alpha * scale), float(a), float(b), float(total))


def _bg_nbd_loss(logs: Array, x: Array, recency: Array, age: Array, weight: Array) -> tuple[float, Array]:
    """Mean negative log-likelihood and its gradient, both in logarithms of r, alpha, a, b."""
    from scipy.special import digamma, gammaln

    r, alpha, a, b = np.exp(logs)
    to_end, to_last = np.log(alpha + age), np.log(alpha + recency)
    stayed = -(r + x) * to_end
    left = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * to_last, -np.inf)
    either = np.logaddexp(stayed, left)
    share = np.exp(left - either)
    likelihood = (
        gammaln(r + x)
        - gammaln(r)
        + r * np.log(alpha)
        + gammaln(b + x)
        - gammaln(a + b + x)
        + gammaln(a + b)
        - gammaln(b)
        + either
    )
    common = digamma(a + b) - digamma(a + b + x)
    gradient = np.array([
        r * (weight @ (digamma(r + x) - digamma(r) + np.log(alpha) - (1 - share) * to_end - share * to_last)),
        alpha * (weight @ (r / alpha - (r + x) * ((1 - share) / (alpha + age) + share / (alpha + recency)))),
        a * (weight @ (common + share / a)),
        b * (weight @ (common + digamma(b + x) - digamma(b) - share / (b + np.maximum(x, 1) - 1))),
    ])  # fmt: skip
    return -float(weight @ likelihood), -gradient


@dataclass(frozen=True)
class ParetoNbd:
    """A fitted Pareto/NBD model: purchases at a customer's own rate, leaving at any time at its own rate too.

    Rates of purchase are gamma (r, alpha · exp(−lift · level)), of leaving gamma (s, beta). `level` says how large the customer's
    orders are (`order_size_level`); `lift` is what one standard deviation does to the logarithm of the rate.
    Source: Schmittlein, Morrison & Colombo (1987), Counting your customers, Management Science 33(1); the covariate as in Fader &
    Hardie (2007), Incorporating time-invariant covariates.
    """

    r: float
    alpha: float
    s: float
    beta: float
    lift: float
    log_likelihood: float

    def active_probability(self, frequency: Array, recency: Array, age: Array, level: Array) -> Array:
        """Probability (0 to 1) that the customer has not left."""
        logs = np.log([self.r, self.alpha, self.s, self.beta])
        stayed, left = _pareto_terms(np.append(logs, self.lift), frequency, recency, age, level)[:2]
        return np.asarray(np.exp(stayed - np.logaddexp(stayed, np.logaddexp.reduce(left, axis=1))))

    def expected_purchases(self, time: float, frequency: Array, recency: Array, age: Array, level: Array) -> Array:
        """Expected purchases in the `time` after `age`, given the past."""
        s = self.s if abs(self.s - 1) > 1e-6 else 1 + 1e-6
        rate = (self.r + frequency) / (self.alpha * np.exp(-self.lift * level) + age)
        while_active = (self.beta + age) / (s - 1) * (1 - ((self.beta + age) / (self.beta + age + time)) ** (s - 1))
        return np.asarray(self.active_probability(frequency, recency, age, level) * rate * while_active)

    def drawn_purchases(self, time: float, past: tuple[Array, Array, Array, Array], *, draws: int, seed: int) -> Array:
        """Simulated purchases in the `time` after the past (frequency, recency, age, level): one row per customer, one column per draw."""
        rng, (frequency, _, age, level) = np.random.default_rng(seed), past
        shape = (len(frequency), draws)
        rate = rng.gamma(
            (self.r + frequency)[:, None], 1 / (self.alpha * np.exp(-self.lift * level) + age)[:, None], shape
        )
        leaving = np.maximum(rng.gamma(self.s, 1 / (self.beta + age)[:, None], shape), 1e-300)
        active = rng.random(shape) < self.active_probability(*past)[:, None]
        stays = np.minimum(rng.exponential(1.0, shape) / leaving, time)
        return np.where(active, rng.poisson(rate * stays), 0)


def fit_pareto_nbd(frequency: Array, recency: Array, age: Array, level: Array | None = None) -> ParetoNbd:
    """The Pareto/NBD model of greatest likelihood, by quadrature and analytic gradient; `level` as `order_size_level` (default: none).

    Never fails to converge, as `fit_bg_nbd`.
    """
    given = np.zeros(len(frequency)) if level is None else level
    rows, count, scale = _grouped(frequency, recency, age, given)
    held = BOUND if level is not None and np.ptp(level) > 0 else 0.0
    found, loss = _minimum(_pareto_loss, [0.0, 0.0, 0.0, 0.0, 0.0], [BOUND] * 4 + [held], (*rows, count / count.sum()))
    r, alpha, s, beta = np.exp(found[:4])
    total = -loss * count.sum() - np.log(scale) * (rows[0] @ count)
    return ParetoNbd(float(r), float(alpha * scale), float(s), float(beta * scale), float(found[4]), float(total))


def _pareto_terms(
    logs: Array, x: Array, recency: Array, age: Array, level: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Log of the likelihood's parts without its constant (still active; left at each node), and the times behind them."""
    r, alpha, s, beta = np.exp(logs[:4])
    alphas = alpha * np.exp(-logs[4] * level)
    unit = 0.1 * (float(np.mean(age)) or 1.0)
    place, weight = np.polynomial.legendre.leggauss(NODES)
    first, last = np.log(unit + recency), np.log(unit + age)
    at = first[:, None] + (last - first)[:, None] * (place + 1) / 2  # nodes are even in the logarithm of time
    times = np.exp(at) - unit
    with np.errstate(divide="ignore"):
        step = np.log((last - first)[:, None] / 2 * weight) + at
    stayed = -(r + x) * np.log(alphas + age) - s * np.log(beta + age)
    left = np.log(s) - (s + 1) * np.log(beta + times) - (r + x)[:, None] * np.log(alphas[:, None] + times) + step
    return stayed, left, times, alphas, np.log(alphas)


def _pareto_loss(logs: Array, x: Array, recency: Array, age: Array, level: Array, weight: Array) -> tuple[float, Array]:
    """Mean negative log-likelihood and its gradient in logarithms of r, alpha, s, beta, and in the lift."""
    from scipy.special import digamma, gammaln

    stayed, left, times, alphas, log_alphas = _pareto_terms(logs, x, recency, age, level)
    r, _, s, beta = np.exp(logs[:4])
    either = np.logaddexp(stayed, np.logaddexp.reduce(left, axis=1))
    stay, leave = np.exp(stayed - either), np.exp(left - either[:, None])
    likelihood = gammaln(r + x) - gammaln(r) + r * log_alphas + s * np.log(beta) + either

    def mean(function: Callable[[Array], Array], shift: Array) -> Array:
        """Of a function of a parameter plus time, over when the customer left."""
        return np.asarray(stay * function(shift + age) + (leave * function(shift[:, None] + times)).sum(axis=1))

    betas = np.full(len(x), beta)
    on_alpha = weight * (r - (r + x) * alphas * mean(np.reciprocal, alphas))
    gone = leave.sum(axis=1)
    left_at = (leave / (beta + times)).sum(axis=1)
    gradient = np.array([
        r * (weight @ (digamma(r + x) - digamma(r) + log_alphas - mean(np.log, alphas))), on_alpha.sum(),
        s * (weight @ (np.log(beta) - mean(np.log, betas) + gone / s)),
        weight @ (s - s * beta * mean(np.reciprocal, betas) - beta * left_at), -on_alpha @ level,
    ])  # fmt: skip
    return -float(weight @ likelihood), -gradient


def order_size_level(order_size: Array) -> Array:
    """How large each customer's mean order is among all: its logarithm, less the mean, in standard deviations; 0 where it is not positive."""
    known = order_size > 0
    logs = np.log(order_size[known])
    level = np.zeros(len(order_size))
    level[known] = (logs - logs.mean()) / (logs.std() or 1.0) if len(logs) else 0.0
    return level


def _grouped(*history: Array) -> tuple[list[Array], Array, float]:
    """Distinct histories with recency and age in mean ages, how many have each, and the mean age."""
    rows, count = np.unique(np.column_stack(history).astype(float), axis=0, return_counts=True)
    scale = float(rows[:, 2].mean()) or 1.0
    rows[:, 1:3] /= scale
    return list(rows.T), count, scale


def _minimum(
    loss: Callable[..., tuple[float, Array]], start: list[float], bounds: list[float], data: tuple[Array, ...]
) -> tuple[Array, float]:
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # a handful of parameters: threads would only wait for each other
        found = minimize(loss, np.array(start), args=data, jac=True, method="L-BFGS-B", bounds=[(-b, b) for b in bounds],
                         options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300})  # fmt: skip
    return found.x, float(found.fun)


def shortest_range(drawn: Array, share: float = 0.8) -> tuple[Array, Array]:
    """By row of draws: the ends (inclusive) of the shortest range that holds the share of them."""
    ordered, held = np.sort(drawn, axis=1), int(np.ceil(share * drawn.shape[1]))
    start = (ordered[:, held - 1 :] - ordered[:, : drawn.shape[1] - held + 1]).argmin(axis=1)
    row = np.arange(len(drawn))
    return ordered[row, start], ordered[row, start + held - 1]


def gini(actual: Array, ranked_by: Array | None = None) -> float:
    """How unequally an amount is held, from the curve of those ranked first (by itself, or by a forecast); nan for a total ≤ 0.

    Zero for equal amounts or a ranking that says nothing; above 1 where some amounts are negative.
    """
    held = _held(actual, ranked_by)
    return float(2 * (held.mean() - 0.5 / len(held)) - 1) if len(held) else float("nan")


def ranking_gini(actual: Array, ranked_by: Array) -> float:
    """Gini coefficient of what those hold who are ranked first by a forecast, over that of the best ranking: 1 is perfect, 0 says nothing."""
    best = gini(actual)
    return gini(actual, ranked_by) / best if best > 0 else float("nan")


def top_share(actual: Array, ranked_by: Array | None = None, *, top: float = 0.2) -> float:
    """Share of an amount that the `top` share of customers holds, ranked by itself or by a forecast; nan for a total ≤ 0."""
    held = _held(actual, ranked_by)
    return float(held[max(1, round(top * len(held))) - 1]) if len(held) else float("nan")


def _held(actual: Array, ranked_by: Array | None) -> Array:
    """Share of the total held by the first 1, 2, … customers; those ranked alike hold alike."""
    key = -np.asarray(actual if ranked_by is None else ranked_by, float)
    if len(key) == 0 or np.sum(actual) <= 0:
        return np.empty(0)
    _, rank = np.unique(key, return_inverse=True)
    even = (np.bincount(rank, actual) / np.bincount(rank))[rank]
    return np.asarray(even[np.argsort(key, kind="stable")].cumsum() / np.sum(actual))
