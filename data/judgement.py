"""What the sample company decided in workshops: strategy, ratings by several raters, opportunities, criteria and segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from company import MANAGERS
from offer import write_offer
from worth import GAIN_SHARING, METRICS, PROCESS

HERE = Path(__file__).resolve().parent
RULES = HERE.parent / "crmlib" / "declared"
RATED = 120  # customers by sales, and those whom the sales force named
NAMED = ("C235", "C266", "C301", "C101", "C102", "00123")
DATES = ("2024-11-29", "2025-11-28")
# criterion: mean rating, how far true positions and raters spread, share that nobody could tell, second rater
CRITERIA = {
    "growth_potential": (3.0, 0.9, 0.5, 0.06, "Marketing"),
    "competitive_position": (3.2, 0.8, 0.6, 0.05, "Marketing"),
    "market_knowledge": (2.8, 0.9, 0.9, 0.15, "Product management"),
    "strategy_fit": (3.1, 0.8, 0.7, 0.10, "Management"),
    "technology": (2.9, 0.8, 0.6, 0.20, "Logistics"),
}
# what everyone in the house agrees on, beside the mean
KNOWN = {("C301", "growth_potential"): 1.8, ("C301", "strategy_fit"): 1.2, ("C301", "competitive_position"): 0.8}
KNOWN |= {("C266", "growth_potential"): -1.4, ("C266", "competitive_position"): -1.0}
KNOWN |= {("C235", "growth_potential"): -0.6, ("C235", "strategy_fit"): -1.5, ("C235", "market_knowledge"): 2.0}
STRATEGY = """\
# Strategy of the sample company, made by data/generate.py
goals:
  - {text: Sales grow by 5 % a year, measure: growth_share, target: 0.05}
  - {text: Wholesalers keep at least 15 % of sales as net margin, measure: net_margin_share, target: 0.15, by: account_type, group: Wholesalers}
markets:
  - {by: account_type, group: Food service, stance: grow, because: eating out grows and no competitor owns it}
  - {by: account_type, group: Department stores, stance: hold, because: personal care shows best there}
  - {by: account_type, group: Grocery chains, stance: hold, because: volume that keeps the plant busy}
  - {by: account_type, group: Discount stores, stance: shrink, because: prices fall and demands on service rise}
  - {by: region, group: West, stance: grow, because: the new warehouse has room}
constraints:
  - No second plant before 2028
  - At most 25 key accounts, as each needs a team
"""
OPPORTUNITIES = """\
customer_id,kind,item,expected,low,high,ease,owner,evidence,status
C235,cost to serve,Special packaging,12000,8000,20000,easy,Logistics,"store-ready pallets were tried in two stores in October, and the customer would take them everywhere",open
C301,other,Second kitchen,4000,1500,9000,medium,A. Bianchi,the customer opens a second kitchen in spring and has asked for a price list,open
C135,mix,,0,0,0,hard,Sales,"the chain sells what its shoppers ask for; its buyer has said no twice",dropped
"""
TEAMS = """\
function,member,hours_month,accounts,role
sales,D. Whitlock,80,C265;C267;C270;C275;C282;C293,lead
sales,M. Lindqvist,130,C135;C150;C154;C160;C172;Core,lead
sales,J. Tanaka,130,C187;C192;C200;C208;C218;C234;Mend,lead
sales,R. Okafor,110,C110;C114;Core,lead
sales,S. Moreau,110,C242;C249;C256,lead
sales,A. Bianchi,110,Develop;Lost;Silent,lead
sales,Inside sales,220,Serve simply;Change terms;Inactive,orders and offers by telephone
marketing,P. Novak,80,Key account;Develop,programmes and promotions
marketing,L. Brandt,40,Core;Serve simply;Mend;Silent;Change terms;Inactive;Lost,programmes
research and development,G. Sato,60,Key account,packages and samples
logistics,T. Vasquez,70,C108;C110;C114;C135;C187;C192;C200;C218;C234;C242;C249;C256;C265;C270;C282,deliveries
logistics,Dispatch,140,Develop;Core;Serve simply;Mend;Silent;Change terms;Inactive;Lost,deliveries
production,H. Eriksen,90,Key account;Develop;Core,forecast and capacity
finance,K. Amundsen,70,Key account,profitability of accounts
finance,Credit desk,130,Develop;Core;Serve simply;Mend;Silent;Change terms;Inactive;Lost,credit and payment
"""
PLAN = """\
id,account,segment,process,task,owner,start,end,depends_on,done
pallets,C135,,manufacturing flow management,Packing line set up for pallets in shop order,H. Eriksen,2025-09-01,2025-10-31,,2025-11-07
windows,C135,,order fulfilment,Windows at the ten largest stores agreed with the carrier,T. Vasquez,2025-10-01,2025-11-28,,
ramp,C135,,order fulfilment,All orders in booked windows,T. Vasquez,2025-12-01,2026-01-30,windows;pallets,
forecast,C135,,demand management,Twelve weeks of forecast shared each month,M. Lindqvist,2025-10-15,2025-12-19,,2025-12-12
stock,C265,,demand management,Reserved stock held apart from other stock,H. Eriksen,2025-11-03,2026-01-16,,
fill,C265,,order fulfilment,Orders picked from the reserved stock,Dispatch,2026-01-19,2026-02-27,stock,
fibre,,,supplier relationship management,Second source of certified fibre under contract,K. Amundsen,2025-11-03,2026-02-27,,
label,,,product development and commercialisation,Own label ready for trial,G. Sato,2026-03-02,2026-04-30,fibre,
trial,C265,,product development and commercialisation,Trial of the own label in two depots,D. Whitlock,2026-05-04,2026-06-26,label;fill,
returns,C235,,returns management,Reasons of returns recorded at the dock,Dispatch,2025-10-01,2025-11-14,,2025-11-12
desk,,Serve simply,customer service management,Order desk answers from the portal,Inside sales,2025-11-03,2026-01-30,,
invoice,,Serve simply,customer service management,Electronic invoices for all,Credit desk,2025-12-01,2026-02-13,desk,
"""


CAPITAL = """\
# What the sample company employs, by its balance sheets, and how far 2026 may lie from today; made by data/generate.py
cost_of_capital:
  equity: {cost: 0.12, share: 0.60}
  debt: {cost: 0.06, share: 0.40}    # before tax
