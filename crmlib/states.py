"""In which state customers are, from their own rhythm: new, active, slowing, silent, lost; at stake with those who are going or gone."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crmlib import purchases
from crmlib.accounts import monthly, places
from crmlib.books.stored import Books, Frame, order_days, shared
from crmlib.declared.judgement import STATE_OF, Rules, States
from crmlib.declared.periods import Period, add_months
from crmlib.purchases import Array, Orders

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

YEAR_DAYS = 365
SURE = 2.0  # standard errors by which the latest year's order days lie below the rhythm before
SURE_FALL = 4.0  # the same of the slope of monthly sales, whose best month was looked for
GONE = ("silent", "lost")
AT_RISK = ("slowing", *GONE)
YEAR = 12  # months of margin that are at stake
LATELY = 2  # years since the last order, after which who is lost is no longer told of


def meanings(terms: States) -> pd.Series:
    """What each state means, in words, by state in their order."""
    return pd.Series({state: text.format(**terms.model_dump()) for state, text in STATE_OF.items()}, name="meaning")


def state_table(orders: Orders, sales: Array, start: date, terms: States, since: ArrayLike | None = None) -> Frame:
    """The state of each customer on the last day of its months.

    Parameters
    ----------
    orders, sales
        Order days up to that day, and sales by customer and month from `start`, without the season.
    since
        By customer the day (counted from 1970) since which it is one, where that is known otherwise; nan elsewhere.

    Returns
    -------
    One row per customer, as `purchases.rhythm`, and: state, state_since (last order of the silent and lost, first of the new, the month from
    which who slows fell, None of others) and fall_share (of the slowing: by how much).
    """
    end, begun = (_day(add_months(start, months)) for months in (sales.shape[1], 0))
    how = purchases.rhythm(orders, len(sales), end - 1)
    silent_days, gap = how["silent_days"], how["rhythm_days"]
    ever, first = how["order_days"] > 0, end - 1 - how["age_days"]
    silence = np.maximum(terms.silent_days, terms.silent_gaps * gap)
    joined = _day(add_months(start, sales.shape[1] - terms.new_months))
    known_before = np.zeros(len(sales), bool) if since is None else np.asarray(since, float) < joined
    slows, from_month, fall = slowing(orders, sales, how, end, terms.slowing_share)
    tests = {
        "no order": ~ever,
        "lost": silent_days >= np.maximum(terms.lost_days, terms.lost_gaps * gap),
        "silent": silent_days >= silence,
        "new": (first >= joined) & (first - begun >= silence) & ~known_before,
        "slowing": slows,
    }
    first_held = np.select([np.asarray(holds) for holds in tests.values()], range(len(tests)), len(tests))
    state = np.array([*tests, "active"], dtype=object)[first_held]
    month = pd.Series(np.array([add_months(start, m) for m in range(sales.shape[1] + 1)], dtype=object)[from_month])
    dates = {"lost": how["last_order"], "silent": how["last_order"], "new": how["first_order"], "slowing": month}
    since_when = pd.Series(None, index=how.index, dtype="object")
    for name, days in dates.items():
        since_when = since_when.mask(state == name, days)
    return how.assign(state=state, state_since=since_when, fall_share=np.where(state == "slowing", fall, np.nan))


def slowing(orders: Orders, sales: Array, how: Frame, end: int, least: float) -> tuple[Array, Array, Array]:
    """Who orders or buys less than its own rhythm before, by `least` or more: whether, the month since, and the share fallen.

    Order days of the latest year against the rhythm up to it, `SURE` standard errors below, by the unevenness of the customer's own gaps; or
    sales that fall steadily (`purchases.declines`), `SURE_FALL` standard errors.
    """
    from_month, fall, slope = purchases.declines(sales, (sales != 0).argmax(axis=1))
    year = end - YEAR_DAYS
    recent = np.bincount(orders.customer[orders.day >= year], minlength=len(how))
    earlier, age = how["order_days"] - recent, how["age_days"] + 1 - YEAR_DAYS
    known = ((earlier > 1) & (age >= YEAR_DAYS / 2)).to_numpy()
    rate = np.where(known, (earlier - 1) / age.where(known, 1), 0.0)
    expected = rate * YEAR_DAYS
    error = np.sqrt(how["unevenness"] * expected * (1 + YEAR_DAYS / age.where(known, 1))).to_numpy()
    fewer = 1 - recent / np.where(expected > 0, expected, 1)
    orders_less = known & (fewer >= least) & (expected - recent > SURE * error) & (expected > 1)
    buys_less = (fall >= least) & (slope < -SURE_FALL)
    last_year = max(sales.shape[1] - 12, 0)
    return orders_less | buys_less, np.where(buys_less, from_month, last_year), np.where(buys_less, fall, fewer)


def _day(when: date) -> int:
    return int(np.datetime64(when, "D").astype(int))


def customer_states(books: Books, period: Period, rules: Rules) -> Frame:
    """The state of each account at the end of a period: index account_id, columns as `state_table`.

    Orders count up to the last day of the period, by order date where there is one; a family that is decided on together is one account.
    """
    heads, place = places(books, together=rules.together)
    start = books.engagement.coverage.start
    orders = Orders(*order_days(books, books.customers["customer_id"].tolist(), period.end)).joined(place)
    revenue = {line.id: 1 for line in books.statement.leaves if line.is_revenue}
    sales = monthly(books, period, {"sales": revenue}, place, len(heads))["sales"]
    # in place: of a million accounts a copy would be half of the memory
    sales /= purchases.season_of(sales, start.month)
    since = known_since(books, place, len(heads))
    return state_table(orders, sales, start, rules.states, since).set_index(heads)


def gone(books: Books, period: Period, rules: Rules) -> list[str]:
    """The customer_id of each whose account is silent or lost at the end of a period."""
    _, place = places(books, together=rules.together)
    over = customer_states(books, period, rules)["state"].isin(GONE).to_numpy()[place]
    return list(books.customers.loc[over, "customer_id"])


@shared
def at_risk(books: Books, period: Period, rules: Rules) -> Frame:
    """Accounts that are slowing, silent or, within the latest `LATELY` years, lost at the end of a period, and the margin at stake with each.

    Returns
    -------
    One row per account, the largest stake first: account_id, state, since (as state_since), fall_share, silent_days, usual_gap_days,
    yearly_margin (of the twelve months up to the last with sales, or of as many as there are) and material (whether that is `material_share`
    or more of what all who contribute brought in the latest twelve months).
    """
    heads, place = places(books, together=rules.together)
    state = customer_states(books, period, rules)
    leaves = books.statement.leaves
    kinds = {
        "sales": {line.id: 1 for line in leaves if line.is_revenue},
        "margin": {line.id: line.sign for line in leaves if not line.is_pool},
    }
    months = monthly(books, period, kinds, place, len(heads))
    count = months["sales"].shape[1]
    last = np.where(state["state"] == "slowing", count, count - (months["sales"][:, ::-1] > 0).argmax(axis=1))
    sums, row = np.cumsum(np.pad(months["margin"], ((0, 0), (1, 0))), axis=1), np.arange(len(heads))
    stake = sums[row, last] - sums[row, np.maximum(last - YEAR, 0)]
    least = rules.material_share * np.maximum(months["margin"][:, -YEAR:].sum(axis=1), 0).sum()
    rows = state[["state", "fall_share", "silent_days", "usual_gap_days"]]
    rows = rows.assign(since=state["state_since"], yearly_margin=stake, material=stake >= max(least, 0))
    rows = rows[rows["state"].isin(AT_RISK) & (rows["silent_days"] < LATELY * YEAR_DAYS)].reset_index()
    return rows.sort_values(["yearly_margin", "account_id"], ascending=[False, True], ignore_index=True)


def known_since(books: Books, place: Array, rows: int) -> Array | None:
    """By place the day (counted from 1970) since which somebody is a customer by the ledger, the earliest of a family; nan where it does not say."""
    if "customer_since" not in books.customers:
        return None
    given = pd.to_datetime(books.customers["customer_since"], errors="coerce").to_numpy().astype("datetime64[D]")
    days = np.where(np.isnat(given), np.inf, given.astype(int))
    first = np.full(rows, np.inf)
    np.minimum.at(first, place, days)
    return np.where(np.isinf(first), np.nan, first)
