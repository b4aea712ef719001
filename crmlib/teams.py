"""Account teams: one for each key account, one for each group of segments; the hours they need, who has them, and who could take over.

Groups of segments are those of one stance. A member stands in a team by name of the account or of its segment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crmlib import accounts
from crmlib.books.stored import Books, Frame, sales_in_floats
from crmlib.criteria import judgement_records, mistakes_in
from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period
from crmlib.declared.reading import refuse_mistakes
from crmlib.declared.teams import DRIVERS, LEAD, SEVERAL, Functions, Member

NOBODY = "nobody"
WITHIN = 0.5  # hours beyond what a member has, below which nobody is over-loaded
BASE = 100.0  # hours beyond, from which on the search counts, since its gap is a share of them
TIE = 0.001  # of an account: between equals small ones move, to those with the lowest load
NODES = 20_000  # of the search, and no clock, so that every run gives the same; beyond them the fewest moves found


def read_functions(books: Books) -> Functions:
    """What each function brings, and the hours that takes (errors as `reading.read`)."""
    return books.engagement.judgement("functions.yml", Functions)


def read_members(books: Books) -> Frame:
    """The rows of judgement/teams.csv, one for each account or segment that a member serves: function, member, hours_month, serves, role.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows, wrong = judgement_records(books, "teams.csv", Member)
    account = accounts.accounts(books, together=books.engagement.judgement("segments.yml", Rules).together)
    known = [*account.index, *books.engagement.segments]
    named = rows["accounts"].map(lambda text: [part.strip() for part in text.split(SEVERAL) if part.strip()])
    each = named.explode().dropna()
    wrong += mistakes_in(each[~each.isin(known)], f"no customer_id and no segment; set them apart by {SEVERAL}", known)
    twice = rows.loc[rows.duplicated(["function", "member"], keep=False), "member"]
    wrong += mistakes_in(twice, f"stands twice in this function; keep one row, accounts set apart by {SEVERAL}")
    refuse_mistakes("judgement/teams.csv", wrong)
    rows = rows.assign(serves=named, hours_month=rows["hours_month"].astype(float))
    rows = rows.explode("serves").drop(columns="accounts")
    return rows.assign(serves=rows["serves"].map(account).fillna(rows["serves"])).drop_duplicates(ignore_index=True)


def teams(decided: Frame, members: Frame, rules: Rules) -> Frame:
    """Which team serves each account (of `segments.differentiate`), by account_id.

    Returns
    -------
    name, segment, stance, key, team (the name of a key account, else the segments of one stance), unit (what members are assigned to: the account
    where it is key or somebody serves it by name, else its segment), serves (the unit's name).
    """
    heads = decided[decided["customer_id"] == decided["account_id"]].set_index("account_id")
    name = heads["customer_name"].where(~heads["customer_name"].duplicated(keep=False), heads["customer_name"] + " (" + heads.index + ")")  # fmt: skip
    segments = heads[~heads["key"]].groupby("stance")["segment"].unique()
    group = {stance: " + ".join(s for s in rules.segments if s in set(there)) for stance, there in segments.items()}
    alone = heads["key"] | heads.index.isin(members["serves"].dropna())
    team, unit = name.where(heads["key"], heads["stance"].map(group)), heads["segment"].where(~alone, heads.index)
    return heads[["segment", "stance", "key"]].assign(name=name, team=team, unit=unit, serves=name.where(alone, heads["segment"]))  # fmt: skip


def hours_needed(books: Books, period: Period, decided: Frame, functions: Functions, found: Frame) -> Frame:
    """The hours a month that each task takes for each account: units of its driver in a year × the hours declared.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).
    decided, found
        As `segments.differentiate` and `opportunities.opportunities`.

    Returns
    -------
    One row per account_id and task: function, task, driver, measure, hours (missing where these books do not have the driver).
    """
    heads = decided[decided["customer_id"] == decided["account_id"]].set_index("account_id")
    drivers, key = _drivers(books, period, decided, found), heads["key"]
    parts = [
        pd.DataFrame({"function": function, "task": task.task, "driver": DRIVERS[task.driver], "measure": task.measure,
                      "hours": drivers[task.driver] / task.per * np.where(key, task.hours_key, task.hours_others)})
        for function, brings in functions.functions.items() for task in brings.tasks
    ]  # fmt: skip
    return pd.concat(parts).rename_axis("account_id").reset_index()


