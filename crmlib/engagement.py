"""An engagement: one company's settings, and the periods that its reports speak of."""

from __future__ import annotations

import calendar
import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    import pandas as pd

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = Path(__file__).resolve().parent


class CrmError(Exception):
    """An error told to people: what was found, where, what is allowed, what to do."""


class SettingsError(CrmError):
    """Settings, statement, parameters or a period that cannot be used."""


class DataRejected(CrmError):  # noqa: N818 (the books are, no error is made)
    """A ledger that may not reach a report; `findings` says why, one row per defect."""

    def __init__(self, message: str, findings: pd.DataFrame) -> None:
        super().__init__(message)
        self.findings = findings


# --- periods ---------------------------------------------------------------------------------------------------------

GRAMMAR = "2025, 2025Q4, 2025-03, 2025-01..2025-06, FY2025 or last-12-months"


@dataclass(frozen=True)
class Period:
    """Whole months from `start` (inclusive) to `end` (exclusive)."""

    start: date
    end: date
    label: str = field(default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or _label(self.start, self.end))

    @property
    def months(self) -> int:
        """Number of months."""
        return (self.end.year - self.start.year) * 12 + self.end.month - self.start.month

    @property
    def folder(self) -> str:
        """The label as a folder's name."""
        return self.label.replace("..", "_to_")

    def shifted(self, months: int) -> Period:
        """The period of the same length that begins so many months later."""
        fiscal = re.fullmatch(r"FY(\d{4})", self.label)
        label = f"FY{int(fiscal[1]) + months // 12}" if fiscal and months % 12 == 0 else ""
        return Period(add_months(self.start, months), add_months(self.end, months), label)

    def previous(self) -> Period:
        """The period of the same length just before."""
        return self.shifted(-self.months)

    def year_before(self) -> Period:
        """The same months one year earlier."""
        return self.shifted(-12)

    def month_starts(self) -> list[date]:
        """The first day of each month, in order."""
        return [add_months(self.start, i) for i in range(self.months)]

    def within(self, other: Period) -> bool:
        """Whether every month lies in the other period."""
        return other.start <= self.start and self.end <= other.end


