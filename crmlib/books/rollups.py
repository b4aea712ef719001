"""The roll-ups of the ledger: one per source and no join between them, each summed when read.

*Lines* hold the statement: a file per source (trade, credits, activities, costs, balances,
capacity, joint_costs, capital_charges), one row per level, owner and month, one DECIMAL(38,8)
column per line that the source feeds. *Drivers* hold the quantities that the ledger has by itself,
likewise. *Records* say how lines came about: by activity (service), by balance (capital), by line
and answer (bookings). All are unexecuted expressions until each is written by itself.

Rounding: a quantity × its rate and a mean balance × a month's rate are exact in 38 digits, summed
by owner, month, source and activity or balance, and then rounded once to 8 decimals, half away from
zero. All other sums are exact.
"""

from __future__ import annotations

import functools
import itertools
import operator
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import Ledger
from crmlib.books.rates import STEP, PriceList, charge_rate, monthly_rate, price_list, write_rates
from crmlib.declared.ledger import DRIVERS, ORDERED
from crmlib.declared.statement import CAPITAL_BALANCES, Statement

if TYPE_CHECKING:
    import ibis.expr.types as ir

    Tables = Mapping[str, ir.Table]

ROUNDING_RULE = (
    "Ledger money has 4 decimals, rates 8, the monthly rate of charge for capital 16. Each amount "
    "of an owner, month, line and source is rounded once, half away from zero, to 8 decimals; sums "
    "of these are exact, and shown to the cent or in thousands."
)
UNASSIGNED = ""  # the owner's key of what has no known customer; no customer can have it
OWNER = ("level", "owner")
KEYS = (*OWNER, "month")
AMOUNT = "decimal(38, 8)"
FEEDS = {  # sums that feed a source of the statement, with signs; others are fed by their namesake
    "credits": {"credits.amount": 1},
    "invoice_lines.cost_of_goods": {"invoice_lines.cost_of_goods": 1, "credits.cost_recovered": -1},
}
BASES = ("fixed_cost_of_goods",)  # measures of invoice lines by which a full-cost system spreads

RECORDS = {"activities": ("service", "rates"), "costs": ("bookings", "costs")}  # of which source


def write_cube(ledger: Ledger, statement: Statement, folder: Path) -> None:
    """Write lines, drivers, records and rates into a folder.

    Files, all Parquet: lines/SOURCE, drivers/SOURCE, service, capital, bookings, rates.
    """
    prices = price_list(ledger)
    write_rates(prices, folder / "rates.parquet")
    rates = ledger.con.read_parquet(str(folder / "rates.parquet"))
    with tempfile.TemporaryDirectory(dir=folder) as work:  # several roll-ups read the facts
        sources = _stored(ledger, facts(ledger, statement, prices), Path(work))
        details = _stored(ledger, records(ledger, statement, prices, sources, rates), folder)
        _write(ledger, lines(ledger, statement, prices, sources, details), folder / "lines")
        _write(ledger, drivers(prices, sources), folder / "drivers")


