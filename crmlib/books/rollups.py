"""The roll-ups of the ledger: one per source and no join between them, each summed when read.

*Lines* hold the statement: a file per source (trade, credits, activities, costs, balances,
capacity, joint_costs, capital_charges), one row per level, owner and month, one DECIMAL(38,8)
column per line that the source feeds. *Drivers* hold the quantities that the ledger has by itself,
likewise. *Records* say how lines came about: by activity (service), by balance (capital), by line
and answer (bookings). Each is one query over the views of the books (views.sql), written by itself.

Rounding: a quantity × its rate and a mean balance × a month's rate are exact in 38 digits, summed
by owner, month, source and activity or balance, and then rounded once to 8 decimals, half away from
zero. All other sums are exact.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date
from decimal import Decimal
from pathlib import Path

from crmlib.books.ledger import Ledger, identifier, quoted
from crmlib.books.rates import PriceList, charge_rate, monthly_rate, price_list, write_rates
from crmlib.declared.ledger import DRIVERS, ORDERED
from crmlib.declared.statement import CAPITAL_BALANCES, Statement

ROUNDING_RULE = (
    "Ledger money has 4 decimals, rates 8, the monthly rate of charge for capital 16. Each amount "
    "of an owner, month, line and source is rounded once, half away from zero, to 8 decimals; sums "
    "of these are exact, and shown to the cent, in thousands or in millions: each is rounded by itself, "
    "so that parts may differ from their sum by one in the last digit."
)
KEYS = "level, owner, month"
AMOUNT = "DECIMAL(38, 8)"
FEEDS = {  # sums that feed a source of the statement, with signs; others are fed by their namesake
    "credits": {"credits.amount": 1},
    "invoice_lines.cost_of_goods": {"invoice_lines.cost_of_goods": 1, "credits.cost_recovered": -1},
}
BASES = ("fixed_cost_of_goods",)  # measures of invoice lines by which a full-cost system spreads
RECORDS = {"activities": ("service", "rates"), "costs": ("bookings", "costs")}  # of which source

# DuckDB divides numbers of 128 bits bit by bit, twenty times slower than all else here. So the amount in floating point is
# taken where it is proven right, being less than half a step away.
ROUNDED = """
    CREATE OR REPLACE TEMP MACRO rounded(exact, near) AS
    CASE WHEN abs(near::DECIMAL(38, 8) - exact) < 0.000000005 THEN near::DECIMAL(38, 8) ELSE round(exact, 8)::DECIMAL(38, 8) END"""

Tables = Mapping[str, str]  # queries by name
Types = Mapping[str, Mapping[str, int]]  # by table and amount: its decimals


def write_cube(ledger: Ledger, statement: Statement, folder: Path) -> None:
    """Write lines, drivers, records and rates into a folder.

    Files, all Parquet: lines/SOURCE, drivers/SOURCE, service, capital, bookings, rates.
    """
    prices = price_list(ledger)
    write_rates(prices, folder / "rates.parquet")
    ledger.con.execute(f"{ROUNDED}; CREATE OR REPLACE TEMP VIEW rates_of AS FROM {quoted(folder / 'rates.parquet')}")
    with tempfile.TemporaryDirectory(dir=folder) as work:  # several roll-ups read the facts
        sources = _stored(ledger, facts(ledger, statement, prices), Path(work))
        details = _stored(ledger, records(ledger, statement, prices, sources), folder)
        _write(ledger, lines(ledger, statement, prices, sources, details), folder / "lines")
        _write(ledger, drivers(prices, sources), folder / "drivers")


def _write(ledger: Ledger, queries: Tables, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, query in queries.items():
        ledger.con.execute(f"COPY ({query}) TO {quoted(folder / f'{name}.parquet')} (FORMAT parquet)")


def _stored(ledger: Ledger, queries: Tables, folder: Path) -> Types:
    """Each query written into a folder, and read back as a view of its name."""
    _write(ledger, queries, folder)
    types: dict[str, Mapping[str, int]] = {}
    for name in queries:
        rows = f"FROM read_parquet({quoted(folder / f'{name}.parquet')})"
        ledger.con.execute(f"CREATE OR REPLACE TEMP VIEW of_{name} AS {rows}")
        described = ledger.con.execute(f"DESCRIBE of_{name}").fetchall()
        decimals = {column: re.fullmatch(r"DECIMAL\(\d+,(\d+)\)", kind) for column, kind, *_ in described}
        types[name] = {column: int(found[1]) for column, found in decimals.items() if found}
    return types


def _sums(columns: Iterable[str]) -> str:
    return ", ".join(f"sum({c}) AS {c}" for c in map(identifier, columns))


# --- facts: exact sums by owner and span ---------------------------------------------------------


def facts(ledger: Ledger, statement: Statement, prices: PriceList) -> dict[str, str]:
    """What invoice lines (trade), orders, credits and events say of each owner in each span of rates.

    Columns: level, owner, span (its first day), sums named TABLE.COLUMN (gross sales apart from
    returns), and quantities named as drivers. An order counts in the span of its first line.
    """
    drivers = {f"invoice_lines.{kind.driver}" for kind in prices.activities}
    names = drivers.union(*(line.sources for line in statement.leaves))
    tables = {
        "trade": _by_span("books.bare_invoice_lines WHERE _covered", "invoice_date", prices, _trade_sums(ledger, names))
    }
    if ledger.has("invoice_lines", "order_id"):
        documents = "books.orders WHERE order_id IS NOT NULL AND first_day IS NOT NULL"
        tables["orders"] = _by_span(documents, "first_day", prices, {"orders": _count()})
    if ledger.has("credits"):
        amounts = [c for c in ("amount", "cost_recovered") if ledger.has("credits", c)]
        sums = {"credits": _count(), **{f"credits.{c}": f"sum({c})" for c in amounts}}
        tables["credits"] = _by_span("books.bare_credits WHERE _covered", "date", prices, sums)
    if ledger.has("activities"):
        priced = ", ".join(quoted(kind.name) for kind in prices.activities if not kind.driver)
        rows = f"books.bare_activities WHERE _covered AND activity IN ({priced or 'NULL'})"
        tables["events"] = _by_span(rows, "date", prices, {"quantity": "sum(quantity)"}, "activity")
    if balances := [b for b in CAPITAL_BALANCES if f"balances.{b}" in names]:
        tables["balances"] = _doubled(ledger, balances)
    return tables


def _doubled(ledger: Ledger, balances: Sequence[str]) -> str:
    """Opening and closing balance of each owner and month, added; the first month opens with its own end."""
    closing = f"SELECT customer_id, month, {', '.join(balances)} FROM books.bare_balances WHERE _covered"
    query = f"""
        WITH closing AS ({closing}), later AS (SELECT * REPLACE (CAST(month + INTERVAL 1 MONTH AS DATE) AS month) FROM closing)
        FROM closing UNION ALL FROM later WHERE month < DATE '{ledger.engagement.coverage.end}'
        UNION ALL FROM closing WHERE month = (SELECT min(month) FROM closing)"""
    return _by_owner(query, balances, "month")


def _trade_sums(ledger: Ledger, names: Set[str]) -> dict[str, str]:
    apart = ("return", "fee", "") if "fees" in names else ("return", "")
    sums = {
        "invoice_lines": _count(f"kind IN {ORDERED}"),
        "credits": _count("kind = 'return'"),
        "invoice_lines.gross_sales": f"sum(gross_sales) FILTER (kind NOT IN {apart})",
        "returns": "-sum(gross_sales) FILTER (kind = 'return')",
    }
    if "fees" in names:
        sums["fees"] = "sum(gross_sales) FILTER (kind = 'fee')"
    if ledger.has("invoice_lines", "quantity"):
        sums["units"] = "sum(quantity) FILTER (quantity > 0 AND kind = 'sale')"
    columns = ledger.tables["invoice_lines"].columns
    measures = [c for c in columns if f"invoice_lines.{c}" in names or c in BASES]
    return {**{f"invoice_lines.{c}": f"sum({identifier(c)})" for c in measures}, **sums}


def _count(which: str = "true") -> str:
    """Rows as a decimal, since DuckDB writes a sum of integers as floating point."""
    return f"count_if({which})::DECIMAL(18, 0)"


def _by_span(rows: str, day: str, prices: PriceList, sums: Mapping[str, str], *keys: str) -> str:
    """Sums of rows by owner, span and keys."""
    in_month = [span for span in prices.spans if span.start.day != 1]
    cases = [f"WHEN {day} >= DATE '{s.start}' AND {day} < DATE '{s.end}' THEN {s.start.day}" for s in in_month]
    start = f"CASE {' '.join(cases)} ELSE 1 END" if in_month else "1"
    parts = f"year({day}) AS _year, month({day}) AS _month, {start} AS _day"  # cheaper than a date of every row
    named = ", ".join(f"{value} AS {identifier(name)}" for name, value in sums.items())
    by_customer = f"SELECT {', '.join(['customer_id', *keys, parts, named])} FROM {rows} GROUP BY ALL"
    return _by_owner(f"SELECT *, make_date(_year, _month, _day) AS span FROM ({by_customer})", sums, "span", *keys)


def _by_owner(query: str, amounts: Iterable[str], *keys: str, level: str = "'customer'") -> str:
    """Sums by customer_id → by level, owner and keys; without a known customer, Unassigned.

    Where the level is another than customer, the key is that of a group.
    """
    owner = f"CASE WHEN {level} = 'customer' THEN _known ELSE customer_id END"
    return f"""
        SELECT CASE WHEN {owner} IS NULL THEN 'unassigned' ELSE {level} END AS level, coalesce({owner}, '') AS owner,
               {", ".join(keys)}, {_sums(amounts)}
        FROM ({query}) LEFT JOIN (SELECT customer_id, customer_id AS _known FROM books.customer_ids) USING (customer_id)
        GROUP BY ALL"""


def _by_month(query: str, prices: PriceList, amounts: Iterable[str], *keys: str) -> str:
    """Sums by owner, span and keys → by owner, month and keys."""
    if prices.whole_months:
        return f"SELECT * RENAME (span AS month) FROM ({query})"
    columns = ["level", "owner", *keys, "make_date(year(span), month(span), 1) AS month", _sums(amounts)]
    return f"SELECT {', '.join(columns)} FROM ({query}) GROUP BY ALL"


# --- records: how lines came about ---------------------------------------------------------------


def records(ledger: Ledger, statement: Statement, prices: PriceList, sources: Types) -> dict[str, str]:
    """How lines came about that are not invoiced or credited, by level, owner and month.

    service: by activity (its line and pool, '' for none), quantity and amount (quantity × rate);
    net sales as a driver have two rows, from trade and from credits. capital: the mean of opening
    and closing receivables, inventory and dedicated_assets (DECIMAL(38,5)), and the capital_charge
    on all of them. bookings: by line and avoidable (now, never, '' where the booking does not say),
    amount. All amounts and quantities are DECIMAL(38,8).
    """
    queries: dict[str, str] = {}
    if quantities := _quantities(statement, prices, sources):
        queries["service"] = " UNION ALL ".join(_priced(query, decimals, prices) for query, decimals in quantities)
    names = {source for line in statement.leaves for source in line.sources}
    if balances := [b for b in CAPITAL_BALANCES if f"balances.{b}" in names]:
        queries["capital"] = _capital(ledger, balances)
    if ledger.has("costs"):
        rows = """SELECT level, key AS customer_id, make_date(year(date), month(date), 1) AS month, line,
                         coalesce(avoidable, '') AS avoidable, amount FROM books.bare_costs WHERE _covered"""
        booked = _by_owner(rows, ["amount"], "month", "line", "avoidable", level="level")
        queries["bookings"] = f"SELECT * REPLACE (amount::{AMOUNT} AS amount) FROM ({booked})"
    return queries


def _quantities(statement: Statement, prices: PriceList, sources: Types) -> list[tuple[str, int]]:
    """Queries for level, owner, span, activity and quantity, of each source of a driver and of the events, with its decimals."""
    queries = []
    for kind, (name, decimals) in itertools.product(prices.activities, sources.items()):
        signs = _driver_sums(kind.driver, statement)
        if kind.driver and (quantity := _signed(decimals, signs)):
            columns = f"level, owner, span, {quoted(kind.name)} AS activity, {quantity} AS quantity"
            queries.append((f"SELECT {columns} FROM of_{name}", max(decimals[c] for c in signs if c in decimals)))
    if "events" in sources:
        queries.append(("SELECT level, owner, span, activity, quantity FROM of_events", 4))
    return queries


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


def _signed(there: Iterable[str], signs: Mapping[str, int]) -> str:
    """The signed sum of those columns that are there, null as zero; '' where none is."""
    amounts = [(identifier(c), sign) for c, sign in signs.items() if c in there]
    return "".join(f" {'+' if sign > 0 else '-'} coalesce({c}, 0)" for c, sign in amounts)


def _priced(query: str, decimals: int, prices: PriceList) -> str:
    """Quantities by span and activity → by month, line and pool, with the amount that they are charged.

    A product exactly, with all its decimals, and in floating point. One factor must have more than 18 digits: of less
    DuckDB makes a product of 18, which may overflow.
    """
    quantity, keys = f"q.quantity::DECIMAL(38, {decimals})", ("activity", "line", "pool")
    rows = f"""
        SELECT level, owner, span, q.activity, line, pool, {quantity} AS quantity,
               ({quantity} * rate)::DECIMAL(38, {decimals + 8}) AS exact, {quantity}::DOUBLE * rate::DOUBLE AS near
        FROM ({query}) q LEFT JOIN rates_of r ON q.activity = r.activity AND span = span_start"""
    amount = "rounded(exact, near)" if decimals else "exact"
    return f"""SELECT {KEYS}, {", ".join(keys)}, quantity::{AMOUNT} AS quantity, {amount} AS amount
               FROM ({_by_month(rows, prices, ("quantity", "exact", "near"), *keys)})"""


def _capital(ledger: Ledger, balances: Sequence[str]) -> str:
    """Mean balances and their charge for capital; the first month opens with its own end."""
    means = ", ".join(f"(coalesce({b}, 0) * 0.5)::DECIMAL(38, 5) AS {b}" for b in balances)
    rate = ledger.engagement.settings.rates.capital_charge_rate
    charge = " + ".join(_charge(b, rate) for b in balances)
    return f"SELECT *, ({charge})::{AMOUNT} AS capital_charge FROM (SELECT {KEYS}, {means} FROM of_balances)"


def _charge(mean: str, yearly_rate: Decimal) -> str:
    rate = f"'{monthly_rate(yearly_rate):f}'::DECIMAL(38, 16)"
    return f"rounded(({mean} * {rate})::DECIMAL(38, 21), {mean}::DOUBLE * {rate}::DOUBLE)"


# --- lines and drivers ---------------------------------------------------------------------------


def lines(ledger: Ledger, statement: Statement, prices: PriceList, sources: Types, details: Types) -> dict[str, str]:
    """Amounts of the statement's lines, by source: level, owner, month, one column per line.

    Levels are customer, unassigned (owner ''), the groups that own costs, and firm, whose owners
    are pools, joint costs and the charges for capital.
    """
    sums = {line.id: _feeds(line.sources) for line in statement.leaves}
    queries = {name: _columns(name, sources[name], prices, sums) for name in ("trade", "credits") if name in sources}
    if "capital" in details:
        queries["balances"] = _charges(ledger, statement, details["capital"])
    for name, (record, source) in RECORDS.items():
        ids = [line.id for line in statement.leaves if source in line.sources]
        if record in details and ids:
            amounts = ", ".join(f"sum(amount) FILTER (line = {quoted(line)}) AS {identifier(line)}" for line in ids)
            queries[name] = f"SELECT {KEYS}, {amounts} FROM of_{record} GROUP BY ALL"
    return {name: query for name, query in (queries | _firm(ledger, statement, details)).items() if query}


def _columns(name: str, there: Iterable[str], prices: PriceList, sums: Mapping[str, Mapping[str, int]]) -> str:
    """Facts → by month, one column for each signed sum that they have something of; '' where they have nothing."""
    totals = {column: total for column, signs in sums.items() if (total := _signed(there, signs))}
    columns = ", ".join(f"{total} AS {identifier(column)}" for column, total in totals.items())
    cast = ", ".join(f"{c}::{AMOUNT} AS {c}" for c in map(identifier, totals))
    months = _by_month(f"SELECT level, owner, span, {columns} FROM of_{name}", prices, totals)
    return f"SELECT {KEYS}, {cast} FROM ({months})" if totals else ""


def _charges(ledger: Ledger, statement: Statement, there: Iterable[str]) -> str:
    """Mean balances → the lines that they are charged as."""
    rates = ledger.engagement.settings.rates
    charges = {f"balances.{b}": _charge(b, charge_rate(b, rates)) for b in CAPITAL_BALANCES if b in there}
    columns = [
        f"({' + '.join(charges[s] for s in line.sources if s in charges)})::{AMOUNT} AS {identifier(line.id)}"
        for line in statement.leaves if charges.keys() & {*line.sources}
    ]  # fmt: skip
    return f"SELECT {KEYS}, {', '.join(columns)} FROM of_capital" if columns else ""


def _firm(ledger: Ledger, statement: Statement, details: Types) -> dict[str, str]:
    """Costs of no customer or group: uncharged capacity, joint costs, less charges for capital."""
    line_of = {line.sources[0]: line.id for line in statement.leaves if line.is_pool}
    rows = {"joint_costs": "SELECT line AS owner, month, amount FROM books.joint_costs WHERE _covered"}
    if "capacity" in line_of:
        rows["capacity"] = _uncharged(details)
    if "capital" in details:
        rows["capital_charges"] = (
            "SELECT 'charges for capital' AS owner, month, capital_charge AS amount FROM of_capital"
        )
    return {
        source: f"""SELECT 'firm' AS level, owner, month, sum(amount)::{AMOUNT} AS {identifier(line_of[source])}
                    FROM ({query}) GROUP BY ALL"""
        for source, query in rows.items() if source in line_of
    }  # fmt: skip


def _uncharged(details: Types) -> str:
    """Booked cost of each pool and, negative, what customers were charged, maybe more."""
    pools = "FROM books.capacity WHERE _covered AND pool IN (SELECT pool FROM books.activity_types)"
    booked = f"SELECT pool AS owner, month, cost::{AMOUNT} AS amount {pools}"
    charged = (
        "SELECT pool, month, -amount FROM of_service WHERE pool IN (SELECT pool FROM books.capacity WHERE _covered)"
    )
    return f"{booked} UNION ALL {charged}" if "service" in details else booked


def drivers(prices: PriceList, sources: Types) -> dict[str, str]:
    """Quantities that the ledger holds by itself, by source: level, owner, month, one column each.

    Orders, invoice_lines and credits (counts), units, and fixed_cost_of_goods (money, a basis of
    full cost), DECIMAL(38,8); those that it has.
    """
    sums = {driver: {driver: 1} for driver in DRIVERS} | {m: {f"invoice_lines.{m}": 1} for m in BASES}
    queries = {name: _columns(name, there, prices, sums) for name, there in sources.items()}
    return {name: query for name, query in queries.items() if query}


# --- sales by product, orders by day -------------------------------------------------------------


def write_sales(ledger: Ledger, folder: Path) -> None:
    """Write sales by customer ('' where unknown), product ('' where none) and month, before what came back, by line or by credit.

    Columns: customer_id, product_id, month, and of quantity, gross_sales, discount and cost_of_goods those that the ledger has; none
    without products. Each year is summed by itself, in memory; where a sum would hold fewer than two lines, the lines are written as
    they are, which takes half: who reads them sums them.
    """
    if not ledger.has("invoice_lines", "product_id"):
        return
    keys = "customer_id, product_id, month"
    amounts = [c for c in ("quantity", "gross_sales", "discount", "cost_of_goods") if ledger.has("invoice_lines", c)]
    lines = f"""
        SELECT CASE WHEN _assigned THEN customer_id ELSE '' END AS customer_id, coalesce(product_id, '') AS product_id,
               make_date(year(invoice_date), month(invoice_date), 1) AS month, {", ".join(amounts)}
        FROM books.invoice_lines WHERE _covered AND kind <> 'return'"""
    busiest = """SELECT make_date(year(invoice_date), month(invoice_date), 1) AS month FROM books.sums_invoice_lines WHERE _covered
                 GROUP BY month ORDER BY sum(_rows) DESC, month LIMIT 1"""
    for (month,) in ledger.con.execute(busiest).fetchall():
        groups = f"SELECT count(*) AS n FROM ({_since(lines, month, 'MONTH')}) GROUP BY {keys}"
        [(lines_each,)] = ledger.con.execute(f"SELECT coalesce(avg(n), 0) FROM ({groups})").fetchall()
        if lines_each < 2 and ledger.engagement.settings.engine == "duckdb":  # lines stay on a server
            _write(ledger, {"lines": lines}, folder)
            return
    years = sorted({date(month.year, 1, 1) for month in ledger.engagement.coverage.month_starts()})
    summed = f"SELECT {keys}, {_sums(amounts)} FROM ({{}}) GROUP BY {keys}"
    _write(ledger, {str(year.year): summed.format(_since(lines, year, "YEAR")) for year in years}, folder)


def _since(lines: str, day: date, span: str) -> str:
    return f"{lines} AND invoice_date >= DATE '{day}' AND invoice_date < DATE '{day}' + INTERVAL 1 {span}"


def write_orders(ledger: Ledger, file: Path) -> None:
    """Write the orders of each known customer by day: customer_id, day, orders (count), gross_sales.

    The day is the order date where the ledger has one, else the invoice date. An order counts once,
    on the day of its first line; what has no order number is one order a day. Only lines with
    positive gross sales order anything: a return does not. Lines are those invoiced within the
    coverage, so a day may lie before it (ordered in December, invoiced in January).
    """
    rows = "books.orders SEMI JOIN books.customer_ids USING (customer_id) WHERE day IS NOT NULL"
    query = f"SELECT customer_id, day, count(*) AS orders, sum(gross) AS gross_sales FROM {rows} GROUP BY ALL"
    _write(ledger, {file.stem: query}, file.parent)
