"""Criteria: on what customers are compared, with what weight, and how far the ranking hangs on the weights.

What people decided is read from `judgement/`, all its mistakes told at once. Measures are ranked among the accounts that
bought, since they are skewed and may be negative; ratings are placed on their scale. What is missing is left out of an
account's score and counted, never taken as zero.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from crmlib.books import Books, Frame
from crmlib.engagement import PACKAGE, Engagement, Period, SettingsError, read_yaml

MEASURES = {
    "sales": "gross sales",
    "net_margin": "net margin",
    "growth_share": "growth of sales on the year before",
    "margin_level_share": "margin after cost of goods, of sales",
    "net_margin_share": "net margin of sales",
    "cost_to_serve_share": "cost to serve of sales",
    "discount_share": "discounts, returns and allowances of sales",
    "orders": "orders",
    "order_value": "sales of an order",
    "active_months_share": "share of months with a purchase",
    "product_concentration_share": "share of the largest product in what is bought",
    "tenure_years": "years of the relationship",
}
RATINGS = ("customer_id", "criterion", "rater", "date", "rating")
COMPARABLE_MONTHS_SHARE = 0.5  # of a period; with fewer of them growth is no number
MOST_TOLD = 50  # mistakes of one file
CONCENTRATION = 50  # of the Dirichlet weightings
NOBODY = np.array([], dtype=int)
MOVED = 1e-9  # a weight just beyond another
M = TypeVar("M", bound=BaseModel)


# --- judgement files -------------------------------------------------------------------------------------------------


class Record(BaseModel):
    """A frozen record of a judgement file; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Criterion(Record):
    """One criterion of the register."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str = Field(min_length=1)
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    source: str = Field(description="a measure, judged, or a column of customers: of numbers, or with `values`")
    direction: Literal["higher", "lower"] = "higher"
    scale: tuple[float, float] = (1, 5)
    used: bool = True
    owner: str = ""
    axes: tuple[Literal["attractiveness", "relationship", "potential"], ...] = ()
    values: dict[str, float] = Field(default_factory=dict, description="points of each value of a column of customers")

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> Criterion:
        if self.scale[0] >= self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} must rise; such as [1, 5]")
        known = ["judged", *MEASURES, *(info.context or [self.source])]
        if self.used and self.source not in known:
            near = difflib.get_close_matches(self.source, known, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"source {self.source!r} is no measure and no column of customers; {hint}allowed: {', '.join(known)}"
            )
        return self


def _unlike(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    ids = [c.id for c in criteria]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"id {', '.join(twice)} stands twice")
    if not any(c.used and c.weight > 0 for c in criteria):
        raise ValueError("no criterion is used with a weight above 0")
    return criteria


class Register(Record):
    """criteria.yml."""

    top_share: Annotated[float, Field(gt=0, lt=1)] = 0.10
    least_known_share: Annotated[float, Field(ge=0, le=1)] = 0.50
    other_axis: str = ""
    criteria: Annotated[tuple[Criterion, ...], AfterValidator(_unlike)]

    def __getitem__(self, criterion: str) -> Criterion:
        return next(c for c in self.criteria if c.id == criterion)


class Goal(Record):
    """One goal of the strategy."""

    text: str = Field(min_length=1)
    measure: Literal["", "sales", "net_margin", "growth_share", "net_margin_share"] = ""
    target: float | None = None
    by: str = "account_type"
    group: str = Field(default="", description="a value of the column `by`; blank: all customers")


class Market(Record):
    """What the strategy wants of one group of customers."""

    group: str = Field(min_length=1, description="a value of the column `by`")
    by: str = "account_type"
    stance: Literal["grow", "hold", "shrink"]
    because: str = ""


def _once(markets: tuple[Market, ...]) -> tuple[Market, ...]:
    named = [f"{m.by} {m.group}" for m in markets]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} stands twice")
    return markets


class Strategy(Record):
    """strategy.yml."""

    goals: tuple[Goal, ...] = ()
    markets: Annotated[tuple[Market, ...], AfterValidator(_once)] = ()
    constraints: tuple[str, ...] = ()


def refuse(file: str, mistakes: Sequence[str]) -> None:
    """Stop where a judgement file has mistakes, all of them told.

    Raises
    ------
    SettingsError
        One line per mistake.
    """
    if mistakes:
        more = [f"… and {len(mistakes) - MOST_TOLD} more"] if len(mistakes) > MOST_TOLD else []
        told = "\n".join(f"  {m}" for m in [*mistakes[:MOST_TOLD], *more])
        raise SettingsError(f"judgement/{file} has {len(mistakes)} mistake(s):\n{told}")


def judgement(engagement: Engagement, file: str, model: type[M], columns: Sequence[str] = ()) -> M:
    """A YAML file of the folder judgement as its record, which may name `columns` of customers; without it the workbook's own, or an empty one.

    Raises
    ------
    SettingsError
        The file does not hold: all mistakes, each with place, value and what is allowed.
    """
    path = engagement.judgement(file)
    content = read_yaml(path) if path.is_file() else {}
    try:
        return model.model_validate(content, context=columns)
    except ValidationError as error:
        refuse(file, [_told(e, content) for e in error.errors()])
        raise


def _told(error: Any, content: Any) -> str:
    place, inner = "", content
    for part in error["loc"]:
        inner = inner[part] if isinstance(inner, (list, dict)) and (isinstance(part, int) or part in inner) else None
        name = (
            next((str(inner[k]) for k in ("id", "segment", "flag", "group") if k in inner), "")
            if isinstance(inner, dict)
            else ""
        )
        place += (f"[{part}]" if isinstance(part, int) else f".{part}") + (f" ({name})" if name else "")
    if error["type"] == "extra_forbidden":
        return f"{place.lstrip('.')}: unknown key; the template that `crm new` writes shows those there are"
    found = f" (found {error['input']!r})" if not isinstance(error["input"], (dict, list)) else ""
    return f"{place.lstrip('.') or 'the file'}: {error['msg'].removeprefix('Value error, ')}{found}"


def read_criteria(books: Books) -> Register:
    """The criteria register of an engagement (errors as `judgement`)."""
    customers = books.customers
    register = judgement(books.engagement, "criteria.yml", Register, list(customers.columns))
    ids = [c.id for c in register.criteria]
    wrong = [f"customers.{c}: has the name of a measure; map it under another" for c in MEASURES if c in customers]
    for c in (c for c in register.criteria if c.used and c.source in customers and not c.values):
        given = customers[c.source][customers[c.source].astype(str) != ""]
        odd = given[pd.to_numeric(given, errors="coerce").isna() & given.notna()]
        wrong += [
            f"{c.id}.source: {c.source} holds {v!r}, no number; give points for its `values`" for v in odd.head(1)
        ]
    if register.other_axis and register.other_axis not in ids:
        wrong.append(f"other_axis: {register.other_axis!r} is no criterion; allowed: {', '.join(ids)}")
    refuse("criteria.yml", wrong)
    return register


def read_strategy(books: Books) -> Strategy:
    """The strategy's goals, markets and constraints (errors as `judgement`); empty without the file."""
    strategy, wrong = judgement(books.engagement, "strategy.yml", Strategy), []
    goals: list[tuple[str, Goal | Market]] = [(f"goals[{i}]", g) for i, g in enumerate(strategy.goals) if g.group]
    for place, named in [*goals, *((f"markets[{i}]", m) for i, m in enumerate(strategy.markets))]:
        values = sorted(set(books.customers[named.by])) if named.by in books.customers else None
        if values is None:
            there = ", ".join(books.customers.columns)
            wrong.append(f"{place}.by: customers have no column {named.by!r}; there are {there}")
        elif named.group not in values:
            there = ", ".join(map(str, values))
            wrong.append(f"{place}.group: no customer has {named.by} {named.group!r}; there are {there}")
    refuse("strategy.yml", wrong)
    return strategy


