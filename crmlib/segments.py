"""Segments: every customer in exactly one, by rules as data, with the reason in words."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from crmlib import accounts, criteria, opportunities
from crmlib.accounts import rank_share
from crmlib.books.stored import Books, Frame, View
from crmlib.declared.judgement import MEASURES, RANKED, Register, Rules, condition_parts
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, refuse_mistakes

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "is": operator.eq,
}
MADE = ("segment", "stance", "key", "reason", "flagged")
STABLE = 0.75  # stability (`group_stability`) from which groups count as coming back
FEWEST = 5  # different accounts for each group, below which no number of groups is tried
BOOTSTRAPS = (10, 25)  # samples for a large ledger, for a small one
DRAWN = 100_000  # accounts drawn in all, between those two


def read_segments(books: Books) -> Rules:
    """The rules of an engagement (errors as `reading.read`)."""
    rules = books.engagement.judgement("segments.yml", Rules)
    tests = [(f"rules ({r.segment})", text) for r in rules.rules for text in r.when]
    tests += [(f"flags ({f.flag})", text) for f in rules.flags for text in f.when]
    columns = [str(c) for c in books.customers if c != "customer_id"]
    asked = [(place, text, *condition_parts(text)[:2]) for place, text in tests]
    wrong = [
        f"{place}: {text!r}: customers have no column {name!r}; there are {', '.join(columns)}"
        for place, text, name, sign in asked
        if sign == "is" and name not in columns
    ]
    taken = {*MADE, "score", "top_group", "account_id", "own_segment"} - {"segment"}
    wrong += [f"customers.{c}: has the name of a result; map it under another" for c in columns if c in taken]
    refuse_mistakes("judgement/segments.yml", wrong)
    return rules


def compared(books: Books, period: Period, rules: Rules, register: Register) -> Frame:
    """What the rules are held against, by account: attributes, measures, score (without the other axis), top_group."""
    measured = accounts.measures(books, period, together=rules.together)
    points = account_points(books, period, measured, register, together=rules.together)
    if points.empty:
        return measured.assign(score=np.nan, top_group=0.0)
    weight = criteria.weights(register, points, without=[register.other_axis])
    score = criteria.scores(criteria.scorable_accounts(points, weight, register.least_known_share), weight)
    top = criteria.top_group(score, register.top_share).astype(float)
    return measured.assign(score=score.reindex(measured.index), top_group=top.reindex(measured.index).fillna(0.0))


def account_points(books: Books, period: Period, measured: Frame, register: Register, *, together: bool) -> Frame:
    """The points of each account that bought, by criterion, ratings as of the end of the period."""
    ratings, account = (criteria.read_ratings(books, register), accounts.accounts(books, together=together))
    return criteria.points(measured, criteria.judged(ratings, account, period), register)


def column(table: Frame, name: str) -> pd.Series:
    """A measure of the compared accounts, its rank share among those that bought, or a column of customers; missing where it is not there."""
    base = name.removesuffix(RANKED)
    if base not in table:
        return pd.Series(np.nan, index=table.index)
    return rank_share(table[base], table["sales"] > 0) if name.endswith(RANKED) else table[base]


def holds(table: Frame, when: Sequence[str]) -> pd.Series:
    """Whether every condition holds, by account; a measure without a value fulfils none."""
    met = pd.Series(True, index=table.index)
    for name, sign, bound in map(condition_parts, when):
        met &= COMPARE[sign](column(table, name), bound)
    return met


def without_effect(table: Frame, rules: Rules) -> list[str]:
    """What rules ask for and nobody can have in this ledger and period, in words: a measure without a value, a text that nobody has."""
    conditions = [text for when in (*(r.when for r in rules.rules), *(f.when for f in rules.flags)) for text in when]
    idle = []
    for text in conditions:
        name, sign, value = condition_parts(text)
        values, base = column(table, name), name.removesuffix(RANKED)
        if not (values.eq(value) if sign == "is" else values.notna()).any():
            idle.append(text if sign == "is" else MEASURES.get(base, base))
    return list(dict.fromkeys(idle))


def assigned(table: Frame, rules: Rules) -> Frame:
    """The compared accounts with segment, stance, key, reason and flagged: the first rule that holds decides."""
    undecided = pd.Series(True, index=table.index)
    decided = pd.DataFrame("", index=table.index, columns=list(MADE), dtype=object).assign(key=False)
    for rule in rules.rules:
        here = undecided & holds(table, rule.when)
        decided.loc[here, "segment"], decided.loc[here, "stance"] = rule.segment, rule.stance
        decided.loc[here, "key"] = rule.key
        decided.loc[here, "reason"] = rule.because + _facts(table, here, rule.when or ("score > 0", "net_margin < 0"))
        undecided &= ~here
    for flag in rules.flags:
        here = holds(table, flag.when)
        before = decided.loc[here, "flagged"].map(lambda text: text + "; " if text else "")
        decided.loc[here, "flagged"] = before + f"{flag.flag}: {flag.because}" + _facts(table, here, flag.when)
    return table.drop(columns=[c for c in MADE if c in table]).join(decided)


def _facts(table: Frame, where: pd.Series, when: Sequence[str]) -> pd.Series:
    """What the conditions found, in words: ' (growth of sales on the year before 92%, net margin 6,098)'."""
    tested = [name for name, sign, _ in map(condition_parts, when) if sign != "is"]
    names = [name for name in tested if name != "top_group" and f"{name}{RANKED}" not in tested]
    texts = [in_words(table, name, where) for name in (["score"] if "top_group" in tested else []) + names]
    facts = pd.Series("", index=table.index[where], dtype=object)
    for place, text in enumerate(texts):
        facts = facts + (", " if place else " (") + text
    return facts + (")" if texts else "")


def in_words(table: Frame, name: str, where: pd.Series) -> pd.Series:
    """A measure of some accounts as a person says it: 'gross sales 50,992', 'net margin higher than 97% of customers'."""
    base = name.removesuffix(RANKED)
    form = "{:.0%}" if name.endswith("_share") else "{:.2f}" if name == "score" else "{:,.0f}"
    if name.endswith(RANKED):
        texts = _lower_share(table, base)[where].map(_place, na_action="ignore")
    else:
        texts = column(table, name)[where].map(lambda value: form.format(value).replace("-", "−"), na_action="ignore")
    return f"{MEASURES.get(base, base)} " + texts.astype(object).where(texts.notna(), "not available")


def _lower_share(table: Frame, name: str) -> pd.Series:
    """Share of the other accounts that bought whose measure is lower: of equals nobody is."""
    lower = column(table, name).where(table["sales"] > 0).rank(method="min") - 1
    return lower / max(int(lower.notna().sum()) - 1, 1)


def _place(lower: float) -> str:
    if lower in (0, 1):
        return "the highest" if lower else "no higher than any other customer's"
    return f"higher than {math.floor(lower * 100)}% of customers"


def differentiate(books: Books, period: Period | None) -> Frame:
    """Every customer in exactly one segment.

    Returns
    -------
    One row per customer of the books, also those who bought nothing: customer_id, customer_name, account_id, segment, stance
    (invest, keep, change), key, reason, flagged, score, and what was compared; in a family kept together the account's, on
    each of its members. Empty without a period.
    """
    if period is None:
        return pd.DataFrame(columns=["customer_id", "customer_name", "account_id", *MADE, "score"])
    rules, register = read_segments(books), criteria.read_criteria(books)
    made = assigned(compared(books, period, rules, register), rules)
    account = accounts.accounts(books, together=rules.together).to_numpy()
    rows = made.loc[account].reset_index(drop=True)
    first = [*MADE, "score"]
    names = books.customers[["customer_id", "customer_name"]].reset_index(drop=True).assign(account_id=account)
    return pd.concat([names, rows[first], rows.drop(columns=[*first, "customer_name"])], axis=1)


def check_judgement(books: Books) -> None:
    """Refuse what does not hold in any file of the folder judgement.

    Raises
    ------
    SettingsError
        The mistakes of all files.
    """
    readers = (
        criteria.read_strategy,
        lambda b: criteria.read_ratings(b, criteria.read_criteria(b)),
        read_segments,
        opportunities.read_opportunities,
    )
    mistakes = []
    for read in readers:
        try:
            read(books)
        except SettingsError as error:
            mistakes.append(str(error))
    if mistakes:
        raise SettingsError("\n".join(mistakes))


def with_segments(books: Books, period: Period) -> Books:
    """The books with each customer's `segment` of a period, by the rules, as an attribute for all periods; the ledger's is `own_segment`."""
    customers = books.customers.rename(columns={"segment": "own_segment"})
    return replace(books, customers=customers.assign(segment=differentiate(books, period)["segment"].to_numpy()))


def segmented(view: View) -> View:
    """The view with each customer's `segment` of its period (as `with_segments`)."""
    return replace(view, books=with_segments(view.books, view.period))


