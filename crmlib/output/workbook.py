"""The Excel workbook: profit and loss by customer, account type and segment, with live formulas and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from crmlib.books.rollups import ROUNDING_RULE
from crmlib.books.stored import HALF_CENT
from crmlib.declared.periods import Period
from crmlib.declared.reading import CrmError, Record, read
from crmlib.declared.statement import Line
from crmlib.declared.versions import versions
from crmlib.look.words import NOT_AVAILABLE
from crmlib.output.about import CSV_HINT
from crmlib.output.page import TEMPLATES

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

    from crmlib.books.stored import Books


CUSTOMERS, CHECKS = "P&L by customer", "Checks"


GROUPS = {"account_type": "P&L by account type", "segment": "P&L by segment"}


HEAD = 3


NONE_GIVEN = "(none given)"


Place = tuple[int, int]


@dataclass(frozen=True)
class _Cell:
    """An amount, ratio or verdict, and the formula that makes it; a leaf amount has none."""

    value: Decimal | str | None
    formula: str = ""


@dataclass(frozen=True)
class _Grid:
    """A statement on a sheet: owners down and lines across, or the other way; the last owner is the total of the others.

    An owner holds signed amounts by line; None is not available, and a line that it does not hold is none of its own.
    """

    sheet: str
    lines: tuple[Line, ...]
    owners: tuple[Mapping[str, Any], ...]
    left: int
    down: bool

    def place(self, owner: int, line: int) -> Place:
        """Row and column of an amount."""
        return (HEAD + 1 + owner, self.left + line) if self.down else (HEAD + 1 + line, self.left + 2 * owner)

    def share_place(self, owner: int, line: int) -> Place | None:
        """Row and column of its share of gross sales: beside the amount, or for subtotals to the right of all lines."""
        row, column = self.place(owner, line)
        if not self.down:
            return row, column + 1
        before = sum(other.subtotal for other in self.lines[:line])
        return (row, self.left + len(self.lines) + before) if self.lines[line].subtotal else None

    def address(self, owner: int, line: int) -> str:
        """The cell of an amount."""
        from xlsxwriter.utility import xl_rowcol_to_cell

        return f"'{self.sheet}'!{xl_rowcol_to_cell(*self.place(owner, line))}"

    def reach(self, line: int) -> str:
        """The cells of a line for all owners but the total, where owners stand one below the other."""
        return f"{self.address(0, line)}:{self.address(len(self.owners) - 2, line).split('!')[1]}"

    def total(self, line: int) -> str:
        """The sum of a line over all owners, in parts as long as Excel takes them."""
        if self.down:
            return f"SUM({self.reach(line)})"
        cells = [self.address(owner, line) for owner in range(len(self.owners) - 1)]
        return "+".join(f"SUM({','.join(cells[i : i + 99])})" for i in range(0, len(cells), 99))

    def cell(self, owner: int, line: int) -> _Cell:
        """A subtotal adds up the cells since the one before it, the total its owners; costs of nobody are its own."""
        spec, value = self.lines[line], self.owners[owner][self.lines[line].id]
        first = max((at for at in range(line) if self.lines[at].subtotal), default=0)
        if spec.subtotal:
            return _Cell(value, f"SUM({self.address(owner, first)}:{self.address(owner, line - 1).split('!')[1]})")
        if 0 < owner == len(self.owners) - 1 and not spec.is_pool:
            return _Cell(value, self.total(line))
        earned = f"{self.address(owner, self.margin)}-{self.address(owner, line - 1)}"
        return _Cell(value, earned if spec is EARNED else "")

    @property
    def margin(self) -> int:
        """The last subtotal that a customer or group has."""
        return max(at for at, line in enumerate(self.lines) if line.subtotal and not line.firm_only)


class Words(Record):
    """workbook.yml: the first sheet, the heads of a customer's attributes, and how cells look."""

    read_me: dict[str, str]
    keys: dict[str, str]
    formats: dict[str, dict[str, Any]]


OWN = Line("own_costs", "Of these, costs of the column itself", "assignable")


EARNED = Line("earned", "Net margin of its customers", "revenue")


