"""Criteria: on what customers are compared, with what weight, and how far the ranking hangs on the weights.

Measures are ranked among the accounts that bought, since they are skewed and may be negative; ratings are placed on their
scale. What is missing is left out of an account's score and counted, never taken as zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ValidationError

from crmlib.accounts import rank_share
from crmlib.books.stored import Books, Frame
from crmlib.declared.judgement import MEASURES, RATINGS, Criterion, Goal, Market, Register, Strategy
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, did_you_mean, refuse_mistakes

CONCENTRATION = 50  # of the Dirichlet weightings
NOBODY = np.array([], dtype=int)
REGISTER = ["criterion", "judged_by", "source", "better", "weight_share", "with_value", "missing", "outside_the_score"]
AGREEMENT = ["raters", "customers", "ratings", "blank", "mean_difference", "within_one_share", "alpha"]
FEW_PAIRS = 5  # pairs of ratings, below which agreement is not told from chance
MOVED = 1e-9  # a weight just beyond another
# decimals to which scores are the same: below what `MOVED` does to one, above what another order of sums does
EQUAL = 12


def read_criteria(books: Books) -> Register:
    """The criteria register of an engagement (errors as `reading.read`)."""
    customers = books.customers
    register = books.engagement.judgement("criteria.yml", Register, list(customers.columns))
    ids = [c.id for c in register.criteria]
    wrong = [f"customers.{c}: has the name of a measure; map it under another" for c in MEASURES if c in customers]
    for c in (c for c in register.criteria if c.used and c.source in customers and not c.values):
        given = customers[c.source].loc[lambda values: values.astype(str) != ""].dropna()
        odd = given[pd.to_numeric(given, errors="coerce").isna()].head(1)
        wrong += [f"{c.id}.source: {c.source} holds {v!r}, no number; give points for its `values`" for v in odd]
    if register.other_axis and register.other_axis not in ids:
        wrong.append(f"other_axis: {register.other_axis!r} is no criterion; allowed: {', '.join(ids)}")
    refuse_mistakes("judgement/criteria.yml", wrong)
    return register


def read_strategy(books: Books) -> Strategy:
    """The strategy's goals, markets and constraints (errors as `reading.read`); empty without the file."""
    strategy, wrong = books.engagement.judgement("strategy.yml", Strategy), []
    goals: list[tuple[str, Goal | Market]] = [(f"goals[{i}]", g) for i, g in enumerate(strategy.goals) if g.group]
    for place, named in [*goals, *((f"markets[{i}]", m) for i, m in enumerate(strategy.markets))]:
        values = sorted(set(books.customers[named.by])) if named.by in books.customers else None
        if values is None:
            there = ", ".join(books.customers.columns)
            wrong.append(f"{place}.by: customers have no column {named.by!r}; there are {there}")
        elif named.group not in values:
            there = ", ".join(map(str, values))
            wrong.append(f"{place}.group: no customer has {named.by} {named.group!r}; there are {there}")
    refuse_mistakes("judgement/strategy.yml", wrong)
    return strategy


