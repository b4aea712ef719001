"""How well value over time is forecast: ours beside lifetimes and pymc-marketing on CDNOW, the same split, one table.

    python benchmarks/value.py --data DIR      DIR holds cdnow_sample.parquet

Calibrated on 39 weeks (to 1997-09-30), compared with the next 39; nothing is taken from the latter. Libraries that are not
installed are left out with a message; they are no dependencies of the workbook.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the oracles' environment has no crmlib
from crmlib import purchases

END, WEEKS = pd.Timestamp("1997-09-30"), 39
Range = tuple[np.ndarray, np.ndarray]
Forecast = tuple[
    float, np.ndarray, Range | None
]  # seconds to fit; expected purchases; low and high where there is a range


def timed(fit: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    model = fit()
    return time.perf_counter() - start, model


def split(folder: Path) -> pd.DataFrame:
    """By customer: x, recency, age (weeks), mean order (dollars), purchases in the first and second half, and afterwards."""
    bought = pd.read_parquet(folder / "cdnow_sample.parquet")
    bought["day"] = pd.to_datetime(bought["date"].astype(str))
    days = bought.groupby(["customer_id", "day"], as_index=False)["dollars"].sum()
    before = days[days["day"] <= END].groupby("customer_id")
    first, last, count = before["day"].min(), before["day"].max(), before.size()
    table = pd.DataFrame(
        {
            "x": count - 1,
            "recency": (last - first).dt.days / 7,
            "age": (END - first).dt.days / 7,
            "order": before["dollars"].sum() / count,
        }
    )
    return (
        table.assign(later=days[days["day"] > END].groupby("customer_id").size().reindex(table.index).fillna(0))
        .astype(float)
        .reset_index(drop=True)
    )


def half_way(folder: Path) -> float:
    """The factor on one's own rate that the second half of the calibration would have needed: learnt before the holdout."""
    bought = pd.read_parquet(folder / "cdnow_sample.parquet")
    day = pd.to_datetime(bought["date"].astype(str))
    days = bought.assign(day=day).drop_duplicates(["customer_id", "day"])
    middle = END - pd.Timedelta(days=137)
    early = days[days["day"] <= middle].groupby("customer_id")["day"]
    rate = (early.size() - 1) / np.maximum((middle - early.min()).dt.days, 1)
    return float(((days["day"] > middle) & (days["day"] <= END)).sum() / (rate.sum() * 137))


def own_rate(past: pd.DataFrame, factor: float) -> Forecast:
    return 0.0, (past["x"] / past["age"] * WEEKS * factor).to_numpy(), None


def our_bg_nbd(past: pd.DataFrame) -> Forecast:
    data = tuple(past[c].to_numpy() for c in ("x", "recency", "age"))
    seconds, model = timed(lambda: purchases.fit_bg_nbd(*data))
    drawn = model.drawn_purchases(WEEKS, *data, draws=1000, seed=0)
    return seconds, model.expected_purchases(WEEKS, *data), purchases.shortest_range(drawn)


def our_pareto(past: pd.DataFrame, *, by_size: bool) -> Forecast:
    level = purchases.order_size_level(past["order"].to_numpy()) * by_size
    data = (*(past[c].to_numpy() for c in ("x", "recency", "age")), level)
    seconds, model = timed(lambda: purchases.fit_pareto_nbd(*data))
    drawn = model.drawn_purchases(WEEKS, data, draws=1000, seed=0)
    return seconds, model.expected_purchases(WEEKS, *data), purchases.shortest_range(drawn)


def lifetimes_model(past: pd.DataFrame, name: str) -> Forecast:
    model, data = (
        getattr(importlib.import_module("lifetimes"), name)(penalizer_coef=0.0),
        [past[c] for c in ("x", "recency", "age")],
    )
    seconds, _ = timed(lambda: model.fit(*data))
    return seconds, np.asarray(model.conditional_expected_number_of_purchases_up_to_time(WEEKS, *data)), None


def pymc_model(past: pd.DataFrame, name: str) -> Forecast:
    data = past.rename(columns={"x": "frequency", "age": "T"}).assign(customer_id=np.arange(len(past)))[
        ["customer_id", "frequency", "recency", "T"]
    ]
    model = getattr(importlib.import_module("pymc_marketing.clv"), name)(data=data)
    seconds, _ = timed(lambda: model.fit(method="map", progressbar=False))
    return seconds, np.asarray(model.expected_purchases(data=data, future_t=WEEKS)).ravel(), None


def contenders(past: pd.DataFrame, factor: float) -> Iterator[tuple[str, str, Callable[[], Forecast]]]:
    yield "own rate × factor", "numpy", lambda: own_rate(past, factor)
    yield "ours: BG/NBD", "scipy", lambda: our_bg_nbd(past)
    yield "ours: Pareto/NBD", "scipy", lambda: our_pareto(past, by_size=False)
    yield "ours: Pareto/NBD by order size", "scipy", lambda: our_pareto(past, by_size=True)
    yield "lifetimes: BG/NBD", "lifetimes", lambda: lifetimes_model(past, "BetaGeoFitter")
    yield "lifetimes: Pareto/NBD", "lifetimes", lambda: lifetimes_model(past, "ParetoNBDFitter")
    yield "pymc-marketing: BG/NBD (MAP)", "pymc_marketing", lambda: pymc_model(past, "BetaGeoModel")
    yield "pymc-marketing: Pareto/NBD (MAP)", "pymc_marketing", lambda: pymc_model(past, "ParetoNBDModel")


def judged(name: str, forecast: Forecast, actual: np.ndarray) -> dict[str, object]:
    seconds, expected, found = forecast
    held = "-" if found is None else f"{((actual >= found[0]) & (actual <= found[1])).mean():.1%}"
    return {"model": name, "fit, s": f"{seconds:.2f}", "RMSE": f"{np.sqrt(np.square(expected - actual).mean()):.4f}",
            "Gini": f"{purchases.ranking_gini(actual, expected):.4f}", "top 20 %": f"{purchases.top_share(actual, expected):.4f}",
            "bias": f"{expected.sum() / actual.sum() - 1:+.1%}", "range holds": held}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of cdnow_sample.parquet")
    folder = parser.parse_args().data
    past, rows = split(folder), []
    our_bg_nbd(past), our_pareto(past, by_size=True)  # what scipy takes to import is not fitting
    for name, needs, forecast in contenders(past, half_way(folder)):
        try:
            importlib.import_module(needs)
        except ImportError:
            print(f"{name}: left out, {needs} is not installed", file=sys.stderr)
            continue
        try:
            rows.append(judged(name, forecast(), past["later"].to_numpy()))
        except Exception as error:  # an oracle that breaks does not hide the others
            print(f"{name}: failed, {error!r}", file=sys.stderr)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
