"""Value over time: what each customer is expected to contribute in the months to come, with a range tested on the past.

Expected contribution is the margin after every cost of the customer's own (the last subtotal of its column), before tax,
discounted at the middle of each year at the cost of capital. It is an expectation, in floats, and counts today's customers only.
The models compete on the engagement's own past with the two things a manager would do: last year again, and each
customer's own rate times one factor learnt earlier. Where none beats those, the simple one is used and the result says so.
Money is counted by month of invoice, as the cube has it, buying rhythm by day of order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crmlib import purchases
from crmlib.declared.periods import Period, add_months
from crmlib.forecasts import (
    HIGH,
    LOW,
    MANY,
    SIMPLE,
    TESTED,
    Frame,
    History,
    active_probability,
    backtest,
    forecasts,
    groups_of,
    history,
    residuals,
    spread,
    trials,
)
from crmlib.purchases import Array

if TYPE_CHECKING:
    from crmlib.books.stored import Books


DRAWS, FEW, QUARTER = 1000, 30, 91  # draws of the portfolio; customers that are few; days


@dataclass(frozen=True)
class Valuation:
    """What customers are expected to contribute after the end of the books, in the engagement's currency, discounted, before tax.

    Attributes
    ----------
    months, discount_rate
        How far ahead `expected` reaches, and the cost of capital (a share a year).
    customers
        One row per customer: customer_id, group, model, expected, low and high (80 %), last_year (actual, of the last twelve months),
        expected_24 and expected_36 (the first 24 and 36 months), active_probability (BG/NBD), last_order (date), silent_days, usual_gap_days (mean between order days).
    portfolio
        One row per horizon: months, expected, low, high (simulated; nan where not tested), status in words.
    backtest
        One row per group, model and horizon tested, not discounted: error (root mean square by customer), gini (of the model's ranking over
        the best ranking's), top_fifth_share (of the actual margin), bias (of the total), coverage (of the range), chosen; and to judge the
        choice by what it had not seen: chosen_before (by the origins whose months had passed by the last), last_error (at the last).
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
    return value_of(
        history(books), discount_rate=float(books.engagement.settings.rates.cost_of_capital), months=months, seed=seed
    )


def value_of(past: History, *, discount_rate: float = 0.0, months: int = 12, seed: int = 0) -> Valuation:
    """As `customer_value`, from a history and a yearly discount rate."""
    rng = np.random.default_rng(seed)
    testable = {ahead: ahead if past.months >= 2 * ahead else 0 for ahead in (months, 24, 36)}
    testable[months] = testable[months] or (past.months // 2 if past.months >= 6 else 0)
    tried = {ahead: trials(past, tested, seed=seed) for ahead, tested in testable.items() if tested}
    tests = [backtest(found, testable[ahead]) for ahead, found in tried.items()] or [pd.DataFrame(columns=TESTED)]
    parts, draws = [], {ahead: np.zeros(DRAWS) for ahead in testable}
    for group, chosen in groups_of(past).items():
        model = chosen_model(tests[0], group)
        part = _group_value(past.of(chosen), model, (months, discount_rate)).assign(group=group, model=model)
        errors = {a: t[(t["group"] == group) & (t["model"] == model)] for a, t in tried.items()}
        parts.append(_with_range(part, errors.get(months), rng))
        for ahead in testable:
            draws[ahead] += _drawn_total(
                part, "expected" if ahead == months else f"expected_{ahead}", errors.get(ahead), rng
            )
    customers = (
        pd.concat(parts)
        .drop(columns="spread")
        .sort_values(["expected", "customer_id"], ascending=[False, True], ignore_index=True)
    )
    portfolio = _portfolio(customers, draws, testable, months)
    return Valuation(
        months,
        discount_rate,
        customers,
        portfolio,
        pd.concat(tests, ignore_index=True),
        tuple(_warnings(past, tests[0], testable[months], months)),
    )


def chosen_model(tested: Frame, group: str) -> str:
    """The model chosen for a group; last year again where nothing could be tested."""
    best = tested[(tested["group"] == group) & tested["chosen"].astype(bool)]["model"]
    return str(best.iloc[0]) if len(best) else next(iter(SIMPLE))


def _group_value(past: History, model: str, terms: tuple[int, float]) -> Frame:
    """One group's customers without range: expectations discounted at the middle of each year, and how they buy."""
    months, rate = terms
    reach = {ahead: forecasts(past, ahead, model)[model] for ahead in {months, 12, 24, 36}}
    years = [reach[12], reach[24] - reach[12], reach[36] - reach[24]]
    worth = np.cumsum([year / (1 + rate) ** (i + 0.5) for i, year in enumerate(years)], axis=0)
    how = past.rhythm
    active = np.where(how["order_days"] > 0, active_probability(past), np.nan)
    return pd.DataFrame({
        "customer_id": past.customer_ids, "group": "", "model": "", "expected": reach[months] / (1 + rate) ** (months / 24),
        "low": np.nan, "high": np.nan, "last_year": past.margin[:, -12:].sum(axis=1), "expected_24": worth[1], "expected_36": worth[2], "active_probability": active,
        "spread": spread(past, months) / (1 + rate) ** (months / 24),
    }).join(how[["last_order", "silent_days", "usual_gap_days"]])  # fmt: skip


def _with_range(part: Frame, errors: Frame | None, rng: np.random.Generator) -> Frame:
    pool = 2 * rng.standard_t(3, 2000) if errors is None or errors.empty else residuals(errors)
    low, high = np.quantile(pool, [LOW, HIGH])
    return part.assign(
        low=part["expected"] + part["spread"] * min(low, 0), high=part["expected"] + part["spread"] * max(high, 0)
    )


def _drawn_total(part: Frame, column: str, errors: Frame | None, rng: np.random.Generator) -> Array:
    """Draws of a group's total: each customer's own error drawn from the past, and one that all share, wider the fewer the origins."""
    scale = part["spread"].to_numpy()
    if errors is None or errors.empty:
        own, shared = 2 * rng.standard_t(3, 2000), rng.standard_t(2, DRAWS) * 0.5
    else:
        own = residuals(errors) - residuals(errors).mean()
        missed = [(t["actual"] - t["expected"]).sum() / t["spread"].sum() for _, t in errors.groupby("origin")]
        shared = rng.standard_t(max(len(missed), 2), DRAWS) * float(np.sqrt(np.mean(np.square(missed))))
    many = len(scale) > MANY
    alone: Array = (
        rng.normal(0, own.std() * np.sqrt(scale @ scale), DRAWS)
        if many
        else np.array([scale @ rng.choice(own, len(scale)) for _ in range(DRAWS)])
    )
    return np.asarray(part[column].sum() + alone + shared * scale.sum())


def _portfolio(customers: Frame, draws: dict[int, Array], testable: dict[int, int], months: int) -> Frame:
    """The total by horizon, its simulated range, and what the past says about it."""
    rows = []
    for ahead, tested in testable.items():
        low, high = np.quantile(draws[ahead], [LOW, HIGH]) if tested or ahead == months else (np.nan, np.nan)
        status = (
            "tested on the past"
            if tested == ahead
            else f"tested over {tested} months only"
            if tested
            else "extrapolated, not tested"
        )
        rows.append((ahead, customers["expected" if ahead == months else f"expected_{ahead}"].sum(), low, high, status))
    return pd.DataFrame(rows, columns=["months", "expected", "low", "high", "status"])


def _warnings(past: History, tested: Frame, tested_months: int, months: int) -> list[str]:
    said = []
    if tested.empty:
        said.append(
            f"The books hold {past.months} month(s): no forecast can be tested; last year's pace is carried on and ranges are wide guesses."
        )
    elif tested_months < months:
        said.append(
            f"The books hold {past.months} months: forecasts were tested over {tested_months} months only, not {months}."
        )
    for group, chosen in groups_of(past).items():
        if chosen.sum() < FEW:
            said.append(
                f"Only {chosen.sum()} {group} customer(s): the choice of the model and the range rest on little."
            )
        if (model := chosen_model(tested, group)) in SIMPLE and (tested["group"] == group).any():
            said.append(f"For {group} customers no model beat the simple “{model}” on this ledger, so that is used.")
    if not tested.empty and tested["coverage"].isna().all():
        said.append(
            "The books are too short to choose a model and make its range at one time and check both at a later one: the range is not "
            "tested, and the error of the model chosen flatters it, for the same past chose it."
        )
    return said


def at_risk(books: Books, period: Period, *, least_fall: float = 0.15, silent_gaps: float = 3.0) -> Frame:
    """Customers in decline, with the month from which, and customers silent against their own rhythm, as of the end of a period.

    In decline: sales, without the season, are level up to a month and fall steadily after it, that month fitting best, by `least_fall`
    or more, with a slope beyond four standard errors. Silent: no order for `silent_gaps` times the usual gap and 91 days or more.

    Returns
    -------
    One row per customer and signal: customer_id, signal (in decline, silent), since (the month's first day; of the silent the last order's day),
    fall_share (of the level before; None for the silent), silent_days, usual_gap_days, yearly_margin (of the twelve months up to the last
    with sales: what is at stake), largest first.
    """
    past = history(books, period)
    found = past.rhythm
    since, fall, slope = purchases.declines(past.sales / past.indices(0, past.months), past.begin)
    silent = (found["silent_days"] >= np.maximum(QUARTER, silent_gaps * found["usual_gap_days"])).to_numpy()
    falling = ~silent & (fall >= least_fall) & (slope < -4)
    last = np.where(silent, past.months - 1 - (past.sales[:, ::-1] > 0).argmax(axis=1), past.months - 1)
    sums = np.cumsum(np.column_stack([np.zeros(len(last)), past.margin]), axis=1)
    row = np.arange(len(last))
    stake = sums[row, last + 1] - sums[row, np.maximum(last - 11, 0)]
    month = np.array([add_months(past.start, int(m)) for m in since], dtype=object)
    told = pd.DataFrame({
        "customer_id": past.customer_ids, "signal": np.where(silent, "silent", "in decline"), "since": np.where(silent, found["last_order"], month),
        "fall_share": np.where(silent, np.nan, fall), "silent_days": found["silent_days"], "usual_gap_days": found["usual_gap_days"],
        "yearly_margin": stake,
    })  # fmt: skip
    return told[silent | falling].sort_values(
        ["yearly_margin", "customer_id"], ascending=[False, True], ignore_index=True
    )
