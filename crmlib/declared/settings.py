"""The records of engagement.yml."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from crmlib.declared.ledger import refused_name, tables
from crmlib.declared.periods import YEAR
from crmlib.declared.reading import Record

MOST_YEARS = 100  # of a coverage
MonthText = Annotated[
    str, Field(pattern=rf"^{YEAR}-(0[1-9]|1[0-2])$", description="a month from 1900-01 to 2999-12, such as 2023-01")
]
Share = Annotated[Decimal, Field(ge=0, le=1)]
TableName = Literal[
    "customers", "products", "invoice_lines", "credits", "activity_types", "activities", "rates", "capacity",
    "costs", "balances", "joint_costs", "control_totals", "reconciliation", "customer_view", "service",
]  # fmt: skip


def _date_form(form: str) -> str:
    letters = re.findall("%.?", form)
    if "%y" in letters or sorted(letter.lower().replace("b", "m") for letter in letters) != ["%d", "%m", "%y"]:
        raise ValueError("must name day, month and year once each by %d, %m (or %b, %B) and %Y, such as %d.%m.%Y")
    return form


def _source(text: str) -> str:
    if "://" in text or (text.startswith("env:") and not re.fullmatch(r"env:[A-Za-z_]\w*", text)):
        raise ValueError(
            "a database's URL is kept out of files: write `source: env:NAME`, and give it to the variable NAME"
        )
    return text


class Coverage(Record):
    """The months that the books hold, both inclusive."""

    start: MonthText
    end: MonthText

    @model_validator(mode="after")
    def _in_order(self) -> Coverage:
        if self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        if int(self.end[:4]) - int(self.start[:4]) >= MOST_YEARS:
            raise ValueError(f"{self.start} to {self.end} is longer than the {MOST_YEARS} years that books may hold")
        return self


class Formats(Record):
    """How text is written in CSV files and Excel cells; nothing is guessed."""

    encoding: str = Field("utf-8", description="encoding of CSV files; a byte-order mark is understood by itself")
    delimiter: str = Field(
        ",", pattern=r"^[\t !#$%&*,/:;<=>?@\\^_`{|}~]$", description="one mark such as , ; | or a tab"
    )
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = Field("", description="mark between thousands; empty: none allowed")
    negative: Literal["leading", "trailing", "parentheses"] = Field(
        "leading", description="how a negative number looks"
    )
    currency_sign: str = Field("", description="sign that may stand before or after an amount, such as $")
    dates: list[Annotated[str, AfterValidator(_date_form)]] = Field(
        ["%Y-%m-%d"], min_length=1, description="date formats, in the letters %d, %m, %b, %B and %Y"
    )

    @model_validator(mode="after")
    def _marks_differ(self) -> Formats:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if wrong := [
            mark for mark in self.currency_sign if mark.isdigit() or mark in f"{self.decimal}{self.thousands}-−+()"
        ]:
            raise ValueError(
                f"currency_sign {self.currency_sign!r} holds {wrong[0]!r}, a part of numbers; such as $ or EUR"
            )
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise ValueError(f"encoding {self.encoding!r} is unknown; such as utf-8, cp1252, utf-16") from None
        return self


class ColumnSource(Record):
    """Where one column comes from, when its name alone does not say so."""

    column: str | None = Field(None, description="the client's column")
    cast: bool = Field(False, description="round a floating-point number to the column's decimals, half-even")
    blank: Literal["refuse", "zero"] = Field("refuse", description="what a blank number means")


def _in_full(source: Any) -> Any:
    return {"column": source} if isinstance(source, str) else source


class TableSource(Record):
    """Where one table comes from: another file or sheet, a .sql file, other columns, other formats."""

    source: str | None = Field(None, description="file, sheet or table name, or a .sql file beside engagement.yml")
    columns: dict[
        str, Annotated[ColumnSource, BeforeValidator(_in_full, json_schema_input_type=str | ColumnSource)]
    ] = Field(default_factory=dict)
    formats: Formats | None = None

    def column(self, name: str) -> ColumnSource:
        """The source of a column, its own name where nothing else is said."""
        source = self.columns.get(name, ColumnSource.model_validate({"column": name}))
        return source if source.column else source.model_copy(update={"column": name})


class Rates(Record):
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


class Thresholds(Record):
    """Where a warning becomes a refusal, and what a warning looks for."""

    unassigned_share: Share = Field(Decimal("0.05"), description="of a column's amount without a known customer")
    outlier_multiple: Annotated[int, Field(ge=2)] = Field(1000, description="times the customer's median line")


class Settings(Record):
    """engagement.yml."""

    client: str = Field(min_length=1)
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="three letters, such as USD")
    coverage: Coverage
    fiscal_year_start: int = Field(1, ge=1, le=12, description="month; FY2025 ends in 2025")
    source: Annotated[str, AfterValidator(_source)] = Field(
        "ledger",
        description="folder, .xlsx workbook or .duckdb file, relative to engagement.yml; env:NAME for a PostgreSQL database whose URL is the "
        "value of the variable NAME",
    )
    query_timeout_seconds: int = Field(
        600, ge=1, le=86400, description="after which a database stops reading a table or query"
    )
    formats: Formats = Field(default_factory=lambda: Formats.model_validate({}))
    cost_of_goods_basis: Literal["variable", "full"] = "variable"
    tables: dict[TableName, TableSource] = Field(default_factory=dict)
    rates: Rates = Field(default_factory=lambda: Rates.model_validate({}))
    thresholds: Thresholds = Field(default_factory=lambda: Thresholds.model_validate({}))
    horizon_months: int = Field(12, ge=0, le=120, description="within which dropping a customer is judged")

    @field_validator("tables")
    @classmethod
    def _own_columns(cls, sources: dict[str, TableSource]) -> dict[str, TableSource]:
        own = [(t, c) for t in ("customers", "invoice_lines") if t in sources for c in sources[t].columns]
        wrong = [f"{t}.columns.{c} {why}" for t, c in own if c not in tables()[t].columns and (why := refused_name(c))]
        if wrong:
            raise ValueError("; ".join(wrong))
        return sources
