"""Ticks in words, and names beside their points, over no other name and over as few marks as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from crmlib.look import drawing, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.transforms import Bbox


def write_ticks(axis: Axis, unit: str, low: float, high: float) -> None:
    """Ticks between the values only, in words that a person uses; one where all is the same."""
    from matplotlib.ticker import FuncFormatter

    largest = max(abs(low), abs(high))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words.tick_text(value, unit, largest)))
    between = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    axis.set_ticks([low] if low == high else between)


def place_names(
    ax: Axes, points: Sequence[Sequence[float]], texts: Sequence[str], avoid: Sequence[Sequence[float]]
) -> list[str]:
    """Write each text near its point, over no other text and over as few marks as can be; return those without room."""
    from matplotlib.patheffects import withStroke

    drawing.root_figure(ax).draw_without_rendering()
    dot = drawing.root_figure(ax).dpi / 72
    placed: list[Bbox] = []
    left_out: list[str] = []
    marks = ax.transData.transform([*points, *avoid])
    for point, text in zip(points, texts, strict=True):
        halo = [withStroke(linewidth=2, foreground="white")]
        style: Any = {"textcoords": "offset points", "va": "bottom", "fontsize": 8.5, "path_effects": halo}
        artist = ax.annotate(text, (point[0], point[1]), (0, 0), **style)
        x, y = ax.transData.transform(point)
        box = _free_place(ax, (x, y), artist.get_window_extent().size, placed, marks)
        if box is None:
            artist.remove()
            left_out.append(text)
            continue
        placed.append(box)
        artist.set_position(((box.x0 - x) / dot, (box.y0 - y) / dot))
        near = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
        if math.dist(near, (x, y)) > 11 * dot:
            ends = ax.transData.inverted().transform([(x, y), near])
            ax.plot(ends[:, 0], ends[:, 1], color=drawing.QUIET, linewidth=0.7, zorder=1)
    return left_out


def _free_place(ax: Axes, at: tuple[float, float], size: Any, placed: Sequence[Bbox], marks: Any) -> Bbox | None:
    """The box of that size around the point that covers no box placed and the fewest marks, the nearest of those."""
    from matplotlib.transforms import Bbox

    inside, dot = ax.get_window_extent(), drawing.root_figure(ax).dpi / 72
    best: tuple[float, Bbox | None] = (math.inf, None)
    for far in (9, 16, 26, 40, 58, 80, 105):
        for angle in range(0, 360, 30):
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            left = at[0] + far * dot * across - size[0] * (0.5 - 0.5 * across)
            bottom = at[1] + far * dot * up - size[1] * (0.5 - 0.5 * up)
            box = Bbox.from_bounds(left, bottom, *size)
            fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if not fits or box.expanded(1 + 8 * dot / box.width, 1 + 3 * dot / box.height).count_overlaps(placed):
                continue
            best = min(best, (box.padded(3).count_contains(marks) * 8 + far, box), key=lambda one: one[0])
    return best[1]
