-- One row per reseller. The territory's country is the region; the seller of the last order is the account manager.
WITH last_order AS (
    SELECT ResellerKey, arg_max(EmployeeKey, (OrderDate, SalesOrderNumber)) AS EmployeeKey, min(OrderDate) AS first_order
    FROM FactResellerSales
    GROUP BY ResellerKey
)
SELECT
    r.ResellerKey::VARCHAR AS customer_id,
    r.ResellerName AS customer_name,
    r.BusinessType AS account_type,
    t.SalesTerritoryCountry AS region,
    o.first_order::DATE AS customer_since,
    r.BankName AS bank,
    r.YearOpened::VARCHAR AS year_opened,
    e.FirstName || ' ' || e.LastName AS account_manager
FROM DimReseller r
LEFT JOIN DimGeography g USING (GeographyKey)
LEFT JOIN DimSalesTerritory t USING (SalesTerritoryKey)
LEFT JOIN last_order o USING (ResellerKey)
LEFT JOIN DimEmployee e USING (EmployeeKey)
ORDER BY r.ResellerKey
