"""The roll-ups of the ledger: the cube, the sales cube and the order days, unexecuted until written once into the cache."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import Ledger
from crmlib.books.rates import CELL, Activity, activities, charge_rate, monthly_rate, rate_days, rate_table
from crmlib.declared.periods import add_months
from crmlib.declared.statement import DRIVERS, Statement

if TYPE_CHECKING:
    import ibis.expr.types as ir


ROUNDING_RULE = (
    "Ledger money has 4 decimals, rates 8, the monthly rate of charge for capital 16. Each amount of an owner, month and line "
    "is rounded once, half to even, to 8 decimals; sums of these are exact, and shown to the cent or in thousands."
)
UNASSIGNED = ""  # the owner's key of what has no known customer; no customer can have it


def cube(ledger: Ledger, statement: Statement, work: Path) -> ir.Table:
    """One row per owner (level, owner) and month: leaf lines, `driver_…` quantities, `charged_…` by pool, `capital_charge`.

    Levels are customer, unassigned (owner ''), and the groups that own costs. Unexecuted.
    """
    import ibis

    pieces = (_activity(ledger, statement, work), _bookings(ledger, statement), _balances(ledger, statement))
    joined = functools.reduce(_outer, [p for p in pieces if p is not None])
    amounts = {c: t for c, t in joined.schema().items() if c not in {"owner", "month"}}
    known = ledger.tables["customers"].select(known="customer_id").distinct()
    placed = joined.left_join(known, joined.owner == known.known).select("known", *joined.columns)
    # filters of one table, not semi and anti joins with it: Ibis would write the table twice, and it would be computed twice
    named, unknown = placed.filter(placed.known.notnull()), placed.filter(placed.known.isnull())
    unassigned = unknown.group_by("month").aggregate(**{c: unknown[c].sum() for c in amounts})
    rows = [_owned(named, "customer", named.owner, amounts), _owned(unassigned, "unassigned", UNASSIGNED, amounts)]
    if (groups := _group_costs(ledger, statement)) is not None:
        rows.append(_owned(groups, groups["level"], groups.owner, amounts))
    owned = ibis.union(*rows)
    return owned.select("level", "owner", "month", **_cells(owned, ledger, statement))


def _owned(table: ir.Table, level: Any, owner: Any, amounts: Mapping[str, Any]) -> ir.Table:
    """Level, owner, month and the amounts; one that the rows do not have is null."""
    import ibis

    level = ibis.literal(level) if isinstance(level, str) else level
    owner = ibis.literal(owner) if isinstance(owner, str) else owner
    held = {c: table[c] if c in table.columns else ibis.null(dtype) for c, dtype in amounts.items()}
    return table.select(level=level, owner=owner, month=table.month, **held)


def _cells(table: ir.Table, ledger: Ledger, statement: Statement) -> dict[str, Any]:
    """The cube's columns, each cell rounded once: parts of a line (`line:part`) added, balances charged."""
    parts: dict[str, list[Any]] = {}
    for column in table.columns[3:]:
        if not column.startswith("balance:"):
            parts.setdefault(column.split(":")[0], []).append(table[column])
    cells = {
        c: half_even(functools.reduce(operator.add, [p.fill_null(0) for p in found])) for c, found in parts.items()
    }
    cells |= _charges(table, ledger, statement)
    order = [line.id for line in statement.leaves if line.id in cells]
    return {c: cells[c] for c in dict.fromkeys([*order, *cells])}


def half_even(value: Any, near: Any = None) -> Any:
    """A decimal rounded half-even to 8 decimals (engines round half away from zero), null as zero.

    DuckDB divides numbers of 128 bits bit by bit, some hundred times slower than what fits 64. So a cell that is probably right is
    taken where it is proven right, being less than half a step away: `near`, an amount in floating point, or the 64 bits.
    """
    import ibis

    value = value.fill_null(0)
    dtype = value.type()
    if not dtype.is_decimal() or (dtype.scale or 0) <= 8:
        return value.cast("decimal(38, 8)")
    exact = value if near is not None else value.try_cast(f"decimal(18, {dtype.scale})")
    cell = near.cast("decimal(38, 8)") if near is not None else exact.cast("decimal(18, 8)")
    off = (cell.cast(exact.type()) - exact).abs()
    return ibis.ifelse(off < _constant(CELL / 2, str(exact.type())), cell.cast("decimal(38, 8)"), _tie_to_even(value))


