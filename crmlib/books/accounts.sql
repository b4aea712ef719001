-- What the cube holds of each account in a period, summed exactly, then floats, since only ranks are made of them.
-- members: account_id of customers that belong to another; {kinds}: the sums to make
SELECT coalesce(m.account_id, owner) AS account_id, {kinds}
FROM cube LEFT JOIN members m ON owner = m.customer_id
WHERE level = 'customer' AND month >= $start AND month < $end
GROUP BY ALL
