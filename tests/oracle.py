"""The roll-ups once more, slowly, in Python's decimals: by the design's rules, nothing of crmlib.

A ledger is a mapping of table → rows, each a mapping of column → text, as in its CSV files. A table
or column that is not there is not there; the statement is the list of its lines as in
statement.yml.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

Row = Mapping[str, str]
Place = tuple[str, str, str]  # level, owner, month
Cells = dict[tuple[str, str, str, str], Decimal]  # level, owner, month, column
CELL, MONTHLY = Decimal("1e-8"), Decimal("1e-16")
GROUPS = ("parent", "account_type", "region", "segment")
BALANCES = ("receivables", "inventory", "dedicated_assets")


@dataclass(frozen=True)
class Case:
    """A ledger with what the engagement says of it; coverage as first and last month (2024-01)."""

    tables: Mapping[str, Sequence[Row]]
    lines: Sequence[Mapping[str, Any]] = field(repr=False)
    coverage: tuple[str, str]
    cost_of_capital: Decimal = Decimal(0)
    tax_rate: Decimal = Decimal(0)
    inventory_noncapital_rate: Decimal = Decimal(0)

    def rows(self, table: str, day: str) -> list[Row]:
        """Rows of a table within the coverage."""
        first, last = self.coverage
        return [row for row in self.tables.get(table, ()) if first <= row[day][:7] <= last]

    @property
    def capital_charge_rate(self) -> Decimal:
        """The charge for capital before tax, a year."""
        return self.cost_of_capital / (1 - self.tax_rate)

    def owner(self, customer: str) -> tuple[str, str]:
        """Level and owner of what stands on a customer's key; one not known goes to Unassigned."""
        known = customer and any(row["customer_id"] == customer for row in self.tables["customers"])
        return ("customer", customer) if known else ("unassigned", "")

    def line_of(self, source: str) -> str | None:
        """The line that a source fills."""
        return next((line["id"] for line in self.lines if source in line.get("sources", ())), None)


def lines(case: Case) -> Cells:
    """Amounts of lines that are not zero; each source rounded once, half away from zero."""
    with localcontext(prec=80):
        parts: dict[tuple[Place, str, str], Decimal] = defaultdict(Decimal)
        for place, line, source, amount in _entries(case):
            parts[place, line, source] += amount
        cells: Cells = defaultdict(Decimal)
        for (place, line, _), amount in parts.items():
            cells[*place, line] += _rounded(amount)
        return _not_zero(cells)


def firm(case: Case) -> Cells:
    """What is no owner's: uncharged capacity, joint costs, charges for capital taken out again."""
    cells: Cells = defaultdict(Decimal)
    pools = {row.get("pool", "") for row in case.tables.get("activity_types", ())} - {""}
    for row in case.rows("capacity", "month"):
        if row["pool"] in pools:
            cells["firm", row["pool"], row["month"], "uncharged_capacity"] += Decimal(row["cost"])
    pool_of = {row["activity"]: row.get("pool", "") for row in case.tables.get("activity_types", ())}
    for (_, _, month, activity), (_, amount) in service(case).items():
        if pool_of[activity] and "capacity" in case.tables:
            cells["firm", pool_of[activity], month, "uncharged_capacity"] -= amount
    for (_, _, month, column), amount in capital(case).items():
        if column == "capital_charge":
            cells["firm", "charges for capital", month, "capital_charges_reversed"] += amount
    for row in case.rows("joint_costs", "month"):
        cells["firm", row["line"], row["month"], "joint_costs"] += Decimal(row["amount"])
    return _not_zero(cells)