def _tie_to_even(value: Any) -> Any:
    import ibis

    up = value.cast("decimal(38, 8)")
    tie = (up.cast(value.type()) - value).abs() == _constant(CELL / 2, str(value.type()))
    odd = (up * 100_000_000).cast("decimal(38, 0)") % 2 != 0
    step = _constant(CELL, "decimal(38, 8)")
    return ibis.ifelse(tie & odd, up - ibis.ifelse(up > 0, step, -step), up).cast("decimal(38, 8)")


def _constant(value: Decimal, dtype: str) -> Any:
    """A decimal by way of its text: Ibis writes a decimal literal with three decimals."""
    import ibis

    return ibis.literal(f"{value:f}").cast(dtype)


def _outer(left: ir.Table, right: ir.Table) -> ir.Table:
    """Both sides' rows by owner and month. The view is needed: chained outer joins fail without it (ibis issue 10293)."""
    import ibis

    joined = left.outer_join(right, ["owner", "month"], rname="{name}_")
    keys = {k: ibis.coalesce(joined[k], joined[f"{k}_"]) for k in ("owner", "month")}
    return joined.select(**keys, **{c: joined[c] for c in (*left.columns, *right.columns) if c not in keys}).view()


def month_of(day: Any) -> Any:
    """The first day of a date's month, as a date (truncation returns a timestamp that Ibis takes for a date)."""
    import ibis

    return ibis.date(day.year(), day.month(), 1)


def _span(day: Any, days: list[date]) -> Any:
    """The first day of the span without a rate change in which a day lies."""
    import ibis

    cases = [((day >= d) & (day < add_months(d, 1)), ibis.literal(d)) for d in reversed(days) if d.day != 1]
    return ibis.cases(*cases, else_=month_of(day)) if cases else month_of(day)


def _by_span(table: ir.Table, days: list[date], amounts: Mapping[str, Any]) -> ir.Table:
    """Amounts by owner and span, which is called month; the key of what has no customer is filled in after, where there are few rows."""
    day = table.invoice_date if "invoice_date" in table.columns else table.date
    summed = table.group_by("customer_id", month=_span(day, days)).aggregate(**amounts)
    return summed.select(*amounts, "month", owner=summed.customer_id.fill_null(UNASSIGNED))


def _activity(ledger: Ledger, statement: Statement, work: Path) -> ir.Table:
    """What customers bought, sent back and had done for them, by customer and month, and what that cost at the rates of its days."""
    days, found, lines = rate_days(ledger), activities(ledger), ledger.covered("invoice_lines")
    pieces = [_by_span(lines, days, _line_amounts(lines, statement, found))]
    if ledger.has("invoice_lines", "order_id"):
        first = (
            lines.filter(lines.order_id.notnull())
            .group_by("customer_id", "order_id")
            .aggregate(date=lines.invoice_date.min())
        )
        pieces.append(_by_span(first, days, {"driver_orders": first.count().cast("decimal(38, 4)")}))
    if ledger.has("credits"):
        notes = ledger.covered("credits")
        pieces.append(_by_span(notes, days, _credit_amounts(notes, statement)))
    if ledger.has("activities") and any(not a.driver for a in found):
        events = ledger.covered("activities")
        quantities = {
            f"driver_{a.driver or a.name}": events.quantity.sum(where=events.activity == a.name)
            for a in found
            if not a.driver
        }
        pieces.append(_by_span(events, days, quantities))
    facts = _with_rates(functools.reduce(_outer, pieces), ledger, statement, work)
    if all(d.day == 1 for d in days):
        return facts
    return facts.group_by("owner", month=month_of(facts.month)).aggregate(
        **{c: facts[c].sum() for c in facts.columns if c not in {"owner", "month"}}
    )


