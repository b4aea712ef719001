"""Account teams as records: what each function brings and the hours that takes (functions.yml), who gives how many (teams.csv), the plan (plan.csv)."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from crmlib.declared.agreements import PROCESSES
from crmlib.declared.judgement import Amount, Positive, Record, Text

Function = Literal["marketing", "sales", "research and development", "logistics", "production", "purchasing", "finance"]
FUNCTIONS: tuple[Function, ...] = get_args(Function)
Driver = Literal["account", "sales", "orders", "products", "opportunities", "below agreed"]
DRIVERS: dict[Driver, str] = {
    "account": "each account", "sales": "gross sales of a year", "orders": "orders of a year", "products": "different products bought",
    "opportunities": "open opportunities", "below agreed": "measures of service below what was agreed",
}  # fmt: skip
LEAD = "lead"
SEVERAL = ";"  # between the accounts of a member


class Task(Record):
    """What a function does for an account, and the hours a month that so many units of the driver take."""

    task: Text
    driver: Driver
    per: Positive = 1
    hours_key: Amount
    hours_others: Amount = 0
    measure: str = ""


class Brings(Record):
    """What one function brings to the process."""

    brings: Text
    tasks: tuple[Task, ...]


class Functions(Record):
    """functions.yml."""

    full_share: Positive = 1.0
    low_share: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.6
    functions: dict[Function, Brings]

    @model_validator(mode="after")
    def _makes_sense(self) -> Functions:
        if missing := [name for name in FUNCTIONS if name not in self.functions]:
            raise ValueError(f"functions: {', '.join(missing)} missing; write `tasks: []` where it has none")
        if self.low_share >= self.full_share:
            raise ValueError(f"low_share {self.low_share:g} must be below full_share {self.full_share:g}")
        return self


class Member(Record):
    """One row of teams.csv; a description says what is allowed."""

    function: Function = Field(description=f"one of {', '.join(FUNCTIONS)}")
    member: Text = Field(description="write who it is")
    hours_month: Amount
    accounts: str
    role: str


Day = Annotated[date, Field(description="write the day as 2025-11-30")]
NotYet = BeforeValidator(lambda value: None if value == "" else value)


class Milestone(Record):
    """One row of plan.csv: a step by which an agreement becomes what people do."""

    id: Text = Field(description="write a short name of its own")
    account: str
    segment: str
    process: Literal[PROCESSES] = Field(description=f"one of {', '.join(PROCESSES)}")  # type: ignore[valid-type]
    task: Text = Field(description="write what is to be done")
    owner: Text = Field(description="write who answers for it")
    start: Day
    end: Day
    depends_on: str
    done: Annotated[date | None, NotYet, Field(description="the day on which it was done, as 2025-11-30, or blank")]

    @model_validator(mode="after")
    def _in_order(self) -> Milestone:
        if self.end < self.start:
            raise ValueError("end: must not be before start")
        if self.account and self.segment:
            raise ValueError("segment: give an account or a segment, and not both; neither is for all")
        return self
