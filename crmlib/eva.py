"""Economic value added: what is earned beyond the price of the capital that earns it, of the firm and of each customer.

A customer's is its net segment margin after tax, exactly, since the charges in it are the price of capital before tax (cost of capital /
(1 − tax rate)). The firm's is its profit after tax less the cost of capital on all that it employs (Stewart, *The Quest for Value*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd

from crmlib import profitability
from crmlib.books.stored import HALF_CENT, Books, Frame, capital
from crmlib.declared.capital import Capital
from crmlib.declared.periods import Period
from crmlib.declared.reading import refuse_mistakes
from crmlib.declared.statement import Line
from crmlib.opportunities import RETURNED

BRANCH_OF = {"receivables": "other current assets", "inventory": "inventory", "dedicated_assets": "fixed assets"}
BRANCHES = {  # of the driver tree (Lambert): how the process moves each
    "sales": "keep and win the right customers, sell them more, be paid for what they value",
    "cost of goods": "sell what leaves more, and let the plant plan by what customers tell",
    "expenses": "give each segment the service that it needs, and end what nobody asked for",
    "inventory": "share forecasts and orders, so that less stock serves as well",
    "other current assets": "agree terms and invoice without error, so that customers pay sooner",
    "fixed assets": "invest for a customer only where it pays for the asset",
}
TREE = ["parent", "amount", "gain", "note"]
ADDED_BACK = ("capital_charges",)  # sources of the line that takes the charges for capital out of the firm's profit
AS_JUDGED = "other, as judged"
WITH_AGREEMENTS, WITH_ALL, CENT = "With agreements", "With all opportunities", Decimal("0.01")
KINDS_ON = {"white space": "sales", "price": "sales", "mix": "cost of goods", "payment terms": "other current assets"}


def read_capital(books: Books) -> Capital:
    """What judgement/capital.yml says.

    Raises
    ------
    SettingsError
        All mistakes, also where the parts of the cost of capital do not come to the rate in engagement.yml.
    """
    judged, rates = books.engagement.judgement("capital.yml", Capital), books.engagement.settings.rates
    wrong = []
    if judged.cost_of_capital:
        sum_of_parts = judged.cost_of_capital.weighted(rates.tax_rate)
        if sum_of_parts.quantize(rates.cost_of_capital) != rates.cost_of_capital:
            wrong.append(f"cost_of_capital: the parts come to {sum_of_parts.normalize():f} after tax, engagement.yml says {rates.cost_of_capital}; "
                         f"mend the parts, or write `cost_of_capital: {sum_of_parts.normalize():f}` under rates there")  # fmt: skip
    if np.linalg.eigvalsh(judged.correlated()).min() < -1e-9:
        wrong.append("correlations: they contradict each other (if two drivers move with a third, they move together); bring them nearer to 0")  # fmt: skip
    refuse_mistakes("judgement/capital.yml", wrong)
    return judged


def lacking(books: Books, period: Period, *, of_firm: bool = True) -> list[str]:
    """What these books lack to say what value customers, or the firm, add; in words, none where they can."""
    declared, statement = books.engagement.settings.rates.model_fields_set, books.statement_in(period)
    needed = {
        "the cost of capital": "cost_of_capital" in declared,
        "the tax rate": "tax_rate" in declared,
        "any cost of customers": statement.has_costs,
    }
    if of_firm:
        assets = read_capital(books).assets
        needed |= {
            "a joint cost or the cost of capacity": any(n.is_pool and n.sources != ADDED_BACK for n in statement.leaves),
            "what the firm employs (capital.yml)": bool(assets),
            f"what it employed before (capital.yml begins after {period.start:%B %Y})": all(a.mean(period) is not None for a in assets),
        }  # fmt: skip
    return [words for words, there in needed.items() if not there]


def after_tax(books: Books, period: Period) -> float:
    """What is left of an amount after tax; missing where these books do not say what value customers add."""
    kept = 1 - books.engagement.settings.rates.tax_rate
    return float("nan") if lacking(books, period, of_firm=False) else float(kept)


def of_customers(books: Books, period: Period) -> Frame:
    """What each customer adds, after tax and the price of its capital, the most first; empty where something is `lacking`.

    Returns
    -------
    One row per customer, the last of what has no known customer: its attributes, sales, margin (net), value_added, and the mean receivables, inventory and
    dedicated_assets with their sum, employed.
    """
    report, tax = profitability.customer_profitability(books, period), books.engagement.settings.rates.tax_rate
    known = [*books.customers.columns, "sales"]
    margin = report[books.statement_in(period).net_margin.id]
    valued = report[known].assign(margin=margin, value_added=margin * (1 - tax))
    balances = capital(books, period)[list(BRANCH_OF)]
    tied = balances.reindex(valued["customer_id"], fill_value=Decimal(0)).set_axis(valued.index)
    valued = pd.concat([valued, tied.assign(employed=tied.sum(axis=1))], axis=1)
    return valued.iloc[:0] if lacking(books, period, of_firm=False) else valued


def of_groups(books: Books, period: Period, by: str) -> Frame:
    """What each group adds: that of its customers less the costs that it owns, after tax; as `group_profitability`, its `rest` too.

    One row per group (the index): sales, margin, value_added. Empty where something is lacking.
    """
    report, tax = profitability.group_profitability(books, period, by), books.engagement.settings.rates.tax_rate
    rows = pd.concat([part for part in (report.groups, report.rest) if len(part)])
    margin = rows[books.statement_in(period).net_margin.id]
    valued = rows[["sales"]].assign(margin=margin, value_added=margin * (1 - tax))
    return valued.iloc[:0] if lacking(books, period, of_firm=False) else valued


@dataclass(frozen=True)
class Firm:
    """What the firm adds in a period; all of it empty where the books lack something.

    Attributes
    ----------
    account
        From net sales to value added, by name: net_sales, goods, expenses, profit (operating, before any charge for capital), tax, nopat, charge, eva;
        with employed (mean capital), cost (of it, a year), period_cost (the same for the period) and roic (return on it, a year; None without capital).
    assets
        One row per asset: asset, branch, employed, charge (for the period, after tax), owner, whose (customers, nobody).
    down
        From the value that customers add to the firm's: Unassigned, costs that groups own, each cost of nobody, capital of nobody.
    parts
        What moves when drivers move, in floats: goods, varying (other costs that vary), receivables, and the branches of the tree.
    """

    account: pd.Series
    assets: Frame
    down: pd.Series
    parts: Mapping[str, float]


def of_firm(books: Books, period: Period) -> Firm:
    """The firm's economic value added: profit after tax less the cost of capital employed, each asset once."""
    if lacking(books, period):
        none: pd.Series = pd.Series(dtype=object)
        return Firm(none, pd.DataFrame(columns=["asset", "branch", "employed", "charge", "owner", "whose"]), none, {})
    rates, statement = books.engagement.settings.rates, books.statement_in(period)
    lines, assets = profitability.firm_profitability(books, period), _assets(books, period)
    net_sales = _signed(lines, [line for line in statement.leaves if line.is_trade])
    goods = -_signed(lines, [line for line in statement.leaves if line.is_goods])
    charged = profitability.total(capital(books, period)["capital_charge"])
    profit = _signed(lines, [line for line in statement.leaves if line.sources != ADDED_BACK]) + charged
    nopat, employed = profit * (1 - rates.tax_rate), profitability.total(assets["employed"])
    period_cost = rates.cost_of_capital * period.months / 12
    account = pd.Series({
        "net_sales": net_sales, "goods": goods, "expenses": net_sales - goods - profit, "profit": profit, "tax": profit - nopat, "nopat": nopat,
        "charge": employed * period_cost, "eva": nopat - employed * period_cost, "employed": employed, "cost": rates.cost_of_capital,
        "tax_rate": rates.tax_rate, "period_cost": period_cost, "roic": nopat / employed * 12 / period.months if employed > 0 else None,
    }, dtype=object)  # fmt: skip
    varying = _signed(lines, [n for n in statement.leaves if n.varies and n.is_served and not n.balance])
    return Firm(account, assets, _down(books, period, account, assets), _parts(account, assets, -varying))


