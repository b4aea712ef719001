-- The sales cube of the sample, written by hand: customer ('' where blank or unknown), product and month, before returns.
SELECT CASE WHEN customer_id IN (SELECT customer_id FROM read_csv($folder || '/customers.csv', all_varchar = true, header = true))
            THEN customer_id ELSE '' END AS customer_id,
       coalesce(product_id, '') AS product_id, date_trunc('month', invoice_date::DATE)::DATE AS month,
       sum(quantity::DECIMAL(18, 4)) AS quantity, sum(gross_sales::DECIMAL(18, 4)) AS gross_sales,
       sum(discount::DECIMAL(18, 4)) AS discount, sum(cost_of_goods::DECIMAL(18, 4)) AS cost_of_goods
FROM read_csv($folder || '/invoice_lines.csv', all_varchar = true, header = true)
WHERE invoice_date::DATE >= $start AND invoice_date::DATE < $end AND gross_sales::DECIMAL(18, 4) >= 0
GROUP BY ALL
