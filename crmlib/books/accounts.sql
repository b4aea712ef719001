-- What the cube holds of each account in the period and the year before, summed exactly, then floats, since only ranks are made of them.
-- members: customer_id, account_id; {kinds}: the sums to make
WITH rows AS NOT MATERIALIZED (
    SELECT m.account_id, c.* FROM cube c JOIN members m ON c.owner = m.customer_id WHERE c.level = 'customer' AND c.month < $end
),
past AS (
    SELECT account_id, min(month) FILTER (sales > 0) AS began, sum(sales) FILTER (month >= $base AND month < $base_end) AS base
    FROM rows GROUP BY account_id
)
SELECT account_id, {kinds}, coalesce(any_value(base), 0)::DOUBLE AS year_before,
       count(DISTINCT month) FILTER (sales > 0)::DOUBLE AS active_months,
       coalesce(sum(sales) FILTER (month - INTERVAL 12 MONTH >= began), 0)::DOUBLE AS same_months,
       greatest(0, $months - greatest(0, datediff('month', $base, any_value(began))))::DOUBLE AS comparable_months
FROM (SELECT DISTINCT account_id FROM members) LEFT JOIN past USING (account_id)
     LEFT JOIN (FROM rows WHERE month >= $start) USING (account_id)
GROUP BY account_id ORDER BY account_id
