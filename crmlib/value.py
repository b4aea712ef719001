"""Value over time: what each customer is expected to contribute in the months to come, with a range tested on the past.

Expected contribution is the margin after every cost of the customer's own (the last subtotal of its column), before tax,
discounted at the middle of each year at the cost of capital. It is an expectation, in floats, and counts today's customers only.
The models compete on the engagement's own past with the two things a manager would do: last year again, and each
customer's own rate times one factor learnt earlier. Where none beats those, the simple one is used and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlib.engagement import Period, add_months

if TYPE_CHECKING:
    from crmlib.books import Books

Array = np.ndarray[Any, np.dtype[Any]]
Frame = pd.DataFrame
LOW, HIGH = 0.10, 0.90  # the 80 % range
STEADY_SHARE, STEADY_MONTHS = 0.75, 6
FEW_CUSTOMERS = 30
SMOOTHING = [(0.1, 0.0), (0.05, 0.0), (0.05, 0.1), (0.1, 0.1), (0.2, 0.0), (0.2, 0.1), (0.4, 0.0)]  # the first where none is learnt
DAMPING = 0.9
DRAWS = 1000  # of the portfolio
BOUND = 5.0  # of the logarithm of a parameter: keeps a fit on almost no data finite


# --- buy till you die ------------------------------------------------------------------------------------------------


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
        odds = np.log(self.a / (self.b + repeat - 1)) + (self.r + frequency) * np.log((self.alpha + age) / (self.alpha + recency))
        return np.where(frequency > 0, 1 / (1 + np.exp(np.minimum(odds, 700))), 1.0)

    def expected_purchases(self, time: float, frequency: Array, recency: Array, age: Array) -> Array:
        """Expected purchases in the `time` after `age`, given the past (equation 10 of the source)."""
        from scipy.special import hyp2f1

        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        total, end = a + self.b + frequency - 1, self.alpha + age + time
        series = hyp2f1(a + self.b - 1 - self.r, a - 1, total, time / end)  # after Euler's transformation: stable for many purchases
        expected = total / (a - 1) * (1 - ((self.alpha + age) / end) ** (a - 1) * series)
        return np.asarray(expected * self.active_probability(frequency, recency, age))

    def drawn_purchases(self, time: float, frequency: Array, recency: Array, age: Array, *, draws: int, seed: int) -> Array:
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
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    histories = np.column_stack([frequency, recency, age]).astype(float)
    rows, count = np.unique(histories, axis=0, return_counts=True)
    scale = float(rows[:, 2].mean()) or 1.0
    data = (rows[:, 0], rows[:, 1] / scale, rows[:, 2] / scale, count / count.sum())
    with threadpool_limits(1):  # four parameters: threads only wait for each other
        found = minimize(_bg_nbd_loss, np.array([0.0, 0.0, 0.0, 1.0]), args=data, jac=True, method="L-BFGS-B",
                         bounds=[(-BOUND, BOUND)] * 4, options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300})  # fmt: skip
    r, alpha, a, b = np.exp(found.x)
    total = -found.fun * count.sum() - np.log(scale) * (rows[:, 0] @ count)
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
    likelihood = (gammaln(r + x) - gammaln(r) + r * np.log(alpha) + gammaln(b + x) - gammaln(a + b + x) + gammaln(a + b) - gammaln(b) + either)
    common = digamma(a + b) - digamma(a + b + x)
    gradient = np.array([
        r * (weight @ (digamma(r + x) - digamma(r) + np.log(alpha) - (1 - share) * to_end - share * to_last)),
        alpha * (weight @ (r / alpha - (r + x) * ((1 - share) / (alpha + age) + share / (alpha + recency)))),
        a * (weight @ (common + share / a)),
        b * (weight @ (common + digamma(b + x) - digamma(b) - share / (b + np.maximum(x, 1) - 1))),
    ])  # fmt: skip
    return -float(weight @ likelihood), -gradient


# --- measures --------------------------------------------------------------------------------------------------------


def margin_multiple(retention: float, discount: float) -> float:
    """Lifetime value as a multiple of a steady yearly margin, the first one a year ahead: r / (1 + i − r) (Gupta & Lehmann)."""
    return retention / (1 + discount - retention)


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


# --- history ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """What each customer did, month by month: one row per customer, one column per month from `start`.

    `contribution` is after variable cost, `assignable` the cost kept for this customer (salaries, promotion, assets …), both in
    the engagement's currency; `orders` counts (1 in a month with sales where the ledger has no orders); `sales` is the total by month.
    """

    customer_ids: Array
    start: date
    contribution: Array
    assignable: Array
    orders: Array
    sales: Array

    @property
    def months(self) -> int:
        """Months of history."""
        return int(self.orders.shape[1])

    @property
    def margin(self) -> Array:
        """Contribution less assignable cost."""
        return np.asarray(self.contribution - self.assignable)

    def until(self, months: int) -> History:
        """The first months only, every customer kept."""
        cut = [frame[:, :months] for frame in (self.contribution, self.assignable, self.orders)]
        return History(self.customer_ids, self.start, cut[0], cut[1], cut[2], self.sales[:months])

    def of(self, chosen: Array) -> History:
        """Some of the customers."""
        kept = [frame[chosen] for frame in (self.contribution, self.assignable, self.orders)]
        return History(self.customer_ids[chosen], self.start, kept[0], kept[1], kept[2], self.sales)


def history(books: Books, period: Period | None = None) -> History:
    """Every customer's months from the start of the books to the end of a period (default: of the coverage)."""
    import pyarrow.parquet as pq

    coverage = books.engagement.coverage
    end = period.end if period else coverage.end
    rows = pq.read_table(books.cache / "cube.parquet", filters=[("level", "=", "customer"), ("month", "<", end)])
    ids, position = np.unique(rows["owner"].to_numpy(), return_inverse=True)
    days = pd.DatetimeIndex(rows["month"].to_numpy())
    month = (days.year * 12 + days.month - 1 - coverage.start.year * 12 - coverage.start.month + 1).to_numpy()
    shape = (len(ids), Period(coverage.start, end).months)

    def placed(*columns: tuple[str, int]) -> Array:
        total = np.zeros(shape)
        for name, sign in columns:
            np.add.at(total, (position, month), sign * rows[name].cast("double").to_numpy())
        return total

    def lines(*classes: str) -> list[tuple[str, int]]:
        return [(line.id, line.sign) for line in books.statement.leaves if line.cls in classes]

    trade, kept = lines("revenue", "deduction", "variable"), [(name, -sign) for name, sign in lines("assignable", "asset_charge")]
    sales = placed(*lines("revenue"))
    orders = placed(("driver_orders", 1)) if "driver_orders" in rows.column_names else (sales > 0).astype(float)
    return History(ids, coverage.start, placed(*trade), placed(*kept), orders, sales.sum(axis=0))


