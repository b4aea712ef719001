"""The measures of customer profitability: revenues minus avoidable costs, by customer, group and period.

Amounts are Decimals, positive for what their column says; margins carry their sign. A share of a total that is zero or
negative is no number and comes as None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from pathlib import Path

import pandas as pd

from crmlib.books import Books, Frame, plain
from crmlib.engagement import Period, SettingsError
from crmlib.statement import Line, Statement

CELL = Decimal("1e-8")
GROUPINGS = ("account_type", "segment", "own_segment", "industry", "region")


# --- reading the cube ------------------------------------------------------------------------------------------------


def read_cube(books: Books, period: Period) -> Frame:
    """Rows of the cube in a period, those of the firm included (level 'firm'); amounts a row does not have are zero."""
    parts = [_filtered(books.cache / f"{name}.parquet", period) for name in ("cube", "firm")]
    frame = pd.concat([p for p in parts if p is not None], ignore_index=True)
    amounts = [c for c in frame.columns if c not in {"level", "owner", "month"}]
    return frame.fillna(dict.fromkeys(amounts, Decimal(0)))


def _filtered(path: Path, period: Period) -> Frame | None:
    if not path.exists():
        return None
    return plain(pd.read_parquet(path, filters=[("month", ">=", period.start), ("month", "<", period.end)]))


def owner_totals(books: Books, period: Period) -> Frame:
    """One row per level and owner: every amount of the cube summed over a period."""
    import pyarrow.parquet as pq

    months = [("month", ">=", period.start), ("month", "<", period.end)]
    frames = []
    for path in (books.cache / "cube.parquet", books.cache / "firm.parquet"):
        if path.exists():
            table = pq.read_table(path, filters=months)
            amounts = [c for c in table.column_names if c not in {"level", "owner", "month"}]
            summed = table.group_by(["level", "owner"]).aggregate([(c, "sum") for c in amounts])
            frames.append(summed.rename_columns({f"{c}_sum": c for c in amounts}).to_pandas())
    frame = plain(pd.concat(frames, ignore_index=True))
    amounts = [c for c in frame.columns if c not in {"level", "owner"}]
    return frame.fillna(dict.fromkeys(amounts, Decimal(0)))


def customer_profitability(books: Books, period: Period) -> Frame:
    """The report by customer: one row per customer with anything in the period, and one of what has no known customer.

    Columns: the customers' attributes, every available line and subtotal of the statement in order, then drivers and
    other memo columns of the cube. Sorted by net margin, best first; Unassigned last.
    """
    totals = owner_totals(books, period)
    rows = totals[totals["level"].isin(["customer", "unassigned"])]
    amounts = [c for c in rows.columns if c not in {"level", "owner"}]
    rows = rows[rows[amounts].ne(0).any(axis=1)]
    statement = books.statement_in(period)
    lines = statement.with_subtotals(rows.drop(columns="level"))
    named = books.customers.merge(lines, how="right", left_on="customer_id", right_on="owner").drop(columns="owner")
    texts = [c for c in books.customers.columns if books.customers[c].dtype == object]
    named = named.fillna(dict.fromkeys(texts, ""))
    named.loc[named["customer_id"] == "", "customer_name"] = "Unassigned"
    order = [c.id for c in statement.customer_lines]
    memo = [c for c in amounts if c not in {line.id for line in statement.lines}]
    ranked = named.assign(_last=named["customer_id"] == "").sort_values(
        ["_last", statement.net_margin.id, "customer_id"], ascending=[True, False, True]
    )
    return ranked[[*books.customers.columns, *order, *memo]].reset_index(drop=True)


def group_profitability(books: Books, period: Period, by: str = "account_type") -> Frame:
    """The report by a group of customers: each group's customers less the group's own costs; the rows add up to the firm.

    One row per group, then Unassigned, Other owners (costs owned at another level) and Firm with the pool down to
    operating profit. Column `own_costs` is what the group owns and none of its customers does; `customers` counts.
    """
    statement = books.statement_in(period)
    totals = owner_totals(books, period)
    named = group_of(books, totals, by)
    leaves = [line.id for line in statement.leaves]
    rows = totals.assign(group=named, _own=_own_costs(totals, statement)).groupby("group", sort=False)
    summed = rows[[*leaves, "_own"]].sum().reset_index()
    counts = totals[totals["level"] == "customer"].assign(group=named)["group"].value_counts()
    summed.insert(1, "customers", summed["group"].map(counts).fillna(0).astype(int))
    firm = (
        summed[leaves].sum().to_frame().T.assign(group="Firm", customers=int(counts.sum()), _own=summed["_own"].sum())
    )
    filled = pd.concat([summed[summed["group"] != "Firm"], firm[summed.columns]], ignore_index=True)
    lines = statement.with_subtotals(filled.rename(columns={"_own": "own_costs"}), firm=True)
    last = {"Unassigned": 1, "Other owners": 2, "Firm": 3}
    lines = lines.assign(_last=lines["group"].map(last).fillna(0)).sort_values(
        ["_last", statement.net_margin.id], ascending=[True, False], kind="stable"
    )
    pool = [li.id for li in statement.firm_lines if li.cls == "pool" or li.firm_only]
    lines[pool] = lines[pool].astype(object).where(lines["group"] == "Firm", None)
    return lines.drop(columns="_last").rename(columns={"group": by}).reset_index(drop=True)


def grouping(books: Books, wanted: str = "account_type") -> str:
    """The attribute to group customers by: the one wanted, else, for account_type, the first that the ledger has, else 'all' (one group).

    Raises
    ------
    SettingsError
        Another was wanted that customers do not have.
    """
    if wanted not in {*books.customers.columns, "account_type", "all"}:
        there = ", ".join(c for c in books.customers.columns if c not in {"customer_id", "customer_name"})
        raise SettingsError(f"customers have no column {wanted!r} to group by; there are {there or 'none'}")
    return next((name for name in (wanted, *GROUPINGS) if name in books.customers.columns), "all")


def group_of(books: Books, totals: Frame, by: str) -> pd.Series:
    """The group of each row of the cube (level, owner): a value of `by`, Unassigned, Other owners or Firm."""
    if by == "all":
        groups = pd.Series("All customers", index=books.customers["customer_id"])
    elif by in books.customers.columns:
        groups = books.customers.set_index("customer_id")[by]
    else:
        raise SettingsError(f"customers have no column {by!r}; there are {', '.join(books.customers.columns)}")
    names = {*groups, *(books.engagement.segments if by == "segment" else ())}
    level, own_level = totals["level"], by.removesuffix("_id").removeprefix("own_")
    own = (level == own_level) & totals["owner"].isin(names)
    named = totals["owner"].map(groups).where(level == "customer", totals["owner"].where(own, "Other owners"))
    named = named.replace({"": "(none given)", **{name: f"{name} (group)" for name in ("Unassigned", "Firm")}})
    return named.mask(level == "unassigned", "Unassigned").mask(level == "firm", "Firm")


def _own_costs(totals: Frame, statement: Statement) -> pd.Series:
    booked = [line.id for line in statement.leaves if line.cls != "pool"]
    grouped = ~totals["level"].isin(["customer", "unassigned", "firm"])
    return totals[booked].sum(axis=1).where(grouped, Decimal(0)).map(Decimal)


def firm_profitability(books: Books, period: Period) -> pd.Series:
    """The firm's report: every available line and subtotal down to operating profit, all owners and the pool together."""
    statement = books.statement_in(period)
    totals = owner_totals(books, period)[[line.id for line in statement.leaves]].sum().to_frame().T
    return statement.with_subtotals(totals, firm=True).iloc[0].rename(period.label)


