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

from crmlib import forecasts
from crmlib.forecasts import HIGH, LOW, MANY, SIMPLE, TESTED, YEAR, Frame, History, residuals
from crmlib.purchases import Array

if TYPE_CHECKING:
    from crmlib.books.stored import Books

DRAWS, GUESSES = 1000, 2000  # of the portfolio; of a customer's error where none was tested
# in spreads, how far errors reach that no test knows, by t distributions with heavy tails: of one customer, and shared by all
GUESSED, GUESSED_FREEDOM = 2.0, 3
GUESSED_SHARED, SHARED_FREEDOM = 0.5, 2
HALF = 6  # months of history from which half of them may be a test
FEW, QUARTER, SURE = (
    30,
    91,
    4.0,
)  # customers that are few; days below which nobody is silent; standard errors below a level slope


@dataclass(frozen=True)
class Valuation:
    """What customers are expected to contribute after the end of the books, in the engagement's currency, discounted, before tax.

    Attributes
    ----------
    months, discount_rate
        How far ahead `expected` reaches, and the cost of capital (a share a year).
    customers
        One row per customer: customer_id, group, model, expected, low and high (80 %), last_year (actual; missing where the books hold less
        than twelve months), expected_24 and expected_36 (the first 24 and 36 months), active_probability (BG/NBD), last_order (date),
        silent_days, usual_gap_days (mean between order days), tested_months (over which the forecast was tested on the past; 0: a guess).
    portfolio
        One row per horizon: months, expected, low, high (simulated; nan where not tested), status in words, tested_months.
    backtest
        One row per group, model and horizon tested, not discounted: error (root mean square by customer), gini (of the model's ranking over
        the best ranking's), top_fifth_share (of the actual margin), bias (of the total), coverage (of the range; nan where the books are too
        short to make it at one time and check it at a later one), chosen; and to judge the choice by what it had not seen: chosen_before (by the
        origins whose months had passed by the last), last_error (at the last).
    """

    months: int
    discount_rate: float
    customers: Frame
    portfolio: Frame
    backtest: Frame

    @property
    def groups(self) -> Frame:
        """By group with a test: customers, model, coverage, simple (nothing beat what a manager would do), few (the choice rests on little)."""
        chosen = self.backtest[self.backtest["chosen"].astype(bool)].drop_duplicates("group").set_index("group")
        sizes = pd.DataFrame(self.customers.groupby("group")["model"].agg(customers="size", model="first"))
        rows = sizes.join(chosen["coverage"].astype(float), how="inner")
        return rows.assign(simple=rows["model"].isin(SIMPLE), few=rows["customers"] < FEW)


def customer_value(books: Books, *, months: int = 12, seed: int = 0) -> Valuation:
    """The expected contribution of each of today's customers over the months after the books end, and of all together."""
    rate = float(books.engagement.settings.rates.cost_of_capital)
    return value_of(forecasts.history(books), discount_rate=rate, months=months, seed=seed)


