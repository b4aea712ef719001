"""Measure the sample company's planted stories from its written books, and write README.md with the dictionary.

The statement here is a short one of its own, for one year and in floats, to say how large each story is. The figures
that count are crmlib's; the tests compare the two.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from judgement import CAPITAL

from crmlib.declared import capital, gain_sharing, metrics

HERE = Path(__file__).resolve().parent
YEAR, BEFORE = "2025", "2024"
CAPITAL_RATE = 0.09 / (1 - 0.25) / 12  # charge for capital before tax, a month
BALANCE_RATES = {"receivables": CAPITAL_RATE, "inventory": CAPITAL_RATE + 0.10 / 12, "dedicated_assets": CAPITAL_RATE}
TEXT = {"customer_id", "key", "order_id", "product_id", "line_no", "period", "parent_id", "driver", "pool", "avoidable"}
Books = dict[str, pd.DataFrame]
PLANTED = [
    "Pico & Basil Kitchens",
    "Old Quay Wholesale",
    "Grand Élan Department Stores",
    "Vellum & Thread Department Stores",
    "@Corner Apothecary",
]
STATES = {"Active": "C135", "New": "C172", "Slowing": "C302", "Silent": "C225", "Lost": "C248"}
TEMPLATE = """\
# Data

`sample/` is an engagement with the books of Tallow & Reed, a fictional manufacturer of consumer goods:
{customers} customers of six account types, {lines} invoice lines from January 2023 to December 2025. In {year} it had
net sales of USD {net_sales} and an operating profit of USD {profit} ({share} of net sales). All names are made up.
`python data/generate.py` makes the books and this page again, the same to the byte; `--seed` and `--out` make another
company of the same kind elsewhere.

## Where the stories are

What a consultant would look for in these books, for {year} unless it says otherwise, in USD. The figures are measured
from the files by `stories.py`. Numbers such as 27 are notebooks.

{stories}

Some names and keys are awkward on purpose: quotes, commas, ampersands, accents, a leading `@`, the customer `00123`,
and a parent that buys nothing itself (Kestrel Retail Holdings, Inc.).

Full cost spreads each joint cost by its `full_cost_basis`. The fixed manufacturing cost that stands on the invoice
lines (`fixed_cost_of_goods`) is the same money as the joint cost of that name, as a full-cost system absorbs it: use
one or the other, never both.

## Terms

The named figures of the reports, generated from `crmlib/declared/terms.yml`: a name has one number per period and owner.

{terms}

## Dictionary of the ledger

Generated from `crmlib/declared/ledger.yml`. Every table holds positive amounts for what its name says; reversals are negative.
Files are UTF-8 with commas, decimal points and ISO dates unless the engagement declares otherwise.

### What a client's rows are

ERPs put sales, returns, cancellations, deposits, discounts, fees and drafts into one table. The column `kind` of invoice_lines says which is which; where the client has
no such column, conditions on its own columns do (`kinds` in the mapping, below). The same event gives the same figures in every form.

| kind | what becomes of it |
| --- | --- |
| sale | an order, an invoice line, units, gross sales |
| return | a deduction; its cost comes off the cost of goods; no order and no invoice line, but a credit. The same as a row of credits with `cost_recovered` |
| cancellation | left out together with what it cancels: `cancels` names the order, else the nearest line before it of the customer with the product and the opposite amount, first of all an invoice that is itself marked as a cancellation. One that cancels nothing in these books is read as a return, and told |
| deposit | left out, with the line that takes it off the final invoice; told as long as it is open |
| fee | sales without units; a line of the statement of its own where one has the source `fees` |
| discount | a discount on a line of its own, as negative sales or in `discount`: goes to `discount` |
| exclude | left out, told with its amount; nothing in the row need be readable |
| blank | a return where gross sales are negative, a discount where there are no sales and no quantity, else a sale |

```yaml
tables:
  invoice_lines:
    kinds: {{return: "type = 'CN'", cancellation: "type = 'storno'", exclude: "status in ('draft', 'void')"}}  # the first that is met counts
    document: [year, order_id]      # where numbers begin again each year; a column of the client, such as branch, may stand here too
    columns:
      gross_sales: credit - debit   # two columns for the two sides
      cost_of_goods: {{column: COGS, sign: turned}}         # written negative; `sign: turned` under the table turns all its amounts
      discount: "CASE WHEN dc = 'S' THEN -amount ELSE amount END"  # a mark for the side
    twins: kept                     # equal rows of two files are bookings of their own
    unassigned_share: 0.10          # of this table alone, in place of the threshold for all
    unread: [remarks, discounts2]   # columns left out on purpose, though their names are like those of the ledger
unread: [costs_old.csv]             # files, sheets or tables left out on purpose
```

Amounts in other currencies (`currency` of a row) become the engagement's at the rate of their day in exchange_rates; of a month's row, of its last day.

{dictionary}

## Dictionary of the mapping

How a client's tables become these, in `engagement.yml`: `tables.NAME` for each table of the ledger, `columns.COLUMN` for each of its
columns, `formats` for all text and `tables.NAME.formats` for that of one table. Generated from the records of `crmlib/declared/settings.py`.

{mapping}

Conditions and expressions are SQL on the columns of one row, in double quotation marks where a name is no single word: `type = 'CN'`,
`quantity * "unit price"`, `case when side = 'S' then -amount else amount end`. Text is text; where a number stands it is read as
`formats` declare, in decimals, and so it is by `number(x)`, `money(x)` (four decimals) and `day(x)`, which need not be columns.
A joined table's columns are `headers.column`, or go by name alone where no other table has it.