def way(firm: Firm) -> Frame:
    """From net sales to economic value added: item and amount, signed as it enters; empty where something is lacking."""
    steps = {
        "Net sales": ("net_sales", 1), "Cost of goods sold": ("goods", -1), "Expenses, without charges for capital": ("expenses", -1),
        "Operating profit": ("profit", 1), "Tax": ("tax", -1), "Net operating profit after tax": ("nopat", 1),
        "Charge for the capital employed": ("charge", -1), "Economic value added": ("eva", 1),
    }  # fmt: skip
    rows = [(item, firm.account[name] * sign) for item, (name, sign) in steps.items()] if len(firm.account) else []
    return pd.DataFrame(rows, columns=["item", "amount"])


def forms_agree(firm: Firm) -> bool:
    """Whether profit after tax less the charge is, to the cent, the return on capital less its cost, on the capital; True where there is none."""
    account = firm.account
    if account.empty or not account["employed"]:
        return True
    spread = account["nopat"] / account["employed"] - account["period_cost"]
    return bool(abs(spread * account["employed"] - account["eva"]) < HALF_CENT)


def _signed(lines: pd.Series, chosen: list[Line]) -> Decimal:
    return sum((lines[line.id] * line.sign for line in chosen), Decimal(0))


def _assets(books: Books, period: Period) -> Frame:
    """Each asset once: the balances of customers, and what else the firm employs without what these hold of it."""
    balances = capital(books, period)
    cost = books.engagement.settings.rates.cost_of_capital * period.months / 12
    own = {balance: profitability.total(balances[balance]) for balance in BRANCH_OF}
    rows = [
        (f"{name.replace('_', ' ').capitalize()} of customers", BRANCH_OF[name], amount, "", "customers")
        for name, amount in own.items() if amount
    ]  # fmt: skip
    for asset in read_capital(books).assets:
        rest = (asset.mean(period) or Decimal(0)) - own.get(asset.includes, Decimal(0))
        rows.append((asset.asset, asset.branch, rest, asset.owner, "nobody"))
    assets = pd.DataFrame(rows, columns=["asset", "branch", "employed", "owner", "whose"], dtype=object)
    assets.insert(3, "charge", [amount * cost for amount in assets["employed"]])
    return assets


