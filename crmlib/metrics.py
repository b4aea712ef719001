"""From measures of processes to value added: what one step of each does to the lines and balances that it moves.

Where activities make the line, the effect is what the rates say: so many more or fewer of them at the rate in force (its range: the months' lowest
and highest). Else customers of like volume are compared: how the line, as a share of sales, differs with the measure (Theil-Sen slope with its 90 %
range), times the sales of all. Customers differ in more than that, so such an effect is a question with a number, no proof. Amounts are floats.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pandas as pd

from crmlib.books.stored import Books, Frame, capital, services
from crmlib.declared.metrics import BALANCES, Metric, Metrics, Move
from crmlib.declared.periods import Period
from crmlib.declared.reading import did_you_mean, refuse_mistakes
from crmlib.eva import after_tax
from crmlib.profitability import buyers, customer_profitability, in_floats

FEWEST = 15  # customers below which nothing is derived
CONFIDENCE, FIFTHS = 0.90, 5
DRIVEN = {  # measures that make more or fewer of a driver of activities
    "order_value": "orders", "orders_per_month": "orders", "lines_per_order": "invoice_lines", "credits_per_order": "credits",
}  # fmt: skip
EFFECTS = ["metric", "process", "owner", "on", "step", "basis", "customers", "low", "expected", "high"]
Ratio = tuple[pd.Series, pd.Series]  # numerator and denominator of a measure, by customer


def read_metrics(books: Books) -> Metrics:
    """What judgement/metrics.yml says.

    Raises
    ------
    SettingsError
        All mistakes, also a line that the statement does not have.
    """
    read = books.engagement.judgement("metrics.yml", Metrics)
    known = [line.id for line in books.engagement.statement.lines if not line.subtotal] + list(BALANCES)
    wrong = [
        f"metrics[{i}] ({metric.metric}).moves.on: {move.on!r} is no line of the statement and no balance{did_you_mean(move.on, known)}"
        for i, metric in enumerate(read.metrics) for move in metric.moves if move.on not in known
    ]  # fmt: skip
    refuse_mistakes("judgement/metrics.yml", wrong)
    return read


def levels(books: Books, period: Period, register: Metrics) -> Frame:
    """Each measure today: metric, process, owner, unit, better (higher or lower), level (missing without data) and customers (of whom it is known)."""
    bought = in_floats(books, buyers(customer_profitability(books, period)))
    rows = [
        (m.metric, m.process, m.owner, m.unit, m.direction, *_level(_ratio(books, period, bought, m.measure)))
        for m in register.metrics
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["metric", "process", "owner", "unit", "better", "level", "customers"])


def _level(ratio: Ratio | None) -> tuple[float, int]:
    if ratio is None:
        return float("nan"), 0
    whole = float(ratio[1].sum())
    return float(ratio[0].sum()) / whole if whole else float("nan"), len(ratio[1])


def effects(books: Books, period: Period, register: Metrics) -> Frame:
    """What one step for the better of each measure adds to the net margin, by line or balance that it moves.

    Returns
    -------
    One row per measure and what it moves: metric, process, owner, on (label), step, basis (by rates, compared, judged, or why there is no effect), customers
    (compared), low, expected, high (effects on the margin before tax, the derivative of the statement's signed sum) and value_added (expected, after tax;
    missing without rates).
    """
    bought = in_floats(books, buyers(customer_profitability(books, period)))
    rows = [
        (m.metric, m.process, m.owner, _label(books, move.on), m.step, *_effect(books, period, bought, m, move))
        for m in register.metrics for move in m.moves
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=EFFECTS)
    return table.assign(value_added=table["expected"].astype(float) * after_tax(books, period))


def _label(books: Books, on: str) -> str:
    labels = {line.id: line.label for line in books.engagement.statement.lines}
    return labels.get(on, on.replace("_", " ").capitalize())


def _effect(books: Books, period: Period, bought: Frame, metric: Metric, move: Move) -> tuple[Any, ...]:
    """Basis, customers compared, and the effect of one step for the better with its range."""
    nothing = (float("nan"),) * 3
    statement = books.statement_in(period)
    if move.on in BALANCES:  # a balance costs its charge
        weight = -float(books.engagement.settings.rates.capital_charge_rate) * period.months / 12
    elif move.on not in {line.id for line in statement.leaves}:
        return "not in these books", 0, *nothing
    else:
        weight = float(statement[move.on].sign)
    weight *= 1 if metric.direction == "higher" else -1
    if move.by is not None:
        return "judged", 0, *sorted(weight * float(end or 0) for end in (move.low, move.by, move.high))
    ratio = _ratio(books, period, bought, metric.measure)
    if ratio is not None and (priced := _by_rates(books, period, metric, move.on, ratio)):
        return "by rates", len(ratio[1]), *sorted(weight * end for end in priced)
    base = capital(books, period)[move.on].astype(float) if move.on in BALANCES else bought[move.on]
    if ratio is None:
        return "no data", 0, *nothing
    count, ends = _slope(ratio[0] / ratio[1], base.reindex(bought.index).fillna(0) / bought["sales"], bought["sales"])
    if ends is None:
        return "too few customers", count, *nothing
    return "compared", count, *sorted(weight * metric.step * float(bought["sales"].sum()) * end for end in ends)


def _by_rates(books: Books, period: Period, metric: Metric, line: str, ratio: Ratio) -> list[float] | None:
    """What a line changes when the measure rises by one step, by the activities that it makes more or fewer of; None where no activity is in between."""
    types, level = books.table("activity_types"), float(ratio[0].sum() / ratio[1].sum())
    if types is None or not level:
        return None
    kind, _, name = metric.measure.partition(": ")
    drivers = types["driver"] if "driver" in types else pd.Series("", types.index)
    chosen = types["activity"] == name if kind == "activity" else drivers == DRIVEN.get(metric.measure, metric.measure)
    done = services(books, period, ["activity", "month"]).astype({"quantity": float, "amount": float})
    done = done[done["activity"].isin(types.loc[chosen & (types["line"] == line), "activity"]) & (done["quantity"] > 0)]
    if done.empty:
        return None
    part = -metric.step / (level + metric.step) if metric.measure == "order_value" else metric.step / level
    months = done.groupby("month")["amount"].sum() / done.groupby("month")["quantity"].sum()
    usual = done["amount"].sum() / done["quantity"].sum()
    return [part * done["amount"].sum() * rate / usual for rate in (months.min(), usual, months.max())]


def _slope(measure: pd.Series, share: pd.Series, sales: pd.Series) -> tuple[int, list[float] | None]:
    """How a share rises with a measure over customers of like volume: how many, and the slope with the ends of its range."""
    from scipy.stats import theilslopes

    pairs = pd.DataFrame({"x": measure, "y": share}).replace([float("inf"), -float("inf")], float("nan")).dropna()
    if len(pairs) < FEWEST or pairs["x"].nunique() < 2:
        return len(pairs), None
    many = max(1, min(FIFTHS, len(pairs) // FEWEST))
    fifth = pd.qcut(sales.reindex(pairs.index).rank(method="first"), many, labels=False)
    apart = pairs - pairs.groupby(fifth).transform("median")
    fitted = theilslopes(apart["y"], apart["x"], CONFIDENCE)
    return len(pairs), [float(fitted.low_slope), float(fitted.slope), float(fitted.high_slope)]


def _ratio(books: Books, period: Period, bought: Frame, measure: str) -> Ratio | None:
    """Numerator and denominator of a measure of those who bought; None where these books do not tell."""
    kind, _, name = measure.partition(": ")
    if kind == "service":
        table = books.table("service_levels")
        rows = period.rows(table).query("measure == @name") if table is not None else pd.DataFrame()
        if rows.empty:
            return None
        sums = rows[rows["customer_id"].isin(bought.index)].groupby("customer_id")[["numerator", "denominator"]].sum()
        return sums["numerator"].astype(float), sums["denominator"].astype(float)
    if kind == "activity":
        done = services(books, period, ["owner", "activity"])
        own = done[done["activity"] == name].set_index("owner")["quantity"].astype(float)
        return (own.reindex(bought.index).fillna(0), bought["orders"]) if len(own) and "orders" in bought else None
    net = bought.get("net_sales", bought["sales"])
    owed = capital(books, period)["receivables"].astype(float).reindex(bought.index).fillna(0)
    columns = {
        "order_value": ("sales", "orders"), "lines_per_order": ("invoice_lines", "orders"), "credits_per_order": ("credits", "orders"),
    }  # fmt: skip
    if measure in columns:
        above, below = columns[measure]
        return (bought[above], bought[below]) if {above, below} <= set(bought) and bought[below].gt(0).any() else None
    if measure == "orders_per_month" and "orders" in bought:
        return bought["orders"], pd.Series(float(period.months), bought.index)
    if measure == "days_outstanding" and owed.gt(0).any():
        return owed * 365 * period.months / 12, net.where(net > 0)
    return (bought["sales"] - net, bought["sales"]) if measure == "discount_share" and "net_sales" in bought else None


def branches(table: Frame) -> Frame:
    """The effects as a tree (as `look.drivers.plot_tree`): what one step of every measure adds after tax, by line and measure.

    Effects whose range holds nothing are left out, and so are lines without any.
    """
    sure = table[(table["low"] * table["high"] > 0) & table["value_added"].notna()]
    if sure.empty:
        return pd.DataFrame(columns=["parent", "amount", "gain", "note"])
    leaves = pd.DataFrame({
        "name": sure["metric"], "parent": sure["on"], "amount": sure["value_added"], "gain": 0.0,
        "note": [f"{r.owner or 'no owner'!s}; {r.basis!s}" for r in sure.itertuples()],
    })  # fmt: skip
    again = leaves["name"].duplicated(keep=False)
    leaves["name"] = leaves["name"].where(~again, leaves["name"] + " → " + leaves["parent"])
    lines = leaves.groupby("parent", sort=False)["amount"].sum().to_frame()
    rows = [{"name": "Economic value added", "parent": "", "amount": lines["amount"].sum()}]
    rows += [{"name": line, "parent": "Economic value added", "amount": size} for line, size in lines["amount"].items()]
    tree = pd.concat([pd.DataFrame(rows).assign(gain=0.0, note=""), leaves]).set_index("name")
    return tree[["parent", "amount", "gain", "note"]]


def faults(table: Frame, today: Frame) -> Frame:
    """What is wrong with the framework: metric, fault and detail; measures that pull against each other, have no owner, data or line, or whose effect cannot be told."""
    rows = [(m.metric, "no owner", f"nobody answers for it in {m.process}") for m in today.itertuples() if not m.owner]
    rows += [(m.metric, "no data", "these books do not tell its level") for m in today.itertuples() if m.customers == 0]
    moving = set(table.loc[table["low"] * table["high"] > 0, "metric"])
    by = table.groupby("metric", sort=False)
    tried = {m: ("effect not told yet", "; ".join(map(_untold, part.to_dict("records")))) for m, part in by}
    unnamed = ("no line named", "no line or balance is named")
    rows += [(name, *tried.get(name, unnamed)) for name in today["metric"] if name not in moving]
    rows += _pulls(table)
    return pd.DataFrame(rows, columns=["metric", "fault", "detail"])


def _untold(effect: dict[str, Any]) -> str:
    """Why an effect cannot be told from nothing: its range holds zero, or there is none."""
    of = f", {effect['customers']} customers" if effect["customers"] else ""
    return f"{effect['basis']}{': range holds zero' if pd.notna(effect['low']) else ''}{of}"


def _pulls(table: Frame) -> list[tuple[str, str, str]]:
    """Pairs of measures whose step for the better moves the same line to different sides, and measures whose step for the better takes value."""
    rows: list[tuple[str, str, str]] = []
    sure = table[table["low"] * table["high"] > 0]
    for line, part in sure.groupby("on", sort=False):
        for one, two in combinations(part.itertuples(), 2):
            if one.expected * two.expected < 0:
                gains, costs = (one, two) if one.expected > 0 else (two, one)
                detail = f"it improves {line}, which {costs.metric} worsens"
                rows.append((str(gains.metric), "pulls against another", detail))
    sums = sure.groupby("metric", sort=False)["expected"].sum()
    takes = ("takes value", "a step for the better costs more than it brings")
    return rows + [(str(name), *takes) for name in sums.index[sums < 0]]