A `.sql` file is one SELECT that gives the ledger's columns. It sees every file, sheet or table of the source under its own name (a file without
its ending), as text with the same checks as everywhere, each by the formats of the table that maps it, else by those of the table that it fills;
`number`, `money` and `day` work there too; a blank is an empty text there, and one that `number` or `money` reads is refused unless the query says what
it means (`case when x = '' then 0 else number(x) end`). Every row has `_file` and `_row`, its place in the source: a query that passes rows on keeps them by
itself; one that makes one row of several may give them, and otherwise findings name the row of its result.

## Dictionary of the judgement files

What people decide in workshops, in the folder `judgement/` of an engagement; generated from the records of
`crmlib/declared/judgement.py`. `crm new` writes a template of each file. A file that is missing is
as the template. Mistakes are told all at once, each with its place and what is allowed.

{judgement}
"""
JUDGEMENT = {
    "strategy.yml": "What corporate and marketing strategy want; read by notebook 11.",
    "strategy.yml, each of goals": {
        "text": "the goal in words", "measure": "what the books can tell of it, blank where they cannot", "target": "at least to be reached",
        "by": "a column of customers", "group": "a value of that column; blank: all customers",
    },
    "strategy.yml, each of markets": {
        "group": "a value of the column `by`", "by": "a column of customers", "stance": "what is wanted of the group", "because": "the reason",
    },
    "strategy.yml, each of constraints": {"(the entry)": "a sentence: what limits the strategy"},
    "criteria.yml": "On what, and with what weight, customers are compared; read by notebooks 12 and 21.",
    "criteria.yml, beside criteria": {
        "top_share": "the top group by score, of the customers who bought",
        "least_known_share": "of the weight; an account of whom less is known has no score and is in no top group",
        "other_axis": "id of the criterion on the matrix's other axis, which the score leaves out",
    },
    "criteria.yml, each of criteria": {
        "id": "short name, small letters", "label": "name shown in the reports", "weight": "beside the others; divided by their sum over what is used",
        "source": "a measure of the books, `judged`, or a column of customers: of numbers, or with points for its `values`", "direction": "which is better",
        "scale": "lowest and highest rating", "used": "false keeps the criterion in the register and out of the score", "owner": "who judges",
        "axes": "lenses that it enters beside the score", "values": "points of each value of a column of customers: the highest is best, and becomes 1; a value without points is missing",
    },
    "segments.yml": "The segments, as rules in order of which the first that holds decides; read by notebook 21 and wherever segments are shown.",
    "segments.yml, beside rules and flags": {
        "parents": "whether a parent and its subsidiaries are one account",
        "hold": "memory: how far score and ranks of who was key a year before may lie below what a key rule asks; 0 is no memory",
        "most_key": "key accounts at most, the most profitable first, equals together; below 1 a share of the customers who bought; without it no limit",
        "teams_serve": "key accounts that the account teams can serve: notebook 21 warns of more, notebook 22 says how many the hours of teams.csv are enough for", "states": "from when a customer is new, slowing, silent or lost",
        "material_share": "of the margin of all who contribute: value at risk below it is counted and not listed",
    },
    "segments.yml, states": {
        "new_months": "months since the first order, before which the customer had been silent, or was none by `customer_since`",
        "slowing_share": "fewer order days in the latest year than the rhythm before, or sales steadily falling, by so much",
        "silent_gaps": "usual gaps without an order; the usual gap is drawn towards the typical customer's by one gap",
        "silent_days": "and days at least", "lost_gaps": "the same, to be lost", "lost_days": "and days at least",
    },
    "segments.yml, each of rules": {
        "segment": "the segment's name", "when": "conditions that must all hold; the last rule has none and takes the rest", "because": "the reason in words",
        "stance": "what the segment means, so that the lenses can be compared", "key": "whether its customers are key accounts",
    },
    "segments.yml, each of flags": {
        "flag": "the warning's name", "when": "conditions that must all hold", "because": "the reason in words",
    },
    "ratings.csv": "One row per rating, UTF-8 with commas; read by notebooks 12 and 21.",
    "ratings.csv, columns": {
        "customer_id": "the customer who is rated", "criterion": "id of a judged criterion", "rater": "who rates",
        "date": "day of the rating, such as 2025-11-30", "rating": "on the criterion's scale; blank: the rater could not tell",
    },
    "opportunities.csv": "One row per opportunity that people see or have settled, UTF-8 with commas; read by notebooks 23 and 24. It takes the place of the computed one of the same customer, kind and item.",
    "opportunities.csv, columns": {
        "customer_id": "the customer", "kind": "what is to be gained", "item": "family or line that it is about, as notebook 24 names it; blank: every computed one of this kind",
        "expected": "contribution in a period like the one reported", "low": "at least", "high": "at most", "ease": "how easily it is had",
        "owner": "who takes it up", "evidence": "what speaks for it", "status": "open ones count; done and dropped ones are no longer shown, neither as computed",
    },
    "menu.csv": "One row per option that may be promised, UTF-8 with commas, the most important first; read by notebooks 13 and 25.",
    "menu.csv, columns": {
        "option": "short name, small letters", "name": "name that the customer reads", "kind": "service or product", "process": "which of the eight processes delivers it",
        "line": "id of the line of the statement that bears its cost", "per": "what its levels are counted by", "unit": "what one unit is, such as rush order",
        "activity": "activity of the ledger by whose rate in force a unit is priced, and of which is known how much is done today", "unit_cost": "avoidable cost of a unit where no activity has a rate for it",
        "capacity": "units that can be delivered in a year; blank: no limit", "measure": "measure of the table service by which it is held", "target": "the share promised of that measure",
        "method": "how it is measured, in words", "penalty": "share of a month's net sales that is credited where the month is below the target", "bonus": "the same, paid where it is at the target or above",
        "uplift_on": "what it raises beside the floor, where it is given at the segment's target: sales, or the chance that the customer stays", "uplift_low": "by at least this share, as judged",
        "uplift": "by this share, as judged", "uplift_high": "by at most this share",
    },
    "menu_levels.csv": "One row per segment and option, UTF-8 with commas; read by notebooks 13 and 25. An option without a row is not offered to the segment.",
    "menu_levels.csv, columns": {
        "segment": "a segment of segments.yml", "option": "an option of menu.csv", "floor": "units for each of what the option is counted by that every customer of the segment gets",
        "target": "what its agreements offer", "ceiling": "the most that may be promised",
    },
    "agreements.yml": "Product and service agreements: the words that they share, and every version agreed; read by notebooks 25 and 26. A version that begins after the period takes the place of the draft.",
    "agreements.yml, beside agreements": {
        "template": "a Word file of your own in the folder judgement, filled in by docxtpl", "terms": "clauses that all agreements share",
    },
    "agreements.yml, terms and each of agreements": {
        "scope": "clause: products and services that it covers", "delivery": "clause: orders and delivery", "payment": "clause: payment", "forecast_sharing": "clause: what each side tells the other of demand and supply",
        "returns": "clause: rules of returns", "gain_sharing": "clause: how gains of joint projects are shared", "reviews": "clause: communication and calendar of reviews", "law": "clause: what applies beside it",
    },
    "agreements.yml, each of agreements": {
        "account": "customer_id of the account", "segment": "or the segment to whose customers it is offered", "version": "1, 2 …", "valid_from": "first day", "valid_to": "last day",
        "contacts": "ours and theirs, each a list", "commitments": "what is promised of each option", "projects": "joint improvement projects, each a sentence", "expected": "what the agreement was expected to bring: sales (gross) and margin (net segment margin) in a year",
    },
    "agreements.yml, each of commitments": {
        "option": "an option of menu.csv", "level": "units for each of what the option is counted by", "measure": "measure of the table service by which it is held", "target": "the share promised of that measure",
        "method": "how it is measured, in words", "penalty": "share of a month's net sales that is credited where the month is below the target", "bonus": "the same, paid where it is at the target or above",
    },
    "functions.yml": "What each function (marketing, sales, research and development, logistics, production, purchasing, finance) brings to account teams, and the hours that takes; read by notebook 22.",
    "functions.yml, beside functions": {
        "full_share": "of a member's hours: beyond it is over-load", "low_share": "of a member's hours: below it is under-load",
    },
    "functions.yml, each of functions": {
        "brings": "what the function brings, in words", "tasks": "its tasks",
    },
    "functions.yml, each of tasks": {
        "task": "the task in words", "driver": "what makes the work of an account", "per": "units of the driver that take the hours",
        "hours_key": "hours a month of a key account", "hours_others": "hours a month of any other customer",
        "measure": "line of the statement, or measure of service, by which the task is judged; blank: none",
    },
    "teams.csv": "One row per function and member: who serves which accounts, with how many hours, UTF-8 with commas; read by notebook 22. One team for each key account, one for each group of segments of one stance: the same teams of which `teams_serve` in segments.yml says how many key accounts they can serve.",
    "teams.csv, columns": {
        "function": "the member's function", "member": "who it is", "hours_month": "hours a month that the member has for accounts",
        "accounts": "customer_ids and segments that the member serves, set apart by semicolons; of several who serve the same each has an equal part",
        "role": "what the member does in the team; `lead` leads it",
    },
    "capital.yml": "What the firm employs, what its capital costs, and how far the future may lie from today; read by notebooks 32 and 14. The rates themselves stand in engagement.yml.",
    "capital.yml, equity and debt of cost_of_capital": capital.Money,
    "capital.yml, each of assets": capital.Asset,
    "capital.yml, each of ranges": capital.Range,
    "capital.yml, each of correlations": capital.Correlation,
    "metrics.yml": "The measures of the processes, whose they are, and what each moves; read by notebook 14.",
    "metrics.yml, each of metrics": metrics.Metric,
    "metrics.yml, each of moves": metrics.Move,
    "plan.csv": "One row per milestone by which agreements become what people do, UTF-8 with commas; read by notebook 26. What is late is told as of the end of the period.",
    "plan.csv, columns": {
        "id": "short name of its own", "account": "customer_id of the account that it is for", "segment": "or the segment; neither is for all",
        "process": "which of the eight processes does it", "task": "what is to be done", "owner": "who answers for it", "start": "first day", "end": "last day",
        "depends_on": "ids of what must be done before, set apart by semicolons", "done": "the day on which it was done; blank: not yet",
    },
    "process.csv": "The board of the process: one row each time a sub-process was run, UTF-8 with commas; read by notebook 27 and the summary, where the last of each counts.",
    "process.csv, columns": {
        "sub_process": "S1 to S5: strategy, criteria, differentiation, metrics, gain sharing; O1 to O7: segments, teams, account review, opportunities, agreements, implementation, profitability report",
        "done": "the day on which it was concluded", "owner": "who answers for it", "output": "what came out of it",
    },
    "gain_sharing.yml": "By what rule gains of joint improvements are shared, and on which projects; read by notebook 15.",
    "gain_sharing.yml, policy": gain_sharing.Policy,
    "gain_sharing.yml, each of projects": gain_sharing.Project,
    "gain_sharing.yml, each of savings": gain_sharing.Saving,
}  # fmt: skip


def read_records() -> dict[str, dict[str, Any]]:
    """The column records of the ledger, by table."""
    records: dict[str, dict[str, Any]] = yaml.safe_load(
        (HERE.parent / "crmlib" / "declared" / "ledger.yml").read_text("utf-8")
    )
    return records


def read_books(ledger: Path) -> Books:
    """Every table of a folder of CSV files; keys are text, dates are ISO text."""
    books = {}
    for path in sorted(ledger.glob("*.csv")):
        columns = pd.read_csv(path, nrows=0).columns
        text = dict.fromkeys(TEXT.intersection(columns), str)
        books[path.stem] = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"unit_minutes": [""]})
    return books


def events(books: Books) -> pd.DataFrame:
    """Quantities by customer_id, date and activity: the ledger's own drivers and the rows of activities."""
    lines = books["invoice_lines"].rename(columns={"invoice_date": "date"}).sort_values("date", kind="stable")
    back = lines["gross_sales"] < 0  # a line that comes back orders nothing and is a credit
    sold, notes = lines[~back], pd.concat([books["credits"], lines[back]])
    ones = {"orders": sold.drop_duplicates("order_id"), "invoice_lines": sold, "credits": notes}
    drivers = {name: table.assign(quantity=1) for name, table in ones.items()} | {"units": lines[lines["quantity"] > 0]}
    types = books["activity_types"]
    derived = [drivers[row.driver].assign(activity=row.activity) for row in types.itertuples() if row.driver]
    columns = ["customer_id", "date", "activity", "quantity"]
    found = pd.concat([table[columns] for table in [*derived, books["activities"]]])
    return found.groupby(columns[:3], as_index=False)["quantity"].sum().merge(types, on="activity")


