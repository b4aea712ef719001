"""How well value over time is forecast: ours beside lifetimes and pymc-marketing on CDNOW, the same split, one table.

    python benchmarks/value.py --data DIR      DIR holds cdnow_sample.parquet
    python benchmarks/value.py --b2b           a generated ledger (b2b.py): what was forecast of its kept-back year, beside the manager's rules

Calibrated on 39 weeks (to 1997-09-30), compared with the next 39; nothing is taken from the latter, and the choice of a model neither.
For the amounts and ranges it is the likelihood model of least AIC in the 39 weeks; for who comes first it is the forecast of highest Gini,
on average, over what came after 20 and after 26 of those weeks. Libraries that are not installed are left out with a message; they are
no dependencies of the workbook.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the oracles' environment has no crmlib
from crmlib import purchases

END, WEEKS, INNER = pd.Timestamp("1997-09-30"), 39, (20, 26)
AVERAGE = "average of ours"
Fit = Callable[[], Any]
Forecast = Callable[[float], np.ndarray]  # weeks → expected purchases by customer


def order_days(folder: Path) -> pd.DataFrame:
    """By customer and day: dollars and units."""
    bought = pd.read_parquet(folder / "cdnow_sample.parquet")
    bought["day"] = pd.to_datetime(bought["date"].astype(str))
    return bought.groupby(["customer_id", "day"], as_index=False)[["dollars", "cds"]].sum()


def history(days: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """By customer, to a day: x, recency, age (weeks), mean dollars and units of an order."""
    before = days[days["day"] <= end].groupby("customer_id")
    first, last, count = before["day"].min(), before["day"].max(), before.size()
    times = {"x": count - 1, "recency": (last - first).dt.days / 7, "age": (end - first).dt.days / 7}
    return pd.DataFrame({**times, "dollars": before["dollars"].mean(), "units": before["cds"].mean()}).astype(float)


def later(days: pd.DataFrame, end: pd.Timestamp, weeks: int, customers: pd.Index) -> np.ndarray:
    """Purchases in the weeks after a day."""
    after = days[(days["day"] > end) & (days["day"] <= end + pd.Timedelta(weeks=weeks))]
    return after.groupby("customer_id").size().reindex(customers).fillna(0).to_numpy(dtype=float)


def own_rate(days: pd.DataFrame, end: pd.Timestamp) -> Forecast:
    """Each customer's own rate × the factor that the second half of the past would have needed."""
    weeks = int((end - days["day"].min()).days / 14)
    middle = end - pd.Timedelta(weeks=weeks)
    early, now = history(days, middle), history(days, end)
    factor = later(days, middle, weeks, early.index).sum() / (_rate(early).sum() * weeks)
    return lambda ahead: _rate(now) * factor * ahead


def _rate(past: pd.DataFrame) -> np.ndarray:
    return (past["x"] / past["age"].clip(lower=1 / 7)).to_numpy()


LIKELY = ("ours: BG/NBD", "ours: Pareto/NBD", "ours: Pareto/NBD by order value", "ours: Pareto/NBD by order units")


def fitted(name: str, past: pd.DataFrame) -> tuple[Any, tuple[Any, ...]]:
    """One of our likelihood models, and the histories that it takes."""
    orders = purchases.Purchases(*(past[c].to_numpy() for c in ("x", "recency", "age")))
    if "BG" in name:
        return purchases.fit_bg_nbd(orders), (orders,)
    if " by " not in name:
        return purchases.fit_pareto_nbd(orders), (orders, np.zeros(len(past)))
    size = past["dollars" if "value" in name else "units"].to_numpy()
    level = purchases.order_size_level(size)
    return purchases.fit_pareto_nbd(orders, level), (orders, level)


