"""metrics.yml: the measures of the processes, whose they are, and which line or asset each moves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crmlib.declared.agreements import PROCESSES
from crmlib.declared.judgement import Record
from crmlib.declared.reading import did_you_mean, each_once, refuse_repeated

BALANCES = ("receivables", "inventory", "dedicated_assets")
FROM_BOOKS = {  # measures that the ledger gives by itself
    "order_value": "sales of an order",
    "lines_per_order": "invoice lines of an order",
    "orders_per_month": "orders a month of a customer",
    "credits_per_order": "credit note lines an order",
    "days_outstanding": "days that net sales are owed",
    "discount_share": "discounts, returns and allowances of sales",
}
Amount = Annotated[float, Field(allow_inf_nan=False)]


class Move(Record):
    """What a measure moves, and by how much."""

    on: str = Field(description="id of a line of the statement, or a balance: receivables, inventory, dedicated_assets")
    by: Amount | None = Field(
        None,
        description="judged: change of that amount in a period like the one reported when the measure rises by one step; blank: derived from the ledger",
    )
    low: Amount | None = Field(None, description="least change, as judged")
    high: Amount | None = Field(None, description="greatest change, as judged")
    because: str = Field("", description="what speaks for it")

    @model_validator(mode="after")
    def _in_order(self) -> Move:
        ends = [self.low, self.by, self.high]
        if ends.count(None) not in (0, 3) or (self.by is not None and ends != sorted(ends, key=float)):  # type: ignore[arg-type]
            raise ValueError("low, by and high must rise; give all three, or none for a change derived from the ledger")
        return self


class Metric(Record):
    """One measure of a process."""

    metric: str = Field(min_length=1, description="its name in the reports")
    measure: str = Field("", description="where its value comes from: `service: NAME`, `activity: NAME` (for each order), or a measure of the books; blank: nowhere yet")  # fmt: skip
    process: Literal[PROCESSES] = Field(description="the process that it is a measure of")  # type: ignore[valid-type]
    owner: str = Field("", description="who answers for it")
    unit: str = Field("", description="what one unit is, such as days")
    direction: Literal["higher", "lower"] = Field(description="which is better")
    step: float = Field(1, gt=0, description="a step that can be reached, in the measure's unit: 0.01 is a percent")
    moves: tuple[Move, ...] = Field((), description="the lines and balances that it moves")

    @model_validator(mode="after")
    def _known(self) -> Metric:
        kind, _, name = self.measure.partition(": ")
        if self.measure and self.measure not in FROM_BOOKS and not (kind in {"service", "activity"} and name):
            allowed = f"service: NAME, activity: NAME, {', '.join(FROM_BOOKS)}{did_you_mean(self.measure, FROM_BOOKS)}"
            raise ValueError(f"measure {self.measure!r} is unknown; allowed: {allowed}")
        refuse_repeated([move.on for move in self.moves])
        if not self.measure and (derived := [move.on for move in self.moves if move.by is None]):
            unknown = f"what it does to {derived[0]} cannot be derived without a measure"
            raise ValueError(f"{unknown}; judge it by low, by and high")
        return self


class Metrics(Record):
    """metrics.yml."""

    metrics: Annotated[tuple[Metric, ...], each_once("metric")] = ()