def activity_costs(books: Books) -> pd.DataFrame:
    """Events with their cost: by the rate of the day or, for a pool without rates, by cost of its capacity."""
    pools = books["capacity"].merge(books["activity_types"], on="pool")
    pools = pools[~pools["activity"].isin(books["rates"]["activity"])]
    pools["rate"] = pools["cost"] / pools["practical_capacity"] * pools["unit_minutes"]
    derived = pools.rename(columns={"month": "valid_from"})[["activity", "valid_from", "rate"]]
    rates = pd.concat([books["rates"], derived]).assign(day=lambda table: pd.to_datetime(table["valid_from"]))
    done = events(books).assign(day=lambda table: pd.to_datetime(table["date"])).sort_values("day", kind="stable")
    costed = pd.merge_asof(done, rates.sort_values("day", kind="stable"), on="day", by="activity")
    return costed.assign(amount=costed["quantity"] * costed["rate"])


def capital_charges(books: Books) -> pd.DataFrame:
    """Charges on mean balances by customer_id, date and line; `capital` is the part that is the price of capital."""
    months = sorted(books["balances"]["month"].unique())
    found = []
    for name, rate in BALANCE_RATES.items():
        balance = books["balances"].pivot_table(index="customer_id", columns="month", values=name, aggfunc="sum")
        balance = balance.reindex(columns=months).fillna(0.0)
        mean = (balance + balance.shift(axis=1).fillna({months[0]: balance[months[0]]})) / 2
        rows = mean.stack().rename("mean").reset_index().rename(columns={"month": "date"})
        found.append(
            rows.assign(line=f"charge on {name}", amount=rows["mean"] * rate, capital=rows["mean"] * CAPITAL_RATE)
        )
    return pd.concat(found)


