"""The contribution approach beside full cost: what a customer's leaving would save, and what spreading would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, owner_totals, read_cube
from crmlib.declared.periods import Period
from crmlib.profitability import customer_profitability, own_costs_of, total


def allocate(amount: Decimal, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """An amount spread by weights, by largest remainder, so that the parts add up to it exactly (8 decimals).

    A weight that is zero or negative bears nothing; without any positive weight nothing is spread.
    """
    positive = {key: weight for key, weight in weights.items() if weight > 0}
    if not positive:
        return {}
    units, total = int((amount / CELL).to_integral_value()), sum(positive.values())
    with localcontext(prec=60):
        exact = {key: units * weight / total for key, weight in positive.items()}
        floors = {key: int(part.to_integral_value("ROUND_FLOOR")) for key, part in exact.items()}
    left = units - sum(floors.values())
    for key in sorted(exact, key=lambda k: (floors[k] - exact[k], k))[:left]:
        floors[key] += 1
    return {key: floor * CELL for key, floor in floors.items()}


def full_cost(books: Books, period: Period) -> Frame:
    """What a full-cost system would say: every cost spread to customers, which the contribution approach refuses.

    Joint costs go by their `full_cost_basis` (net sales where none is given; cost of goods means the fixed cost of goods where the
    ledger has it), uncharged capacity and groups' own costs by net sales; charges for capital, no expense, are taken out.

    Returns
    -------
    One row per customer and one of Unassigned: customer_id, group_costs, pool_costs, full_cost_profit, which add up to the
    firm's operating profit but for what has no positive basis.
    """
    customers = customer_profitability(books, period)
    bases = {
        "net_sales": customers.get("net_sales", customers["sales"]),
        "cost_of_goods": customers.get("fixed_cost_of_goods", customers.get("cost_of_goods_sold", customers["sales"])),
        "orders": customers.get("driver_orders", customers["sales"]), "units": customers.get("driver_units", customers["sales"]),
    }  # fmt: skip
    keys = customers["customer_id"]
    pool = _spread(
        [(amount, dict(zip(keys, bases[basis], strict=True))) for amount, basis in _pool_costs(books, period)]
    )
    groups = _spread(_group_owned(books, period, customers))
    margin = customers[books.statement_in(period).net_margin.id] + customers.get("capital_charge", Decimal(0))
    costs = pd.DataFrame(
        {
            "group_costs": keys.map(lambda k: groups.get(k, Decimal(0))),
            "pool_costs": keys.map(lambda k: pool.get(k, Decimal(0))),
        }
    )
    return pd.DataFrame(
        {"customer_id": keys, **costs, "full_cost_profit": margin - costs["group_costs"] - costs["pool_costs"]}
    )


def _spread(costs: Sequence[tuple[Decimal, Mapping[str, Decimal]]]) -> dict[str, Decimal]:
    spread: dict[str, Decimal] = {}
    for amount, weights in costs:
        for key, part in allocate(amount, weights).items():
            spread[key] = spread.get(key, Decimal(0)) + part
    return spread


def _pool_costs(books: Books, period: Period) -> list[tuple[Decimal, str]]:
    """Joint costs by basis, and uncharged capacity by net sales."""
    costs: list[tuple[Decimal, str]] = []
    joint = books.table("joint_costs")
    if joint is not None:
        inside = period.rows(joint)
        basis = inside["full_cost_basis"].replace("", "net_sales") if "full_cost_basis" in inside else "net_sales"
        costs += [
            (amount, name) for name, amount in inside.assign(basis=basis).groupby("basis")["amount"].sum().items()
        ]
    totals = owner_totals(books, period)
    if "uncharged_capacity" in totals:
        costs.append((total(totals["uncharged_capacity"]), "net_sales"))
    return costs


def _group_owned(books: Books, period: Period, customers: Frame) -> list[tuple[Decimal, dict[str, Decimal]]]:
    """Each group's own costs with the net sales of its customers."""
    totals = owner_totals(books, period)
    own = own_costs_of(totals, books.statement_in(period))
    owned = []
    for position in own[own != 0].index:
        level = str(totals.at[position, "level"])
        columns = [c for c in (level, f"{level}_id", f"own_{level}") if c in customers]
        members = customers[customers[columns].eq(totals.at[position, "owner"]).any(axis=1)]
        owned.append(
            (own[position], dict(zip(members["customer_id"], members.get("net_sales", members["sales"]), strict=True)))
        )
    return owned


