-- The customers of the report, one row each.
SELECT Name AS customer_id, Name AS customer_name
FROM "Sales by Customer Detail"
WHERE Name <> ''
GROUP BY Name
ORDER BY Name