def read_ratings(books: Books, register: Register) -> Frame:
    """What raters said: customer_id, criterion, rater, date, rating (a blank one is missing); empty without ratings.csv.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows = judgement_rows(books, "ratings.csv", RATINGS)
    if rows.empty:
        return rows
    judged = {c.id: c.scale for c in register.criteria if c.source == "judged"}
    rows["day"] = pd.to_datetime(rows["date"], format="%Y-%m-%d", errors="coerce").dt.date
    number = pd.to_numeric(rows["rating"].where(rows["rating"] != ""), errors="coerce")
    low, high = (rows["criterion"].map({k: s[i] for k, s in judged.items()}) for i in (0, 1))
    bad = [
        ("customer_id", ~rows["customer_id"].isin(books.customers["customer_id"]), "no such customer; write a customer_id of the ledger"),
        ("criterion", ~rows["criterion"].isin(list(judged)), f"allowed: {', '.join(judged) or 'none, as no criterion is judged'}"),
        ("rater", rows["rater"] == "", "write who rated"),
        ("date", rows["day"].isna(), "write the date as 2025-11-30"),
        ("rating", (rows["rating"] != "") & ~number.between(low, high) & low.notna(), "a number on the criterion's scale in criteria.yml, or blank where nobody can tell"),
        ("date", rows.duplicated(list(RATINGS[:4]), keep=False), "the same rater rated the same twice on one day; keep one"),
    ]  # fmt: skip
    wrong = [mistake for column, where, why in bad for mistake in mistakes_in(rows.loc[where, column], why)]
    refuse_mistakes("judgement/ratings.csv", wrong)
    return rows.assign(date=rows["day"], rating=number)[list(RATINGS)]


def judgement_rows(books: Books, file: str, columns: Sequence[str]) -> Frame:
    """The rows of a judgement file in CSV as text, without rows where there is no file; SettingsError where its form does not hold."""
    place = f"judgement/{file}"
    path = books.engagement.folder / place
    if not path.is_file():
        return pd.DataFrame(columns=list(columns), dtype=object)
    try:
        header, *rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))) or [[]]
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        refuse_mistakes(place, [f"row {line}: not UTF-8; save it as `CSV UTF-8`"])
    if len(header) == 1 and ";" in header[0]:
        refuse_mistakes(place, ["row 1: columns are set apart by semicolons; save it with commas"])
    missing = [c for c in columns if c not in header]
    refuse_mistakes(place, [f"row 1: column {c} is missing; the columns are {', '.join(columns)}" for c in missing])
    uneven = [(i, len(row)) for i, row in enumerate(rows, 2) if row and len(row) != len(header)]
    why = f"values under {len(header)} columns; quote values that hold a comma"
    refuse_mistakes(place, [f"row {i}: {count} {why}" for i, count in uneven])
    blank = [""] * len(header)
    return pd.DataFrame([[cell.strip() for cell in row or blank] for row in rows], columns=header, dtype=object)


def judgement_records(books: Books, file: str, record: type[BaseModel]) -> tuple[Frame, list[str]]:
    """The rows of a judgement file in CSV as text, and what its record refuses: row, column, value, and the column's description."""
    columns, wrong = record.model_fields, []
    rows = judgement_rows(books, file, list(columns))[list(columns)]
    for i, row in enumerate(rows.to_dict("records"), 2):
        try:
            record.model_validate(row)
        except ValidationError as error:
            for mistake in error.errors():  # of a whole row: the column stands before its message
                at, _, why = mistake["msg"].removeprefix("Value error, ").partition(": ")
                at, why = (str(mistake["loc"][0]), "") if mistake["loc"] else (at, why)
                wrong.append(f"row {i}, {at}: {row[at]!r}: {why or columns[at].description}")
    return rows, wrong


def mistakes_in(values: pd.Series, why: str, names: Collection[str] = ()) -> list[str]:
    """What is wrong with each of these values of a judgement file's column, by row (its head is the first), and which of the names is near."""
    return [f"row {i + 2}, {values.name}: {value!r}: {why}{did_you_mean(value, names)}" for i, value in values.items()]  # type: ignore[operator]


def as_declared(rows: Frame, record: type[BaseModel]) -> Frame:
    """Rows that hold as what their record makes of them: numbers and dates, and None for what is blank."""
    values = [record.model_validate(row).model_dump() for row in rows.to_dict("records")]
    return pd.DataFrame(values, columns=list(record.model_fields), dtype=object)


def judged(ratings: Frame, account: pd.Series, period: Period) -> Frame:
    """The mean rating by account and criterion, of each rater's latest before the period's end; criteria as columns."""
    known = ratings[(ratings["date"] < period.end) & ratings["rating"].notna()] if len(ratings) else ratings
    one = ["customer_id", "criterion", "rater"]
    latest = known.sort_values("date", kind="stable").drop_duplicates(one, keep="last")
    latest = latest.assign(account_id=latest["customer_id"].map(account), rating=latest["rating"].astype(float))
    return latest.pivot_table(index="account_id", columns="criterion", values="rating", aggfunc="mean")


def points(measured: Frame, rated: Frame, register: Register) -> Frame:
    """Points from 0 to 1 of each account that bought, by criterion with a source, used or not; missing where there is none.

    Measures and columns of numbers are ranked, ratings placed on their scale, values of a customers' column on their own points.
    """
    bought = measured["sales"] > 0
    columns = {}
    for c in register.criteria:
        if c.source == "judged" and c.id in rated:
            values = (rated[c.id].reindex(measured.index) - c.scale[0]) / (c.scale[1] - c.scale[0])
        elif c.source in measured and not c.values:
            values = rank_share(pd.to_numeric(measured[c.source], errors="coerce"), bought)
        elif c.source in measured:
            given = measured[c.source].map(c.values).astype(float)
            low, high = min(c.values.values()), max(c.values.values())
            values = (given - low) / ((high - low) or 1)
        else:
            continue
        columns[c.id] = values if c.direction == "higher" else 1 - values
    return pd.DataFrame(columns, index=measured.index)[bought]