def segment_table(customers: Frame, rules: Rules) -> Frame:
    """The segments that hold customers (as `differentiate`), in the order of the rules: stands_for (the stance), customers, sales, net_margin."""
    rows = customers.groupby("segment").agg(
        stands_for=("stance", "first"),
        customers=("stance", "size"),
        sales=("sales", "sum"),
        net_margin=("net_margin", "sum"),
    )
    return rows.loc[[name for name in rules.segments if name in rows.index]]


def score_and_margin(customers: Frame, rules: Rules) -> Frame:
    """Where each customer that bought stands in the matrix of score and profitability, the largest first.

    Returns
    -------
    By name: rank_by_score (0 to 1), place_by_margin (customers from the line of zero: below it who loses), sales, net_margin, and mend
    (attractive to the rules, and loses).
    """
    buyers = customers[customers["sales"] > 0].sort_values("sales", ascending=False).set_index("customer_name")
    score, loses = column(buyers, f"score{RANKED}"), buyers["net_margin"] < 0
    place = buyers["net_margin"].rank() - loses.sum() - 0.5  # half a place on either side of the line
    mend = loses & (score >= attractive_from(rules))
    columns = {"rank_by_score": score, "place_by_margin": place, "sales": buyers["sales"]}
    return pd.DataFrame({**columns, "net_margin": buyers["net_margin"], "mend": mend})


