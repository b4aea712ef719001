"""Segments: every customer in exactly one, by rules as data, with the reason in words."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from crmlib import (
    accounts,
    criteria,
    eva,
    gain_sharing,
    implementation,
    menu,
    metrics,
    opportunities,
    process,
    states,
    teams,
)
from crmlib.accounts import rank_share
from crmlib.books.stored import Books, Frame, View, shared
from crmlib.declared.judgement import MEASURES, RANKED, Register, Rules, condition_parts
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, content_hash, did_you_mean, refuse_mistakes

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq}
MADE = ("segment", "stance", "key", "reason", "flagged")
STATE = ("state", "state_since")
UNSTEADY = 0.2  # of the key accounts, when new on the list within a year: more cannot be served by teams that stay
NOT_YET = "Not yet a customer"
SUMS = {name: (name, "sum") for name in ("sales", "net_margin")}


def read_segments(books: Books) -> Rules:
    """The rules of an engagement (errors as `reading.read`)."""
    rules = books.engagement.judgement("segments.yml", Rules)
    tests = [(f"rules ({r.segment})", text) for r in rules.rules for text in r.when]
    tests += [(f"flags ({f.flag})", text) for f in rules.flags for text in f.when]
    columns = [str(c) for c in books.customers if c != "customer_id"]
    wrong = []
    for place, text in tests:
        name, sign, _ = condition_parts(text)
        if sign == "is" and name not in (*columns, "state"):
            wrong.append(f"{place}: {text!r}: customers have no column {name!r}; there are {', '.join(columns)}")
    taken = {*MADE, *STATE, "score", "top_group", "was_key", "account_id", "own_segment"} - {"segment"}
    wrong += [f"customers.{c}: has the name of a result; map it under another" for c in columns if c in taken]
    refuse_mistakes("judgement/segments.yml", wrong)
    return rules


def compared(books: Books, period: Period, rules: Rules, register: Register) -> Frame:
    """What the rules are held against, by account: attributes, measures, state and state_since, score (without the other axis), top_group."""
    state = states.customer_states(books, period, rules)[list(STATE)]
    measured = accounts.measures(books, period, together=rules.together).join(state)
    points = account_points(books, period, measured, register, together=rules.together)
    if points.empty:
        return measured.assign(score=np.nan, top_group=0.0)
    weight = criteria.weights(register, points, without=[register.other_axis])
    score = criteria.scores(criteria.scorable_accounts(points, weight, register.least_known_share), weight)
    top = criteria.top_group(score, register.top_share).astype(float)
    return measured.assign(score=score.reindex(measured.index), top_group=top.reindex(measured.index).fillna(0.0))


def account_points(books: Books, period: Period, measured: Frame, register: Register, *, together: bool) -> Frame:
    """The points of each account that bought, by criterion, ratings as of the end of the period."""
    ratings, account = criteria.read_ratings(books, register), accounts.accounts(books, together=together)
    return criteria.points(measured, criteria.judged(ratings, account, period), register)


def column(table: Frame, name: str) -> pd.Series:
    """A measure of the compared accounts, its rank share among those that bought, or a column of customers; missing where it is not there."""
    base = name.removesuffix(RANKED)
    if name in table or base not in table:
        return table[name] if name in table else pd.Series(np.nan, index=table.index)
    return rank_share(table[base], table["sales"] > 0)


def holds(table: Frame, when: Sequence[str], eased: pd.Series | float = 0.0) -> pd.Series:
    """Whether every condition holds, by account; a measure without a value fulfils none.

    What is asked of score and ranks, and of the score for the top group, is lower by `eased`.
    """
    met = pd.Series(True, index=table.index)
    for name, sign, bound in map(condition_parts, when):
        lower = eased if sign in {">", ">="} and (name == "score" or name.endswith(RANKED)) else 0.0
        fulfilled = COMPARE[sign](column(table, name) + lower, bound) if sign != "is" else column(table, name) == bound
        if name == "top_group" and (table["top_group"] == 1).any():
            edge = table.loc[table["top_group"] == 1, "score"].min()
            fulfilled |= (eased > 0) & (table["score"] + eased >= edge)
        met &= fulfilled
    return met


def without_effect(table: Frame, rules: Rules) -> list[str]:
    """What rules ask for and nobody can have in this ledger and period, in words: a measure without a value, a text that nobody has."""
    idle = []
    for text in _conditions(rules):
        name, sign, value = condition_parts(text)
        if name == "state":  # nobody in it is no want of data
            continue
        values, base = column(table, name), name.removesuffix(RANKED)
        if not (values.eq(value) if sign == "is" else values.notna()).any():
            idle.append(text if sign == "is" else MEASURES.get(base, base))
    return list(dict.fromkeys(idle))


def texts_of_nobody(books: Books) -> list[str]:
    """What rules ask of customers and none has, in words, with the nearest that somebody has: no mistake, but such a rule holds for nobody."""
    asked = dict.fromkeys(map(condition_parts, _conditions(read_segments(books))))
    columns = {name for name, sign, _ in asked if sign == "is" and name in books.customers}
    there = {name: {text for text in books.customers[name] if isinstance(text, str)} for name in columns}
    missed = [(name, str(value)) for name, _, value in asked if name in there and value not in there[name]]
    near = (did_you_mean(value, there[name]) if there[name] else " as a text" for name, value in missed)
    return [f"no customer has {name} {value!r}{end}" for (name, value), end in zip(missed, near, strict=True)]


def _conditions(rules: Rules) -> list[str]:
    return [text for when in (*(r.when for r in rules.rules), *(f.when for f in rules.flags)) for text in when]


def assigned(table: Frame, rules: Rules, called: Mapping[str, str] = MEASURES) -> Frame:
    """The compared accounts with segment, stance, key, reason and flagged: the first rule that holds decides.

    Who was key a year before (column was_key, if there) is held to key rules that ask less by `hold`. Beyond `most_key` accounts no key rule
    holds: the most profitable come first, equals stay together. `called` is what reasons call the measures.
    """
    ranked = {name for name, *_ in map(condition_parts, _conditions(rules)) if name.endswith(RANKED)}
    known = table.assign(**{name: column(table, name) for name in ranked})  # ranks are dear: each is made once
    told = table.assign(**{name: _lower_share(table, name.removesuffix(RANKED)) for name in ranked})
    eased = table["was_key"] * rules.hold if "was_key" in table else pd.Series(0.0, index=table.index)
    strict = _deciding(known, rules, 0.0 * eased)
    number = _deciding(known, rules, eased) if eased.any() else strict
    is_key = number.map(dict(enumerate(r.key for r in rules.rules)))
    limit = rules.key_limit(int((table["sales"] > 0).sum()))
    beyond = pd.Series(False, index=table.index)
    if is_key.sum() > limit:
        beyond = is_key & ~criteria.in_top(rank_share(table["net_margin"], is_key).fillna(-1).to_numpy(), limit)
        number = number.where(~beyond, _deciding(known, rules, eased, barred=beyond))
    reason, flagged = np.full((2, len(table)), "", dtype=object)
    for place, rule in enumerate(rules.rules):
        here = (number == place).to_numpy()
        reason[here] = _facts(rule.because, told, here, rule.when or ("score > 0", "net_margin < 0"), called)
    reason[is_key & ~beyond & (strict != number)] += f"; was key the year before, and holds within {rules.hold:g}"
    flagged[beyond] = f"beyond the limit: a key account by the rules, and not among the {limit:,} most profitable"
    for flag in rules.flags:
        here = holds(known, flag.when).to_numpy()
        before = np.where(flagged[here] == "", "", flagged[here] + "; ")
        flagged[here] = before + _facts(f"{flag.flag}: {flag.because}", told, here, flag.when, called)
    rows = [(rule.segment, rule.stance, rule.key) for rule in rules.rules]
    decided = pd.DataFrame([*rows, ("", "", False)], columns=list(MADE[:3]), dtype=object).iloc[number.to_numpy()]
    words = pd.DataFrame({"reason": reason, "flagged": flagged}, index=table.index, dtype=object)
    decided = decided.set_axis(table.index).astype({"key": bool}).join(words)
    return table.drop(columns=[c for c in MADE if c in table]).join(decided)


def _deciding(table: Frame, rules: Rules, eased: pd.Series, barred: pd.Series | bool = False) -> pd.Series:
    """By account the number of the first rule that holds; key rules are eased, and do not hold for whom they are barred."""
    number = pd.Series(-1, index=table.index)
    for place, rule in enumerate(rules.rules):
        here = holds(table, rule.when, eased if rule.key else 0.0)
        here &= ~(pd.Series(barred, index=table.index) & rule.key)
        number = number.where((number >= 0) | ~here, place)
    return number


def _facts(because: str, table: Frame, where: Any, when: Sequence[str], called: Mapping[str, str]) -> Any:
    """The reason with what the conditions found, in words: 'because (growth of sales on the year before 92%, net margin 6,098)'."""
    tested = [name for name, sign, _ in map(condition_parts, when) if sign != "is"]
    names = [name for name in tested if name != "top_group" and f"{name}{RANKED}" not in tested]
    names = (["score"] if "top_group" in tested else []) + names
    if not names:
        return because
    told = [_in_words(column(table, name)[where].to_numpy(float), name, called) for name in names]
    texts, place = functools.reduce(_joined, told)
    return (f"{because} (" + texts + ")")[place]


def _joined(first: tuple[Any, Any], then: tuple[Any, Any]) -> tuple[Any, Any]:
    """Two texts of each account as one, as `_in_words`: a million customers share what reads alike."""
    (texts, place), (others, at) = first, then
    pairs, place = np.unique(place * len(others) + at, return_inverse=True)
    return texts[pairs // max(len(others), 1)] + ", " + others[pairs % max(len(others), 1)], place


def _in_words(values: Any, name: str, called: Mapping[str, str]) -> tuple[Any, Any]:
    """A measure of accounts as a person says it: 'gross sales 50,992', 'net margin higher than 97% of customers'; each text once, and its place by account."""
    measure = called.get(name.removesuffix(RANKED), name.removesuffix(RANKED))
    digits, form = (2, ".0%") if name.endswith("_share") else (2, ".2f") if name == "score" else (0, ",.0f")
    ranked = name.endswith(RANKED)
    values = np.where(values == 0, -1, np.floor(values * 100)) if ranked else np.round(values, digits) + 0.0
    said = _place if ranked else lambda value: format(value, form).replace("-", "−")
    shown, place = np.unique(values, return_inverse=True)
    texts = [f"{measure} {said(value) if value == value else 'not available'}" for value in shown.tolist()]
    return np.array(texts, dtype=object), place


def _lower_share(table: Frame, name: str) -> pd.Series:
    """Share of the other accounts that bought whose measure is lower: of equals nobody is."""
    lower = column(table, name).where(table["sales"] > 0).rank(method="min") - 1
    return lower / max(int(lower.notna().sum()) - 1, 1)


def _place(percent: float) -> str:
    """Of whole percents of the others that are lower, −1 for nobody."""
    ends = {-1: "no higher than any other customer's", 100: "the highest"}
    return ends.get(int(percent), f"higher than {percent:.0f}% of customers")


@shared
def differentiate(books: Books, period: Period | None) -> Frame:
    """Every customer in exactly one segment.

    Returns
    -------
    One row per customer of the books, also those who bought nothing: customer_id, customer_name, account_id, segment, stance
    (invest, keep, change, close), key, reason, flagged, score, state, state_since, and what was compared; in a family kept together the
    account's, on each of its members. Empty without a period.
    """
    first = [*MADE, "score", *STATE]
    if period is None:
        return pd.DataFrame(columns=["customer_id", "customer_name", "account_id", *first])
    rules, register = read_segments(books), criteria.read_criteria(books)
    table = compared(books, period, rules, register)
    if rules.hold and books.comparable(period.year_before()):  # memory goes back as far as the books
        before = differentiate(books, period.year_before())
        table["was_key"] = table.index.isin(before.loc[before["key"], "account_id"])
    statement = books.statement_in(period)  # where no cost is known, the margin is none and is called what it is
    made = assigned(
        table, rules, MEASURES if statement.has_costs else MEASURES | {"net_margin": statement.net_margin.name}
    )
    account = accounts.accounts(books, together=rules.together).to_numpy()
    made = made.reindex(account).reset_index(drop=True)
    names = books.customers[["customer_id", "customer_name"]].reset_index(drop=True).assign(account_id=account)
    return pd.concat([names, made[first], made.drop(columns=[*first, "customer_name"])], axis=1)


def check_judgement(books: Books) -> None:
    """Refuse what does not hold in any file of the folder judgement.

    Raises
    ------
    SettingsError
        The mistakes of all files.
    """
    readers = (
        criteria.read_strategy, lambda b: criteria.read_ratings(b, criteria.read_criteria(b)), read_segments, opportunities.read_opportunities,
        lambda b: menu.read_levels(b, menu.read_menu(b)), menu.read_agreements, teams.read_functions, teams.read_members, eva.read_capital,
        metrics.read_metrics, implementation.read_plan, gain_sharing.read_gain_sharing, process.read_rounds,
    )  # fmt: skip
    mistakes = []
    for read in readers:
        try:
            read(books)
        except SettingsError as error:
            mistakes.append(str(error))
    if mistakes:
        raise SettingsError("\n".join(dict.fromkeys(mistakes)))


def with_segments(books: Books, period: Period, decided: Frame | None = None) -> Books:
    """The books with each customer's `segment` and `state` of a period as attributes for all periods; the ledger's segment is `own_segment`.

    `decided` is what `differentiate` gave for the period, where that is known.
    """
    customers = books.customers.rename(columns={"segment": "own_segment"})
    made = differentiate(books, period) if decided is None else decided
    segment, state = (made[name].to_numpy() for name in ("segment", "state"))
    added = content_hash([*segment, *state])
    return replace(books, customers=customers.assign(segment=segment, state=state), added=added)


def segmented(view: View) -> View:
    """The view with each customer's `segment` of its period (as `with_segments`)."""
    return replace(view, books=with_segments(view.books, view.period))