def read_ratings(books: Books, register: Register) -> Frame:
    """What raters said: customer_id, criterion, rater, date, rating (a blank one is missing); empty without ratings.csv.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    path = books.engagement.folder / "judgement" / "ratings.csv"
    if not path.is_file():
        return pd.DataFrame(columns=list(RATINGS))
    rows = _rows(path)
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
    refuse(
        "ratings.csv",
        [
            f"row {i + 2}, {column}: {rows.at[i, column]!r}: {why}"
            for column, where, why in bad
            for i in rows.index[where]
        ],
    )
    return rows.assign(date=rows["day"], rating=number)[list(RATINGS)]


def _rows(path: Path) -> Frame:
    try:
        header, *rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))) or [[]]
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        refuse(path.name, [f"row {line}: not UTF-8; save it as `CSV UTF-8`"])
    if len(header) == 1 and ";" in header[0]:
        refuse(path.name, ["row 1: columns are set apart by semicolons; save it with commas"])
    if missing := [c for c in RATINGS if c not in header]:
        refuse(path.name, [f"row 1: column {c} is missing; the columns are {', '.join(RATINGS)}" for c in missing])
    uneven = [
        f"row {i}: {len(row)} values under {len(header)} columns; quote values that hold a comma"
        for i, row in enumerate(rows, 2)
        if row and len(row) != len(header)
    ]
    refuse(path.name, uneven)
    blank = [""] * len(header)
    return pd.DataFrame([[cell.strip() for cell in row or blank] for row in rows], columns=header, dtype=object)


def templates() -> dict[str, str]:
    """The judgement files as a new engagement gets them: file name → text."""
    own = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in ("criteria.yml", "segments.yml")}
    return {"strategy.yml": STRATEGY, "ratings.csv": ",".join(RATINGS) + "\n", **own}


STRATEGY = """\
# What corporate and marketing strategy want of customers and markets; 11_strategy_review holds it against the books.
# goals: what is to be reached        markets: a group of customers and whether it is to grow, hold or shrink
# goals:
#   - {text: Sales grow by 5 % a year, measure: growth_share, target: 0.05}
#   - {text: Wholesalers keep 15 %, measure: net_margin_share, target: 0.15, by: account_type, group: Wholesalers}
# markets:
#   - {by: account_type, group: Wholesalers, stance: grow, because: why}
# constraints:
#   - What limits us
goals: []
markets: []
constraints: []
"""


# --- measures --------------------------------------------------------------------------------------------------------


def accounts(books: Books, *, together: bool) -> pd.Series:
    """By customer_id: the account that decisions are made for; the topmost parent where families stand together."""
    ids = books.customers["customer_id"]
    account = pd.Series(ids.to_numpy(), index=ids.to_numpy(), dtype=object, name="account_id")
    if together and "parent_id" in books.customers:
        above = pd.Series(books.customers["parent_id"].to_numpy(), index=ids.to_numpy(), dtype=object)
        above = above[above != ""]
        for _ in range(10):  # parents of parents; a circle ends here
            account = account.map(above).where(lambda head: head.notna(), account)
    return account


def measures(books: Books, period: Period, *, together: bool = False) -> Frame:
    """What the books say of each account: index account_id, its name, the customers' attributes and `MEASURES`.

    Growth compares the months since a year after the first purchase, and is missing where these are fewer than half of
    the period. Shares of sales are missing without sales. Sums are exact, then floats, since only ranks are made of them.
    """
    account, named = accounts(books, together=together), books.customers.set_index("customer_id")
    heads = (named[named.index.isin(account)] if together else named).rename_axis("account_id").sort_index()
    sums = _sums(books, period, heads.index, account if together else None)
    sales = sums["sales"].where(sums["sales"] > 0)
    growth = (sums["same_months"] / sums["year_before"].where(sums["year_before"] > 0) - 1).where(
        sums["comparable_months"] >= COMPARABLE_MONTHS_SHARE * period.months
    )
    orders = sums["orders"].where(sums["orders"] > 0) if "orders" in sums else None
    since = (
        pd.to_datetime(named["customer_since"], errors="coerce").groupby(account).min()
        if "customer_since" in named
        else None
    )
    made = {
        "sales": sums["sales"], "net_margin": sums["net_margin"], "growth_share": growth if books.comparable(period.year_before()) else None,
        "margin_level_share": (sums["sales"] - sums.get("deductions", 0) - sums["goods"]) / sales if "goods" in sums else None,
        "net_margin_share": sums["net_margin"] / sales, "cost_to_serve_share": sums["served"] / sales if "served" in sums else None,
        "discount_share": sums["deductions"] / sales if "deductions" in sums else None, "orders": orders,
        "order_value": sales / orders if orders is not None else None, "active_months_share": sums["active_months"] / period.months,
        "product_concentration_share": sums.get("product_concentration_share"),
        "tenure_years": None if since is None else (pd.Timestamp(period.end) - since).dt.days / 365.25,
    }  # fmt: skip
    return heads.assign(**{name: values for name, values in made.items() if values is not None})


def _sums(books: Books, period: Period, heads: pd.Index, account: pd.Series | None) -> Frame:
    """Amounts of each account in the period and a year before, summed exactly by DuckDB and then floats; `account` where families stand together."""
    import duckdb

    statement, base = books.statement_in(period), period.year_before()
    leaves = [line for line in statement.leaves if line.cls != "pool"]
    goods = [line.id for line in leaves if "invoice_lines.cost_of_goods" in line.sources]
    kinds = {
        "sales": ["sales"], "goods": goods, "deductions": [li.id for li in leaves if li.cls == "deduction"],
        "served": [li.id for li in leaves if li.cls in {"variable", "assignable", "asset_charge"} and li.id not in goods],
    }  # fmt: skip
    kinds["net_margin"] = [li.id if li.sign > 0 else f"-{li.id}" for li in leaves]
    key = {"cube": ("owner", "", "*"), "sales": ("customer_id", "")} if account is None else FAMILY
    with duckdb.connect() as con:
        if account is not None:
            con.register("members", account.rename_axis("customer_id").reset_index().astype("str"))
        cube = f"read_parquet('{_quoted(books.cache / 'cube.parquet')}')"
        if any(row[0] == "driver_orders" for row in con.execute(f"DESCRIBE SELECT * FROM {cube}").fetchall()):
            kinds["orders"] = ["driver_orders"]
        parts = [f"coalesce(sum({' + '.join(ids)}), 0)::DOUBLE AS {kind}" for kind, ids in kinds.items() if ids]
        now = {"start": period.start, "end": period.end}
        dates = {**now, "base": base.start, "base_end": base.end, "months": period.months}
        queries: list[tuple[str, dict[str, Any]]] = [
            (SUMS.format(parts=", ".join(parts), cube=cube, key=key["cube"]), dates)
        ]
        if (path := books.cache / "sales.parquet").exists():
            queries.append((BREADTH.format(path=_quoted(path), key=key["sales"]), now))
        made = []
        for begin in range(0, len(heads), AT_A_TIME):
            some = heads[begin : begin + AT_A_TIME]
            con.register("heads", pd.DataFrame({"account_id": some.astype("str"), "place": np.arange(len(some))}))
            reach = {"first": some[0], "last": some[-1]}
            found = [con.execute(query, given | reach).df().set_index("place") for query, given in queries]
            made.append(pd.concat(found, axis=1).sort_index().set_axis(some))
    return pd.concat(made)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


AT_A_TIME = 250_000  # accounts, sorted; a million take less than 1 GB
FAMILY = {
    "cube": ("m.account_id", "JOIN members m ON c.owner = m.customer_id", "DISTINCT month"),
    "sales": ("m.account_id", "JOIN members m USING (customer_id)"),
}
SUMS = """
WITH rows AS NOT MATERIALIZED (SELECT {key[0]} AS account_id, c.* FROM {cube} c {key[1]} WHERE c.level = 'customer' AND c.month < $end
              AND {key[0]} BETWEEN $first AND $last),