assets:
  - {asset: "Land, buildings and plant", branch: fixed assets, amount: {2023-01: 4900000, 2024-01: 5050000, 2025-01: 5200000}, includes: dedicated_assets, owner: Production}
  - {asset: Stock of goods and materials, branch: inventory, amount: {2023-01: 2700000, 2024-01: 2800000, 2025-01: 3000000}, includes: inventory, owner: Logistics}
  - {asset: Cash and prepayments, branch: other current assets, amount: 650000, owner: Finance}
  - {asset: Accounts payable, branch: other current assets, amount: -1600000, owner: Finance}
ranges:
  - {driver: volume, low: -0.04, expected: 0.02, high: 0.06, because: quarters of the last two years lay so far from the year before}
  - {driver: price, low: -0.015, expected: 0, high: 0.015, because: two chains tender again}
  - {driver: cost of goods, low: -0.02, expected: 0.005, high: 0.03, because: resin and freight contracts end in June}
  - {driver: expenses, low: -0.02, expected: 0.01, high: 0.035, because: wage agreement}
  - {driver: inventory, low: -0.15, high: 0.05, because: the new planning may need fewer weeks of stock}
  - {driver: other current assets, low: -0.10, high: 0.10, shape: normal, because: days outstanding of the last two years}
  - {driver: fixed assets, low: 0, expected: 0.02, high: 0.06, because: second palletiser under discussion}
  - {driver: cost of capital, low: -0.08, high: 0.08, shape: uniform, because: half a point of interest either way}
correlations:
  - {between: [price, cost of goods], value: 0.5}   # a part of dearer goods can be passed on
  - {between: [volume, price], value: -0.3}
  - {between: [volume, inventory], value: 0.4}
"""


def write_judgement(folder: Path, customers: pd.DataFrame, lines: pd.DataFrame, seed: int) -> None:
    """Write every judgement file into a folder, the same for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strategy.yml").write_text(STRATEGY, encoding="utf-8")
    (folder / "opportunities.csv").write_text(OPPORTUNITIES, encoding="utf-8")
    (folder / "capital.yml").write_text(CAPITAL, encoding="utf-8")
    (folder / "metrics.yml").write_text(METRICS, encoding="utf-8")
    (folder / "gain_sharing.yml").write_text(GAIN_SHARING, encoding="utf-8")
    (folder / "teams.csv").write_text(TEAMS, encoding="utf-8")
    (folder / "plan.csv").write_text(PLAN, encoding="utf-8")
    (folder / "process.csv").write_text(PROCESS, encoding="utf-8")
    for name in ("criteria.yml", "segments.yml", "functions.yml"):
        (folder / name).write_text((RULES / name).read_text(encoding="utf-8"), encoding="utf-8")
    write_offer(folder, (RULES / "agreements.yml").read_text(encoding="utf-8"))
    ratings = make_ratings(customers, lines, np.random.default_rng([seed, 12]))
    ratings.to_csv(folder / "ratings.csv", index=False, lineterminator="\n")


def make_ratings(customers: pd.DataFrame, lines: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Two rounds, two raters for each criterion: the account's manager and a function; some could not tell."""
    largest = lines.assign(amount=lines["gross_sales"].astype(float)).groupby("customer_id")["amount"].sum()
    largest = largest[largest.index.isin(customers["customer_id"])].sort_values(ascending=False, kind="stable")
    chosen = sorted({*largest.index[:RATED], *[c for c in NAMED if c in largest]})
    manager = customers.set_index("customer_id").get("account_manager", pd.Series(dtype=object)).reindex(chosen)
    managers = manager.replace("", np.nan).fillna(MANAGERS[0]).to_numpy()
    return pd.concat([rated(criterion, chosen, managers, rng) for criterion in CRITERIA], ignore_index=True)


def rated(criterion: str, chosen: list[str], managers: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """The ratings on one criterion; the second round follows the first, and a blank says that the rater could not tell."""
    mean, spread, noise, unknown, function = CRITERIA[criterion]
    told = np.array([KNOWN.get((customer, criterion), np.nan) for customer in chosen])
    true = mean + np.where(np.isnan(told), rng.normal(0, spread, len(chosen)), told)
    parts = []
    for date in DATES:
        for rater in (managers, np.full(len(chosen), function)):
            given = np.clip(np.rint(true + rng.normal(0, noise, len(chosen))), 1, 5).astype(int).astype(str)
            blank = rng.random(len(chosen)) < unknown
            rows = {"customer_id": chosen, "criterion": criterion, "rater": rater, "date": date}
            parts.append(pd.DataFrame({**rows, "rating": np.where(blank, "", given)}))
    return pd.concat(parts, ignore_index=True)
