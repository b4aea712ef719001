"""The forecasts tried on the past: which is chosen, how its total is corrected, how wide its ranges are, and whether they would have held.

All is learnt by the state that customers are in, from origins: months at which only what came before is known. What is said of ranges and of the
total is tested at origins that were held back: only origins whose twelve months had passed by then taught what is tested there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crmlib.books.stored import Frame
from crmlib.forecasts import APART, AVERAGE, MODELS, OPENING, YEAR, History, forecasts
from crmlib.purchases import Array, ranking_gini, top_share

LOW, HIGH = 0.10, 0.90  # the 80 % range
HOLDS = (0.75, 0.85)  # share of customers inside it, at origins held back, from which it is told
TOTAL_HOLDS = (2 / 3, 1.0)  # the same of origins and the total: of a handful, two in three is what 80 % may give
FEW = 50  # errors of customers of one kind and size, below which those of the kind, and of all, stand for them
THIRDS = (1 / 3, 2 / 3)  # where kinds are parted by size
MANY, BLOCK = 5_000, 100_000  # customers beyond which a random sample is tried; that are forecast at a time
DRAWS, DRAWN_ALONE = 1000, 2000  # of the total; customers up to which each is drawn, beyond it their sum is normal
DRIFT_SHARE = 0.1  # of a year's contribution, by which it may move though months are level: months alone do not show what years do
NAMES = (*MODELS, AVERAGE)
EVERYBODY = "all"


@dataclass(frozen=True)
class Lessons:
    """What origins taught, by kind of customers: the model of least error, the correction of its total (a share), and errors.

    `errors` has one row per customer and origin: group, size (0 to 2), origin, error (in spreads, corrected), missed and uncorrected (money, before
    any correction); `cuts` part sizes by the spread; `years` is how many years that do not overlap the origins saw.
    """

    models: dict[str, str]
    corrections: dict[str, float]
    errors: Frame
    cuts: dict[str, Array]
    years: float


def outlook(past: History, known: History | None = None, models: tuple[str, ...] = NAMES) -> Frame:
    """What can be said of the next year: group, spread, and each model's forecast; one row per customer, in order."""
    made = forecasts(past, known, models)
    group = past.rhythm["state"].replace("no order", "lost").to_numpy()
    return made.assign(group=group, spread=spread(past), may_lose=past.can_lose)


def spread(past: History) -> Array:
    """How far a customer's year may scatter, in money: from its own months, drawn towards the typical customer's where there are few.

    Errors are told in it, so that large and small, level and restless customers can be held against each other.
    """
    count = past.months - past.begin
    inside = np.arange(past.months)[None, :] >= past.begin[:, None]
    mean = (past.margin.sum(axis=1) / count)[:, None]
    variance = (np.square(past.margin - mean) * inside).sum(axis=1) / count
    size = np.abs(past.contribution).sum(axis=1) / count + np.finfo(float).eps
    typical = float(np.median(variance / np.square(size)))
    drawn = (count * variance + OPENING * typical * np.square(size)) / (count + OPENING)
    # of the year's sum, and of the mean of so many months that it is forecast from
    scatter = YEAR * drawn * (1 + YEAR / count)
    return np.asarray(np.sqrt(scatter + np.square(DRIFT_SHARE * YEAR * size)))


def trials(past: History, *, seed: int = 0) -> Frame:
    """Every model at every origin: origin, customer (its place), actual, and the columns of `outlook`; one row per customer known at the origin.

    Origins lie `APART` months, the first with `OPENING` months of books behind it, the last twelve before the end.
    """
    rows, past = [], past.drawn(MANY, seed)
    for origin in range(past.months - YEAR, OPENING - 1, -APART):
        customers = past.known_by(origin).nonzero()[0]
        later = past.margin[customers, origin : origin + YEAR].sum(axis=1)
        rows.append(outlook(past.until(origin)).assign(origin=origin, customer=customers, actual=later))
    return pd.concat([part for part in rows if len(part)], ignore_index=True)