def rhythm(past: History) -> Frame:
    """By customer: first_order and last_order (month's number, -1 if none), months_silent since, usual_gap (months between ordering months).

    Also ordering_months, age (months from the first order to the end of the history) and steady: orders in three of four months for a year
    or more. The mean gap is nan with fewer than two ordering months.
    """
    bought = past.orders > 0
    ordering, ever = bought.sum(axis=1), bought.any(axis=1)
    first = np.where(ever, bought.argmax(axis=1), -1)
    last = np.where(ever, past.months - 1 - bought[:, ::-1].argmax(axis=1), -1)
    age = np.where(ever, past.months - 1 - first, 0)
    gap = np.where(ordering > 1, (last - first) / np.maximum(ordering - 1, 1), np.nan)
    steady = ever & (age + 1 >= STEADY_MONTHS) & (ordering >= STEADY_SHARE * (age + 1))
    return pd.DataFrame({"first_order": first, "last_order": last, "ordering_months": ordering, "age": age, "usual_gap": gap,
                         "months_silent": np.where(ever, past.months - 1 - last, past.months), "steady": steady}, index=past.customer_ids)  # fmt: skip


# --- models: a history → expected margin of the next months, by customer, not discounted ------------------------------------------


def last_year_again(past: History, months: int) -> Array:
    """The margin of the last twelve months (or of all, if fewer), at the same pace."""
    latest = past.margin[:, -12:]
    return np.asarray(latest.mean(axis=1) * months)


