-- The order days of the sample, written by hand: an order is its customer and number, its day the earliest order date of its lines.
WITH lines AS (
    SELECT customer_id, order_id, coalesce(order_date, invoice_date)::DATE AS day, gross_sales::DECIMAL(18, 4) AS gross
    FROM read_csv($folder || '/invoice_lines.csv', all_varchar = true, header = true)
    WHERE invoice_date::DATE >= $start AND invoice_date::DATE < $end AND gross_sales::DECIMAL(18, 4) > 0
      AND customer_id IN (SELECT customer_id FROM read_csv($folder || '/customers.csv', all_varchar = true, header = true))
),
orders AS (
    SELECT customer_id, min(day) AS day, sum(gross) AS gross FROM lines WHERE order_id IS NOT NULL GROUP BY customer_id, order_id
    UNION ALL
    SELECT customer_id, day, sum(gross) FROM lines WHERE order_id IS NULL GROUP BY customer_id, day
)
SELECT customer_id, day, count(*) AS orders, sum(gross) AS gross_sales FROM orders GROUP BY customer_id, day
