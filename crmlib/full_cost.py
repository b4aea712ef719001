"""The contribution approach beside full cost: what a customer's leaving would save, and what spreading would say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, bookings, capital, owner_totals, services, shared
from crmlib.declared.periods import Period
from crmlib.declared.statement import Line, Statement
from crmlib.profitability import blank, buyers, customer_profitability, group_profitability, own_costs_of, shares, total

ATTRIBUTES = ("customer_id", "customer_name", "account_type", "segment", "sales")
TIME_DRIVEN = ["pool", "activity", "quantity", "used", "cost"]


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


@shared
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
        "orders": customers.get("orders", customers["sales"]), "units": customers.get("units", customers["sales"]),
    }  # fmt: skip
    keys = customers["customer_id"]
    pooled = [(amount, dict(zip(keys, bases[basis], strict=True))) for amount, basis in _pool_costs(books, period)]
    pool, groups = _spread(keys, pooled), _spread(keys, _group_owned(books, period, customers))
    charges = _of_each(keys, capital(books, period)["capital_charge"].to_dict())
    profit = customers[books.statement_in(period).net_margin.id] + charges - groups - pool
    return pd.DataFrame({"customer_id": keys, "group_costs": groups, "pool_costs": pool, "full_cost_profit": profit})


def _of_each(keys: pd.Series, amounts: Mapping[str, Decimal]) -> pd.Series:
    """The amount of each key in a mapping, nothing where it has none."""
    return pd.Series([amounts.get(key, Decimal(0)) for key in keys], keys.index, dtype=object)


def _spread(keys: pd.Series, costs: Sequence[tuple[Decimal, Mapping[str, Decimal]]]) -> pd.Series:
    spread = defaultdict[str, Decimal](Decimal)
    for amount, weights in costs:
        for key, part in allocate(amount, weights).items():
            spread[key] += part
    return _of_each(keys, spread)


def _pool_costs(books: Books, period: Period) -> list[tuple[Decimal, str]]:
    """Joint costs by basis, and uncharged capacity by net sales."""
    costs: list[tuple[Decimal, str]] = []
    joint = books.table("joint_costs")
    if joint is not None:
        inside = period.rows(joint)
        basis = inside["full_cost_basis"].replace("", "net_sales") if "full_cost_basis" in inside else "net_sales"
        sums = inside.assign(basis=basis).groupby("basis")["amount"].sum()
        costs += zip(sums, sums.index, strict=True)
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
        weights = zip(members["customer_id"], members.get("net_sales", members["sales"]), strict=True)
        owned.append((own[position], dict(weights)))
    return owned


def avoidable_costs(books: Books, customers: Frame, period: Period, horizon_months: int) -> pd.Series:
    """By customer: the cost that stops within so many months if the customer leaves; a booking's own answer goes before its line's."""
    stopped, answers = customers["sales"] * 0, _answered(books, period)
    for line in _own_costs(books.statement_in(period)):
        within = line.avoidable is not None and line.avoidable <= horizon_months
        sign, answer = (-1, "never") if within else (1, "now")
        otherwise = _of_each(customers["customer_id"], answers.get((line.id, answer), {}))
        stopped = stopped + (customers[line.id] if within else 0) + otherwise * sign
    return stopped


def _own_costs(statement: Statement) -> list[Line]:
    """The costs of a customer's column."""
    return [line for line in statement.leaves if line.is_cost]


def _answered(books: Books, period: Period) -> dict[tuple[str, str], dict[str, Decimal]]:
    """What bookings answer by themselves: by line and answer (now, never) the amount of each customer."""
    booked = bookings(books, period)
    booked = booked[booked["level"].isin(["customer", "unassigned"]) & (booked["avoidable"] != "")]
    by = booked.set_index("owner").groupby(["line", "avoidable"])["amount"]
    return {key: amounts.to_dict() for key, amounts in by}