def _write(ledger: Ledger, tables: Tables, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        ledger.con.to_parquet(table, folder / f"{name}.parquet")


def _stored(ledger: Ledger, tables: Tables, folder: Path) -> dict[str, ir.Table]:
    """Each table written into a folder, and read back."""
    _write(ledger, tables, folder)
    return {name: ledger.con.read_parquet(str(folder / f"{name}.parquet")) for name in tables}


# --- facts: exact sums by owner and span ---------------------------------------------------------


def facts(ledger: Ledger, statement: Statement, prices: PriceList) -> dict[str, ir.Table]:
    """What invoice lines (trade), orders and credits say of each owner in each span of rates.

    Columns: level, owner, span (its first day), sums named TABLE.COLUMN (gross sales apart from
    returns), and quantities named as drivers. An order counts in the span of its first line.
    Unexecuted.
    """
    rows = ledger.covered("invoice_lines")
    drivers = {f"invoice_lines.{kind.driver}" for kind in prices.activities}
    names = drivers.union(*(line.sources for line in statement.leaves))
    tables = {"trade": _by_span(rows, ledger, prices, _trade_sums(rows, names))}
    if ledger.has("invoice_lines", "order_id"):
        orders = ledger.con.table("orders", database=("memory", "books"))
        documents = orders.filter(orders.order_id.notnull() & orders.first_day.notnull())
        first_lines = documents.select("customer_id", date="first_day")
        tables["orders"] = _by_span(first_lines, ledger, prices, {"orders": _count(first_lines)})
    if ledger.has("credits"):
        notes = ledger.covered("credits")
        amounts = [c for c in ("amount", "cost_recovered") if c in notes.columns]
        sums = {"credits": _count(notes), **{f"credits.{c}": notes[c].sum() for c in amounts}}
        tables["credits"] = _by_span(notes, ledger, prices, sums)
    return tables


def _trade_sums(rows: ir.Table, names: Set[str]) -> dict[str, Any]:
    gross, returned = rows.gross_sales, rows.kind == "return"
    apart = {"return", "fee"} if "fees" in names else {"return"}
    sums = {
        "invoice_lines": _count(rows, rows.kind.isin(ORDERED)),
        "credits": _count(rows, returned),
        "invoice_lines.gross_sales": gross.sum(where=rows.kind.notin(apart)),
        "returns": (-gross).sum(where=returned),
    }
    if "fees" in names:
        sums["fees"] = gross.sum(where=rows.kind == "fee")
    if "quantity" in rows.columns:
        sums["units"] = rows.quantity.sum(where=(rows.quantity > 0) & (rows.kind == "sale"))
    measures = [c for c in rows.columns if f"invoice_lines.{c}" in names or c in BASES]
    return {**{f"invoice_lines.{c}": rows[c].sum() for c in measures}, **sums}


def _count(rows: ir.Table, which: Any = None) -> Any:
    """Rows as a decimal, since DuckDB writes a sum of integers as floating point."""
    return rows.count(where=which).cast("decimal(18, 0)")


def _by_span(rows: ir.Table, ledger: Ledger, prices: PriceList, sums: Mapping[str, Any], *keys: str) -> ir.Table:
    import ibis

    day = rows.invoice_date if "invoice_date" in rows.columns else rows.date
    parts = {"year": day.year(), "month": day.month()}  # cheaper than a date of every row
    if in_month := [span for span in prices.spans if span.start.day != 1]:
        cases = [((day >= s.start) & (day < s.end), s.start.day) for s in in_month]
        parts["day"] = ibis.cases(*cases, else_=1)
    by_customer = rows.group_by("customer_id", *keys, **parts).aggregate(**sums)
    span = ibis.date(*(by_customer[part] for part in parts), *([] if in_month else [1]))
    return _by_owner(by_customer.mutate(span=span).drop(*parts), ledger, "span", *keys)


def _month(day: Any) -> Any:
    """A date's month (truncation returns a timestamp that Ibis takes for a date)."""
    import ibis

    return ibis.date(day.year(), day.month(), 1)


def _by_owner(table: ir.Table, ledger: Ledger, *keys: str) -> ir.Table:
    """Sums by customer_id → by level, owner and keys; without a known customer, Unassigned."""
    import ibis

    rows = _placed(table, ledger)
    keys = ("level", *keys) if "level" in rows.columns else keys
    amounts = [c for c in rows.columns if c not in {"owner", *keys}]
    sums = rows.group_by("owner", *keys).aggregate(_sums(rows, amounts))
    level = sums.level if "level" in keys else ibis.literal("customer")
    owners = {"level": sums.owner.isnull().ifelse("unassigned", level), "owner": sums.owner.fill_null(UNASSIGNED)}
    return sums.select(**{**{c: sums[c] for c in (*keys, *amounts)}, **owners})


def _placed(table: ir.Table, ledger: Ledger) -> ir.Table:
    """Rows by customer_id → by owner: the customer if it is known, else null.

    Where the level is another than customer, the key is that of a group.
    """
    customers = ledger.tables["customers"].select(customer="customer_id").distinct()
    rows = table.left_join(customers, table.customer_id == customers.customer)
    owner = rows.customer
    if "level" in table.columns:
        owner = (rows.level == "customer").ifelse(rows.customer, rows.customer_id)
    return rows.select(*(c for c in table.columns if c != "customer_id"), owner=owner)


def _sums(table: ir.Table, columns: Sequence[str]) -> list[Any]:
    return [table[c].sum().name(c) for c in columns]


def _by_month(table: ir.Table, prices: PriceList, *keys: str) -> ir.Table:
    """Sums by owner, span and keys → by owner, month and keys."""
    if prices.whole_months:
        return table.rename(month="span")
    amounts = [c for c in table.columns if c not in {*OWNER, "span", *keys}]
    months = table.group_by(*OWNER, *keys, month=_month(table.span))
    return months.aggregate(_sums(table, amounts))


# --- records: how lines came about ---------------------------------------------------------------


def records(
    ledger: Ledger, statement: Statement, prices: PriceList, sources: Tables, rates: ir.Table
) -> dict[str, ir.Table]:
    """How lines came about that are not invoiced or credited, by level, owner and month.

    service: by activity (its line and pool, '' for none), quantity and amount (quantity × rate);
    net sales as a driver have two rows, from trade and from credits. capital: the mean of opening
    and closing receivables, inventory and dedicated_assets (DECIMAL(38,5)), and the capital_charge
    on all of them. bookings: by line and avoidable (now, never, '' where the booking does not say),
    amount. All amounts and quantities are DECIMAL(38,8). Unexecuted.
    """
    tables: dict[str, ir.Table] = {}
    if quantities := _quantities(ledger, statement, prices, sources):
        first, *others = [_priced(table, prices, rates) for table in quantities]
        tables["service"] = first.union(*others) if others else first
    names = {source for line in statement.leaves for source in line.sources}
    if balances := [b for b in CAPITAL_BALANCES if f"balances.{b}" in names]:
        tables["capital"] = _capital(ledger, balances)
    if ledger.has("costs"):
        tables["bookings"] = _bookings(ledger)
    return tables


def _quantities(ledger: Ledger, statement: Statement, prices: PriceList, sources: Tables) -> list[ir.Table]:
    """Level, owner, span, activity and quantity: of each source of a driver, and of the events."""
    import ibis

    tables = []
    for kind, source in itertools.product(prices.activities, sources.values()):
        quantity = _signed(source, _driver_sums(kind.driver, statement))
        if kind.driver and quantity is not None:
            activity = ibis.literal(kind.name)
            tables.append(source.select(*OWNER, "span", activity=activity, quantity=quantity))
    if ledger.has("activities"):
        names = [kind.name for kind in prices.activities if not kind.driver]
        events = ledger.covered("activities").filter(lambda t: t.activity.isin(names))
        sums = {"quantity": events.quantity.sum()}
        tables.append(_by_span(events, ledger, prices, sums, "activity"))
    return tables


def _driver_sums(driver: str, statement: Statement) -> dict[str, int]:
    """The sums of facts, with their signs, that make a driver.

    Net sales are made by two sources, and each is priced by itself: a rate is linear.
    """
    if driver == "net_sales":
        trade = [line for line in statement.leaves if line.is_trade]
        return {c: line.sign * sign for line in trade for c, sign in _feeds(line.sources).items()}
    if driver == "gross_sales":
        return {"invoice_lines.gross_sales": 1, "fees": 1, "returns": -1}
    return {driver if driver in DRIVERS else f"invoice_lines.{driver}": 1}


def _feeds(sources: Sequence[str]) -> dict[str, int]:
    return {c: sign for s in sources for c, sign in FEEDS.get(s, {s: 1}).items()}


def _signed(table: ir.Table, signs: Mapping[str, int]) -> Any:
    """The signed sum of those columns that a table has, null as zero; None where it has none."""
    amounts = {c: table[c].fill_null(0) for c in signs if c in table.columns}
    return _total(a if signs[c] > 0 else -a for c, a in amounts.items()) if amounts else None


def _total(amounts: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, amounts)


def _priced(quantities: ir.Table, prices: PriceList, rates: ir.Table) -> ir.Table:
    scale = quantities.quantity.type().scale  # a count 0, units and money 4, a measure 8
    keys = ("activity", "line", "pool")
    rows = quantities.left_join(rates.select(*keys, "rate", span="span_start"), ["activity", "span"])
    quantity = rows.quantity.cast(f"decimal(38, {scale})")
    exact, near = _product(quantity, rows.rate, scale + 8)
    columns = {"quantity": quantity, "exact": exact, "near": near}
    sums = _by_month(rows.select(*OWNER, "span", *keys, **columns), prices, *keys)
    amount = _rounded(sums.exact, sums.near) if scale else sums.exact
    return sums.select(*KEYS, *keys, quantity=sums.quantity.cast(AMOUNT), amount=amount)


def _product(left: Any, right: Any, scale: int) -> tuple[Any, Any]:
    """A product exactly, with all its decimals, and in floating point.

    One of them must have more than 18 digits: of less DuckDB makes a product of 18, which may
    overflow. Ibis infers a smaller scale than the engine computes, hence the cast.
    """
    exact = (left * right).cast(f"decimal(38, {scale})")
    return exact, left.cast("float64") * right.cast("float64")


def _rounded(exact: Any, near: Any) -> Any:
    """To 8 decimals, half away from zero.

    DuckDB divides numbers of 128 bits bit by bit, twenty times slower than all else here. So the
    amount in floating point is taken where it is proven right, being less than half a step away.
    """
    guess, half_step = near.cast(AMOUNT), _constant(STEP / 2, "decimal(38, 9)")
    return ((guess - exact).abs() < half_step).ifelse(guess, exact.round(8).cast(AMOUNT))


def _constant(value: Decimal, dtype: str) -> Any:
    """A decimal by way of its text: Ibis writes a decimal literal with three decimals."""
    import ibis

    return ibis.literal(f"{value:f}").cast(dtype)


def _capital(ledger: Ledger, balances: Sequence[str]) -> ir.Table:
    """Mean balances and their charge for capital; the first month opens with its own end."""
    import ibis

    closing = ledger.covered("balances").select("customer_id", "month", *balances)
    first_month = closing.month.min().to_pyarrow().as_py()
    later = closing.mutate(month=_month(closing.month + ibis.interval(months=1)))
    opening = later.filter(later.month < ledger.engagement.coverage.end)
    first_opening = closing.filter(closing.month == first_month)
    sums = _by_owner(closing.union(opening, first_opening), ledger, "month")
    half = _constant(Decimal("0.5"), "decimal(2, 1)")
    means = {b: (sums[b].fill_null(0) * half).cast("decimal(38, 5)") for b in balances}
    rows = sums.select(*KEYS, **means)
    rate = ledger.engagement.settings.rates.capital_charge_rate
    return rows.mutate(capital_charge=_total(_charge(rows[b], rate) for b in balances))


def _charge(mean: Any, yearly_rate: Decimal) -> Any:
    rate = _constant(monthly_rate(yearly_rate), "decimal(38, 16)")
    return _rounded(*_product(mean, rate, 21))


def _bookings(ledger: Ledger) -> ir.Table:
    import ibis

    costs = ledger.covered("costs")
    has_answers = "avoidable" in costs.columns
    avoidable = costs.avoidable.fill_null("") if has_answers else ibis.literal("")
    columns = {"customer_id": costs.key, "month": _month(costs.date), "avoidable": avoidable}
    rows = costs.select("level", "line", "amount", **columns)
    sums = _by_owner(rows, ledger, "month", "line", "avoidable")
    return sums.mutate(amount=sums.amount.cast(AMOUNT))


# --- lines and drivers ---------------------------------------------------------------------------


def lines(
    ledger: Ledger, statement: Statement, prices: PriceList, sources: Tables, details: Tables
) -> dict[str, ir.Table]:
    """Amounts of the statement's lines, by source: level, owner, month, one column per line.

    Levels are customer, unassigned (owner ''), the groups that own costs, and firm, whose owners
    are pools, joint costs and the charges for capital. Unexecuted.
    """
    leaves = statement.leaves
    sums = {line.id: _feeds(line.sources) for line in leaves}
    facts_of = {name: sources[name] for name in ("trade", "credits") if name in sources}
    if "capital" in details:
        facts_of["balances"] = _charges(details["capital"], ledger)
    tables = {name: _columns(table, prices, sums) for name, table in facts_of.items()}
    for name, (record, source) in RECORDS.items():
        if record in details:
            ids = [line.id for line in leaves if source in line.sources]
            tables[name] = _by_line(details[record], ids)
    tables |= _firm(ledger, statement, details)
    return {name: table for name, table in tables.items() if len(table.columns) > len(KEYS)}


def _columns(source: ir.Table, prices: PriceList, sums: Mapping[str, Mapping[str, int]]) -> ir.Table:
    """Facts → by month, one column for each signed sum that they have something of."""
    totals = {name: _signed(source, signs) for name, signs in sums.items()}
    totals = {name: total for name, total in totals.items() if total is not None}
    months = _by_month(source.select(*OWNER, "span", **totals), prices)
    return months.select(*KEYS, **{name: months[name].cast(AMOUNT) for name in totals})


def _charges(capital: ir.Table, ledger: Ledger) -> ir.Table:
    """Mean balances → their charges, named as the statement names the balances."""
    rates = ledger.engagement.settings.rates
    balances = [b for b in CAPITAL_BALANCES if b in capital.columns]
    charges = {f"balances.{b}": _charge(capital[b], charge_rate(b, rates)) for b in balances}
    return capital.select(*OWNER, span="month", **charges)


def _by_line(table: ir.Table, ids: Sequence[str]) -> ir.Table:
    """Records with a line and an amount → one column per line."""
    sums = [table.amount.sum(where=table.line == line).name(line) for line in ids]
    return table.group_by(*KEYS).aggregate(sums)


def _firm(ledger: Ledger, statement: Statement, details: Tables) -> dict[str, ir.Table]:
    """Costs of no customer or group: uncharged capacity, joint costs, less charges for capital."""
    import ibis

    line_of = {line.sources[0]: line.id for line in statement.leaves if line.is_pool}
    tables: dict[str, ir.Table] = {}
    if "capacity" in line_of:
        tables["capacity"] = _uncharged(ledger, details)
    if "joint_costs" in line_of:
        joint = ledger.covered("joint_costs")
        tables["joint_costs"] = joint.select("month", "amount", owner="line")
    if "capital_charges" in line_of and "capital" in details:
        capital, owner = details["capital"], ibis.literal("charges for capital")
        tables["capital_charges"] = capital.select("month", owner=owner, amount="capital_charge")
    return {
        source: table.group_by("owner", "month")
        .aggregate(table.amount.sum().cast(AMOUNT).name(line_of[source]))
        .mutate(level=ibis.literal("firm"))
        for source, table in tables.items()
    }


def _uncharged(ledger: Ledger, details: Tables) -> ir.Table:
    """Booked cost of each pool and, negative, what customers were charged, maybe more."""
    capacity, kinds = ledger.covered("capacity"), ledger.tables["activity_types"]
    pools = capacity.semi_join(kinds, "pool")
    costs = pools.select("month", owner="pool", amount=pools.cost.cast(AMOUNT))
    if "service" not in details:
        return costs
    service = details["service"].semi_join(capacity, "pool")
    return costs.union(service.select("month", owner="pool", amount=-service.amount))


def drivers(prices: PriceList, sources: Tables) -> dict[str, ir.Table]:
    """Quantities that the ledger holds by itself, by source: level, owner, month, one column each.

    Orders, invoice_lines and credits (counts), units, and fixed_cost_of_goods (money, a basis of
    full cost), DECIMAL(38,8); those that it has. Unexecuted.
    """
    sums = {driver: {driver: 1} for driver in DRIVERS}
    sums |= {measure: {f"invoice_lines.{measure}": 1} for measure in BASES}
    return {name: _columns(source, prices, sums) for name, source in sources.items()}


# --- sales by product, orders by day -------------------------------------------------------------


def write_sales(ledger: Ledger, folder: Path) -> None:
    """Write the sales cube, each year by itself: its rows may be nearly as many as the lines, and are grouped in memory."""
    years = sorted({month.year for month in ledger.engagement.coverage.month_starts()})
    sales = {str(year): cube for year in years if (cube := sales_cube(ledger, year)) is not None}
    if sales:
        _write(ledger, sales, folder)


def sales_cube(ledger: Ledger, year: int | None = None) -> ir.Table | None:
    """Sales by customer ('' where unknown), product ('' where none) and month, before what came back, by line or by credit.

    Columns: customer_id, product_id, month, and of quantity, gross_sales, discount and
    cost_of_goods those that the ledger has; of one year or all. None without products. Unexecuted.
    """
    if not ledger.has("invoice_lines", "product_id"):
        return None
    rows = ledger.covered("invoice_lines").filter(lambda t: t.kind != "return")
    if year:
        rows = rows.filter((rows.invoice_date >= date(year, 1, 1)) & (rows.invoice_date < date(year + 1, 1, 1)))
    amounts = [c for c in ("quantity", "gross_sales", "discount", "cost_of_goods") if c in rows.columns]
    sales = _placed(rows.select("customer_id", "product_id", "invoice_date", *amounts), ledger)
    return sales.group_by(
        customer_id=sales.owner.fill_null(UNASSIGNED),
        product_id=sales.product_id.fill_null(""),
        month=_month(sales.invoice_date),
    ).aggregate(_sums(sales, amounts))


def order_days(ledger: Ledger) -> ir.Table:
    """Orders of each known customer by day: customer_id, day, orders (count), gross_sales.

    The day is the order date where the ledger has one, else the invoice date. An order counts once,
    on the day of its first line; what has no order number is one order a day. Only lines with
    positive gross sales order anything: a return does not. Lines are those invoiced within the
    coverage, so a day may lie before it (ordered in December, invoiced in January). Unexecuted.
    """
    orders = ledger.con.table("orders", database=("memory", "books")).filter(lambda t: t.day.notnull())
    orders = orders.semi_join(ledger.tables["customers"], "customer_id")
    by_day = orders.group_by("customer_id", "day")
    return by_day.aggregate(orders=orders.count(), gross_sales=orders.gross.sum())
