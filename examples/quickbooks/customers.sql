-- The customers of the report, one row each, as its headings name them.
SELECT customer AS customer_id, customer AS customer_name
FROM "Sales by Customer Detail"
WHERE customer <> ''
GROUP BY customer
ORDER BY customer
