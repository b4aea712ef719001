-- cube.sql as a good engineer would write it by hand for Spark: what several statements read is kept at hand, the rest is left to Spark.
-- facts, by owner (null where no customer is known) and month
CACHE TABLE trade AS
    WITH by_customer AS (
        SELECT customer_id, trunc(invoice_date, 'MM') AS month, sum(gross_sales) FILTER (WHERE gross_sales >= 0) AS sales,
               sum(-gross_sales) FILTER (WHERE gross_sales < 0) AS returns, sum(discount) AS discount, sum(cost_of_goods) AS goods, sum(freight) AS freight,
               sum(quantity) FILTER (WHERE quantity > 0) AS units, count(*) FILTER (WHERE gross_sales >= 0) AS lines, count(*) FILTER (WHERE gross_sales < 0) AS returned
        FROM invoice_lines WHERE invoice_date >= DATE '2023-01-01' AND invoice_date < DATE '2026-01-01' GROUP BY 1, 2
    )
    SELECT c.customer_id AS known, month, sum(sales) AS sales, sum(returns) AS returns, sum(discount) AS discount, sum(goods) AS goods,
           sum(freight) AS freight, sum(units) AS units, sum(lines) AS lines, sum(returned) AS returned
    FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY 1, 2;

CACHE TABLE ordered AS
    WITH firsts AS (
        SELECT customer_id, min(invoice_date) AS day FROM invoice_lines
        WHERE invoice_date >= DATE '2023-01-01' AND invoice_date < DATE '2026-01-01' AND order_id IS NOT NULL AND gross_sales >= 0 GROUP BY customer_id, order_id
    ), by_customer AS (
        SELECT customer_id, trunc(day, 'MM') AS month, count(*) AS orders FROM firsts GROUP BY 1, 2
    )
    SELECT c.customer_id AS known, month, sum(orders) AS orders FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY 1, 2;

CACHE TABLE notes AS
    WITH by_customer AS (
        SELECT customer_id, trunc(date, 'MM') AS month, count(*) AS notes, sum(amount) AS amount, sum(cost_recovered) AS recovered
        FROM credits WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' GROUP BY 1, 2
    )
    SELECT c.customer_id AS known, month, sum(notes) AS notes, sum(amount) AS amount, sum(recovered) AS recovered
    FROM by_customer t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY 1, 2;

CACHE TABLE monthly_rates AS
    SELECT m.month, r.activity, CAST(r.rate AS DECIMAL(18, 8)) AS rate, line, coalesce(t.pool, '') AS pool
    FROM (SELECT DISTINCT month FROM capacity) m
    JOIN (SELECT *, lead(valid_from, 1, DATE '9999-01-01') OVER (PARTITION BY activity ORDER BY valid_from) AS until FROM rates) r
      ON m.month >= r.valid_from AND m.month < r.until
    JOIN activity_types t ON t.activity = r.activity
    UNION ALL
    SELECT month, 'order lines', CAST(round(cost * 1.5 / practical_capacity, 8) AS DECIMAL(18, 8)), 'order_processing', 'office' FROM capacity WHERE pool = 'office';

-- records
CACHE TABLE service AS
    WITH events AS (
        SELECT customer_id, trunc(date, 'MM') AS month, activity, sum(quantity) AS quantity
        FROM activities WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' GROUP BY 1, 2, 3
    ), quantities AS (
        SELECT known, month, 'order lines' AS activity, CAST(lines AS DECIMAL(28, 4)) AS quantity FROM trade
        UNION ALL SELECT known, month, 'sales orders', CAST(orders AS DECIMAL(28, 4)) FROM ordered
        UNION ALL SELECT known, month, 'commission', coalesce(sales, 0) - coalesce(returns, 0) - discount FROM trade
        UNION ALL SELECT known, month, 'commission', -amount FROM notes
        UNION ALL SELECT c.customer_id, month, activity, sum(quantity) FROM events e LEFT JOIN customers c ON c.customer_id = e.customer_id GROUP BY 1, 2, 3
    )
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, q.month, q.activity, line, pool,
           CAST(quantity AS DECIMAL(38, 8)) AS quantity, CAST(round(CAST(quantity AS DECIMAL(28, 4)) * rate, 8) AS DECIMAL(38, 8)) AS amount
    FROM quantities q JOIN monthly_rates r ON r.activity = q.activity AND r.month = q.month;
INSERT OVERWRITE DIRECTORY '{out}/service.parquet' USING parquet SELECT * FROM service;

CACHE TABLE capital AS
    WITH twice AS (
        SELECT customer_id, month, receivables, inventory FROM balances
        UNION ALL SELECT customer_id, month, receivables, inventory FROM balances WHERE month = DATE '2023-01-01'
        UNION ALL SELECT customer_id, add_months(month, 1), receivables, inventory FROM balances WHERE month < DATE '2025-12-01'
    ), means AS (
        SELECT c.customer_id AS known, month, CAST(sum(receivables) * 0.5 AS DECIMAL(28, 5)) AS receivables, CAST(sum(inventory) * 0.5 AS DECIMAL(28, 5)) AS inventory
        FROM twice t LEFT JOIN customers c ON c.customer_id = t.customer_id GROUP BY 1, 2
    )
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month, receivables, inventory,
           CAST(round(receivables * 0.01, 8) + round(inventory * 0.01, 8) AS DECIMAL(38, 8)) AS capital_charge
    FROM means;
