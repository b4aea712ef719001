"""What if: economic value added when its drivers move, one by one, each over its range, and all together by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd

from crmlib.books.stored import Frame
from crmlib.declared.capital import Capital, Driver, Range
from crmlib.eva import Firm

EITHER_WAY = 0.05  # change of each driver where no range is judged
MARKS = {"one case in ten is below": 0.1, "half are below": 0.5, "one in ten is above": 0.9}
WITHIN = 1.6448536269514722  # standard deviations that enclose 90 % of a normal distribution
Floats = Any


def eva_when(parts: Mapping[str, float], changes: Mapping[str, Floats]) -> Floats:
    """The firm's value added when drivers change by shares of their amounts (as `Firm.parts`), one number or an array of draws.

    Volume moves net sales, goods, costs that vary, and receivables; price moves net sales and receivables. Missing without parts.
    """
    if not parts:
        return float("nan")
    more = {driver: 1 + changes.get(driver, 0.0) for driver in get_args(Driver)}
    volume, sold = more["volume"], more["volume"] * more["price"]
    varying, rest, owed = parts["varying"], parts["expenses"] - parts["varying"], parts["receivables"]
    expenses = (varying * volume + rest) * more["expenses"]
    profit = parts["sales"] * sold - parts["cost of goods"] * volume * more["cost of goods"] - expenses
    current = (owed * sold + parts["other current assets"] - owed) * more["other current assets"]
    employed = current + sum(parts[branch] * more[branch] for branch in ("inventory", "fixed assets"))
    return profit * (1 - parts["tax"]) - employed * parts["cost"] * more["cost of capital"]


def steps(firm: Firm, changes: tuple[float, ...] = (-0.1, -0.05, 0.0, 0.05, 0.1)) -> Frame:
    """The firm's value added when each driver alone changes by each share: one row per driver, one column per change; empty where lacking."""
    names = [f"{by:+.0%}" if by else "today" for by in changes]
    rows = {driver: [eva_when(firm.parts, {driver: by}) for by in changes] for driver in get_args(Driver) if firm.parts}
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("driver")


def ranges(judged: Capital) -> list[Range]:
    """The range of every driver: as judged, and of one without a judgement none; where nothing is judged, 5 % either way of all."""
    return list(judged.ranges) or [
        Range(driver=d, low=-EITHER_WAY, high=EITHER_WAY, expected=None, shape="triangular", because="no range is judged") for d in get_args(Driver)
    ]  # fmt: skip


def spans(firm: Firm, judged: Capital) -> Frame:
    """The ranges as a table: driver, low_share, expected_share, high_share, shape, because; empty where something is lacking."""
    rows = [(r.driver, r.low, r.likeliest, r.high, r.shape, r.because) for r in ranges(judged) if firm.parts]
    return pd.DataFrame(rows, columns=["driver", "low_share", "expected_share", "high_share", "shape", "because"])


def tornado(firm: Firm, judged: Capital) -> Frame:
    """The value added when one driver lies at either end of its range and all others where they are expected, the widest first.

    One row per driver (the index): at_low, at_high, base (all as expected). Empty where something is lacking.
    """
    drivers = ranges(judged) if firm.parts else []
    expected: dict[str, float] = {r.driver: r.likeliest for r in drivers}
    rows = {r.driver: [eva_when(firm.parts, expected | {r.driver: end}) for end in (r.low, r.high)] for r in drivers}
    ends = pd.DataFrame(rows, index=["at_low", "at_high"]).T
    ends["base"] = eva_when(firm.parts, expected) if drivers else None
    wide = (ends["at_high"] - ends["at_low"]).abs()
    return ends.loc[wide.sort_values(ascending=False, kind="stable").index]


def in_tenths(cases: np.ndarray) -> dict[str, float]:
    """Where one case in ten, half of the cases and nine in ten lie below, named; nothing of no cases."""
    return {name: float(np.quantile(cases, part)) for name, part in MARKS.items() if len(cases)}


def simulated(firm: Firm, judged: Capital, *, draws: int, seed: int) -> np.ndarray:
    """The value added in so many draws of all drivers together, by their ranges and correlations; none where something is lacking.

    Normal scores with the judged correlation become draws of each range (a Gaussian copula); the same seed gives the same draws.
    """
    if not firm.parts:
        return np.array([])
    values, vectors = np.linalg.eigh(judged.correlated())
    scores = np.random.default_rng(seed).standard_normal((draws, len(values)))
    root = vectors * np.sqrt(values.clip(min=0))
    moved = np.einsum("dk,jk->jd", scores, root)  # not by the machine's own matrix product, whose last digits differ
    place = {driver: at for at, driver in enumerate(get_args(Driver))}
    changes: dict[str, Floats] = {given.driver: _drawn(given, moved[place[given.driver]]) for given in ranges(judged)}
    return np.broadcast_to(eva_when(firm.parts, changes), draws)


def _drawn(given: Range, score: np.ndarray) -> Floats:
    from scipy.special import ndtr

    low, high, likeliest, chance = given.low, given.high, given.likeliest, ndtr(score)
    if given.shape == "normal":
        return likeliest + score * (high - low) / 2 / WITHIN
    if given.shape == "uniform" or low == high:
        return low + chance * (high - low)
    rising = low + np.sqrt(chance * (high - low) * (likeliest - low))
    falling = high - np.sqrt((1 - chance) * (high - low) * (high - likeliest))
    return np.where(chance < (likeliest - low) / (high - low), rising, falling)
