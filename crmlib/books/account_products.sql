-- The share of its largest product in what each account bought in the period.
SELECT account_id, max(bought)::DOUBLE / sum(bought)::DOUBLE AS product_concentration_share
FROM (
    SELECT coalesce(m.account_id, s.customer_id) AS account_id, s.product_id, sum(s.gross_sales) AS bought
    FROM sales s LEFT JOIN members m ON s.customer_id = m.customer_id
    WHERE s.customer_id <> '' AND s.month >= $start AND s.month < $end GROUP BY ALL HAVING bought > 0
)
GROUP BY account_id
