-- What the cube holds of each account in the period and the year before, summed exactly, then floats, since only ranks are made of them.
-- members: customer_id, account_id; {kinds}: the sums to make of the period's rows, `now`
WITH rows AS NOT MATERIALIZED (
    SELECT account_id, month >= $start AS now, c.* FROM cube c JOIN members m ON c.owner = m.customer_id WHERE level = 'customer' AND month < $end
),
whole AS MATERIALIZED (
    SELECT account_id, {kinds}, min(month) FILTER (sales > 0) AS began,
           coalesce(sum(sales) FILTER (month >= $base AND month < $base_end), 0)::DOUBLE AS year_before
    FROM rows GROUP BY account_id
),
months AS (
    SELECT account_id, count_if(sold > 0) AS active_months, sum(sold) FILTER (month - INTERVAL 12 MONTH >= began)::DOUBLE AS same_months
    FROM (SELECT account_id, month, sum(sales) AS sold FROM rows WHERE now AND sales <> 0 GROUP BY ALL) JOIN whole USING (account_id) GROUP BY account_id
)
SELECT whole.* EXCLUDE (began), coalesce(active_months, 0)::DOUBLE AS active_months, coalesce(same_months, 0) AS same_months,
       greatest(0, $months - greatest(0, datediff('month', $base, began)))::DOUBLE AS comparable_months
FROM whole LEFT JOIN months USING (account_id)
