"""Segments: every customer in exactly one, by rules as data, with the reason in words."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from crmlib import accounts, criteria
from crmlib.accounts import rank_share
from crmlib.books.stored import Books, Frame, View
from crmlib.declared.judgement import MEASURES, RANKED, Register, Rules, condition_parts, refuse_mistakes
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "is": operator.eq,
}
Method = Literal["k-means", "gaussian mixture"]
BEHAVIOUR = ("sales", "growth_share", "margin_level_share", "cost_to_serve_share", "discount_share", "order_value", "active_months_share",
             "product_concentration_share")  # fmt: skip
MADE = ("segment", "stance", "key", "reason", "flagged")
SAMPLE = 10_000  # accounts on which groups are formed and tested; all others are placed in them
SILHOUETTES = 4_000  # of the sample, as it compares all with all
BOOTSTRAPS = (10, 25)  # of a large ledger, of a small one
STARTS = 5  # of k-means, also on a bootstrap sample: else a bad start would look like an unstable group
STABLE = 0.75  # mean adjusted Rand index from which a number of groups counts as stable


def read_segments(books: Books) -> Rules:
    """The rules of an engagement (errors as `read_judgement`)."""
    rules = books.engagement.judgement("segments.yml", Rules)
    named = [(f"rules ({r.segment})", r.when) for r in rules.rules] + [
        (f"flags ({f.flag})", f.when) for f in rules.flags
    ]
    columns = [str(c) for c in books.customers if c != "customer_id"]
    wrong = [
        f"{place}: {text!r}: customers have no column {condition_parts(text)[0]!r}; there are {', '.join(columns)}"
        for place, when in named for text in when if condition_parts(text)[1] == "is" and condition_parts(text)[0] not in columns
    ]  # fmt: skip
    taken = {*MADE, "score", "top_group", "account_id", "own_segment"} - {"segment"}
    wrong += [f"customers.{c}: has the name of a result; map it under another" for c in columns if c in taken]
    refuse_mistakes("segments.yml", wrong)
    return rules


def compared(books: Books, period: Period, rules: Rules, register: Register) -> Frame:
    """What the rules are held against, by account: attributes, measures, score (without the other axis), score_rank_share, top_group."""
    measured = accounts.measures(books, period, together=rules.together)
    given = account_points(books, period, measured, register, together=rules.together)
    if given.empty:
        return measured.assign(score=np.nan, top_group=0.0)
    weight = criteria.weights(register, given, without=[register.other_axis])
    score = criteria.scores(criteria.scorable_accounts(given, weight, register.least_known_share), weight)
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
    """Conditions that nobody can fulfil in this ledger and period: their measure has no value, or nobody has the text they ask for."""
    every = [text for when in (*(r.when for r in rules.rules), *(f.when for f in rules.flags)) for text in when]
    idle = []
    for text in dict.fromkeys(every):
        name, sign, value = condition_parts(text)
        values = column(table, name)
        if not (values.eq(value) if sign == "is" else values.notna()).any():
            idle.append(text)
    return idle


def assigned(table: Frame, rules: Rules) -> Frame:
    """The compared accounts with segment, stance, key, reason and flagged: the first rule that holds decides."""
    open_ = pd.Series(True, index=table.index)
    made = pd.DataFrame("", index=table.index, columns=list(MADE), dtype=object).assign(key=False)
    for rule in rules.rules:
        here = open_ & holds(table, rule.when)
        made.loc[here, "segment"], made.loc[here, "stance"], made.loc[here, "key"] = (
            rule.segment,
            rule.stance,
            rule.key,
        )
        made.loc[here, "reason"] = rule.because + _facts(table, here, rule.when or ("score > 0", "net_margin < 0"))
        open_ &= ~here
    for flag in rules.flags:
        here = holds(table, flag.when)
        before = made.loc[here, "flagged"].map(lambda text: text + "; " if text else "")
        made.loc[here, "flagged"] = before + f"{flag.flag}: {flag.because}" + _facts(table, here, flag.when)
    return table.drop(columns=[c for c in MADE if c in table]).join(made)


def _facts(table: Frame, where: pd.Series, when: Sequence[str]) -> pd.Series:
    """What the conditions found, in words: ' (growth of sales on the year before 92%, net margin 6,098)'."""
    names = [name for name, sign, _ in map(condition_parts, when) if sign != "is" and name != "top_group"]
    shown = [n for n in names if f"{n}{RANKED}" not in names]
    if any(name == "top_group" for name, _, _ in map(condition_parts, when)):
        shown.insert(0, "score")
    told = pd.Series("", index=table.index[where], dtype=object)
    for place, name in enumerate(shown):
        told = told + (", " if place else " (") + in_words(name, column(table, name)[where])
    return told + (")" if shown else "")


def in_words(name: str, values: pd.Series) -> pd.Series:
    """A measure's values as a person says them: 'gross sales 50,992', 'net margin higher than 97% of customers'."""
    base = name.removesuffix(RANKED)
    label = MEASURES.get(base, base)
    pattern = "{:.0%}" if name.endswith("_share") else "{:.2f}" if name == "score" else "{:,.0f}"
    if name.endswith(RANKED):
        told = values.map(
            lambda v: "the highest" if v == 1 else f"higher than {math.floor(v * 100)}% of customers",
            na_action="ignore",
        )
    else:
        told = values.map(lambda v: pattern.format(v).replace("-", "−"), na_action="ignore")
    return f"{label} " + told.astype(object).where(values.notna(), "not available")


