-- The roll-ups as a good engineer would write them by hand for this one ledger: a file per source, the same exact decimals, each
-- amount rounded once, half away from zero. A change of rates falls on the first of a month here, so that each month has one rate.
CREATE MACRO month_of(d) AS make_date(year(d), month(d), 1);
CREATE MACRO covered(d) AS d >= DATE '2023-01-01' AND d < DATE '2026-01-01';
CREATE MACRO level_of(known) AS CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END;
-- DuckDB divides numbers of 128 bits bit by bit: floating point where that is proven right
CREATE MACRO rounded(exact, near) AS
    CASE WHEN abs(near::DECIMAL(38, 8) - exact) < 0.000000005::DECIMAL(38, 9) THEN near::DECIMAL(38, 8) ELSE round(exact, 8)::DECIMAL(38, 8) END;

-- facts, by owner (null where no customer is known) and month; grouping by numbers is cheaper than making a date of every row
CREATE TEMP TABLE trade AS
    WITH by_customer AS (
        SELECT customer_id, year(invoice_date) AS y, month(invoice_date) AS m, sum(gross_sales) FILTER (gross_sales >= 0) AS sales,
               sum(-gross_sales) FILTER (gross_sales < 0) AS returns, sum(discount) AS discount, sum(cost_of_goods) AS goods, sum(freight) AS freight,
               sum(quantity) FILTER (quantity > 0) AS units, count(*) FILTER (gross_sales >= 0) AS lines,
               count(*) FILTER (gross_sales < 0) AS returned
        FROM invoice_lines WHERE covered(invoice_date) GROUP BY ALL
    )
    SELECT c.customer_id AS known, make_date(y, m, 1) AS month, sum(sales) AS sales, sum(returns) AS returns, sum(discount) AS discount,
           sum(goods) AS goods, sum(freight) AS freight, sum(units) AS units, sum(lines) AS lines, sum(returned) AS returned
    FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY ALL;

CREATE TEMP TABLE ordered AS
    WITH firsts AS (
        SELECT customer_id, min(invoice_date) AS day FROM invoice_lines WHERE covered(invoice_date) AND order_id IS NOT NULL AND gross_sales >= 0 GROUP BY customer_id, order_id
    ), by_customer AS (
        SELECT customer_id, year(day) AS y, month(day) AS m, count(*) AS orders FROM firsts GROUP BY ALL
    )
    SELECT c.customer_id AS known, make_date(y, m, 1) AS month, sum(orders) AS orders
    FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY ALL;

CREATE TEMP TABLE notes AS
    WITH by_customer AS (
        SELECT customer_id, year(date) AS y, month(date) AS m, count(*) AS notes, sum(amount) AS amount, sum(cost_recovered) AS recovered
        FROM credits WHERE covered(date) GROUP BY ALL
    )
    SELECT c.customer_id AS known, make_date(y, m, 1) AS month, sum(notes) AS notes, sum(amount) AS amount, sum(recovered) AS recovered
    FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY ALL;

CREATE TEMP TABLE monthly_rates AS
    SELECT m.month, r.activity, r.rate::DECIMAL(38, 8) AS rate, line, coalesce(pool, '') AS pool
    FROM (SELECT DISTINCT month FROM capacity) m ASOF JOIN (SELECT DISTINCT valid_from FROM rates) v ON m.month >= v.valid_from
    JOIN rates r USING (valid_from) JOIN activity_types USING (activity)
    UNION ALL
    SELECT month, 'order lines', rate_per_line, 'order_processing', 'office' FROM office_rates;

-- records
COPY (
    WITH events AS (
        SELECT customer_id, year(date) AS y, month(date) AS m, activity, sum(quantity) AS quantity FROM activities WHERE covered(date) GROUP BY ALL
    ), quantities AS (
        SELECT known, month, 'order lines' AS activity, lines::DECIMAL(38, 4) AS quantity FROM trade
        UNION ALL SELECT known, month, 'sales orders', orders::DECIMAL(38, 4) FROM ordered
        UNION ALL SELECT known, month, 'commission', coalesce(sales, 0) - coalesce(returns, 0) - discount FROM trade
        UNION ALL SELECT known, month, 'commission', -amount FROM notes
        UNION ALL SELECT c.customer_id, make_date(y, m, 1), activity, sum(quantity)
                  FROM events e LEFT JOIN customers c ON c.customer_id = e.customer_id GROUP BY ALL
    )
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, activity, line, pool, quantity::DECIMAL(38, 8) AS quantity,
           rounded(quantity * rate, quantity::DOUBLE * rate::DOUBLE) AS amount
    FROM quantities JOIN monthly_rates USING (activity, month)
) TO '{out}/service.parquet' (FORMAT parquet);

