"""Charts of the workbook: each draws numbers that its caller computed, knows no statistics, and tells them in words.

Every chart is `plot_x(frame, *, ..., ax=None) -> Axes`, makes its own figure unless it is given an axes, and stores an
alternative text as the figure's label; of an empty frame, or of one number, it draws nothing. `drawing.headline` puts the finding above it. A `unit` is
a currency code, the name of a unit, or ``"%"`` for shares between 0 and 1.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.look import drawing, words
from crmlib.look.labels import place_names, write_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FREE = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}  # around a label, so that no line runs through it
FEW_DOTS = 12  # up to these a matrix is less high
MANY_DOTS = 2_000  # beyond these a page would hold megabytes of circles
PRICE_AND_EFFORT = (
    "Low price, hard to serve", "High price, hard to serve", "Low price, easy to serve", "High price, easy to serve"
)  # fmt: skip


def _money(unit: str) -> str:
    return "" if unit == "%" else unit


def _told(value: object, unit: str) -> str:
    return words.percent(value) if unit == "%" else words.amount(value, unit)


def _extremes(values: pd.Series, unit: str) -> str:
    drawn = words.floats(values)
    known = sorted((row for row, value in enumerate(drawn) if not math.isnan(value)), key=drawn.__getitem__)
    if not known:
        return "No value is available."
    high, low = (f"{values.index[row]}, {_told(values.iloc[row], unit)}" for row in (known[-1], known[0]))
    gaps = [str(values.index[row]) for row, value in enumerate(drawn) if math.isnan(value)]
    return f"Highest: {high}; lowest: {low}." + f" Not available: {'; '.join(gaps[:5])}." * bool(gaps)


def _labels(values: pd.Series, unit: str) -> list[str]:
    return [*map(words.one_unit(values, unit), values)]


def _draw_bars(
    ax: Axes, widths: Sequence[float], labels: Sequence[str], colors: Sequence[str], starts: Sequence[float]
) -> None:
    ax.barh(range(len(widths)), widths, left=starts, color=colors, height=0.68, linewidth=0)
    for row, (start, width, label) in enumerate(zip(starts, widths, labels, strict=True)):
        side, place = (-4, "right") if width < 0 else (4, "left")
        style: Any = {"textcoords": "offset points", "ha": place, "va": "center", "fontsize": 9, "bbox": FREE}
        ax.annotate(label, (start + width, row), (side, 0), **style)
    ends = [0.0, *starts, *(start + width for start, width in zip(starts, widths, strict=True))]
    low, high = min(ends), max(ends)
    # room for a label of ten letters, however wide the axes
    room = (high - low or 1) * 0.9 / (drawing.root_figure(ax).get_size_inches()[0] * ax.get_position().width)
    ax.set_xlim(low - (room if low < 0 else 0), high + (room if high > 0 or low == 0 else room / 4))
    ax.set_ylim(len(widths) - 0.4, -0.6)
    ax.axvline(0, color=drawing.INK, linewidth=0.8)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xticks([])


def _name_rows(ax: Axes, names: Iterable[object], bold: Collection[int], letters: int = 34) -> None:
    shown = [words.wrapped(name, letters) for name in names]
    ax.set_yticks(range(len(shown)), shown, linespacing=0.9)
    for row, tick in enumerate(ax.get_yticklabels()):
        tick.set_fontweight("bold" if row in bold else "normal")


def _ends(frame: pd.DataFrame, most: int) -> tuple[pd.DataFrame, int | None]:
    """Rows by the first column, largest first; of more than `most` both ends, and where the row for the rest stands."""
    order = pd.Series(words.floats(frame.iloc[:, 0])).sort_values(ascending=False, kind="stable").index
    rows, half = frame.astype(object).iloc[order], most // 2
    if len(rows) <= most:
        return rows, None
    head, rest, tail = rows.iloc[: most - half], rows.iloc[most - half : -half], rows.iloc[-half:]
    sums = [sum((Decimal(str(value)) for value in rest[column].dropna()), Decimal(0)) for column in rest]
    together = pd.DataFrame([sums], columns=rows.columns, index=[f"{len(rest)} others, together"], dtype=object)
    return pd.concat([head, together, tail]), len(head)


def _bar_widths(values: pd.Series, without: int | None) -> list[float]:
    return [0.0 if row == without or math.isnan(value) else value for row, value in enumerate(words.floats(values))]


def _bar_colors(widths: Sequence[float], chosen: Collection[int]) -> list[str]:
    plain = [drawing.ACCENT if row in chosen else drawing.ACTUAL for row in range(len(widths))]
    return [drawing.WORSE if width < 0 else color for width, color in zip(widths, plain, strict=True)]


@drawing.in_look
def plot_bars(
    values: pd.Series, *, unit: str, accent: Collection[str] = (), most: int = 30, ax: Axes | None = None
) -> Axes:
    """Horizontal bars from zero, largest first, each with its value; negative ones in orange.

    Parameters
    ----------
    values
        One value per name (the index); missing ones come last and read *not available*.
    accent
        Names that the finding speaks of.
    most
        Rows shown; of more, both ends are shown and one row holds the sum of the rest.
    """
    rows, rest = _ends(values.to_frame(), most)
    widths = _bar_widths(rows.iloc[:, 0], rest)
    chosen = [row for row, name in enumerate(rows.index) if name in accent]
    ax = drawing.new_axes(ax, 0.5 + 0.25 * len(rows))
    _draw_bars(ax, widths, _labels(rows.iloc[:, 0], unit), _bar_colors(widths, chosen), [0.0] * len(widths))
    _name_rows(ax, rows.index, chosen)
    ax.set_xlabel(_money(unit), loc="left")
    return drawing.describe(ax, f"{words.counted(len(values), 'bar')}, largest first.", _extremes(values, unit))


@drawing.in_look
def plot_bridge(steps: pd.Series, *, unit: str, most: int = 10, between: str = "", ax: Axes | None = None) -> Axes:
    """What moved: from the first value through signed steps to the last, top to bottom (waterfall), all in one unit.

    Better is blue, worse is orange and hatched; of more than `most` steps the smallest are one, before the end. The row named `between` is the
    value that is reached there. Raises ValueError where start and steps do not add up to it and to the end.
    """
    steps = _gathered(steps, most)
    names, sizes = [str(name) for name in steps.index], words.floats(steps)
    last = len(sizes) - 1
    values = [row for row, name in enumerate(names) if row in {0, last} or name == between]
    moved = [0.0 if row in values[1:] else size for row, size in enumerate(sizes)]
    sums = [math.fsum(moved[: row + 1]) for row in range(last)]
    for row in values[1:]:
        if not abs(sums[row - 1] - sizes[row]) <= max(map(abs, sizes)) * 1e-6:
            raise ValueError(f"the bridge does not close: {sums[row - 1]} by start and steps, {sizes[row]} by {names[row]!r}")  # fmt: skip
    colors = [drawing.WORSE if size < 0 else drawing.BETTER for size in sizes]
    colors = [drawing.ACTUAL if row in values else color for row, color in enumerate(colors)]
    plain, step = (words.one_unit(steps, unit, signed=signed, least=1) for signed in (False, True))
    labels = [(plain if row in values else step)(value) for row, value in enumerate(steps)]
    ax = drawing.new_axes(ax, 0.5 + 0.27 * len(sizes))
    starts = [0.0 if row in values else before for row, before in enumerate([0.0, *sums])]
    _draw_bars(ax, sizes, labels, colors, starts)
    for row, total in enumerate(sums):
        ax.plot([total, total], [row - 0.34, row + 1.34], color=drawing.RULE, linewidth=0.8, zorder=0)
        if colors[row] == drawing.WORSE:
            ax.patches[row].set(hatch="////", edgecolor="white")
    _name_rows(ax, names, values, 44)
    ax.set_xlabel(_money(unit), loc="left")
    moves = "; ".join(f"{name} {label}" for name, label in zip(names[1:-1], labels[1:-1], strict=True))
    start, end = (f"{names[row]}, {_told(steps.iloc[row], unit)}" for row in (0, last))
    return drawing.describe(ax, f"Bridge from {start}, to {end}.", f"Steps: {moves}." if moves else "")


def _gathered(steps: pd.Series, most: int) -> pd.Series:
    """The steps of a bridge without those that are nothing; of more than `most` the smallest together."""
    moves = steps.iloc[1:-1].astype(object)
    sizes = pd.Series([abs(size) for size in words.floats(moves)], index=range(len(moves)), dtype=float)
    kept = sizes[sizes > 0].nlargest(most if (sizes > 0).sum() <= most else most - 1, keep="first").index.sort_values()
    small = sizes[sizes > 0].index.difference(kept)
    together = {f"{len(small)} others, together": sum(moves.iloc[small], Decimal(0))} if len(small) else {}
    rest = pd.Series(together, dtype=object)
    gathered: pd.Series = pd.concat([steps.iloc[:1], moves.iloc[kept], rest, steps.iloc[-1:]])
    return gathered


def _panels(ax: Axes, rows: int, columns: int) -> list[Axes]:
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("panels need an axes that stands in a grid, as those of figure.subplots do")
    ax.set_axis_off()
    cells = spec.subgridspec(rows, columns)
    return [drawing.root_figure(ax).add_subplot(cells[divmod(place, columns)]) for place in range(rows * columns)]


@drawing.in_look
def plot_paired_bars(frame: pd.DataFrame, *, unit: str, most: int = 30, ax: Axes | None = None) -> Axes:
    """Two measures (the first two columns) side by side on one scale, largest first by the first of them.

    Where the signs differ the name is bold and the row is marked.
    """
    rows, rest = _ends(frame.iloc[:, :2], most)
    sides = [_bar_widths(rows.iloc[:, side], rest) for side in (0, 1)]
    flips = [row for row, (left, right) in enumerate(zip(*sides, strict=True)) if left * right < 0]
    ax, text = drawing.new_axes(ax, 0.8 + 0.25 * len(rows)), words.one_unit(rows.stack(), unit)
    panels = _panels(ax, 1, 2)
    for side, panel in enumerate(panels):
        marks = ["  ◆" if side and row in flips else "" for row in range(len(rows))]
        labels = [text(value) + mark for value, mark in zip(rows.iloc[:, side], marks, strict=True)]
        _draw_bars(panel, sides[side], labels, _bar_colors(sides[side], flips), [0.0] * len(rows))
        _name_rows(panel, [""] * len(rows) if side else rows.index, flips)
        panel.set_title(words.heading(rows.columns[side]))
    limits = [limit for panel in panels for limit in panel.get_xlim()]
    for panel in panels:
        panel.set_xlim(min(limits), max(limits))
    panels[0].set_xlabel(_money(unit), loc="left")
    panels[1].set_xlabel("◆ gain on one side, loss on the other" if flips else "", loc="left")
    told = "; ".join(f"{name}: {text(one)} beside {text(two)}" for name, one, two in list(rows.itertuples())[:5])
    beside = " beside ".join(map(words.heading, rows.columns))
    flipped = "; ".join(str(rows.index[row]) for row in flips)
    gains = f"Gain on one side and loss on the other: {flipped}." if flips else ""
    return drawing.describe(ax, f"{beside} for {len(frame)}. {told}.", gains)


@drawing.in_look
def plot_small_multiples(frame: pd.DataFrame, *, unit: str, shared: bool = True, ax: Axes | None = None) -> Axes:
    """One small chart over time per column, at most 12, on one scale; without `shared` each on its own, not from zero, which it then says."""
    if not 0 < frame.shape[1] <= 12:
        raise ValueError(f"{frame.shape[1]} panels: from 1 to 12 can be read; choose some")
    columns = frame.shape[1] if frame.shape[1] <= 6 else 4
    rows = math.ceil(frame.shape[1] / columns)
    ax, text = drawing.new_axes(ax, 0.5 + 1.35 * rows), words.one_unit(frame.iloc[-1], unit)
    panels = _panels(ax, rows, columns)
    for panel in panels[frame.shape[1] :]:
        panel.remove()
    used = panels[: frame.shape[1]]
    for name, panel in zip(frame, used, strict=True):
        _draw_panel(panel, frame[name], text(frame[name].iloc[-1]), letters=22 if columns <= 4 else 15)
    limits = [limit for panel in used for limit in panel.get_ylim()]
    for place, panel in enumerate(used):
        if shared:
            panel.set_ylim(min(limits), max(limits))
            panel.tick_params(labelleft=place % columns == 0)
        low, high = panel.get_ylim()
        write_ticks(panel.yaxis, unit, low, high)
        if shared or low < 0 < high:
            panel.axhline(0, color=drawing.INK, linewidth=0.8)
    used[0].set_ylabel(_money(unit))
    note = "one scale" if shared else "each panel on its own scale, which does not begin at zero"
    drawing.root_figure(ax).supxlabel(note, fontsize=8.5, color=drawing.QUIET, x=0.012, ha="left")
    told = f"{words.counted(frame.shape[1], 'panel')} over {words.counted(len(frame), 'period')}, {note}. In the last period:"
    return drawing.describe(ax, told, _extremes(frame.iloc[-1], unit))


def _draw_panel(ax: Axes, series: pd.Series, label: str, letters: int) -> None:
    values, index = words.floats(series), series.index
    ax.plot(values, color=drawing.ACTUAL, linewidth=1.6, marker="o" if len(values) == 1 else "")
    last = 0.0 if math.isnan(values[-1]) else values[-1]
    style: Any = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8.5, "annotation_clip": False}
    ax.annotate(label, (1.02, last), **style)
    ax.set_title(words.wrapped(series.name, letters), fontsize=9)
    ends = sorted({0, len(index) - 1})
    months = [index[row].strftime("%b\n%Y") if hasattr(index[row], "strftime") else str(index[row]) for row in ends]
    ax.set_xticks(ends, months, fontsize=8.5)
    sides: Any = ("left", "right")
    for tick, side in zip(ax.get_xticklabels(), sides, strict=False):
        tick.set_horizontalalignment(side)
    ax.set_xlim(-0.5, len(index) - 0.5)
    ax.locator_params(axis="y", nbins=3)


@drawing.in_look
def plot_matrix(
    frame: pd.DataFrame,
    *,
    cuts: tuple[float, float],
    quadrants: Sequence[str],
    accent: Collection[str] = (),
    named: Collection[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """Rows as dots by the first two columns, in four named and counted quadrants; of many the dots are a raster.

    Parameters
    ----------
    frame
        Index: names. Columns: across, up and, optional, size; a heading that holds ``%`` or ends in ``_share`` is
        a share (0 to 1).
    cuts
        Where the quadrants meet; a value on the line counts as right or upper.
    quadrants
        Their names: upper left, upper right, lower left, lower right.
    accent
        Rows that the finding speaks of.
    named
        Rows whose name is written beside the dot; they are accented too.
    """
    dots = pd.DataFrame({"x": words.floats(frame.iloc[:, 0]), "y": words.floats(frame.iloc[:, 1])})
    dots["size"] = [abs(size) for size in words.floats(frame.iloc[:, 2])] if frame.shape[1] > 2 else 0.0
    dots["name"] = [str(name) for name in frame.index]
    dots = dots.dropna(subset=["x", "y"])
    if len(dots) == 1:
        return drawing.undrawn()
    chosen = dots[dots["name"].isin(list(named))]
    ax = drawing.new_axes(ax, 4.4 if len(dots) > FEW_DOTS else 3.4)
    _draw_dots(ax, dots, dots[dots["name"].isin([*accent, *named])], cuts)
    for axis, title, values, cut in zip((ax.xaxis, ax.yaxis), frame, (dots["x"], dots["y"]), cuts, strict=False):
        unit = "%" if "%" in str(title) or str(title).endswith("_share") else ""
        write_ticks(axis, unit, min([*values, cut]), max([*values, cut]))
        axis.set_label_text(words.heading(str(title).removesuffix("_share")))
    told = _name_quadrants(ax, dots, cuts, quadrants)
    short = [words.wrapped(name, 30) for name in chosen["name"]]
    lines = [point for share in range(101) for point in _on_cuts(ax, cuts, share / 100)]
    marks = [*dots[["x", "y"]].to_numpy().tolist(), *lines]
    left_out = place_names(ax, chosen[["x", "y"]].to_numpy().tolist(), short, marks)
    gone = f"{len(frame) - len(dots)} not shown: a value is not available." if len(dots) < len(frame) else ""
    full = f"No room for the name of {len(left_out)}." if left_out else ""
    ax.set_title(f"{gone} {full}".strip(), fontsize=8.5, fontweight="normal", color=drawing.QUIET)
    names = "; ".join(chosen["name"]) or "none"
    return drawing.describe(ax, f"Matrix of {len(dots)}. {told}.", gone, f"Named: {names}.")


def _on_cuts(ax: Axes, cuts: tuple[float, float], share: float) -> list[tuple[float, float]]:
    """The points so far along the two lines where the quadrants meet."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    return [(left + share * (right - left), cuts[1]), (cuts[0], low + share * (high - low))]