def differentiate(books: Books, period: Period) -> Frame:
    """Every customer in exactly one segment.

    Returns
    -------
    One row per customer of the books, also those who bought nothing: customer_id, customer_name, account_id, segment, stance (invest, keep, change),
    key, reason, flagged, score, and what was compared; in a family kept together the account's, on each of its members.
    """
    rules, register = read_segments(books), criteria.read_criteria(books)
    made = assigned(compared(books, period, rules, register), rules)
    account = accounts.accounts(books, together=rules.together)
    rows = made.loc[account.to_numpy()].reset_index(drop=True)
    first = [*MADE, "score"]
    named = (
        books.customers[["customer_id", "customer_name"]].reset_index(drop=True).assign(account_id=account.to_numpy())
    )
    return pd.concat([named, rows[first], rows.drop(columns=[*first, "customer_name"])], axis=1)


def check_judgement(books: Books) -> None:
    """Refuse what does not hold in any file of the folder judgement.

    Raises
    ------
    SettingsError
        The mistakes of all files.
    """
    readers = (criteria.read_strategy, lambda b: criteria.read_ratings(b, criteria.read_criteria(b)), read_segments)
    told = []
    for read in readers:
        try:
            read(books)
        except SettingsError as error:
            told.append(str(error))
    if told:
        raise SettingsError("\n".join(told))


def with_segments(books: Books, period: Period) -> Books:
    """The books with each customer's `segment` of a period, by the rules, as an attribute for all periods; the ledger's is `own_segment`."""
    named = books.customers.rename(columns={"segment": "own_segment"})
    made = differentiate(books, period)["segment"].to_numpy()
    return replace(books, customers=named.assign(segment=made))


def segmented(view: View) -> View:
    """The view with each customer's `segment` of its period (as `with_segments`)."""
    return replace(view, books=with_segments(view.books, view.period))


def key_accounts(differentiated: Frame) -> Frame:
    """The key accounts with the reason, most profitable first."""
    chosen = differentiated[differentiated["key"]].sort_values(["net_margin", "customer_id"], ascending=[False, True])
    return chosen[["customer_id", "customer_name", "sales", "net_margin", "score", "reason", "flagged"]].reset_index(
        drop=True
    )


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


def migration(now: Frame, before: Frame, segments: Sequence[str]) -> Frame:
    """Customers by segment in two periods (as `differentiate`): rows before, columns now, in the order of the rules."""
    kept = before.set_index("customer_id")["segment"]
    pairs = pd.crosstab(now["customer_id"].map(kept).rename("before"), now["segment"].rename("now"))
    return pairs.reindex(index=list(segments), columns=list(segments), fill_value=0)


def moved(now: Frame, before: Frame) -> Frame:
    """Customers whose segment changed: customer_id, customer_name, before, now, net_margin, reason; the largest by sales first."""
    kept = now["customer_id"].map(before.set_index("customer_id")["segment"])
    rows = now.assign(before=kept, now=now["segment"])[(kept != now["segment"]) & kept.notna()]
    return rows.sort_values(["sales", "customer_id"], ascending=[False, True])[
        ["customer_id", "customer_name", "before", "now", "sales", "net_margin", "reason"]
    ].reset_index(drop=True)


def features(table: Frame) -> Frame:
    """How accounts that bought behave, each measure ranked from 0 to 1; what is missing stands in the middle, and is to be counted.

    Parameters
    ----------
    table
        By account, with any of `BEHAVIOUR`; measures without a value anywhere are left out.
    """
    bought = table[table["sales"] > 0]
    there = [name for name in BEHAVIOUR if name in bought and bought[name].notna().any()]
    every = pd.Series(True, index=bought.index)
    return pd.DataFrame({name: rank_share(bought[name], every).fillna(0.5) for name in there})


def _sampled(scaled: Frame, seed: int) -> Any:
    values = scaled.to_numpy(np.float64)
    if len(values) <= SAMPLE:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), SAMPLE, replace=False))]