def statement(books: Books, year: str) -> pd.DataFrame:
    """Amounts of a year by line, and net segment margin; one row per level and owner ('': customers nobody knows)."""
    lines = books["invoice_lines"].rename(columns={"invoice_date": "date"})
    notes, returned = books["credits"], lines["gross_sales"].clip(upper=0)
    parts = [
        lines.assign(line="sales", amount=lines["gross_sales"].clip(lower=0)),
        lines.assign(line="deductions", amount=lines["discount"] - returned),
        notes.assign(line="deductions"),
        lines.assign(line="cost_of_goods", amount=lines["cost_of_goods"]),
        notes.assign(line="cost_of_goods", amount=-notes["cost_recovered"]),
        lines.assign(line="commission", amount=lines["commission"]),
        lines.assign(line="freight", amount=lines["freight"]),
        activity_costs(books),
        capital_charges(books),
    ]
    of_customers = pd.concat(parts).assign(level="customer")
    table = pd.concat([of_customers, books["costs"].rename(columns={"key": "customer_id"})])
    table = table[table["date"].str.startswith(year)]
    unknown = (table["level"] == "customer") & ~table["customer_id"].isin(books["customers"]["customer_id"])
    table["owner"] = table["customer_id"].mask(unknown, "")
    wide = table.pivot_table(index=["level", "owner"], columns="line", values="amount", aggfunc="sum").fillna(0.0)
    wide["net_sales"] = wide["sales"] - wide["deductions"]
    wide["net_segment_margin"] = wide["net_sales"] - wide.drop(columns=["sales", "deductions", "net_sales"]).sum(axis=1)
    return wide