def segment_table(customers: Frame) -> Frame:
    """The segments that hold customers (as `differentiate`), the highest margin first: stands_for (the stance), customers, sales, net_margin."""
    counts = {"stands_for": ("stance", "first"), "customers": ("stance", "size")}
    rows = customers.groupby("segment").agg(**counts, **SUMS)
    return rows.sort_values("net_margin", ascending=False, kind="stable")


def by_state(customers: Frame, before: Frame, rules: Rules) -> Frame:
    """The states that customers are or were in (both as `differentiate`).

    Returns
    -------
    By state, in their order: customers, a_year_before (how many were; not there without), sales, net_margin, meaning.
    """
    rows = customers.groupby("state").agg(customers=("state", "size"), **SUMS)
    meaning = states.meanings(rules.states)
    rows = rows.reindex([s for s in meaning.index if s in rows.index or (before["state"] == s).any()]).fillna(0)
    if len(before):
        earlier = before.loc[before["customer_id"].isin(customers["customer_id"]), "state"].value_counts()
        rows.insert(1, "a_year_before", earlier.reindex(rows.index, fill_value=0))
    return rows.join(meaning).astype({"customers": int})


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
    names = ["customer_id", "customer_name", "state", "sales", "net_margin", "score", "reason", "flagged"]
    return rows[names].reset_index(drop=True)