def compare_periods(books: Books, period: Period, others: Sequence[Period]) -> Frame:
    """The firm's report for a period beside others, on the lines that each has: one row per line, one column per period.

    A period that the books do not cover has no column; a line that a period does not have is None there.
    """
    columns = {p.label: firm_profitability(books, p) for p in [period, *others] if books.comparable(p)}
    return (
        pd.DataFrame(columns)
        .reindex([li.id for li in books.statement.firm_lines])
        .astype(object)
        .where(lambda t: t.notna(), None)
    )


def share(part: Decimal | None, total: Decimal | None) -> Decimal | None:
    """Part of a total, 8 decimals; None where the total is zero or negative, since that is no share."""
    if part is None or total is None or total <= 0:
        return None
    return (part / total).quantize(CELL)


# --- who earns what --------------------------------------------------------------------------------------------------


def whale_curve(customers: Frame, measure: str) -> Frame:
    """Customers from best to worst and what they earn together.

    Parameters
    ----------
    customers
        One row per customer, as `customer_profitability`.

    Returns
    -------
    One row per customer: rank, rank_share (of customers, 0 to 1), margin, cumulative, and group (top fifth, middle, bottom fifth).
    """
    ranked = customers.sort_values([measure, "customer_id"], ascending=[False, True])
    count = len(ranked)
    curve = pd.DataFrame({
        "customer_id": ranked["customer_id"].to_numpy(), "customer_name": ranked["customer_name"].to_numpy(), "rank": range(1, count + 1),
        "margin": ranked[measure].to_numpy(), "cumulative": ranked[measure].cumsum().to_numpy(),
    })  # fmt: skip
    curve.insert(3, "rank_share", curve["rank"] / count)
    fifth = max(1, round(count / 5))
    position = curve["rank"].map(
        lambda r: "top fifth" if r <= fifth else "bottom fifth" if r > count - fifth else "middle"
    )
    return curve.assign(group=position)