def add_months(day: date, months: int) -> date:
    """The first day of the month so many months after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def _label(start: date, end: date) -> str:
    months = (end.year - start.year) * 12 + end.month - start.month
    if months == 1:
        return f"{start:%Y-%m}"
    if months == 3 and start.month % 3 == 1:
        return f"{start.year}Q{start.month // 3 + 1}"
    if months == 12 and start.month == 1:
        return str(start.year)
    return f"{start:%Y-%m}..{add_months(end, -1):%Y-%m}"


def parse_period(text: str | int, coverage: Period | None, fiscal_year_start: int = 1) -> Period:
    """The period that a text names; without a coverage, `last-…` has no meaning and nothing is out of range.

    `last-12-months` ends with the last month covered, and is shorter where the books are.

    Raises
    ------
    SettingsError
        The text is not in the grammar, or reaches outside the coverage.
    """
    period = _parse(str(text).strip(), coverage, fiscal_year_start)
    if period is None or period.months < 1:
        raise SettingsError(f"period {text!r} is not understood; write it as {GRAMMAR}")
    if coverage and not period.within(coverage):
        raise SettingsError(f"period {text!r} reaches outside the books, which cover {coverage.label}")
    return period


def _parse(text: str, coverage: Period | None, fiscal_year_start: int) -> Period | None:
    month = r"(\d{4})-(0[1-9]|1[0-2])"
    if m := re.fullmatch(rf"{month}\.\.{month}", text):
        return Period(date(int(m[1]), int(m[2]), 1), add_months(date(int(m[3]), int(m[4]), 1), 1))
    if m := re.fullmatch(month, text):
        start = date(int(m[1]), int(m[2]), 1)
        return Period(start, add_months(start, 1))
    if m := re.fullmatch(r"(\d{4})(?:[Qq]([1-4]))?", text):
        start = date(int(m[1]), 3 * int(m[2] or 1) - 2, 1)
        return Period(start, add_months(start, 3 if m[2] else 12))
    if m := re.fullmatch(r"[Ff][Yy](\d{4})", text):  # named for the calendar year in which it ends
        start = date(int(m[1]) - (fiscal_year_start > 1), fiscal_year_start, 1)
        return Period(start, add_months(start, 12), f"FY{m[1]}")
    if (m := re.fullmatch(r"last-(\d{1,3})-months?", text)) and coverage:
        return Period(max(coverage.start, add_months(coverage.end, -int(m[1]))), coverage.end)
    return None


# --- settings --------------------------------------------------------------------------------------------------------

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


@dataclass(frozen=True)
class Engagement:
    """An opened engagement: its folder, its settings and the lines of its statement as written."""

    name: str
    folder: Path
    settings: Settings
    statement: tuple[Mapping[str, Any], ...]

    @property
    def coverage(self) -> Period:
        """The months that the books hold."""
        start, end = (date.fromisoformat(f"{m}-01") for m in (self.settings.coverage.start, self.settings.coverage.end))
        return Period(start, add_months(end, 1))

    def period(self, text: str | int) -> Period:
        """The period that a text names, within the coverage (errors as `parse_period`)."""
        return parse_period(text, self.coverage, self.settings.fiscal_year_start)

    def table(self, name: str) -> TableSource:
        """Where a ledger table comes from."""
        found: Mapping[str, TableSource] = {str(key): source for key, source in self.settings.tables.items()}
        return found.get(name, TableSource.model_validate({}))

    def judgement(self, file: str) -> Path:
        """The path of a judgement file: the engagement's own, else the workbook's, which need not be there."""
        own = self.folder / "judgement" / file
        return own if own.is_file() else PACKAGE / file

    @property
    def segments(self) -> list[str]:
        """Names of the segments that the rules make, which may own costs; `segments.read_segments` says what is wrong with the file."""
        rules = read_yaml(self.judgement("segments.yml")).get("rules")
        named = [r.get("segment") for r in rules if isinstance(r, dict)] if isinstance(rules, list) else []
        return [str(name).strip() for name in dict.fromkeys(named) if name]


def open_engagement(folder: str | Path) -> Engagement:
    """Open an engagement by its folder or its engagement.yml; a relative path is looked up here, then in the project.

    Raises
    ------
    SettingsError
        No engagement there, or settings that do not hold: all mistakes at once.
    """
    path = _find(Path(folder).expanduser())
    settings = _validated(read_yaml(path), path.name)
    own = path.parent / "statement.yml"
    statement = read_yaml(own if own.exists() else PACKAGE / "statement.yml")
    lines = statement.get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise SettingsError(f"{own.name}: 'lines' must be a list of lines, each in the form `- {{id: …, label: …}}`")
    return Engagement(safe_code(path.parent.name), path.parent, settings, tuple(lines))


def safe_code(text: str) -> str:
    """A file name made from a text: letters, digits, dot, dash and underscore only."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip(".-") or "engagement"


def _find(folder: Path) -> Path:
    for base in (Path.cwd(), PROJECT):
        path = (base / folder).resolve()
        path = path if path.suffix in {".yml", ".yaml"} else path / "engagement.yml"
        if path.is_file():
            return path
    raise SettingsError(f"no engagement at {folder}: there is no engagement.yml; `crm new {folder}` makes one")


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, duplicate keys refused.

    Raises
    ------
    SettingsError
        The file is not YAML, not a mapping, or has a key twice; names file and line.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path.name}{where}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name}: expected `key: value` lines, found {type(content).__name__}")
    return content


def _validated(content: Mapping[str, Any], file: str) -> Settings:
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


def month_end(month: date) -> date:
    """The last day of a month."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])