def key_stability(now: Frame, before: Frame, rules: Rules) -> pd.Series:
    """How far the list of key accounts is that of the year before (both as `differentiate`, an account once).

    Returns
    -------
    key, stayed, came, new (of those who came: new customers), went, came_share, unsteady_share (came_share where more than `UNSTEADY` and the
    rules have no `hold`, else 0), beyond (more than the teams can serve); with nobody before only key and beyond are not missing.
    """
    key, was = (set(rows.loc[rows["key"], "account_id"]) for rows in (now, before))
    came, begun = key - was, set(now.loc[now["state"] == "new", "account_id"])
    share = len(came) / len(key) if key else 0.0
    counts = {"stayed": len(key & was), "came": len(came), "new": len(came & begun), "went": len(was - key)}
    shares = {"came_share": share, "unsteady_share": share if share > UNSTEADY and not rules.hold else 0.0}
    known = {**counts, **shares} if len(before) else dict.fromkeys([*counts, *shares])
    beyond = max(0, len(key) - (rules.teams_serve or len(key)))
    return pd.Series({"key": len(key), **known, "beyond": beyond}, dtype=object)


def eligible(table: Frame, rules: Rules) -> pd.Series:
    """Accounts whose being key hangs on the top group: a key rule's other conditions hold, and no key rule without it takes them anyway."""
    able, anyway = pd.Series(False, index=table.index), pd.Series(False, index=table.index)
    for rule in (r for r in rules.rules if r.key):
        others = [text for text in rule.when if condition_parts(text)[0] != "top_group"]
        hangs, met = len(others) < len(rule.when), holds(table, others)
        able, anyway = able | (met & hangs), anyway | (met & (not hangs))
    return able & ~anyway