@dataclass(frozen=True)
class _Target:
    """The workbook being written: how its cells look, and the line that says what all is about."""

    book: Workbook
    looks: Mapping[str, Format]
    subject: str

    def sheet(self, name: str, widths: Sequence[float], frozen: Place = (HEAD, 0)) -> Worksheet:
        """A new sheet with its title, printed across landscape pages with the frozen rows on each."""
        sheet = self.book.add_worksheet(name)
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
            if sheet.write_string(at[0], column, str(text) if _known(text) else "", self.looks[look]):
                raise CrmError(f"sheet {sheet.name}: a text of {len(text)} characters does not fit into an Excel cell")

    def cell(self, sheet: Worksheet, at: Place, cell: _Cell, look: str) -> None:
        """A value, a formula with its cached value, or that there is none; addresses on the sheet itself are short."""
        cached = float(cell.value) if isinstance(cell.value, Decimal) else cell.value
        if cached is None:
            sheet.write_string(*at, NOT_AVAILABLE, self.looks["absent"])
        elif cell.formula:
            formula = cell.formula.replace(f"'{sheet.name}'!", "")
            sheet.write_formula(*at, f"={formula}", self.looks[look], cached)
        else:
            sheet.write_number(*at, cached, self.looks[look])

    def owner(self, sheet: Worksheet, grid: _Grid, owner: int) -> None:
        """The statement of one owner, with shares of gross sales."""
        base = next(at for at, line in enumerate(grid.lines) if line.is_revenue)
        sales, below = grid.owners[owner][grid.lines[base].id], grid.address(owner, base)
        for at, line in enumerate(grid.lines):
            if line.id not in grid.owners[owner]:
                self.texts(sheet, grid.place(owner, at), ["–"], "absent")
                continue
            cell, last = grid.cell(owner, at), owner == len(grid.owners) - 1
            look = "_sum" if (last if grid.down else line.subtotal) else "_bold" if line.subtotal else ""
            self.cell(sheet, grid.place(owner, at), cell, f"money{look}")
            if (beside := grid.share_place(owner, at)) and cell.value is not None and sales is not None:
                ratio = cell.value / sales if sales > 0 else "n/a"
                formula = f'IF({below}>0,{grid.address(owner, at)}/{below},"n/a")'
                self.cell(sheet, beside, _Cell(ratio, formula), "share_sum" if look == "_sum" else "share")


def export_workbook(books: Books, period: Period, path: Path, *, parameters: Mapping[str, str]) -> None:
    """Write the profit and loss of a period by customer, account type and segment as an Excel workbook.

    Leaf amounts are exact values in the engagement's currency, costs negative; subtotals, totals, shares of gross
    sales and checks are formulas with their cached values, worked out here from decimals. `parameters` is what the
    run was asked for, shown on the last sheet.
    """
    from xlsxwriter import Workbook

    settings, words = books.engagement.settings, read(TEMPLATES / "workbook.yml", Words)
    said = {"client": settings.client, "currency": settings.currency, "label": period.label, "start": period.start,
            "last": period.end - timedelta(days=1), "rounding": ROUNDING_RULE, "csv": CSV_HINT}  # fmt: skip
    plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    customers = _customers(books, period)
    groups = {by: _groups(books, period, by) for by in GROUPS if by in books.customers.columns}
    groups = groups or {"account_type": _groups(books, period, "")}
    with Workbook(str(path), plain) as book:
        looks = {
            name: book.add_format({"font_name": "Arial", "font_size": 10} | look)
            for name, look in words.formats.items()
        }
        target = _Target(book, looks, f"{settings.client} · {period.label} · {settings.currency}, costs in parentheses")
        _facts_sheet(target, "Read me", {name: text.format(**said) for name, text in words.read_me.items()})
        _customer_sheet(target, customers, words.keys)
        checks = _sums(customers)
        for by, grid in groups.items():
            _group_sheet(target, grid)
            checks += [*_sums(grid), *_matches(customers, grid, (by, list(words.keys).index(by)))]
        _check_sheet(target, [*checks, *_tie_outs(books.tie_out)])
        _facts_sheet(target, "Parameters", {**parameters, "data hash": books.data_hash, **versions()})