def _line_amounts(lines: ir.Table, statement: Statement, found: list[Activity]) -> dict[str, Any]:
    amounts = {}
    for line in statement.leaves:
        for source in line.sources:
            if source == "invoice_lines.gross_sales":
                amounts[line.id] = lines.gross_sales.sum(where=lines.gross_sales >= 0)
            elif source == "returns":
                amounts[f"{line.id}:returns"] = (-lines.gross_sales).sum(where=lines.gross_sales < 0)
            elif source.startswith("invoice_lines."):
                column = source.split(".")[1]
                amounts[f"{line.id}:{column}"] = lines[column].sum()
    for measure in {a.driver for a in found} - {"", *DRIVERS}:
        amounts[f"driver_{measure}"] = lines[measure].sum()
    if "quantity" in lines.columns:
        amounts["driver_units"] = lines.quantity.sum(where=lines.quantity > 0)
    if "fixed_cost_of_goods" in lines.columns:
        amounts["fixed_cost_of_goods"] = lines.fixed_cost_of_goods.sum()
    return {**amounts, "driver_invoice_lines": lines.count().cast("decimal(38, 4)")}


def _credit_amounts(notes: ir.Table, statement: Statement) -> dict[str, Any]:
    amounts = {"driver_credits": notes.count().cast("decimal(38, 4)")}
    for line in statement.leaves:
        if "credits" in line.sources:
            amounts[f"{line.id}:credits"] = notes.amount.sum()
        if "invoice_lines.cost_of_goods" in line.sources and "cost_recovered" in notes.columns:
            amounts[f"{line.id}:recovered"] = -notes.cost_recovered.sum()
    return amounts


def _with_rates(facts: ir.Table, ledger: Ledger, statement: Statement, work: Path) -> ir.Table:
    """Each activity's quantity × the rate of its span, by line and by pool."""
    known = activities(ledger)
    columns = {a: f"driver_{a.driver or a.name}" for a in known}
    found = [a for a in known if a.driver or columns[a] in facts.columns]
    if not found:
        return facts
    rates = _wide_rates(ledger, found, work)
    joined = facts.left_join(rates, facts.month == rates.day)
    quantities = {
        a.name: _net_sales(joined, statement) if a.driver == "net_sales" else joined[columns[a]].fill_null(0)
        for a in found
    }
    decimals = max(q.type().scale for q in quantities.values())  # 8 where a measure is a driver
    costs: dict[str, Any] = {}
    for activity in found:
        quantity = quantities[activity.name].cast(f"decimal({14 + decimals}, {decimals})")
        cost = _product(quantity, joined[f"rate:{activity.name}"], decimals + 8)
        for column in [f"{activity.line}:rates", *([f"charged_{activity.pool}"] if activity.pool else [])]:
            costs[column] = costs[column] + cost if column in costs else cost
    return joined.select(*facts.columns, **costs)


def _net_sales(facts: ir.Table, statement: Statement) -> Any:
    parts = [(line.sign, c) for line in statement.leaves if line.cls in {"revenue", "deduction"}
             for c in facts.columns if c.split(":")[0] == line.id]  # fmt: skip
    return functools.reduce(operator.add, [facts[c].fill_null(0) * sign for sign, c in parts]).cast("decimal(18, 4)")