def avoidable_costs(books: Books, customers: Frame, period: Period, horizon_months: int) -> pd.Series:
    """By customer: the cost that stops within so many months if the customer leaves; a booking's own answer goes before its line's."""
    stopped = customers["sales"] * 0
    for line in books.statement_in(period).leaves:
        if not line.is_cost:
            continue
        within = line.avoidable is not None and line.avoidable <= horizon_months
        stopped = stopped + (customers[line.id] if within else 0)
        if within and f"never_{line.id}" in customers:
            stopped = stopped - customers[f"never_{line.id}"]
        if not within and f"now_{line.id}" in customers:
            stopped = stopped + customers[f"now_{line.id}"]
    return stopped


def verdicts(books: Books, period: Period, horizon_months: int) -> Frame:
    """Contribution beside full cost: what the firm would lose with each customer, and what a full-cost report says.

    Returns
    -------
    One row per customer: net_sales, avoidable, contribution (net sales less what is avoidable within the horizon), stays_behind (the
    cost in its column that would go on), full_cost_profit, and flips (the two signs differ).
    """
    customers = customer_profitability(books, period)
    named = customers[customers["customer_id"] != ""]
    attributes = ["customer_id", "customer_name", *(c for c in ("account_type",) if c in named)]
    net_sales = named.get("net_sales", named["sales"])
    avoidable = avoidable_costs(books, named, period, horizon_months)
    spread = full_cost(books, period).set_index("customer_id")["full_cost_profit"]
    told = named[attributes].assign(
        net_sales=net_sales, avoidable=avoidable, contribution=net_sales - avoidable,
        stays_behind=net_sales - avoidable - named[books.statement_in(period).net_margin.id],
        full_cost_profit=named["customer_id"].map(spread),
    )  # fmt: skip
    return told.assign(flips=(told["contribution"] > 0) != (told["full_cost_profit"] > 0)).reset_index(drop=True)


def time_driven(books: Books, period: Period) -> Frame | None:
    """The other lens: capacity used and unused, by pool and activity, at the pool's practical rate (Kaplan & Anderson).

    Returns
    -------
    One row per activity of a pool and month-weighted: pool, activity, quantity, used (in the pool's unit), cost; and per pool a row
    'unused' with the capacity no customer used. Costs of a pool add up to what was booked. None without capacity.
    """
    kinds, capacity = books.table("activity_types"), books.table("capacity")
    if kinds is None or capacity is None or "pool" not in kinds:
        return None
    inside = period.rows(capacity)
    monthly = read_cube(books, period).drop(columns=["level", "owner"]).groupby("month").sum()
    rows = []
    for pool, months in inside.set_index("month").groupby("pool"):
        rate = months["cost"] / months["practical_capacity"]
        used_total = cost_total = Decimal(0)
        for kind in kinds[kinds["pool"] == pool].to_dict("records"):
            column = f"driver_{kind.get('driver') or kind['activity']}"
            minutes = kind.get("unit_minutes")
            quantity = (
                monthly[column].reindex(months.index).fillna(Decimal(0)) if column in monthly else months["cost"] * 0
            )
            used = quantity * (minutes if isinstance(minutes, Decimal) and minutes.is_finite() else Decimal(1))
            rows.append((pool, kind["activity"], total(quantity), total(used), total(used * rate)))
            used_total, cost_total = used_total + total(used), cost_total + total(used * rate)
        unused = total(months["practical_capacity"]) - used_total
        rows.append((pool, "unused", None, unused, total(months["cost"]) - cost_total))
    return pd.DataFrame(rows, columns=["pool", "activity", "quantity", "used", "cost"])