def net_price_and_cost_to_serve(books: Books, customers: Frame, period: Period) -> Frame:
    """Where each customer stands on price and on effort.

    Returns
    -------
    One row per customer with positive gross sales: `net_price_index` (what it pays after invoice discounts for its own mix, over
    what all customers pay on average for the same products; 1 is average; net sales over gross sales where there are no
    products) and `cost_to_serve` (cost below the manufacturing contribution over gross sales), and the net margin.
    """
    statement = books.statement_in(period)
    served = [
        line.id
        for line in statement.leaves
        if line.cls in {"variable", "assignable", "asset_charge"} and not _goods(line)
    ]
    buying = customers[(customers["sales"] > 0) & (customers["customer_id"] != "")]
    cost = buying[served].sum(axis=1) / buying["sales"] if served else buying["sales"] * 0
    index = _net_price_index(books, period)
    fallback = buying["net_sales"] / buying["sales"] if "net_sales" in buying else buying["sales"] * 0 + 1
    price = fallback if index is None else buying["customer_id"].map(index)
    placed = buying[["customer_id", "customer_name", "sales", statement.net_margin.id]].assign(
        net_price_index=price, cost_to_serve=cost
    )
    return placed.dropna(subset=["net_price_index"]).reset_index(drop=True)


def _goods(line: Line) -> bool:
    return "invoice_lines.cost_of_goods" in line.sources


def sales_of(books: Books, period: Period) -> Frame | None:
    """The sales cube of a period: customer, product, month, quantity, gross sales, discount, cost; None without products."""
    path = books.cache / "sales.parquet"
    if not path.exists():
        return None
    months = [("month", ">=", period.start), ("month", "<", period.end)]
    return plain(pd.read_parquet(path, filters=months))


def _net_price_index(books: Books, period: Period) -> pd.Series | None:
    sales = sales_of(books, period)
    if sales is None or sales.empty:
        return None
    paid = sales["gross_sales"] - sales.get("discount", Decimal(0))
    summed = sales.assign(paid=paid).groupby(["customer_id", "product_id"])[["quantity", "paid"]].sum().reset_index()
    product = summed.groupby("product_id")[["quantity", "paid"]].sum()
    average = product[product["quantity"] > 0].apply(lambda r: r["paid"] / r["quantity"], axis=1)
    summed = summed[summed["product_id"].isin(average.index)]
    summed = summed.assign(at_average=summed["quantity"] * summed["product_id"].map(average))
    totals = summed.groupby("customer_id")[["paid", "at_average"]].sum()
    totals = totals[totals["at_average"] > 0]
    return totals["paid"] / totals["at_average"]


def deciding_lines(books: Books, customers: Frame, period: Period) -> Frame:
    """The one line that makes each customer better or worse than the firm's average customer would be at its sales.

    Returns
    -------
    One row per customer: customer_id, line (label), effect (amount by which that line's share of gross sales differs from
    all customers' share, signed as it moves the margin).
    """
    statement = books.statement_in(period)
    leaves = [line for line in statement.leaves if line.cls != "pool" and line.id != "sales"]
    total = customers["sales"].sum()
    effects = pd.DataFrame({
        line.label: (customers[line.id] - customers["sales"] * (customers[line.id].sum() / total if total > 0 else Decimal(0))) * line.sign
        for line in leaves
    })  # fmt: skip
    if effects.empty:
        effects = pd.DataFrame({statement["sales"].label: customers["sales"] * 0})
    ahead = effects.sum(axis=1)
    rows = []
    for position, row in effects.iterrows():
        best = (row if ahead[position] >= 0 else -row).map(float).idxmax()
        rows.append((customers.loc[position, "customer_id"], best, row[best]))
    return pd.DataFrame(rows, columns=["customer_id", "line", "effect"])


# --- what moved ------------------------------------------------------------------------------------------------------


def margin_bridge(compared: Frame, statement: Statement, *, until: str) -> Frame:
    """What each line did to a margin from one period to the other.

    Parameters
    ----------
    compared
        As `compare_periods`: the first column is the period, the second the base.
    until
        The subtotal at which the bridge ends.

    Returns
    -------
    Rows: the base, one step per line that both periods have (effect on the margin, signed), the period. Columns: label, amount, kind.
    """
    now, base = compared.columns[:2]
    both = compared[[now, base]].dropna()
    order = [line.id for line in statement.lines]
    above = [line for line in statement.leaves if line.id in both.index and order.index(line.id) < order.index(until)]
    steps = [(line.label, (both.at[line.id, now] - both.at[line.id, base]) * line.sign, "step") for line in above]
    start, end = (sum((both.at[line.id, c] * line.sign for line in above), Decimal(0)) for c in (base, now))
    return pd.DataFrame([(base, start, "total"), *steps, (now, end, "total")], columns=["label", "amount", "kind"])


