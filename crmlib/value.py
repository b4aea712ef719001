"""Value over time: what each customer is expected to contribute in the months to come, with a range tested on the past.

Expected contribution is the margin after every cost of the customer's own (the last subtotal of its column), before tax,
discounted at the middle of each year at the cost of capital. It is an expectation, in floats, and counts today's customers only.
The models compete on the engagement's own past with the two things a manager would do: last year again, and each
customer's own rate times one factor learnt earlier. Where none beats those, the simple one is used and the result says so.
Money is counted by month of invoice, as the cube has it, buying rhythm by day of order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crmlib import forecasts, trials
from crmlib.books.stored import Books, Frame, shared
from crmlib.forecasts import APART, SIMPLE, YEAR, History
from crmlib.trials import BLOCK, HIGH, HOLDS, LOW, MANY, TOTAL_HOLDS, Lessons

FEWEST = 5  # customers who bought a year before the end, below which no share of them tells who stays

ENOUGH = 18  # months of books: half a year to learn from, and a year to test what was learnt
FEW = 30  # customers of a kind that are few
AHEAD = (12, 24, 36)


@dataclass(frozen=True)
class Valuation:
    """What customers are expected to contribute after the end of the books, in the engagement's currency, discounted, before tax.

    Attributes
    ----------
    discount_rate, survival
        The cost of capital (a share a year), and the share of a year's sales that came from customers who bought again in the next.
    customers
        One row per customer: customer_id, state, group, model, expected (twelve months), low and high (80 %; missing where no range holds),
        last_year (actual; missing where the books hold less than twelve months), expected_24 and expected_36 (the first 24 and 36 months),
        active_probability, last_order (date), silent_days, usual_gap_days. Without enough books only what was is told.
    portfolio
        One row per horizon: months, expected, low, high (simulated; missing where not tested or not held), status in words.
    backtest
        As `trials.backtest`.
    checks
        One row per group, and of all together: customers, model, simple (nothing beat what a manager would do), few (the choice rests on little),
        corrected_share (of the total), origins (held back), expected and actual (there), bias_share, coverage_share, ranged, why_not (in words).
    needs
        Months of books that a forecast would need; 0 where there is one.
    """

    discount_rate: float
    survival: float
    customers: Frame
    portfolio: Frame
    backtest: Frame
    checks: Frame
    needs: int = 0

    @property
    def total(self) -> pd.Series:
        """Of all customers: expected, low and high (twelve months), expected_24, expected_36; missing where nothing is forecast."""
        rows = self.portfolio.set_index("months").reindex(list(AHEAD))
        later = {f"expected_{ahead}": rows.at[ahead, "expected"] for ahead in AHEAD[1:]}
        return pd.Series({**rows.loc[YEAR, ["expected", "low", "high"]], **later}, dtype=float)

    @property
    def corrected_share(self) -> float:
        """By how much, as a share of the size of all forecasts, they are above what the methods say by themselves; to a tenth of a percent."""
        return round(float(self.checks["corrected_share"].loc[ALL]), 3) if len(self.checks) else 0.0

    @property
    def origins(self) -> int:
        """How many earlier months the methods were tried at."""
        return 0 if self.backtest.empty else int(self.backtest["origins"].max())

    @property
    def held_back(self) -> int:
        """At how many of them ranges and total were tested by what earlier ones had taught."""
        return int(self.checks["origins"].max()) if len(self.checks) else 0

    @property
    def about(self) -> Frame:
        """What was tried, by state of customers and for all; empty without a forecast.

        How many, the method, a customer's mean error by it and by what a manager would do, what the total missed at origins held back, what is
        corrected, and what share ranges held or why there is none.
        """
        if self.backtest.empty:
            return pd.DataFrame()
        errors = self.backtest.pivot_table(index="group", columns="model", values="absolute_error")
        used = self.backtest[self.backtest["chosen"]].set_index("group")
        rows = self.checks[["customers", "model"]].rename(columns={"model": "method"})
        rows = rows.join(used["absolute_error"].rename("error")).join(errors[list(SIMPLE)].add_prefix("error of "))
        told = self.checks[list(TOLD)].rename(columns=TOLD)
        return rows.join(told).rename_axis("state")


@shared
def customer_value(books: Books, *, seed: int = 0) -> Valuation:
    """The expected contribution of each of today's customers over the months after the books end, and of all together."""
    rate = float(books.engagement.settings.rates.cost_of_capital)
    return value_of(forecasts.history(books), discount_rate=rate, seed=seed)