def full_cost_by_type(books: Books, wide: pd.DataFrame, uncharged: float) -> pd.DataFrame:
    """Account types: margin after their own costs, and what is left when every cost of the firm is spread to customers.

    Joint costs go by their basis (cost of goods: by the fixed cost of goods), uncharged capacity and costs of groups by net
    sales; charges for capital are no expense and come back.
    """
    customers, lists = wide.loc["customer"], books["customers"].set_index("customer_id")
    by_customer = {
        "orders": events(books).query("activity == 'order_entry'"),
        "units": events(books).query("activity == 'case_handling'"),
        "cost_of_goods": books["invoice_lines"].assign(
            date=books["invoice_lines"]["invoice_date"], quantity=books["invoice_lines"]["fixed_cost_of_goods"]
        ),
        "capital": capital_charges(books).rename(columns={"capital": "quantity"}),
    }
    sums = {name: _of_year(table, lists.index) for name, table in by_customer.items()} | {
        "net_sales": customers["net_sales"]
    }
    joint = books["joint_costs"][books["joint_costs"]["month"].str.startswith(YEAR)]
    costs = [(amount, sums[basis]) for basis, amount in joint.groupby("full_cost_basis")["amount"].sum().items()]
    costs.append((uncharged, sums["net_sales"]))
    for (level, owner), row in wide.drop(index="customer", level="level").iterrows():
        column = {"parent": "parent_id"}.get(level, level)
        members = lists.index[lists[column] == owner]
        costs.append((-row["net_segment_margin"], customers["net_sales"].reindex(members).dropna()))
    spread = sum(
        (amount * weights.clip(lower=0) / weights.clip(lower=0).sum()).reindex(customers.index, fill_value=0)
        for amount, weights in costs
    )
    full = customers["net_segment_margin"] + sums["capital"].reindex(customers.index, fill_value=0) - spread
    table = (
        customers.assign(full_cost_profit=full)
        .groupby(lists["account_type"])[["net_sales", "net_segment_margin", "full_cost_profit"]]
        .sum()
    )
    table["own_costs"] = -wide.loc["account_type", "net_segment_margin"]
    table["full_cost_share"] = table["full_cost_profit"] / table["net_sales"]
    return table.assign(margin=table["net_segment_margin"] - table["own_costs"])


def _of_year(table: pd.DataFrame, known: pd.Index) -> pd.Series:
    """Quantities of the year by customer, those of customers nobody knows under ''."""
    inside = table[table["date"].str.startswith(YEAR)]
    return inside["quantity"].groupby(inside["customer_id"].where(inside["customer_id"].isin(known), "")).sum()


def figures(books: Books) -> dict[str, Any]:
    """What the stories say, measured: amounts in the ledger's currency, shares from 0 to 1."""
    now, before = statement(books, YEAR), statement(books, BEFORE)
    names = books["customers"].set_index("customer_id")["customer_name"]
    margin = now.loc["customer", "net_segment_margin"].drop("").sort_values(ascending=False)
    margin = margin[now.loc["customer"].loc[margin.index].ne(0).any(axis=1)]  # who bought, was served or cost something
    joint = books["joint_costs"].set_index("month").filter(regex=f"^{YEAR}", axis=0)["amount"].sum()
    cost, charges = activity_costs(books), capital_charges(books)
    pools = (
        books["capacity"][books["capacity"]["month"].str.startswith(YEAR)]
        .groupby("pool")[["cost", "practical_capacity"]]
        .sum()
    )
    cost = cost[cost["date"].str.startswith(YEAR) & (cost["pool"] != "")]
    pools["used"] = (cost["quantity"] * cost["unit_minutes"]).groupby(cost["pool"]).sum()
    pools["uncharged"] = pools["cost"] - cost.groupby("pool")["amount"].sum()
    capital = charges.loc[charges["date"].str.startswith(YEAR), "capital"].sum()
    sales = (
        books["invoice_lines"].groupby(~books["invoice_lines"]["customer_id"].isin(names.index))["gross_sales"].sum()
    )
    assets = yaml.safe_load(CAPITAL)["assets"]  # the customers' stock and dedicated assets are a part of them
    return {
        "names": names,
        "now": now.loc["customer"],
        "before": before.loc["customer"],
        "margin": margin,
        "pools": pools,
        "types": full_cost_by_type(books, now, pools["uncharged"].sum()),
        "net_sales": now["net_sales"].sum(),
        "operating_profit": now["net_segment_margin"].sum() - pools["uncharged"].sum() - joint + capital,
        "employed": sum(values_in(asset["amount"], YEAR) for asset in assets)
        + now["charge on receivables"].sum() / (CAPITAL_RATE * 12),
        "top_fifth": margin[: round(len(margin) / 5)].sum() / margin.sum(),
        "peak": margin.clip(lower=0).sum() / margin.sum(),
        "lost_sales": sales[True],
        "lost_share": sales[True] / sales.sum(),
    }


def values_in(amount: float | dict[str, float], year: str) -> float:
    """The amount of an asset in a year."""
    return amount.get(f"{year}-01", 0) if isinstance(amount, dict) else amount