def own_rate(past: History, months: int) -> Array:
    """Each customer's own margin a month since its first month × the months × one factor learnt at an earlier origin."""
    learnt = _learning(past, months)
    factor = 1.0
    if learnt:
        before, actual = learnt
        expected, realised = (_rate(before) * actual.shape[1]).sum(), actual.sum()
        factor = float(realised / expected) if expected > 0 and realised > 0 else 1.0
    return np.asarray(_rate(past) * months * factor)


def _rate(past: History) -> Array:
    age = past.months - (past.margin != 0).argmax(axis=1)
    return np.asarray(past.margin.sum(axis=1) / age)


def _learning(past: History, months: int) -> tuple[History, Array] | None:
    """An earlier origin within the past and what then happened to those already customers; None where it is too short."""
    if past.months < 2 * months:
        return None
    before = past.until(past.months - months)
    known = (before.margin != 0).any(axis=1)
    return (before.of(known), past.margin[known, -months:]) if known.any() else None


def level_and_trend(past: History, months: int) -> Array:
    """Smoothed contribution with damped trend and the season of total sales − assignable cost at last year's pace.

    One pair of smoothing weights for all, learnt at an earlier origin. Source: Gardner & McKenzie (1985), Forecasting trends in
    time series, Management Science 31(10).
    """
    learnt, weights = _learning(past, months), SMOOTHING[0]
    if learnt:
        before, actual = learnt
        target = actual.sum(axis=1) + _assignable_that_goes_on(before, months)
        errors = [np.square(_smoothed(before, months, w) - target).sum() for w in SMOOTHING]
        weights = SMOOTHING[int(np.argmin(errors))]
    return _smoothed(past, months, weights) - _assignable_that_goes_on(past, months)


def _assignable_that_goes_on(past: History, months: int) -> Array:
    return np.asarray(past.assignable[:, -12:].mean(axis=1) * months)


def _smoothed(past: History, months: int, weights: tuple[float, float]) -> Array:
    season = seasonal_indices(past)
    index = (past.start.month - 1 + np.arange(past.months + months)) % 12
    adjusted = past.contribution / season[index[: past.months]]
    begin = (past.margin != 0).argmax(axis=1)
    opening = np.arange(past.months)[None, :] - begin[:, None]
    level = (adjusted * (opening >= 0) * (opening < 6)).sum(axis=1) / np.minimum(6, past.months - begin)
    trend = np.zeros(len(level))
    for month in range(past.months):
        since = opening[:, month] >= 0
        error = (adjusted[:, month] - level - DAMPING * trend) * since
        level = level + DAMPING * trend * since + weights[0] * error
        trend = np.where(since, DAMPING * trend + weights[0] * weights[1] * error, 0.0)
    ahead = season[index[past.months :]]
    damped = DAMPING * (1 - DAMPING ** np.arange(1, months + 1)) / (1 - DAMPING)
    return np.asarray(level * ahead.sum() + trend * (damped @ ahead))


def seasonal_indices(past: History) -> Array:
    """Total sales of each calendar month over the average month, from whole years; all 1 with fewer than two years."""
    years = past.months // 12
    recent = past.sales[past.months - years * 12 :]
    if years < 2 or recent.min() <= 0:
        return np.ones(12)
    by_position = (recent.reshape(years, 12) / recent.reshape(years, 12).mean(axis=1, keepdims=True)).mean(axis=0)
    return np.roll(by_position, (past.start.month - 1 + past.months) % 12)


def bg_nbd_value(past: History, months: int) -> Array:
    """Expected ordering months (BG/NBD) × contribution per ordering month, shrunk − assignable cost while the customer stays.

    Assignable cost goes on at the pace of the last twelve months as long as the customer is active.
    """
    found = rhythm(past)
    ever = (found["last_order"] >= 0).to_numpy()
    if not ever.any():
        return last_year_again(past, months)
    x, recency, age = _buying(found)
    model = fit_bg_nbd(x[ever], recency[ever], age[ever])
    expected = np.where(ever, model.expected_purchases(months, x, recency, age), 0.0)
    active = np.where(ever, model.active_probability(x, recency, age), 1.0)
    per_order = contribution_per_ordering_month(past, found["ordering_months"].to_numpy())
    return np.asarray(expected * per_order - active * _assignable_that_goes_on(past, months))


