-- What only checks ask of invoice lines (views.sql has the rest).
CREATE TABLE books.numbers_again AS  -- orders' numbers that several customers have, or one for more than half a year
    SELECT order_id, count(*) > 1 AS _several FROM books.orders WHERE order_id IS NOT NULL AND first_day IS NOT NULL
    GROUP BY order_id HAVING count(*) > 1 OR max(date_diff('day', first_day, last_day)) > 180;

CREATE TABLE books.buyers AS
    SELECT customer_id, sum(gross_sales) FILTER (_covered) AS sales, sum(cost_of_goods) FILTER (_covered) AS cost_of_goods,
           median(abs(gross_sales))::DECIMAL(38, 4) AS _median, max(abs(gross_sales)) AS largest, min(_file) FILTER (_covered) AS _file, min(_row) FILTER (_covered) AS _row
    FROM books.invoice_lines GROUP BY customer_id;
