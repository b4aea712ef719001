"""How customers buy: their rhythm, season and decline; how often they order from here on; and how good a forecast is.

Days are numbers, counted from 1970.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]

BOUND = 5.0  # of the logarithm of a parameter (times in mean ages): keeps a fit on almost no data finite
BORROWED = 1.0  # gaps of the typical customer beside a customer's own: two orders alone say little of a rhythm
TYPICAL_GAP = 91.0  # days, where nobody has ordered twice
BLOCK = 25_000  # customers looked at in one go, which bounds the memory
NODES = 24  # of the quadrature over the time at which a customer may have left
LEAST_MONTHS, LEAST_FALLING = 12, 6  # of a customer's history, and of a fall: fewer are no trend
LATEST = 3  # months whose mean says what is bought now: one alone may be without an order
NEAR = 1e-6  # to 1, where a parameter's formula divides by its distance from it
TINY = 1e-12  # keeps a division by what may be zero finite; far below any figure that counts


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

    def joined(self, place: Array) -> Orders:
        """Those of families: each customer's with the place of its family, a day once."""
        if (np.diff(place) > 0).all():  # nobody is in a family
            return self
        order = np.lexsort((self.day, place[self.customer]))
        customer, day, sales = place[self.customer][order], self.day[order], self.sales[order]
        first = np.append(True, (np.diff(customer) != 0) | (np.diff(day) != 0))[: len(day)].nonzero()[0]
        return Orders(customer[first], day[first], np.add.reduceat(sales, first) if len(first) else sales)


def rhythm(orders: Orders, customers: int, today: int) -> pd.DataFrame:
    """How each customer orders, up to and with a day.

    Returns
    -------
    One row per customer: order_days (count), first_order and last_order (dates; None without any), age_days and silent_days (since the first
    and the last order; nan without any), usual_gap_days (mean between order days; nan with fewer than two), rhythm_days (the same, drawn towards
    the typical customer's by `BORROWED` gaps; for who ordered once it is the typical customer's) and unevenness (of the gaps, variance over
    squared mean, likewise: 1 is as by chance, 0 to the day).
    """
    count = np.bincount(orders.customer, minlength=customers)
    ever, end, day = count > 0, np.cumsum(count), np.append(orders.day, orders.day.dtype.type(today))
    first, last, gaps = day[end - count], day[end - 1], np.maximum(count - 1, 0)
    again = np.append(False, np.diff(orders.customer) == 0)[: len(orders.day)]
    squares = np.bincount(orders.customer[again], np.square(np.diff(orders.day)[again[1:]], dtype=float), customers)
    usual = np.where(gaps > 0, (last - first) / np.maximum(gaps, 1), np.nan)
    spread = np.maximum(squares - gaps * np.square(np.nan_to_num(usual)), 0)
    typical = float(np.median(usual[gaps > 0])) if gaps.any() else TYPICAL_GAP
    several, own = gaps > 1, np.nan_to_num(usual, nan=typical)
    uneven = float(np.median(spread[several] / (gaps * own**2)[several])) if several.any() else 1.0
    dates = np.array([*np.arange(day.min(), day.max() + 1).astype("datetime64[D]").astype(object), None])
    first_order, last_order = (dates[np.where(ever, each - day.min(), -1)] for each in (first, last))
    return pd.DataFrame({
        "order_days": count, "first_order": first_order, "last_order": last_order,
        "age_days": np.where(ever, today - first, np.nan), "silent_days": np.where(ever, today - last, np.nan), "usual_gap_days": usual,
        "rhythm_days": (np.where(gaps > 0, last - first, 0) + BORROWED * typical) / (gaps + BORROWED),
        "unevenness": (spread / own**2 + BORROWED * uneven) / (gaps + BORROWED),
    }, copy=False)  # fmt: skip


def seasonal_indices(sales: Array, first_calendar_month: int) -> Array:
    """Twelve indices, January first: sales of each calendar month over its year's average; all 1 with fewer than two whole years."""
    years = len(sales) // 12
    recent = sales[len(sales) - years * 12 :].reshape(years, 12)
    if years < 2 or recent.min() <= 0:
        return np.ones(12)
    index = (recent / recent.mean(axis=1, keepdims=True)).mean(axis=0)
    return np.roll(index, (first_calendar_month - 1 + len(sales)) % 12)


