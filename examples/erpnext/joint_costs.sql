-- The general ledger's accounts that belong to no customer, by month.
SELECT
    date_trunc('month', day(posting_date))::DATE AS month,
    account AS line,
    sum(money(debit) - money(credit)) AS amount
FROM "GL Entry"
WHERE is_cancelled = '0' AND account IN ('Office Rent - MT', 'Administrative Expenses - MT')
GROUP BY ALL
ORDER BY ALL