@shared
def verdicts(books: Books, period: Period, horizon_months: int) -> Frame:
    """Contribution beside full cost: what the firm would lose with each customer, and what a full-cost report says.

    Where the cost of goods is full standard cost there is no verdict about avoidable cost, and the frame is empty.

    Returns
    -------
    One row per customer: sales, net_sales, avoidable, contribution (net sales less what is avoidable within the horizon),
    stays_behind (the cost in its column that would go on), full_cost_profit, flips (the two signs differ), and active (else all that
    is booked are returns of what was bought before: that is no loss to end by dropping anyone).
    """
    customers = customer_profitability(books, period)
    named = customers[customers["customer_id"] != ""]
    goods = [line for line in _own_costs(books.statement_in(period)) if line.is_goods]
    if goods and books.engagement.settings.cost_of_goods_basis == "full":
        named = named.iloc[:0]
    attributes = [name for name in ATTRIBUTES if name in named]
    net_sales = named.get("net_sales", named["sales"])
    avoidable = avoidable_costs(books, named, period, horizon_months)
    spread = full_cost(books, period).set_index("customer_id")["full_cost_profit"]
    beside = named[attributes].assign(
        net_sales=net_sales, avoidable=avoidable, contribution=net_sales - avoidable,
        stays_behind=net_sales - avoidable - named[books.statement_in(period).net_margin.id],
        full_cost_profit=named["customer_id"].map(spread), active=_active(books, named, period),
    )  # fmt: skip
    return beside.assign(flips=(beside["contribution"] > 0) != (beside["full_cost_profit"] > 0)).reset_index(drop=True)


def _active(books: Books, customers: Frame, period: Period) -> pd.Series:
    """Whether each customer did more than send back what it had bought before: bought, has a cost that is there for it, or no return."""
    statement = books.statement_in(period)
    dedicated = [line.id for line in _own_costs(statement) if not line.varies]
    returns = [line.id for line in statement.leaves if line.cls == "deduction"]
    served = customers[dedicated].ne(0).any(axis=1) | ~customers[returns].ne(0).any(axis=1)
    return (customers["sales"] > 0) | served


def by_group(books: Books, period: Period, by: str, horizon_months: int) -> Frame:
    """Full cost and contribution of the customers of each group (`by` as `group_profitability`), the highest full-cost profit first.

    Empty where full cost says of every customer what contribution says, since the books hold nothing to spread.

    Returns
    -------
    One row per group (the index): sales, full_cost_profit, full_cost_share (of gross sales), contribution and contribution_share
    (missing where the cost of goods is full standard cost). A group's own costs stand in its full-cost profit and not in its customers' contribution.
    """
    report = customer_profitability(books, period)
    customers = report[report["customer_id"] != ""]
    amounts = customers[["customer_id", "sales"]].assign(group=customers.get(by, "All customers"))
    spread = full_cost(books, period)[["customer_id", "full_cost_profit"]]
    judged = verdicts(books, period, horizon_months)[["customer_id", "contribution"]]
    amounts = amounts.merge(spread, on="customer_id").merge(judged, on="customer_id", how="left")
    measures = ["sales", "full_cost_profit", "contribution"]
    if (amounts["full_cost_profit"] == amounts["contribution"]).all():
        amounts = amounts.iloc[:0]
    totals = amounts.replace({"group": {"": blank(by)}}).groupby("group")[measures].sum(min_count=1)
    for measure in measures[1:]:
        known = totals[totals[measure].notna()]
        totals[f"{measure.removesuffix('_profit')}_share"] = shares(known[measure], known["sales"])
    return totals.sort_values("full_cost_profit", ascending=False, key=lambda profit: profit.astype(float))


def effect_of_losing(books: Books, period: Period, customers: Frame, horizons: Sequence[int]) -> Frame:
    """What the firm's result of a period would gain (positive) or lose without each customer: avoidable cost less net sales.

    Parameters
    ----------
    customers
        Some rows of `verdicts`.
    horizons
        Months after they leave: what can be stopped by then has stopped.

    Returns
    -------
    One row per customer: customer_id, customer_name, and a column per horizon, named by its months.
    """
    report = customer_profitability(books, period).set_index("customer_id").loc[customers["customer_id"]].reset_index()
    net_sales = report.get("net_sales", report["sales"])
    effects = {months: avoidable_costs(books, report, period, months) - net_sales for months in horizons}
    return pd.concat([report[["customer_id", "customer_name"]], pd.DataFrame(effects, index=report.index)], axis=1)