def _buying(found: Frame) -> tuple[Array, Array, Array]:
    """Repeat ordering months, recency and age in months, as the BG/NBD takes them."""
    x = np.maximum(found["ordering_months"].to_numpy() - 1, 0).astype(float)
    recency = (found["last_order"] - found["first_order"]).to_numpy().astype(float)
    return x, recency, found["age"].to_numpy().astype(float)


def contribution_per_ordering_month(past: History, ordering: Array) -> Array:
    """Contribution per ordering month, shrunk to the group's mean by how much customers differ and months scatter; may be negative.

    Weight of the customer's own mean: n / (n + variance within / variance between), both by moments.
    """
    n = np.maximum(ordering, 1)
    own = past.contribution.sum(axis=1) / n
    ordered = ordering > 0
    if ordered.sum() < 2:
        return own
    group = np.average(own[ordered], weights=n[ordered])
    scatter = (np.square(past.contribution - own[:, None]) * (past.orders > 0)).sum(axis=1)
    within = scatter.sum() / max((n - 1).sum(), 1)
    between = max(float(np.var(own[ordered]) - within * np.mean(1 / n[ordered])), 0.0)
    weight = n * between / (n * between + within) if between > 0 else np.zeros(len(n))
    return np.asarray(np.where(ordered, weight * own + (1 - weight) * group, 0.0))


Model = Callable[[History, int], Array]
SIMPLE: dict[str, Model] = {"last year again": last_year_again, "own rate × factor": own_rate}
MODELS: dict[str, Model] = {**SIMPLE, "level, trend and season": level_and_trend, "BG/NBD": bg_nbd_value}


def forecasts(past: History, months: int) -> dict[str, Array]:
    """Every model's forecast, and the average of all four: what each gets wrong by itself partly cancels."""
    found = {name: model(past, months) for name, model in MODELS.items()}
    return {**found, "average of models": np.asarray(np.mean(list(found.values()), axis=0))}


# --- the backtest ----------------------------------------------------------------------------------------------------

TESTED = ["group", "model", "months", "origins", "customers", "error", "gini", "top_fifth_share", "bias", "coverage", "chosen"]


def spread(past: History, months: int) -> Array:
    """How far a customer's total of so many months may scatter, in money: from its own months, wider where there are few."""
    begin = (past.margin != 0).argmax(axis=1)
    count = past.months - begin
    inside = np.arange(past.months)[None, :] >= begin[:, None]
    mean = past.margin.sum(axis=1) / count
    variance = (np.square(past.margin - mean[:, None]) * inside).sum(axis=1) / count
    size = np.abs(past.contribution).sum(axis=1) / count
    total = np.sqrt((months * variance + np.square(0.1 * months * size)) * (1 + 6 / count))
    return np.maximum(total, 0.01 * float(np.median(total)) + 1e-9)


def _groups(past: History) -> dict[str, Array]:
    steady = rhythm(past)["steady"].to_numpy()
    return {name: chosen for name, chosen in (("steady", steady), ("occasional", ~steady)) if chosen.any()}


def _trials(past: History, months: int) -> Frame:
    """Every model at every origin: one row per origin, group, customer and model with expected, actual and spread.

    Origins lie three months apart, the first after as many months as are forecast, the last so many before the end.
    """
    rows = []
    for origin in range(past.months - months, months - 1, -3):
        known = past.until(origin)
        there = (known.margin != 0).any(axis=1)
        known, actual = known.of(there), past.margin[there, origin : origin + months].sum(axis=1)
        for group, chosen in _groups(known).items():
            of_group = known.of(chosen)
            scale = spread(of_group, months)
            rows += [pd.DataFrame({"origin": origin, "group": group, "model": name, "expected": expected,
                                   "actual": actual[chosen], "spread": scale}) for name, expected in forecasts(of_group, months).items()]  # fmt: skip
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["origin", "group", "model", "expected", "actual", "spread"])


