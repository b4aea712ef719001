"""What the sample company sells: orders, invoice lines, returns and credit notes, in cents."""

from __future__ import annotations

import numpy as np
import pandas as pd
from company import CHRISTMAS, COMMISSION, END, FREIGHT_BY_REGION, MONTHS, SEASON, STRONG_MONTHS, TASTE, Goods, cents

MEASURES = ["gross_sales", "discount", "cost_of_goods", "fixed_cost_of_goods", "commission", "freight"]


def make_orders(rng: np.random.Generator, customers: pd.DataFrame) -> pd.DataFrame:
    """One row per order: customer as place in the list, month, dates, value in cents, number of lines."""
    month, kind = np.arange(36), habit(customers, "kind")
    alive = (month >= habit(customers, "first")) & (month < habit(customers, "last"))
    season = SEASON[month % 12] * np.where(kind == 0, CHRISTMAS[month % 12], 1.0)
    expected = habit(customers, "sales") / 12 * np.exp(habit(customers, "growth") * (month - 18)) * season * alive
    count = rng.poisson(expected / habit(customers, "order_value"))
    who, when = (np.repeat(part.ravel(), count.ravel()) for part in np.indices(count.shape))
    day = (rng.random(len(who)) * MONTHS.days_in_month.to_numpy()[when]).astype(int)
    orders = pd.DataFrame({"who": who, "month": when, "invoice_date": MONTHS.start_time[when] + days(day)})
    orders["order_date"] = orders["invoice_date"] - days(rng.integers(1, 10, len(who)))
    usual = customers["order_value"].to_numpy()[who]
    orders["value"] = usual * rng.lognormal(-0.08, 0.4, len(who)) * 100
    orders["lines"] = 1 + rng.poisson((1.2 + 0.55 * np.log(usual / 500)).clip(0.5, 4)).clip(0, 8)
    # a few orders carry no customer or one that nobody knows; the largest customers' orders are not among them
    chance = np.where(usual < 9_000, rng.random(len(who)), 1.0)
    names = customers["customer_id"].to_numpy()[who]
    orders["customer_id"] = np.select([chance < 0.011, chance < 0.0155, chance < 0.020], ["", "X901", "C999"], names)
    return orders.sort_values(["invoice_date", "customer_id"], kind="stable", ignore_index=True)


def pick_products(rng: np.random.Generator, orders: pd.DataFrame, customers: pd.DataFrame, goods: Goods) -> np.ndarray:
    """Products of each order, best liked first (orders by products): taste of type and customer, season, and luck."""
    taste = np.log(np.repeat(TASTE, 10, axis=1))[customers["kind"]] + rng.normal(0, 0.7, (len(customers), 40))
    strong = (STRONG_MONTHS[:, :, None] == np.arange(36) % 12 + 1).any(axis=1)
    score = taste[orders["who"]] + 0.4 * np.repeat(strong, 10, axis=0)[:, orders["month"]].T
    score += rng.gumbel(size=score.shape)
    return np.argsort(np.where(goods.sold[:, orders["month"]].T, -score, np.inf), axis=1)


def make_lines(rng: np.random.Generator, customers: pd.DataFrame, goods: Goods) -> pd.DataFrame:
    """Invoice lines in cents, with the customer's place in the list as `who`; no product twice in an order."""
    orders = make_orders(rng, customers)
    liked = pick_products(rng, orders, customers, goods)
    lines = orders.loc[orders.index.repeat(orders["lines"])].rename_axis("order").reset_index()
    place = lines.groupby("order").cumcount().to_numpy()
    product = liked[lines["order"], place]
    late = np.where(rng.random(len(lines)) < 0.03, rng.integers(3, 21, len(lines)), 0)
    lines["invoice_date"] = (lines["invoice_date"] + days(late)).clip(upper=END)
    weight = rng.lognormal(0, 0.5, len(lines))
    value = lines["value"] * weight / np.bincount(lines["order"], weight)[lines["order"]]
    at = (product, month_number(lines["invoice_date"]))
    quantity = np.maximum(1, np.round(value / goods.price[at])).astype(int)
    lines = lines.assign(quantity=quantity, line_no=place + 1, order_id=(10001 + lines["order"]).astype(str))
    lines["product_id"], lines["unit"] = goods.products["product_id"].to_numpy()[product], "CS"
    for name, each in (
        ("gross_sales", goods.price),
        ("cost_of_goods", goods.cost),
        ("fixed_cost_of_goods", goods.fixed_cost),
    ):
        lines[name] = quantity * each[at]
    habits = customers.loc[lines["who"]].reset_index(drop=True)
    lines["discount"] = cents(lines["gross_sales"] * habits["discount_rate"])
    lines["commission"] = cents((lines["gross_sales"] - lines["discount"]) * COMMISSION[habits["kind"]])
    freight = 4_000 / lines["lines"] + lines["quantity"] * 120
    lines["freight"] = cents(freight * habits["region"].map(FREIGHT_BY_REGION) * habits["drops"])
    return add_returns_and_duplicates(rng, lines, habits["returns"].to_numpy())


