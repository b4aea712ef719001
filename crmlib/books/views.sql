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
    UNION SELECT 'segment', segment FROM (VALUES {segments}) segments(segment);
{tables}

-- Sums of each table by day and what else tells its rows apart (sums_TABLE); `_units` of invoice lines are what was delivered.
{sums}

CREATE TABLE books.orders AS  -- documents by their number, or what one customer bought on a day; `day` and `gross` of lines that order anything
    SELECT customer_id, order_id, CASE WHEN order_id IS NULL THEN coalesce(order_date, invoice_date) END AS alone,
           min(invoice_date) FILTER (kind IN {ordered}) AS first_day, max(invoice_date) FILTER (kind IN {ordered}) AS last_day,
           min(coalesce(order_date, invoice_date)) FILTER (gross_sales > 0) AS day, sum(gross_sales) FILTER (gross_sales > 0) AS gross
    FROM books.invoice_lines WHERE _covered GROUP BY ALL;
CREATE TABLE books.sums_orders AS
    SELECT first_day, count(*) AS _rows FROM books.orders WHERE order_id IS NOT NULL AND first_day IS NOT NULL GROUP BY ALL;

CREATE VIEW books.driver_days AS
    SELECT CASE kind WHEN 'return' THEN 'credits' ELSE 'invoice_lines' END AS source, min(invoice_date) AS day
    FROM books.sums_invoice_lines WHERE _covered GROUP BY source, date_trunc('month', invoice_date)
    UNION ALL
    SELECT 'credits', min(date) FROM books.sums_credits WHERE _covered GROUP BY date_trunc('month', date);
CREATE VIEW books.first_rates AS SELECT activity, min(valid_from) AS first_day FROM books.rates GROUP BY activity;
CREATE VIEW books.pool_months AS SELECT DISTINCT pool, month FROM books.capacity WHERE pool IS NOT NULL;