def drawn(
    model: Any, time: float, past: purchases.Purchases, level: Any = None, *, draws: int, seed: int
) -> np.ndarray:
    """Simulated purchases in the `time` after `age`: one row per customer, one column per draw."""
    rng, shape = np.random.default_rng(seed), (len(past.frequency), draws)
    alpha = model.alpha if level is None else model.alpha * np.exp(-model.lift * level)
    rate = rng.gamma((model.r + past.frequency)[:, None], 1 / (alpha + past.age)[:, None], shape)
    if level is None:  # BG/NBD: a customer may leave after each purchase
        leaving = np.clip(rng.beta(model.a, (model.b + past.frequency)[:, None], shape), 1e-12, 1)
        active = rng.random(shape) < model.active_probability(past)[:, None]
        return np.where(active, np.minimum(rng.poisson(rate * time), rng.geometric(leaving)), 0)
    leaving = np.maximum(rng.gamma(model.s, 1 / (model.beta + past.age)[:, None], shape), 1e-300)
    active = rng.random(shape) < model.active_probability(past, level)[:, None]
    return np.where(active, rng.poisson(rate * np.minimum(rng.exponential(1.0, shape) / leaving, time)), 0)


def shortest_range(draws: np.ndarray, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """By row of draws: the ends (inclusive) of the shortest range that holds the share of them."""
    ordered, size = np.sort(draws, axis=1), int(np.ceil(share * draws.shape[1]))
    start = (ordered[:, size - 1 :] - ordered[:, : draws.shape[1] - size + 1]).argmin(axis=1)
    row = np.arange(len(draws))
    return ordered[row, start], ordered[row, start + size - 1]


def ours(days: pd.DataFrame, end: pd.Timestamp, weeks: int) -> pd.DataFrame:
    """Expected purchases in the weeks after a day, by customer: our models, and the mean of them all."""
    past = history(days, end)
    found = {"own rate × factor": own_rate(days, end)(weeks)}
    for name in LIKELY:
        model, data = fitted(name, past)
        found[name] = model.expected_purchases(weeks, *data)
    return pd.DataFrame(found, index=past.index).assign(**{AVERAGE: lambda t: t.mean(axis=1)})


def inner_gini(days: pd.DataFrame) -> pd.Series:
    """By forecast: its mean Gini over what came later within the calibration."""
    found = []
    for known in INNER:
        end = END - pd.Timedelta(weeks=WEEKS - known)
        expected = ours(days, end, WEEKS - known)
        actual = later(days, end, WEEKS - known, expected.index)
        found.append(expected.apply(lambda e, a=actual: purchases.ranking_gini(a, e.to_numpy())))
    return pd.concat(found, axis=1).mean(axis=1)


def aic(model: Any) -> float:
    free = 4 + (getattr(model, "lift", 0.0) != 0)
    return 2 * free - 2 * model.log_likelihood


def lifetimes_model(past: pd.DataFrame, name: str) -> np.ndarray:
    data = [past[c] for c in ("x", "recency", "age")]
    model = getattr(importlib.import_module("lifetimes"), name)(penalizer_coef=0.0).fit(*data)
    return np.asarray(model.conditional_expected_number_of_purchases_up_to_time(WEEKS, *data))


def pymc_model(past: pd.DataFrame, name: str) -> np.ndarray:
    data = past.rename(columns={"x": "frequency", "age": "T"}).assign(customer_id=np.arange(len(past)))
    data = data[["customer_id", "frequency", "recency", "T"]]
    model = getattr(importlib.import_module("pymc_marketing.clv"), name)(data=data)
    model.fit(method="map", progressbar=False)
    return np.asarray(model.expected_purchases(data=data, future_t=WEEKS)).ravel()


OTHERS: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
    "lifetimes: BG/NBD": lambda past: lifetimes_model(past, "BetaGeoFitter"),
    "lifetimes: Pareto/NBD": lambda past: lifetimes_model(past, "ParetoNBDFitter"),
    "pymc_marketing: BG/NBD (MAP)": lambda past: pymc_model(past, "BetaGeoModel"),
    "pymc_marketing: Pareto/NBD (MAP)": lambda past: pymc_model(past, "ParetoNBDModel"),
}


def timed(do: Fit) -> tuple[float, Any]:
    start = time.perf_counter()
    result = do()
    return time.perf_counter() - start, result