def _down(books: Books, period: Period, account: pd.Series, assets: Frame) -> pd.Series:
    added_back = [line.label for line in books.statement_in(period).leaves if line.sources == ADDED_BACK]
    steps = profitability.from_customers_to_profit(books, period).iloc[:-1].drop(added_back)
    after_tax = steps * (1 - books.engagement.settings.rates.tax_rate)
    nobodys = profitability.total(assets.loc[assets["whose"] == "nobody", "charge"])
    ends = {"Charge for capital of nobody": -nobodys, "Economic value added": account["eva"]}
    return pd.Series({**dict(after_tax), **ends}, dtype=object)


def _parts(account: pd.Series, assets: Frame, varying: Decimal) -> dict[str, float]:
    branches = {branch: Decimal(0) for branch in BRANCHES} | dict(assets.groupby("branch")["employed"].sum())
    owed = profitability.total(assets.loc[assets["asset"] == "Receivables of customers", "employed"])
    amounts = {**branches, "sales": account["net_sales"], "cost of goods": account["goods"], "expenses": account["expenses"], "varying": varying,
               "receivables": owed, "tax": account["tax_rate"], "cost": account["period_cost"]}  # fmt: skip
    return {name: float(amount) for name, amount in amounts.items()}


# --- the driver tree -------------------------------------------------------------------------------------------------


