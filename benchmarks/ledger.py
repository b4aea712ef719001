"""A ledger of any size, as an engagement folder of Parquet files: money as DECIMAL, keys as text, the same for the same seed."""

from pathlib import Path

START, MONTHS = "2023-01-01", 36
ENGAGEMENT = """\
client: Benchmark
currency: USD
coverage: {start: 2023-01, end: 2025-12}
source: ledger
rates: {cost_of_capital: 0.09, tax_rate: 0.25, inventory_noncapital_rate: 0.10}
"""

# i is the row's number; u(i, k) an even number from 0 to 1 that hangs on the row, the purpose k and the seed
MACROS = """
CREATE MACRO u(i, k) AS (hash(i, k, {seed}) >> 11)::DOUBLE / 9007199254740992;
CREATE MACRO pick(i, k, n) AS floor(u(i, k) * n)::BIGINT;
CREATE MACRO key(letter, n) AS letter || lpad(n::VARCHAR, 8, '0');
-- a fifth of the customers has most of the trade, and one line in a hundred has no known customer
CREATE MACRO customer(i, k) AS CASE WHEN u(i, k) < 0.005 THEN NULL WHEN u(i, k) < 0.01 THEN key('X', pick(i, k, 50))
    ELSE key('C', floor(pow(u(i, k), 2.5) * {customers})::BIGINT) END;
CREATE MACRO day(i, k) AS DATE '{start}' + pick(i, k, {days})::INTEGER;
CREATE MACRO month(n) AS (DATE '{start}' + to_months(n::INTEGER))::DATE;
"""

