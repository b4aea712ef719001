"""The two roll-ups once more, slowly: row by row in Python's decimals, from the design's rules and nothing of crmlib.

A ledger is a mapping of table → rows, each a mapping of column → text, as in its CSV files. A table or column that is not
there is not there; the statement is the list of its lines as in statement.yml.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

Row = Mapping[str, str]
Cells = dict[tuple[str, str, str, str], Decimal]  # level, owner, month, column
CELL, MONTHLY = Decimal("1e-8"), Decimal("1e-16")
GROUPS = ("parent", "account_type", "region", "segment")
BALANCES = ("receivables", "inventory", "dedicated_assets")


@dataclass(frozen=True)
class Case:
    """A ledger with what the engagement says of it; coverage as first and last month, such as 2024-01."""

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

    def owner(self, customer: str) -> tuple[str, str]:
        """Level and owner of what a customer's key stands on; a key that is blank or unknown goes to Unassigned."""
        known = customer and any(row["customer_id"] == customer for row in self.tables["customers"])
        return ("customer", customer) if known else ("unassigned", "")

    def line_of(self, source: str) -> str | None:
        """The line that a source fills."""
        return next((line["id"] for line in self.lines if source in line.get("sources", ())), None)


def cube(case: Case) -> Cells:
    """Amounts that are not zero by level, owner, month and column; each rounded once, half-even, to 8 decimals."""
    with localcontext(prec=80):
        sums: Cells = defaultdict(Decimal)
        for cell, amount in _entries(case):
            sums[cell] += amount
        cells = {cell: _rounded(amount) for cell, amount in sums.items()}
        for level, owner, month, balance in [c for c in cells if c[3].startswith("capital of ")]:
            part = cells.pop((level, owner, month, balance))
            key = (level, owner, month, "capital_charge")
            cells[key] = cells.get(key, Decimal(0)) + part
        return {cell: amount for cell, amount in cells.items() if amount}


def firm(case: Case) -> Cells:
    """What is no owner's: uncharged capacity by pool, joint costs by name, charges for capital taken out again."""
    charged: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (_, _, month, column), amount in cube(case).items():
        charged[column, month] += amount
    found: Cells = defaultdict(Decimal)
    pools = {row.get("pool", "") for row in case.tables.get("activity_types", ())} - {""}
    for row in case.rows("capacity", "month"):
        if row["pool"] in pools:
            found["firm", row["pool"], row["month"], "uncharged_capacity"] += Decimal(row["cost"])
    for (column, month), amount in charged.items():
        if column.startswith("charged_") and "capacity" in case.tables:
            found["firm", column.removeprefix("charged_"), month, "uncharged_capacity"] -= amount
        if column == "capital_charge":
            found["firm", "charges for capital", month, "capital_charges_reversed"] += amount
    for row in case.rows("joint_costs", "month"):
        found["firm", row["line"], row["month"], "joint_costs"] += Decimal(row["amount"])
    return {cell: amount for cell, amount in found.items() if amount}


def sales(case: Case) -> dict[tuple[str, str, str], tuple[Decimal, ...]]:
    """Quantity, gross sales, discount and cost of goods by customer ('' where unknown), product and month."""
    found: dict[tuple[str, str, str], list[Decimal]] = {}
    for row in case.rows("invoice_lines", "invoice_date"):
        key = (case.owner(row["customer_id"])[1], row["product_id"], _month(row["invoice_date"]))
        parts = [Decimal(row[c]) for c in ("quantity", "gross_sales", "discount", "cost_of_goods") if c in row]
        found[key] = [a + b for a, b in zip(found.get(key, [Decimal(0)] * len(parts)), parts, strict=True)]
    return {key: tuple(parts) for key, parts in found.items()}


def _rounded(amount: Decimal, to: Decimal = CELL) -> Decimal:
    with localcontext(prec=80):
        return amount.quantize(to, ROUND_HALF_EVEN)


def _month(day: str) -> str:
    return f"{day[:7]}-01"


Entry = tuple[tuple[str, str, str, str], Decimal]


def _entries(case: Case) -> Iterator[Entry]:
    yield from _invoiced(case)
    yield from _credited(case)
    yield from _booked(case)
    yield from _charged_for_capital(case)
    for activity in case.tables.get("activity_types", ()):
        for customer, day, quantity in _quantities(case, activity):
            yield from _priced(case, activity, (customer, day), quantity)
    for driver in ("orders", "invoice_lines", "units", "credits"):
        for customer, day, quantity in _driver(case, driver):
            yield (*case.owner(customer), _month(day), f"driver_{driver}"), quantity


def _invoiced(case: Case) -> Iterator[Entry]:
    for row in case.rows("invoice_lines", "invoice_date"):
        place = (*case.owner(row["customer_id"]), _month(row["invoice_date"]))
        gross = Decimal(row["gross_sales"])
        line = case.line_of("invoice_lines.gross_sales" if gross >= 0 else "returns")
        yield (*place, str(line)), abs(gross)
        for column in row:
            line = case.line_of(f"invoice_lines.{column}")
            if line and column != "gross_sales":
                yield (*place, line), Decimal(row[column])
        if "fixed_cost_of_goods" in row:
            yield (*place, "fixed_cost_of_goods"), Decimal(row["fixed_cost_of_goods"])