INSERT OVERWRITE DIRECTORY '{out}/capital.parquet' USING parquet SELECT * FROM capital;

CACHE TABLE bookings AS
    SELECT CASE WHEN level <> 'customer' THEN level WHEN c.customer_id IS NULL THEN 'unassigned' ELSE level END AS level,
           CASE WHEN level <> 'customer' THEN key ELSE coalesce(c.customer_id, '') END AS owner, trunc(date, 'MM') AS month, line, '' AS avoidable,
           CAST(sum(amount) AS DECIMAL(38, 8)) AS amount
    FROM costs LEFT JOIN customers c ON c.customer_id = key WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' GROUP BY 1, 2, 3, 4;
INSERT OVERWRITE DIRECTORY '{out}/bookings.parquet' USING parquet SELECT * FROM bookings;

-- lines
INSERT OVERWRITE DIRECTORY '{out}/lines/trade.parquet' USING parquet
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month, CAST(coalesce(sales, 0) AS DECIMAL(38, 8)) AS sales,
           CAST(discount + coalesce(returns, 0) AS DECIMAL(38, 8)) AS discounts_returns_allowances, CAST(goods AS DECIMAL(38, 8)) AS cost_of_goods_sold,
           CAST(freight AS DECIMAL(38, 8)) AS transportation
    FROM trade;
INSERT OVERWRITE DIRECTORY '{out}/lines/credits.parquet' USING parquet
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month,
           CAST(amount AS DECIMAL(38, 8)) AS discounts_returns_allowances, CAST(-recovered AS DECIMAL(38, 8)) AS cost_of_goods_sold
    FROM notes;
INSERT OVERWRITE DIRECTORY '{out}/lines/activities.parquet' USING parquet
    SELECT level, owner, month, sum(amount) FILTER (WHERE line = 'sales_commissions') AS sales_commissions,
           sum(amount) FILTER (WHERE line = 'warehouse_handling') AS warehouse_handling, sum(amount) FILTER (WHERE line = 'special_packaging') AS special_packaging,
           sum(amount) FILTER (WHERE line = 'order_processing') AS order_processing
    FROM service GROUP BY 1, 2, 3;
INSERT OVERWRITE DIRECTORY '{out}/lines/costs.parquet' USING parquet
    SELECT level, owner, month, sum(amount) FILTER (WHERE line = 'promotion_and_slotting') AS promotion_and_slotting,
           sum(amount) FILTER (WHERE line = 'advertising') AS advertising, sum(amount) FILTER (WHERE line = 'bad_debts') AS bad_debts
    FROM bookings GROUP BY 1, 2, 3;
INSERT OVERWRITE DIRECTORY '{out}/lines/balances.parquet' USING parquet
    SELECT level, owner, month, CAST(round(receivables * 0.01, 8) AS DECIMAL(38, 8)) AS receivables_charge,
           CAST(round(inventory * 0.0183333333333333, 8) AS DECIMAL(38, 8)) AS inventory_carrying_cost
    FROM capital;
INSERT OVERWRITE DIRECTORY '{out}/lines/capacity.parquet' USING parquet
    WITH amounts AS (
        SELECT pool AS owner, month, CAST(cost AS DECIMAL(38, 8)) AS amount FROM capacity
        UNION ALL SELECT pool, month, -amount FROM service WHERE pool <> ''
    )
    SELECT 'firm' AS level, owner, month, sum(amount) AS uncharged_capacity FROM amounts GROUP BY 2, 3;
INSERT OVERWRITE DIRECTORY '{out}/lines/capital_charges.parquet' USING parquet
    SELECT 'firm' AS level, 'charges for capital' AS owner, month, sum(capital_charge) AS capital_charges_reversed FROM capital GROUP BY 3;

-- drivers
INSERT OVERWRITE DIRECTORY '{out}/drivers/trade.parquet' USING parquet
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month, CAST(lines AS DECIMAL(38, 8)) AS invoice_lines,
           CAST(returned AS DECIMAL(38, 8)) AS credits, CAST(coalesce(units, 0) AS DECIMAL(38, 8)) AS units
    FROM trade;
INSERT OVERWRITE DIRECTORY '{out}/drivers/orders.parquet' USING parquet
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month, CAST(orders AS DECIMAL(38, 8)) AS orders FROM ordered;
INSERT OVERWRITE DIRECTORY '{out}/drivers/credits.parquet' USING parquet
    SELECT CASE WHEN known IS NULL THEN 'unassigned' ELSE 'customer' END AS level, coalesce(known, '') AS owner, month, CAST(notes AS DECIMAL(38, 8)) AS credits FROM notes;