def service(case: Case) -> dict[tuple[str, str, str, str], tuple[Decimal, Decimal]]:
    """Quantity and amount by level, owner, month, activity; each source rounded once."""
    with localcontext(prec=80):
        parts: dict[tuple[Place, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for activity in case.tables.get("activity_types", ()):
            for customer, day, source, quantity in _quantities(case, activity):
                part = parts[(*case.owner(customer), _month(day)), activity["activity"], source]
                part[0] += quantity
                part[1] += quantity * _rate(case, activity, day)
        served: dict[tuple[str, str, str, str], tuple[Decimal, Decimal]] = {}
        for (place, activity, _), (quantity, amount) in parts.items():
            before = served.get((*place, activity), (Decimal(0), Decimal(0)))
            served[*place, activity] = (before[0] + quantity, before[1] + _rounded(amount))
        return {key: pair for key, pair in served.items() if any(pair)}


def drivers(case: Case) -> Cells:
    """Quantities that the ledger holds by itself, and the fixed cost of goods, not zero."""
    cells: Cells = defaultdict(Decimal)
    for driver in ("orders", "invoice_lines", "units", "credits"):
        for customer, day, _, quantity in _driver(case, driver):
            cells[*case.owner(customer), _month(day), driver] += quantity
    for row in case.rows("invoice_lines", "invoice_date"):
        place = (*case.owner(row["customer_id"]), _month(row["invoice_date"]))
        cells[*place, "fixed_cost_of_goods"] += Decimal(row.get("fixed_cost_of_goods", 0))
    return _not_zero(cells)


def capital(case: Case) -> Cells:
    """Mean balances, and the charge for capital on all of them, each balance's rounded once."""
    with localcontext(prec=80):
        cells: Cells = defaultdict(Decimal)
        for place, balance, mean in _means(case):
            cells[*place, balance] += mean
        rate = _rounded(case.capital_charge_rate / 12, MONTHLY)
        for (level, owner, month, _), mean in list(cells.items()):
            cells[level, owner, month, "capital_charge"] += _rounded(mean * rate)
        return _not_zero(cells)


def bookings(case: Case) -> dict[tuple[str, str, str, str, str], Decimal]:
    """Costs by level, owner, month, line and the booking's own answer whether it is avoidable."""
    cells: dict[tuple[str, str, str, str, str], Decimal] = defaultdict(Decimal)
    for place, line, avoidable, amount in _booked(case):
        cells[*place, line, avoidable] += amount
    return {key: amount for key, amount in cells.items() if amount}


def sales(case: Case) -> dict[tuple[str, str, str], tuple[Decimal, ...]]:
    """Quantity, gross sales, discount, cost of goods by customer ('' unknown), product, month, before returns."""
    found: dict[tuple[str, str, str], list[Decimal]] = {}
    for row in case.rows("invoice_lines", "invoice_date"):
        if Decimal(row["gross_sales"]) < 0:
            continue
        key = (case.owner(row["customer_id"])[1], row["product_id"], _month(row["invoice_date"]))
        parts = [Decimal(row[c]) for c in ("quantity", "gross_sales", "discount", "cost_of_goods") if c in row]
        found[key] = [a + b for a, b in zip(found.get(key, [Decimal(0)] * len(parts)), parts, strict=True)]
    return {key: tuple(parts) for key, parts in found.items()}


def _rounded(amount: Decimal, to: Decimal = CELL) -> Decimal:
    with localcontext(prec=80):
        return amount.quantize(to, ROUND_HALF_UP)


def _month(day: str) -> str:
    return f"{day[:7]}-01"


def _not_zero(cells: Cells) -> Cells:
    return {cell: amount for cell, amount in cells.items() if amount}


Entry = tuple[Place, str, str, Decimal]  # place, line, source, amount


def _entries(case: Case) -> Iterator[Entry]:
    yield from _invoiced(case)
    yield from _credited(case)
    for place, line, _, amount in _booked(case):
        yield place, line, "costs", amount
    capital = case.capital_charge_rate
    for place, balance, mean in _means(case):
        rate = capital + (case.inventory_noncapital_rate if balance == "inventory" else 0)
        yield (place, str(case.line_of(f"balances.{balance}")), balance, mean * _rounded(rate / 12, MONTHLY))
    for activity in case.tables.get("activity_types", ()):
        for customer, day, source, quantity in _quantities(case, activity):
            place = (*case.owner(customer), _month(day))
            part = f"{activity['activity']} from {source}"
            yield place, activity["line"], part, quantity * _rate(case, activity, day)


def _invoiced(case: Case) -> Iterator[Entry]:
    for row in case.rows("invoice_lines", "invoice_date"):
        place = (*case.owner(row["customer_id"]), _month(row["invoice_date"]))
        gross = Decimal(row["gross_sales"])
        line = case.line_of("invoice_lines.gross_sales" if gross >= 0 else "returns")
        yield place, str(line), "trade", abs(gross)
        for column in row:
            line = case.line_of(f"invoice_lines.{column}")
            if line and column != "gross_sales":
                yield place, line, "trade", Decimal(row[column])


def _credited(case: Case) -> Iterator[Entry]:
    for row in case.rows("credits", "date"):
        place = (*case.owner(row["customer_id"]), _month(row["date"]))
        yield place, str(case.line_of("credits")), "credits", Decimal(row["amount"])
        goods = case.line_of("invoice_lines.cost_of_goods")
        has_goods = any("cost_of_goods" in line for line in case.tables["invoice_lines"])
        if goods and has_goods and "cost_recovered" in row:
            yield place, goods, "credits", -Decimal(row["cost_recovered"])


def _booked(case: Case) -> Iterator[Entry]:
    """Place, line, the booking's own answer and amount of each cost."""
    for row in case.rows("costs", "date"):
        owner = case.owner(row["key"]) if row["level"] == "customer" else (row["level"], row["key"])
        yield ((*owner, _month(row["date"])), row["line"], row.get("avoidable", ""), Decimal(row["amount"]))


def _means(case: Case) -> Iterator[tuple[Place, str, Decimal]]:
    """What each month end adds to means: half to its own and half to the next, all to the first."""
    rows = case.rows("balances", "month")
    opening = min((row["month"] for row in rows), default="")
    for row in rows:
        later = _next(row["month"])
        parts = [(row["month"], Decimal(1 if row["month"] == opening else "0.5"))]
        parts += [(later, Decimal("0.5"))] if later[:7] <= case.coverage[1] else []
        for balance in (b for b in BALANCES if b in row):
            for month, part in parts:
                yield ((*case.owner(row["customer_id"]), month), balance, Decimal(row[balance]) * part)


def _next(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return date(year + number // 12, number % 12 + 1, 1).isoformat()


Quantity = tuple[str, str, str, Decimal]  # customer, day, source, quantity


def _quantities(case: Case, activity: Row) -> list[Quantity]:
    if driver := activity.get("driver", ""):
        return _driver(case, driver)
    rows = [row for row in case.rows("activities", "date") if row["activity"] == activity["activity"]]
    return [(row["customer_id"], row["date"], "activities", Decimal(row["quantity"])) for row in rows]


def _driver(case: Case, driver: str) -> list[Quantity]:
    """A quantity that the ledger holds by itself."""
    rows = [(row["customer_id"], row["invoice_date"], row) for row in case.rows("invoice_lines", "invoice_date")]
    notes = [(row["customer_id"], row["date"], row) for row in case.rows("credits", "date")]
    bought = [(customer, day, row) for customer, day, row in rows if Decimal(row["gross_sales"]) >= 0]
    if driver == "orders":
        return _orders(bought)
    if driver == "credits":
        returned = [
            (customer, day, "trade", Decimal(1)) for customer, day, row in rows if (customer, day, row) not in bought
        ]
        return returned + [(customer, day, "credits", Decimal(1)) for customer, day, _ in notes]
    if driver == "invoice_lines":
        return [(customer, day, "trade", Decimal(1)) for customer, day, _ in bought]
    if driver == "units":
        units = [(customer, day, Decimal(row.get("quantity", 0))) for customer, day, row in rows]
        return [(customer, day, "trade", quantity) for customer, day, quantity in units if quantity > 0]
    if driver == "net_sales":
        net = [(c, day, "trade", Decimal(row["gross_sales"]) - Decimal(row.get("discount", 0))) for c, day, row in rows]
        return net + [(customer, day, "credits", -Decimal(row["amount"])) for customer, day, row in notes]
    return [(customer, day, "trade", Decimal(row[driver])) for customer, day, row in rows]


def _orders(rows: Sequence[tuple[str, str, Row]]) -> list[Quantity]:
    """Each order once, on the day of its first line."""
    first: dict[tuple[str, str], str] = {}
    for customer, day, row in rows:
        if row.get("order_id"):
            key = (customer, row["order_id"])
            first[key] = min(day, first.get(key, day))
    return [(customer, day, "orders", Decimal(1)) for (customer, _), day in first.items()]


def _rate(case: Case, activity: Row, day: str) -> Decimal:
    """The rate in force on a day; else the pool's cost / practical capacity × minutes of a unit."""
    given = [row for row in case.tables.get("rates", ()) if row["activity"] == activity["activity"]]
    if given:
        return Decimal(max((row for row in given if row["valid_from"] <= day), key=lambda r: r["valid_from"])["rate"])
    month = [r for r in case.tables["capacity"] if r["pool"] == activity["pool"] and r["month"] == _month(day)]
    minutes = Decimal(activity.get("unit_minutes") or 1)
    return _rounded(Decimal(month[0]["cost"]) * minutes / Decimal(month[0]["practical_capacity"]))
