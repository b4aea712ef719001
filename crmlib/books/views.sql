-- What the checks ask, filled in from the ledger, the statement and the settings: words in braces.
CREATE SCHEMA memory.books;

CREATE TABLE books.lines AS FROM (VALUES {lines}) lines(line, booked, rated);
CREATE TABLE books.drivers AS FROM (VALUES {drivers}) drivers(driver, source);
CREATE VIEW books.months AS
    SELECT CAST(month AS DATE) AS month FROM range(DATE '{start}', DATE '{end}', INTERVAL 1 MONTH) months(month);

CREATE VIEW books.customers AS {customers};
CREATE TABLE books.customer_ids AS SELECT DISTINCT customer_id FROM books.customers;
CREATE TABLE books.owners AS  -- level and key of everyone who can own a cost
    SELECT 'customer' AS level, customer_id AS key FROM books.customers
    UNION SELECT 'parent', parent_id FROM books.customers
    UNION SELECT 'account_type', account_type FROM books.customers
    UNION SELECT 'region', region FROM books.customers
    UNION SELECT 'segment', segment FROM books.customers
    UNION SELECT 'segment', unnest([{segments}]);
{tables}

CREATE VIEW books.driver_days AS
    SELECT 'invoice_lines' AS source, min(invoice_date) AS day FROM books.invoice_lines WHERE _covered AND kind <> 'return'
    GROUP BY date_trunc('month', invoice_date)
    UNION ALL
    SELECT 'credits', min(date) FROM books.credits WHERE _covered GROUP BY date_trunc('month', date)
    UNION ALL
    SELECT 'credits', min(invoice_date) FROM books.invoice_lines WHERE _covered AND kind = 'return'
    GROUP BY date_trunc('month', invoice_date);
CREATE VIEW books.first_rates AS SELECT activity, min(valid_from) AS first_day FROM books.rates GROUP BY activity;
CREATE VIEW books.pool_months AS SELECT DISTINCT pool, month FROM books.capacity WHERE pool IS NOT NULL;
