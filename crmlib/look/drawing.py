"""What every picture needs: one palette, axes, heading, alternative text."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pandas as pd

from crmlib.look.words import Sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


P = ParamSpec("P")
R = TypeVar("R")
INK, QUIET, RULE, BAND = "#262626", "#6b6b6b", "#b0b0b0", "#f3f3f3"
ACTUAL, MANY, PREVIOUS = "#595959", "#a6a6a6", "#c4c4c4"
ACCENT = BETTER = "#0b5394"
WORSE = "#e08214"
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


def in_look(plot: Callable[P, R]) -> Callable[P, R]:
    """Run `plot` in the workbook's look and leave the session's settings as they were; of nothing it draws nothing."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(LOOK):
            if args and isinstance(args[0], pd.Series | pd.DataFrame) and args[0].empty:
                return cast(R, new_axes(None, 1))
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
def headline(ax: Axes, finding: Sentence | str, what: str, *, otherwise: str = "") -> Axes | Sentence:
    """Put the finding above the picture and, small below it, what, who, unit and period.

    The figure grows by the height of both, so the plot keeps its size and nothing overlaps at any length. Both also
    go in front of the alternative text. Where nothing was drawn the sentence `otherwise` stands instead.
    """
    figure, finding = root_figure(ax), str(finding)
    if not any(drawn.has_data() or drawn.texts for drawn in figure.axes):
        return Sentence(otherwise)
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
    return describe(ax, *(f"{text.rstrip('.')}." for text in (finding, what) if text), first=True)


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