TABLES = {
    "customers": """
        SELECT key('C', i) AS customer_id, 'Customer ' || i AS customer_name,
               ['Department stores', 'Grocery chains', 'Drug stores', 'Discount stores', 'Wholesalers', 'Food service'][1 + i % 6] AS account_type
        FROM range({customers}) t(i)""",
    "products": """
        SELECT key('P', i) AS product_id, 'Product ' || i AS product_name FROM range(2000) t(i)""",
    # five lines an order; two in a hundred lines are returns
    "invoice_lines": """
        SELECT customer_id, invoice_date, order_id, line_no, product_id, sign * quantity AS quantity, (sign * quantity * price)::DECIMAL(18, 4) AS gross_sales,
               (sign * quantity * price * discount)::DECIMAL(18, 4) AS discount, (sign * quantity * price * cost)::DECIMAL(18, 4) AS cost_of_goods,
               (quantity * price * 0.03)::DECIMAL(18, 4) AS freight
        FROM (SELECT customer(i // 5, 1) AS customer_id, day(i // 5, 2) AS invoice_date, key('O', i // 5) AS order_id, (i % 5 + 1)::VARCHAR AS line_no,
                     key('P', pick(i, 3, 2000)) AS product_id, (1 + pick(i, 4, 40))::DECIMAL(18, 4) AS quantity,
                     CASE WHEN u(i, 5) < 0.02 THEN -1 ELSE 1 END AS sign, (5 + u(i, 6) * 195)::DECIMAL(18, 2) AS price,
                     (u(i, 7) * 0.12)::DECIMAL(18, 2) AS discount, (0.5 + u(i, 8) * 0.2)::DECIMAL(18, 2) AS cost
              FROM range({lines}) t(i))""",
    "credits": """
        SELECT customer(i, 11) AS customer_id, day(i, 12) AS date, ['return', 'allowance', 'rebate'][1 + i % 3] AS kind,
               (20 + u(i, 13) * 500)::DECIMAL(18, 4) AS amount,
               (CASE WHEN i % 3 = 0 THEN u(i, 14) * 100 ELSE 0 END)::DECIMAL(18, 4) AS cost_recovered
        FROM range({lines} // 50) t(i)""",
    "activity_types": """
        SELECT * FROM (VALUES
            ('sales orders', 'order_processing', 'office', 'minutes', 12::DECIMAL(18, 4), 'orders'),
            ('order lines', 'order_processing', 'office', 'minutes', 1.5::DECIMAL(18, 4), 'invoice_lines'),
            ('commission', 'sales_commissions', NULL, NULL, NULL, 'net_sales'),
            ('pallets', 'warehouse_handling', 'warehouse', 'minutes', 6::DECIMAL(18, 4), NULL),
            ('cases', 'warehouse_handling', 'warehouse', 'minutes', 0.5::DECIMAL(18, 4), NULL),
            ('special packs', 'special_packaging', NULL, NULL, NULL, NULL)
        ) t(activity, line, pool, unit, unit_minutes, driver)""",
    "activities": """
        SELECT customer(i, 21) AS customer_id, day(i, 22) AS date, ['pallets', 'cases', 'special packs'][1 + i % 3] AS activity,
               (1 + pick(i, 23, 30))::DECIMAL(18, 4) AS quantity
        FROM range({lines} // 10) t(i)""",
    # rates change every half year; two activities take theirs from the pool's capacity
    "rates": """
        SELECT activity, month(6 * n) AS valid_from, (rate * (1 + n * 0.01))::DECIMAL(18, 8) AS rate
        FROM (VALUES ('sales orders', 9.35), ('commission', 0.0215), ('pallets', 7.1), ('cases', 0.4375), ('special packs', 2.95)) t(activity, rate), range(6) h(n)""",
    "capacity": """
        SELECT pool, month(n) AS month, (minutes * price)::DECIMAL(18, 4) AS cost, minutes::DECIMAL(18, 4) AS practical_capacity
        FROM (VALUES ('office', {lines} / 6.0, 0.8), ('warehouse', {lines} / 4.0, 0.7)) t(pool, minutes, price), range({months}) m(n)""",
    "costs": """
        SELECT CASE WHEN i % 40 = 0 THEN 'account_type' ELSE 'customer' END AS level, CASE WHEN i % 40 = 0 THEN 'Grocery chains' ELSE customer(i, 31) END AS key,
               day(i, 32) AS date, ['promotion_and_slotting', 'advertising', 'bad_debts'][1 + i % 3] AS line, (u(i, 33) * 900)::DECIMAL(18, 4) AS amount
        FROM range({lines} // 100) t(i)""",
    "balances": """
        SELECT key('C', i // {months}) AS customer_id, month(i % {months}) AS month, (u(i, 41) * 50000)::DECIMAL(18, 4) AS receivables,
               (u(i, 42) * 20000)::DECIMAL(18, 4) AS inventory
        FROM range({customers} * {months}) t(i)""",
}


def write_ledger(folder: Path, *, lines: int, customers: int, seed: int, floats: bool = True) -> None:
    """Write engagement.yml, `ledger/` (DECIMAL) and, if wanted, `floats/`, the same tables with money as DOUBLE as pandas would read them."""
    import duckdb

    con = duckdb.connect()
    words = {"seed": seed, "customers": customers, "lines": lines, "start": START, "months": MONTHS, "days": 1096}
    con.execute(MACROS.format(**words))
    for name in ("ledger", "floats") if floats else ("ledger",):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "engagement.yml").write_text(ENGAGEMENT, encoding="utf-8")
    for table, query in TABLES.items():
        path = folder / "ledger" / f"{table}.parquet"
        con.execute(f"COPY ({query.format(**words)}) TO '{path}' (FORMAT parquet)")
        if not floats:
            continue
        decimals = [c for c, kind, *_ in con.sql(f"DESCRIBE FROM '{path}'").fetchall() if kind.startswith("DECIMAL")]
        casts = ", ".join(f"{c}::DOUBLE AS {c}" for c in decimals)
        replaced = f"* REPLACE ({casts})" if casts else "*"
        con.execute(f"COPY (SELECT {replaced} FROM '{path}') TO '{folder}/floats/{table}.parquet' (FORMAT parquet)")
