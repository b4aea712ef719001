"""The Excel workbook: a summary, profit and loss by customer, account type and segment with live formulas and checks, and the lists."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from crmlib.books.rollups import ROUNDING_RULE
from crmlib.books.stored import HALF_CENT, Books
from crmlib.declared.periods import Period
from crmlib.declared.reading import read
from crmlib.declared.statement import Line
from crmlib.declared.versions import versions
from crmlib.look.drawing import ACTUAL, WORSE
from crmlib.output.about import CSV_HINT
from crmlib.output.lists import TITLES
from crmlib.output.page import TEMPLATES
from crmlib.output.sheets import HEAD, Cell, Place, Target, Words, facts_sheet, known, list_sheet
from crmlib.profitability import blank, customer_profitability, firm_profitability, group_profitability

if TYPE_CHECKING:
    from xlsxwriter.worksheet import Worksheet

CUSTOMERS, CHECKS = "P&L by customer", "Checks"
GROUPS = {"account_type": "P&L by account type", "segment": "P&L by segment"}
OWNED = "owned: "  # before the id of a line: what a group owns of it and none of its customers does
EARNED = Line("earned", "Net margin of its customers", "revenue")


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
    by: str = ""
    customers: _Grid | None = None
    kinds: int = 0

    def place(self, owner: int, line: int) -> Place:
        """Row and column of an amount."""
        return (HEAD + 1 + owner, self.left + line) if self.down else (HEAD + 1 + line, self.left + 2 * owner)

    def share_place(self, owner: int, line: int) -> Place | None:
        """Row and column of its share of gross sales: beside the amount, or for subtotals to the right of all lines."""
        row, column = self.place(owner, line)
        if not self.down:
            return row, column + 1
        return (row, self.left + len(self.lines) + self._subtotals[line]) if self.lines[line].subtotal else None

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

    def cell(self, owner: int, line: int) -> Cell:
        """A subtotal adds up the cells since the one before it, the total its owners, a group its customers and what it owns itself."""
        spec, value = self.lines[line], self.owners[owner][self.lines[line].id]
        if spec.subtotal:
            first = self._begins[line]
            return Cell(value, f"SUM({self.address(owner, first)}:{self.address(owner, line - 1).split('!')[1]})")
        if 0 < owner == len(self.owners) - 1 and not spec.is_pool:
            return Cell(value, self.total(line))
        if spec is EARNED:
            owned = [f"-{self.address(owner, at)}" for at, other in enumerate(self.lines) if other.id.startswith(OWNED)]
            return Cell(value, f"{self.address(owner, self.margin)}{''.join(owned)}")
        return Cell(value, self.of_customers(owner, spec.id) if self.customers and self.customers.owners[1:] else "")

    @functools.cached_property
    def _begins(self) -> list[int]:
        """Of each line the subtotal before it, 0 where there is none: from there a subtotal adds up."""
        subtotals = [at if line.subtotal else 0 for at, line in enumerate(self.lines)]
        return [0, *itertools.accumulate(subtotals, max)]

    @functools.cached_property
    def _subtotals(self) -> list[int]:
        """How many subtotals stand before each line."""
        return [0, *itertools.accumulate(int(line.subtotal) for line in self.lines)]

    def of_customers(self, owner: int, line: str) -> str:
        """The formula of a group's line: the sum over its customers on their sheet, and its own cost of that line below."""
        own = [self.address(owner, at) for at, other in enumerate(self.lines) if other.id == f"{OWNED}{line}"]
        customers = cast(_Grid, self.customers)
        places = [at for at, other in enumerate(customers.lines) if other.id == line]
        return "+".join([*(f"SUMPRODUCT({self.same_group(owner)}*{customers.reach(at)})" for at in places), *own])

    def same_group(self, owner: int) -> str:
        """Which customers on their sheet are of a group; names are compared exactly, and no sign in them has a meaning."""
        customers = cast(_Grid, self.customers)
        kinds = customers.reach(self.kinds - customers.left)
        name = '""' if self.owners[owner]["name"] == "Unassigned" else self.address(owner, -1)
        return f"EXACT({kinds},{name})"

    @property
    def margin(self) -> int:
        """The last subtotal that a customer or group has."""
        return max(at for at, line in enumerate(self.lines) if line.subtotal and not line.firm_only)