def _draw_dots(ax: Axes, dots: pd.DataFrame, chosen: pd.DataFrame, cuts: tuple[float, float]) -> None:
    for rows, color in ((dots, drawing.MANY), (chosen, drawing.ACCENT)):
        area = 16 + 200 * rows["size"].fillna(0) / (dots["size"].max() or 1)
        style: Any = {"color": color, "edgecolor": "white", "linewidth": 0.6, "rasterized": len(dots) > MANY_DOTS}
        ax.scatter(rows["x"], rows["y"], s=area, zorder=2, **style)
    ax.axvline(cuts[0], color=drawing.INK, linewidth=0.8)
    ax.axhline(cuts[1], color=drawing.INK, linewidth=0.8)
    ax.margins(0.08, 0.75 / drawing.root_figure(ax).get_size_inches()[1])  # room for a name beside a corner's


def _name_quadrants(ax: Axes, dots: pd.DataFrame, cuts: tuple[float, float], quadrants: Sequence[str]) -> str:
    places = (2 * (dots["y"] < cuts[1]) + (dots["x"] >= cuts[0])).tolist()
    texts = [f"{name}: {places.count(place)}" for place, name in enumerate(quadrants)]
    for place, text in enumerate(texts):
        x, side = (0.005, "left") if place % 2 == 0 else (0.995, "right")
        y, edge = (0.99, "top") if place < 2 else (0.01, "bottom")
        style: Any = {"ha": side, "va": edge, "fontweight": "bold", "color": drawing.QUIET, "fontsize": 9, "bbox": FREE}
        ax.text(x, y, textwrap.fill(text, 44), transform=ax.transAxes, **style)
    return "; ".join(texts)


