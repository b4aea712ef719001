"""The sheets of the workbook: how they look, cells that stay what they are, plain lists."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from crmlib.declared.reading import CrmError, Record, visible
from crmlib.look.words import NOT_AVAILABLE, heading

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

HEAD = 3
Place = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """An amount, ratio or verdict, and the formula that makes it; a leaf amount has none."""

    value: Decimal | str | None
    formula: str = ""


class Words(Record):
    """workbook.yml: the first sheet, the heads of a customer's attributes, and how cells look."""

    read_me: dict[str, str]
    keys: dict[str, str]
    formats: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """The workbook being written: how its cells look, and the line that says what all is about."""

    book: Workbook
    looks: Mapping[str, Format]
    subject: str

    def sheet(self, name: str, widths: Sequence[float], frozen: Place = (HEAD, 0)) -> Worksheet:
        """A new sheet with its title, printed across landscape pages with the frozen rows on each."""
        sheet = self.book.add_worksheet(name, _plain())
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.set_margins(0.5, 0.5, 0.6, 0.6)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0, frozen[0] - 1)
        sheet.freeze_panes(*frozen)
        sheet.set_footer("&L&A&R&P / &N")
        sheet.hide_gridlines(2)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        self.texts(sheet, (0, 0), [name], "title")
        self.texts(sheet, (1, 0), [self.subject], "quiet")
        return sheet

    def texts(self, sheet: Worksheet, at: Place, texts: Iterable[Any], look: str = "text") -> None:
        """Texts side by side, which stay text whatever they look like."""
        for column, text in enumerate(texts, at[1]):
            if sheet.write_string(at[0], column, visible(str(text)) if known(text) else "", self.looks[look]):
                raise CrmError(f"sheet {sheet.name}: a text of {len(text)} characters does not fit into an Excel cell")

    def cell(self, sheet: Worksheet, at: Place, cell: Cell, look: str) -> None:
        """A value, a formula with its cached value, or that there is none; addresses on the sheet itself are short."""
        cached = float(cell.value) if isinstance(cell.value, Decimal) else cell.value
        if cached is None:
            sheet.write_string(*at, NOT_AVAILABLE, self.looks["absent"])
        elif cell.formula:
            formula = cell.formula.replace(f"'{sheet.name}'!", "")
            sheet.write_formula(*at, formula, self.looks[look], cached)
        else:
            sheet.write_number(*at, cached, self.looks[look])


@functools.cache
def _plain() -> type[Worksheet]:
    """A sheet whose formulas are written as they are: they name no function for which Excel wants a prefix, and looking for these takes half the time."""
    from xlsxwriter.worksheet import Worksheet

    class Plain(Worksheet):  # type: ignore[misc]
        def _prepare_formula(self, formula: str, expand_future_functions: bool = False) -> str:
            return formula

    return Plain


def facts_sheet(target: Target, name: str, facts: Mapping[str, str]) -> None:
    """A sheet of names with what is to be said of each."""
    sheet = target.sheet(name, (28, 110))
    for row, (fact, text) in enumerate(facts.items(), HEAD):
        target.texts(sheet, (row, 0), [fact], "quiet")
        target.texts(sheet, (row, 1), [text], "wrap")
        sheet.set_row(row, 14 * (1 + len(text) // 105))


def known(value: object) -> bool:
    """Whether there is a value at all."""
    return value is not None and not pd.isna(cast(Any, value))


def list_sheet(target: Target, name: str, frame: pd.DataFrame) -> None:
    """A sheet with every row of a frame as it is: text stays text, a column named ``…_share`` is percent."""
    columns = [[_told(value) for value in frame.iloc[:, at]] for at in range(len(frame.columns))]
    widths = [min(60, max([10, *(len(value) for value in values if isinstance(value, str))])) for values in columns]
    sheet = target.sheet(name, widths, (HEAD + 1, 2))
    target.texts(sheet, (HEAD, 0), [heading(str(column).removesuffix("_share")) for column in frame], "head")
    looks = [target.looks["share" if str(column).endswith("_share") else "amount"] for column in frame]
    for at, row in enumerate(zip(*columns, strict=True), HEAD + 1):
        for column, value in enumerate(row):
            if isinstance(value, str):
                target.texts(sheet, (at, column), [value])
            else:
                sheet.write_number(at, column, value, looks[column])
    if len(frame):
        sheet.autofilter(HEAD, 0, HEAD + len(frame), len(frame.columns) - 1)


def _told(value: Any) -> float | str:
    """A value as a sheet holds it: a number, or text; nothing for what is missing."""
    if isinstance(value, bool) or not known(value):
        return "yes" if known(value) and value else ""
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return value if isinstance(value, str) else float(value)
