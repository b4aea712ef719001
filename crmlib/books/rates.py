"""What a unit of each activity costs, day by day: given rates, or a pool's cost over its practical capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from crmlib.books.ledger import Ledger
from crmlib.declared.settings import Rates

CELL = Decimal("1e-8")
MONTHLY = Decimal("1e-16")


@dataclass(frozen=True)
class Activity:
    """One activity: the line its cost goes to, its pool, and what one unit uses of the pool's capacity."""

    name: str
    line: str
    pool: str
    driver: str
    unit_minutes: Decimal


def activities(ledger: Ledger) -> list[Activity]:
    """The ledger's activities, by name."""
    if not ledger.has("activity_types"):
        return []
    rows = ledger.tables["activity_types"].order_by("activity").to_pyarrow().to_pylist()
    return [
        Activity(r["activity"], r["line"], r.get("pool") or "", r.get("driver") or "", _unit(r.get("unit_minutes")))
        for r in rows
    ]


def _unit(minutes: Decimal | None) -> Decimal:
    return Decimal(1) if minutes is None else minutes


def rounded(value: Decimal, to: Decimal = CELL) -> Decimal:
    """Half-even to the given step: 8 decimals, the rule of the cube, unless said otherwise."""
    with localcontext(prec=60):
        return value.quantize(to, ROUND_HALF_EVEN)


def monthly_rate(yearly: Decimal) -> Decimal:
    """A yearly rate of charge as a month's, rounded half-even to 16 decimals."""
    with localcontext(prec=60):
        return rounded(yearly / 12, MONTHLY)


def rate_days(ledger: Ledger) -> list[date]:
    """First days of the spans in which no rate changes: every covered month, and each change within one."""
    coverage = ledger.engagement.coverage
    inside = ledger.tables["rates"].valid_from.to_pyarrow().to_pylist() if ledger.has("rates") else []
    return sorted({*coverage.month_starts(), *(d for d in inside if coverage.start <= d < coverage.end)})


def rate_table(ledger: Ledger) -> dict[str, dict[date, Decimal]]:
    """By activity and span: the rate in force; where none is given, its pool's cost / practical capacity × unit minutes."""
    given: dict[str, list[tuple[date, Decimal]]] = {}
    if ledger.has("rates"):
        for r in ledger.tables["rates"].order_by("valid_from").to_pyarrow().to_pylist():
            given.setdefault(r["activity"], []).append((r["valid_from"], r["rate"]))
    pools, days = _pools(ledger), rate_days(ledger)
    return {
        activity.name: {day: rate for day in days if (rate := _rate(activity, day, given, pools)) is not None}
        for activity in activities(ledger)
    }


def _pools(ledger: Ledger) -> dict[tuple[str, date], tuple[Decimal, Decimal]]:
    """By pool and month: booked cost and practical capacity."""
    if not ledger.has("capacity"):
        return {}
    rows = ledger.covered("capacity").to_pyarrow().to_pylist()
    return {(r["pool"], r["month"]): (r["cost"], r["practical_capacity"]) for r in rows}


def _rate(
    activity: Activity, day: date, given: Mapping[str, list[tuple[date, Decimal]]],
    pools: Mapping[tuple[str, date], tuple[Decimal, Decimal]],
) -> Decimal | None:  # fmt: skip
    if activity.name in given:
        return next((rate for since, rate in reversed(given[activity.name]) if since <= day), None)
    cost, capacity = pools.get((activity.pool, day.replace(day=1)), (Decimal(0), Decimal(0)))
    if not capacity:
        return None
    with localcontext(prec=60):
        return rounded(cost * activity.unit_minutes / capacity)


def charge_rate(balance: str, rates: Rates) -> Decimal:
    """Yearly rate of the charge on a kind of balance: capital, and for inventory insurance, storage and obsolescence too."""
    return rates.capital_charge_rate + (rates.inventory_noncapital_rate if balance == "inventory" else 0)