def customer_stories(found: dict[str, Any], books: Books) -> list[tuple[str, str, str, str]]:
    """Rows of the table of stories that are about one customer: story, who, where to see it, how large."""
    now, before, names = found["now"].drop(""), found["before"]["sales"], found["names"]
    days, returned = average_days_to_pay(books, now), returned_share(books, now)
    done = events(books).query(f"date.str.startswith('{YEAR}')")
    by_activity = done.pivot_table(index="customer_id", columns="activity", values="quantity", aggfunc="sum")
    rushes, orders = by_activity["rush_order"].fillna(0), by_activity["order_entry"]
    share = now["sales"] / now["sales"].sum()
    loser = now["net_segment_margin"][now["sales"].nlargest(3).index].idxmin()
    ids = {name: customer for customer, name in names.items()}
    grower, decliner, payer, returner, rusher = (ids[name] for name in PLANTED)
    sales, loss = whole(now.loc[loser, "sales"]), whole(now.loc[loser, "net_segment_margin"])
    moved = {
        customer: f"sales {now.loc[customer, 'sales'] / before[customer] - 1:+.0%} on the year before, "
        f"from {whole(before[customer])} to {whole(now.loc[customer, 'sales'])}"
        for customer in (grower, decliner)
    }
    slow = f"{days[payer]:.0f} days of net sales outstanding, agreed 30; the median customer {days.median():.0f}"
    back = f"{returned[returner]:.0%} of its sales came back; of all customers' sales {returned @ share:.1%}"
    hurry = f"{rushes[rusher] / orders[rusher]:.0%} of its {whole(orders[rusher])} orders; "
    hurry += f"of all orders {rushes.sum() / orders.sum():.0%}"
    rows = [
        (
            "One of the three largest loses money",
            loser,
            "27, top and bottom",
            f"sales {sales}, net segment margin {loss}",
        ),
        ("Small and growing fast", grower, "27, what moved", moved[grower]),
        ("In slow decline", decliner, "27, over time", moved[decliner]),
        ("Slow payer", payer, "27, receivables charge", slow),
        ("Serial returner", returner, "27, net price index", back),
        ("Rush orderer", rusher, "27, cost to serve", hurry),
    ]
    rows += [
        ("Delivered late", *served_below(books, "delivered on time")),
        ("Delivered short", *served_below(books, "delivered in full")),
    ]
    return [(story, f"{names[customer]} ({customer})", where, size) for story, customer, where, size in rows]


def served_below(books: Books, measure: str) -> tuple[str, str, str]:
    """Who is served worst beside what was agreed by a measure, where to see it, and how far."""
    rows = books["service"][(books["service"]["measure"] == measure) & books["service"]["month"].str.startswith(YEAR)]
    given = (
        rows.groupby("customer_id")[["numerator", "denominator"]]
        .sum()
        .pipe(lambda sums: sums["numerator"] / sums["denominator"])
    )
    agreed = rows.groupby("customer_id")["agreed"].mean()
    orders = rows.groupby("customer_id")["denominator"].sum()
    far = (agreed - given)[orders > orders.median()]  # of few orders a share says little
    return far.idxmax(), "23, service", f"{given[far.idxmax()]:.1%} {measure}, {agreed[far.idxmax()]:.0%} agreed"


def agreement_stories(found: dict[str, Any], path: Path) -> list[tuple[str, str, str, str]]:
    """Rows of the table of stories on the agreements with accounts in force: the one that pays best and the one that pays least."""
    agreed = [
        a for a in yaml.safe_load(path.read_text("utf-8"))["agreements"] if "account" in a and str(a["valid_to"]) > YEAR
    ]
    expected = pd.Series({a["account"]: float(a["expected"]["margin"]) for a in agreed})
    margin = found["now"]["net_segment_margin"][expected.index]
    rows = [
        ("Agreement that pays", (margin - expected).idxmax()),
        ("Agreement that does not pay", (margin - expected).idxmin()),
    ]
    return [
        (
            story,
            f"{found['names'][who]} ({who})",
            "25, agreements in force",
            f"margin {whole(margin[who])}, {whole(expected[who])} expected in a year",
        )
        for story, who in rows
    ]


def state_stories(found: dict[str, Any], books: Books) -> list[tuple[str, str, str, str]]:
    """Rows of the table of stories that name a customer of each state at the end of the year, from the days on which it ordered."""
    lines = books["invoice_lines"]
    first_lines = (
        lines[lines["gross_sales"] > 0].groupby(["customer_id", "order_id"], as_index=False)["order_date"].min()
    )
    days = first_lines.drop_duplicates(["customer_id", "order_date"]).assign(
        day=lambda t: pd.to_datetime(t["order_date"])
    )
    rows = []
    for state, customer in STATES.items():
        day = days.loc[days["customer_id"] == customer, "day"].sort_values()
        gap, silent = day.diff().dt.days.mean(), (pd.Timestamp(f"{YEAR}-12-31") - day.iloc[-1]).days
        latest, rate = (day >= f"{YEAR}-01-01").sum(), (day < f"{YEAR}-01-01").sum() / 2
        told = {
            "New": f"first order {day.iloc[0]:%Y-%m-%d}, more than two years into the books",
            "Slowing": f"{latest} order days in {YEAR}, {rate:.0f} a year before",
        }.get(state, f"last order {day.iloc[-1]:%Y-%m-%d}, {silent} days before the end; usual gap {gap:.0f} days")
        rows.append((f"{state} customer", f"{found['names'][customer]} ({customer})", "21, states", told))
    return rows


def average_days_to_pay(books: Books, known: pd.DataFrame) -> pd.Series:
    """Mean receivables of the year in days of net sales, by customer."""
    balances = books["balances"][books["balances"]["month"].str.startswith(YEAR)]
    owed = balances.groupby("customer_id")["receivables"].sum() / 12
    days: pd.Series = (owed / known["net_sales"] * 365).reindex(known.index)
    return days


def returned_share(books: Books, known: pd.DataFrame) -> pd.Series:
    """Negative lines and credits for returns of the year as a share of sales, by customer."""
    lines, notes = books["invoice_lines"], books["credits"]
    lines = lines[(lines["gross_sales"] < 0) & lines["invoice_date"].str.startswith(YEAR)]
    notes = notes[(notes["kind"] == "return") & notes["date"].str.startswith(YEAR)]
    returned = notes.groupby("customer_id")["amount"].sum()
    returned = returned.sub(lines.groupby("customer_id")["gross_sales"].sum(), fill_value=0)
    share: pd.Series = returned.reindex(known.index, fill_value=0) / known["sales"]
    return share.fillna(0)