def _credited(case: Case) -> Iterator[Entry]:
    for row in case.rows("credits", "date"):
        place = (*case.owner(row["customer_id"]), _month(row["date"]))
        yield (*place, str(case.line_of("credits"))), Decimal(row["amount"])
        goods = case.line_of("invoice_lines.cost_of_goods")
        has_goods = any("cost_of_goods" in line for line in case.tables["invoice_lines"])
        if goods and has_goods and "cost_recovered" in row:
            yield (*place, goods), -Decimal(row["cost_recovered"])


def _booked(case: Case) -> Iterator[Entry]:
    for row in case.rows("costs", "date"):
        place = case.owner(row["key"]) if row["level"] == "customer" else (row["level"], row["key"])
        yield (*place, _month(row["date"]), row["line"]), Decimal(row["amount"])
        if row.get("avoidable") and row["level"] == "customer":
            yield ((*place, _month(row["date"]), f"{row['avoidable']}_{row['line']}"), Decimal(row["amount"]))


def _charged_for_capital(case: Case) -> Iterator[Entry]:
    """Balance × rate / 12; a monthly balance is the mean of the previous and this month end, the first has its own."""
    rows = case.rows("balances", "month")
    if not rows:
        return
    capital = case.cost_of_capital / (1 - case.tax_rate)
    opening = min(row["month"] for row in rows)
    for balance in (b for b in BALANCES if b in rows[0]):
        rate = capital + (case.inventory_noncapital_rate if balance == "inventory" else 0)
        for row in rows:
            later = _next(row["month"])
            parts = [(row["month"], 1 if row["month"] == opening else Decimal("0.5"))]
            parts += [(later, Decimal("0.5"))] if later[:7] <= case.coverage[1] else []
            for month, part in parts:
                place = (*case.owner(row["customer_id"]), month)
                mean = Decimal(row[balance]) * part
                yield ((*place, str(case.line_of(f"balances.{balance}"))), mean * _rounded(rate / 12, MONTHLY))
                yield (*place, f"capital of {balance}"), mean * _rounded(capital / 12, MONTHLY)


def _next(month: str) -> str:
    year, number = int(month[:4]), int(month[5:7])
    return date(year + number // 12, number % 12 + 1, 1).isoformat()


Quantity = tuple[str, str, Decimal]  # customer, day, quantity


def _quantities(case: Case, activity: Row) -> Iterable[Quantity]:
    if driver := activity.get("driver", ""):
        return _driver(case, driver)
    rows = [row for row in case.rows("activities", "date") if row["activity"] == activity["activity"]]
    return [(row["customer_id"], row["date"], Decimal(row["quantity"])) for row in rows]


def _driver(case: Case, driver: str) -> list[Quantity]:
    """A quantity that the ledger holds by itself."""
    lines = [(row["customer_id"], row["invoice_date"], row) for row in case.rows("invoice_lines", "invoice_date")]
    credited = [(row["customer_id"], row["date"], row) for row in case.rows("credits", "date")]
    if driver == "orders":
        return _orders(lines)
    if driver == "credits":
        return [(customer, day, Decimal(1)) for customer, day, _ in credited]
    if driver == "invoice_lines":
        return [(customer, day, Decimal(1)) for customer, day, _ in lines]
    if driver == "units":
        return [(c, day, Decimal(row["quantity"])) for c, day, row in lines if Decimal(row.get("quantity", 0)) > 0]
    if driver == "net_sales":
        net = [(c, day, Decimal(row["gross_sales"]) - Decimal(row.get("discount", 0))) for c, day, row in lines]
        return net + [(customer, day, -Decimal(row["amount"])) for customer, day, row in credited]
    return [(customer, day, Decimal(row[driver])) for customer, day, row in lines]


def _orders(lines: Sequence[tuple[str, str, Row]]) -> list[Quantity]:
    """Each order once, on the day of its first line."""
    first: dict[tuple[str, str], str] = {}
    for customer, day, row in lines:
        if row.get("order_id"):
            key = (customer, row["order_id"])
            first[key] = min(day, first.get(key, day))
    return [(customer, day, Decimal(1)) for (customer, _), day in first.items()]


def _priced(case: Case, activity: Row, at: tuple[str, str], quantity: Decimal) -> Iterator[Entry]:
    place = (*case.owner(at[0]), _month(at[1]))
    cost = quantity * _rate(case, activity, at[1])
    yield (*place, activity["line"]), cost
    if activity.get("pool"):
        yield (*place, f"charged_{activity['pool']}"), cost
    if not activity.get("driver"):
        yield (*place, f"driver_{activity['activity']}"), quantity
    elif activity["driver"] not in ("orders", "invoice_lines", "units", "credits", "net_sales"):
        yield (*place, f"driver_{activity['driver']}"), quantity


def _rate(case: Case, activity: Row, day: str) -> Decimal:
    """The rate in force on a day; where none is given, cost of the pool / practical capacity × minutes of one unit."""
    given = [row for row in case.tables.get("rates", ()) if row["activity"] == activity["activity"]]
    if given:
        return Decimal(max((row for row in given if row["valid_from"] <= day), key=lambda r: r["valid_from"])["rate"])
    month = [r for r in case.tables["capacity"] if r["pool"] == activity["pool"] and r["month"] == _month(day)]
    minutes = Decimal(activity.get("unit_minutes") or 1)
    return _rounded(Decimal(month[0]["cost"]) * minutes / Decimal(month[0]["practical_capacity"]))
