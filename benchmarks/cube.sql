-- The cube as a good engineer would write it by hand for this one ledger: the same exact decimals, each cell rounded once, half-even.
-- A change of rates falls on the first of a month here, so that each month has one rate.
CREATE MACRO month_of(d) AS make_date(year(d), month(d), 1);
CREATE MACRO exactly(p) AS CASE WHEN abs(p::DECIMAL(38, 8)::DECIMAL(38, 21) - p::DECIMAL(38, 21)) = 0.000000005::DECIMAL(38, 21)
    AND (p::DECIMAL(38, 8) * 100000000)::DECIMAL(38, 0) % 2 <> 0 THEN p::DECIMAL(38, 8) - sign(p) * 0.00000001::DECIMAL(38, 8) ELSE p::DECIMAL(38, 8) END;
-- division of 128 bits is slow: round in 64 where that is proven right
CREATE MACRO cell(p) AS CASE WHEN abs(try_cast(p AS DECIMAL(18, 12))::DECIMAL(18, 8)::DECIMAL(18, 12) - try_cast(p AS DECIMAL(18, 12))) < 0.000000005::DECIMAL(18, 12)
    THEN try_cast(p AS DECIMAL(18, 12))::DECIMAL(18, 8)::DECIMAL(38, 8) ELSE exactly(p) END;
CREATE MACRO product(b, h) AS (b::DECIMAL(20, 4) * h::DECIMAL(20, 17))::DECIMAL(38, 21);
CREATE MACRO guess(b, h) AS (b::DOUBLE * h::DOUBLE)::DECIMAL(38, 8);
CREATE MACRO charge(b, h) AS CASE WHEN abs(guess(b, h)::DECIMAL(38, 21) - product(b, h)) < 0.000000005::DECIMAL(38, 21) THEN guess(b, h) ELSE exactly(product(b, h)) END;