def time_driven(books: Books, period: Period) -> Frame:
    """Price what was done in each month at its pool's practical rate; what is left is unused capacity (Kaplan & Anderson).

    Returns
    -------
    One row per activity of a pool: pool, activity, quantity, used (in the pool's unit), cost, and of_capacity_share (of what the pool
    could do); and per pool a last row 'unused' with the capacity no customer used. Costs of a pool add up to what was booked. Empty
    without capacity.
    """
    kinds, capacity = books.table("activity_types"), books.table("capacity")
    if kinds is None or capacity is None or "pool" not in kinds:
        return pd.DataFrame(columns=[*TIME_DRIVEN, "of_capacity_share"])
    inside = period.rows(capacity)
    booked = inside.groupby("pool")[["practical_capacity", "cost"]].sum().set_axis(["used", "cost"], axis=1)
    used = _used(kinds, inside, services(books, period)[["activity", "month", "quantity"]])
    spent = used.groupby("pool")[["used", "cost"]].sum().reindex(booked.index, fill_value=Decimal(0))
    unused = (booked - spent).reset_index().assign(activity="unused", quantity=None)
    lens = pd.concat([used, unused[TIME_DRIVEN]]).sort_values("pool", kind="stable").reset_index(drop=True)
    return lens.assign(of_capacity_share=lens["used"] / lens["pool"].map(booked["used"]))


def _used(kinds: Frame, capacity: Frame, quantities: Frame) -> Frame:
    """By pool and activity: quantity, and what it took of its pool in each month, priced at that month's rate."""
    rates = capacity.assign(rate=capacity["cost"] / capacity["practical_capacity"])[["pool", "month", "rate"]]
    done = kinds.merge(rates, on="pool").merge(quantities, on=["activity", "month"], how="left")
    minutes = done.get("unit_minutes", pd.Series(Decimal(1), done.index))
    done["quantity"] = done["quantity"].fillna(Decimal(0))
    done["used"] = done["quantity"] * minutes.fillna(Decimal(1))
    done["cost"] = done["used"] * done["rate"]
    return done.groupby(["pool", "activity"], sort=False)[TIME_DRIVEN[2:]].sum().reset_index()


def challenges(books: Books, period: Period) -> Frame:
    """Tell which difficulties of building the reports these books show.

    Returns
    -------
    One row per challenge: challenge, tested (whether these books can tell), amount (of the period) or count (of the whole coverage),
    seen (whether it is there).
    """
    statement, customers = books.statement_in(period), customer_profitability(books, period)
    firm, costs = group_profitability(books, period, "all").firm, _own_costs(statement)
    goods = [line.id for line in costs if line.is_goods]
    joint = [line.id for line in statement.leaves if line.sources == ("joint_costs",)]
    booked, controls = any("costs" in line.sources for line in costs), books.control_totals > 0
    facts = [line.id for line in costs if line.is_served and ("costs" in line.sources or line.measures)]
    settings = books.engagement.settings
    told = bool(goods) and "cost_of_goods_basis" in settings.model_fields_set
    at_full_cost = goods if settings.cost_of_goods_basis == "full" else []
    counts, items = books.findings.groupby("code")["count"].sum(), books.table("reconciliation")
    rows = [
        ("Sales without a known customer", True, total(customers[customers["customer_id"] == ""]["sales"]), None),
        ("Joint costs of no customer or segment", bool(joint), firm[joint].sum(), None),
        ("Costs of a group, not of its customers", booked, firm["own_costs"], None),
        ("Cost of goods at full standard cost", told, firm[at_full_cost].sum(), None),
        ("Bookings that stand twice", True, None, counts.get("row-twice", 0)),
        ("Lines that look spread by sales", bool(facts), None, len(_spread_by_sales(customers, facts))),
        ("Lines without a source", True, None, len(statement.missing_lines)),
        ("Items between the books and the general ledger", controls, None, 0 if items is None else len(items)),
    ]
    table = pd.DataFrame(rows, columns=["challenge", "tested", "amount", "count"], dtype=object)
    table = table.astype({"tested": bool})
    sizes = table["amount"].where(table["amount"].notna(), table["count"])
    return table.assign(seen=table["tested"] & (sizes != 0))


def _spread_by_sales(customers: Frame, lines: list[str]) -> list[str]:
    """Lines that are nearly the same share of net sales at each customer who bought and has any, of five at least."""
    sold = buyers(customers)
    net = sold.get("net_sales", sold["sales"]).astype(float)
    shares = sold[lines].astype(float).div(net.where(net > 0), axis=0).replace(0.0, float("nan"))
    return shares.columns[(shares.count() >= 5) & (shares.std() < 0.02 * shares.mean().abs())].to_list()
