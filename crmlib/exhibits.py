"""How the workbook looks: numbers in words, one palette, headings and tables, in this one place.

The charts themselves draw with what is here: `in_look`, `new_axes`, `describe` and the texts of numbers. A `unit` is a
currency code, the name of a unit, or ``"%"`` for shares between 0 and 1.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import numbers
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pandas as pd

if TYPE_CHECKING:
    from great_tables import GT
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from crmlib.statement import Line

P = ParamSpec("P")
R = TypeVar("R")

INK, QUIET, RULE, BAND = "#262626", "#6b6b6b", "#b0b0b0", "#f3f3f3"
ACTUAL, MANY, PREVIOUS = "#595959", "#a6a6a6", "#c4c4c4"
ACCENT = BETTER = "#0b5394"
WORSE = "#e08214"
NOT_AVAILABLE = "not available"
WIDTH = 9.0  # inches: 864 pixels on a page, and A4 without loss
LOOK: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "crmlib",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine has it
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "text.hinting": "no_hinting",  # as wide on paper as on the screen
    "axes.prop_cycle": f"cycler('color', {[ACCENT, WORSE, ACTUAL, MANY]})",
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "xtick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
    "hatch.linewidth": 1.2,
}
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

STRATEGIC = {
    "11": "Review corporate and marketing strategy",
    "12": "Identify criteria for categorising customers",
    "13": "Guidelines for the degree of differentiation in the product and service agreement",
    "14": "Framework of metrics",
    "15": "Guidelines for sharing process-improvement benefits",
}
OPERATIONAL = {
    "21": "Differentiate customers",
    "22": "Prepare the account or segment management team",
    "23": "Internally review the accounts",
    "24": "Identify opportunities with the accounts",
    "25": "Develop the product and service agreement",
    "26": "Implement the product and service agreement",
    "27": "Measure performance and generate profitability reports",
}


def _number(value: object) -> Decimal | None:
    if value is None or pd.isna(cast(Any, value)):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None


def floats(values: Iterable[object]) -> list[float]:
    """The values as floats to draw; NaN for what is no number."""
    return [math.nan if (number := _number(value)) is None else float(number) for value in values]


def _digits(number: Decimal, decimals: int) -> str:
    from babel.numbers import format_decimal

    pattern = f"#,##0.{'0' * decimals}" if decimals else "#,##0"
    # adding zero turns a negative zero into zero
    return format_decimal(round(number, decimals) + 0, format=pattern, locale="en").replace("-", "−")


def _scaled(number: Decimal) -> tuple[Decimal, str]:
    for factor, suffix in ((10**9, " bn"), (10**6, " M"), (10**3, " k")):
        if abs(number) >= factor * Decimal("0.9995"):
            return number / factor, suffix
    return number, ""


def _compact(number: Decimal, digits: int | None = None) -> str:
    scaled, suffix = _scaled(number)
    few = abs(scaled) < Decimal("9.95") and (suffix or scaled != scaled.to_integral_value())
    return _digits(scaled, digits if digits is not None else (1 if suffix else 2) if few else 0) + suffix


def amount(value: object, currency: str, *, digits: int | None = None) -> str:
    """Money as a person says it: ``USD 1.4 M``, ``USD −12 k``; *not available* for what is no number.

    Two significant digits or the whole number, unless `digits` says how many decimals.
    """
    number = _number(value)
    return NOT_AVAILABLE if number is None else f"{currency} {_compact(number, digits)}".strip()


def percent(value: object, *, digits: int = 1) -> str:
    """A share (0 to 1) as percent; *not available* for what is no number."""
    number = _number(value)
    return NOT_AVAILABLE if number is None else _digits(number * 100, digits) + "%"


def share_text(part: object, total: object) -> str:
    """The share of `part` in `total` as percent; where the total is zero or negative it says that there is none."""
    piece, whole = _number(part), _number(total)
    if piece is None or whole is None:
        return NOT_AVAILABLE
    if whole <= 0:
        return f"no share (the total is {'negative' if whole else 'zero'})"
    return percent(piece / whole)


def label_text(value: object, unit: str, *, signed: bool = False) -> str:
    """The text of a value beside its mark, without its unit; `signed` shows the plus too."""
    text = percent(value) if unit == "%" else amount(value, "")
    return f"+{text}" if signed and (_number(value) or 0) > 0 else text


def tick_text(value: float, unit: str) -> str:
    """The text of a tick: as many digits as tell it from the next."""
    scaled, suffix = (value * 100, "%") if unit == "%" else _scaled(Decimal(str(round(value, 9))))
    return f"{float(scaled):.5g}{suffix}".replace("-", "−")


def short_name(name: object, letters: int = 34) -> str:
    """The name on one line, its middle left out where it is longer; the ends tell similar names apart."""
    text, tail = " ".join(str(name).split()), letters // 3
    return text if len(text) <= letters else text[: letters - tail - 1].rstrip() + "…" + text[-tail:].lstrip()


def counted(number: object, thing: str) -> str:
    """'1 customer', '2,345 customers'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def heading(column: object) -> str:
    """A column's name as a reader sees it: ``cost_to_serve`` is *Cost to serve*."""
    text = " ".join(str(column).replace("_", " ").split())
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, repr=False)
class Sentence:
    """A sentence that reads a result: text in a console, a paragraph on a page, never markup."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<p class="finding">{html.escape(self.text)}</p>'


def say(text: str) -> Sentence:
    """The sentence to end a cell with; what comes from the data stays text."""
    return Sentence(text)


def in_look(plot: Callable[P, R]) -> Callable[P, R]:
    """Run `plot` in the workbook's look and leave the session's settings as they were."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(LOOK):
            return plot(*args, **kwargs)

    return drawn


