"""What people decide in workshops, as records: criteria, ratings, strategy, the rules of segments; all mistakes of a file at once."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from crmlib.declared import reading
from crmlib.declared.reading import did_you_mean, refuse_repeated

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
# what stands in an engagement's `judgement`: each has a template of the workbook's, or begins with a header alone
FILES = ("agreements.yml", "capital.yml", "criteria.yml", "functions.yml", "gain_sharing.yml", "metrics.yml", "segments.yml", "strategy.yml")  # fmt: skip
LISTS = ("menu.csv", "menu_levels.csv", "opportunities.csv", "plan.csv", "process.csv", "ratings.csv", "teams.csv")
RATINGS = ("customer_id", "criterion", "rater", "date", "rating")
KINDS = {  # of opportunities: where each stands between the customer and EVA, and how easily it is had
    "white space": ("sales", "medium"), "price": ("net sales", "hard"), "mix": ("cost of goods", "hard"),
    "cost to serve": ("cost to serve", "medium"), "payment terms": ("capital employed", "easy"), "other": ("as judged", "medium"),
}  # fmt: skip


class Record(reading.Record):
    """A record of a judgement file; blanks around a text do not count."""

    model_config = ConfigDict(str_strip_whitespace=True)


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
            allowed = ", ".join(known) + did_you_mean(self.source, known)
            raise ValueError(f"source {self.source!r} is no measure and no column of customers; allowed: {allowed}")
        return self


def _unlike(criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    refuse_repeated([f"id {c.id}" for c in criteria])
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
    refuse_repeated([f"{m.by} {m.group}" for m in markets])
    return markets


class Strategy(Record):
    """strategy.yml."""

    goals: tuple[Goal, ...] = ()
    markets: Annotated[tuple[Market, ...], AfterValidator(_once)] = ()
    constraints: tuple[str, ...] = ()


CONDITION = re.compile(r"(\w+)\s*(>=|<=|>|<|=|\bis\b)\s*(\S.*)")
RANKED = "_rank_share"
KNOWN = (*MEASURES, "score", "top_group", *(f"{name}{RANKED}" for name in (*MEASURES, "score")))
Stance = Literal["invest", "keep", "change", "close"]
STATE_OF = {  # meanings, over the names of `States`
    "new": "first ordered in the last {new_months} months, after a silence",
    "active": "orders in its own rhythm",
    "slowing": "orders on fewer days than its rhythm, or buys steadily less, by {slowing_share:.0%} or more",
    "silent": "no order for {silent_gaps:g} of its usual gaps, at least {silent_days:g} days",
    "lost": "no order for {lost_gaps:g} of its usual gaps, at least {lost_days:g} days",
    "no order": "no order in these books yet",
}


def _readable(when: tuple[str, ...]) -> tuple[str, ...]:
    wrong = []
    for text in when:
        found = CONDITION.fullmatch(text.strip())
        if not found:
            wrong.append(f"{text!r} is no condition; write it as `sales >= 1000` or `account_type is Wholesalers`")
        elif found[2] != "is" and found[1] not in (*KNOWN, "state"):
            allowed = f"{', '.join(MEASURES)}, score, top_group, and any with {RANKED}{did_you_mean(found[1], KNOWN)}"
            wrong.append(f"{text!r}: unknown measure {found[1]!r}; allowed: {allowed}")
        elif found[2] != "is" and found[1] != "state" and not re.fullmatch(r"-?\d+(\.\d+)?", found[3].strip()):
            wrong.append(f"{text!r}: {found[3]!r} is no number; write 0.15 for 15 %")
        elif found[1] == "state" and (found[2] != "is" or found[3].strip() not in STATE_OF):
            hint = did_you_mean(found[3].strip(), list(STATE_OF))
            wrong.append(f"{text!r}: write `state is` one of {', '.join(STATE_OF)}{hint}")
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
        who = ": " + ", ".join(early) if early else ""
        raise ValueError(f"the last rule, and no other, has `when: []`, so that every customer is in one segment{who}")
    meanings = {(r.segment, r.stance, r.key) for r in rules}
    refuse_repeated([f"segment {segment}" for segment, *_ in meanings], "with another stance or key")
    return rules


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class States(Record):
    """segments.yml, states: from when a customer is new, slowing, silent or lost (`STATE_OF`)."""

    new_months: Annotated[int, Field(ge=1, le=60)] = 12
    slowing_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    silent_gaps: Positive = 3
    silent_days: Positive = 91
    lost_gaps: Positive = 6
    lost_days: Positive = 182

    @model_validator(mode="after")
    def _lost_is_longer(self) -> States:
        for silent, lost in (("silent_gaps", "lost_gaps"), ("silent_days", "lost_days")):
            if getattr(self, lost) < getattr(self, silent):
                raise ValueError(f"{lost} must not be below {silent}: who is lost was silent before")
        return self


class Rules(Record):
    """segments.yml."""

    parents: Literal["apart", "together"] = "apart"
    hold: Share = 0
    most_key: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    teams_serve: Annotated[int, Field(ge=1)] | None = None
    material_share: Share = 0.001
    states: States = States()
    rules: Annotated[tuple[Rule, ...], AfterValidator(_complete)]
    flags: tuple[Flag, ...] = ()

    @property
    def together(self) -> bool:
        """Whether a parent and its subsidiaries are one account."""
        return self.parents == "together"

    def key_limit(self, buyers: int) -> int:
        """How many key accounts there may be among so many who bought: `most_key`, a share where it is below 1; all without it."""
        if self.most_key is None:
            return buyers
        return max(1, round(self.most_key * (buyers if self.most_key < 1 else 1)))

    @property
    def segments(self) -> list[str]:
        """The segments in the order of the rules."""
        return list(dict.fromkeys(rule.segment for rule in self.rules))


def condition_parts(condition: str) -> tuple[str, str, Any]:
    """Measure or column, sign, and number or text of a condition that was checked."""
    found = CONDITION.fullmatch(condition.strip())
    assert found, f"{condition!r} was not checked"
    text = re.sub(r"""^(["'])(.*)\1$""", r"\2", found[3].strip())  # quotation marks around a text are none of it
    return found[1], found[2], text if found[2] == "is" else float(found[3])


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, description="an amount of zero or more, such as 12500")]
Text = Annotated[str, Field(min_length=1)]


class Round(Record):
    """One row of process.csv: a sub-process that was run."""

    sub_process: Literal["S1", "S2", "S3", "S4", "S5", "O1", "O2", "O3", "O4", "O5", "O6", "O7"] = Field(
        description="S1 to S5 for the strategic sub-processes, O1 to O7 for the operational ones"
    )
    done: date = Field(description="the day on which it was concluded, such as 2025-11-28")
    owner: Text = Field(description="write who answers for it")
    output: Text = Field(description="write what came out of it")


class Opportunity(Record):
    """One row of opportunities.csv; a description says what is allowed."""

    customer_id: Text
    kind: Literal["white space", "price", "mix", "cost to serve", "payment terms", "other"] = Field(
        description=f"one of {', '.join(KINDS)}"
    )
    item: str
    expected: Amount
    low: Amount
    high: Amount
    ease: Literal["easy", "medium", "hard"] = Field(description="easy, medium or hard")
    owner: Text = Field(description="write who takes it up")
    evidence: Text = Field(description="write what speaks for it")
    status: Literal["open", "done", "dropped"] = Field(description="open, done or dropped")

    @model_validator(mode="after")
    def _in_its_range(self) -> Opportunity:
        if not self.low <= self.expected <= self.high:
            raise ValueError("expected: must lie between low and high")
        return self
