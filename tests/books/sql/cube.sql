-- The roll-ups of the sample, written by hand from the design's rules: every fact priced on its own row, then summed by source,
-- rounded once to 8 decimals, half away from zero, as DuckDB's decimals are by themselves, and summed. One row per roll-up, level,
-- owner, month and item: a line, a driver, an activity (quantity and amount), a balance or the charge on all, an answer and line.
-- Parameters: the ledger's folder, coverage (first day, day after the last), and the monthly rates of charge for capital.
WITH customers AS (SELECT customer_id FROM read_csv($folder || '/customers.csv', all_varchar = true, header = true)),
lines AS (
    SELECT coalesce(customer_id, '') AS customer, coalesce(order_id, '') AS order_id, invoice_date::DATE AS day,
           gross_sales::DECIMAL(18, 4) AS gross, quantity::DECIMAL(18, 4) AS quantity, discount::DECIMAL(18, 4) AS discount,
           cost_of_goods::DECIMAL(18, 4) AS goods, commission::DECIMAL(18, 8) AS commission, freight::DECIMAL(18, 8) AS freight,
           fixed_cost_of_goods::DECIMAL(18, 4) AS fixed_goods
    FROM read_csv($folder || '/invoice_lines.csv', all_varchar = true, header = true)
    WHERE invoice_date::DATE >= $start AND invoice_date::DATE < $end
),
credits AS (
    SELECT coalesce(customer_id, '') AS customer, "date"::DATE AS day, amount::DECIMAL(18, 4) AS amount,
           cost_recovered::DECIMAL(18, 4) AS recovered
    FROM read_csv($folder || '/credits.csv', all_varchar = true, header = true)
    WHERE "date"::DATE >= $start AND "date"::DATE < $end
),
activity_types AS (
    SELECT activity, line, coalesce(pool, '') AS pool, coalesce(unit_minutes::DECIMAL(18, 4), 1) AS minutes, coalesce(driver, '') AS driver
    FROM read_csv($folder || '/activity_types.csv', all_varchar = true, header = true)
),
given_rates AS (
    SELECT activity, valid_from::DATE AS since, rate::DECIMAL(18, 8) AS rate
    FROM read_csv($folder || '/rates.csv', all_varchar = true, header = true)
),
-- cost × minutes / capacity to 8 decimals, half away from zero, in whole numbers: money and quantities carry 4 decimals each
fractions AS (
    SELECT activity, month::DATE AS since,
           (cost::DECIMAL(18, 4) * 10000)::HUGEINT * (minutes * 10000)::HUGEINT * 10000 AS over,
           (practical_capacity::DECIMAL(18, 4) * 10000)::HUGEINT AS under
    FROM read_csv($folder || '/capacity.csv', all_varchar = true, header = true) JOIN activity_types USING (pool)
    WHERE activity NOT IN (SELECT activity FROM given_rates)
),
rates AS (
    FROM given_rates
    UNION ALL
    SELECT activity, since,
           ((over // under + CASE WHEN 2 * (over % under) >= under THEN 1 ELSE 0 END)::DECIMAL(26, 0) * 0.00000001)::DECIMAL(18, 8)
    FROM fractions
),
drivers AS (
    SELECT 'orders' AS driver, customer, min(day) AS day, 1.0::DECIMAL(18, 4) AS quantity FROM lines WHERE order_id <> '' AND gross >= 0 GROUP BY customer, order_id
    UNION ALL SELECT 'invoice_lines', customer, day, 1 FROM lines WHERE gross >= 0
    UNION ALL SELECT 'units', customer, day, quantity FROM lines WHERE quantity > 0
    UNION ALL SELECT 'credits', customer, day, 1 FROM credits
    UNION ALL SELECT 'credits', customer, day, 1 FROM lines WHERE gross < 0  -- returns
),
events AS (
    SELECT activity, customer, day, quantity FROM drivers JOIN activity_types USING (driver)
    UNION ALL
    SELECT activity, coalesce(customer_id, ''), "date"::DATE, quantity::DECIMAL(18, 4)
    FROM read_csv($folder || '/activities.csv', all_varchar = true, header = true)
    WHERE "date"::DATE >= $start AND "date"::DATE < $end
),
priced AS (
    SELECT events.activity, customer, day, quantity, (quantity * rate)::DECIMAL(38, 21) AS cost
    FROM events ASOF LEFT JOIN rates ON events.activity = rates.activity AND events.day >= rates.since
),
ends AS (
    SELECT coalesce(customer_id, '') AS customer, month::DATE AS month, kind, balance::DECIMAL(18, 4) AS balance
    FROM (UNPIVOT (FROM read_csv($folder || '/balances.csv', all_varchar = true, header = true))
          ON receivables, inventory, dedicated_assets INTO NAME kind VALUE balance)
    WHERE month::DATE >= $start AND month::DATE < $end
),
halves AS (  -- each month end counts half in its own month and half in the next; in the first month, wholly
    SELECT customer, month, kind, balance * CASE WHEN month = (SELECT min(month) FROM ends) THEN 1.0 ELSE 0.5 END AS balance FROM ends
    UNION ALL
    SELECT customer, (month + INTERVAL 1 MONTH)::DATE, kind, balance * 0.5 FROM ends WHERE month + INTERVAL 1 MONTH < $end
),
costs AS (
    SELECT level, coalesce(key, '') AS key, "date"::DATE AS day, line, amount::DECIMAL(18, 4) AS amount, avoidable
    FROM read_csv($folder || '/costs.csv', all_varchar = true, header = true)
    WHERE "date"::DATE >= $start AND "date"::DATE < $end
),
entries AS (  -- roll-up, level, owner, day, item, source, amount
    SELECT 'lines' AS rollup, 'customer' AS level, customer AS owner, day, 'sales' AS item, 'trade' AS source, gross::DECIMAL(38, 21) AS amount
    FROM lines WHERE gross >= 0
    UNION ALL SELECT 'lines', 'customer', customer, day, 'discounts_returns_allowances', 'trade', discount - CASE WHEN gross < 0 THEN gross ELSE 0 END FROM lines
    UNION ALL SELECT 'lines', 'customer', customer, day, 'cost_of_goods_sold', 'trade', goods FROM lines
    UNION ALL SELECT 'lines', 'customer', customer, day, 'sales_commissions', 'trade', commission FROM lines
    UNION ALL SELECT 'lines', 'customer', customer, day, 'transportation', 'trade', freight FROM lines
    UNION ALL SELECT 'lines', 'customer', customer, day, 'discounts_returns_allowances', 'credits', amount FROM credits
    UNION ALL SELECT 'lines', 'customer', customer, day, 'cost_of_goods_sold', 'credits', -recovered FROM credits
    UNION ALL SELECT 'lines', 'customer', customer, day, line, activity, cost FROM priced JOIN activity_types USING (activity)
    UNION ALL SELECT 'lines', 'customer', customer, month, 'receivables_charge', kind, balance * $capital_rate::DECIMAL(20, 16) FROM halves WHERE kind = 'receivables'
    UNION ALL SELECT 'lines', 'customer', customer, month, 'inventory_carrying_cost', kind, balance * $inventory_rate::DECIMAL(20, 16) FROM halves WHERE kind = 'inventory'
    UNION ALL SELECT 'lines', 'customer', customer, month, 'dedicated_assets_charge', kind, balance * $capital_rate::DECIMAL(20, 16) FROM halves WHERE kind = 'dedicated_assets'
    UNION ALL SELECT 'lines', level, key, day, line, 'costs', amount FROM costs
    UNION ALL SELECT 'drivers', 'customer', customer, day, driver, '', quantity FROM drivers
    UNION ALL SELECT 'drivers', 'customer', customer, day, 'fixed_cost_of_goods', '', fixed_goods FROM lines
    UNION ALL SELECT 'service quantity', 'customer', customer, day, activity, '', quantity FROM priced
    UNION ALL SELECT 'service amount', 'customer', customer, day, activity, '', cost FROM priced
    UNION ALL SELECT 'capital', 'customer', customer, month, kind, '', balance FROM halves
    UNION ALL SELECT 'capital', 'customer', customer, month, 'capital_charge', kind, balance * $capital_rate::DECIMAL(20, 16) FROM halves
    UNION ALL SELECT 'bookings', level, key, day, coalesce(avoidable, '') || ' ' || line, '', amount FROM costs
),
cells AS (
    SELECT rollup, CASE WHEN level <> 'customer' THEN level WHEN owner IN (FROM customers) THEN 'customer' ELSE 'unassigned' END AS level,
           CASE WHEN level <> 'customer' OR owner IN (FROM customers) THEN owner ELSE '' END AS owner,
           date_trunc('month', day)::DATE AS month, item, source, sum(amount)::DECIMAL(38, 8) AS amount
    FROM entries GROUP BY ALL
)
SELECT rollup, level, owner, month, item, sum(amount) AS amount FROM cells GROUP BY ALL