def weights(register: Register, given: Frame, *, without: Collection[str] = ()) -> pd.Series:
    """The weight of each criterion that is used and has points, adding up to 1; `without` leaves some out.

    Raises
    ------
    SettingsError
        Nothing is left to weigh.
    """
    valued = {c for c in given if given.empty or given[c].notna().any()} - set(without)
    chosen = {c.id: c.weight for c in register.criteria if c.used and c.weight > 0 and c.id in valued}
    left = pd.Series(chosen, dtype=float)
    if left.empty:
        way_out = "give one a weight in judgement/criteria.yml"
        raise SettingsError(f"no criterion is used and has a source in these books; {way_out}")
    return left / left.sum()


def scorable_accounts(points: Frame, weight: pd.Series, least_known_share: float) -> Frame:
    """The points of the accounts that can be compared: values for that share of the weight, or more, are known.

    Raises
    ------
    SettingsError
        There is none.
    """
    enough = points[weight.index].notna().mul(weight).sum(axis=1) >= least_known_share - MOVED
    if len(points) and not enough.any():
        way_out = "rate more, or lower least_known_share in judgement/criteria.yml"
        raise SettingsError(f"of no customer is {least_known_share:.0%} of the weight known; {way_out}")
    return points[enough]


def contributions(given: Frame, weight: pd.Series) -> Frame:
    """What each criterion adds to each account's score: weight × points, weights rescaled over what is there."""
    there = given[weight.index]
    known = there.notna().mul(weight).sum(axis=1)
    return there.mul(weight).div(known.where(known > 0), axis=0)


def scores(given: Frame, weight: pd.Series) -> pd.Series:
    """The weighted score from 0 to 1 by account; missing where no criterion has a value."""
    return pd.Series(contributions(given, weight).sum(axis=1, min_count=1), name="score")


def top_group(score: pd.Series, top_share: float) -> pd.Series:
    """Whether an account is in the top group by score: the best `top_share`, equals treated alike (see `in_top`)."""
    return pd.Series(in_top(score.fillna(-1).to_numpy(), top_size(score, top_share)), index=score.index)


def in_top(score: Any, size: int) -> Any:
    """Whether each score (−1: none) is among the best so many, by column.

    Those who score like the last one inside are all in; all out where more than half of the accounts would then be in, since nobody leads.
    """
    rounded = np.round(score, EQUAL)
    edge = -np.partition(-rounded, size - 1, axis=0)[size - 1]
    inside = rounded >= edge
    fits = inside.sum(axis=0) <= np.maximum(size, (rounded >= 0).sum(axis=0) / 2)
    return np.where(fits, inside, rounded > edge)


def top_size(score: pd.Series, top_share: float) -> int:
    """How many accounts the top group has."""
    return max(1, round(top_share * int(score.notna().sum())))


def register_table(register: Register, given: Frame, weight: pd.Series) -> Frame:
    """The register as it worked, heaviest first, what is outside the score last.

    Returns
    -------
    By criterion: criterion (its label), judged_by, source, better, weight_share in force, with_value and missing (customers), and
    outside_the_score (why; blank for what is in it).
    """
    known = {c.id: int(given[c.id].notna().sum()) if c.id in given else 0 for c in register.criteria}
    rows = {}
    for c in register.criteria:
        source, judged_by = MEASURES.get(c.source, c.source.replace("_", " ")), c.owner if c.source == "judged" else ""
        counts = (weight.get(c.id, 0.0), known[c.id], len(given) - known[c.id])
        outside = "" if c.id in weight else _outside_the_score(c, known[c.id])
        rows[c.id] = (c.label, judged_by, source, c.direction, *counts, outside)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=REGISTER)
    return table.sort_values("weight_share", ascending=False, kind="stable")


def _outside_the_score(criterion: Criterion, known: int) -> str:
    if not criterion.used:
        return "not used"
    if not known:
        return "no value in these books"
    if not criterion.weight:
        return "no weight"
    return "stands on the other axis"