def _mimebundle(figure: Figure) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    import matplotlib.pyplot as plt

    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    picture = io.StringIO()
    figure.savefig(picture, format="svg", metadata={"Date": None})
    plt.close(figure)  # else the inline backend shows it once more at the end of the cell
    alt = str(figure.get_label()) or "Chart"
    return {"image/svg+xml": picture.getvalue(), "text/plain": alt}, {"image/svg+xml": {"alt": alt}}


def apply_look() -> None:
    """Set the look for this session and show figures as SVG with their alternative text.

    Called once, in a notebook's opening cell. A cell that ends in a figure or in its axes shows the picture once.
    """
    import matplotlib
    from IPython.core.getipython import get_ipython
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(LOOK)
    shell = cast(Any, get_ipython())
    if shell is None:
        return
    from matplotlib_inline.config import InlineBackend

    inline = InlineBackend.instance(parent=shell)
    inline.shell = shell
    inline.figure_formats = set()  # else each picture is stored a second time as PNG
    words = shell.display_formatter.formatters["text/plain"]
    words.for_type_by_name("great_tables.gt", "GT", lambda table, printer, _: printer.text("Table"))
    bundles = shell.display_formatter.mimebundle_formatter
    bundles.for_type(Figure, lambda figure, **_: _mimebundle(figure))
    bundles.for_type(Axes, lambda ax, **_: _mimebundle(root_figure(ax)))


def root_figure(ax: Axes) -> Figure:
    """The figure that the axes stands in."""
    return cast("Figure", ax.get_figure(root=True))


def new_axes(ax: Axes | None, height: float) -> Axes:
    """The axes given, or one in a figure of its own, `height` in inches."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(WIDTH, height), layout="constrained"
    )  # outside pyplot: nothing stays open, nothing is shown twice
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def describe(ax: Axes, *texts: str, first: bool = False) -> Axes:
    """Add the texts to the alternative text of the picture, which is the figure's label."""
    before = str(root_figure(ax).get_label())
    root_figure(ax).set_label(" ".join(filter(None, [*texts, before] if first else [before, *texts])))
    return ax


def _wrapped(figure: Figure, text: str, **style: Any) -> Text:
    artist = figure.text(0.012, 1, "", va="top", ha="left", linespacing=1.15, **style)
    for letters in range(150, 10, -3):
        artist.set_text(textwrap.fill(" ".join(text.split()), letters))
        if artist.get_window_extent().width <= figure.bbox.width * 0.96:
            break
    return artist