def _drivers(books: Books, period: Period, decided: Frame, found: Frame) -> Frame:
    """The drivers of `declared.teams.DRIVERS` by account, those of a flow in a year; missing where these books do not have one."""
    account, year = decided.set_index("customer_id")["account_id"], 12 / period.months
    heads = decided[decided["customer_id"] == decided["account_id"]].set_index("account_id")
    levels, sold = accounts.service_levels(books, period), sales_in_floats(books, period)
    below = levels[levels["given_share"] < levels["agreed_share"]]
    rows = {"opportunities": found, "below agreed": below if len(levels) else None, "products": sold}
    counts = {
        name: np.nan if table is None else table["customer_id"].map(account).value_counts().reindex(heads.index).fillna(0)
        for name, table in rows.items()
    }  # fmt: skip
    known = [name for name in ("sales", "orders") if name in heads]
    flows = (heads[known].fillna(0).clip(lower=0) * year).reindex(columns=["sales", "orders"])
    return pd.DataFrame({"account": 1.0, **flows, **counts}, index=heads.index)


def places(needed: Frame, served: Frame, members: Frame) -> Frame:
    """The places in teams: who of each function serves what, and how many hours a month of it are theirs.

    Of several members of a function who serve the same, each has an equal part. An account that nobody of a function serves by name is served by
    those of its segment.

    Returns
    -------
    One row per function, unit and member (`NOBODY` where there is none) with hours above zero: team, segment, serves, hours, accounts.
    """
    by = needed.merge(served, on="account_id").groupby(["function", "unit"], as_index=False)
    units = by.agg(team=("team", "first"), segment=("segment", "first"), serves=("serves", "first"), hours=("hours", "sum"), accounts=("account_id", "nunique"))  # fmt: skip
    units = units[units["hours"] > 0]
    who = members[["function", "member", "serves"]].rename(columns={"serves": "unit"})
    named = units.merge(who, on=["function", "unit"])
    rest = units[~units.set_index(["function", "unit"]).index.isin(named.set_index(["function", "unit"]).index)]
    rest = rest.merge(who.rename(columns={"unit": "segment"}), on=["function", "segment"], how="left")
    rows = pd.concat([named, rest.fillna({"member": NOBODY})], ignore_index=True)
    parts = rows.groupby(["function", "unit"])["member"].transform("size")
    return rows.assign(hours=rows["hours"] / parts)


def loads(placed: Frame, members: Frame, functions: Functions) -> Frame:
    """The load of each member, the highest first: function, member, accounts, hours_needed, hours_month, load_share, state (over, under, '')."""
    own = members.drop_duplicates(["function", "member"])[["function", "member", "hours_month"]]
    sums = placed.groupby(["function", "member"], as_index=False).agg(accounts=("accounts", "sum"), hours_needed=("hours", "sum"))  # fmt: skip
    rows = own.merge(sums, how="left").fillna({"accounts": 0.0, "hours_needed": 0.0})
    share = rows["hours_needed"] / rows["hours_month"].where(rows["hours_month"] > 0)
    share = share.where(share.notna() | (rows["hours_needed"] == 0), np.inf)
    beyond = rows["hours_needed"] - functions.full_share * rows["hours_month"]
    state = np.select([beyond > WITHIN, share < functions.low_share], ["over", "under"], "")
    rows = rows.assign(load_share=share, state=state)
    return rows.sort_values(by=["load_share", "function", "member"], ascending=[False, True, True]).reset_index(drop=True)  # fmt: skip