def _backtest(trials: Frame, months: int) -> Frame:
    """The trials by group and model, with the model chosen (columns TESTED); the simple ones win unless both are beaten."""
    rows = []
    for (group, model), tried in trials.groupby(["group", "model"], sort=False):
        by_origin = [(t["actual"].to_numpy(), t["expected"].to_numpy()) for _, t in tried.groupby("origin")]
        error = float(np.sqrt(np.square(tried["expected"] - tried["actual"]).mean()))
        total = tried["actual"].sum()
        rows.append((group, model, months, len(by_origin), len(tried) // len(by_origin), error,
                     *(float(np.nanmean([f(a, e) for a, e in by_origin] or [np.nan])) for f in (ranking_gini, top_share)),
                     (tried["expected"].sum() - total) / abs(total) if total else float("nan"), _coverage(tried, months)))  # fmt: skip
    tested = pd.DataFrame(rows, columns=TESTED[:-1])
    best = tested.groupby("group")["error"].transform("min") if rows else tested["error"]
    return tested.assign(chosen=(tested["error"] == best) & ~tested.duplicated(["group", "error"]))


def _residuals(tried: Frame) -> Array:
    return ((tried["actual"] - tried["expected"]) / tried["spread"]).to_numpy()


def _coverage(tried: Frame, months: int) -> float:
    """Share of customers inside ranges made only from origins whose months had passed; nan where there is none."""
    held: list[Array] = []
    for origin, now in tried.groupby("origin"):
        earlier = tried[tried["origin"] + months <= origin]
        if len(earlier):
            low, high = np.quantile(_residuals(earlier), [LOW, HIGH])
            found = _residuals(now)
            held.append((found >= low) & (found <= high))
    return float(np.concatenate(held).mean()) if held else float("nan")


# --- value -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Valuation:
    """What customers are expected to contribute after the end of the books, in the engagement's currency.

    Attributes
    ----------
    customers
        One row per customer: customer_id, group, model, expected (discounted, before tax, for `months` months), low and high (80 %),
        expected_24 and expected_36 (the first 24 and 36 months), active_probability, last_order, months_silent, usual_gap (months).
    portfolio
        One row per horizon: months, expected, low, high (simulated; nan beyond `months`), tested, and status in words.
    backtest
        One row per group and model, not discounted: error (root mean square, a customer), gini (of the model's ranking over the best
        ranking's), top_fifth_share (of actual margin), bias (of the total), coverage (of the range), chosen.
    warnings
        Plain sentences for the reader.
    """

    months: int
    discount_rate: float
    customers: Frame
    portfolio: Frame
    backtest: Frame
    warnings: tuple[str, ...]


def customer_value(books: Books, *, months: int = 12, seed: int = 0) -> Valuation:
    """The expected contribution of each of today's customers over the months after the books end, and of all together."""
    past = history(books)
    past = past.of((past.margin != 0).any(axis=1) | (past.orders > 0).any(axis=1))
    return value_of(past, discount_rate=float(books.engagement.settings.rates.cost_of_capital), months=months, seed=seed)


def value_of(past: History, *, discount_rate: float = 0.0, months: int = 12, seed: int = 0) -> Valuation:
    """As `customer_value`, from a history."""
    tested_months = months if past.months >= 2 * months else past.months // 2
    trials = _trials(past, tested_months) if tested_months >= 3 else _trials(past, past.months + 1)
    backtest = _backtest(trials, tested_months)
    rng = np.random.default_rng(seed)
    parts, draws = [], np.zeros(DRAWS)
    for group, chosen in _groups(past).items():
        model = _chosen(backtest, group)
        tried = trials[(trials["group"] == group) & (trials["model"] == model)]
        part, drawn = _group_value(past.of(chosen), model, tried, (months, discount_rate), rng)
        parts.append(part.assign(group=group, model=model))
        draws += drawn
    customers = pd.concat(parts).sort_values(["expected", "customer_id"], ascending=[False, True], ignore_index=True)
    portfolio = _portfolio(customers, draws, months, tested_months if len(trials) else 0, past.months)
    return Valuation(months, discount_rate, customers, portfolio, backtest, tuple(_warnings(past, backtest, months, tested_months)))


def _chosen(backtest: Frame, group: str) -> str:
    best = backtest[(backtest["group"] == group) & backtest["chosen"]]["model"]
    return str(best.iloc[0]) if len(best) else "last year again"


def discount_factor(rate: float, start_month: int, months: int) -> float:
    """What money that comes evenly over some months is worth at the start: 1 / (1 + rate) to the middle of them, in years."""
    return float((1 + rate) ** -((start_month + months / 2) / 12))