def _facts_sheet(target: _Target, name: str, facts: Mapping[str, str]) -> None:
    sheet = target.sheet(name, (28, 110))
    for row, (fact, text) in enumerate(facts.items(), HEAD):
        target.texts(sheet, (row, 0), [fact], "quiet")
        target.texts(sheet, (row, 1), [text], "wrap")
        sheet.set_row(row, 14 * (1 + len(text) // 105))


def _owner(row: Mapping[Any, Any], lines: Iterable[Line]) -> dict[str, Any]:
    """A row of a profitability table: its text, and the amounts of these lines, signed as they enter the margin."""
    kept: dict[str, Any] = {key: value for key, value in row.items() if isinstance(value, str)}
    for line in lines:
        value = Decimal(row[line.id]) if _known(row.get(line.id)) else Decimal(0)
        kept[line.id] = (value if line.subtotal else value * line.sign) if line.available else None
    return kept


def _added(owners: Sequence[Mapping[str, Any]], lines: Iterable[Line]) -> dict[str, Any]:
    """All owners as one."""
    return {
        line.id: sum((owner[line.id] for owner in owners), Decimal(0)) if line.available else None for line in lines
    }


def _customers(books: Books, period: Period) -> _Grid:
    from crmlib.profitability import customer_profitability

    lines = tuple(line for line in books.statement_in(period).lines if not line.is_firms)
    owners = [_owner(row, lines) for row in customer_profitability(books, period).to_dict("records")]
    for owner in owners:
        owner.update({by: owner.get(by) or (NONE_GIVEN if owner["customer_id"] else "") for by in GROUPS})
    return _Grid(CUSTOMERS, lines, (*owners, _added(owners, lines)), 5, down=True)


def _groups(books: Books, period: Period, by: str) -> _Grid:
    """The firm by a group of customers; the firm alone where there is none."""
    from crmlib.profitability import firm_profitability, group_profitability

    lines = (*books.statement_in(period).lines, *((OWN, EARNED) if by else ()))
    shared = [line for line in lines if not line.is_firms]
    rows = (
        group_profitability(books, period, by).whole.reset_index().to_dict("records")
        if by
        else [dict(firm_profitability(books, period))]
    )
    owners = [_owner(row, shared) | {"name": row[by]} for row in rows[:-1]]
    for owner in owners:
        owner["earned"] = owner[books.statement.net_margin.id] - owner["own_costs"]
    firm = {**_owner(rows[-1], lines), "name": "Firm", **_added(owners, (OWN, EARNED))}
    return _Grid(GROUPS.get(by, "P&L of the firm"), lines, (*owners, firm), 1, down=False)


def _customer_sheet(target: _Target, grid: _Grid, keys: Mapping[str, str]) -> None:
    sums = [line for line in grid.lines if line.subtotal]
    sheet = target.sheet(CUSTOMERS, [14, 42, 18, 14, 11] + [15] * len(grid.lines) + [11] * len(sums), (HEAD + 1, 2))
    target.texts(sheet, (HEAD, 0), keys.values(), "head")
    target.texts(sheet, (HEAD, grid.left), [line.title for line in grid.lines], "head_right")
    target.texts(
        sheet, (HEAD, grid.left + len(grid.lines)), [f"{line.label}, % of gross sales" for line in sums], "head_share"
    )
    for at, owner in enumerate(grid.owners):
        target.texts(sheet, grid.place(at, -grid.left), [owner.get(key) for key in keys])
        target.owner(sheet, grid, at)
    target.texts(sheet, grid.place(at, -grid.left), ["All"], "bold")
    sheet.fit_to_pages(3, 0)
    sheet.repeat_columns(0, 1)
    sheet.autofilter(HEAD, 0, HEAD + at, grid.left + len(grid.lines) + len(sums) - 1)


def _group_sheet(target: _Target, grid: _Grid) -> None:
    sheet = target.sheet(grid.sheet, [48] + [15, 9] * len(grid.owners), (HEAD + 1, 1))
    target.texts(sheet, (HEAD, 0), ["Line"], "head")
    for at, line in enumerate(grid.lines):
        target.texts(sheet, (HEAD + 1 + at, 0), [line.title], "bold" if line.subtotal else "text")
    for at, owner in enumerate(grid.owners):
        target.texts(sheet, grid.place(at, -1), [owner["name"]], "head_right")
        target.texts(sheet, (HEAD, grid.left + 2 * at + 1), ["% of gross sales"], "head_share")
        target.owner(sheet, grid, at)


Check = tuple[str, str, _Cell, _Cell]


def _sums(grid: _Grid) -> list[Check]:
    """Each line's total: a subtotal's against the sum of its owners' subtotals, any other against the roll-up's value."""
    found, last = [], len(grid.owners) - 1
    for at, line in enumerate(grid.lines):
        value = grid.owners[-1][line.id]
        if value is not None and not line.is_pool:
            across = line.subtotal and not line.firm_only and last > 0
            right = _Cell(value, grid.total(at) if across else "")
            found.append((f"{grid.sheet}: adds up", line.title, _Cell(value, grid.address(last, at)), right))
    return found


def _matches(customers: _Grid, groups: _Grid, key: tuple[str, int]) -> list[Check]:
    """The net margin of the customers of each group, and of all, on the two sheets; `key` is the group's name and column there."""
    kinds, margins, found = (customers.reach(key[1] - customers.left), customers.reach(customers.margin), [])
    line, last = customers.lines[customers.margin], len(groups.lines) - 1
    for at, owner in enumerate(groups.owners[:-1]):
        name = owner["name"]
        if own := [customer for customer in customers.owners[:-1] if customer[key[0]] == name]:
            formula = f"SUMPRODUCT(EXACT({kinds},{groups.address(at, -1)})*{margins})"
            left, right = (
                _Cell(_added(own, [line])[line.id], formula),
                _Cell(owner["earned"], groups.address(at, last)),
            )
            found.append(("Customers on both sheets", name, left, right))
    if found:
        left, right = (_Cell(customers.owners[-1][line.id], f"SUM({margins})"), groups.owners[-1]["earned"])
        found.append(
            ("Customers on both sheets", "All", left, _Cell(right, groups.address(len(groups.owners) - 1, last)))
        )
    return found


def _tie_outs(tie_out: pd.DataFrame) -> list[Check]:
    return [
        (row["check"], f"{row['item']} {row['period']}", _Cell(row["left"]), _Cell(row["right"]))
        for row in tie_out.to_dict("records") if _known(row["left"]) and _known(row["right"])
    ]  # fmt: skip


def _check_sheet(target: _Target, checks: Sequence[Check]) -> None:
    sheet = target.sheet(CHECKS, (52, 48, 18, 18, 14, 10), (HEAD + 2, 0))
    target.texts(sheet, (HEAD + 1, 0), ["Check", "Of what"], "head")
    target.texts(sheet, (HEAD + 1, 2), ["Left", "Right", "Difference", "Verdict"], "head_right")
    verdicts = []
    for row, (kind, what, left, right) in enumerate(checks, HEAD + 2):
        target.texts(sheet, (row, 0), [kind, what])
        difference = cast(Decimal, left.value) - cast(Decimal, right.value)
        verdicts.append("ok" if abs(difference) < HALF_CENT else "differs")
        for column, cell in enumerate((left, right, _Cell(difference, f"C{row + 1}-D{row + 1}")), 2):
            target.cell(sheet, (row, column), cell, "money")
        verdict = _Cell(verdicts[-1], f'IF(ABS(E{row + 1})<{HALF_CENT},"ok","differs")')
        target.cell(sheet, (row, 5), verdict, "verdict")
    last = HEAD + 2 + len(checks)
    all_ok = f'IF(COUNTIF(F{HEAD + 3}:F{last},"ok")={len(checks)},"ok","differs")'
    whole = _Cell("differs" if "differs" in verdicts else "ok", all_ok)
    target.texts(sheet, (HEAD, 0), ["All checks"], "quiet")
    target.cell(sheet, (HEAD, 5), whole, "verdict")
    marked = {"type": "cell", "criteria": "==", "value": '"differs"', "format": target.looks["differs"]}
    sheet.conditional_format(HEAD, 5, last, 5, marked)


def _known(value: object) -> bool:
    return value is not None and not pd.isna(cast(Any, value))