def agreement(ratings: Frame) -> Frame:
    """How far raters agree, by criterion.

    Returns
    -------
    By criterion: raters, customers, ratings, blank (asked and not answered), mean_difference (between two raters of one customer on
    one day, in points), within_one_share, alpha (Krippendorff's, interval: 1 is full agreement, 0 what chance would give; Krippendorff, *Content
    Analysis*); missing where fewer than `FEW_PAIRS` times two raters judged one customer on one day.
    """
    rows = {criterion: _agreement_on(said) for criterion, said in ratings.groupby("criterion", sort=True)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=AGREEMENT)


def _agreement_on(said: Frame) -> tuple[float, ...]:
    known = said.dropna(subset=["rating"])
    pairs = known.merge(known, on=["customer_id", "date"])
    gaps = (pairs["rating_x"] - pairs["rating_y"]).abs()[pairs["rater_x"] < pairs["rater_y"]]
    units = known["customer_id"] + known["date"].map(str)
    alpha = krippendorff_alpha(known["rating"].astype(float), units) if len(gaps) >= FEW_PAIRS else np.nan
    counts = (said["rater"].nunique(), said["customer_id"].nunique(), len(known), len(said) - len(known))
    return (*counts, gaps.mean(), (gaps <= 1).mean(), alpha)


def krippendorff_alpha(values: pd.Series, units: pd.Series) -> float:
    """Krippendorff's alpha for interval data, over the units that two or more raters rated; NaN without such or without spread."""
    grouped = values.groupby(units.to_numpy())
    paired = values[(grouped.transform("size") > 1).to_numpy()]
    grouped = paired.groupby(units[paired.index].to_numpy())
    count, spread = grouped.size(), grouped.var(ddof=0) * grouped.size()
    expected = ((paired - paired.mean()) ** 2).sum() / (len(paired) - 1) if len(paired) > 1 else 0.0
    observed = (spread * count / (count - 1)).sum() / len(paired) if len(paired) else 0.0
    return float(1 - observed / expected) if expected else float("nan")


def correlations(given: Frame) -> Frame:
    """Spearman's rank correlation of the criteria; missing where fewer than ten accounts have both."""
    return given.corr(method="spearman", min_periods=10)


def correlated_pairs(given: Frame) -> Frame:
    """Each pair of criteria that can be compared: first, second, rho (as `correlations`), strongest first."""
    rho = correlations(given).rename_axis(index="first").reset_index()
    pairs = rho.melt(id_vars="first", var_name="second", value_name="rho").dropna()
    order = {name: place for place, name in enumerate(given)}
    pairs = pairs[pairs["first"].map(order) < pairs["second"].map(order)]
    return pairs.sort_values("rho", key=abs, ascending=False, kind="stable").reset_index(drop=True)


def collinear(given: Frame, *, limit: float = 0.8) -> Frame:
    """Pairs of criteria that say nearly the same: those of `correlated_pairs` beyond ±`limit`."""
    pairs = correlated_pairs(given)
    return pairs[pairs["rho"].abs() > limit]