@in_look
def headline(ax: Axes, finding: str, what: str) -> Axes:
    """Put the finding above the picture and, small below it, what, who, unit and period.

    The figure grows by the height of both, so the plot keeps its size and nothing overlaps at any length. Both also
    go in front of the alternative text.
    """
    figure = root_figure(ax)
    figure.set_layout_engine("constrained")
    title = _wrapped(figure, finding, fontsize=12.5, fontweight="bold")
    small = _wrapped(figure, what, fontsize=9, color=QUIET)
    heights = [text.get_window_extent().height / figure.dpi for text in (title, small)]
    width, plot = figure.get_size_inches()
    whole = plot + sum(heights) + 0.32
    figure.set_size_inches(width, whole)
    title.set_y(1 - 0.06 / whole)
    small.set_y(1 - (0.14 + heights[0]) / whole)
    cast(Any, figure.get_layout_engine()).set(rect=(0, 0, 1, plot / whole))
    return describe(ax, finding.rstrip(".") + ".", what.rstrip(".") + ".", first=True)


def _titled(cells: pd.DataFrame, title: str, what: str, stub: str | None = None) -> GT:
    from great_tables import GT

    # the same table has the same id in every run
    name = "t" + hashlib.sha256(f"{title}\n{what}\n{list(cells.columns)}".encode()).hexdigest()[:12]
    table = GT(cells, rowname_col=stub, id=name).tab_header(title=title, subtitle=what)
    return table.tab_options(table_additional_css=TABLE_CSS.replace("ID", name))


def _cell(number: Decimal | None, decimals: int, gap: str = NOT_AVAILABLE) -> str:
    if number is None:
        return gap
    text = _digits(abs(number), decimals)
    # a space as wide as the bracket keeps the digits in line
    return f"({text})" if number < 0 and text.strip("0.") else f"{text}\u2004"


def _ratio(number: Decimal | None, whole: Decimal | None, gap: str) -> str:
    if number is None or whole is None:
        return gap
    return _cell(number / whole * 100, 1) if whole > 0 else "no ratio"


def _statement_cells(frame: pd.DataFrame, lines: Sequence[Line], ratios: Collection[str], scale: int) -> pd.DataFrame:
    base = next((line.id for line in lines if line.cls == "revenue"), "")
    gaps = ["–" if line.firm_only or line.cls == "pool" else NOT_AVAILABLE for line in lines]
    cells = {"line": [f"{line.label}, {line.note}" if line.note else line.label for line in lines]}
    for position, name in enumerate(frame.index):
        row = frame.iloc[position]
        signs = [1 if line.subtotal else line.sign for line in lines]
        values = [_number(row.get(line.id)) for line in lines]
        effects = [None if value is None else value * sign for value, sign in zip(values, signs, strict=True)]
        pairs = list(zip(effects, gaps, strict=True))
        cells[f"amount{position}"] = [_cell(None if n is None else n / scale, 0, gap) for n, gap in pairs]
        if name in ratios:
            cells[f"ratio{position}"] = [_ratio(n, _number(row.get(base)), gap) for n, gap in pairs]
    return pd.DataFrame(cells)