def _group_value(past: History, model: str, tried: Frame, terms: tuple[int, float], rng: np.random.Generator) -> tuple[Frame, Array]:
    """One group's customers with range, and draws of its total."""
    months, rate = terms
    reach = {ahead: forecasts(past, ahead)[model] for ahead in {months, 12, 24, 36}}
    years = [reach[12], reach[24] - reach[12], reach[36] - reach[24]]
    worth = np.cumsum([year * discount_factor(rate, 12 * i, 12) for i, year in enumerate(years)], axis=0)
    today = discount_factor(rate, 0, months)
    expected, scale = reach[months] * today, spread(past, months) * today
    pool, shock = _errors(tried, rng)
    low, high = np.quantile(pool, [LOW, HIGH])
    found = rhythm(past)
    x, recency, age = _buying(found)
    active = _active(found, x, recency, age)
    frame = pd.DataFrame({
        "customer_id": past.customer_ids, "group": "", "model": "", "expected": expected, "low": expected + scale * min(low, 0),
        "high": expected + scale * max(high, 0), "expected_24": worth[1], "expected_36": worth[2], "active_probability": active,
        "last_order": [add_months(past.start, int(m)) if m >= 0 else None for m in found["last_order"]],
        "months_silent": found["months_silent"].to_numpy(), "usual_gap": found["usual_gap"].to_numpy(),
    })  # fmt: skip
    own = pool - pool.mean()
    drawn = np.array([scale @ rng.choice(own, len(scale)) for _ in range(DRAWS)])
    return frame, expected.sum() + drawn + shock * scale.sum()


def _errors(tried: Frame, rng: np.random.Generator) -> tuple[Array, Array]:
    """Standardised errors of the past, and draws of the error that all customers share: wider (Student's t) the fewer the origins."""
    if tried.empty:
        return 2 * rng.standard_t(3, 2000), rng.standard_t(1.5, DRAWS) * 0.5
    shared = [(t["actual"] - t["expected"]).sum() / t["spread"].sum() for _, t in tried.groupby("origin")]
    return _residuals(tried), rng.standard_t(max(len(shared), 2), DRAWS) * float(np.sqrt(np.mean(np.square(shared))))


def _active(found: Frame, x: Array, recency: Array, age: Array) -> Array:
    ever = found["last_order"].to_numpy() >= 0
    if not ever.any():
        return np.full(len(x), np.nan)
    return np.where(ever, fit_bg_nbd(x[ever], recency[ever], age[ever]).active_probability(x, recency, age), np.nan)


def _portfolio(customers: Frame, draws: Array, months: int, tested: int, held: int) -> Frame:
    """The total by horizon, with what the past says about it."""
    rows = []
    for ahead, column in ((months, "expected"), (24, "expected_24"), (36, "expected_36")):
        low, high = np.quantile(draws, [LOW, HIGH]) if column == "expected" else (np.nan, np.nan)
        was_tested = column == "expected" and tested == months
        status = "tested on the past" if was_tested else f"tested over {tested} months only" if column == "expected" and tested else "extrapolated, not tested"
        rows.append((ahead, customers[column].sum(), low, high, was_tested, status))
    return pd.DataFrame(rows, columns=["months", "expected", "low", "high", "tested", "status"])


def _warnings(past: History, backtest: Frame, months: int, tested_months: int) -> list[str]:
    said = []
    if backtest.empty:
        said.append(f"The books hold {past.months} month(s): no forecast can be tested, so last year's pace is carried on and ranges are wide guesses.")
    elif tested_months < months:
        said.append(f"The books hold {past.months} months: forecasts were tested over {tested_months} months only, not {months}.")
    for group, chosen in _groups(past).items():
        if chosen.sum() < FEW_CUSTOMERS:
            said.append(f"Only {chosen.sum()} {group} customer(s): the choice of the model and the range rest on little.")
        if not backtest.empty and _chosen(backtest, group) in SIMPLE:
            said.append(f"{group.capitalize()} customers: no model beat the simple “{_chosen(backtest, group)}” on this ledger, so that is used.")
    if not backtest.empty and backtest["coverage"].isna().all():
        said.append("The range itself could not be tested: the books are too short to make it at one time and check it at a later one.")
    return said
