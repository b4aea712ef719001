-- DimProduct is a history with one row per change of price or cost: the last row of each product.
SELECT
    p.ProductAlternateKey AS product_id,
    p.EnglishProductName AS product_name,
    c.EnglishProductCategoryName AS product_family
FROM DimProduct p
LEFT JOIN DimProductSubcategory s USING (ProductSubcategoryKey)
LEFT JOIN DimProductCategory c USING (ProductCategoryKey)
QUALIFY row_number() OVER (PARTITION BY p.ProductAlternateKey ORDER BY p.StartDate DESC, p.ProductKey DESC) = 1
ORDER BY p.ProductAlternateKey
