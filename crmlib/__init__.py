"""The CRM workbook's shared module: from a company's books to the profitability of each customer and segment.

Read it in the order in which the numbers flow: `engagement` (settings and periods), `ledger` (the books, typed),
`intake` (what is wrong with them), `statement` (the lines of the report), `profitability` (roll-ups, tie-out and
measures), `exhibits` (tables and charts), `study` (exercises and textbook cases), `reports` (what comes out),
`runner` and `cli`.
"""

__version__ = "0.1.0"