def _wide_rates(ledger: Ledger, found: list[Activity], work: Path) -> ir.Table:
    """One row per span, one column per activity; written as Parquet, since every engine reads that."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rates, days = rate_table(ledger), rate_days(ledger)
    columns = {
        f"rate:{a.name}": pa.array([rates[a.name].get(d, Decimal(0)) for d in days], pa.decimal128(18, 8))
        for a in found
    }
    path = work / "rates-by-span.parquet"
    pq.write_table(pa.table({"day": pa.array(days, pa.date32()), **columns}), path)
    return ledger.con.read_parquet(str(path))


def _bookings(ledger: Ledger, statement: Statement) -> ir.Table | None:
    """Costs booked to customers, by customer and month, one column per line."""
    if not ledger.has("costs"):
        return None
    costs = ledger.covered("costs").filter(lambda t: t["level"] == "customer")
    return costs.group_by(owner=costs.key.fill_null(UNASSIGNED), month=month_of(costs.date)).aggregate(
        **_booked(costs, statement), **_answered(costs)
    )


def _answered(costs: ir.Table) -> dict[str, Any]:
    """Bookings that say by themselves whether they are avoidable: `now_LINE` and `never_LINE`."""
    if "avoidable" not in costs.columns:
        return {}
    said = (
        costs.filter(costs.avoidable.notnull())
        .select("avoidable", "line")
        .distinct()
        .order_by("avoidable", "line")
        .to_pyarrow()
        .to_pylist()
    )
    return {
        f"{r['avoidable']}_{r['line']}": costs.amount.sum(
            where=(costs.avoidable == r["avoidable"]) & (costs.line == r["line"])
        )
        for r in said
    }


def _booked(costs: ir.Table, statement: Statement) -> dict[str, Any]:
    lines = [line.id for line in statement.leaves if "costs" in line.sources]
    return {f"{line}:booked": costs.amount.sum(where=costs.line == line) for line in lines}


def _group_costs(ledger: Ledger, statement: Statement) -> ir.Table | None:
    """Costs that belong to a group and to none of its customers, by level, group and month."""
    if not ledger.has("costs"):
        return None
    costs = ledger.covered("costs").filter(lambda t: t["level"] != "customer")
    return costs.group_by("level", owner="key", month=month_of(costs.date)).aggregate(**_booked(costs, statement))


def _held(statement: Statement) -> dict[str, str]:
    """Lines that charge for a balance, with the balance."""
    return {
        line.id: line.sources[0].split(".")[1] for line in statement.leaves if line.sources[0].startswith("balances.")
    }


def _charges(table: ir.Table, ledger: Ledger, statement: Statement) -> dict[str, Any]:
    """Charges for capital: the mean of the previous and this month end × the month's rate; `capital_charge` is their capital part."""
    held, rates = _held(statement), ledger.engagement.settings.rates
    charges = {line: _charge(table[f"balance:{b}"], charge_rate(b, rates)) for line, b in held.items()}
    capital = [_charge(table[f"balance:{b}"], rates.capital_charge_rate) for b in held.values()]
    return {**charges, "capital_charge": functools.reduce(operator.add, capital)} if held else {}


def _charge(twice_mean: Any, yearly: Decimal) -> Any:
    """Twice a mean balance × half a month's rate."""
    with localcontext(prec=60):
        half = monthly_rate(yearly) / 2
    balance = twice_mean.fill_null(0).cast("decimal(20, 4)")
    exact = _product(balance, _constant(half, "decimal(20, 17)"), 21)
    return half_even(exact, near=balance.cast("float64") * float(half))


def _product(left: Any, right: Any, scale: int) -> Any:
    """The exact product; Ibis infers a smaller scale than the engine computes."""
    return (left * right).cast(f"decimal(38, {scale})")


def _balances(ledger: Ledger, statement: Statement) -> ir.Table | None:
    """Previous plus this month end by customer and month; the first month of the table has only its own, counted twice."""
    import ibis

    held = sorted(set(_held(statement).values()))
    if not held:
        return None
    balances = ledger.covered("balances")
    first = ibis.literal(balances.month.min().to_pyarrow().as_py())
    owner = balances.customer_id.fill_null(UNASSIGNED)
    own = balances.select(
        owner=owner,
        month="month",
        **{f"balance:{b}": balances[b] * ibis.ifelse(balances.month == first, 2, 1) for b in held},
    )
    following = month_of(balances.month + ibis.interval(months=1))
    carried = balances.select(owner=owner, month=following, **{f"balance:{b}": balances[b] for b in held})
    both = ibis.union(own, carried.filter(carried.month < ledger.engagement.coverage.end))
    return both.group_by("owner", "month").aggregate(
        **{c: both[c].sum() for c in own.columns if c not in {"owner", "month"}}
    )


