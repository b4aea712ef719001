"""Periods: whole months that a text such as 2025Q4 names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from crmlib.declared.reading import SettingsError

if TYPE_CHECKING:
    import pandas as pd

GRAMMAR = "2025, 2025Q4, 2025-03, 2025-01..2025-06, FY2025 or last-12-months"
YEAR = r"(?:19|2[0-9])[0-9]{2}"  # 1900 to 2999


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
    def last_day(self) -> date:
        """The last day of the period."""
        return self.end - timedelta(days=1)

    @property
    def words(self) -> str:
        """The label as a person says it: 2025Q4, January to June 2025, or December 2024 to February 2025."""
        if re.fullmatch(r"[\d-]+\.\.[\d-]+", self.label):
            first = f"{self.start:%B}" if self.start.year == self.last_day.year else f"{self.start:%B %Y}"
            return f"{first} to {self.last_day:%B %Y}"
        return f"{self.start:%B %Y}" if self.months == 1 else self.label

    @property
    def short(self) -> str:
        """The label as the head of a column: 2025Q4, Mar 2025, Jan–Nov 2025, Dec 2024–Feb 2025."""
        if not re.match(r"\d{4}-", self.label):
            return self.label
        first = f"{self.start:%b}" if self.start.year == self.last_day.year else f"{self.start:%b %Y}"
        return f"{first}–{self.last_day:%b %Y}" if self.months > 1 else f"{self.last_day:%b %Y}"

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

    @property
    def filters(self) -> list[tuple[str, str, date]]:
        """The period as filters of a Parquet file with a column month."""
        return [("month", ">=", self.start), ("month", "<", self.end)]

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame whose month lies in the period."""
        return frame[(frame["month"] >= self.start) & (frame["month"] < self.end)]

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
        raise SettingsError(f"period {text!r} is not understood; write it as {GRAMMAR}; years are 1900 to 2999")
    if coverage and not period.within(coverage):
        raise SettingsError(f"period {text!r} reaches outside the books, which cover {coverage.label}")
    return period


def _parse(text: str, coverage: Period | None, fiscal_year_start: int) -> Period | None:
    month = rf"({YEAR})-(0[1-9]|1[0-2])"
    if m := re.fullmatch(rf"{month}\.\.{month}", text):
        return Period(date(int(m[1]), int(m[2]), 1), add_months(date(int(m[3]), int(m[4]), 1), 1))
    if m := re.fullmatch(month, text):
        start = date(int(m[1]), int(m[2]), 1)
        return Period(start, add_months(start, 1))
    if m := re.fullmatch(rf"({YEAR})(?:[Qq]([1-4]))?", text):
        start = date(int(m[1]), 3 * int(m[2] or 1) - 2, 1)
        return Period(start, add_months(start, 3 if m[2] else 12))
    if m := re.fullmatch(rf"[Ff][Yy]({YEAR})", text):  # named for the calendar year in which it ends
        start = date(int(m[1]) - (fiscal_year_start > 1), fiscal_year_start, 1)
        return Period(start, add_months(start, 12), f"FY{m[1]}")
    if (m := re.fullmatch(r"last-([0-9]{1,3})-months?", text)) and coverage:
        return Period(max(coverage.start, add_months(coverage.end, -int(m[1]))), coverage.end)
    return None