before AS (SELECT account_id, min(month) FILTER (sales > 0) AS began, sum(sales) FILTER (month >= $base AND month < $base_end) AS base
           FROM rows GROUP BY account_id)
SELECT place, {parts}, coalesce(any_value(base), 0)::DOUBLE AS year_before,
       count({key[2]}) FILTER (sales > 0)::DOUBLE AS active_months,
       coalesce(sum(sales) FILTER (month - INTERVAL 12 MONTH >= began), 0)::DOUBLE AS same_months,
       greatest(0, $months - greatest(0, datediff('month', $base, any_value(began))))::DOUBLE AS comparable_months
FROM (FROM heads LEFT JOIN before USING (account_id)) LEFT JOIN (FROM rows WHERE month >= $start) USING (account_id) GROUP BY place
"""
BREADTH = """
SELECT place, max(bought)::DOUBLE / sum(bought)::DOUBLE AS product_concentration_share
FROM (SELECT {key[0]} AS account_id, product_id, sum(s.gross_sales) AS bought FROM read_parquet('{path}') s {key[1]}
      WHERE s.month >= $start AND s.month < $end AND {key[0]} BETWEEN $first AND $last GROUP BY ALL HAVING bought > 0) JOIN heads USING (account_id) GROUP BY place
"""


def rank_share(values: pd.Series, among: pd.Series) -> pd.Series:
    """Place of each value among those chosen, 0 (lowest) to 1, ties in the middle; alone it is 0.5, else missing."""
    ranks = values.where(among).rank()
    count = int(ranks.notna().sum())
    return (ranks - 1) / (count - 1) if count > 1 else ranks * 0.5


def judged(ratings: Frame, account: pd.Series, period: Period) -> Frame:
    """The mean rating by account and criterion, of each rater's latest before the period's end; criteria as columns."""
    known = ratings[(ratings["date"] < period.end) & ratings["rating"].notna()] if len(ratings) else ratings
    latest = known.sort_values("date", kind="stable").drop_duplicates(
        ["customer_id", "criterion", "rater"], keep="last"
    )
    latest = latest.assign(account_id=latest["customer_id"].map(account))
    return latest.astype({"rating": float}).pivot_table(
        index="account_id", columns="criterion", values="rating", aggfunc="mean"
    )


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


# --- scores ----------------------------------------------------------------------------------------------------------


def weights(register: Register, given: Frame, *, without: Collection[str] = ()) -> pd.Series:
    """The weight of each criterion that is used and has points, adding up to 1; `without` leaves some out.

    Raises
    ------
    SettingsError
        Nothing is left to weigh.
    """
    chosen = {
        c.id: c.weight
        for c in register.criteria
        if c.used
        and c.weight > 0
        and c.id in given
        and (given.empty or given[c.id].notna().any())
        and c.id not in without
    }
    left = pd.Series(chosen, dtype=float)
    if left.empty:
        raise SettingsError(
            "no criterion is used and has a source in these books; give one a weight in judgement/criteria.yml"
        )
    return left / left.sum()


def compared(given: Frame, weight: pd.Series, least_known_share: float) -> Frame:
    """The points of the accounts that can be compared: values for that share of the weight, or more, are known.

    Raises
    ------
    SettingsError
        There is none.
    """
    enough = given[weight.index].notna().mul(weight).sum(axis=1) >= least_known_share - MOVED
    if len(given) and not enough.any():
        raise SettingsError(
            f"of no customer is {least_known_share:.0%} of the weight known; rate more, or lower least_known_share in judgement/criteria.yml"
        )
    return given[enough]


def contributions(given: Frame, weight: pd.Series) -> Frame:
    """What each criterion adds to each account's score: weight × points, weights rescaled over what is there."""
    there = given[weight.index]
    known = there.notna().mul(weight).sum(axis=1)
    return there.mul(weight).div(known.where(known > 0), axis=0)