def reassigned(placed: Frame, members: Frame, functions: Functions) -> Frame:
    """Who should have each place, within its function: as few hours as can be beyond what members have, and then the fewest accounts moved.

    Solved as two integer programmes for each function (`scipy.optimize.milp`); a place of nobody counts as hours beyond.

    Returns
    -------
    The rows of `places`, with to (who should have each).
    """
    own = members.groupby(["function", "member"])["hours_month"].first() * functions.full_share
    by = placed.groupby("function")
    parts = [rows.assign(to=_fewest_moves(rows, own[f]) if f in own.index else NOBODY) for f, rows in by]
    return pd.concat([placed.head(0).assign(to=""), *parts])


def _fewest_moves(rows: Frame, own: pd.Series) -> list[str]:
    """Who should have each place of one function."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, eye_array, kron

    who, n, m = [*own.index, NOBODY], len(rows), len(own) + 1
    hours, now = rows["hours"].to_numpy(), [who.index(name) for name in rows["member"]]
    room = np.append(own.to_numpy(), -BASE)
    units = pd.get_dummies(rows["unit"], dtype=float).to_numpy().T
    once, load, alone = kron(eye_array(n), np.ones((1, m))), kron(hours[None], eye_array(m)), kron(units, np.eye(m)[:-1])  # fmt: skip
    high = np.concatenate([np.ones(n), room, np.ones(alone.shape[0])])
    low = np.where(np.arange(len(high)) < n, 1, -np.inf)
    rules = [LinearConstraint(block_array([[once, None], [load, -eye_array(m)], [alone, None]]), low, high)]
    busy = np.bincount(now, hours, m) / np.maximum(room, 1)
    moved = rows["accounts"].to_numpy()[:, None] + TIE * (busy / busy.max() + (hours / hours.sum())[:, None])
    moved[np.arange(n), now] = 0
    beyond = np.append(np.zeros(n * m), np.ones(m))
    given: Any = {"integrality": 1 - beyond, "bounds": Bounds(0, np.where(beyond, np.inf, 1))}
    least = milp(beyond, constraints=rules, options={"mip_rel_gap": WITHIN / BASE, "node_limit": NODES}, **given)
    rules.append(LinearConstraint(beyond, -np.inf, least.fun + WITHIN))
    best = milp(np.append(moved, np.zeros(m)), constraints=rules, options={"node_limit": NODES}, **given)
    return [who[place] for place in best.x[: n * m].reshape(n, m).argmax(axis=1)]


def charters(decided: Frame, served: Frame, needed: Frame, placed: Frame, members: Frame, found: Frame) -> Frame:
    """The charter of each team, key accounts first, the most profitable first.

    Parameters
    ----------
    decided, found
        As `segments.differentiate` and `opportunities.opportunities`.

    Returns
    -------
    By team: stands_for (the stance), key, accounts, lead and others (names; missing where nobody is known), hours (a month, needed), sales,
    net_margin, opportunities, expected (of them).
    """
    own = served.join(decided.drop_duplicates("account_id").set_index("account_id")[["sales", "net_margin"]])
    rows = own.groupby("team").agg(stands_for=("stance", "first"), key=("key", "first"), accounts=("name", "size"),
                                   sales=("sales", "sum"), net_margin=("net_margin", "sum"))  # fmt: skip
    role = members.drop_duplicates(["function", "member"])[["function", "member", "role"]]
    who = placed[placed["member"] != NOBODY].merge(role, on=["function", "member"])
    leads = who["role"].str.casefold() == LEAD
    parts = {name: part.groupby("team")["member"].unique().map(", ".join) for name, part in (("lead", who[leads]), ("others", who[~leads]))}  # fmt: skip
    team = needed["account_id"].map(served["team"])
    parts["hours"] = needed["hours"].groupby(team).sum()
    of = found["customer_id"].map(decided.set_index("customer_id")["account_id"]).map(served["team"])
    gains = found["expected"].groupby(of).agg(["size", "sum"]).reindex(rows.index).fillna(0)
    rows = rows.assign(**parts, opportunities=gains["size"].astype(int), expected=gains["sum"])
    return rows.sort_values(["key", "net_margin"], ascending=False)
