"""Generate the sample company's books: `python data/generate.py [--seed 0] [--out data/sample]`.

Tallow & Reed is a fictional manufacturer of consumer goods that sells to other businesses (`company.py`). The stories
planted in its books are measured from the written files by `stories.py`, which also writes README.md.
They are tuned for seed 0; another seed gives another company of the same kind, whose stories may be weaker.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import stories
from company import MONTHS, REGIONS, cents, make_customers, make_goods
from judgement import write_judgement
from sales import MEASURES, booked, by_month, by_quarter, habit, make_credits, make_lines, ordered
from worth import CUSTOMER_VIEW

HERE = Path(__file__).resolve().parent
Tables = dict[str, pd.DataFrame]
YEAR = np.arange(36) // 12

# activity, line, pool, unit, units of the pool that one uses, driver
ACTIVITIES = [
    ("order_entry", "order_processing", "customer service", "order", "26", "orders"),
    ("credit_check", "order_processing", "customer service", "order", "8", "orders"),
    ("inquiry", "order_processing", "customer service", "call or mail", "16", ""),
    ("rush_order", "order_processing", "customer service", "rush order", "75", ""),
    ("credit_note", "order_processing", "customer service", "credit note line", "40", "credits"),
    ("line_picking", "warehouse_handling", "warehouse", "invoice line", "0.22", "invoice_lines"),
    ("load_and_ship", "warehouse_handling", "warehouse", "order", "0.6", "orders"),
    ("case_handling", "warehouse_handling", "warehouse", "case", "0.018", "units"),
    ("special_pack", "special_packaging", "", "case packed", "", ""),
]
# the warehouse's avoidable cost of an hour, by which its rates go (one wage agreement begins on a 16th)
HOURLY = {"2023-01-01": 30.0, "2024-01-01": 31.0, "2024-07-16": 32.4, "2025-01-01": 33.0}
PACKING = {"2023-01-01": 2.10, "2024-01-01": 2.20, "2025-01-01": 2.35}
# pool: what one person can do in a month (minutes, hours), and costs in cents; customer service has no other rates
POOLS = {"customer service": (8_400, 660_000), "warehouse": (145, 475_000)}
# a year's cost of each account type's own sales force, and of its advertising
TYPE_COSTS = {
    "Department stores": (65_000, 65_000),
    "Grocery chains": (80_000, 70_000),
    "Drug stores": (50_000, 40_000),
    "Discount stores": (32_000, 20_000),
    "Wholesalers": (32_000, 8_000),
    "Food service": (25_000, 6_000),
}
# monthly amount in 2023, and how a full-cost system would spread it
JOINT = {
    "fixed manufacturing": (54_000, "cost_of_goods"),
    "head office": (12_000, "net_sales"),
    "information systems": (9_000, "orders"),
    "product development": (9_000, "units"),
    "distribution centre lease": (14_000, "units"),
}
# measure of service: share agreed, share given; whom it fails (place in the list) and how far
SERVICE = {
    "delivered on time": (0.95, 0.972), "delivered in full": (0.97, 0.985), "free of damage": (0.99, 0.998), "invoiced without error": (0.98, 0.990),
    "answered within a day": (0.90, 0.940),
}  # fmt: skip
SERVED_BELOW = {34: ("delivered on time", 0.87), 164: ("delivered in full", 0.90)}
RECONCILING = [
    (
        "sales",
        "2024Q4",
        4_825_000,
        "consignment sale entered by hand in the general ledger only",
        "Financial accounting",
    ),
    (
        "promotion_and_slotting",
        "2025Q2",
        -1_240_050,
        "accrual released in the general ledger only",
        "Sales controlling",
    ),
]
MONEY = [*MEASURES, "amount", "cost_recovered", "cost", "receivables", "inventory", "dedicated_assets"]
ENGAGEMENT = """\
# The sample company, made by data/generate.py
client: Tallow & Reed
currency: USD
coverage: {start: 2023-01, end: 2025-12}
fiscal_year_start: 1
cost_of_goods_basis: variable
source: ledger
rates: {cost_of_capital: 0.09, tax_rate: 0.25, inventory_noncapital_rate: 0.10}
customer_rates: {gross_margin_share: 0.26, cost_share: 0.19, stock_days: 28, cost_of_capital: 0.10, tax_rate: 0.24}
"""


def make_activities(rng: np.random.Generator, lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """Inquiries and special packing by month, rush orders by day."""
    sold = lines[lines["quantity"] > 0]
    orders = sold.drop_duplicates("order").assign(quantity=1)
    rush = orders[rng.random(len(orders)) < customers["rush"].to_numpy()[orders["who"]]]
    rush = rush.groupby(["customer_id", "invoice_date"], as_index=False)["quantity"].sum()
    calls = rng.poisson(by_month(orders, "quantity", customers) * habit(customers, "calls"))
    cases = (
        by_month(sold, "quantity", customers)
        * habit(customers, "packing")
        * rng.uniform(0.7, 1.3, (len(customers), 36))
    )
    found = [rush.rename(columns={"invoice_date": "date"}).assign(activity="rush_order")]
    for name, ids, quantity in (
        ("inquiry", customers["customer_id"], calls),
        ("inquiry", pd.Series([""]), rng.poisson(6, (1, 36)) + 1),
        ("special_pack", customers["customer_id"], cases),
    ):
        rows = booked(ids, MONTHS, quantity).rename(columns={"key": "customer_id", "amount": "quantity"})
        found.append(rows.assign(activity=name, date=rows["date"].dt.to_period("M").dt.start_time))
    return ordered(pd.concat(found), ["date", "activity", "customer_id"])


def make_capacity(lines: pd.DataFrame, notes: pd.DataFrame, activities: pd.DataFrame) -> pd.DataFrame:
    """Cost and practical capacity of both pools, staffed for the busiest month of each quarter and a little more."""
    first = lines.groupby("order")["invoice_date"].min()
    events = {"orders": first, "invoice_lines": lines["invoice_date"], "credits": notes["date"]}
    drivers = {name: date.dt.to_period("M").value_counts() for name, date in events.items()}
    invoiced = lines[lines["quantity"] > 0]
    drivers["units"] = invoiced.groupby(invoiced["invoice_date"].dt.to_period("M"))["quantity"].sum()
    booked_quantities = activities.groupby(["activity", activities["date"].dt.to_period("M")])["quantity"].sum()
    found = []
    for pool, (one_person, pay) in POOLS.items():
        use = pd.Series(0.0, index=MONTHS)
        for activity, _, _, _, each, driver in [row for row in ACTIVITIES if row[2] == pool]:
            use += float(each) * (drivers[driver] if driver else booked_quantities[activity]).reindex(
                MONTHS, fill_value=0
            )
        busiest = use.groupby(np.arange(36) // 3).transform("max").to_numpy()
        # customer service took on one more person in 2025, though orders did not grow
        people = np.ceil(busiest / one_person * 1.06).astype(int) + ((YEAR == 2) & (pool == "customer service"))
        rows = {"pool": pool, "month": MONTHS.start_time, "cost": cents(people * pay * 1.03**YEAR)}
        found.append(pd.DataFrame(rows | {"practical_capacity": people * one_person}))
    return pd.concat(found, ignore_index=True)


def make_costs(rng: np.random.Generator, lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """Bookings of customers and groups in cents; ten are reversed by half and six stand twice."""
    table = pd.concat([*customer_costs(rng, lines, customers), *group_costs(rng, customers)], ignore_index=True)
    table = table.fillna({"level": "customer", "avoidable": ""})
    promotions = table[table["line"] == "promotion_and_slotting"].sample(10, random_state=rng)
    back = promotions.assign(amount=-(promotions["amount"] // 2))
    twice = table[(table["level"] == "customer") & (table["line"] == "salaries")].sample(6, random_state=rng)
    return ordered(pd.concat([table, back, twice]), ["date", "level", "line", "key"])


def customer_costs(rng: np.random.Generator, lines: pd.DataFrame, customers: pd.DataFrame) -> list[pd.DataFrame]:
    """Bookings of customers: people who serve one customer, promotion, advertising, bad debts, racks."""
    net = by_month(lines, "net", customers).clip(0)
    quarter, ids, ends = by_quarter(net), customers["customer_id"], MONTHS[2::3]
    promotion = quarter * habit(customers, "promotion") * rng.lognormal(-0.05, 0.3, quarter.shape)
    advertising = quarter * 0.03 * rng.random(quarter.shape) * (rng.random(quarter.shape) < 0.12)
    bad_debts = net * rng.uniform(0.05, 0.35, net.shape) * (rng.random(net.shape) < 0.012)
    racks = quarter * 0.10 * (rng.random(quarter.shape) < 0.05) * (habit(customers, "kind") < 4)
    listing_fees = booked(ids[34:46], MONTHS[13::12], rng.uniform(100_000, 500_000, (12, 2)))
    managed = rng.random((len(ids), 1)) < habit(customers, "managed")
    salaries = booked(ids, MONTHS, habit(customers, "salary") / 12 * 100 * 1.03**YEAR * (net > 0) * managed)
    # some of these people are temporary staff, who can go at once
    salaries["avoidable"] = np.where(salaries["key"].isin(ids[::9]), "now", "")
    return [
        salaries.assign(line="salaries"),
        booked(ids, ends, promotion).assign(line="promotion_and_slotting"),
        listing_fees.assign(line="promotion_and_slotting", avoidable="never"),
        booked(ids, ends, advertising).assign(line="advertising"),
        booked(ids, MONTHS, bad_debts).assign(line="bad_debts"),
        booked(ids, ends, racks).assign(line="display_racks"),
        booked(pd.Series(["", "C999"]), ends, rng.uniform(40_000, 160_000, (2, 12))).assign(line="bad_debts"),
    ]


def group_costs(rng: np.random.Generator, customers: pd.DataFrame) -> list[pd.DataFrame]:
    """Bookings of account types, regions and parents, which are no customer's."""
    found = []
    for line, monthly in zip(
        ("salaries", "advertising"), np.array(list(TYPE_COSTS.values())).T / 12 * 100, strict=True
    ):
        amount = monthly[:, None] * 1.03**YEAR * rng.uniform(0.9, 1.1, (6, 36))
        found.append(booked(pd.Series(list(TYPE_COSTS)), MONTHS, amount).assign(level="account_type", line=line))
    offices = booked(pd.Series(REGIONS), MONTHS, np.full((5, 36), 180_000) * 1.03**YEAR)
    parents = customers["parent_id"][customers["parent_id"] != ""].drop_duplicates()
    funds = booked(parents, MONTHS[2::3], rng.uniform(100_000, 350_000, (len(parents), 12)))
    funds = funds.assign(level="parent", line="promotion_and_slotting")
    return [*found, offices.assign(level="region", line="salaries"), funds]