def scores(given: Frame, weight: pd.Series) -> pd.Series:
    """The weighted score from 0 to 1 by account; missing where no criterion has a value."""
    return pd.Series(contributions(given, weight).sum(axis=1, min_count=1), name="score")


def top_group(score: pd.Series, top_share: float) -> pd.Series:
    """Whether an account is in the top group by score: the best `top_share`, at least one; of ties the first by key."""
    return score.sort_index().rank(ascending=False, method="first").reindex(score.index) <= top_size(score, top_share)


def top_size(score: pd.Series, top_share: float) -> int:
    """How many accounts the top group has."""
    return max(1, round(top_share * int(score.notna().sum())))


def register_table(register: Register, given: Frame, weight: pd.Series) -> Frame:
    """The register as it worked: label, source, weight_share in force, customers with a value, missing, and why it is not in the score."""
    rows = []
    for c in register.criteria:
        known = int(given[c.id].notna().sum()) if c.id in given else 0
        why = (
            ""
            if c.id in weight
            else "not used"
            if not c.used
            else "no source here"
            if not known
            else "no weight"
            if not c.weight
            else "left out"
        )
        rows.append(
            (
                c.label,
                c.owner if c.source == "judged" else "",
                MEASURES.get(c.source, c.source.replace("_", " ")),
                c.direction,
                weight.get(c.id, 0.0),
                known,
                len(given) - known,
                why,
            )
        )
    columns = [
        "criterion",
        "judged_by",
        "source",
        "better",
        "weight_share",
        "with_value",
        "missing",
        "outside_the_score",
    ]
    return pd.DataFrame(rows, columns=columns, index=[c.id for c in register.criteria])