def _write_owner(target: Target, sheet: Worksheet, grid: _Grid, owner: int) -> None:
    """The statement of one owner, with shares of gross sales."""
    base = next(at for at, line in enumerate(grid.lines) if line.is_revenue)
    sales, below = grid.owners[owner][grid.lines[base].id], grid.address(owner, base)
    for at, line in enumerate(grid.lines):
        if line.id not in grid.owners[owner]:
            target.texts(sheet, grid.place(owner, at), ["–"], "absent")
            continue
        cell, last = grid.cell(owner, at), owner == len(grid.owners) - 1
        look = "_sum" if (last if grid.down else line.subtotal) else "_bold" if line.subtotal else ""
        target.cell(sheet, grid.place(owner, at), cell, f"money{look}")
        if (beside := grid.share_place(owner, at)) and cell.value is not None and sales is not None:
            ratio = cell.value / sales if sales > 0 else "n/a"
            formula = f'IF({below}>0,{grid.address(owner, at)}/{below},"n/a")'
            target.cell(sheet, beside, Cell(ratio, formula), "share_sum" if look == "_sum" else "share")


def export_workbook(
    books: Books, period: Period, path: Path, *, parameters: Mapping[str, str], lists: Mapping[str, pd.DataFrame]
) -> None:
    """Write a summary, the profit and loss of a period by customer, account type and segment, and the `lists` as an Excel workbook.

    Leaf amounts of customers are exact values in the engagement's currency, costs negative; groups, subtotals, totals, shares of gross sales and
    checks are formulas with their cached values, worked out here from decimals. `parameters` is what the run was asked for, on the last sheet.
    """
    from xlsxwriter import Workbook

    settings, words = books.engagement.settings, read(TEMPLATES / "workbook.yml", Words)
    said = {"client": settings.client, "currency": settings.currency, "label": period.label, "start": period.start,
            "last": period.last_day, "rounding": ROUNDING_RULE, "csv": CSV_HINT}  # fmt: skip
    plain = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    customers = _customers(books, period)
    kinds = {by: list(words.keys).index(by) for by in GROUPS if by in books.customers.columns}
    groups = [_groups(books, period, by, customers, kinds.get(by, 0)) for by in kinds or {"": 0}]
    with Workbook(str(path), plain) as book:
        font = {"font_name": "Arial", "font_size": 10}
        looks = {name: book.add_format(font | look) for name, look in words.formats.items()}
        subject = f"{settings.client} · {period.words} · {settings.currency}, costs in parentheses · Confidential"
        target = Target(book, looks, subject)
        _summary_sheet(target, books, period, groups[-1])
        facts_sheet(target, "Read me", {name: text.format(**said) for name, text in words.read_me.items()})
        _customer_sheet(target, customers, words.keys)
        checks = _sums(customers)
        for grid in groups:
            _group_sheet(target, grid)
            checks += [*_sums(grid), *_matches(customers, grid)]
        for name, rows in lists.items():
            list_sheet(target, TITLES[name], rows)
        _check_sheet(target, [*checks, *_tie_outs(books.tie_out)])
        facts_sheet(target, "Parameters", {**parameters, "data hash": books.data_hash, **versions()})


def _summary_sheet(target: Target, books: Books, period: Period, groups: _Grid) -> None:
    """The firm in thousand beside the year before, and a chart of the margin of groups; all from the sheet of the groups."""
    sheet = target.sheet("Summary", (46, 16, 16, 16, 4, 30, 16), (HEAD + 1, 1))
    year = period.year_before()
    past = firm_profitability(books, year) if books.comparable(year) else None
    heads = [period.short, *([] if past is None else [year.short, "Change"])]
    target.texts(sheet, (HEAD, 0), ["Thousand"], "head")
    target.texts(sheet, (HEAD, 1), heads, "head_right")
    last = len(groups.owners) - 1
    for at, line in enumerate(line for line in groups.lines if line is not EARNED and not line.id.startswith(OWNED)):
        look, row = ("thousand_bold" if line.subtotal else "thousand"), HEAD + 1 + at
        target.texts(sheet, (row, 0), [line.title], "bold" if line.subtotal else "text")
        value, before = groups.owners[last][line.id], None if past is None else past.get(line.id)
        target.cell(sheet, (row, 1), Cell(value, groups.address(last, at)), look)
        if value is not None and known(before):
            then = Decimal(cast(Any, before)) * (1 if line.subtotal else line.sign)
            target.cell(sheet, (row, 2), Cell(then), look)
            target.cell(sheet, (row, 3), Cell(value - then, f"B{row + 1}-C{row + 1}"), look)
    _margin_chart(target, sheet, groups)


