"""What the sample company decided about metrics and sharing gains, the board of its process, and what a customer told it of its own side."""

METRICS = """\
# Measures of the sample company's processes, made by data/generate.py
metrics:
  - {metric: Rush orders for each order, measure: "activity: rush_order", process: order fulfilment, owner: Logistics, unit: rush orders, direction: lower, step: 0.02, moves: [{on: order_processing}]}
  - {metric: Sales of an order, measure: order_value, process: customer relationship management, owner: Sales, unit: USD, direction: higher, step: 20,
     moves: [{on: order_processing}, {on: transportation}]}
  - {metric: Orders a month, measure: orders_per_month, process: demand management, owner: Supply planning, unit: orders, direction: higher, step: 0.5,
     moves: [{on: warehouse_handling, low: -22000, by: -15000, high: -8000, because: steadier days in the warehouse}, {on: order_processing}]}
  - {metric: Cases packed specially for each order, measure: "activity: special_pack", process: manufacturing flow management, owner: Production, unit: cases, direction: lower, step: 1, moves: [{on: special_packaging}]}
  - {metric: Credit note lines for each order, measure: credits_per_order, process: returns management, owner: Quality, unit: lines, direction: lower, step: 0.02, moves: [{on: discounts_returns_allowances}, {on: order_processing}]}
  - {metric: Days outstanding, measure: days_outstanding, process: customer service management, owner: Finance, unit: days, direction: lower, step: 1, moves: [{on: receivables}]}
  - {metric: Delivered on time, measure: "service: delivered on time", process: order fulfilment, owner: Logistics, unit: share, direction: higher, step: 0.01, moves: [{on: discounts_returns_allowances}]}
  - {metric: Forecast error, process: demand management, owner: Supply planning, unit: share, direction: lower, step: 0.01,
     moves: [{on: inventory, low: 20000, by: 35000, high: 60000, because: safety stock of the last planning project}]}
  - {metric: Answered within a day, measure: "service: answered within a day", process: customer service management, unit: share, direction: higher, step: 0.01}
"""
GAIN_SHARING = """\
# How the sample company shares gains of joint improvements, made by data/generate.py
policy: {our_share: 0.55, shortfall: shared, least_gain: 1000, measured_by: "Logistics of both firms, each January"}
projects:
  - {project: Pallets ready for the store, account: C235, baseline: 2024, measured: 2025, years: 4, savings: [{line: special_packaging, driver: units, expected_share: 0.10}],
     our_investment: 9000, their_investment: 6000, their_gain: 4500, their_cost_of_capital: 0.11, their_tax_rate: 0.24}
  - {project: Orders in whole pallets, account: C135, baseline: 2025, years: 3, savings: [{line: warehouse_handling, driver: units, expected_share: 0.12}, {line: transportation, driver: units, expected_share: 0.06}],
     our_investment: 12000, their_investment: 10000, their_gain: 2500, their_cost_of_capital: 0.10, their_tax_rate: 0.25}
"""
PROCESS = """\
sub_process,done,owner,output
S1,2024-11-15,Head of marketing,Target-market brief for 2025
S1,2025-11-14,Head of marketing,Target-market brief for 2026
S2,2025-11-21,Head of sales,Register of nine criteria
S3,2025-12-02,Head of logistics,Menu of ten options with floors and ceilings
S4,2025-12-05,Finance,Nine measures with owners
S5,2024-03-08,Finance,Policy: 55 % of joint gains are ours
O1,2025-12-09,Head of sales,Key accounts and segments for 2026
O2,2025-12-12,Head of sales,Charters of all teams
O3,2025-12-16,Account managers,Fact packs of the key accounts
O4,2025-12-18,Account managers,Register of opportunities
O7,2026-01-16,Finance,Customer profitability report for 2025
"""
# customer, period, line, amount in cents: what Thriftmoor showed in the talks about pallets ready for the store
CUSTOMER_VIEW = [
    ("C235", "2024", "sales", 190_500_000), ("C235", "2024", "store handling", 23_100_000), ("C235", "2024", "distribution centre", 11_800_000),
    ("C235", "2024", "inventory", 14_600_000), ("C235", "2025", "sales", 198_500_000), ("C235", "2025", "store handling", 21_400_000),
    ("C235", "2025", "distribution centre", 12_100_000), ("C235", "2025", "inventory", 13_900_000),
]  # fmt: skip
