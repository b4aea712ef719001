-- The second way to what rates charge, to pools and to control totals: from the ledger's own tables, by day and without
-- customers. In braces: the statement's sources, what net sales take off, and measures that drive activities.
-- `rolled` holds what was rolled up (line, owner, month, amount), `periods` the months of each control total's period.
CREATE OR REPLACE TEMP TABLE sources AS FROM (VALUES {sources}) sources(number, line, source);

CREATE OR REPLACE TEMP VIEW driven AS  -- each day's quantity of every driver
    SELECT 'invoice_lines' AS driver, invoice_date AS day, CAST(sum(_rows) AS DECIMAL(38, 8)) AS quantity
    FROM books.sums_invoice_lines WHERE _covered AND kind IN {ordered} GROUP BY ALL
    UNION ALL
    SELECT 'units', invoice_date, sum(_units) FROM books.sums_invoice_lines WHERE _covered AND kind = 'sale' GROUP BY ALL
    UNION ALL
    SELECT 'orders', first_day, _rows FROM books.sums_orders
    UNION ALL
    SELECT 'credits', date, sum(_rows) FROM books.sums_credits WHERE _covered GROUP BY ALL
    UNION ALL
    SELECT 'credits', invoice_date, sum(_rows) FROM books.sums_invoice_lines WHERE _covered AND kind = 'return' GROUP BY ALL
    UNION ALL
    SELECT 'net_sales', invoice_date, sum(gross_sales) - sum({discount}) FROM books.sums_invoice_lines
    WHERE _covered GROUP BY ALL
    UNION ALL
    SELECT 'net_sales', date, -sum(amount) FROM books.sums_credits WHERE _covered AND {credited} GROUP BY ALL
    {measures};

CREATE OR REPLACE TEMP VIEW quantities AS
    SELECT activity, day, quantity FROM books.activity_types JOIN driven USING (driver)
    UNION ALL
    SELECT activity, date, sum(quantity) FROM books.sums_activities WHERE _covered GROUP BY ALL;

CREATE OR REPLACE TEMP VIEW prices AS  -- from which day on; a pool's in whole 1e-8, rounded half away from zero
    SELECT activity, valid_from AS day, rate FROM books.rates
    UNION ALL
    SELECT activity, month, CAST(sign(cost) * ((2 * used + capacity) // (2 * capacity)) AS DECIMAL(20)) * 0.00000001
    FROM (
        SELECT activity, month, cost, CAST(practical_capacity * 10000 AS HUGEINT) AS capacity,
               CAST(abs(cost) * 10000 AS HUGEINT) * CAST(coalesce(unit_minutes, 1) * 10000 AS HUGEINT) * 10000 AS used
        FROM books.activity_types JOIN books.capacity USING (pool) WHERE capacity._covered)
    ANTI JOIN books.rates USING (activity);

CREATE OR REPLACE TEMP TABLE charged AS
    SELECT t.line, t.pool, sum(q.quantity * CAST(p.rate AS DECIMAL(18, 8))) AS amount
    FROM quantities q JOIN books.activity_types t USING (activity)
    ASOF JOIN prices p ON p.activity = q.activity AND p.day <= q.day GROUP BY ALL;

CREATE OR REPLACE TEMP MACRO eight(amount) AS coalesce(CAST(amount AS DECIMAL(38, 8)), 0::DECIMAL(38, 8));  -- decimals

SELECT 'ledger + reconciling items = control total' AS "check", t.line AS item, t.period,
       eight(coalesce(r.amount, j.amount)) + eight(i.amount) AS "left", eight(t.amount) AS "right", 1 AS place
FROM books.control_totals t
JOIN (SELECT DISTINCT period FROM periods) USING (period)
LEFT JOIN (SELECT line, period, eight(sum(amount)) AS amount FROM periods JOIN rolled USING (month)
           WHERE owner = '' GROUP BY ALL) r USING (line, period)
LEFT JOIN (SELECT line, period, eight(sum(amount)) AS amount FROM periods JOIN books.joint_costs USING (month)
           GROUP BY ALL) j USING (line, period)
LEFT JOIN (SELECT line, period, sum(amount) AS amount FROM books.reconciliation GROUP BY ALL) i USING (line, period)
UNION ALL
SELECT 'quantity × rate = line', line, 'all', eight((SELECT sum(amount) FROM charged c WHERE c.line = s.line)),
       eight((SELECT sum(amount) FROM rolled r WHERE r.line = s.line)), 1 + min(number)
FROM sources s GROUP BY line HAVING list(source) = ['rates']
UNION ALL
SELECT 'charged + uncharged = booked pool', pool, 'all',
       eight((SELECT sum(amount) FROM charged c WHERE c.pool = p.pool))
       + eight((SELECT sum(amount) FROM rolled JOIN sources USING (line) WHERE source = 'capacity' AND owner = p.pool)),
       eight(sum(cost)), 1000
FROM books.capacity p
WHERE _covered AND pool IN (SELECT pool FROM books.activity_types) AND 'capacity' IN (SELECT source FROM sources)
GROUP BY pool
ORDER BY place, item, period;
