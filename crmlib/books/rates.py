"""Rates: what one unit of an activity costs, day by day, and what a month charges for a balance.

A rate is the one in force on the day; where an activity has none of its own, its pool's cost /
practical capacity × the capacity that one unit uses. Rates have 8 decimals, a month's rate of
charge 16, both rounded half away from zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from itertools import pairwise
from pathlib import Path

from crmlib.books.ledger import Ledger
from crmlib.declared.settings import Rates

STEP = Decimal("1e-8")
MONTHLY_STEP = Decimal("1e-16")
PRECISION = 60  # digits, so that no quotient is rounded before its step


@dataclass(frozen=True)
class Activity:
    """One activity: the line of its cost, its pool ('' for none), and what a unit uses of the pool.

    `driver` names the quantity that the ledger holds by itself; '' where the table of activities
    has the quantities.
    """

    name: str
    line: str
    pool: str
    driver: str
    unit_minutes: Decimal


@dataclass(frozen=True)
class Span:
    """Days of one month, from `start` to before `end`, in which no rate changes."""

    start: date
    end: date


@dataclass(frozen=True)
class PriceList:
    """The activities by name, the spans of the coverage in order, and the rate of each in each.

    An activity has no rate in a span before its first, or in which its pool has no capacity.
    """

    activities: tuple[Activity, ...]
    spans: tuple[Span, ...]
    rates: Mapping[tuple[Activity, Span], Decimal]

    @property
    def whole_months(self) -> bool:
        """Whether every span is a month."""
        return all(span.start.day == 1 for span in self.spans)


def price_list(ledger: Ledger) -> PriceList:
    """What one unit of each activity costs, in money a unit (8 decimals)."""
    activities, histories, pools = _activities(ledger), _histories(ledger), _pools(ledger)
    spans = _spans(ledger, {day for history in histories.values() for day in history})

    def rate(activity: Activity, span: Span) -> Decimal | None:
        if history := histories.get(activity.name):
            return history.get(max((d for d in history if d <= span.start), default=date.max))
        cost, capacity = pools.get((activity.pool, span.start.replace(day=1)), (Decimal(0),) * 2)
        with localcontext(prec=PRECISION):
            return rounded(cost * activity.unit_minutes / capacity) if capacity else None

    pairs = {(activity, span): rate(activity, span) for activity in activities for span in spans}
    rates = {pair: value for pair, value in pairs.items() if value is not None}
    return PriceList(activities, spans, rates)


def _activities(ledger: Ledger) -> tuple[Activity, ...]:
    rows = ledger.con.execute(
        "SELECT activity, line, pool, driver, unit_minutes FROM books.activity_types ORDER BY activity"
    )
    return tuple(
        Activity(name, line, pool or "", driver or "", Decimal(1) if minutes is None else minutes)
        for name, line, pool, driver, minutes in rows.fetchall()
    )


def _histories(ledger: Ledger) -> dict[str, dict[date, Decimal]]:
    """By activity that has rates of its own: each rate by its first day."""
    histories: dict[str, dict[date, Decimal]] = {}
    for activity, day, rate in ledger.con.execute("SELECT activity, valid_from, rate FROM books.rates").fetchall():
        histories.setdefault(activity, {})[day] = rate
    return histories


def _pools(ledger: Ledger) -> dict[tuple[str, date], tuple[Decimal, Decimal]]:
    """By pool and month: booked cost and practical capacity."""
    rows = ledger.con.execute("SELECT pool, month, cost, practical_capacity FROM books.capacity WHERE _covered")
    return {(pool, month): (cost, capacity) for pool, month, cost, capacity in rows.fetchall()}


def _spans(ledger: Ledger, changes: set[date]) -> tuple[Span, ...]:
    """The months of the coverage, cut where a rate changes within one."""
    coverage = ledger.engagement.coverage
    inside = {day for day in changes if coverage.start <= day < coverage.end}
    days = sorted({*coverage.month_starts(), *inside, coverage.end})
    return tuple(Span(start, end) for start, end in pairwise(days))


def rounded(value: Decimal, step: Decimal = STEP) -> Decimal:
    """A value to a step, 8 decimals unless said otherwise, half away from zero."""
    with localcontext(prec=PRECISION):
        return value.quantize(step, ROUND_HALF_UP)


def monthly_rate(yearly: Decimal) -> Decimal:
    """A yearly rate of charge as a month's: a twelfth, to 16 decimals."""
    with localcontext(prec=PRECISION):
        return rounded(yearly / 12, MONTHLY_STEP)


def charge_rate(balance: str, rates: Rates) -> Decimal:
    """Yearly rate of the charge on a balance: capital, and the non-capital part of inventory."""
    noncapital = rates.inventory_noncapital_rate if balance == "inventory" else Decimal(0)
    return rates.capital_charge_rate + noncapital


def write_rates(prices: PriceList, path: Path) -> None:
    """Write the rates as Parquet, one row per activity and span that has one.

    Columns: activity, line, pool ('' for none), span_start, span_end (exclusive), and rate, money a
    unit, DECIMAL(38,8).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = {"span_start": pa.date32(), "span_end": pa.date32()}
    texts = dict.fromkeys(("activity", "line", "pool"), pa.string())
    schema = pa.schema({**texts, **days, "rate": pa.decimal128(38, 8)})
    rows = [
        (activity.name, activity.line, activity.pool, span.start, span.end, rate)
        for (activity, span), rate in prices.rates.items()
    ]
    records = [dict(zip(schema.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(records, schema), path)
