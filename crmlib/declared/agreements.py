"""What is offered and agreed, as records: the menu of options, their levels by segment, and the product and service agreements (PSA)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from crmlib.declared.judgement import Record, Text
from crmlib.declared.reading import each_once, refuse_repeated

PROCESSES = (
    "customer relationship management", "customer service management", "demand management", "order fulfilment", "manufacturing flow management",
    "supplier relationship management", "product development and commercialisation", "returns management",
)  # fmt: skip
PER = ("order", "invoice_line", "unit", "net_sales", "month", "year")  # what a level is counted by

Blank = BeforeValidator(lambda value: None if value == "" else value)
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, description="a number of zero or more, such as 12.50")]
Share = Annotated[
    Decimal, Field(ge=0, le=1, allow_inf_nan=False, description="a share from 0 to 1, such as 0.02 for 2 %")
]
MaybeAmount = Annotated[Amount | None, Blank, Field(description="a number of zero or more, or blank")]
MaybeShare = Annotated[Share | None, Blank, Field(description="a share from 0 to 1, such as 0.02 for 2 %, or blank")]


class Option(Record):
    """One row of menu.csv: something that a customer may be promised, in product or service."""

    option: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="a short name in small letters, such as rush_order")
    ]
    name: Annotated[Text, Field(description="write the name that a customer reads")]
    kind: Literal["service", "product"] = Field(description="service or product")
    process: Literal[PROCESSES] = Field(description=f"the process that delivers it: {', '.join(PROCESSES)}")  # type: ignore[valid-type]
    line: Annotated[Text, Field(description="id of the line of the statement that bears its cost")]
    per: Literal[PER] = Field(description=f"what levels are counted by: {', '.join(PER)}")  # type: ignore[valid-type]
    unit: Annotated[Text, Field(description="write what one unit is, such as rush order")]
    activity: str
    unit_cost: MaybeAmount
    capacity: MaybeAmount
    measure: str
    target: MaybeShare
    method: str
    penalty: MaybeShare
    bonus: MaybeShare
    uplift_on: Literal["sales", "retention", ""] = Field(description="sales, retention, or blank")
    uplift_low: MaybeShare
    uplift: MaybeShare
    uplift_high: MaybeShare

    @model_validator(mode="after")
    def _priced_and_judged_whole(self) -> Option:
        if (self.activity == "") == (self.unit_cost is None):
            raise ValueError("unit_cost: give an activity of the ledger or a unit cost, and not both")
        range_ = [self.uplift_low, self.uplift, self.uplift_high]
        if range_.count(None) != (0 if self.uplift_on else 3) or range_ != sorted(range_, key=lambda v: v or 0):
            whole = "give uplift_on with uplift_low, uplift and uplift_high, rising, or leave all blank"
            raise ValueError(f"uplift: {whole}")
        if (self.target is not None and not self.measure) or ((self.penalty or self.bonus) and self.target is None):
            raise ValueError("target: a target needs its measure, and a penalty or bonus its target")
        return self


class Level(Record):
    """One row of menu_levels.csv: how much of an option a segment gets."""

    segment: Annotated[Text, Field(description="write the name of a segment")]
    option: Annotated[Text, Field(description="write an option of menu.csv")]
    floor: Amount
    target: Amount
    ceiling: Amount

    @model_validator(mode="after")
    def _rise(self) -> Level:
        if not self.floor <= self.target <= self.ceiling:
            raise ValueError("target: must lie between floor and ceiling")
        return self


class Commitment(Record):
    """What one agreement promises of one option."""

    option: Text
    level: Amount
    measure: str = ""
    target: Share | None = None
    method: str = ""
    penalty: Share = Decimal(0)
    bonus: Share = Decimal(0)


class Contacts(Record):
    """Who speaks for both sides."""

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()


class Expected(Record):
    """What an agreement was expected to bring in a year."""

    sales: Decimal
    margin: Decimal


class Terms(Record):
    """The clauses that are words; those of an agreement take the place of the general ones."""

    scope: str = ""
    delivery: str = ""
    payment: str = ""
    forecast_sharing: str = ""
    returns: str = ""
    gain_sharing: str = ""
    reviews: str = ""
    law: str = ""


class Agreement(Terms):
    """One version of one agreement, with an account or with all customers of a segment."""

    account: str = Field(default="", description="customer_id")
    segment: str = ""
    version: Annotated[int, Field(ge=1)]
    valid_from: date
    valid_to: date
    contacts: Contacts = Contacts()
    commitments: Annotated[tuple[Commitment, ...], each_once("option")] = ()
    projects: tuple[str, ...] = ()
    expected: Expected | None = None

    @model_validator(mode="after")
    def _of_one_party_for_a_time(self) -> Agreement:
        if (self.account == "") == (self.segment == ""):
            raise ValueError("give an account (a customer_id) or a segment, and not both")
        if self.valid_to < self.valid_from:
            raise ValueError(f"valid_to {self.valid_to} is before valid_from {self.valid_from}")
        return self

    @property
    def party(self) -> tuple[str, str]:
        """The account ('' for none) and the segment ('' for none)."""
        return self.account, self.segment

    def holds(self, start: date, end: date) -> bool:
        """Whether it is in force on a day from `start` to before `end`."""
        return self.valid_from < end and start <= self.valid_to


def _in_turn(agreements: tuple[Agreement, ...]) -> tuple[Agreement, ...]:
    """Versions that each stand once and follow each other, no two in force on one day."""
    refuse_repeated([f"{a.account or a.segment} version {a.version}" for a in agreements])
    ordered = sorted(agreements, key=lambda a: (a.party, a.version))
    for before, after in pairwise(ordered):
        if before.party == after.party and after.valid_from <= before.valid_to:
            who = before.account or before.segment
            ends = f"before version {before.version} ends on {before.valid_to}; end that the day before"
            raise ValueError(f"{who}: version {after.version} begins on {after.valid_from}, {ends}")
    return agreements


class Agreements(Record):
    """agreements.yml."""

    template: str = Field(default="", description="a Word file beside this one")
    terms: Terms = Terms()
    agreements: Annotated[tuple[Agreement, ...], AfterValidator(_in_turn)] = ()

    @field_validator("template")
    @classmethod
    def _a_file_name(cls, template: str) -> str:
        if template and ("/" in template or "\\" in template or not template.endswith(".docx")):
            raise ValueError("must be the name of a .docx file in the folder judgement")
        return template

    def of(self, account: str, segment: str) -> list[Agreement]:
        """All versions with a party, the first first."""
        return sorted((a for a in self.agreements if a.party == (account, segment)), key=lambda a: a.version)

    def in_force(self, start: date, end: date) -> list[Agreement]:
        """Those in force on a day from `start` to before `end`: of each party the last."""
        last = {a.party: a for a in sorted(self.agreements, key=lambda a: a.version) if a.holds(start, end)}
        return list(last.values())