def season_of(sales: Array, first_calendar_month: int) -> Array:
    """By month the index of the season of all customers together, of sales by customer and month."""
    season = seasonal_indices(sales.sum(axis=0), first_calendar_month)
    return np.asarray(season[(first_calendar_month - 1 + np.arange(sales.shape[1])) % 12])


def declines(sales: Array, begin: Array) -> tuple[Array, Array, Array]:
    """By customer: the month from which sales fall (its number), the share fallen, and the slope in standard errors.

    Least squares of sales by month, season taken out, on a level and a straight line from some month on; the month that fits best, at
    least `LEAST_FALLING` before the end. The share is what was bought in the `LATEST` months, against the level. Months before a
    customer's `begin` do not count; with fewer than `LEAST_MONTHS` there is no decline.
    """
    blocks = (np.array_split(each, len(sales) // BLOCK + 1) for each in (sales, begin))
    since, fall, slope = zip(*map(_declines, *blocks), strict=True)
    return np.concatenate(since), np.concatenate(fall), np.concatenate(slope)


def _declines(sales: Array, begin: Array) -> tuple[Array, Array, Array]:
    """As `declines`, every month tried at once: the sums behind a line from some month on are sums over the months after it."""
    months = sales.shape[1]
    inside = (np.arange(months)[None, :] >= begin[:, None]).astype(float)
    sales, count = sales * inside, inside.sum(axis=1)[:, None]
    start = np.arange(max(months - LEAST_FALLING, 1))
    left = months - 1 - start  # months after each start, 1 … on the line
    after, weighted = (np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in (sales, sales * np.arange(months)))
    after, weighted = (np.pad(part, ((0, 0), (0, 1)))[:, start + 1] for part in (after, weighted))
    total, line = sales.sum(axis=1)[:, None], left * (left + 1) / 2
    across = np.maximum(left * (left + 1) * (2 * left + 1) / 6 - line**2 / np.maximum(count, 1), TINY)
    mean = total / np.maximum(count, 1)
    by = (weighted - start * after - line * mean) / across
    unexplained = np.square(sales).sum(axis=1)[:, None] - total * mean - by**2 * across
    unexplained = np.maximum(unexplained, 1e-9)  # of a perfect line not zero
    level = mean - by * line / np.maximum(count, 1)
    fits = (count >= LEAST_MONTHS) & (start >= begin[:, None]) & (level > 0) & (months > LEAST_FALLING)
    best = np.where(fits, unexplained, np.inf).argmin(axis=1)[:, None]
    found = fits.any(axis=1)
    parts = (by, across, unexplained, level)
    by, across, unexplained, before = (np.take_along_axis(part, best, axis=1)[:, 0] for part in parts)
    error = np.sqrt(unexplained / np.maximum(count[:, 0] - 3, 1) / across)  # three are fitted: level, slope, month
    now = sales[:, -LATEST:].mean(axis=1)
    fall = np.where(found, 1 - now / np.where(found, before, 1), 0.0)
    return np.where(found, best[:, 0] + 1, begin), fall, np.where(found, by / error, 0.0)


@dataclass(frozen=True)
class Purchases:
    """What the buy-till-you-die models know of each customer: three numbers.

    `frequency` counts repeat purchases (the first is not one); `recency` and `age` are the time from the first purchase to the last, and to
    the end of the history, in one unit.
    """

    frequency: Array
    recency: Array
    age: Array


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

    def active_probability(self, past: Purchases) -> Array:
        """Probability (0 to 1) that the customer has not left; by the model's nature 1 without a repeat purchase."""
        repeat = np.maximum(past.frequency, 1)
        since = np.log((self.alpha + past.age) / (self.alpha + past.recency))
        odds = np.log(self.a / (self.b + repeat - 1)) + (self.r + past.frequency) * since
        # exp(700) is near the largest float
        return np.where(past.frequency > 0, 1 / (1 + np.exp(np.minimum(odds, 700))), 1.0)

    def expected_purchases(self, time: float, past: Purchases) -> Array:
        """Expected purchases in the `time` after `age`, given the past (equation 10 of the source)."""
        from scipy.special import hyp2f1

        a = self.a if abs(self.a - 1) > NEAR else 1 + NEAR
        total, end = a + self.b + past.frequency - 1, self.alpha + past.age + time
        # after Euler's transformation: stable for many purchases
        series = hyp2f1(a + self.b - 1 - self.r, a - 1, total, time / end)
        expected = total / (a - 1) * (1 - ((self.alpha + past.age) / end) ** (a - 1) * series)
        return np.asarray(expected * self.active_probability(past))


def fit_bg_nbd(past: Purchases) -> BgNbd:
    """The BG/NBD model of greatest likelihood; customers with the same history are counted once, with their number.

    Never fails to converge: parameters stay within exp(±5) of one unit of mean age. On few customers the result is finite and says
    little, which the backtest shows.
    """
    (rows, _), count, scale = _grouped(past, np.zeros(len(past.age)))
    logs, loss = _minimum(_bg_nbd_loss, [0.0, 0.0, 0.0, 1.0], [BOUND] * 4, (rows, count / count.sum()))
    r, alpha, a, b = np.exp(logs)
    total = -loss * count.sum() - np.log(scale) * (rows.frequency @ count)
    return BgNbd(float(r), float(alpha * scale), float(a), float(b), float(total))


def _bg_nbd_loss(logs: Array, past: Purchases, weight: Array) -> tuple[float, Array]:
    """Mean negative log-likelihood and its gradient, both in logarithms of r, alpha, a, b."""
    from scipy.special import digamma, gammaln

    x, recency, age = past.frequency, past.recency, past.age  # as the source writes them
    r, alpha, a, b = np.exp(logs)
    to_end, to_last = np.log(alpha + age), np.log(alpha + recency)
    stayed = -(r + x) * to_end
    left = np.where(x > 0, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * to_last, -np.inf)
    either = np.logaddexp(stayed, left)
    share = np.exp(left - either)
    rates = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    likelihood = rates + gammaln(b + x) - gammaln(a + b + x) + gammaln(a + b) - gammaln(b) + either
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

    def active_probability(self, past: Purchases, level: Array) -> Array:
        """Probability (0 to 1) that the customer has not left."""
        logs = np.log([self.r, self.alpha, self.s, self.beta])
        stayed, left = _pareto_terms(np.append(logs, self.lift), past, level)[:2]
        return np.asarray(np.exp(stayed - np.logaddexp(stayed, np.logaddexp.reduce(left, axis=1))))

    def expected_purchases(self, time: float, past: Purchases, level: Array) -> Array:
        """Expected purchases in the `time` after `age`, given the past."""
        s = self.s if abs(self.s - 1) > NEAR else 1 + NEAR
        rate = (self.r + past.frequency) / (self.alpha * np.exp(-self.lift * level) + past.age)
        begun = self.beta + past.age
        while_active = begun / (s - 1) * (1 - (begun / (begun + time)) ** (s - 1))
        return np.asarray(self.active_probability(past, level) * rate * while_active)


def fit_pareto_nbd(past: Purchases, level: Array | None = None) -> ParetoNbd:
    """The Pareto/NBD model of greatest likelihood, by quadrature and analytic gradient; `level` as `order_size_level` (default: none).

    Never fails to converge, as `fit_bg_nbd`.
    """
    (rows, levels), count, scale = _grouped(past, np.zeros(len(past.age)) if level is None else level)
    lifted = BOUND if np.ptp(levels) > 0 else 0.0
    logs, loss = _minimum(_pareto_loss, [0.0] * 5, [BOUND] * 4 + [lifted], (rows, levels, count / count.sum()))
    r, alpha, s, beta = np.exp(logs[:4])
    total = -loss * count.sum() - np.log(scale) * (rows.frequency @ count)
    return ParetoNbd(float(r), float(alpha * scale), float(s), float(beta * scale), float(logs[4]), float(total))


def _pareto_terms(logs: Array, past: Purchases, level: Array) -> tuple[Array, Array, Array, Array]:
    """Log of the likelihood's parts without its constant (still active; left at each node), and the times behind them."""
    x, recency, age = past.frequency, past.recency, past.age
    r, alpha, s, beta = np.exp(logs[:4])
    alphas = alpha * np.exp(-logs[4] * level)
    unit = 0.1 * (float(np.mean(age)) or 1.0)  # time is taken as its logarithm beyond a tenth of the mean age
    place, weight = np.polynomial.legendre.leggauss(NODES)
    first, last = np.log(unit + recency), np.log(unit + age)
    at = first[:, None] + (last - first)[:, None] * (place + 1) / 2  # nodes are even in the logarithm of time
    times = np.exp(at) - unit
    with np.errstate(divide="ignore"):
        step = np.log((last - first)[:, None] / 2 * weight) + at
    stayed = -(r + x) * np.log(alphas + age) - s * np.log(beta + age)
    left = np.log(s) - (s + 1) * np.log(beta + times) - (r + x)[:, None] * np.log(alphas[:, None] + times) + step
    return stayed, left, times, alphas


def _pareto_loss(logs: Array, past: Purchases, level: Array, weight: Array) -> tuple[float, Array]:
    """Mean negative log-likelihood and its gradient in logarithms of r, alpha, s, beta, and in the lift."""
    from scipy.special import digamma, gammaln

    x, age = past.frequency, past.age
    stayed, left, times, alphas = _pareto_terms(logs, past, level)
    r, _, s, beta = np.exp(logs[:4])
    either = np.logaddexp(stayed, np.logaddexp.reduce(left, axis=1))
    stay, leave = np.exp(stayed - either), np.exp(left - either[:, None])
    likelihood = gammaln(r + x) - gammaln(r) + r * np.log(alphas) + s * np.log(beta) + either

    def mean(function: Callable[[Array], Array], shift: Array) -> Array:
        """Of a function of a parameter plus time, over when the customer left."""
        return np.asarray(stay * function(shift + age) + (leave * function(shift[:, None] + times)).sum(axis=1))

    betas = np.full(len(x), beta)
    on_alpha = weight * (r - (r + x) * alphas * mean(np.reciprocal, alphas))
    gone = leave.sum(axis=1)
    left_at = (leave / (beta + times)).sum(axis=1)
    gradient = np.array([
        r * (weight @ (digamma(r + x) - digamma(r) + np.log(alphas) - mean(np.log, alphas))), on_alpha.sum(),
        s * (weight @ (np.log(beta) - mean(np.log, betas) + gone / s)),
        weight @ (s - s * beta * mean(np.reciprocal, betas) - beta * left_at), -on_alpha @ level,
    ])  # fmt: skip
    return -float(weight @ likelihood), -gradient


def order_size_level(order_size: Array, among: Array | None = None) -> Array:
    """How large each customer's mean order is among all (or among others): its logarithm, less the mean, in standard deviations; 0 where not positive."""
    all_sizes = order_size if among is None else among
    logs, known = np.log(all_sizes[all_sizes > 0]), order_size > 0
    level = np.zeros(len(order_size))
    if len(logs):
        level[known] = (np.log(order_size[known]) - logs.mean()) / (logs.std() or 1.0)
    return level


def _grouped(past: Purchases, level: Array) -> tuple[tuple[Purchases, Array], Array, float]:
    """Distinct histories with recency and age in mean ages, how many have each, and the mean age."""
    histories = np.column_stack([past.frequency, past.recency, past.age, level]).astype(float)
    rows, count = np.unique(histories, axis=0, return_counts=True)
    scale = float(rows[:, 2].mean()) or 1.0
    rows[:, 1:3] /= scale
    return (Purchases(*rows.T[:3]), rows[:, 3]), count, scale


def _minimum(loss: Callable[..., Any], start: list[float], bounds: list[float], data: Any) -> tuple[Array, float]:
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # a handful of parameters: threads would only wait for each other
        best = minimize(loss, np.array(start), args=data, jac=True, method="L-BFGS-B", bounds=[(-b, b) for b in bounds],
                        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300})  # fmt: skip
    return best.x, float(best.fun)


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
    return np.asarray(even[np.argsort(key)].cumsum() / np.sum(actual))
