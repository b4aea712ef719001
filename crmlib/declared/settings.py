"""The records of engagement.yml."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crmlib.declared.reading import SettingsError

MonthText = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$", description="a month such as 2023-01")]
Share = Annotated[Decimal, Field(ge=0, le=1)]
TableName = Literal[
    "customers", "products", "invoice_lines", "credits", "activity_types", "activities", "rates", "capacity",
    "costs", "balances", "joint_costs", "control_totals", "reconciliation", "customer_view", "service",
]  # fmt: skip


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Coverage(_Model):
    """The months that the books hold, both inclusive."""

    start: MonthText
    end: MonthText

    @model_validator(mode="after")
    def _in_order(self) -> Coverage:
        if self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


class Formats(_Model):
    """How text is written in CSV files and Excel cells; nothing is guessed."""

    encoding: str = Field("utf-8", description="encoding of CSV files; a byte-order mark is understood by itself")
    delimiter: str = Field(",", min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = Field("", description="mark between thousands; empty: none allowed")
    negative: Literal["leading", "trailing", "parentheses"] = Field(
        "leading", description="how a negative number looks"
    )
    currency_sign: str = Field("", description="sign that may stand before or after an amount, such as $")
    dates: list[str] = Field(["%Y-%m-%d"], min_length=1, description="date formats, in strftime's letters")

    @model_validator(mode="after")
    def _marks_differ(self) -> Formats:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"encoding {self.encoding!r} is unknown; such as utf-8, cp1252, utf-16") from None
        return self


class ColumnSource(_Model):
    """Where one column comes from, when its name alone does not say so."""

    column: str | None = Field(None, description="the client's column")
    cast: bool = Field(False, description="round a floating-point number to the column's decimals, half-even")
    blank: Literal["refuse", "zero"] = Field("refuse", description="what a blank number means")


class TableSource(_Model):
    """Where one table comes from: another file or sheet, a .sql file, other columns, other formats."""

    source: str | None = Field(None, description="file, sheet or table name, or a .sql file beside engagement.yml")
    columns: dict[str, str | ColumnSource] = Field(default_factory=dict)
    formats: Formats | None = None

    def column(self, name: str) -> ColumnSource:
        """The source of a column, its own name where nothing else is said."""
        given = self.columns.get(name, name)
        given = ColumnSource.model_validate({"column": given}) if isinstance(given, str) else given
        return given if given.column else given.model_copy(update={"column": name})


class Rates(_Model):
    """Rates of the engagement, each a share a year."""

    cost_of_capital: Share = Field(Decimal(0), description="after tax, a year")
    tax_rate: Annotated[Decimal, Field(ge=0, lt=1)] = Field(Decimal(0), description="flat, losses relieved")
    inventory_noncapital_rate: Share = Field(
        Decimal(0), description="insurance, storage that varies and obsolescence, a year"
    )

    @property
    def capital_charge_rate(self) -> Decimal:
        """The charge for capital in a statement before tax, a year: cost of capital / (1 − tax rate)."""
        return self.cost_of_capital / (1 - self.tax_rate)


class Thresholds(_Model):
    """Where a warning becomes a refusal, and what a warning looks for."""

    unassigned_share: Share = Field(Decimal("0.05"), description="of a column's amount without a known customer")
    outlier_multiple: Annotated[int, Field(ge=2)] = Field(1000, description="times the customer's median line")


class Settings(_Model):
    """engagement.yml."""

    client: str = Field(min_length=1)
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="three letters, such as USD")
    coverage: Coverage
    fiscal_year_start: int = Field(1, ge=1, le=12, description="month; FY2025 ends in 2025")
    source: str = Field("ledger", description="folder, .xlsx workbook or .duckdb file, relative to engagement.yml")
    formats: Formats = Field(default_factory=lambda: Formats.model_validate({}))
    cost_of_goods_basis: Literal["variable", "full"] = "variable"
    tables: dict[TableName, TableSource] = Field(default_factory=dict)
    rates: Rates = Field(default_factory=lambda: Rates.model_validate({}))
    thresholds: Thresholds = Field(default_factory=lambda: Thresholds.model_validate({}))
    horizon_months: int = Field(12, ge=0, le=120, description="within which dropping a customer is judged")


def validated(content: Mapping[str, Any], file: str) -> Settings:
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        told = [f"  {_told(e)}" for e in error.errors()]
        raise SettingsError(f"{file} has {len(told)} mistake(s):\n" + "\n".join(told)) from None


def _told(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"] if part not in {"str", "ColumnSource"})
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{path}: unknown key; {hint}allowed: {', '.join(known)}"
    found = f" (found {error['input']!r})" if not isinstance(error["input"], dict) else ""
    return f"{path}: {error['msg']}{found}"


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "coverage": Coverage,
        "formats": Formats,
        "rates": Rates,
        "thresholds": Thresholds,
    }
    if not location:
        return list(Settings.model_fields)
    if location[0] == "tables":
        inner: type[BaseModel] = (
            Formats if location[-1] == "formats" else ColumnSource if "columns" in location else TableSource
        )
        return list(inner.model_fields)
    return list(models[location[0]].model_fields) if location[0] in models else []
