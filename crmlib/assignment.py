"""Who gets the target of an option and who its floor, so that all together are worth most under limited capacity: an integer programme.

The target is worth the judged uplift beside the floor, a level between them its part of it; beyond the target nothing is judged and nothing
counted. Options without a judged uplift are in no programme. Solved by HiGHS (scipy); expectations, in floats.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import pandas as pd

from crmlib.books.stored import Books, Frame
from crmlib.declared.periods import Period
from crmlib.menu import priced_menu
from crmlib.profitability import customer_profitability

GAP = 1e-9  # of the worth, by which a solution may fall short of the best there is
NODES = 20_000  # of a search, so that it ends alike on every machine
MORE_SHARE = 0.1  # of a capacity, that is tried beside one unit
STEP = Decimal("0.01")  # of a level that is cut
WORTHS = [f"{at}_{what}" for at in ("floor", "target", "today") for what in ("units", "worth")]
CHOICES = ["customer_id", "segment", "option", "name", "capacity", "floor", "target", "uplift", "today_part", *WORTHS]


def choices(books: Books, period: Period, rows: Frame, judged: str = "uplift") -> Frame:
    """What floor, target and today are worth with each customer, of the options with a judged uplift.

    An uplift in sales brings contribution margin, one in retention keeps net margin.

    Parameters
    ----------
    rows
        As `menu.priced`.
    judged
        uplift, or an end of its range: uplift_low, uplift_high.

    Returns
    -------
    One row per customer and option: customer_id, segment, option, name, capacity (units in the period, missing without a limit), floor and target
    (levels), uplift (of the target beside the floor), today_part (of it that today has), and units and worth (uplift less cost) of floor, target and today.
    """
    menu, base = priced_menu(books, period), _bases(books, period)
    rows = rows[rows["option"].isin(menu.index[menu["uplift_on"] != ""])].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame(columns=CHOICES).astype(dict.fromkeys(CHOICES[4:], float))
    numbers = rows[["floor", "target", "volume", "today"]].astype(float)
    given = (numbers["today"] / numbers["volume"].where(numbers["volume"] > 0)).fillna(0)
    step = (numbers["target"] - numbers["floor"]).where(numbers["target"] > numbers["floor"])
    parts = {"floor": 0.0, "target": 1.0, "today": ((given - numbers["floor"]) / step).fillna(0).clip(0, 1)}
    on = pd.MultiIndex.from_arrays([rows["customer_id"], rows["option"].map(menu["uplift_on"])])
    uplift: Any = base.stack().reindex(on).to_numpy() * rows["option"].map(menu[judged]).astype(float)
    uplift = uplift.where(step.notna(), 0.0)
    found = {f"{at}_worth": uplift * share - rows[f"{at}_cost"].astype(float) for at, share in parts.items()}
    found |= {f"{at}_units": numbers[at] * numbers["volume"] for at in ("floor", "target")}
    found |= {"today_units": numbers["today"], "uplift": uplift, "today_part": parts["today"]}
    found |= {"floor": numbers["floor"], "target": numbers["target"]}
    capacity = rows["option"].map(menu["capacity"]).astype(float) * period.months / 12
    return rows.assign(name=rows["option"].map(menu["name"]), capacity=capacity, **found)[CHOICES]


def _bases(books: Books, period: Period) -> Frame:
    """By customer, what an uplift is a share of: contribution margin (sales) and net margin (retention)."""
    report, statement = customer_profitability(books, period).set_index("customer_id"), books.statement_in(period)
    variable = [line for line in statement.leaves if not (line.is_assignable or line.is_pool)]
    contribution = sum((report[line.id] * line.sign for line in variable), report["sales"] * 0)
    return pd.DataFrame({"sales": contribution, "retention": report[statement.net_margin.id]}).astype(float)


def at_target(rows: Frame, more: float = 0) -> pd.Series:
    """Whether each row of `choices` gets the target in the best assignment, with so many `more` units of each limited option.

    Where not even all floors fit, a floor is what everybody gets, and nobody gets more.
    """
    parts = [_solved(own, more) for _, own in rows.groupby("option", sort=False)]
    return pd.concat(parts).reindex(rows.index) if parts else pd.Series(dtype=bool)


def _solved(own: Frame, more: float) -> pd.Series:
    """The same of one option: options share no capacity, so that each is a programme of its own."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    gain, need = (own[f"target_{what}"] - own[f"floor_{what}"] for what in ("worth", "units"))
    room = own["capacity"].iloc[0] + more - own["floor_units"].sum()
    if pd.isna(room) or need[gain > 0].sum() <= room:
        return gain > 0
    limit, options = LinearConstraint(need.to_numpy(), ub=max(room, 0.0)), {"mip_rel_gap": GAP, "node_limit": NODES}
    solved = milp(-gain, integrality=np.ones(len(own)), bounds=Bounds(0, 1), constraints=limit, options=options)
    assert solved.x is not None, solved.message
    return pd.Series(solved.x > 0.5, own.index)