def value_of(past: History, *, discount_rate: float = 0.0, months: int = 12, seed: int = 0) -> Valuation:
    """As `customer_value`, from a history and a yearly discount rate."""
    rng = np.random.default_rng(seed)
    testable = {ahead: ahead if past.months >= 2 * ahead else 0 for ahead in (months, 24, 36)}
    testable[months] = testable[months] or (past.months // 2 if past.months >= HALF else 0)
    tried = {ahead: forecasts.trials(past, tested, seed=seed) for ahead, tested in testable.items() if tested}
    tests = [forecasts.backtest(rows, testable[ahead]) for ahead, rows in tried.items()]
    tests = tests or [pd.DataFrame(columns=TESTED)]
    parts, draws, tested = [], {ahead: np.zeros(DRAWS) for ahead in testable}, dict(testable)
    for group, members in forecasts.groups_of(past).items():
        model = chosen_model(tests[0], group)
        part = _group_value(past.of(members), model, (months, discount_rate)).assign(group=group, model=model)
        errors = {a: t[(t["group"] == group) & (t["model"] == model)] for a, t in tried.items()}
        errors = {a: rows for a, rows in errors.items() if len(rows)}  # a group that no origin had yet was not tested
        part = part.assign(tested_months=testable[months] if months in errors else 0)
        parts.append(_with_range(part, errors.get(months), rng))
        for ahead in testable:
            draws[ahead] += _drawn_total(part, _column(ahead, months), errors.get(ahead), rng)
        tested = {ahead: held if ahead in errors else 0 for ahead, held in tested.items()}
    customers = pd.concat(parts).drop(columns="spread")
    customers = customers.sort_values(["expected", "customer_id"], ascending=[False, True], ignore_index=True)
    portfolio = _portfolio(customers, draws, tested, months)
    return Valuation(months, discount_rate, customers, portfolio, pd.concat(tests, ignore_index=True))


def _column(ahead: int, months: int) -> str:
    return "expected" if ahead == months else f"expected_{ahead}"


def chosen_model(tested: Frame, group: str) -> str:
    """The model chosen for a group; last year again where nothing could be tested."""
    best = tested[(tested["group"] == group) & tested["chosen"].astype(bool)]["model"]
    return str(best.iloc[0]) if len(best) else next(iter(SIMPLE))


def _group_value(past: History, model: str, terms: tuple[int, float]) -> Frame:
    """One group's customers without range: expectations discounted at the middle of each year, and how they buy."""
    months, rate = terms
    reach = {ahead: forecasts.forecasts(past, ahead, model)[model] for ahead in {months, 12, 24, 36}}
    years = [reach[12], reach[24] - reach[12], reach[36] - reach[24]]
    worth = np.cumsum([year / (1 + rate) ** (i + 0.5) for i, year in enumerate(years)], axis=0)
    how = past.rhythm
    active = np.where(how["order_days"] > 0, forecasts.active_probability(past), np.nan)
    last_year = past.margin[:, -YEAR:].sum(axis=1) if past.months >= YEAR else np.nan
    discount = (1 + rate) ** (months / 2 / YEAR)  # from the middle of the months
    return pd.DataFrame({
        "customer_id": past.customer_ids, "group": "", "model": "", "expected": reach[months] / discount, "low": np.nan, "high": np.nan,
        "last_year": last_year, "expected_24": worth[1], "expected_36": worth[2], "active_probability": active,
        "spread": forecasts.spread(past, months) / discount,
    }).join(how[["last_order", "silent_days", "usual_gap_days"]])  # fmt: skip


def _with_range(part: Frame, errors: Frame | None, rng: np.random.Generator) -> Frame:
    pool = _guesses(rng) if errors is None else residuals(errors)
    low, high = np.quantile(pool, [LOW, HIGH])
    reach = part["spread"]
    return part.assign(low=part["expected"] + reach * min(low, 0), high=part["expected"] + reach * max(high, 0))


def _guesses(rng: np.random.Generator) -> Array:
    return np.asarray(GUESSED * rng.standard_t(GUESSED_FREEDOM, GUESSES))


def _drawn_total(part: Frame, column: str, errors: Frame | None, rng: np.random.Generator) -> Array:
    """Draws of a group's total: each customer's own error drawn from the past, and one that all share, wider the fewer the origins."""
    scale = part["spread"].to_numpy()
    if errors is None:
        own, shared = _guesses(rng), rng.standard_t(SHARED_FREEDOM, DRAWS) * GUESSED_SHARED
    else:
        own = residuals(errors) - residuals(errors).mean()
        missed = [(t["actual"] - t["expected"]).sum() / t["spread"].sum() for _, t in errors.groupby("origin")]
        shared = rng.standard_t(max(len(missed), 2), DRAWS) * float(np.sqrt(np.mean(np.square(missed))))
    if len(scale) > MANY:
        alone = rng.normal(0, own.std() * np.sqrt(scale @ scale), DRAWS)
    else:
        alone = np.array([scale @ rng.choice(own, len(scale)) for _ in range(DRAWS)])
    return np.asarray(part[column].sum() + alone + shared * scale.sum())


def _portfolio(customers: Frame, draws: dict[int, Array], testable: dict[int, int], months: int) -> Frame:
    """The total by horizon, its simulated range, and what the past says about it."""
    rows = []
    for ahead, tested in testable.items():
        low, high = np.quantile(draws[ahead], [LOW, HIGH]) if tested or ahead == months else (np.nan, np.nan)
        short = f"tested over {tested} months only" if tested else "extrapolated, not tested"
        status = "tested on the past" if tested == ahead else short
        rows.append((ahead, customers[_column(ahead, months)].sum(), low, high, status, tested))
    return pd.DataFrame(rows, columns=["months", "expected", "low", "high", "status", "tested_months"])
