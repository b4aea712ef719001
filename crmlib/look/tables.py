"""Tables: a profit and loss statement, and any small frame."""

from __future__ import annotations

import hashlib
import numbers
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from crmlib.look.drawing import INK, QUIET, RULE
from crmlib.look.words import NOT_AVAILABLE, Sentence, as_decimal, digits_text, floats, heading, percent

if TYPE_CHECKING:
    from great_tables import GT

    from crmlib.declared.statement import Line


TABLE_CSS = f"""
#ID table.gt_table {{margin: 0; font-size: 13px; color: {INK}; border: none; font-variant-numeric: tabular-nums}}
#ID td.gt_heading {{text-align: left; border: none; padding: 2px 5px}}
#ID td.gt_title {{font-size: 15px; font-weight: bold}}
#ID td.gt_subtitle {{font-size: 12px; color: {QUIET}; padding-bottom: 6px}}
#ID th.gt_col_heading {{font-weight: bold; border-top: none; border-bottom: 1px solid {INK}; vertical-align: bottom}}
#ID .gt_row {{border: none; padding: 3px 5px}}
#ID tr {{break-inside: avoid}}
#ID .gt_table_body {{border-top: none; border-bottom: 1px solid {INK}}}
#ID .gt_sourcenote {{font-size: 11px; color: {QUIET}}}
"""


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


def _statement_cells(frame: pd.DataFrame, lines: Sequence[Line], ratios: Collection[str], scale: int) -> pd.DataFrame:
    base = next((line.id for line in lines if line.is_revenue), "")
    gaps = ["–" if line.is_firms else NOT_AVAILABLE for line in lines]
    cells = {"line": [f"{line.label}, {line.note}" if line.note else line.label for line in lines]}
    for position, name in enumerate(frame.index):
        row = frame.iloc[position]
        signs = [1 if line.subtotal else line.sign for line in lines]
        values = [as_decimal(row.get(line.id)) for line in lines]
        effects = [None if value is None else value * sign for value, sign in zip(values, signs, strict=True)]
        pairs = list(zip(effects, gaps, strict=True))
        cells[f"amount{position}"] = [_cell(None if n is None else n / scale, 0, gap) for n, gap in pairs]
        if name in ratios:
            cells[f"ratio{position}"] = [_ratio(n, as_decimal(row.get(base)), gap) for n, gap in pairs]
    return pd.DataFrame(cells)


def statement_table(
    frame: pd.DataFrame,
    lines: Sequence[Line],
    *,
    title: Sentence | str,
    what: str,
    currency: str,
    ratios: Collection[str] = (),
    otherwise: str = "",
) -> GT | Sentence:
    """A profit and loss statement: lines down, columns across.

    Parameters
    ----------
    frame
        One row per column of the table, whose heading is the index; one column per line (id), positive as named.
    lines
        The lines to show, in order; what is taken from the margin stands in parentheses, subtotals are bold.
    title, what
        The finding; and what, who and period.
    currency
        Stands in the heading with the unit: thousand, or one where no amount reaches a hundred thousand.
    ratios
        Headings that get a column in percent of the first revenue line, recomputed at every line.
    otherwise
        The sentence that stands instead where there is no column.
    """
    if frame.empty:
        return Sentence(otherwise)
    from great_tables import loc, style

    amounts = floats(frame[[line.id for line in lines if line.id in frame]].to_numpy().ravel())
    large = any(abs(number) >= 100_000 for number in amounts)
    cells = _statement_cells(frame, lines, ratios, 1000 if large else 1)
    light = [str(column) for column in cells if str(column).startswith("ratio")]
    labels = {f"amount{position}": " ".join(str(name).split()) for position, name in enumerate(frame.index)}
    sums = [row for row, line in enumerate(lines) if line.subtotal]
    bold: Any = [style.text(weight="bold"), style.borders(sides="top", color=RULE, weight="1px")]
    table = _titled(cells, str(title), what, "line").tab_stubhead(f"{currency} thousand" if large else currency)
    table = table.cols_label(cast(Any, labels | dict.fromkeys(light, "% of gross sales")))
    table = table.cols_align("right", columns=list(cells.columns[1:]))
    table = table.tab_style(style.text(color=QUIET, size="12px"), [loc.body(light), loc.column_labels(light)])
    table = table.tab_style(bold, [loc.body(rows=sums), loc.stub(rows=sums)])
    return table.tab_source_note("– charged to nobody: firm only") if (cells == "–").any(axis=None) else table


def _column(values: pd.Series, digits: int | None) -> tuple[list[str], bool]:
    """The texts of a column, and whether they are numbers."""
    known = [value for value in values if not pd.isna(value)]
    if not known or not all(isinstance(value, numbers.Number) and not isinstance(value, bool) for value in known):
        words = {True: "yes", False: "no"} if all(isinstance(value, bool) for value in known) else {}
        return [NOT_AVAILABLE if pd.isna(v) else " ".join(str(words.get(v, v)).split()) for v in values], False
    if str(values.name).endswith("_share"):
        return [percent(value) for value in values], True
    amounts = [number for value in known if (number := as_decimal(value)) is not None]
    whole = all(number == number.to_integral_value() or abs(number) >= 10_000 for number in amounts)
    return [_cell(as_decimal(value), digits if digits is not None else 0 if whole else 2) for value in values], True


def plain_table(
    frame: pd.DataFrame,
    *,
    title: Sentence | str,
    what: str,
    digits: int | None = None,
    most: int = 0,
    otherwise: str = "",
) -> GT | Sentence:
    """A small frame as a table: text left, numbers right, negative in parentheses, text from data kept text.

    A column named ``…_share`` is written as percent. `digits` are the decimals of other numbers; without it none
    where all are whole or large, else two. An index with a name is the first column. Of more than `most` rows (if
    given) the first are shown, and the table says so; of none the sentence `otherwise` stands instead.
    """
    if frame.empty:
        return Sentence(otherwise)
    rows = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    if 0 < most < len(rows):
        rows, what = rows.head(most), f"{what}; {most} of {len(rows):,}"
    columns = [_column(rows.iloc[:, position], digits) for position in range(rows.shape[1])]
    cells = pd.DataFrame({f"c{position}": texts for position, (texts, _) in enumerate(columns)})
    table = _titled(cells, str(title), what).cols_label(
        cast(Any, {cell: heading(re.sub("_share$", " %", str(name))) for cell, name in zip(cells, rows, strict=True)})
    )
    right = [f"c{position}" for position, (_, is_number) in enumerate(columns) if is_number]
    return table.cols_align("left").cols_align("right", columns=right)
