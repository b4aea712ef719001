"""Agreements in force: the plan by which they become what people do, the service given against them, and what moved since they began.

What moved since is not claimed to be an agreement's doing: prices and volumes of the market are in it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pandas as pd

from crmlib.agreements import parties
from crmlib.books.stored import Books, Frame, read_cube
from crmlib.criteria import as_declared, judgement_records
from crmlib.declared.periods import Period, add_months
from crmlib.declared.reading import did_you_mean, refuse_mistakes
from crmlib.declared.teams import SEVERAL, Milestone
from crmlib.profitability import customer_profitability, total

FALSE_ALARM = 0.00135  # chance of a month outside a limit though nothing changed: that of three sigmas
BASE = 12  # months before the period, from which on they alone say what is usual
DAY, ZERO = timedelta(days=1), Decimal(0)
HELD = ["with_whom", "measure", "target", "customer_id", "month", "numerator", "denominator", "sales", "deducted", "held", "below", "owed"]  # fmt: skip
SINCE = ["party", "with_whom", "version", "months", "before", "sales_before", "sales", "margin_before", "margin", "others_before", "others"]  # fmt: skip


def read_plan(books: Books) -> Frame:
    """The milestones of judgement/plan.csv, columns as `Milestone`, depends_on a list; empty without the file.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed; also dependencies in a circle.
    """
    rows, wrong = judgement_records(books, "plan.csv", Milestone)
    after = rows["depends_on"].map(lambda text: [part.strip() for part in text.split(SEVERAL) if part.strip()])
    ids = list(rows["id"])
    named = {"account": list(books.customers["customer_id"]), "segment": books.engagement.segments}
    for i, row in enumerate(rows.to_dict("records")):
        wrong += [f"row {i + 2}, {c}: {row[c]!r}: no such {c}{did_you_mean(row[c], known)}" for c, known in named.items() if row[c] and row[c] not in known]  # fmt: skip
        wrong += [f"row {i + 2}, depends_on: {b!r}: no such id{did_you_mean(b, ids)}" for b in after[i] if b not in ids]
        wrong += [f"row {i + 2}, id: {row['id']!r}: stands twice; keep one row"] if ids.count(row["id"]) > 1 else []
    if not wrong:
        try:
            TopologicalSorter(dict(zip(ids, after, strict=True))).prepare()
        except CycleError as error:
            i = ids.index(error.args[1][1])
            wrong.append(f"row {i + 2}, depends_on: {rows.at[i, 'depends_on']!r}: goes in a circle: {', '.join(reversed(error.args[1]))}; take one out")  # fmt: skip
    refuse_mistakes("judgement/plan.csv", wrong)
    return as_declared(rows, Milestone).assign(depends_on=after)


def schedule(plan: Frame, today: date) -> Frame:
    """When each milestone can be expected, as of a day: after what it depends on, in as many days as planned, and not before today.

    Returns
    -------
    The plan with begins and ends (days), slip_days (behind the plan), slack_days (by which it may slip until the last one does), state (done, late,
    will be late, on plan) and critical (not done, and on the way that leads to the end of the last one).
    """
    after: dict[str, list[str]] = dict(zip(plan["id"], plan["depends_on"], strict=True))
    order, rows = list(TopologicalSorter(after).static_order()), dict[Any, Any](plan.set_index("id").to_dict("index"))
    begins, ends, latest = dict[str, date](), dict[str, date](), dict[str, date]()
    for i in order:
        row, done = rows[i], rows[i]["done"] is not None and rows[i]["done"] <= today
        begins[i] = row["start"] if done else max([row["start"], *(ends[b] + DAY for b in after[i])])
        ends[i] = row["done"] if done else max(begins[i] + (row["end"] - row["start"]), today)
    for i in reversed(order):
        latest[i] = min((latest[s] - (ends[s] - begins[s]) - DAY for s in order if i in after[s]), default=max(ends.values()))  # fmt: skip
    way = [max(order, key=ends.__getitem__)] if order else []
    while way and after[way[-1]]:
        way.append(max(after[way[-1]], key=ends.__getitem__))
    state = [_state(rows[i], ends[i], today) for i in plan["id"]]
    return plan.assign(
        begins=plan["id"].map(begins), ends=plan["id"].map(ends), slip_days=[(ends[i] - rows[i]["end"]).days for i in plan["id"]],
        slack_days=[(latest[i] - ends[i]).days for i in plan["id"]], state=state,
        critical=[i in way and s != "done" for i, s in zip(plan["id"], state, strict=True)],
    )  # fmt: skip


def _state(row: Any, ends: date, today: date) -> str:
    if row["done"] is not None and row["done"] <= today:
        return "done"
    return "late" if row["end"] < today else "will be late" if ends > row["end"] else "on plan"


def service_held(books: Books, period: Period) -> Frame:
    """The service given to each customer with an agreement in force, in each month in which it was measured.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).

    Returns
    -------
    One row per agreement, measure, customer and month of the books up to the period's end: with_whom, measure, target, numerator, denominator, held (in
    the period, and the version in force); sales, deducted (gross, and what was deducted from it, in the month), below (the target) and owed (the
    penalty of a month's net sales where it is below, less the bonus where it is not; 0 where not held).
    """
    known, served = Period(books.engagement.coverage.start, period.end), books.table("service_levels")
    rows = known.rows(served).query("denominator > 0") if served is not None else pd.DataFrame(columns=HELD)
    trade = _trade(books, known, rows["customer_id"].unique())
    parts = [pd.DataFrame(columns=HELD)]
    for agreement, with_whom, customers in parties(books, period):
        for promised, target in ((c, c.target) for c in agreement.commitments if c.target is not None):
            own: Any = rows[rows["customer_id"].isin(customers) & (rows["measure"] == promised.measure)]
            own = own.merge(trade, how="left", on=["customer_id", "month"]).fillna({"sales": ZERO, "deducted": ZERO})
            held = (own["month"] >= max(period.start, agreement.valid_from)) & (own["month"] <= agreement.valid_to)
            below = (own["numerator"] < own["denominator"] * target).astype(bool)
            rate = below.map({True: promised.penalty, False: -promised.bonus}).where(held, ZERO)
            owed = rate * (own["sales"] - own["deducted"])
            parts.append(own.assign(with_whom=with_whom, target=target, held=held, below=below, owed=owed)[HELD])  # fmt: skip
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _trade(books: Books, period: Period, customers: Any) -> Frame:
    """By customer_id, of these customers, and month: gross sales, and what was deducted from them."""
    owners = pd.DataFrame({"level": "customer", "owner": customers}, dtype=object)
    rows = read_cube(books, period, owners).rename(columns={"owner": "customer_id"})
    lines = [line for line in books.statement_in(period).leaves if line.is_trade]
    sums = {kind: rows[[line.id for line in lines if line.is_revenue == gross]].sum(axis=1) for kind, gross in (("sales", True), ("deducted", False))}  # fmt: skip
    return rows[["customer_id", "month"]].assign(**sums)


def control_limits(held: Frame) -> Frame:
    """Months of a measure that say that something changed: a p-chart with exact limits for each month's number of cases.

    The usual limits, three sigmas of the normal distribution (Shewhart 1931), are wrong for few cases of a share near one (Montgomery,
    *Statistical Quality Control*): of seven deliveries one late is no signal. So limits are quantiles of the binomial distribution around
    the mean of the months before the period (of all, where there are fewer than `BASE`), each passed by chance as seldom as three sigmas are.

    Parameters
    ----------
    held
        As `service_held`.

    Returns
    -------
    One row per with_whom, measure and month: share, mean, lower, upper, target, outside (below lower), held.
    """
    from scipy.stats import binom

    by = ["with_whom", "measure"]
    sums = {"numerator": "sum", "denominator": "sum", "target": "first", "held": "any"}
    rows = held.astype({"numerator": float, "denominator": float, "target": float, "held": bool})
    rows = rows.groupby([*by, "month"], as_index=False).agg(sums)
    early = rows["month"] < rows["month"].where(rows["held"]).groupby([rows[c] for c in by]).transform("min")
    based = early.groupby([rows[c] for c in by]).transform("sum") >= BASE
    base = rows[["numerator", "denominator"]].where(early | ~based, 0).groupby([rows[c] for c in by]).transform("sum")
    mean, cases = base["numerator"] / base["denominator"], rows["denominator"]
    lower, upper = (binom.ppf(tail, cases.round(), mean) / cases for tail in (FALSE_ALARM, 1 - FALSE_ALARM))
    share = rows["numerator"] / cases
    return rows.assign(share=share, mean=mean, lower=lower, upper=upper, outside=share < lower)


def since(books: Books, period: Period) -> Frame:
    """What agreements in force brought in the months of a period, beside the same months before the version began.

    Parameters
    ----------
    books
        With the segments of the period.

    Returns
    -------
    One row per agreement that held in a whole month: party (customer_id or segment), with_whom, version, months, before (in words), sales_before, sales, margin_before, margin
    (net), others_before and others (margin of the customers without an agreement); amounts are missing where the books do not hold the months before
    with the same lines.
    """
    everyone, found = list(parties(books, period)), []
    agreed = {c for _, _, customers in everyone for c in customers}
    for agreement, with_whom, customers in everyone:
        first = add_months(agreement.valid_from, int(agreement.valid_from.day > 1))
        start, end = max(period.start, first), min(period.end, add_months(agreement.valid_to + DAY, 0))
        if start >= end:
            continue
        now = Period(start, end)
        before = now.shifted(-12 * -(-Period(first, end).months // 12))
        amounts: list[Any] = [None] * 6
        if books.comparable(before) and books.alike(now, before):
            amounts = [pair for both in zip(*(_sums(books, p, customers, agreed) for p in (before, now)), strict=True) for pair in both]  # fmt: skip
        party = agreement.account or agreement.segment
        found.append((party, with_whom, agreement.version, now.months, before.words, *amounts))
    return pd.DataFrame(found, columns=SINCE)


def _sums(books: Books, period: Period, customers: Collection[str], agreed: Collection[str]) -> tuple[Any, Any, Any]:
    """Sales and margin of some customers in a period, and the margin of all without an agreement."""
    report, net = customer_profitability(books, period), books.statement_in(period).net_margin.id
    own, others = report["customer_id"].isin(customers), ~report["customer_id"].isin([*agreed, ""])
    return total(report.loc[own, "sales"]), total(report.loc[own, net]), total(report.loc[others, net])