def figures(expected: np.ndarray, actual: np.ndarray) -> dict[str, str]:
    return {"RMSE": f"{np.sqrt(np.square(expected - actual).mean()):.4f}", "Gini": f"{purchases.ranking_gini(actual, expected):.4f}",
            "top 20 %": f"{purchases.top_share(actual, expected):.4f}", "bias": f"{expected.sum() / actual.sum() - 1:+.1%}"}  # fmt: skip


def b2b_table(months: int, seed: int) -> pd.DataFrame:
    """The methods and what was chosen and corrected, against a year that none has seen."""
    import b2b

    from crmlib import forecasts, value

    known, later = b2b.generated(seed=seed, months=months)
    worth = value.value_of(known)
    rows = worth.customers.set_index("customer_id").loc[known.customer_ids]
    made = forecasts.forecasts(known).assign(**{"chosen and corrected": rows["expected"].to_numpy()})
    inside = pd.Series((later >= rows["low"]) & (later <= rows["high"]))
    held = inside[rows["low"].notna()].groupby(rows["group"]).mean().map("{:.0%}".format)
    print(f"{months} months, seed {seed}, {len(later):,} customers; ranges held: {held.to_dict()}; total {worth.total[['low', 'expected', 'high']].round().tolist()}"
          f" of {later.sum():,.0f}; planted: {rows.loc[list(b2b.PLANTED), ['state', 'last_order']].astype(str).agg(' '.join, axis=1).to_dict()}")  # fmt: skip
    return pd.DataFrame({n: b2b_figures(e.to_numpy(), later) for n, e in made.items()}).T


def b2b_figures(expected: np.ndarray, actual: np.ndarray) -> dict[str, str]:
    return figures(expected, actual) | {
        "RMSE": f"{np.sqrt(np.square(expected - actual).mean()):,.0f}",
        "MAE": f"{np.abs(expected - actual).mean():,.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of cdnow_sample.parquet")
    parser.add_argument("--b2b", action="store_true", help="the second table, of a generated ledger")
    options = parser.parse_args()
    if options.b2b:
        for months, seed in ((24, 0), (36, 0), (36, 1)):
            print(b2b_table(months, seed).to_string())
        return
    days = order_days(options.data)
    past = history(days, END)
    # chosen within the calibration, before the holdout is read
    calibration = days[days["day"] <= END]
    ginis, expected = inner_gini(calibration), ours(calibration, END, WEEKS)
    rows = pd.DataFrame({"Gini inside": ginis.map("{:.4f}".format)}, index=expected.columns)
    found = {name: timed(lambda n=name: fitted(n, past)) for name in LIKELY}
    criterion = pd.Series({name: aic(model) for name, (_, (model, _)) in found.items()})
    rows["AIC"], rows["fit, s"] = (
        criterion.map("{:.1f}".format),
        pd.Series({n: f"{s:.2f}" for n, (s, _) in found.items()}),
    )
    rows["chosen for"] = ""
    rows.loc[criterion.idxmin(), "chosen for"] += "amounts "
    rows.loc[ginis.idxmax(), "chosen for"] += "ranking"
    # and only now compared
    actual = later(days, END, WEEKS, past.index)
    for name, (_, (model, data)) in found.items():
        low, high = shortest_range(drawn(model, WEEKS, *data, draws=1000, seed=0))
        rows.loc[name, "range holds"] = f"{((actual >= low) & (actual <= high)).mean():.1%}"
    for name, forecast in OTHERS.items():
        try:
            importlib.import_module(name.split(":")[0])
            seconds, expected[name] = timed(lambda f=forecast: f(past))
            rows.loc[name, "fit, s"] = f"{seconds:.2f}"
        except Exception as error:  # one that is not installed, or breaks, does not hide the others
            print(f"{name}: left out, {error!r}", file=sys.stderr)
    rows = rows.join(pd.DataFrame({n: figures(e.to_numpy(), actual) for n, e in expected.items()}).T, how="outer")
    print(rows.reindex(expected.columns).fillna("-").to_string())


if __name__ == "__main__":
    main()