def _margin_chart(target: Target, sheet: Worksheet, groups: _Grid) -> None:
    margin, count = groups.margin, len(groups.owners) - 1
    target.texts(sheet, (HEAD, 5), [f"{groups.lines[margin].label} in thousand", ""], "head")
    for at, owner in enumerate(groups.owners[:count]):
        row, value = HEAD + 1 + at, Cell(owner[groups.lines[margin].id], groups.address(at, margin))
        target.texts(sheet, (row, 5), [owner["name"]])
        target.cell(sheet, (row, 6), value, "thousand")
    if not count:
        return
    chart = target.book.add_chart({"type": "bar"})
    names, values = (["Summary", HEAD + 1, column, HEAD + count, column] for column in (5, 6))
    chart.add_series({"categories": names, "values": values, "fill": {"color": ACTUAL}, "invert_if_negative": True,
                      "invert_if_negative_color": WORSE, "data_labels": {"value": True}, "gap": 40})  # fmt: skip
    title = f"{groups.lines[margin].label} by {groups.by.replace('_', ' ')}"
    chart.set_title({"name": title, "name_font": {"size": 11}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "label_position": "low", "line": {"none": True}})
    chart.set_x_axis({"visible": False, "major_gridlines": {"visible": False}})
    chart.set_size({"width": 560, "height": 120 + 28 * count})
    sheet.insert_chart(HEAD + 3 + count, 5, chart, {"description": "Bars of the margins in the table above"})


def _owner(row: Mapping[Any, Any], lines: Iterable[Line]) -> dict[str, Any]:
    """A row of a profitability table: its text, and the amounts of these lines, signed as they enter the margin."""
    kept: dict[str, Any] = {key: value for key, value in row.items() if isinstance(value, str)}
    for line in lines:
        value = Decimal(row[line.id]) if known(row.get(line.id)) else Decimal(0)
        kept[line.id] = (value if line.subtotal else value * line.sign) if line.available else None
    return kept


def _added(owners: Sequence[Mapping[str, Any]], lines: Iterable[Line]) -> dict[str, Any]:
    """All owners as one."""
    sums = {line.id: sum((owner[line.id] for owner in owners), Decimal(0)) for line in lines if line.available}
    return {line.id: sums.get(line.id) for line in lines}


def _customers(books: Books, period: Period) -> _Grid:
    lines = tuple(line for line in books.statement_in(period).lines if not line.is_firms)
    owners = [_owner(row, lines) for row in customer_profitability(books, period).to_dict("records")]
    for owner in owners:
        owner.update({by: owner.get(by) or (blank(by) if owner["customer_id"] else "") for by in GROUPS})
    return _Grid(CUSTOMERS, lines, (*owners, _added(owners, lines)), 5, down=True)


def _groups(books: Books, period: Period, by: str, customers: _Grid, kinds: int) -> _Grid:
    """The firm by a group of customers, whose column on the sheet of customers is `kinds`; the firm alone where there is none."""
    lines = books.statement_in(period).lines
    shared = [line for line in lines if not line.is_firms]
    if not by:
        alone = dict(firm_profitability(books, period))
        return _Grid("P&L of the firm", lines, ({**_owner(alone, lines), "name": "Firm"},), 1, down=False)
    rows = group_profitability(books, period, by).whole.reset_index().to_dict("records")
    owners = [_owner(row, shared) | {"name": row[by]} for row in rows[:-1]]
    owned = tuple(line for line in _owned_lines(owners, by, customers) if any(owner[line.id] for owner in owners))
    for owner in owners:
        owner["earned"] = owner[books.statement.net_margin.id] - sum((owner[line.id] for line in owned), Decimal(0))
    below = (*owned, EARNED)
    firm = {**_owner(rows[-1], lines), "name": "Firm", **_added(owners, below)}
    return _Grid(GROUPS[by], (*lines, *below), (*owners, firm), 1, False, by, customers, kinds)


def _owned_lines(owners: Sequence[dict[str, Any]], by: str, customers: _Grid) -> Iterator[Line]:
    """A line for each line of customers, with what each group has of it beyond its customers, which is put into the owners."""
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for customer in customers.owners[:-1]:
        members[customer[by]].append(customer)
    for line in customers.lines:
        if not line.subtotal and line.available:
            for owner in owners:
                name = "" if owner["name"] == "Unassigned" else owner["name"]
                theirs = (customer[line.id] for customer in members[name])
                owner[f"{OWNED}{line.id}"] = owner[line.id] - sum(theirs, Decimal(0))
            yield replace(line, id=f"{OWNED}{line.id}", label=f"Owned by the column itself: {line.name}")


def _customer_sheet(target: Target, grid: _Grid, keys: Mapping[str, str]) -> None:
    sums = [line for line in grid.lines if line.subtotal]
    sheet = target.sheet(CUSTOMERS, [14, 42, 18, 14, 11] + [15] * len(grid.lines) + [11] * len(sums), (HEAD + 1, 2))
    target.texts(sheet, (HEAD, 0), keys.values(), "head")
    target.texts(sheet, (HEAD, grid.left), [line.title for line in grid.lines], "head_right")
    shares = [f"{line.label}, % of gross sales" for line in sums]
    target.texts(sheet, (HEAD, grid.left + len(grid.lines)), shares, "head_share")
    for at, owner in enumerate(grid.owners):
        target.texts(sheet, grid.place(at, -grid.left), [owner.get(key) for key in keys])
        _write_owner(target, sheet, grid, at)
    target.texts(sheet, grid.place(at, -grid.left), ["All"], "bold")
    sheet.fit_to_pages(3, 0)
    sheet.repeat_columns(0, 1)
    sheet.autofilter(HEAD, 0, HEAD + at, grid.left + len(grid.lines) + len(sums) - 1)