def make_balances(rng: np.random.Generator, lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """Receivables, stock held for one customer and dedicated assets at each month end, in cents."""
    net = by_month(lines, "net", customers).clip(0)
    before = np.pad(net, ((0, 0), (6, 0)), mode="edge")
    open_months = habit(customers, "dso") / 30.4 * rng.uniform(0.9, 1.1, net.shape)
    owed = sum(before[:, 6 - back : 42 - back] * (open_months - back).clip(0, 1) for back in range(6))
    stock = (net + before[:, 5:41]) * (0.11 + 0.27 * habit(customers, "burden")) * (habit(customers, "packing") > 0)
    holders = (habit(customers, "sales") > 250_000) & (habit(customers, "burden") > 0.4) & (net > 0)
    assets = habit(customers, "sales") * 9 * (1 - np.arange(36) / 72) * holders
    values = np.stack([cents(owed), cents(stock), cents(assets)])
    who, month = np.nonzero(values.sum(axis=0))
    table = pd.DataFrame({"customer_id": customers["customer_id"].to_numpy()[who], "month": MONTHS[month].start_time})
    names = ["receivables", "inventory", "dedicated_assets"]
    table[names] = values[:, who, month].T
    unknown = pd.DataFrame({"customer_id": "", "month": MONTHS.start_time}).assign(**dict.fromkeys(names, 0))
    unknown["receivables"] = cents(rng.uniform(2_000_000, 4_000_000, 36))
    return ordered(pd.concat([table, unknown]), ["month", "customer_id"])


def make_service(seed: int, lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """How the 20 largest are served by month, beside what was agreed; two of them worse than agreed in the last year."""
    rng = np.random.default_rng([seed, 23])
    orders = by_month(lines[lines["quantity"] > 0].drop_duplicates("order").assign(quantity=1), "quantity", customers)
    largest = np.sort(np.argsort(-habit(customers, "sales")[:, 0], kind="stable")[:20])
    found = []
    for measure, (agreed, given) in SERVICE.items():
        rate = np.full((len(customers), 36), given)
        for place, (worse, level) in SERVED_BELOW.items():
            rate[place, 24:] = level if worse == measure else given
        met = rng.binomial(orders.astype(int), rate)
        who, month = np.nonzero(orders[largest] > 0)
        rows = {
            "customer_id": customers["customer_id"].to_numpy()[largest[who]],
            "month": MONTHS[month].start_time,
            "measure": measure,
        }
        counts = {
            "numerator": met[largest[who], month],
            "denominator": orders[largest[who], month].astype(int),
            "agreed": agreed,
        }
        found.append(pd.DataFrame(rows | counts))
    return ordered(pd.concat(found), ["month", "customer_id", "measure"])


def make_rates() -> pd.DataFrame:
    """Rates of the warehouse's activities, by its hourly cost, and of special packing."""
    warehouse = [(row[0], float(row[4])) for row in ACTIVITIES if row[2] == "warehouse"]
    rates = [(name, day, f"{pay * hours:.6f}") for name, hours in warehouse for day, pay in HOURLY.items()]
    rates += [("special_pack", day, f"{pay:.6f}") for day, pay in PACKING.items()]
    return pd.DataFrame(rates, columns=["activity", "valid_from", "rate"])


def make_joint_costs() -> pd.DataFrame:
    """Costs of no customer or group, in cents."""
    rows = [
        (month.start_time, line, int(cents(amount * 100 * 1.025 ** (month.year - 2023))), basis)
        for month in MONTHS
        for line, (amount, basis) in JOINT.items()
    ]
    return pd.DataFrame(rows, columns=["month", "line", "amount", "full_cost_basis"])


def control_totals(tables: Tables) -> pd.DataFrame:
    """What the general ledger holds by line and quarter, in cents: these books and the reconciling items."""
    lines, notes, joint = tables["invoice_lines"], tables["credits"], tables["joint_costs"]
    day, returned = lines["invoice_date"], lines["gross_sales"].clip(upper=0)
    parts = [
        ("sales", day, lines["gross_sales"].clip(lower=0)),
        ("discounts_returns_allowances", day, lines["discount"] - returned),
        ("discounts_returns_allowances", notes["date"], notes["amount"]),
        ("cost_of_goods_sold", day, lines["cost_of_goods"]),
        ("cost_of_goods_sold", notes["date"], -notes["cost_recovered"]),
        ("sales_commissions", day, lines["commission"]),
        ("transportation", day, lines["freight"]),
        (tables["costs"]["line"], tables["costs"]["date"], tables["costs"]["amount"]),
        (joint["line"], joint["month"], joint["amount"]),
    ]
    rows = [
        pd.DataFrame({"line": line, "period": date.dt.to_period("Q").astype(str), "amount": amount})
        for line, date, amount in parts
    ]
    total = pd.concat([*rows, tables["reconciliation"][["line", "period", "amount"]]])
    return total.groupby(["line", "period"], as_index=False)["amount"].sum()


def build(seed: int) -> Tables:
    """All tables of the ledger, money in cents, with columns beside those that are written."""
    rng = np.random.default_rng(seed)
    goods, customers = make_goods(rng), make_customers(rng)
    lines = make_lines(rng, customers, goods)
    notes, activities = make_credits(rng, lines, customers), make_activities(rng, lines, customers)
    tables = {"customers": customers, "products": goods.products, "invoice_lines": lines, "credits": notes}
    columns = ["activity", "line", "pool", "unit", "unit_minutes", "driver"]
    tables |= {"activity_types": pd.DataFrame(ACTIVITIES, columns=columns), "activities": activities}
    tables |= {"rates": make_rates(), "capacity": make_capacity(lines, notes, activities)}
    tables |= {"costs": make_costs(rng, lines, customers), "balances": make_balances(rng, lines, customers)}
    tables |= {"service": make_service(seed, lines, customers)}
    columns = ["line", "period", "amount", "reason", "owner"]
    tables |= {"joint_costs": make_joint_costs(), "reconciliation": pd.DataFrame(RECONCILING, columns=columns)}
    tables |= {"customer_view": pd.DataFrame(CUSTOMER_VIEW, columns=["customer_id", "period", "line", "amount"])}
    return tables | {"control_totals": control_totals(tables)}


def write(tables: Tables, ledger: Path) -> None:
    """One CSV per table with the columns of ledger.yml that it fills; a reader never meets half a file."""
    ledger.mkdir(parents=True, exist_ok=True)
    for name, record in stories.read_records().items():
        if name not in tables:
            continue
        table = tables[name][[column for column in record["columns"] if column in tables[name]]].copy()
        for column in table.columns.intersection(MONEY):
            table[column] = table[column] / 100
        waiting = ledger / f".{name}.tmp"
        table.to_csv(waiting, index=False, float_format="%.2f", date_format="%Y-%m-%d", lineterminator="\n")
        waiting.replace(ledger / f"{name}.csv")


def main() -> None:
    """Write the ledger and engagement.yml to `--out`; with the sample itself, README.md beside this file."""
    parser = argparse.ArgumentParser(description="Generate the sample company's books.")
    parser.add_argument("--seed", type=int, default=0, help="0 is the sample that is committed")
    parser.add_argument("--out", type=Path, default=HERE / "sample", help="folder of the engagement")
    options = parser.parse_args()
    books = build(options.seed)
    write(books, options.out / "ledger")
    write_judgement(options.out / "judgement", books["customers"], books["invoice_lines"], options.seed)
    (options.out / "engagement.yml").write_text(ENGAGEMENT, encoding="utf-8")
    page = HERE if options.out.resolve() == HERE / "sample" else options.out
    (page / "README.md").write_text(stories.readme(options.out / "ledger"), encoding="utf-8")


if __name__ == "__main__":
    main()