def product_stories(books: Books) -> str:
    """New and lost products and the rise of a family's price, in words."""
    lines = books["invoice_lines"].merge(books["products"], on="product_id")
    sold = lines.pivot_table(
        index="product_name", columns=lines["invoice_date"].str[:4], values="gross_sales", aggfunc="sum"
    )
    new, lost = sold[sold[BEFORE].isna()][YEAR], sold[sold[YEAR].isna()][BEFORE]
    month, family = lines["invoice_date"].str[:7], lines["product_family"] == "Household care"
    price = [
        (part.groupby("product_id")["gross_sales"].sum() / part.groupby("product_id")["quantity"].sum())
        for part in (lines[family & month.between(f"{YEAR}-01", f"{YEAR}-06")], lines[family & (month > f"{YEAR}-06")])
    ]
    return (
        f"new: {', '.join(new.index)} ({whole(new.sum())} in {YEAR}); discontinued: {', '.join(lost.index)} "
        f"({whole(lost.sum())} in {BEFORE}); household care {(price[1] / price[0]).median() - 1:+.1%} from July {YEAR}"
    )


def firm_stories(found: dict[str, Any], books: Books) -> list[tuple[str, str, str, str]]:
    """Rows of the table of stories that are about the firm, account types and the books."""
    types, pools, margin = found["types"], found["pools"], found["margin"]
    worst, owner = types["full_cost_share"].idxmin(), types["own_costs"].idxmax()
    lines, costs, items = books["invoice_lines"], books["costs"], books["reconciliation"]
    twice, booked_twice = lines[lines.duplicated()], costs[costs.duplicated()]
    whale = f"{found['top_fifth']:.2f} times the customers' net segment margin; peak {found['peak']:.2f} times; "
    whale += f"{(margin < 0).sum()} of {len(margin)} lose money"
    full = f"full-cost profit {whole(types.loc[worst, 'full_cost_profit'])}, {types.loc[worst, 'full_cost_share']:.1%} of net sales, the lowest of the six; "
    full += f"margin after its own costs {whole(types.loc[worst, 'margin'])}"
    own = f"{whole(types['own_costs'].sum())}, of which {owner} {whole(types.loc[owner, 'own_costs'])}"
    unused = "; ".join(
        f"{pool} {1 - row.used / row.practical_capacity:.0%} (uncharged {whole(row.uncharged)})"
        for pool, row in pools.iterrows()
    )
    lost = f"{whole(found['lost_sales'])}, {found['lost_share']:.2%} of gross sales of all years"
    double = f"{len(twice)} invoice lines, {twice['gross_sales'].sum():,.2f}; "
    double += f"{len(booked_twice)} bookings of costs, {booked_twice['amount'].sum():,.2f}"
    differences = "; ".join(f"{row.line} {row.period} {row.amount:,.2f}" for row in items.itertuples())
    profit, price = found["operating_profit"] * (1 - 0.25), found["employed"] * 0.09
    added = f"operating profit {whole(found['operating_profit'])}, after tax {whole(profit)}; capital of {whole(found['employed'])} costs {whole(price)}: "
    added += f"value added {whole(profit - price)}"
    return [
        ("A profit, and less than its capital costs", "the firm", "32, value added", added),
        ("A few customers earn it all", "the top fifth", "27, whale curve", whale),
        ("Worst at full cost, yet contributes", worst, "31, verdicts that flip", full),
        ("Costs of an account type and of no customer", f"all, most {owner}", "27, account types", own),
        ("Unused capacity", ", ".join(pools.index), "31, time-driven lens", unused),
        ("Price, volume and mix", "all", "27, bridges", product_stories(books)),
        ("Sales without a known customer", "blank, X901, C999", "00, unassigned", lost),
        ("Duplicate bookings, kept", "invoice_lines, costs", "00, findings", double),
        ("Two reconciling items", "control totals", "00, tie-out", differences),
    ]


def terms_table() -> str:
    """The named figures as a Markdown table."""
    from crmlib.declared.terms import terms

    rows = [(term.label, term.definition, term.base, f"`{term.computed}`") for term in terms().values()]
    return markdown(("term", "definition", "its % is of", "computed by"), rows)


def dictionary(records: dict[str, dict[str, Any]]) -> str:
    """The column records as one Markdown table for each table of the ledger."""
    parts = []
    for name, record in records.items():
        needed = ", required" if record.get("required") else ""
        key = f"; no two rows with the same {' and '.join(record['key'])}" if record.get("key") else ""
        rows = [(column, *described(column_record)) for column, column_record in record["columns"].items()]
        header = ("column", "type", "unit", "meaning", "required", "switches on")
        parts.append(f"### {name}{needed}\n\n{record['grain'].capitalize()}{key}.\n\n{markdown(header, rows)}")
    return "\n\n".join(parts)


def mapping_dictionary() -> str:
    """The keys of a mapping as a Markdown table."""
    from crmlib.declared.settings import ColumnSource, CustomerRates, Formats, OpenQuestion, TableSource

    places = {
        "tables.NAME": TableSource,
        "tables.NAME.columns.COLUMN": ColumnSource,
        "formats": Formats,
        "customer_rates": CustomerRates,
        "open.SETTING": OpenQuestion,
    }
    rows = [
        (f"`{place}.{key}`", str(field.description))
        for place, record in places.items()
        for key, field in record.model_fields.items()
        if field.description
    ]
    return markdown(("key", "meaning"), rows)