def _group_sheet(target: Target, grid: _Grid) -> None:
    sheet = target.sheet(grid.sheet, [48] + [15, 9] * len(grid.owners), (HEAD + 1, 1))
    target.texts(sheet, (HEAD, 0), ["Line"], "head")
    for at, line in enumerate(grid.lines):
        target.texts(sheet, (HEAD + 1 + at, 0), [line.title], "bold" if line.subtotal else "text")
    for at, owner in enumerate(grid.owners):
        target.texts(sheet, grid.place(at, -1), [owner["name"]], "head_right")
        target.texts(sheet, (HEAD, grid.left + 2 * at + 1), ["% of gross sales"], "head_share")
        _write_owner(target, sheet, grid, at)


Check = tuple[str, str, Cell, Cell]


def _sums(grid: _Grid) -> list[Check]:
    """Each line's total: a subtotal's against the sum of its owners' subtotals, any other against the roll-up's value."""
    found, last = [], len(grid.owners) - 1
    for at, line in enumerate(grid.lines):
        value = grid.owners[-1][line.id]
        if value is not None and not line.is_pool:
            across = line.subtotal and not line.firm_only and last > 0
            right = Cell(value, grid.total(at) if across else "")
            found.append((f"{grid.sheet}: adds up", line.title, Cell(value, grid.address(last, at)), right))
    return found


def _matches(customers: _Grid, groups: _Grid) -> list[Check]:
    """The net margin of the customers of each group, and of all, on the two sheets."""
    margins, found, both = customers.reach(customers.margin), [], "Customers on both sheets"
    line, last = customers.lines[customers.margin], len(groups.lines) - 1
    for at, owner in enumerate(groups.owners[:-1]):
        if own := [customer for customer in customers.owners[:-1] if customer[groups.by] == owner["name"]]:
            left = Cell(_added(own, [line])[line.id], f"SUMPRODUCT({groups.same_group(at)}*{margins})")
            found.append((both, owner["name"], left, Cell(owner["earned"], groups.address(at, last))))
    if found:
        left, right = Cell(customers.owners[-1][line.id], f"SUM({margins})"), groups.owners[-1]["earned"]
        found.append((both, "All", left, Cell(right, groups.address(len(groups.owners) - 1, last))))
    return found


def _tie_outs(tie_out: pd.DataFrame) -> list[Check]:
    return [
        (row["check"], f"{row['item']} {row['period']}", Cell(row["left"]), Cell(row["right"]))
        for row in tie_out.to_dict("records") if known(row["left"]) and known(row["right"])
    ]  # fmt: skip


def _check_sheet(target: Target, checks: Sequence[Check]) -> None:
    sheet = target.sheet(CHECKS, (52, 48, 18, 18, 14, 10), (HEAD + 2, 0))
    target.texts(sheet, (HEAD + 1, 0), ["Check", "Of what"], "head")
    target.texts(sheet, (HEAD + 1, 2), ["Left", "Right", "Difference", "Verdict"], "head_right")
    verdicts = []
    for row, (kind, what, left, right) in enumerate(checks, HEAD + 2):
        target.texts(sheet, (row, 0), [kind, what])
        difference = cast(Decimal, left.value) - cast(Decimal, right.value)
        verdicts.append("ok" if abs(difference) < HALF_CENT else "differs")
        for column, cell in enumerate((left, right, Cell(difference, f"C{row + 1}-D{row + 1}")), 2):
            target.cell(sheet, (row, column), cell, "money")
        verdict = Cell(verdicts[-1], f'IF(ABS(E{row + 1})<{HALF_CENT},"ok","differs")')
        target.cell(sheet, (row, 5), verdict, "verdict")
    last = HEAD + 2 + len(checks)
    all_ok = f'IF(COUNTIF(F{HEAD + 3}:F{last},"ok")={len(checks)},"ok","differs")'
    whole = Cell("differs" if "differs" in verdicts else "ok", all_ok)
    target.texts(sheet, (HEAD, 0), ["All checks"], "quiet")
    target.cell(sheet, (HEAD, 5), whole, "verdict")
    marked = {"type": "cell", "criteria": "==", "value": '"differs"', "format": target.looks["differs"]}
    sheet.conditional_format(HEAD, 5, last, 5, marked)
