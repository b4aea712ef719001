"""Who the sample company is: Tallow & Reed, its products, its customers and their habits. All names are made up.

Money is whole cents until it is written, so that control totals tie without rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MONTHS = pd.period_range("2023-01", "2025-12", freq="M")
END = pd.Timestamp("2025-12-31")
REGIONS = np.array(["Northeast", "Southeast", "Midwest", "Southwest", "West"])
FREIGHT_BY_REGION = dict(zip(REGIONS, [1.0, 1.05, 0.8, 1.2, 1.35], strict=True))

# customers; median sales a year and their spread; discount; order value; days to pay; promotion;
# how many cost much to serve (before large customers are taken out)
TYPE_RECORDS = {
    "Department stores": (34, 70_000, 1.05, 0.08, 3_000, 58, 0.055, 0.47),
    "Grocery chains": (52, 84_000, 1.1, 0.07, 3_300, 42, 0.064, 0.48),
    "Drug stores": (48, 56_000, 1.0, 0.07, 2_100, 45, 0.055, 0.40),
    "Discount stores": (30, 82_000, 1.1, 0.09, 4_600, 48, 0.055, 0.50),
    "Wholesalers": (36, 92_000, 1.1, 0.12, 4_300, 38, 0.060, 0.60),
    "Food service": (50, 36_000, 0.9, 0.08, 2_000, 40, 0.012, 0.27),
}
TYPE_COLUMNS = ["count", "sales", "spread", "discount", "order_value", "dso", "promotion", "burden"]
TYPES = pd.DataFrame.from_dict(TYPE_RECORDS, orient="index", columns=TYPE_COLUMNS)
COMMISSION = np.array([0.035, 0.028, 0.032, 0.022, 0.018, 0.026])

FAMILIES = ["Household care", "Personal care", "Paper goods", "Pantry foods"]
# by family: lowest and highest price of a case, variable cost and fixed manufacturing cost as shares of the price
PRICES = ([26, 34, 20, 17], [62, 88, 38, 34])
VARIABLE_COST = np.array([0.455, 0.38, 0.53, 0.535])
FIXED_COST = np.array([0.0125, 0.0095, 0.0235, 0.040])
# what each account type likes of the four families
TASTE = np.array(
    [
        [0.8, 2.6, 0.5, 0.3],
        [1.5, 0.8, 1.0, 1.6],
        [0.8, 2.6, 0.9, 0.3],
        [1.6, 1.0, 1.3, 0.8],
        [1.3, 0.9, 1.2, 1.2],
        [0.4, 0.15, 1.6, 2.6],
    ]
)
# calendar months beside the average; department stores sell more before Christmas; strong months of each family
SEASON = np.array([0.88, 0.86, 1.0, 0.98, 0.99, 1.0, 0.94, 0.97, 1.02, 1.06, 1.16, 1.14])
CHRISTMAS = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1.1, 1.45, 1.55])
STRONG_MONTHS = np.array([[3, 4, 5], [6, 7, 12], [10, 11, 12], [9, 10, 11]])

PRODUCT_NAMES = """Lemon dish liquid 12x500 ml; Floor cleaner 6x1 l; Laundry powder 4x2 kg; Fabric softener 6x1.5 l;
Glass cleaner 12x750 ml; Oven cleaner 12x400 ml; Scouring pads 48x3; Drain opener 12x500 ml; Stain remover 12x250 ml;
Dishwasher tabs, plant-based 8x40; Hand soap 24x250 ml; Shower gel 12x400 ml; Shampoo 12x300 ml; Conditioner 12x300 ml;
Toothpaste 48x75 ml; Body lotion 12x250 ml; Deodorant 24x50 ml; Hand cream 36x50 ml; Shaving foam 12x200 ml;
Solid shampoo bar 36x80 g; Kitchen roll 12x2; Toilet tissue 8x9; Paper napkins 24x100; Facial tissue 36x100;
Hand towels, folded 20x150; Centre-feed roll 6x1; Baking paper 24x10 m; Cling film 24x30 m; Freezer bags 30x50;
Waxed lunch bags 30x40; Tomato sauce 12x500 g; Rolled oats 10x1 kg; Long-grain rice 10x1 kg; Dried pasta 20x500 g;
Vegetable stock 24x150 g; Wildflower honey 12x350 g; Strawberry preserve 12x340 g; Olive oil 6x1 l; Sea salt 24x500 g;
Breakfast tea 24x80""".replace("\n", " ").split("; ")
STEMS = """Alderbrook Birchmoor Cobblefield Dunmere Elderwick Foxhollow Greywater Hazelden Inkberry Juniper Kettlewell
Larkmoor Mossgate Nettlefield Oakhurst Pebblebrook Quillfeather Rookwood Saltmarsh Thistledown Umberton
Vinecrest Willowmere Yarrowby Zephyrdale Amberley Bellweather Copperleaf Driftwood Emberton Fernhollow
Goldfinch Heatherby Ivorydale Jasperfield Kingfisher Lanternhill Meadowsweet Nightingale Otterbourne
Plumstead Quarrington Rosethorn Sandpiper Tanglewood Underhill Violetta Wrenfield Bramblecote Cinderford
Dovetail Elmsworth""".replace("\n", " ").split(" ")
ENDINGS = [
    ["Department Stores", "& Co. Department Stores", "Emporium"],
    ["Markets", "Grocers", "Food Stores", "Supermarkets"],
    ["Pharmacy", "Drug", "Apothecary", "Health & Beauty"],
    ["Discount", "Bargain Centers", "Value Stores"],
    ["Wholesale", "Distribution", "Trading Co."],
    ["Catering", "Kitchens", "Dining Services", "Canteens"],
]
MANAGERS = np.array(["R. Okafor", "M. Lindqvist", "J. Tanaka", "S. Moreau", "D. Whitlock", "A. Bianchi"])

# Customers of the stories, by place in the list: what is theirs alone. The rest follows from type, size and burden.
STAYS = {"first": 0, "last": 36}
NAMED: dict[int, dict[str, Any]] = {
    34: {"customer_name": "Alderbrook & Vale Markets", "sales": 1_900_000.0, "burden": 0.13, "growth": 0.004, **STAYS},
    134: {
        "customer_name": "Thriftmoor Discount Centers",
        "sales": 1_850_000.0,
        "burden": 0.80,
        "order_value": 3_600.0,
        "discount_rate": 0.16,
        "promotion": 0.21,
        "rush": 0.22,
        "packing": 0.55,
        "rebate": 0.045,
        "dso": 82.0,
        "salary": 165_000.0,
        "growth": 0.003,
        **STAYS,
    },
    164: {
        "customer_name": 'O\'Malley & Sons "Fair Dealing" Wholesale, Ltd.',
        "sales": 1_600_000.0,
        "burden": 0.10,
        "growth": 0.001,
        **STAYS,
    },
    0: {
        "customer_name": "Grand Élan Department Stores",
        "sales": 420_000.0,
        "burden": 0.35,
        "growth": 0.0,
        "dso": 148.0,
        "terms": 30,
        **STAYS,
    },
    1: {
        "customer_name": "Vellum & Thread Department Stores",
        "sales": 330_000.0,
        "burden": 0.45,
        "growth": 0.0,
        "returns": 0.17,
        **STAYS,
    },
    86: {
        "customer_name": "@Corner Apothecary",
        "sales": 230_000.0,
        "burden": 0.50,
        "order_value": 1_500.0,
        "rush": 0.62,
        **STAYS,
    },
    87: {
        "customer_id": "00123",
        "customer_name": "Smith, Jones & Partners, Pharmacists",
        "sales": 140_000.0,
        "burden": 0.30,
        **STAYS,
    },
    135: {"customer_name": "Kestrel Retail Holdings, Inc.", "first": 36, "sales": 0.001},
    136: {"parent_id": "C236"},
    137: {"parent_id": "C236"},
    165: {
        "customer_name": "Old Quay Wholesale",
        "sales": 260_000.0,
        "burden": 0.25,
        "order_value": 750.0,
        "growth": -0.015,
        **STAYS,
    },
    200: {
        "customer_name": "Pico & Basil Kitchens",
        "sales": 26_000.0,
        "burden": 0.20,
        "order_value": 700.0,
        "growth": 0.048,
        **STAYS,
    },
    201: {"customer_name": "Café Régal Catering", "sales": 75_000.0, "burden": 0.30, **STAYS},
}


class Goods(NamedTuple):
    """Products, and by product and month: price and costs of a case in cents, and whether it can be bought."""

    products: pd.DataFrame
    price: np.ndarray
    cost: np.ndarray
    fixed_cost: np.ndarray
    sold: np.ndarray


def make_goods(rng: np.random.Generator) -> Goods:
    """Forty products: two are new in 2025, one ends in 2024, and household care rises by 6 % in July 2025."""
    family = np.repeat(np.arange(4), 10)
    products = pd.DataFrame({"product_id": [f"{'HPTF'[f]}{i % 10 + 11}" for i, f in enumerate(family)]})
    products["product_name"], products["product_family"] = PRODUCT_NAMES, np.array(FAMILIES)[family]
    year = np.arange(36) // 12
    price = rng.uniform(*PRICES, (10, 4)).T.reshape(-1, 1) * 1.022**year
    cost_share = VARIABLE_COST[family] + rng.uniform(-0.05, 0.05, 40)
    cost = price * cost_share[:, None] * np.where(year == 2, 1.012, 1.0)
    price[:10, 30:] *= 1.06
    sold = np.ones((40, 36), dtype=bool)
    sold[9, :26], sold[19, :28], sold[29, 22:] = False, False, False
    fixed_cost = FIXED_COST[family][:, None] * price
    return Goods(products, cents(price * 100), cents(cost * 100), cents(fixed_cost * 100), sold)


def make_customers(rng: np.random.Generator) -> pd.DataFrame:
    """One row per customer: what the ledger shows, and behind it the habits that the bookings follow."""
    kind = np.repeat(np.arange(6), TYPES["count"])
    own = TYPES.iloc[kind].reset_index(names="account_type")
    size = np.exp(rng.normal(0, 1, len(own)) * own["spread"]).clip(0.06, 1_150_000 / own["sales"])
    chance, rank = rng.random((2, len(own))), (size * own["sales"]).rank(pct=True)
    burden = np.where(chance[0] < own["burden"] * 1.5, 0.68 + 0.32 * chance[1], 0.08 + 0.40 * chance[1])
    # most of the large customers buy simply: that is what makes the whale curve steep
    burden = np.where(rank > 0.88, 0.04 + 0.26 * chance[1], burden)
    table = pd.DataFrame({"customer_id": [f"C{101 + i}" for i in range(len(own))], "kind": kind})
    place = own.groupby("account_type", sort=False).cumcount()
    table["customer_name"] = [
        f"{STEMS[(i * 7 + k * 13) % len(STEMS)]} {ENDINGS[k][i % len(ENDINGS[k])]}"
        for i, k in zip(place, kind, strict=True)
    ]
    table["account_type"], table["region"] = (own["account_type"], REGIONS[rng.integers(0, 5, len(own))])
    table["sales"], table["burden"] = own["sales"] * size, burden
    for position, changes in NAMED.items():
        table.loc[position, ["sales", "burden"]] = [
            changes.get(name, table.loc[position, name]) for name in ("sales", "burden")
        ]
    return add_attributes(rng, add_families_of_customers(plant(add_habits(rng, table, own))))


def add_habits(rng: np.random.Generator, table: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """How each customer buys, pays, sends back and asks for help, from its size and its burden (0 to 1)."""
    count, size, burden = len(table), table["sales"] / own["sales"], table["burden"]
    discount = own["discount"] * size.clip(upper=1) ** 0.25 * (0.3 + 1.45 * burden)
    # a few ask for most of the promotion and of the people; the large among them for more than their share
    promotion = own["promotion"] * size**0.35 * (0.1 + 18.0 * burden**8)
    return table.assign(
        order_value=own["order_value"] * 0.88 * size**0.55 * (1.6 - 1.35 * burden) * rng.lognormal(0, 0.2, count),
        discount_rate=(discount * rng.uniform(0.8, 1.2, count)).round(3),
        promotion=(promotion * rng.lognormal(0, 0.3, count)).clip(upper=0.5),
        terms=rng.choice([30, 45, 60], count, p=[0.6, 0.25, 0.15]),
        dso=own["dso"] * rng.uniform(0.75, 1.25, count) * (0.8 + 0.4 * burden),
        returns=0.002 + 0.035 * burden**2 * rng.uniform(0.3, 1.7, count),
        drops=0.65 + 0.85 * burden,  # freight beside the usual: one ramp or many shops
        calls=0.4 + 8.0 * burden**6,
        rush=0.01 + 0.10 * burden**3,
        packing=np.where(rng.random(count) < 0.5, 0.75 * burden**3, 0),
        rebate=np.where(size > 2.2, rng.uniform(0.005, 0.025, count).round(3), 0),
        # people who serve one account, a year, and how likely it has any: all large ones do, some of the others
        salary=3.4 * table["sales"] ** 0.7 * (1.0 + 3.5 * burden**8),
        managed=((table["sales"] - 20_000) / 70_000).clip(0, 1),
        growth=rng.normal(0.002, 0.006, count),
        first=np.where(rng.random(count) < 0.05, rng.integers(6, 32, count), 0),
        last=np.where(rng.random(count) < 0.04, rng.integers(14, 30, count), 36),
    )


def plant(table: pd.DataFrame) -> pd.DataFrame:
    """Give the customers of the stories their names and habits."""
    table = table.assign(parent_id="")
    for position, changes in NAMED.items():
        table.loc[position, list(changes)] = list(changes.values())
    return table


def add_families_of_customers(table: pd.DataFrame) -> pd.DataFrame:
    """Two parents in each retail account type, with four and three subsidiaries named after them."""
    table = table.copy()
    for kind in range(4):
        members = table.index[(table["kind"] == kind) & ~table.index.isin(NAMED)][:10]
        for parent, children in ((members[0], members[1:5]), (members[5], members[6:9])):
            table.loc[children, "parent_id"] = table.loc[parent, "customer_id"]
            table.loc[children, "region"] = np.roll(REGIONS, kind)[: len(children)]
            names = table.loc[parent, "customer_name"] + " " + table.loc[children, "region"]
            table.loc[children, "customer_name"] = names
    return table


def add_attributes(rng: np.random.Generator, table: pd.DataFrame) -> pd.DataFrame:
    """The plain attributes of the ledger's table of customers."""
    began = pd.Timestamp("2022-12-01") - pd.to_timedelta(rng.integers(0, 7000, len(table)), unit="D")
    joined = MONTHS[table["first"].clip(0, 35)].start_time
    return table.assign(
        industry=np.select([table["kind"] == 5, table["kind"] == 4], ["Hospitality", "Wholesale"], "Retail"),
        segment=pd.cut(table["sales"], [0, 60_000, 250_000, np.inf], labels=["C", "B", "A"]).astype(str),
        customer_since=np.where(table["first"].between(1, 35), joined, began),
        payment_terms_days=table["terms"].astype(int),
        account_manager=MANAGERS[table["kind"]],
    )


def cents(amount: Any) -> Any:
    """Whole cents of an array or a column."""
    return np.round(amount).astype(np.int64)
