"""What every picture needs: one palette, axes, heading, alternative text."""

from __future__ import annotations

import functools
import io
import logging
import textwrap
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pandas as pd

from crmlib.declared.reading import visible
from crmlib.look.words import ACCENT as ACCENT
from crmlib.look.words import Sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


P = ParamSpec("P")
R = TypeVar("R")
INK, QUIET, RULE, BAND = "#262626", "#6b6b6b", "#b0b0b0", "#f3f3f3"
ACTUAL, MANY = "#595959", "#a6a6a6"
BETTER = ACCENT
WORSE, WORSE_TEXT = "#e08214", "#b45309"  # as a mark, and dark enough to be read as text
WIDTH = 9.0  # inches: 864 pixels on a page, and A4 without loss
LOOK: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "crmlib",
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

OWN_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine has it
OTHER_FONTS = (  # for letters that it lacks, where the machine has them
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Noto Sans Ethiopic",
    "Noto Emoji", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Nirmala UI", "Leelawadee UI", "Segoe UI Emoji",
)  # fmt: skip


BOXES = "Boxes stand for letters that no font of this machine has; the tables have them."


@functools.cache
def look() -> Any:
    """The settings of every picture, with the fonts that this machine has."""
    from matplotlib.font_manager import fontManager

    there = set(fontManager.get_font_names())
    return {**LOOK, "font.family": [OWN_FONT, *(font for font in OTHER_FONTS if font in there)]}


@functools.cache
def _known_letters() -> frozenset[int]:
    """Letters that some font of the pictures has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(letter for font in look()["font.family"] for letter in get_font(findfont(font)).get_charmap())


def _has_unknown_letters(figure: Figure) -> bool:
    from matplotlib.text import Text

    letters = {letter for text in figure.findobj(Text) for letter in text.get_text() if letter.isprintable()}
    return not {ord(letter) for letter in letters} <= _known_letters()


def in_look(plot: Callable[P, R]) -> Callable[P, R]:
    """Run `plot` in the workbook's look and leave the session's settings as they were; of nothing, and of one number, it draws nothing."""

    @functools.wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib

        with matplotlib.rc_context(look()):
            if args and isinstance(args[0], pd.Series | pd.DataFrame) and args[0].size < 2:
                return cast(R, undrawn(args[0].size))
            return plot(*args, **kwargs)

    return drawn


@in_look
def picture(figure: Figure) -> tuple[str, str]:
    """A figure as SVG, and its alternative text; control characters as visible escapes, which XML could not hold."""
    _show_hidden(figure)
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None}, dpi=200)  # of what is a raster
    return svg.getvalue(), visible(str(figure.get_label())) or "Chart"


def _show_hidden(figure: Figure) -> None:
    """Write control characters of a picture's texts as visible escapes; those of an axis are made anew when it is drawn, and fixed."""
    from matplotlib.text import Text

    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if labels != (shown := [visible(label) for label in labels]):
            axis.set_ticks(axis.get_ticklocs(), labels=shown)
    for text in figure.findobj(Text):
        text.set_text(visible(text.get_text()))


def _mimebundle(figure: Figure) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    import matplotlib.pyplot as plt

    svg, alt = picture(figure)
    plt.close(figure)  # else the inline backend shows it once more at the end of the cell
    return {"image/svg+xml": svg, "text/plain": alt}, {"image/svg+xml": {"alt": alt, **_heading(figure)}}


def _heading(figure: Figure) -> dict[str, Any]:
    """What `headline` wrote: finding and what as text, and the share of the height that the plot below them has; nothing without it."""
    texts = {text.get_gid(): " ".join(text.get_text().split()) for text in figure.texts}
    if "finding" not in texts:
        return {}
    plot = cast(Any, figure.get_layout_engine()).get()["rect"][3]
    return {"finding": texts["finding"], "what": texts["what"], "plot": plot}


def apply_look() -> None:
    """Set the look for this session and show figures as SVG with their alternative text.

    Called once, in a notebook's opening cell. A cell that ends in a figure or in its axes shows the picture once.
    """
    import matplotlib
    from IPython.core.getipython import get_ipython
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(look())
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the picture says so
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that a font has no bold is no news
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


@in_look
def new_axes(ax: Axes | None, height: float, *, width: float = WIDTH) -> Axes:
    """The axes given, or one in a figure of its own, `height` and `width` in inches."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # outside pyplot: nothing stays open, nothing is shown twice
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def undrawn(marks: int = 1) -> Axes:
    """A picture of nothing, or of one mark, which shows no more than its finding says: `headline` leaves that."""
    ax = new_axes(None, 1)
    root_figure(ax).set_gid("one mark" * marks)
    return ax


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
def headline(ax: Axes, finding: Sentence | str, what: str, *, otherwise: Sentence | str = "") -> Axes | Sentence:
    """Put the finding above the picture and, small below it, what, who, unit and period.

    The figure grows by the height of both, so the plot keeps its size and nothing overlaps at any length. Both also
    go in front of the alternative text. Where nothing was drawn the sentence `otherwise` stands instead, which may be the finding itself; for one number the finding.
    """
    figure = root_figure(ax)
    if not any(drawn.has_data() or drawn.texts for drawn in figure.axes):
        said = finding if figure.get_gid() and str(finding) else otherwise
        return Sentence(str(said), absent=said is not finding)
    finding = str(finding)
    if _has_unknown_letters(figure):
        what = f"{what.rstrip('.')}. {BOXES}"
    figure.set_layout_engine("constrained")
    title = _wrapped(figure, finding, gid="finding", fontsize=12.5, fontweight="bold")
    small = _wrapped(figure, what, gid="what", fontsize=9, color=QUIET)
    heights = [text.get_window_extent().height / figure.dpi for text in (title, small)]
    width, plot = figure.get_size_inches()
    whole = plot + sum(heights) + 0.32
    figure.set_size_inches(width, whole)
    title.set_y(1 - 0.06 / whole)
    small.set_y(1 - (0.14 + heights[0]) / whole)
    cast(Any, figure.get_layout_engine()).set(rect=(0, 0, 1, plot / whole))
    return describe(ax, *(f"{text.rstrip('.')}." for text in (finding, what) if text), first=True)


def readable(ax: Axes) -> None:
    """Write the numbers on a heat map black or white, whichever stands out more against its cell (contrast by WCAG 2: 4.5 at least)."""
    from matplotlib.colors import to_rgb
    from numpy import ma

    mesh = cast(Any, ax.collections[0])
    written = ~ma.getmaskarray(mesh.get_array()).ravel()  # a cell without a value has no text
    for text, cell in zip(ax.texts, mesh.get_facecolors()[written], strict=True):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(cell)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        text.set_color("white" if luminance < 0.179 else "black")  # where both stand out alike
