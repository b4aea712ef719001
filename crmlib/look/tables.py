"""Tables: a profit and loss statement, and any small frame."""

from __future__ import annotations

import hashlib
import numbers
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from crmlib.look.drawing import BETTER, INK, QUIET, RULE, WORSE_TEXT
from crmlib.look.words import NOT_AVAILABLE, Sentence, as_decimal, digits_text, floats, heading, percent

if TYPE_CHECKING:
    from great_tables import GT

    from crmlib.declared.statement import Line


TABLE_CSS = f"""
#ID table.gt_table {{margin: 0; font-size: 13px; color: {INK}; border: none; font-variant-numeric: tabular-nums}}
#ID td.gt_heading {{text-align: left; border: none; padding: 0}}
#ID td.gt_title {{font-size: 15px; font-weight: bold}}
#ID td.gt_subtitle {{font-size: 12px; color: {QUIET}; padding-bottom: 6px}}
#ID th.gt_col_heading {{font-weight: bold; border-top: none; border-bottom: 1px solid {INK}; padding: 3px 0 3px 14px; vertical-align: bottom}}
#ID .gt_row {{border: none; padding: 3px 0 3px 14px; vertical-align: top}}
#ID tr > :first-child {{padding-left: 0}}
#ID tr {{break-inside: avoid}}
#ID tbody tr {{background: none}}
#ID .gt_table_body {{border-top: none; border-bottom: 1px solid {INK}}}
#ID .gt_sourcenote {{padding: 4px 0; font-size: 11px; color: {QUIET}; max-width: 30em}}
"""


SHORT = 12  # letters of a text that stands on one line
LONG = 40  # letters of a text that takes several lines on a narrow screen
LARGE = 100_000  # amounts from here on are told in thousand
# ends of the names of what is no money
COUNTED = ("_share", "_days", "_years", "_minutes", "_units", "_rate", "_index", "score", "hours")


def _unit(amounts: pd.DataFrame, unit: str) -> tuple[str, int]:
    """What amounts are told in, for all of an exhibit: thousand where any is large, unless most would then be nought."""
    sizes = [abs(number) for column in amounts for number in floats(amounts[column]) if abs(number) > 0]
    lost = sum(size < 500 for size in sizes) * 2 > len(sizes)
    return (f"{unit} thousand", 1000) if max(sizes, default=0) >= LARGE and not lost else (unit, 1)


def _titled(cells: pd.DataFrame, title: str, what: str, stub: str | None = None) -> GT:
    from great_tables import GT

    # the same table has the same id in every run
    name = "t" + hashlib.sha256(f"{title}\n{what}\n{list(cells.columns)}".encode()).hexdigest()[:12]
    table = GT(cells, rowname_col=stub, id=name).tab_header(title=title, subtitle=what)
    return table.tab_options(table_additional_css=TABLE_CSS.replace("ID", name))


def _cell(number: Decimal | None, decimals: int, gap: str = NOT_AVAILABLE) -> str:
    if number is None:
        return gap
    text = digits_text(abs(number), decimals)
    # a space as wide as the bracket keeps the digits in line
    return f"({text})" if number < 0 and text.strip("0.") else f"{text}\u2004"


def _ratio(number: Decimal | None, whole: Decimal | None, gap: str) -> str:
    if number is None or whole is None:
        return gap
    return _cell(number / whole * 100, 1) if whole > 0 else "no ratio"


def _effects(row: pd.Series, lines: Sequence[Line]) -> list[Decimal | None]:
    """The amounts of one column of a statement, signed as they enter the margin."""
    values = [(line, as_decimal(row.get(line.id))) for line in lines]
    return [None if value is None else value * (1 if line.subtotal else line.sign) for line, value in values]


def _statement_cells(
    frame: pd.DataFrame, lines: Sequence[Line], ratios: Collection[str], scale: int, change: bool
) -> pd.DataFrame:
    base = next((line.id for line in lines if line.is_revenue), "")
    gaps = ["–" if line.is_firms else NOT_AVAILABLE for line in lines]
    cells = {"line": [line.head for line in lines]}
    for position, name in enumerate(frame.index):
        pairs = list(zip(_effects(frame.iloc[position], lines), gaps, strict=True))
        cells[f"amount{position}"] = [_cell(None if n is None else n / scale, 0, gap) for n, gap in pairs]
        if name in ratios:
            cells[f"ratio{position}"] = [_ratio(n, as_decimal(frame.iloc[position].get(base)), gap) for n, gap in pairs]
    if change:
        changes = _changes(frame, lines)
        marks = {row: "▼ " if cast(Decimal, changes[row]) < 0 else "▲ " for row in _largest(changes, lines)}
        told = [_cell(None if n is None else n / scale, 0, "–") for n in changes]
        cells["change"] = [marks.get(row, "") + text for row, text in enumerate(told)]
    return pd.DataFrame(cells)