@drawing.in_look
def plot_heat(table: pd.DataFrame, *, form: str = "{:,.0f}", unit: str = "", ax: Axes | None = None) -> Axes:
    """A table as a heat map with its numbers, written in the `form` or, with a `unit`, all in one; what is missing is left blank.

    Index and columns with a name get it as their heading.
    """
    import seaborn as sns

    drawn, narrow = table.astype(float), table.shape[1] > 6
    told = words.one_unit(drawn.to_numpy().ravel(), unit) if unit else lambda value: form.format(value + 0.0)
    text = drawn.map(lambda value: "" if math.isnan(value) else told(value).replace("-", "−"))
    ax = drawing.new_axes(ax, 1.7 + 0.26 * len(table))
    plain: Any = {"fmt": "", "cbar": False, "linewidths": 0.5, "xticklabels": False, "yticklabels": False}
    sns.heatmap(drawn, annot=text.to_numpy(), cmap="Blues", robust=True, ax=ax, **plain)
    drawing.readable(ax)
    ax.set_yticks([row + 0.5 for row in range(len(table))], [*map(words.wrapped, table.index)], linespacing=0.9)
    slant: Any = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if narrow else {}
    names = [words.wrapped(name, 24 if narrow else 76 // table.shape[1]) for name in table]
    ax.set_xticks([column + 0.5 for column in range(table.shape[1])], names, **slant)
    ax.set(xlabel=words.heading(table.columns.name or ""), ylabel=words.heading(table.index.name or ""))
    return drawing.describe(ax, f"{len(table)} by {table.shape[1]} cells. Largest: {_largest(drawn, text) or 'none'}.")


def _largest(table: pd.DataFrame, text: pd.DataFrame) -> str:
    """The five largest values of a table, in words."""
    rows = zip(table.index, table.to_numpy().tolist(), text.to_numpy().tolist(), strict=True)
    cells = [(row, name, v, said) for row, *line in rows for name, v, said in zip(table, *line, strict=True)]
    largest = sorted((cell for cell in cells if cell[2] and cell[3]), key=lambda cell: -abs(cell[2]))[:5]
    return "; ".join(f"{row} and {name}: {said}" for row, name, _, said in largest)


@drawing.in_look
def plot_ranges(frame: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Expected values (hatched bars, in the order given) with their range, beside what was.

    Parameters
    ----------
    frame
        Index: names. Columns: expected, low, high, and what was, whose heading names its mark.
    """
    names, drawn = list(frame.index), frame.astype(float)
    expected, low, high, was = (drawn.iloc[:, place] for place in range(4))
    rows = range(len(drawn))
    ax = drawing.new_axes(ax, 0.9 + 0.3 * len(drawn))
    ax.barh(rows, expected, color="white", edgecolor=drawing.ACCENT, hatch="///", height=0.62)
    sides = [(expected - low).clip(lower=0), (high - expected).clip(lower=0)]
    ax.errorbar(expected, rows, xerr=sides, fmt="none", ecolor=drawing.INK, capsize=3)
    ax.scatter(was, rows, marker="|", s=170, linewidths=2.5, color=drawing.WORSE, zorder=3)
    ax.set_ylim(len(drawn) - 0.4, -0.6)
    ax.axvline(0, color=drawing.INK, linewidth=0.8)
    _name_rows(ax, names, ())
    write_ticks(ax.xaxis, unit, min(0.0, low.min(), was.min()), max(0.0, high.max(), was.max()))
    line = "" if low.isna().all() else "line: its range; "
    ax.set_xlabel(f"{_money(unit)}   hatched: {frame.columns[0]}; {line}mark: {frame.columns[3]}".strip(), loc="left")
    told = "; ".join(
        f"{name}: {_told(e, unit)}" + ("" if math.isnan(a) else f" ({_told(a, unit)} to {_told(b, unit)})")
        for name, e, a, b in zip(names[:5], expected, low, high, strict=False)
    )
    return drawing.describe(ax, f"Expected value and range of {len(names)}. {told}.")