def value_of(past: History, *, discount_rate: float = 0.0, seed: int = 0) -> Valuation:
    """As `customer_value`, from a history and a yearly discount rate."""
    tried = trials.trials(past, seed=seed) if past.months >= ENOUGH else pd.DataFrame()
    if tried.empty:
        nothing = (pd.DataFrame(columns=PORTFOLIO), pd.DataFrame(), pd.DataFrame(columns=CHECKS))
        return Valuation(discount_rate, np.nan, _known(past), *nothing, ENOUGH)
    lessons, rng = trials.learnt(tried), np.random.default_rng(seed)
    rows = _outlook(past, lessons, seed)
    held, sums = trials.held_back(tried, seed=seed)
    checks = _checks(rows, lessons, held, sums)
    years, stays = _discounts(discount_rate, survival(past))
    ranged = rows["group"].map(checks["ranged"]).fillna(False).to_numpy(dtype=bool)
    worth = {"expected": rows["expected"], "low": rows["low"].where(ranged), "high": rows["high"].where(ranged)}
    worth = {name: amounts.to_numpy() * years[0] for name, amounts in worth.items()}
    for ahead in AHEAD[1:]:
        worth[f"expected_{ahead}"] = rows["expected"].to_numpy() * (years * stays)[: ahead // YEAR].sum()
    customers = _known(past).assign(**worth, group=rows["group"].to_numpy(), model=rows["model"].to_numpy(),
                                    active_probability=rows["active_probability"].to_numpy())  # fmt: skip
    customers = customers.sort_values(["expected", "customer_id"], ascending=[False, True], ignore_index=True)
    range_ = np.quantile(trials.totals(rows, lessons, rng), [LOW, HIGH]) * years[0]
    portfolio = _portfolio(customers, range_ if checks.at[ALL, "ranged"] else (np.nan, np.nan), stays[1])
    return Valuation(discount_rate, stays[1], customers, portfolio, trials.backtest(tried, lessons), checks)


ALL = "all customers"
TESTED = ["origins", "expected", "actual", "bias_share", "coverage_share", "ranged", "why_not"]
CHECKS = ["customers", "model", "simple", "few", "corrected_share", *TESTED]
PORTFOLIO = ["months", "expected", "low", "high", "status"]
TOLD = {  # of the checks, as a page names it
    "bias_share": "total_missed_share", "corrected_share": "total_corrected_share", "coverage_share": "ranges_held_share", "why_not": "no_range_since",
}  # fmt: skip


def _known(past: History) -> Frame:
    """What the books say of each customer, without a forecast."""
    how = past.rhythm
    last_year = past.margin[:, -YEAR:].sum(axis=1) if past.months >= YEAR else np.nan
    blank = dict.fromkeys(["expected", "low", "high", "expected_24", "expected_36", "active_probability"], np.nan)
    named = {"customer_id": past.customer_ids, "group": "", "model": "", "last_year": last_year, **blank}
    return pd.DataFrame(named).join(how[["state", "last_order", "silent_days", "usual_gap_days"]])


def _outlook(past: History, lessons: Lessons, seed: int) -> Frame:
    """The forecast of each customer with its range, not discounted; of many customers in blocks, by models that learn from a sample."""
    models, size = tuple(dict.fromkeys(lessons.models.values())), len(past.customer_ids)
    parts, known = [], past.drawn(MANY, seed)
    for places in np.array_split(np.arange(size), -(-size // BLOCK)):
        block = past.of(places) if size > BLOCK else past
        rows = trials.with_range(trials.expected(trials.outlook(block, known, models), lessons), lessons)
        active = forecasts.active_probability(block, known)
        parts.append(rows.drop(columns=list(models)).assign(active_probability=active))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(active_probability=rows["active_probability"].where((past.rhythm["order_days"] > 0).to_numpy()))


def survival(past: History) -> float:
    """Of a year's sales the share that came from customers who bought again in the next; over all such pairs of years. Missing without two years, or with fewer than `FEWEST` customers."""
    kept = whole = 0.0
    for start in range(past.months - 2 * YEAR, -1, -APART):
        first, second = (past.sales[:, at : at + YEAR].sum(axis=1) for at in (start, start + YEAR))
        kept, whole = kept + first[second > 0].sum(), whole + first.sum()
    known = (past.sales[:, : past.months - YEAR].sum(axis=1) > 0).sum()
    return kept / whole if whole > 0 and known >= FEWEST else float("nan")


def _discounts(rate: float, stays: float) -> tuple[np.ndarray, np.ndarray]:
    """By year ahead: the discount at its middle, and what is left of the first year's contribution."""
    years = np.arange(len(AHEAD))
    return (1 + rate) ** -(years + 0.5), np.power(stays, years)


def _checks(rows: Frame, lessons: Lessons, held: Frame, sums: Frame) -> Frame:
    """What was learnt of each kind and of the total, and whether it held at origins held back (columns as `CHECKS`)."""
    records, short = {}, "the books are too short to test one"
    for group, part in ((str(name), part) for name, part in rows.groupby("group", sort=False)):
        past = held[held["group"] == group]
        kind = group if group in lessons.models else trials.EVERYBODY
        few = f"only {len(past)} customers to test one on, not {trials.FEW}" if len(held) else short
        few = few if len(past) < trials.FEW else ""
        records[group] = _check(part, (lessons.models[kind], lessons.corrections[kind]), past, few, HOLDS)
    change = (rows["expected"] - rows["uncorrected"]).sum() / rows["uncorrected"].abs().sum()
    records[ALL] = _check(rows, ("", change), sums, "" if len(sums) else short, TOTAL_HOLDS)
    return pd.DataFrame.from_dict(records, orient="index", columns=CHECKS).rename_axis("group")


def _check(rows: Frame, learnt: tuple[str, float], held: Frame, few: str, bounds: tuple[float, float]) -> list[object]:
    (model, correction), (low, high) = learnt, bounds
    inside = held["actual"].between(held["low"], held["high"]).mean()
    wrong = f"earlier ranges held {inside:.0%} of what came, not {low:.0%} to {high:.0%}"
    why = few or ("" if low <= inside <= high else wrong)
    expected, actual = held["expected"].sum(), held["actual"].sum()
    bias = (expected - actual) / abs(actual) if actual else np.nan
    tested = [held["origin"].nunique(), expected, actual, bias, inside, not why, why]
    return [len(rows), model, model in SIMPLE, len(rows) < FEW, correction, *tested]


def _portfolio(customers: Frame, range_: tuple[float, float] | np.ndarray, stays: float) -> Frame:
    """The total by horizon with its range, and what the past says about it."""
    rows = [(YEAR, customers["expected"].sum(skipna=False), *range_, "tested on the past")]
    status = f"later years at {stays:.0%} of the year before, not tested"
    rows += [(ahead, customers[f"expected_{ahead}"].sum(skipna=False), np.nan, np.nan, status) for ahead in AHEAD[1:]]
    return pd.DataFrame(rows, columns=PORTFOLIO).dropna(subset="expected")