def agreement(ratings: Frame) -> Frame:
    """How far raters agree, by criterion.

    Returns
    -------
    By criterion: raters, customers, ratings, blank (asked and not answered), mean_difference (between two raters of one customer on
    one day, in points), within_one_share, alpha (Krippendorff's, interval: 1 is full agreement, 0 what chance would give; Krippendorff, *Content
    Analysis*); missing where no customer has two raters.
    """
    rows = {}
    for criterion, said in ratings.groupby("criterion", sort=True):
        known = said.dropna(subset=["rating"])
        pairs = known.merge(known, on=["customer_id", "date"])
        gaps = (pairs["rating_x"] - pairs["rating_y"]).abs()[pairs["rater_x"] < pairs["rater_y"]]
        alpha = krippendorff_alpha(known["rating"].astype(float), known["customer_id"] + known["date"].map(str))
        rows[criterion] = (
            said["rater"].nunique(),
            said["customer_id"].nunique(),
            len(known),
            len(said) - len(known),
            gaps.mean(),
            (gaps <= 1).mean(),
            alpha,
        )
    columns = ["raters", "customers", "ratings", "blank", "mean_difference", "within_one_share", "alpha"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


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


def collinear(given: Frame, *, limit: float = 0.8) -> Frame:
    """Pairs of criteria that say nearly the same: first, second, rho (`correlations` beyond ±`limit`), strongest first."""
    rho = correlations(given).rename_axis(index="first").reset_index()
    pairs = rho.melt(id_vars="first", var_name="second", value_name="rho")
    order = {name: place for place, name in enumerate(given)}
    pairs = pairs[(pairs["rho"].abs() > limit) & (pairs["first"].map(order) < pairs["second"].map(order))]
    return pairs.sort_values("rho", key=abs, ascending=False, kind="stable").reset_index(drop=True)


# --- how far it hangs on the weights ---------------------------------------------------------------------------------


def stays_in_top(given: Frame, weight: pd.Series, *, top_share: float, seed: int, draws: int = 2000) -> pd.Series:
    """Share of random weightings in which each account is in the top group.

    Weightings are Dirichlet with the chosen weights as mean and `CONCENTRATION` as their sum of parameters: a weight of 20 % then has a
    standard deviation of 5.6 points.
    """
    values = given[weight.index].to_numpy(float)
    values = values[order := np.argsort(given.index.to_numpy(), kind="stable")]
    there, filled = (~np.isnan(values)).astype(float), np.nan_to_num(values)
    size = top_size(scores(given, weight), top_share)
    drawn = np.random.default_rng(seed).dirichlet(weight.to_numpy() * CONCENTRATION, draws)
    held = np.zeros(len(given))
    for block in np.array_split(drawn, max(1, draws * len(given) // 4_000_000)):
        known = there @ block.T
        score = np.where(known > 0, (filled @ block.T) / np.where(known > 0, known, 1), -1)
        best = np.argsort(-score, axis=0, kind="stable")[:size]
        held += np.bincount(best.ravel(), minlength=len(given))
    return pd.Series(held / draws, index=given.index[order], name="stays_share").reindex(given.index)


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
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["weight", "changed_weight", "change", "enters", "leaves"]
    )


def _paths(given: Frame, weight: pd.Series, criterion: str) -> Any:
    """Each account's score as (a + b t) / (c + d t) of the criterion's weight t: rows a, b, c, d."""
    own, rest = given[criterion], weight.drop(criterion) / (1 - weight[criterion])
    others, there = (
        given[rest.index].mul(rest).sum(axis=1).to_numpy(),
        given[rest.index].notna().mul(rest).sum(axis=1).to_numpy(),
    )
    known = own.notna().to_numpy()
    paths = np.array([others, own.fillna(0).to_numpy() - others, there, known - there])
    paths[:, (there == 0) & ~known] = np.array([[-1.0], [0.0], [1.0], [0.0]])
    return paths


def _at(paths: Any, t: float) -> Any:
    return (paths[0] + paths[1] * t) / (paths[2] + paths[3] * t)


def _top_at(paths: Any, t: float, size: int) -> Any:
    mask = np.zeros(paths.shape[1], dtype=bool)
    mask[np.argsort(-_at(paths, t), kind="stable")[:size]] = True
    return mask


def _walk(paths: Any, way: tuple[float, float], size: int, counted: Any) -> tuple[float, Any, Any] | None:
    """From a weight to the end: the first at which the list changes, and the places of who enters and leaves; None without."""
    (t, end), listed = way, _top_at(paths, way[0], size) & counted
    onward = MOVED if end > t else -MOVED
    while (end - t) * onward > 0:
        top = _top_at(paths, t + onward, size)
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
        inside, outside = top & (low <= high[~top].max(initial=-2)), ~top & (high >= low[top].min(initial=2))
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