def add_returns_and_duplicates(rng: np.random.Generator, lines: pd.DataFrame, returns: np.ndarray) -> pd.DataFrame:
    """Some lines come back as negative lines of their order, twelve lines are booked twice."""
    back = lines[rng.random(len(lines)) < np.where(returns > 0.1, 0.05, 0.006)].copy()
    quantity = np.ceil(back["quantity"] * rng.uniform(0.2, 1, len(back))).astype(int)
    for name in MEASURES:
        back[name] = -cents(back[name] * quantity / back["quantity"])
    back = back.assign(quantity=-quantity, freight=0, line_no=back["line_no"] + 50)
    back["invoice_date"] += days(rng.integers(5, 45, len(back)))
    twice = lines.iloc[rng.choice(len(lines), 12, replace=False)]
    both = pd.concat([lines, back[back["invoice_date"] <= END], twice])
    both["net"] = both["gross_sales"] - both["discount"]
    return both.sort_values(["invoice_date", "order", "line_no"], kind="stable", ignore_index=True)


def make_credits(rng: np.random.Generator, lines: pd.DataFrame, customers: pd.DataFrame) -> pd.DataFrame:
    """Returns and allowances on invoice lines, rebates by quarter; amounts in cents."""
    sold = lines[lines["quantity"] > 0]
    chance = rng.random(len(sold))
    back = sold[chance < customers["returns"].to_numpy()[sold["who"]] * 1.3].assign(kind="return")
    quantity = np.ceil(back["quantity"] * rng.uniform(0.3, 1, len(back))).astype(int)
    share, fit = (quantity / back["quantity"], rng.choice([0, 0.5, 0.9], len(back), p=[0.3, 0.3, 0.4]))
    recovered = cents(back["cost_of_goods"] * share * fit)
    back = back.assign(amount=cents(back["net"] * share), cost_recovered=recovered, quantity=quantity)
    allowed = sold[chance > 0.993].assign(kind="allowance", quantity=0, cost_recovered=0)
    allowed["amount"] = cents(allowed["net"] * rng.uniform(0.03, 0.15, len(allowed)))
    notes = pd.concat([back, allowed])
    notes["date"] = notes["invoice_date"] + days(rng.integers(4, 40, len(notes)))
    amount = by_quarter(by_month(lines, "net", customers)) * habit(customers, "rebate")
    rebates = booked(customers["customer_id"], MONTHS[2::3], amount).rename(columns={"key": "customer_id"})
    rebates = rebates.assign(kind="rebate", order_id="", product_id="", quantity=0, cost_recovered=0)
    return ordered(pd.concat([notes[notes["date"] <= END], rebates]), ["date", "customer_id", "kind"])


def habit(customers: pd.DataFrame, name: str) -> np.ndarray:
    """A column of the customers, upright, to be multiplied by months."""
    return customers[name].to_numpy()[:, None]


def by_month(rows: pd.DataFrame, value: str, customers: pd.DataFrame) -> np.ndarray:
    """Sum of a column by customer and month; rows that lost their customer are left out."""
    known = rows[rows["customer_id"].to_numpy() == customers["customer_id"].to_numpy()[rows["who"]]]
    total = np.zeros((len(customers), 36))
    np.add.at(total, (known["who"], month_number(known["invoice_date"])), known[value])
    return total


def by_quarter(months: np.ndarray) -> np.ndarray:
    """Sums of three months each."""
    return months.reshape(len(months), 12, 3).sum(axis=2)


def month_number(date: pd.Series) -> np.ndarray:
    """Months since the first one covered."""
    return ((date.dt.year - 2023) * 12 + date.dt.month - 1).to_numpy()


def days(number: np.ndarray) -> pd.TimedeltaIndex:
    """Numbers as days."""
    return pd.to_timedelta(number, unit="D")


def booked(keys: pd.Series, months: pd.PeriodIndex, amount: np.ndarray) -> pd.DataFrame:
    """One row at the end of the month for each cell of `amount` (keys by months) that is not zero when whole."""
    amount = cents(amount)
    who, when = np.nonzero(amount)
    date = months[when].end_time.normalize()
    return pd.DataFrame({"key": keys.to_numpy()[who], "date": date, "amount": amount[who, when]})


def ordered(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Rows in the order of some columns, the same on every machine."""
    return table.sort_values(columns, kind="stable", ignore_index=True)