def statement_table(
    frame: pd.DataFrame, lines: Sequence[Line], *, title: str, what: str, currency: str, ratios: Collection[str] = ()
) -> GT:
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
    """
    from great_tables import loc, style

    amounts = floats(frame[[line.id for line in lines if line.id in frame]].to_numpy().ravel())
    large = any(abs(number) >= 100_000 for number in amounts)
    cells = _statement_cells(frame, lines, ratios, 1000 if large else 1)
    light = [str(column) for column in cells if str(column).startswith("ratio")]
    labels = {f"amount{position}": " ".join(str(name).split()) for position, name in enumerate(frame.index)}
    sums = [row for row, line in enumerate(lines) if line.subtotal]
    bold: Any = [style.text(weight="bold"), style.borders(sides="top", color=RULE, weight="1px")]
    table = _titled(cells, title, what, "line").tab_stubhead(f"{currency} thousand" if large else currency)
    table = table.cols_label(cast(Any, labels | dict.fromkeys(light, "% of sales")))
    table = table.cols_align("right", columns=list(cells.columns[1:]))
    table = table.tab_style(style.text(color=QUIET, size="12px"), [loc.body(light), loc.column_labels(light)])
    table = table.tab_style(bold, [loc.body(rows=sums), loc.stub(rows=sums)])
    return table.tab_source_note("– charged to nobody: firm only") if (cells == "–").any(axis=None) else table


def mark_cells(table: GT, cells: Iterable[tuple[int, int]]) -> GT:
    """The statement table with those cells marked that the finding speaks of: (line, column), both from 0."""
    from great_tables import loc, style

    mark: Any = [style.text(color=ACCENT, weight="bold"), style.borders(sides="bottom", color=ACCENT, weight="2px")]
    for row, column in cells:
        table = table.tab_style(mark, loc.body(columns=[column + 1], rows=[row]))
    return table


def _column(values: pd.Series, digits: int | None) -> tuple[list[str], bool]:
    """The texts of a column, and whether they are numbers."""
    known = [value for value in values if not pd.isna(value)]
    if not known or not all(isinstance(value, numbers.Number) and not isinstance(value, bool) for value in known):
        words = {True: "yes", False: "no"} if all(isinstance(value, bool) for value in known) else {}
        return [NOT_AVAILABLE if pd.isna(v) else " ".join(str(words.get(v, v)).split()) for v in values], False
    if str(values.name).endswith("_share"):
        return [percent(value) for value in values], True
    amounts = [number for value in known if (number := _number(value)) is not None]
    whole = all(number == number.to_integral_value() or abs(number) >= 10_000 for number in amounts)
    return [_cell(_number(value), digits if digits is not None else 0 if whole else 2) for value in values], True


def plain_table(frame: pd.DataFrame, *, title: str, what: str, digits: int | None = None) -> GT:
    """A small frame as a table: text left, numbers right, negative in parentheses, text from data kept text.

    A column named ``…_share`` is written as percent. `digits` are the decimals of other numbers; without it none
    where all are whole or large, else two. An index with a name is the first column.
    """
    shown = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    columns = [_column(shown.iloc[:, position], digits) for position in range(shown.shape[1])]
    cells = pd.DataFrame({f"c{position}": texts for position, (texts, _) in enumerate(columns)})
    table = _titled(cells, title, what).cols_label(
        cast(Any, {cell: heading(re.sub("_share$", " %", str(name))) for cell, name in zip(cells, shown, strict=True)})
    )
    right = [f"c{position}" for position, (_, is_number) in enumerate(columns) if is_number]
    return table.cols_align("left").cols_align("right", columns=right)


@in_look
def process_map(highlight: Collection[str] | None = None) -> Axes:
    """The twelve sub-processes with the numbers of their notebooks, those in `highlight` dark (None: all).

    Source: Lambert, *Supply Chain Management: Processes, Partnerships, Performance*, customer relationship management.
    """
    ax = new_axes(None, 5.0)
    ax.set_axis_off()
    ax.set(xlim=(-0.05, 10.05), ylim=(-0.05, 7.6))
    dark = set(STRATEGIC | OPERATIONAL) if highlight is None else set(highlight)
    _draw_boxes(ax, 0.0, "Strategic: how we go about it", STRATEGIC, dark)
    _draw_boxes(ax, 5.3, "Operational: doing it, again and again", OPERATIONAL, dark)
    for start, end, y, text in ((4.78, 5.22, 5.2, "guides"), (5.22, 4.78, 1.8, "teaches")):
        ax.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6})
        ax.text(5.0, y + 0.12, text, ha="center", va="bottom", fontsize=8.5, color=QUIET)
    told = "; ".join(f"{number} {text}" for number, text in (STRATEGIC | OPERATIONAL).items())
    return describe(ax, f"Five strategic sub-processes guide seven operational ones, which teach them: {told}.")


def _draw_boxes(ax: Axes, left: float, title: str, parts: Mapping[str, str], dark: Collection[str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    pitch = 7.0 / len(parts)
    ax.text(left + 0.05, 7.15, title, fontweight="bold", fontsize=11, va="bottom")
    for place, (number, text) in enumerate(parts.items()):
        bottom, height = 7.0 - pitch * (place + 1) + 0.28, pitch - 0.33
        fill, edge, ink = (ACCENT, ACCENT, "white") if number in dark else ("white", RULE, INK)
        style: Any = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": fill, "edgecolor": edge}
        ax.add_patch(FancyBboxPatch((left + 0.05, bottom), 4.6, height, **style))
        ax.text(left + 0.22, bottom + height / 2, number, color=ink, fontweight="bold", fontsize=11, va="center")
        ax.text(left + 0.75, bottom + height / 2, textwrap.fill(text, 44), color=ink, va="center")
        if place + 1 < len(parts):
            arrow: Any = {"arrowstyle": "-|>", "color": QUIET, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (left + 2.35, bottom - 0.28), (left + 2.35, bottom), arrowprops=arrow)
