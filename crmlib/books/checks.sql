-- What checks and tie-out ask, beside the views of views.sql.
-- Sums of each table by day and what else tells its rows apart (sums_TABLE); `_units` of invoice lines are what was delivered.
{sums}

CREATE TABLE books.sums_orders AS
    SELECT first_day, count(*) AS _rows FROM books.orders WHERE order_id IS NOT NULL AND first_day IS NOT NULL GROUP BY ALL;

CREATE VIEW books.driver_days AS
    SELECT CASE kind WHEN 'return' THEN 'credits' ELSE 'invoice_lines' END AS source, min(invoice_date) AS day
    FROM books.sums_invoice_lines WHERE _covered GROUP BY source, date_trunc('month', invoice_date)
    UNION ALL
    SELECT 'credits', min(date) FROM books.sums_credits WHERE _covered GROUP BY date_trunc('month', date);

CREATE TABLE books.numbers_again AS  -- orders' numbers that several customers have, or one for more than half a year
    SELECT order_id, count(*) > 1 AS _several FROM books.orders WHERE order_id IS NOT NULL AND first_day IS NOT NULL
    GROUP BY order_id HAVING count(*) > 1 OR max(date_diff('day', first_day, last_day)) > 180;

CREATE TABLE books.buyers AS
    SELECT customer_id, sum(gross_sales) FILTER (_covered) AS sales, sum(cost_of_goods) FILTER (_covered) AS cost_of_goods,
           sum(freight) FILTER (_covered) AS freight, sum(commission) FILTER (_covered) AS commission,
           median(abs(gross_sales))::DECIMAL(38, 4) AS _median, max(abs(gross_sales)) AS largest, min(_file) FILTER (_covered) AS _file, min(_row) FILTER (_covered) AS _row
    FROM books.bare_invoice_lines GROUP BY customer_id;