COPY (
    WITH twice AS (
        SELECT customer_id, month, receivables, inventory FROM balances
        UNION ALL SELECT customer_id, month, receivables, inventory FROM balances WHERE month = DATE '2023-01-01'
        UNION ALL SELECT customer_id, (month + INTERVAL 1 MONTH)::DATE, receivables, inventory FROM balances WHERE month < DATE '2025-12-01'
    ), means AS (
        SELECT c.customer_id AS known, month, sum(receivables) * 0.5 AS receivables, sum(inventory) * 0.5 AS inventory
        FROM twice t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY ALL
    )
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, receivables, inventory,
           rounded(receivables * 0.01, receivables::DOUBLE * 0.01::DOUBLE) + rounded(inventory * 0.01, inventory::DOUBLE * 0.01::DOUBLE) AS capital_charge
    FROM means
) TO '{out}/capital.parquet' (FORMAT parquet);

COPY (
    SELECT CASE WHEN level = 'customer' THEN level_of(c.customer_id) ELSE level END AS level,
           CASE WHEN level = 'customer' THEN coalesce(c.customer_id, '') ELSE key END AS owner,
           month_of(date) AS month, line, '' AS avoidable, sum(amount)::DECIMAL(38, 8) AS amount
    FROM costs LEFT JOIN customers c ON c.customer_id = key WHERE covered(date) GROUP BY ALL
) TO '{out}/bookings.parquet' (FORMAT parquet);

-- lines
COPY (
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, coalesce(sales, 0)::DECIMAL(38, 8) AS sales,
           (discount + coalesce(returns, 0))::DECIMAL(38, 8) AS discounts_returns_allowances, goods::DECIMAL(38, 8) AS cost_of_goods_sold,
           freight::DECIMAL(38, 8) AS transportation
    FROM trade
) TO '{out}/lines/trade.parquet' (FORMAT parquet);

COPY (
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, amount::DECIMAL(38, 8) AS discounts_returns_allowances,
           -recovered::DECIMAL(38, 8) AS cost_of_goods_sold
    FROM notes
) TO '{out}/lines/credits.parquet' (FORMAT parquet);

COPY (
    SELECT level, owner, month, sum(amount) FILTER (line = 'sales_commissions') AS sales_commissions,
           sum(amount) FILTER (line = 'warehouse_handling') AS warehouse_handling, sum(amount) FILTER (line = 'special_packaging') AS special_packaging,
           sum(amount) FILTER (line = 'order_processing') AS order_processing
    FROM '{out}/service.parquet' GROUP BY ALL
) TO '{out}/lines/activities.parquet' (FORMAT parquet);

COPY (
    SELECT level, owner, month, sum(amount) FILTER (line = 'promotion_and_slotting') AS promotion_and_slotting,
           sum(amount) FILTER (line = 'advertising') AS advertising, sum(amount) FILTER (line = 'bad_debts') AS bad_debts
    FROM '{out}/bookings.parquet' GROUP BY ALL
) TO '{out}/lines/costs.parquet' (FORMAT parquet);

COPY (
    SELECT level, owner, month, rounded(receivables * 0.01, receivables::DOUBLE * 0.01::DOUBLE) AS receivables_charge,
           rounded(inventory * 0.0183333333333333, inventory::DOUBLE * 0.0183333333333333::DOUBLE) AS inventory_carrying_cost
    FROM '{out}/capital.parquet'
) TO '{out}/lines/balances.parquet' (FORMAT parquet);

COPY (
    WITH amounts AS (
        SELECT pool AS owner, month, cost::DECIMAL(38, 8) AS amount FROM capacity
        UNION ALL SELECT pool, month, -amount FROM '{out}/service.parquet' WHERE pool <> ''
    )
    SELECT 'firm' AS level, owner, month, sum(amount) AS uncharged_capacity FROM amounts GROUP BY ALL
) TO '{out}/lines/capacity.parquet' (FORMAT parquet);

COPY (
    SELECT 'firm' AS level, 'charges for capital' AS owner, month, sum(capital_charge) AS capital_charges_reversed
    FROM '{out}/capital.parquet' GROUP BY month
) TO '{out}/lines/capital_charges.parquet' (FORMAT parquet);

-- drivers
COPY (
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, lines::DECIMAL(38, 8) AS invoice_lines, returned::DECIMAL(38, 8) AS credits,
           coalesce(units, 0)::DECIMAL(38, 8) AS units
    FROM trade
) TO '{out}/drivers/trade.parquet' (FORMAT parquet);
COPY (
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, orders::DECIMAL(38, 8) AS orders FROM ordered
) TO '{out}/drivers/orders.parquet' (FORMAT parquet);
COPY (
    SELECT level_of(known) AS level, coalesce(known, '') AS owner, month, notes::DECIMAL(38, 8) AS credits FROM notes
) TO '{out}/drivers/credits.parquet' (FORMAT parquet);