def attractive_from(rules: Rules) -> float:
    """The rank of the score (0 to 1) from which a rule says that an account is worth changing; the middle where none does."""
    tests = [condition_parts(text) for rule in rules.rules if rule.stance == "change" for text in rule.when]
    bounds = [bound for name, sign, bound in tests if name == f"score{RANKED}" and sign in {">", ">="}]
    return float(min(bounds, default=0.5))


def not_comparable(now: Frame, before: Frame, rules: Rules) -> list[str]:
    """What the rules ask for and could test in one of two periods only (as `differentiate`), in words: segments are then not compared."""
    tested = [without_effect(rows.set_index("customer_id"), rules) for rows in (now, before) if len(rows)]
    return sorted(set(tested[0]) ^ set(tested[-1])) if tested else []


def migration(now: Frame, before: Frame, segments: Sequence[str]) -> Frame:
    """Customers by segment in two periods (as `differentiate`): rows before, columns now, in the order of the rules; empty without one."""
    pairs = _both(now, before)
    flow = pd.crosstab(pairs["before"], pairs["now"])
    rows = [*segments, *([NOT_YET] if NOT_YET in flow.index else [])]
    return flow.reindex(index=rows if len(pairs) else [], columns=list(segments), fill_value=0)


def moved(now: Frame, before: Frame) -> Frame:
    """Customers whose segment changed: customer_id, customer_name, before, now, state, sales, net_margin, reason; the largest by sales first.

    Who was not yet a customer before has no segment that could change.
    """
    rows = _both(now, before).query("before != now and before != @NOT_YET")
    rows = rows.sort_values(["sales", "customer_id"], ascending=[False, True])
    names = ["customer_id", "customer_name", "before", "now", "state", "sales", "net_margin", "reason"]
    return rows[names].reset_index(drop=True)


def _both(now: Frame, before: Frame) -> Frame:
    """Both periods by customer; before its first order a customer was in no segment."""
    earlier = before[["customer_id"]].assign(before=before["segment"].mask(before["state"] == "no order", NOT_YET))
    pairs = now.rename(columns={"segment": "now"}).merge(earlier[["customer_id", "before"]], on="customer_id")
    return pairs.assign(before=pairs["before"].mask(pairs["state"] == "no order", pairs["now"]))