def tree(firm: Firm, gains: Frame) -> Frame:
    """The driver tree: value added, what it is made of, and what the opportunities on each branch would add.

    Parameters
    ----------
    gains
        As `on_branches`.

    Returns
    -------
    One row per node (the index), the root first: parent ('' for the root), amount (what it adds today, after tax), gain, note (how the process moves it).
    Parents are sums of their branches. Empty where something is lacking.
    """
    if firm.account.empty:
        return pd.DataFrame(columns=TREE).astype({"gain": float})
    account, kept = firm.account, 1 - firm.account["tax_rate"]
    gain, charges = gains.groupby("branch")["eva"].sum(), firm.assets.groupby("branch")["charge"].sum()
    names = {"sales": "net_sales", "cost of goods": "goods", "expenses": "expenses"}
    earned = {b: account[name] * kept * (1 if b == "sales" else -1) for b, name in names.items()}
    rows = [
        ("Profit after tax" if b in earned else "Charge for capital", earned.get(b, -charges.get(b, Decimal(0))), gain.get(b, 0.0), note)
        for b, note in BRANCHES.items()
    ]  # fmt: skip
    leaves = pd.DataFrame(rows, index=list(BRANCHES), columns=TREE, dtype=object)
    if AS_JUDGED in gain:
        leaves.loc[AS_JUDGED] = ["Profit after tax", Decimal(0), gain[AS_JUDGED], "what people see and no line names"]
    sums = leaves.groupby("parent", sort=False)[["amount", "gain"]].sum().assign(parent="Economic value added", note="")
    root = sums[["amount", "gain"]].sum().to_frame("Economic value added").T.assign(parent="", note="")
    return pd.concat([root, sums, leaves])[TREE].astype({"gain": float})


def with_gains(firm: Firm, branches: Frame, agreed: Mapping[str, Decimal]) -> pd.Series:
    """From the value added today over what agreements bring to that with them, and on to that with what opportunities add beside them.

    Parameters
    ----------
    branches
        As `tree`, its gains of opportunities beside the agreements (`opportunities.beside`).
    agreed
        By name what agreements bring before tax (`agreements.together`); without agreements there is no value with them.

    Returns
    -------
    Amounts after tax, opportunities to the cent; empty where something is lacking.
    """
    if branches.empty:
        return branches["gain"]
    kept = 1 - firm.account["tax_rate"]
    first = {"Today": firm.account["eva"], **{name: size * kept for name, size in agreed.items()}}
    then = sum(first.values(), Decimal(0))
    added = {str(branch): Decimal(gain).quantize(CENT) for branch, gain in branches["gain"].iloc[3:].items()}
    steps = {**first, **({WITH_AGREEMENTS: then} if agreed else {}), **added}
    return pd.Series({**steps, WITH_ALL: then + sum(added.values())}, dtype=object)


def on_branches(found: Frame, books: Books, period: Period) -> Frame:
    """Opportunities (as `opportunities.opportunities`), each on one branch of the tree: branch, and what it would add after tax: eva, eva_low, eva_high.

    The amounts are missing where the books do not say what value customers add.
    """
    lines = {line.label: line for line in books.statement_in(period).leaves}
    branch = [_branch(kind, item, lines.get(item)) for kind, item in zip(found["kind"], found["item"], strict=True)]
    kept = after_tax(books, period)
    sizes = {"eva": found["expected"] * kept, "eva_low": found["low"] * kept, "eva_high": found["high"] * kept}
    return found.assign(branch=pd.Series(branch, found.index, dtype=object), **sizes)


def _branch(kind: str, item: str, line: Line | None) -> str:
    if kind in KINDS_ON:
        return KINDS_ON[kind]
    if line is None:
        return AS_JUDGED if kind == "other" else "sales" if item == RETURNED else "expenses"
    plain = "sales" if line.is_trade else "cost of goods" if line.is_goods else "expenses"
    return BRANCH_OF.get(line.balance, plain)