def judgement_dictionary() -> str:
    """The judgement files as one Markdown table for each kind of record; a key without a meaning is an error."""
    from crmlib.declared import agreements, judgement, teams

    records = {"menu.csv, columns": agreements.Option, "menu_levels.csv, columns": agreements.Level, "beside agreements": agreements.Agreements,
               "terms and each of agreements": agreements.Terms, "agreements": agreements.Agreement, "commitments": agreements.Commitment,
               "goals": judgement.Goal, "markets": judgement.Market, "beside criteria": judgement.Register, "criteria": judgement.Criterion,
               "beside rules and flags": judgement.Rules, "states": judgement.States, "rules": judgement.Rule, "flags": judgement.Flag,
               "opportunities.csv, columns": judgement.Opportunity, "beside functions": teams.Functions, "tasks": teams.Task,
               "functions": teams.Brings, "teams.csv, columns": teams.Member, "plan.csv, columns": teams.Milestone,
               "process.csv, columns": judgement.Round}  # fmt: skip
    parts = []
    for title, told in JUDGEMENT.items():
        file, _, place = title.partition(", ")
        if isinstance(told, str):
            parts.append(f"### {title}\n\n{told}")
            continue
        record = told if isinstance(told, type) else records.get(title) or records.get(place.removeprefix("each of "))
        fields = record.model_fields if record else {}
        inherited = set(agreements.Terms.model_fields) if record is agreements.Agreement else set()
        keys = set(fields) - {"criteria", "rules", "flags", "functions", "agreements"} - inherited or {
            *judgement.RATINGS
        }
        told = {name: fields[name].description for name in fields} if isinstance(told, type) else told
        if unlike := (keys ^ set(told)) - {"(the entry)"} if "(the entry)" not in told else set():
            raise KeyError(f"{title}: {', '.join(sorted(unlike))}")
        rows = [(name, *key_described(fields.get(name)), meaning) for name, meaning in told.items()]
        parts.append(f"In `{file}`, {place}:\n\n{markdown(('key', 'type', 'without it', 'meaning'), rows)}")
    meanings = [
        (f"`state is {state}`", text.format(**judgement.States().model_dump()))
        for state, text in judgement.STATE_OF.items()
    ]
    parts.append(
        "### States\n\nWhat conditions in `segments.yml` may ask for, with the parameters of the template: the state at the end of the period."
    )
    parts.append(markdown(("condition", "the customer"), meanings))
    measures = [(name, label) for name, label in judgement.MEASURES.items()]
    ruled = [("score", "weighted points, without the criterion on the other axis"), ("top_group", "1 for the top group by score"),
             ("…_rank_share", "place of any of these among the customers who bought, 0 (lowest) to 1")]  # fmt: skip
    parts.append(
        "### Measures\n\nWhat `source` in `criteria.yml` and conditions in `segments.yml` may name; the last three in conditions only."
    )
    return "\n\n".join([*parts, markdown(("measure", "meaning"), [*measures, *ruled])])


def key_described(field: Any) -> tuple[str, str]:
    """Type or allowed values of a judgement record's key, and what holds without it."""
    if field is None:
        return "text", ""
    written = getattr(field.annotation, "__name__", "") if isinstance(field.annotation, type) else str(field.annotation)
    written = re.sub(r"^(?:typing\.)?(?:Optional|Annotated)\[(?:typing\.)?(?:Annotated\[)?", "", written)
    allowed = list(dict.fromkeys(value for value in re.findall(r"'([^']*)'", written) if value))
    words = {
        **dict.fromkeys(("Terms", "Contacts", "Expected", "crmlib.declared.agreements.Expected"), "keys of its own"),
        "Decimal": "number",
        "decimal.Decimal": "number",
        "date": "date",
        "str": "text",
        "float": "number",
        "int": "number",
        "States": "keys of its own",
        "tuple[float, float]": "two numbers",
        "bool": "true or false",
        "tuple": "list",
        "dict[str, typing": "number, or months with numbers",
        "dict": "texts with numbers",
    }
    kind = ", ".join(allowed) or next((word for name, word in words.items() if written.startswith(name)), "list")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    shown = (
        ""
        if kind == "keys of its own"
        else (
            str(list(default) if isinstance(default, tuple) else default).lower()
            if default not in (None, "", {}, ())
            else ""
        )
    )
    return kind, "required" if field.is_required() else shown


def described(record: dict[str, Any]) -> tuple[str, ...]:
    """Cells of a column's row in the dictionary."""
    kind = record["type"] + (f" ({', '.join(record['values'])})" if "values" in record else "")
    needed = "yes" if record.get("required") else ""
    unit = record.get("unit") or ("engagement's currency" if record["type"] == "money" else "")
    return (
        kind,
        unit,
        record["meaning"],
        needed + (", may be blank" if needed and record.get("blank") else ""),
        record.get("enables", ""),
    )


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown; a bar within a cell is escaped."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def whole(amount: float) -> str:
    """An amount without decimals."""
    return f"{amount:,.0f}"


def readme(ledger: Path) -> str:
    """data/README.md: what the sample is, where its stories are, the dictionary of the ledger."""
    books = read_books(ledger)
    found = figures(books)
    stories = markdown(
        ("story", "who", "where to see it", "how large"),
        [
            *firm_stories(found, books),
            *customer_stories(found, books),
            *state_stories(found, books),
            *agreement_stories(found, ledger.parent / "judgement" / "agreements.yml"),
        ],
    )
    return TEMPLATE.format(
        customers=len(books["customers"]),
        lines=whole(len(books["invoice_lines"])),
        year=YEAR,
        net_sales=whole(found["net_sales"]),
        profit=whole(found["operating_profit"]),
        share=f"{found['operating_profit'] / found['net_sales']:.1%}",
        stories=stories,
        terms=terms_table(),
        dictionary=dictionary(read_records()),
        mapping=mapping_dictionary(),
        judgement=judgement_dictionary(),
    )