def sales_cube(ledger: Ledger) -> ir.Table | None:
    """One row per customer ('' where unknown), product and month: those of quantity, gross sales, discount and cost of goods that there are. Unexecuted."""
    import ibis

    if not ledger.has("invoice_lines", "product_id"):
        return None
    lines, known = (ledger.covered("invoice_lines"), ledger.tables["customers"].select(known="customer_id").distinct())
    measures = [c for c in ("quantity", "gross_sales", "discount", "cost_of_goods") if c in lines.columns]
    by_key = lines.group_by("customer_id", "product_id", month=month_of(lines.invoice_date)).aggregate(
        **{c: lines[c].sum() for c in measures}
    )
    owned = by_key.left_join(known, by_key.customer_id == known.known)
    rows = owned.group_by(
        customer_id=ibis.coalesce(owned.known, UNASSIGNED), product_id=owned.product_id.fill_null(""), month=owned.month
    )
    return rows.aggregate(**{c: owned[c].sum() for c in measures})


def order_days(ledger: Ledger) -> ir.Table:
    """One row per known customer and day with orders: customer_id, day, orders (count), gross_sales. Unexecuted.

    The day is the order date where the ledger has one, else the invoice date. An order counts once, on the day of its first line; what has no
    order number is one order a day. Only lines with positive gross sales order anything: a return does not. Lines are those invoiced within the
    coverage, so a day may lie before it (ordered in December, invoiced in January).
    """
    import ibis

    lines = ledger.covered("invoice_lines").filter(lambda t: t.gross_sales > 0)
    day = ibis.coalesce(lines.order_date, lines.invoice_date) if "order_date" in lines.columns else lines.invoice_date
    order = lines.order_id if "order_id" in lines.columns else ibis.null("string")
    single = lines.group_by("customer_id", order=order, alone=ibis.ifelse(order.isnull(), day, None)).aggregate(
        day=day.min(), gross_sales=lines.gross_sales.sum()
    )
    known = single.semi_join(ledger.tables["customers"], "customer_id")
    return known.group_by("customer_id", "day").aggregate(orders=known.count(), gross_sales=known.gross_sales.sum())


def firm_rows(ledger: Ledger, statement: Statement, owners: ir.Table) -> ir.Table | None:
    """One row per cost of no customer or group, and month: uncharged capacity by pool, joint costs by name, charges for capital taken out."""
    import ibis

    lines = {line.sources[0]: line.id for line in statement.leaves if line.cls == "pool"}
    rows = []
    if "capacity" in lines:
        rows += [(lines["capacity"], table) for table in _uncharged(ledger, owners)]
    if "joint_costs" in lines:
        joint = ledger.covered("joint_costs")
        rows.append(
            (lines["joint_costs"], joint.group_by(owner="line", month="month").aggregate(amount=joint.amount.sum()))
        )
    if "capital_charges" in lines:
        charged = owners.group_by("month").aggregate(amount=owners.capital_charge.sum())
        rows.append(
            (lines["capital_charges"], charged.select("month", "amount", owner=ibis.literal("charges for capital")))
        )
    amounts = dict.fromkeys(lines.values(), "decimal(38, 8)")
    tables = [
        _owned(t.select("owner", "month", **{line: half_even(t.amount)}), "firm", t.owner, amounts) for line, t in rows
    ]
    if not tables:
        return None
    owned = ibis.union(*tables)
    return owned.select("level", "owner", "month", **{c: owned[c].fill_null(0) for c in amounts})


def _uncharged(ledger: Ledger, owners: ir.Table) -> list[ir.Table]:
    """By pool: booked cost less what customers were charged; negative where more was charged than booked."""
    import ibis

    capacity = ledger.covered("capacity")
    tables = []
    for pool in sorted({a.pool for a in activities(ledger)} & set(capacity.pool.execute())):
        booked = capacity.filter(capacity.pool == pool).select("month", amount=capacity.cost.cast("decimal(38, 8)"))
        column = f"charged_{pool}"
        charged = (
            [owners.select("month", amount=(-owners[column]).cast("decimal(38, 8)"))]
            if column in owners.columns
            else []
        )
        both = ibis.union(booked, *charged)
        tables.append(
            both.group_by("month")
            .aggregate(amount=both.amount.sum())
            .select("month", "amount", owner=ibis.literal(pool))
        )
    return tables
