"""capital.yml: what the firm employs beside its customers' balances, what its capital costs, and how far the future may lie from today."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crmlib.declared.judgement import Record
from crmlib.declared.periods import YEAR, Period
from crmlib.declared.reading import each_once, refuse_repeated

if TYPE_CHECKING:
    import numpy as np

Driver = Literal[
    "volume", "price", "cost of goods", "expenses", "inventory", "other current assets", "fixed assets", "cost of capital"
]  # fmt: skip
Share = Annotated[Decimal, Field(ge=0, le=1)]
MONTH, ALWAYS = rf"{YEAR}-(0[1-9]|1[0-2])", "1900-01"


def _from_month_on(amount: Any) -> Any:
    return amount if isinstance(amount, dict) else {ALWAYS: amount}


def _months(amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    if wrong := [month for month in amounts if not re.fullmatch(MONTH, month)]:
        raise ValueError(f"{wrong[0]!r} is no month; write it as 2023-01")
    return amounts


Amounts = Annotated[
    dict[str, Annotated[Decimal, Field(allow_inf_nan=False)]], BeforeValidator(_from_month_on), AfterValidator(_months), Field(min_length=1)
]  # fmt: skip


class Money(Record):
    """Equity or debt: what it costs a year, and its share of the capital."""

    cost: Share = Field(description="a year; of debt before tax, unless `after_tax` says otherwise")
    share: Share = Field(description="of all capital; equity and debt together are 1")
    after_tax: bool = Field(False, description="true: the cost of debt is stated after tax")


class Parts(Record):
    """The parts of the cost of capital."""

    equity: Money
    debt: Money

    @model_validator(mode="after")
    def _whole(self) -> Parts:
        if self.equity.share + self.debt.share != 1:
            raise ValueError(f"the shares of equity and debt come to {self.equity.share + self.debt.share}, not to 1")
        return self

    def weighted(self, tax_rate: Decimal) -> Decimal:
        """The weighted average cost of capital, after tax."""
        relief = Decimal(0) if self.debt.after_tax else tax_rate
        return self.equity.cost * self.equity.share + self.debt.cost * self.debt.share * (1 - relief)


class Asset(Record):
    """One thing that capital is tied up in."""

    asset: str = Field(min_length=1, description="its name in the reports")
    branch: Literal["inventory", "other current assets", "fixed assets"] = Field(description="of the driver tree")
    amount: Amounts = Field(
        description="mean amount employed, such as 4200000, or by the month from which on it holds; negative for what suppliers and others lend without interest"
    )
    includes: Literal["", "receivables", "inventory", "dedicated_assets"] = Field(
        "",
        description="balance of the ledger that is a part of the amount and already charged to customers: it comes off, so that none is charged twice",
    )
    owner: str = Field(min_length=1, description="who answers for it")

    def mean(self, period: Period) -> Decimal | None:
        """The mean over the months of a period; None where it begins before the first month of the amounts."""
        months = [f"{month:%Y-%m}" for month in period.month_starts()]
        if months[0] < min(self.amount):
            return None
        amounts = (self.amount[max(begun for begun in self.amount if begun <= month)] for month in months)
        return sum(amounts, Decimal(0)) / len(months)


class Range(Record):
    """How far one driver may lie from today, as shares of today's amount."""

    driver: Driver = Field(description="what moves")
    low: float = Field(ge=-1, le=10, description="least change, such as -0.05")
    high: float = Field(ge=-1, le=10, description="greatest change, such as 0.03")
    expected: float | None = Field(None, description="most likely change; blank: the middle")
    shape: Literal["triangular", "uniform", "normal"] = Field(
        "triangular", description="of the distribution; of a normal one `low` and `high` enclose 90 % of cases"
    )
    because: str = Field("", description="what speaks for it")

    @property
    def likeliest(self) -> float:
        """The most likely change."""
        return (self.low + self.high) / 2 if self.expected is None else self.expected

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low <= self.likeliest <= self.high:
            raise ValueError(f"low {self.low}, expected {self.likeliest} and high {self.high} must rise")
        if self.shape != "triangular" and self.expected not in (None, (self.low + self.high) / 2):
            way_out = "leave it out, or write `shape: triangular`"
            raise ValueError(f"expected of a {self.shape} range is its middle; {way_out}")
        return self


class Correlation(Record):
    """How two drivers move together."""

    between: tuple[Driver, Driver] = Field(description="two drivers")
    value: Annotated[float, Field(ge=-1, le=1)] = Field(description="from -1 to 1, of the normal scores of both")


def _once(assets: tuple[Asset, ...]) -> tuple[Asset, ...]:
    refuse_repeated([f"asset {a.asset}" for a in assets])
    refuse_repeated([f"includes: {a.includes}" for a in assets if a.includes], "and would come off twice")
    return assets


def _pairs(correlations: tuple[Correlation, ...]) -> tuple[Correlation, ...]:
    refuse_repeated([" with ".join(sorted(c.between)) for c in correlations])
    if alone := [c.between[0] for c in correlations if len(set(c.between)) == 1]:
        raise ValueError(f"{alone[0]} is correlated with itself; name two drivers")
    return correlations


class Capital(Record):
    """capital.yml."""

    cost_of_capital: Parts | None = Field(
        None, description="the parts of `rates.cost_of_capital` in engagement.yml, which they must come to"
    )
    assets: Annotated[tuple[Asset, ...], AfterValidator(_once)] = ()
    ranges: Annotated[tuple[Range, ...], each_once("driver")] = ()
    correlations: Annotated[tuple[Correlation, ...], AfterValidator(_pairs)] = ()

    def correlated(self) -> np.ndarray:
        """The correlations as a matrix, in the order of the drivers."""
        import numpy as np

        matrix, names = np.eye(len(get_args(Driver))), list(get_args(Driver))
        for pair in self.correlations:
            one, other = (names.index(driver) for driver in pair.between)
            matrix[one, other] = matrix[other, one] = pair.value
        return matrix