def price_volume_mix(books: Books, period: Period, base: Period) -> Frame | None:
    """What moved the gross contribution (gross sales less discount and cost of goods) from a base period.

    By product. Volume is growth at base prices; mix is what the shift between products did beyond it; price and cost are
    the changes on the quantities sold now; products without quantity in one of the periods are new or lost. The steps add
    up to the change exactly.

    Returns
    -------
    Rows base, volume, mix, price, cost, new products, lost products, other (no product or quantity), period; columns label,
    amount, kind. None where the ledger has no products, quantities or cost.
    """
    before, now = (_by_product(books, p) for p in (base, period))
    if before is None or now is None:
        return None
    both = before.merge(now, how="outer", left_index=True, right_index=True, suffixes=("_0", "_1")).fillna(Decimal(0))
    bought = (both["quantity_0"] > 0) & (both.index != "")
    sold = (both["quantity_1"] > 0) & (both.index != "")
    kept = both[bought & sold]
    change = both["net_1"] - both["cost_1"] - both["net_0"] + both["cost_0"]
    net_at_base = kept["net_0"] * (kept["quantity_1"] / kept["quantity_0"])
    cost_at_base = kept["cost_0"] * (kept["quantity_1"] / kept["quantity_0"])
    margin_before = _total(kept["net_0"]) - _total(kept["cost_0"])
    growth = _total(net_at_base) / _total(kept["net_0"]) - 1 if _total(kept["net_0"]) > 0 else Decimal(0)
    volume = (margin_before * growth).quantize(CELL)
    steps = {
        "Volume": volume,
        "Mix": _total(net_at_base) - _total(cost_at_base) - margin_before - volume,
        "Price": _total(kept["net_1"]) - _total(net_at_base),
        "Cost of goods": _total(cost_at_base) - _total(kept["cost_1"]),
        "New products": _total(change[~bought & sold]),
        "Lost products": _total(change[bought & ~sold]),
        "No product or quantity": _total(change[~bought & ~sold]),
    }  # fmt: skip
    start, end = (_total(both[f"net_{i}"]) - _total(both[f"cost_{i}"]) for i in (0, 1))
    rows = [(label, amount, "step") for label, amount in steps.items() if amount or label != "No product or quantity"]
    return pd.DataFrame(
        [(base.label, start, "total"), *rows, (period.label, end, "total")], columns=["label", "amount", "kind"]
    )


def _by_product(books: Books, period: Period) -> Frame | None:
    sales = sales_of(books, period)
    if sales is None or "cost_of_goods" not in sales:
        return None
    net = sales["gross_sales"] - sales.get("discount", Decimal(0))
    return sales.assign(net=net, cost=sales["cost_of_goods"]).groupby("product_id")[["quantity", "net", "cost"]].sum()


def _total(amounts: pd.Series) -> Decimal:
    return sum(amounts, Decimal(0))


# --- the contribution approach beside full cost ----------------------------------------------------------------------


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
        inside = joint[(joint["month"] >= period.start) & (joint["month"] < period.end)]
        basis = inside["full_cost_basis"].replace("", "net_sales") if "full_cost_basis" in inside else "net_sales"
        costs += [
            (amount, name) for name, amount in inside.assign(basis=basis).groupby("basis")["amount"].sum().items()
        ]
    totals = owner_totals(books, period)
    if "uncharged_capacity" in totals:
        costs.append((_total(totals["uncharged_capacity"]), "net_sales"))
    return costs


def _group_owned(books: Books, period: Period, customers: Frame) -> list[tuple[Decimal, dict[str, Decimal]]]:
    """Each group's own costs with the net sales of its customers."""
    totals = owner_totals(books, period)
    own = _own_costs(totals, books.statement_in(period))
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
        if line.cls not in {"variable", "assignable", "asset_charge"}:
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
    inside = capacity[(capacity["month"] >= period.start) & (capacity["month"] < period.end)]
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
            rows.append((pool, kind["activity"], _total(quantity), _total(used), _total(used * rate)))
            used_total, cost_total = used_total + _total(used), cost_total + _total(used * rate)
        unused = _total(months["practical_capacity"]) - used_total
        rows.append((pool, "unused", None, unused, _total(months["cost"]) - cost_total))
    return pd.DataFrame(rows, columns=["pool", "activity", "quantity", "used", "cost"])
