-- One row per line of reseller sales. The warehouse's DiscountAmount and CommissionPct are floating point: the discount is taken as
-- the difference of two decimals, the commission has all its eight decimals and is rounded by no one before it is summed.
WITH commissions AS (
    SELECT d.EmployeeKey, CAST(p.CommissionPct AS DECIMAL(9, 4)) AS commission_rate
    FROM DimEmployee d
    JOIN oltp_Employee e ON e.NationalIDNumber = d.EmployeeNationalIDAlternateKey
    JOIN oltp_SalesPerson p USING (BusinessEntityID)
)
SELECT
    f.ResellerKey::VARCHAR AS customer_id,
    f.OrderDate::DATE AS invoice_date,
    f.OrderDate::DATE AS order_date,
    f.SalesOrderNumber AS order_id,
    f.SalesOrderLineNumber::VARCHAR AS line_no,
    p.ProductAlternateKey AS product_id,
    f.OrderQuantity AS quantity,
    f.ExtendedAmount AS gross_sales,
    f.ExtendedAmount - f.SalesAmount AS discount,
    f.TotalProductCost AS cost_of_goods,
    f.Freight AS freight,
    CAST(f.SalesAmount AS DECIMAL(18, 4)) * c.commission_rate AS commission
FROM FactResellerSales f
LEFT JOIN DimProduct p USING (ProductKey)
LEFT JOIN commissions c USING (EmployeeKey)