def fitted(rows: Frame, room: Decimal) -> pd.Series:
    """Levels of one option at which level × volume of all rows fit into the room: the first rows are cut first, each down to its floor.

    Parameters
    ----------
    rows
        level, floor and volume, in the order in which they are cut.

    Returns
    -------
    A level for each row, cut ones in steps of `STEP`; more than the room where not even the floors fit.
    """
    levels, beyond = rows["level"].copy(), Decimal((rows["level"] * rows["volume"]).sum()) - room
    counted: Any = rows[rows["volume"] > 0].iterrows()
    for place, row in counted:
        fits = (row["level"] - max(beyond, Decimal(0)) / row["volume"]).quantize(STEP, ROUND_FLOOR)
        levels[place] = row["level"] if beyond <= 0 else min(row["level"], max(row["floor"], fits))
        beyond -= (row["level"] - levels[place]) * row["volume"]
    return levels


def worth(rows: Frame, target: pd.Series) -> float:
    """What an assignment of `choices` is worth: uplift less cost of all."""
    return float(rows["target_worth"].where(target, rows["floor_worth"]).sum())


def limits(rows: Frame) -> Frame:
    """How the best assignment uses each limited option, and what more of it would bring, by solving again.

    Returns
    -------
    One row per option with a capacity, by name (the index): capacity, used today and used at best (units), wanted (by all with whom the target gains),
    one_more (worth of one more unit), tenth_more (worth of `MORE_SHARE` more), no_limit (worth of as much as is wanted).
    """
    columns, found = ["capacity", "today", "used", "wanted", "one_more", "tenth_more", "no_limit"], {}
    for name, own in rows[rows["capacity"].notna()].groupby("name", sort=False):
        limit, target = own["capacity"].iloc[0], at_target(own)
        at = [worth(own, at_target(own, extra)) - worth(own, target) for extra in (1, MORE_SHARE * limit, np.inf)]
        gains = own["target_worth"] > own["floor_worth"]
        used, wanted = (own["target_units"].where(best, own["floor_units"]).sum() for best in (target, gains))
        found[name] = [limit, own["today_units"].sum(), used, wanted, *at]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("option")


def compared(rows: Frame, target: pd.Series) -> Frame:
    """By option (its name, the index): customers, at_target (how many get it), and what today, all at target, and the assignment are worth."""
    assigned = rows["target_worth"].where(target, rows["floor_worth"])
    by = rows.assign(customers=1, at_target=target.astype(int), assigned=assigned).groupby("name", sort=False)
    sums = by[["customers", "at_target", "today_worth", "target_worth", "assigned"]].sum()
    return sums.rename(columns={"today_worth": "today", "target_worth": "all_at_target"}).rename_axis("option")


def sensitivity(books: Books, period: Period, priced: Frame, target: pd.Series) -> Frame:
    """What today, an assignment, and the best then are worth where uplifts are at the ends of their ranges, and on how many it would differ."""
    found = []
    for end, name in (("uplift_low", "Lowest"), ("uplift", "Expected"), ("uplift_high", "Highest")):
        rows = choices(books, period, priced, end)
        best, today = at_target(rows), rows["today_worth"].sum()
        found.append((name, today, worth(rows, target), worth(rows, best), int((best != target).sum())))
    columns = ["uplifts", "today", "as_chosen", "best_then", "would_differ"]
    return pd.DataFrame(found if len(target) else [], columns=columns)