def learnt(tried: Frame) -> Lessons:
    """What these origins teach: those with a year of books behind them, where there are such, since with less all models know less."""
    tried = tried[tried["origin"] >= min(YEAR, tried["origin"].max())]
    years = 1 + float(np.ptp(tried["origin"])) / YEAR
    groups = {EVERYBODY: tried, **{str(name): rows for name, rows in tried.groupby("group", sort=False)}}
    models = {name: least_error(rows if len(rows) >= FEW else tried) for name, rows in groups.items()}
    made = {name: rows[models[name]] for name, rows in groups.items()}
    corrections = {name: _correction(rows["actual"] - made[name], made[name], years) for name, rows in groups.items()}
    cuts = {name: np.quantile(rows["spread"], THIRDS) for name, rows in groups.items()}
    lessons = Lessons(models, corrections, tried.iloc[:0], cuts, years)
    rows = expected(tried, lessons)
    error, missed = (rows["actual"] - rows["expected"]) / rows["spread"], rows["actual"] - rows["uncorrected"]
    errors = rows[["group", "size", "origin", "uncorrected"]].assign(error=error, missed=missed)
    return Lessons(models, corrections, errors, cuts, years)


def least_error(tried: Frame) -> str:
    """The model with the least mean square over these trials, the simpler where two are alike; the average of models where it is not worse for sure.

    Not for sure: by less than the standard error of the difference. One large customer may else decide, and averages are rarely far off (Bates & Granger 1969,
    The combination of forecasts).
    """
    squares = tried[list(NAMES)].sub(tried["actual"], axis=0).pow(2)
    best = str(squares.mean().idxmin())
    # a customer's origins are no independent trials
    worse = (squares[AVERAGE] - squares[best]).groupby(tried["customer"]).sum()
    return AVERAGE if worse.sum() < np.sqrt(np.square(worse).sum()) else best


def _correction(missed: pd.Series, forecast: pd.Series, years: float) -> float:
    """The share by which forecasts of a kind fell short of its total, drawn towards none.

    First by what chance would do (1 − squared standard error / squared bias; James & Stein 1961), then by n / (n + 1) for n years seen: what one
    year missed is half the year's own.
    """
    total = float(forecast.abs().sum())
    if total <= 0:
        return 0.0
    bias, error = missed.sum() / total, np.sqrt(np.square(missed).sum()) / total
    by_chance = max(0.0, 1 - (error / bias) ** 2) if bias else 0.0
    return float(np.clip(bias * by_chance * years / (years + 1), -1, 1))


def expected(rows: Frame, lessons: Lessons) -> Frame:
    """The outlook with model, expected (the chosen model's forecast, corrected) and size (0 to 2)."""
    kind = rows["group"].where(rows["group"].isin(lessons.models), EVERYBODY)
    model = kind.map(lessons.models)
    place = pd.Index(rows.columns).get_indexer(pd.Index(model))
    forecast = rows.to_numpy()[np.arange(len(rows)), place].astype(float)
    small, large = (kind.map({name: cuts[end] for name, cuts in lessons.cuts.items()}) for end in (0, 1))
    size = (rows["spread"] > small).astype(int) + (rows["spread"] > large)
    corrected = forecast + kind.map(lessons.corrections).to_numpy() * np.abs(forecast)
    return rows.assign(model=model, expected=corrected, uncorrected=forecast, size=size)


def with_range(rows: Frame, lessons: Lessons) -> Frame:
    """Those of `expected` with low and high: the quantiles of the errors of the same kind and size (Vovk, Gammerman & Shafer 2005, conformal).

    Where nobody can lose a range does not go below nought.
    """
    low, high = np.zeros(len(rows)), np.zeros(len(rows))
    for (group, size), part in rows.reset_index(drop=True).groupby(["group", "size"]):
        low[part.index], high[part.index] = _quantiles(_pool(lessons.errors, group, size))
    reach = rows["spread"].to_numpy()
    low, high = (np.asarray(rows["expected"] + reach * side) for side in (np.minimum(low, 0), np.maximum(high, 0)))
    return rows.assign(low=np.where(rows["may_lose"], low, np.maximum(low, 0)), high=high)


def _pool(errors: Frame, group: object, size: object) -> Array:
    of_kind = errors["group"] == group
    for chosen in (of_kind & (errors["size"] == size), of_kind):
        if chosen.sum() >= FEW:
            return errors.loc[chosen, "error"].to_numpy()
    return errors["error"].to_numpy()