COPY (
    WITH rates_by_month AS (
        SELECT m.month,
               max(rate) FILTER (activity = 'sales orders') AS orders, max(rate) FILTER (activity = 'commission') AS commission,
               max(rate) FILTER (activity = 'pallets') AS pallets, max(rate) FILTER (activity = 'cases') AS cases,
               max(rate) FILTER (activity = 'special packs') AS packs, any_value(o.rate_per_line) AS lines
        FROM (SELECT DISTINCT month FROM capacity) m
        ASOF JOIN (SELECT DISTINCT valid_from FROM rates) v ON m.month >= v.valid_from
        JOIN rates USING (valid_from)
        JOIN office_rates o ON o.month = m.month
        GROUP BY m.month
    ),
    trade AS (
        SELECT customer_id, month_of(invoice_date) AS month,
               sum(gross_sales) FILTER (gross_sales >= 0) AS sales, sum(-gross_sales) FILTER (gross_sales < 0) AS returns, sum(discount) AS discount,
               sum(cost_of_goods) AS cost_of_goods, sum(freight) AS freight, sum(quantity) FILTER (quantity > 0) AS units, count(*) AS lines
        FROM invoice_lines WHERE invoice_date >= DATE '2023-01-01' AND invoice_date < DATE '2026-01-01' GROUP BY ALL
    ),
    order_counts AS (
        SELECT customer_id, month_of(day) AS month, count(*) AS orders
        FROM (SELECT customer_id, order_id, min(invoice_date) AS day FROM invoice_lines
              WHERE invoice_date >= DATE '2023-01-01' AND invoice_date < DATE '2026-01-01' AND order_id IS NOT NULL GROUP BY ALL) GROUP BY ALL
    ),
    notes AS (
        SELECT customer_id, month_of(date) AS month, count(*) AS credits, sum(amount) AS credited, sum(cost_recovered) AS recovered FROM credits
        WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' GROUP BY ALL
    ),
    served AS (
        SELECT customer_id, month_of(date) AS month, sum(quantity) FILTER (activity = 'pallets') AS pallets,
               sum(quantity) FILTER (activity = 'cases') AS cases, sum(quantity) FILTER (activity = 'special packs') AS packs
        FROM activities WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' GROUP BY ALL
    ),
    booked AS (
        SELECT key AS customer_id, month_of(date) AS month, sum(amount) FILTER (line = 'promotion_and_slotting') AS promotion,
               sum(amount) FILTER (line = 'advertising') AS advertising, sum(amount) FILTER (line = 'bad_debts') AS bad_debts
        FROM costs WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' AND level = 'customer' GROUP BY ALL
    ),
    held AS (
        SELECT customer_id, month, sum(receivables) AS receivables, sum(inventory) AS inventory
        FROM (SELECT customer_id, month, receivables * CASE WHEN month = DATE '2023-01-01' THEN 2 ELSE 1 END AS receivables,
                     inventory * CASE WHEN month = DATE '2023-01-01' THEN 2 ELSE 1 END AS inventory FROM balances
              UNION ALL
              SELECT customer_id, (month + INTERVAL 1 MONTH)::DATE, receivables, inventory FROM balances WHERE month < DATE '2025-12-01')
        GROUP BY ALL
    ),
    traded AS (
        SELECT coalesce(customer_id, '') AS owner, * FROM trade
    ),
    joined AS (
        SELECT coalesce(t.owner, n.owner, s.owner, b.owner, h.owner) AS owner, coalesce(t.month, n.month, s.month, b.month, h.month) AS month,
               COLUMNS(c -> c NOT IN ('owner', 'month', 'customer_id'))
        FROM (SELECT traded.*, orders FROM traded LEFT JOIN order_counts o ON coalesce(o.customer_id, '') = owner AND o.month = traded.month) t
        FULL JOIN (SELECT coalesce(customer_id, '') AS owner, * FROM notes) n ON n.owner = t.owner AND n.month = t.month
        FULL JOIN (SELECT coalesce(customer_id, '') AS owner, * FROM served) s ON s.owner = coalesce(t.owner, n.owner) AND s.month = coalesce(t.month, n.month)
        FULL JOIN (SELECT coalesce(customer_id, '') AS owner, * FROM booked) b
            ON b.owner = coalesce(t.owner, n.owner, s.owner) AND b.month = coalesce(t.month, n.month, s.month)
        FULL JOIN (SELECT coalesce(customer_id, '') AS owner, * FROM held) h
            ON h.owner = coalesce(t.owner, n.owner, s.owner, b.owner) AND h.month = coalesce(t.month, n.month, s.month, b.month)
    ),
    amounts AS (
        SELECT c.customer_id AS known, owner, j.month, coalesce(sales, 0) AS sales,
               coalesce(discount, 0) + coalesce(returns, 0) + coalesce(credited, 0) AS discounts, coalesce(cost_of_goods, 0) - coalesce(recovered, 0) AS goods,
               (coalesce(sales, 0) - coalesce(discount, 0) - coalesce(returns, 0) - coalesce(credited, 0))::DECIMAL(18, 4) * commission AS commissions,
               coalesce(freight, 0) AS freight,
               coalesce(j.pallets, 0)::DECIMAL(18, 4) * r.pallets + coalesce(j.cases, 0)::DECIMAL(18, 4) * r.cases AS handling,
               coalesce(j.packs, 0)::DECIMAL(18, 4) * r.packs AS packaging,
               coalesce(j.orders, 0)::DECIMAL(18, 4) * r.orders + coalesce(j.lines, 0)::DECIMAL(18, 4) * r.lines AS processing,
               coalesce(promotion, 0) AS promotion, coalesce(advertising, 0) AS advertising, coalesce(bad_debts, 0) AS bad_debts,
               coalesce(units, 0) AS units, coalesce(j.lines, 0)::DECIMAL(18, 4) AS lines, coalesce(j.orders, 0)::DECIMAL(18, 4) AS orders,
               coalesce(credits, 0)::DECIMAL(18, 4) AS credits, coalesce(j.cases, 0) AS cases, coalesce(j.pallets, 0) AS pallets, coalesce(j.packs, 0) AS packs,
               coalesce(receivables, 0) AS receivables, coalesce(inventory, 0) AS inventory
        FROM joined j JOIN rates_by_month r USING (month) LEFT JOIN customers c ON c.customer_id = j.owner
    ),
    owned AS (
        SELECT 'customer' AS level, owner, * EXCLUDE (owner, known) FROM amounts WHERE known IS NOT NULL
        UNION ALL
        SELECT 'unassigned', '', month, sum(COLUMNS(* EXCLUDE (owner, known, month))) FROM amounts WHERE known IS NULL GROUP BY month
        UNION ALL BY NAME
        SELECT level, key AS owner, month_of(date) AS month, sum(amount) FILTER (line = 'promotion_and_slotting') AS promotion,
               sum(amount) FILTER (line = 'advertising') AS advertising, sum(amount) FILTER (line = 'bad_debts') AS bad_debts
        FROM costs WHERE date >= DATE '2023-01-01' AND date < DATE '2026-01-01' AND level <> 'customer' GROUP BY ALL
    )
    SELECT level, owner, month, coalesce(sales, 0)::DECIMAL(38, 8) AS sales, coalesce(discounts, 0)::DECIMAL(38, 8) AS discounts_returns_allowances,
           coalesce(goods, 0)::DECIMAL(38, 8) AS cost_of_goods_sold, cell(coalesce(commissions, 0)) AS sales_commissions,
           coalesce(freight, 0)::DECIMAL(38, 8) AS transportation, cell(coalesce(handling, 0)) AS warehouse_handling,
           cell(coalesce(packaging, 0)) AS special_packaging, cell(coalesce(processing, 0)) AS order_processing,
           charge(coalesce(receivables, 0), 0.005) AS receivables_charge, coalesce(promotion, 0)::DECIMAL(38, 8) AS promotion_and_slotting,
           coalesce(advertising, 0)::DECIMAL(38, 8) AS advertising, coalesce(bad_debts, 0)::DECIMAL(38, 8) AS bad_debts,
           charge(coalesce(inventory, 0), 0.00916666666666665) AS inventory_carrying_cost, coalesce(units, 0)::DECIMAL(38, 8) AS driver_units,
           coalesce(lines, 0)::DECIMAL(38, 8) AS driver_invoice_lines, coalesce(orders, 0)::DECIMAL(38, 8) AS driver_orders,
           coalesce(credits, 0)::DECIMAL(38, 8) AS driver_credits, coalesce(cases, 0)::DECIMAL(38, 8) AS driver_cases,
           coalesce(pallets, 0)::DECIMAL(38, 8) AS driver_pallets, coalesce(packs, 0)::DECIMAL(38, 8) AS "driver_special packs",
           cell(coalesce(processing, 0)) AS charged_office, cell(coalesce(handling, 0)) AS charged_warehouse,
           charge(coalesce(receivables, 0), 0.005) + charge(coalesce(inventory, 0), 0.005) AS capital_charge
    FROM owned
) TO '{out}' (FORMAT parquet)
