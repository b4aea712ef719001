"""Pictures of what drives a value: its tree, the swing of each driver, the spread of all together, and sliders to try it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlib.look import drawing, words
from crmlib.look.labels import write_ticks

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes

LEVEL, BOX, TALL = 2.3, 1.86, 0.62  # inches between levels, and of a box
NOTE = 30  # letters of a line of a note


@drawing.in_look
def plot_tree(frame: pd.DataFrame, *, unit: str, gained: str = "more", ax: Axes | None = None) -> Axes:
    """A driver tree, its root at the left: each node with its amount, what it could gain, and a note beside the leaves.

    Parameters
    ----------
    frame
        One row per node (the index; what follows an arrow tells equal names apart and is not written), the root first: parent ('' for the root), amount, gain (nothing is written for none), note.
    gained
        What the gains are, for the alternative text.
    """
    places = _places(frame)
    deepest = max(level for level, _ in places.values())
    rows = max(row for _, row in places.values()) + 1
    ax = drawing.new_axes(ax, 0.68 * rows + 0.1)
    text = words.one_unit([*frame["amount"], *frame["gain"]], unit)
    signed = words.one_unit([*frame["amount"], *frame["gain"]], unit, signed=True)
    for name, node in frame.iterrows():
        level, row = places[name]
        gain = signed(node["gain"]) if node["gain"] else ""
        _draw_node(ax, (level * LEVEL, -row), str(name), text(node["amount"]), gain)
        if node["parent"]:
            _draw_arm(ax, places[node["parent"]], (level, row))
        style: Any = {"ha": "left", "va": "center", "fontsize": 8.5, "color": drawing.QUIET, "linespacing": 1.1}
        ax.text(deepest * LEVEL + BOX + 0.1, -row, textwrap.fill(node["note"], NOTE), **style)
    ax.set(xlim=(-0.05, drawing.WIDTH - 0.15), ylim=(0.5 - rows, 0.5))
    ax.set_axis_off()
    told = "; ".join(f"{name}: {words.amount(node['amount'], unit)}" + (f" ({words.amount(node['gain'], unit)} {gained})" if node["gain"] else "")
                     for name, node in frame.iterrows())  # fmt: skip
    return drawing.describe(ax, f"Tree of {words.counted(len(frame), 'node')}. {told}.")


def _places(frame: pd.DataFrame) -> dict[Any, tuple[int, float]]:
    """Level and row of each node: leaves in their order, parents in the middle of their branches."""
    below = {name: list(frame.index[frame["parent"] == name]) for name in frame.index}
    places: dict[Any, tuple[int, float]] = {}

    def place(name: Any, level: int) -> float:
        rows = [place(child, level + 1) for child in below[name]]
        row = (rows[0] + rows[-1]) / 2 if rows else sum(not below[done] for done in places)
        places[name] = (level, row)
        return row

    place(frame.index[0], 0)
    return places


def _draw_node(ax: Axes, at: tuple[float, float], name: str, amount: str, gain: str) -> None:
    from matplotlib.patches import Rectangle

    x, y = at
    ax.add_patch(Rectangle((x, y - TALL / 2), BOX, TALL, facecolor=drawing.BAND, edgecolor=drawing.RULE, linewidth=0.8))
    style: Any = {"ha": "left", "va": "center", "fontsize": 9}
    label = words.wrapped(words.heading(name.partition(" → ")[0]), 22)
    ax.text(x + 0.07, y + 0.1, label, fontweight="bold", linespacing=0.95, **{**style, "fontsize": 8.5})
    ax.text(x + 0.07, y - 0.19, amount, **style)
    ax.text(x + BOX - 0.07, y - 0.19, gain, color=drawing.BETTER, fontweight="bold", **{**style, "ha": "right"})


def _draw_arm(ax: Axes, parent: tuple[int, float], child: tuple[int, float]) -> None:
    start, end, above, below = parent[0] * LEVEL + BOX, child[0] * LEVEL, -parent[1], -child[1]
    middle = end - 0.22
    ax.plot([start, middle, middle, end], [above, above, below, below], color=drawing.RULE, linewidth=1)


@drawing.in_look
def plot_tornado(frame: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """What each driver alone does to a value between the two ends of its range, the widest first.

    Parameters
    ----------
    frame
        Index: drivers. Columns: at_low, at_high, base (one value).
    """
    base, ends = float(frame["base"].iloc[0]), frame[["at_low", "at_high"]].astype(float)
    ax, text = drawing.new_axes(ax, 0.9 + 0.3 * len(frame)), words.one_unit(ends.stack(), unit)
    for row, (low, high) in enumerate(ends.itertuples(index=False)):
        for end, sign, mark in ((low, "low", ""), (high, "high", "////")):
            color, side, away = (drawing.BETTER, "left", 4) if end >= base else (drawing.WORSE, "right", -4)
            bar: Any = {"height": 0.62, "color": color, "hatch": mark, "edgecolor": "white", "linewidth": 0}
            ax.barh(row, end - base, left=base, **bar)
            style: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8.5, "ha": side}
            if end != base:
                ax.annotate(f"{text(end)} ({sign})", (end, row), (away, 0), **style)
    ax.axvline(base, color=drawing.INK, linewidth=0.8)
    ax.set_yticks(range(len(frame)), [words.heading(name) for name in frame.index])
    ax.set_ylim(len(frame) - 0.4, -0.6)
    ax.margins(x=0.18)
    ax.spines[["left"]].set_visible(False)
    write_ticks(ax.xaxis, unit, min(ends.to_numpy().min(), base), max(ends.to_numpy().max(), base))
    marks = f"line: all drivers as expected, {text(base)}; hatched: at the high end of the range"
    ax.set_xlabel(f"{unit}   {marks}", loc="left")
    pairs = frame[["at_low", "at_high"]].itertuples()
    told = "; ".join(f"{name}: {text(low)} to {text(high)}" for name, low, high in pairs)
    swing = f"Swing of {words.counted(len(frame), 'driver')} around {words.amount(base, unit)}, low end to high end."
    return drawing.describe(ax, f"{swing} {told}.")


@drawing.in_look
def plot_spread(draws: np.ndarray, *, marks: Mapping[str, float], unit: str, ax: Axes | None = None) -> Axes:
    """How often a value lies where: a histogram with named marks, the part below nought in another colour and hatched."""
    if not len(draws):
        return drawing.new_axes(None, 1)
    ax = drawing.new_axes(ax, 2.9)
    low, high = draws.min(), draws.max()
    bins = np.unique([*np.linspace(low, high, 49), *([0.0] if low < 0 < high else [])])
    counts, edges = np.histogram(draws, bins=bins if low < high else 1)
    shares = counts / len(draws) / np.diff(edges)
    for height, left, right in zip(shares, edges, edges[1:], strict=False):
        color, hatch = (drawing.WORSE, "////") if right <= 0 else (drawing.ACTUAL, "")
        bar: Any = {"align": "edge", "color": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
        ax.bar(left, height, right - left, **bar)
    for place, (name, value) in enumerate(marks.items()):
        ax.axvline(value, ymax=0.80 + 0.08 * (place % 2), color=drawing.INK, linewidth=1)
        style: Any = {"ha": "center", "va": "bottom", "fontsize": 8.5, "xycoords": ("data", "axes fraction")}
        ax.annotate(f"{name}: {words.amount(value, '')}", (value, 0.81 + 0.08 * (place % 2)), **style)
    ax.set_ylim(0, shares.max() * 1.3)
    ax.set_yticks([])
    ax.spines[["left"]].set_visible(False)
    ax.set_xlabel(unit, loc="left")
    write_ticks(ax.xaxis, unit, edges[0], edges[-1])
    told = "; ".join(f"{name}: {words.amount(value, unit)}" for name, value in marks.items())
    drawn = f"{len(draws):,} draws from {words.amount(low, unit)} to {words.amount(high, unit)}"
    return drawing.describe(ax, f"{drawn}. {told}.")


def sliders(drivers: Mapping[str, tuple[float, float]], said: Callable[[Mapping[str, float]], object]) -> VBox:
    """Sliders from low to high, in percent, and below them what is said of where they stand; for live use.

    Parameters
    ----------
    drivers
        By name the least and the greatest change, as shares.
    said
        Of the changes by name, a sentence.
    """
    from html import escape

    from ipywidgets import HTML, FloatSlider, Layout, VBox

    wide: Any = {"style": {"description_width": "12em"}, "layout": Layout(width="40em")}
    wide |= {"readout_format": "+.1f", "step": 0.5}
    knobs = {
        name: FloatSlider(0, min=low * 100, max=high * 100, description=f"{words.heading(name)} (%)", **wide)
        for name, (low, high) in drivers.items()
    }
    line = HTML()

    def tell(_: object = None) -> None:
        line.value = f"<p>{escape(str(said({name: knob.value / 100 for name, knob in knobs.items()})))}</p>"

    for knob in knobs.values():
        knob.observe(tell, "value")
    tell()
    return VBox([*knobs.values(), line])
