"""What the sample company decided about metrics and about sharing gains: metrics.yml and gain_sharing.yml."""

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