def stays_in_top(given: Frame, weight: pd.Series, *, top_share: float, seed: int, draws: int = 2000) -> pd.Series:
    """Share of random weightings in which each account is in the top group.

    Weightings are Dirichlet with the chosen weights as mean and `CONCENTRATION` as their sum of parameters: a weight of 20 % then has a
    standard deviation of 5.6 points.
    """
    values = given[weight.index].to_numpy(float)
    there, filled = (~np.isnan(values)).astype(float), np.nan_to_num(values)
    size = top_size(scores(given, weight), top_share)
    drawn = np.random.default_rng(seed).dirichlet(weight.to_numpy() * CONCENTRATION, draws)
    held = np.zeros(len(given))
    for block in np.array_split(drawn, max(1, draws * len(given) // 4_000_000)):
        known = there @ block.T
        score = np.where(known > 0, (filled @ block.T) / np.where(known > 0, known, 1), -1)
        held += in_top(score, size).sum(axis=1)
    return pd.Series(held / draws, index=given.index, name="stays_share")


def smallest_changes(given: Frame, weight: pd.Series, *, top_share: float, eligible: pd.Series | None = None) -> Frame:
    """By criterion: the smallest change of its weight, the others rescaled, that changes who is in the top group.

    Parameters
    ----------
    eligible
        Accounts whose coming or going counts, such as those profitable enough to be a key account; all without it.

    Returns
    -------
    By criterion: weight, changed_weight, change (signed; both missing where no weight from 0 to 1 changes the list), enters, leaves
    (account_id). Solved exactly: two accounts tie where a quadratic in the weight is zero.
    """
    ordered = given.sort_index()
    size, every = top_size(scores(given, weight), top_share), pd.Series(True, index=ordered.index)
    counted = (every if eligible is None else eligible.reindex(ordered.index, fill_value=False)).to_numpy(bool)
    rows = {}
    for criterion in weight.index if len(weight) > 1 else ():
        paths, at = _paths(ordered, weight, criterion), float(weight[criterion])
        found = [step for end in (MOVED, 1 - MOVED) if (step := _walk(paths, (at, end), size, counted))]
        now, enters, leaves = min(found, key=lambda step: abs(step[0] - at), default=(None, NOBODY, NOBODY))
        names = [", ".join(ordered.index[place]) for place in (enters, leaves)]
        rows[criterion] = (at, now, None if now is None else now - at, *names)
    columns = ["weight", "changed_weight", "change", "enters", "leaves"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def names_of(listed: Frame, names: pd.Series) -> Frame:
    """Lists of account_id, as `smallest_changes` gives them, as lists of names; 'nobody' where a list is empty."""
    known = names.to_dict()
    return listed.map(lambda ids: ", ".join(str(known[one]) for one in ids.split(", ")) if ids else "nobody")


def _paths(given: Frame, weight: pd.Series, criterion: str) -> Any:
    """Each account's score as (a + b t) / (c + d t) of the criterion's weight t: rows a, b, c, d."""
    own, rest = given[criterion], weight.drop(criterion) / (1 - weight[criterion])
    others, there = (part.mul(rest).sum(axis=1).to_numpy() for part in (given[rest.index], given[rest.index].notna()))
    known = own.notna().to_numpy()
    paths = np.array([others, own.fillna(0).to_numpy() - others, there, known - there])
    paths[:, (there == 0) & ~known] = np.array([[-1.0], [0.0], [1.0], [0.0]])
    return paths


def _at(paths: Any, t: float) -> Any:
    return (paths[0] + paths[1] * t) / (paths[2] + paths[3] * t)


def _walk(paths: Any, way: tuple[float, float], size: int, counted: Any) -> tuple[float, Any, Any] | None:
    """From a weight to the end: the first at which the list changes, and the places of who enters and leaves; None without."""
    (t, end), listed = way, in_top(_at(paths, way[0]), size) & counted
    onward = MOVED if end > t else -MOVED
    while (end - t) * onward > 0:
        top = in_top(_at(paths, t + onward), size)
        if ((top & counted) != listed).any():
            return t, (top & counted & ~listed).nonzero()[0], (listed & ~top).nonzero()[0]
        t = _next_tie(paths, t + onward, end, top)
    return None


def _next_tie(paths: Any, t: float, end: float, top: Any) -> float:
    """The next weight at which one of the top group ties with one outside; the end without.

    Every score is monotone in the weight, so that its ends over a stretch bound it: only who can meet there is paired.
    """
    stretch, onward = 1e-6, 1 if end > t else -1
    while True:
        far = min(t + stretch, end) if onward > 0 else max(t - stretch, end)
        here, there = _at(paths, t), _at(paths, far)
        low, high = np.minimum(here, there), np.maximum(here, there)
        inside, outside = (top & (low <= high[~top].max(initial=-2)), ~top & (high >= low[top].min(initial=2)))
        ties = _ties(paths[:, inside], paths[:, outside])
        ties = ties[(ties - t) * (far - ties) > 0]
        if len(ties) or far == end:
            return float((ties.min() if onward > 0 else ties.max()) if len(ties) else end)
        stretch *= 4


def _ties(inside: Any, outside: Any) -> Any:
    """The weights at which an account of one side has the score of one of the other: roots of their quadratics."""
    (a, b, c, d), (e, f, g, h) = inside[:, :, None], outside[:, None, :]
    square, linear, constant = b * h - f * d, a * h + b * g - e * d - f * c, a * g - e * c
    with np.errstate(all="ignore"):
        half = -(linear + np.copysign(np.sqrt(linear**2 - 4 * square * constant), linear)) / 2
        roots = np.concatenate([(half / square).ravel(), (constant / half).ravel()])
    return roots[np.isfinite(roots)]
