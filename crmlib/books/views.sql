-- What the checks ask, filled in from the ledger, the statement and the settings: words in braces.
CREATE SCHEMA memory.books;

CREATE TABLE books.lines AS FROM (VALUES {lines}) lines(line, booked, rated);
CREATE TABLE books.drivers AS FROM (VALUES {drivers}) drivers(driver, source);
CREATE VIEW books.months AS
    SELECT CAST(month AS DATE) AS month FROM range(DATE '{start}', DATE '{end}', INTERVAL 1 MONTH) months(month);

{customers}
CREATE TABLE books.customer_ids AS SELECT DISTINCT customer_id FROM books.customers;
CREATE TABLE books.owners AS  -- level and key of everyone who can own a cost
    SELECT 'customer' AS level, customer_id AS key FROM books.customers
    UNION SELECT 'parent', parent_id FROM books.customers
    UNION SELECT 'account_type', account_type FROM books.customers
    UNION SELECT 'region', region FROM books.customers
    UNION SELECT 'segment', segment FROM books.customers
    UNION SELECT 'segment', segment FROM (VALUES {segments}) segments(segment);
{tables}

CREATE TABLE books.orders AS  -- documents by their number, or what one customer bought on a day; `day` and `gross` of lines that order anything
    SELECT customer_id, order_id, CASE WHEN order_id IS NULL THEN coalesce(order_date, invoice_date) END AS alone,
           min(CASE WHEN kind IN {ordered} THEN invoice_date END) AS first_day, max(CASE WHEN kind IN {ordered} THEN invoice_date END) AS last_day,
           min(CASE WHEN gross_sales > 0 THEN coalesce(order_date, invoice_date) END) AS day, sum(CASE WHEN gross_sales > 0 THEN gross_sales END) AS gross
    FROM books.bare_invoice_lines WHERE _covered GROUP BY ALL;

CREATE VIEW books.first_rates AS SELECT activity, min(valid_from) AS first_day FROM books.rates GROUP BY activity;
CREATE VIEW books.pool_months AS SELECT DISTINCT pool, month FROM books.capacity WHERE pool IS NOT NULL;