def key_accounts(differentiated: Frame) -> Frame:
    """The key accounts with the reason, most profitable first."""
    rows = differentiated[differentiated["key"]].sort_values(["net_margin", "customer_id"], ascending=[False, True])
    names = ["customer_id", "customer_name", "sales", "net_margin", "score", "reason", "flagged"]
    return rows[names].reset_index(drop=True)


def eligible(table: Frame, rules: Rules) -> pd.Series:
    """Accounts whose being key hangs on the top group: a key rule's other conditions hold, and no key rule without it takes them anyway."""
    able, anyway = pd.Series(False, index=table.index), pd.Series(False, index=table.index)
    for rule in (r for r in rules.rules if r.key):
        others = [text for text in rule.when if condition_parts(text)[0] != "top_group"]
        if len(others) < len(rule.when):
            able |= holds(table, others)
        else:
            anyway |= holds(table, others)
    return able & ~anyway


def attractive_from(rules: Rules) -> float:
    """The rank of the score (0 to 1) from which a rule says that an account is worth changing; the middle where none does."""
    tests = [condition_parts(text) for rule in rules.rules if rule.stance == "change" for text in rule.when]
    bounds = [bound for name, sign, bound in tests if name == f"score{RANKED}" and sign in {">", ">="}]
    return float(min(bounds, default=0.5))


def migration(now: Frame, before: Frame, segments: Sequence[str]) -> Frame:
    """Customers by segment in two periods (as `differentiate`): rows before, columns now, in the order of the rules; empty without one."""
    pairs = _both(now, before)
    flow = pd.crosstab(pairs["before"], pairs["now"])
    return flow.reindex(index=list(segments) if len(pairs) else [], columns=list(segments), fill_value=0)


def moved(now: Frame, before: Frame) -> Frame:
    """Customers whose segment changed: customer_id, customer_name, before, now, sales, net_margin, reason; the largest by sales first."""
    pairs = _both(now, before)
    rows = pairs[pairs["before"] != pairs["now"]].sort_values(["sales", "customer_id"], ascending=[False, True])
    names = ["customer_id", "customer_name", "before", "now", "sales", "net_margin", "reason"]
    return rows[names].reset_index(drop=True)


def _both(now: Frame, before: Frame) -> Frame:
    earlier = before[["customer_id", "segment"]].rename(columns={"segment": "before"})
    return now.rename(columns={"segment": "now"}).merge(earlier, on="customer_id")


def group_stability(form: Callable[[int], Any], values: Frame, *, most: int = 8, seed: int) -> pd.Series:
    """How far the same groups come back when accounts are drawn anew, by number of groups from 2.

    Parameters
    ----------
    form
        Gives a model of scikit-learn for so many groups, such as ``partial(KMeans, n_init=5, random_state=0)``.
    values
        What accounts are grouped by; all are compared in each draw, so of many give a sample.

    Returns
    -------
    The mean adjusted Rand index (Hubert & Arabie 1985; 1: the same, 0: as by chance) between the groups of all and those of models fitted
    to bootstrap samples (Hennig 2007); empty with fewer than `FEWEST` different accounts a group.
    """
    from sklearn.metrics import adjusted_rand_score
    from threadpoolctl import threadpool_limits

    points, rng, indices = values.to_numpy(float), np.random.default_rng(seed), {}
    few, many = BOOTSTRAPS

    def labels(count: int, rows: Any) -> Any:
        return form(count).fit(points[rows]).predict(points)

    # one thread for each fit: sums are then made in one order, and every run gives the same
    with threadpool_limits(1), ThreadPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        for count in range(2, min(most, len(np.unique(points, axis=0)) // FEWEST) + 1):
            draws = rng.integers(0, len(points), (max(few, min(many, DRAWN // len(points))), len(points)))
            whole, *drawn = pool.map(functools.partial(labels, count), [slice(None), *draws])
            indices[count] = float(np.mean([adjusted_rand_score(whole, other) for other in drawn]))
    return pd.Series(indices, dtype=float, name="stability").rename_axis("groups")