def _changes(frame: pd.DataFrame, lines: Sequence[Line]) -> list[Decimal | None]:
    """What each line does to the margin, the first column against the second."""
    pairs = zip(*(_effects(frame.iloc[position], lines) for position in (0, 1)), strict=True)
    return [None if now is None or before is None else now - before for now, before in pairs]


def statement_table(
    frame: pd.DataFrame,
    lines: Sequence[Line],
    *,
    title: Sentence | str,
    what: str,
    currency: str,
    ratios: Collection[str] = (),
    change: bool = False,
    most: int = 10,
    otherwise: Sentence | str = "",
) -> GT | Sentence:
    """A profit and loss statement: lines down, columns across; of many columns the other way round, with its subtotals only.

    Parameters
    ----------
    frame
        One row per column of the table, whose heading is the index; one column per line (id), positive as named. The column Firm is bold.
    lines
        The lines to show, in order; what is taken from the margin stands in parentheses, subtotals are bold; of subtotals that repeat each other the last.
    title, what
        The finding; and what, who and period.
    currency
        Stands in the heading with the unit: thousand, or one where no amount reaches a hundred thousand or most would be nought.
    ratios
        Headings that get a column in percent of the first revenue line, recomputed at every line.
    change
        Whether a last column shows what each line did to the margin since the second column; the three largest are marked.
    most
        Columns that fit on paper; of more, owners stand one below the other.
    otherwise
        The sentence that stands instead where there is no column.
    """
    if frame.empty:
        return Sentence(str(otherwise), absent=True)
    if len(lines) > 1 and all(line.subtotal for line in lines[1:]):  # no cost is known: they repeat the first line
        lines, ratios = lines[-1:], ()
    following = [*lines[1:], None]  # a subtotal that follows another at once repeats it
    lines = [a for a, b in zip(lines, following, strict=True) if not (a.subtotal and b and b.subtotal)]
    unit, scale = _unit(frame[[line.id for line in lines if line.id in frame]], currency)
    if len(frame) > most:
        return _turned(frame, lines, str(title), f"{what}; every line is in the workbook", unit, scale)
    change = change and len(frame) > 1
    cells = _statement_cells(frame, lines, ratios, scale, change)
    light = [str(column) for column in cells if str(column).startswith("ratio")]
    labels = {f"amount{position}": " ".join(str(name).split()) for position, name in enumerate(frame.index)}
    heads: Any = labels | dict.fromkeys(light, "% of gross sales") | ({"change": "Change"} if change else {})
    table = _titled(cells, str(title), what, "line").tab_stubhead(unit).cols_label(heads)
    subtotals = [row for row, line in enumerate(lines) if line.subtotal]
    table = _styled(table, subtotals, light, [column for column, name in labels.items() if name == "Firm"])
    if change:
        table = _marked(table, _changes(frame, lines), lines)
    table = table.tab_source_note("– charged to nobody: firm only") if (cells == "–").any(axis=None) else table
    return _footnoted(table, lines)


def _footnoted(table: GT, lines: Sequence[Line]) -> GT:
    """The table, with what each marked line is still before said once below it."""
    for line in lines:
        table = table.tab_source_note(f"* {line.title}") if line.note else table
    return table


def _styled(table: GT, bold_rows: list[int], light: list[str], bold_columns: list[str]) -> GT:
    from great_tables import loc, style

    ruled: Any = [style.text(weight="bold"), style.borders(sides="top", color=RULE, weight="1px")]
    small, bold = style.text(color=QUIET, size="12px"), style.text(weight="bold")
    table = table.cols_align("right").tab_style(ruled, [loc.body(rows=bold_rows), loc.stub(rows=bold_rows)])
    table = table.tab_style(small, [loc.body(light), loc.column_labels(light)])
    return table.tab_style(bold, loc.body(bold_columns)) if bold_columns else table


def _marked(table: GT, changes: Sequence[Decimal | None], lines: Sequence[Line]) -> GT:
    """The three largest changes of lines, apart from subtotals, with an arrow and in the colors of better and worse."""
    from great_tables import loc, style

    for row in _largest(changes, lines):
        color = WORSE_TEXT if cast(Decimal, changes[row]) < 0 else BETTER
        table = table.tab_style(style.text(color=color, weight="bold"), loc.body(["change"], [row]))
    return table


def _largest(changes: Sequence[Decimal | None], lines: Sequence[Line]) -> list[int]:
    """The rows of the three largest changes, apart from subtotals."""
    sizes = {row: change for row, change in enumerate(changes) if change and not lines[row].subtotal}
    return sorted(sizes, key=lambda row: -abs(sizes[row]))[:3]


