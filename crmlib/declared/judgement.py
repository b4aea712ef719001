"""What people decide in workshops, as records: criteria, ratings, strategy, the rules of segments; all mistakes of a file at once."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from crmlib.declared.reading import DECLARED, SettingsError, read_yaml

if TYPE_CHECKING:
    import pandas as pd

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
MOST_TOLD = 50  # mistakes of one file
M = TypeVar("M", bound=BaseModel)


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


CONDITION = re.compile(r"(\w+)\s*(>=|<=|>|<|=|\bis\b)\s*(\S.*)")
RANKED = "_rank_share"
KNOWN = (*MEASURES, "score", "top_group", *(f"{name}{RANKED}" for name in (*MEASURES, "score")))
Stance = Literal["invest", "keep", "change"]


def _readable(when: tuple[str, ...]) -> tuple[str, ...]:
    wrong = []
    for text in when:
        found = CONDITION.fullmatch(text.strip())
        if not found:
            wrong.append(f"{text!r} is no condition; write it as `sales >= 1000` or `account_type is Wholesalers`")
        elif found[2] != "is" and found[1] not in KNOWN:
            wrong.append(
                f"{text!r}: unknown measure {found[1]!r}; allowed: {', '.join(MEASURES)}, score, top_group, and any with {RANKED}"
            )
        elif found[2] != "is" and not re.fullmatch(r"-?\d+(\.\d+)?", found[3].strip()):
            wrong.append(f"{text!r}: {found[3]!r} is no number; write 0.15 for 15 %")
    if wrong:
        raise ValueError("; ".join(wrong))
    return when


Conditions = Annotated[tuple[str, ...], AfterValidator(_readable)]


class Rule(Record):
    """One rule: who is in the segment, and what the segment means."""

    segment: str = Field(min_length=1)
    when: Conditions
    because: str = Field(min_length=1)
    stance: Stance
    key: bool = False


class Flag(Record):
    """A warning beside the segment."""

    flag: str = Field(min_length=1)
    when: Annotated[Conditions, Field(min_length=1)]
    because: str = Field(min_length=1)


def _complete(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    early = [r.segment for r in rules[:-1] if not r.when]
    if not rules or early or rules[-1].when:
        raise ValueError(
            f"the last rule, and no other, has `when: []`, so that every customer is in one segment{': ' + ', '.join(early) if early else ''}"
        )
    names = [r.segment for r in rules]
    if twice := {
        n for n in names if names.count(n) > 1 and len({(r.stance, r.key) for r in rules if r.segment == n}) > 1
    }:
        raise ValueError(f"segment {', '.join(sorted(twice))} stands twice with another stance or key")
    return rules


class Rules(Record):
    """segments.yml."""

    parents: Literal["apart", "together"] = "apart"
    rules: Annotated[tuple[Rule, ...], AfterValidator(_complete)]
    flags: tuple[Flag, ...] = ()

    @property
    def together(self) -> bool:
        """Whether a parent and its subsidiaries are one account."""
        return self.parents == "together"

    @property
    def segments(self) -> list[str]:
        """The segments in the order of the rules."""
        return list(dict.fromkeys(rule.segment for rule in self.rules))


def condition_parts(condition: str) -> tuple[str, str, Any]:
    found = CONDITION.fullmatch(condition.strip())
    assert found, f"{condition!r} was not checked"
    return found[1], found[2], found[3].strip() if found[2] == "is" else float(found[3])


def refuse_mistakes(file: str, mistakes: Sequence[str]) -> None:
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


def read_judgement(path: Path, model: type[M], columns: Sequence[str] = ()) -> M:
    """A YAML file of the folder judgement as its record, which may name `columns` of customers; an empty one without the file.

    Raises
    ------
    SettingsError
        The file does not hold: all mistakes, each with place, value and what is allowed.
    """
    content = read_yaml(path) if path.is_file() else {}
    try:
        return model.model_validate(content, context=columns)
    except ValidationError as error:
        refuse_mistakes(path.name, [_told(e, content) for e in error.errors()])
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


def rating_rows(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        header, *rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))) or [[]]
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        refuse_mistakes(path.name, [f"row {line}: not UTF-8; save it as `CSV UTF-8`"])
    if len(header) == 1 and ";" in header[0]:
        refuse_mistakes(path.name, ["row 1: columns are set apart by semicolons; save it with commas"])
    if missing := [c for c in RATINGS if c not in header]:
        refuse_mistakes(
            path.name, [f"row 1: column {c} is missing; the columns are {', '.join(RATINGS)}" for c in missing]
        )
    uneven = [
        f"row {i}: {len(row)} values under {len(header)} columns; quote values that hold a comma"
        for i, row in enumerate(rows, 2)
        if row and len(row) != len(header)
    ]
    refuse_mistakes(path.name, uneven)
    blank = [""] * len(header)
    return pd.DataFrame([[cell.strip() for cell in row or blank] for row in rows], columns=header, dtype=object)


def templates() -> dict[str, str]:
    """The judgement files as a new engagement gets them: file name → text."""
    own = {name: (DECLARED / name).read_text(encoding="utf-8") for name in ("criteria.yml", "segments.yml")}
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