def _quantiles(errors: Array) -> tuple[float, float]:
    """The range that holds 80 % of errors like these, one more of which is to come."""
    count = len(errors)
    ends = np.clip([LOW * (count + 1) / count - 1 / count, HIGH * (count + 1) / count], 0, 1)
    low, high = np.quantile(errors, ends)
    return float(low), float(high)


def totals(rows: Frame, lessons: Lessons, rng: np.random.Generator) -> Array:
    """Draws of the total of `expected`: each customer's own error, and one that all of a kind share in a year, kinds together.

    The shared one is what the totals missed at an origin drawn at random, before any correction, with either sign, by a t distribution with as many
    degrees of freedom as years were seen: few years say little of how bad one may be.
    """
    alone = np.zeros(DRAWS)
    for (group, size), part in rows.groupby(["group", "size"]):
        reach, pool = part["spread"].to_numpy(), _pool(lessons.errors, group, size)
        own = pool - pool.mean()
        if len(part) > DRAWN_ALONE:
            alone += rng.normal(0, own.std() * np.sqrt(reach @ reach), DRAWS)
        else:
            alone += rng.choice(own, (DRAWS, len(part))) @ reach
    size_of = lessons.errors.assign(uncorrected=lessons.errors["uncorrected"].abs())
    sums = size_of.groupby(["group", "origin"])[["missed", "uncorrected"]].sum()
    shares = (sums["missed"] / sums["uncorrected"].where(sums["uncorrected"] > 0)).unstack("group").fillna(0)
    weight = rows["expected"].abs().groupby(rows["group"]).sum().reindex(shares.columns, fill_value=0)
    shared = shares.to_numpy() @ weight.to_numpy()
    freedom = lessons.years
    tails = rng.choice([-1, 1], DRAWS) * np.sqrt(freedom / rng.chisquare(freedom, DRAWS))
    return np.asarray(rows["expected"].sum() + alone + rng.choice(shared, DRAWS) * tails)


def held_back(tried: Frame, *, seed: int = 0) -> tuple[Frame, Frame]:
    """Ranges made at each origin by what earlier ones taught, and what came.

    Returns
    -------
    One row per customer and origin that had an earlier one: origin, group, expected, low, high, actual; and one per origin: origin, expected, low, high and
    actual of the total.
    """
    rng, rows, sums = np.random.default_rng(seed), [], []
    for origin, now in tried.groupby("origin"):
        earlier = tried[tried["origin"] + YEAR <= origin]
        if len(earlier):
            lessons = learnt(earlier)
            made = with_range(expected(now, lessons), lessons)
            rows.append(made[["origin", "group", "expected", "low", "high", "actual"]])
            low, high = np.quantile(totals(made, lessons, rng), [LOW, HIGH])
            sums.append((origin, made["expected"].sum(), low, high, made["actual"].sum()))
    names = ["origin", "expected", "low", "high", "actual"]
    ranged = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[*names, "group"])
    return ranged, pd.DataFrame(sums, columns=names)


def backtest(tried: Frame, lessons: Lessons) -> Frame:
    """The trials by group and model, not corrected.

    Returns
    -------
    group, model, origins, customers, error (root mean square by customer), absolute_error (mean), gini (of the ranking over the best
    ranking's), top_fifth_share (of the actual margin), bias_share (of the total) and chosen.
    """
    rows = []
    for group, part in tried.groupby("group", sort=False):
        origins, total = [each for _, each in part.groupby("origin")], float(part["actual"].sum())
        for model in NAMES:
            missed = part[model] - part["actual"]
            pairs = [(each["actual"].to_numpy(), each[model].to_numpy()) for each in origins]
            ranking = [np.mean([measure(*pair) for pair in pairs]) for measure in (ranking_gini, top_share)]
            bias = missed.sum() / abs(total) if total else float("nan")
            rows.append((group, model, len(origins), round(len(part) / len(origins)), np.sqrt(np.square(missed).mean()), missed.abs().mean(), *ranking,
                         bias, lessons.models.get(str(group), lessons.models[EVERYBODY]) == model))  # fmt: skip
    ranks = ["gini", "top_fifth_share"]
    names = ["group", "model", "origins", "customers", "error", "absolute_error", *ranks, "bias_share", "chosen"]
    return pd.DataFrame(rows, columns=names)