def _turned(frame: pd.DataFrame, lines: Sequence[Line], title: str, what: str, unit: str, scale: int) -> GT:
    shown = [line for line in lines if (line.subtotal or line.is_revenue) and not line.is_firms]
    effects = [_effects(frame.iloc[position], shown) for position in range(len(frame))]
    texts = [[_cell(None if effect is None else effect / scale, 0) for effect in row] for row in effects]
    cells = pd.DataFrame(texts, columns=[line.id for line in shown])
    cells.insert(0, "name", [" ".join(str(name).split()) for name in frame.index])
    table = _titled(cells, title, what, "name").tab_stubhead(unit)
    table = table.cols_label(cast(Any, {line.id: line.head for line in shown}))
    table = _styled(table, [row for row, name in enumerate(cells["name"]) if name == "Firm"], [], [])
    return _footnoted(table, shown)


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Number) and not isinstance(value, bool)


def _column(values: pd.Series, scale: int, digits: int | None) -> tuple[list[str], bool]:
    """The texts of a column, and whether they are numbers; money is told in a `scale`, other numbers have none."""
    known = [value for value in values if not pd.isna(value)]
    if not known or not all(map(_is_number, known)):
        words = {True: "yes", False: "no"} if all(isinstance(value, bool) for value in known) else {}
        return [NOT_AVAILABLE if pd.isna(v) else " ".join(str(words.get(v, v)).split()) for v in values], False
    if str(values.name).endswith("_share"):
        return [percent(value) for value in values], True
    amounts = [as_decimal(value) for value in values]
    whole = all(n is None or n == n.to_integral_value() or abs(n) >= 1_000 for n in amounts)
    if scale or whole or str(values.name).endswith("_days"):
        digits = 0
    return [_cell(n and n / (scale or 1), 2 if digits is None else digits) for n in amounts], True


def _money(rows: pd.DataFrame) -> list[int]:
    """The columns that hold money: numbers that are neither whole counts nor named with a unit of their own."""
    known = [rows.iloc[:, place].dropna() for place in range(rows.shape[1])]
    return [
        place for place, values in enumerate(known)
        if len(values) and all(map(_is_number, values)) and not str(values.name).endswith(COUNTED)
        and not all(isinstance(value, numbers.Integral) for value in values)
    ]  # fmt: skip


def plain_table(
    frame: pd.DataFrame,
    *,
    title: Sentence | str,
    what: str,
    unit: str = "",
    digits: int | None = None,
    most: int = 0,
    otherwise: Sentence | str = "",
) -> GT | Sentence:
    """A small frame as a table: text left, numbers right, negative in parentheses, text from data kept text.

    A column named ``…_share`` is written as percent. With a currency as `unit` all money stands in it or, where any is large, in thousand of it, which
    `what` then says; other numbers have so many `digits`: none where all are whole or large, else two. An index with a name is the first column. Of more than
    `most` rows (if given) the first are shown, and the table says so; a column of which nothing is known is named below the title; of no row the
    sentence `otherwise` stands instead.
    """
    from great_tables import loc, style

    if frame.empty:
        return Sentence(str(otherwise), absent=True)
    rows = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    heads = pd.Index([heading(re.sub("_share$", " %", str(name))) for name in rows], dtype=object)
    repeated = (heads == "Sales") & ("Gross sales" in heads)  # the margin of books without costs
    rows, heads = rows.loc[:, ~repeated], heads[~repeated]
    unknown = rows.isna().all().to_numpy()
    lacking = f"; {NOT_AVAILABLE}: {', '.join(heads[unknown].str.lower())}" if unknown.any() else ""
    cut = f"; {most} of {len(rows):,}" if 0 < most < len(rows) else ""
    rows = rows.loc[:, ~unknown].head(most if cut else len(rows))
    money = _money(rows) if unit else []
    told, scale = _unit(rows.iloc[:, money], unit) if money else ("", 0)
    columns = [_column(rows.iloc[:, place], scale if place in money else 0, digits) for place in range(rows.shape[1])]
    cells = pd.DataFrame({f"c{position}": texts for position, (texts, _) in enumerate(columns)})
    labels: Any = dict(zip(cells, heads[~unknown], strict=True))
    table = _titled(cells, str(title), f"{what}{told and ', '}{told}{cut}{lacking}").cols_label(labels)
    right = [f"c{position}" for position, (_, is_number) in enumerate(columns) if is_number]
    short = [cell for cell in cells if cell not in right and cells[cell].str.len().max() <= SHORT]
    long = [cell for cell in cells if cell not in right and cells[cell].str.len().max() > LONG]
    whole, wide = style.css("white-space: nowrap"), style.css("--text: long")  # as wide as look.css gives room
    table = table.cols_align("left").cols_align("right", columns=right).tab_style(whole, loc.body(short))
    return table.tab_style(wide, loc.body(long))