def numbers_of_groups(scaled: Frame, *, seed: int, most: int = 8, method: Method = "k-means") -> Frame:
    """How good each number of groups is, on a sample of at most `SAMPLE` accounts.

    Parameters
    ----------
    scaled
        As `features`.

    Returns
    -------
    By number of groups from 2: silhouette (−1 to 1, how far apart groups are), stability (mean adjusted Rand index between the groups and those of
    bootstrap samples), smallest_share, and chosen: the best silhouette among the stable ones, else the most stable. Empty with too few accounts.
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score
    from threadpoolctl import threadpool_limits

    values, rng, rows = _sampled(scaled, seed), np.random.default_rng(seed), {}
    shown = np.random.default_rng(seed).permutation(len(values))[:SILHOUETTES]
    few, many = BOOTSTRAPS

    def placed(count: int, rows_drawn: Any) -> Any:
        return _fitted(values[rows_drawn], count, method, seed).predict(values)

    # one thread for each fit: sums are then made in one order, and every run gives the same
    with threadpool_limits(1), ThreadPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        for count in range(2, min(most, len(np.unique(values, axis=0)) // 5) + 1):
            draws = rng.integers(0, len(values), (max(few, min(many, 100_000 // len(values))), len(values)))
            labels, *again = pool.map(functools.partial(placed, count), [slice(None), *draws])
            alike = [adjusted_rand_score(labels, other) for other in again]
            several = len(np.unique(labels[shown])) > 1  # a mixture may leave a group empty
            apart = silhouette_score(values[shown], labels[shown]) if several else -1.0
            smallest = np.bincount(labels, minlength=count).min() / len(labels)
            rows[count] = (apart, float(np.mean(alike)), smallest)
    tested = pd.DataFrame.from_dict(
        rows, orient="index", columns=["silhouette", "stability", "smallest_share"]
    ).rename_axis("groups")
    stable = tested[tested["stability"] >= STABLE]
    best = None if tested.empty else stable["silhouette"].idxmax() if len(stable) else tested["stability"].idxmax()
    return tested.assign(chosen=tested.index == best)


def _fitted(values: Any, count: int, method: Method, seed: int) -> Any:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    # a mixture begins with groups by k-means, so that one start is enough
    models: dict[str, Any] = {"k-means": (KMeans, STARTS), "gaussian mixture": (GaussianMixture, 1)}
    if method not in models:
        raise SettingsError(f"method {method!r}: allowed are {' and '.join(models)}")
    model, starts = models[method]
    return model(count, n_init=starts, random_state=seed).fit(values)


def groups(scaled: Frame, count: int, *, seed: int, method: Method = "k-means") -> pd.Series:
    """The group of each account, 1 to `count`, from the largest by mean sales: formed on the sample, the rest placed in the likeliest."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        labels = _fitted(_sampled(scaled, seed), count, method, seed).predict(scaled.to_numpy(np.float64))
    largest = scaled.groupby(labels).mean().sort_values(scaled.columns.tolist(), ascending=False).index
    return pd.Series(largest.get_indexer(labels) + 1, index=scaled.index, name="group")


def described_groups(table: Frame, scaled: Frame, labels: pd.Series, *, seed: int) -> Frame:
    """The groups in words, by a tree of three questions.

    Returns
    -------
    By group: accounts, description (the way to the leaf that holds most of it, in the measures' own numbers), of_group_share (how much of the group is
    in that leaf), leaf_share (how much of the leaf is the group), median_sales, margin (sum).
    """
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_depth=3, min_samples_leaf=max(1, min(len(scaled) // 50, 50)), random_state=seed
    ).fit(scaled.to_numpy(), labels.to_numpy())
    crossed = pd.crosstab(labels, tree.apply(scaled.to_numpy()))
    bounds, rows = _paths(tree.tree_), {}
    for group in crossed.index:
        counts = crossed.loc[group]
        leaf = int(counts.to_numpy().argmax())
        mine = table.loc[labels.index[labels == group]]
        inside, way = counts.iloc[leaf], _way(bounds[int(crossed.columns[leaf])], table, scaled)
        rows[group] = (
            len(mine),
            way,
            inside / counts.sum(),
            inside / crossed.iloc[:, leaf].sum(),
            mine["sales"].median(),
            mine["net_margin"].sum(),
        )
    columns = ["accounts", "description", "of_group_share", "leaf_share", "median_sales", "net_margin"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("group")


def _paths(tree: Any) -> dict[int, dict[tuple[int, str], float]]:
    """For each node of a tree the tightest bounds on the way to it: (feature, above or up to) → threshold."""
    paths: dict[int, dict[tuple[int, str], float]] = {0: {}}
    for node in range(tree.node_count):
        if tree.children_left[node] < 0:
            continue
        feature, cut = int(tree.feature[node]), float(tree.threshold[node])
        paths[tree.children_left[node]] = {**paths[node], (feature, "up to"): cut}
        paths[tree.children_right[node]] = {**paths[node], (feature, "above"): cut}
    return paths


def _way(bounds: Mapping[tuple[int, str], float], table: Frame, scaled: Frame) -> str:
    """'gross sales above 61,000 and cost to serve of sales up to 35%'; cuts between ranks told in the measure itself."""
    told = []
    for (feature, side), cut in bounds.items():
        name = scaled.columns[feature]
        values = table.loc[scaled.index, name].where(scaled[name] <= cut)
        label, bound = in_words(name, pd.Series([values.max()])).iloc[0].rsplit(" ", 1)
        told.append(f"{label} {side} {bound}")
    return " and ".join(told) or "all"
