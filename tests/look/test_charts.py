"""Each chart at its edges: no text over another, nothing outside, bars from zero, words that hold the numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from crmlib.look import charts
from crmlib.look.drawing import ACCENT, WORSE, headline, picture, root_figure
from crmlib.look.whale import plot_whale_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOSTILE = [
    'O\'Neill, "Sons" & Daughters <script>alert(1)</script> $5 of $x^2$ Ltd',
    "Grand Magasin de la Société Générale d'Alimentation, Lyon SA $",
    "Ümläut & Cie, successors of the brothers van den Berghe NV, x",
]


def named(values: list[object]) -> pd.Series:
    """The values, the first three with names of sixty letters."""
    return pd.Series(
        values, index=(HOSTILE + [f"Customer {n}" for n in range(len(values))])[: len(values)], dtype=object
    )


def many(count: int, shift: float = 0) -> list[object]:
    drawn = np.random.default_rng(0).lognormal(10, 1.2, count) - np.random.default_rng(1).lognormal(9.6, 1.3, count)
    return [Decimal(str(round(value, 2))) for value in sorted(drawn + shift, reverse=True)]


def whale(values: list[object]) -> pd.DataFrame:
    shares = [(place + 1) / len(values) for place in range(len(values))]
    group = ["Top" if share <= 0.2 else "Middle" if share <= 0.8 else "Bottom" for share in shares]
    return pd.DataFrame({"rank_share": shares, "cumulative": np.cumsum(np.array(values, dtype=object)), "group": group})


def pairs(values: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"contribution": named(values), "full_cost_profit": named(values) - Decimal(15000)})


def prices(count: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = {
        "net_price": rng.normal(1, 0.1, count),
        "cost_share": rng.lognormal(-2, 0.5, count),
        "sales": rng.random(count),
    }
    return pd.DataFrame(frame, index=named(list(range(count))).index)


def months(periods: int, names: int, scale: float = 1) -> pd.DataFrame:
    walk = np.random.default_rng(3).normal(0, 9000, (periods, names)).cumsum(axis=0) * scale
    return pd.DataFrame(
        walk, index=pd.date_range("2023-01-01", periods=periods, freq="MS"), columns=named([0] * names).index
    )


def flow(counts: list[list[int]]) -> pd.DataFrame:
    """Counts between groups, the first three with names of sixty letters."""
    names = named([0] * len(counts)).index
    return pd.DataFrame(counts, index=names.rename("2024"), columns=names.rename("2025"))


MOVES = flow(
    [[80, 3, 0, 9, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0, 0, 0], *[[0, 0, 0, 0, 0, 0, 0, 0]] * 5, [0, 0, 0, 0, 0, 0, 0, 150]]
)


def expected(values: list[object]) -> pd.DataFrame:
    worth = named(values).astype(float)
    return pd.DataFrame(
        {"expected": worth, "low": worth - 50_000, "high": worth * 1.2 + 9_000, "last year": worth - 7_000}
    )


QUADRANTS = ["Dear to serve, low price", "Carriage trade", "Bargain", "Easy"]
BRIDGE = named([Decimal(1200000), Decimal(150000), Decimal(-420000), Decimal(-1100000), Decimal(-170000)])
CASES: dict[str, Callable[[], Axes]] = {
    "whale of 250": lambda: plot_whale_curve(whale(many(250)), unit="USD"),
    "whale of 3": lambda: plot_whale_curve(whale(many(3)), unit="USD"),
    "whale of 300 that lose": lambda: plot_whale_curve(whale(many(300, -22000)), unit="USD"),
    "whale of nothing": lambda: plot_whale_curve(whale([Decimal(0)] * 4), unit="USD"),
    "whale without a peak": lambda: plot_whale_curve(whale([Decimal(-1), Decimal(-2)]), unit="USD"),
    "bars of 12": lambda: charts.plot_bars(named([*many(11), None]), unit="USD", accent=[HOSTILE[1]]),
    "bars of 300": lambda: charts.plot_bars(named(many(300)), unit="USD"),
    "bars of nothing": lambda: charts.plot_bars(named([Decimal(0)] * 3), unit="USD"),
    "bars below zero": lambda: charts.plot_bars(named([-0.1, -0.5, -0.02]), unit="%"),
    "bridge through zero": lambda: charts.plot_bridge(BRIDGE, unit="USD"),
    "bridge of nothing": lambda: charts.plot_bridge(named([Decimal(0)] * 4), unit="USD"),
    "pairs of 24": lambda: charts.plot_paired_bars(pairs(many(24)), unit="USD"),
    "pairs of 300": lambda: charts.plot_paired_bars(pairs(many(300)), unit="USD"),
    "pairs below zero": lambda: charts.plot_paired_bars(
        pairs([Decimal(-1000), Decimal(-90000), Decimal(-3)]), unit="USD"
    ),
    "matrix of 250": lambda: charts.plot_matrix(
        prices(250), cuts=(1, 0.12), quadrants=QUADRANTS, named=list(prices(250).index[:12])
    ),
    "matrix of 3": lambda: charts.plot_matrix(prices(3), cuts=(1, 0.12), quadrants=QUADRANTS, named=HOSTILE),
    "matrix of nothing": lambda: charts.plot_matrix(prices(5) * 0, cuts=(0, 0), quadrants=QUADRANTS, named=HOSTILE),
    "36 months": lambda: charts.plot_small_multiples(months(36, 12), unit="USD"),
    "one month": lambda: charts.plot_small_multiples(months(1, 3), unit="USD", shared=False),
    "heat of counts": lambda: charts.plot_heat(MOVES.where(MOVES > 0)),
    "heat of nothing": lambda: charts.plot_heat(flow([[0, 0], [0, 0]])),
    "heat of correlations": lambda: charts.plot_heat(months(30, 10).corr().round(1), form="{:.1f}"),
    "ranges of 12": lambda: charts.plot_ranges(expected(many(12)), unit="USD"),
    "range below zero": lambda: charts.plot_ranges(expected([-200_000]), unit="USD"),
    "months of nothing": lambda: charts.plot_small_multiples(months(36, 5, 0), unit="%"),
}


def texts(ax: Axes) -> list[tuple[str, object]]:
    """Every visible text of the picture with its box."""
    figure = root_figure(ax)
    figure.draw_without_rendering()
    found = list(figure.texts)
    for part in figure.axes:
        found += [*part.texts, part._left_title]
        if part.axison:
            found += [*part.get_xticklabels(), *part.get_yticklabels(), part.xaxis.label, part.yaxis.label]
    seen = [text for text in found if text and text.get_text().strip() and text.get_visible()]
    # the box of a slanted text is no measure of what it covers
    return [(text.get_text(), text.get_window_extent()) for text in seen if text.get_rotation() in (0, 90)]


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("name", CASES)
def test_control_characters_are_seen_and_the_picture_stays_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "\x01\x1a\x1f\x7f\u202e\u2066\ufffe"
    monkeypatch.setattr(sys.modules[__name__], "HOSTILE", [f"{letter}{hidden}" for letter in "ABC"])
    svg, alt = picture(root_figure(headline(CASES[name](), f"Sales{hidden}", "USD")))
    ElementTree.fromstring(svg)
    assert not {*hidden} & {*svg, *alt}
    assert "\\u0001\\u001a" in svg.replace(" ", "")
    assert "Sales\\u0001" in alt


@pytest.mark.parametrize("name", CASES)
def test_no_text_covers_another_or_leaves_the_picture(name: str) -> None:
    ax = headline(CASES[name](), f"{HOSTILE[0]} loses USD 1.4 M and more than that", "Margin by customer, USD, 2025")
    page = root_figure(ax).bbox.padded(1)
    boxes = texts(ax)
    outside = [
        text
        for text, box in boxes
        if not (page.x0 <= box.x0 <= box.x1 <= page.x1 and page.y0 <= box.y0 <= box.y1 <= page.y1)
    ]
    over = [(one, two) for (one, a), (two, b) in combinations(boxes, 2) if a.padded(-1.5).overlaps(b.padded(-1.5))]
    assert outside == []
    assert over == []


@pytest.mark.parametrize("name", CASES)
def test_every_picture_has_its_words_and_treats_names_as_text(name: str) -> None:
    ax = CASES[name]()
    figure = root_figure(ax)
    assert len(figure.get_label()) > 25
    assert "nan" not in figure.get_label().lower().replace("finan", "")
    assert not any(
        text.get_parse_math() for part in figure.axes if part.axison for text in [*part.texts, *part.get_yticklabels()]
    )


def colors(ax: Axes) -> list[str]:
    return [to_hex(bar.get_facecolor()) for bar in ax.patches]


def test_bars_start_at_zero_largest_first_and_losses_are_orange() -> None:
    ax = charts.plot_bars(
        pd.Series({"b": Decimal(-5), "a": Decimal(20), "c": None, "d": Decimal(7)}), unit="USD", accent=["a"]
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "d", "b", "c"]
    assert [text.get_text() for text in ax.texts] == ["20", "7", "−5", "not available"]
    assert all(bar.get_x() == 0 or bar.get_x() + bar.get_width() == 0 for bar in ax.patches)
    assert (colors(ax)[0], colors(ax)[2]) == (ACCENT, WORSE)
    assert (
        root_figure(ax).get_label() == "4 bars, largest first. Highest: a, USD 20; lowest: b, USD −5. Not available: c."
    )


def test_bars_left_out_are_counted_and_summed() -> None:
    ax = charts.plot_bars(pd.Series({f"n{n}": Decimal(n) for n in range(10)}), unit="USD", most=4)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["n9", "n8", "6 others, together", "n1", "n0"]
    assert ax.texts[2].get_text() == "27"


def test_the_extremes_are_right_where_the_first_value_is_missing() -> None:
    ax = charts.plot_bars(pd.Series({"x": None, "low": Decimal(1), "high": Decimal(9)}), unit="USD")
    assert "Highest: high, USD 9; lowest: low, USD 1." in root_figure(ax).get_label()


def test_of_one_mark_the_finding_stands_alone() -> None:
    dots = pd.DataFrame({"x": [1, None], "y": [2, 3]}, index=["a", "b"])
    matrix = charts.plot_matrix(dots, cuts=(0, 0), quadrants="abcd")
    for ax in (charts.plot_bars(pd.Series({"a": 1}), unit=""), charts.plot_heat(pd.DataFrame({"a": [1]})), matrix):
        said = [str(headline(ax, finding, "What", otherwise="Nothing")) for finding in ("Finding", "")]
        assert said == ["Finding", "Nothing"]


def test_letters_that_no_font_has_are_told_and_letters_of_latin_scripts_never_lack_one() -> None:
    for name, told in (("Łódź & Søn", False), ("\N{EGYPTIAN HIEROGLYPH A001}", True)):
        ax = headline(charts.plot_bars(pd.Series({name: Decimal(2), "b": Decimal(1)}), unit="USD"), "Title", "What")
        assert ("Boxes stand for letters" in root_figure(ax).get_label()) is told


def test_the_full_name_stands_in_the_alternative_text() -> None:
    assert HOSTILE[0] in root_figure(CASES["bars of 300"]()).get_label()


def test_a_bridge_ends_where_its_steps_lead_and_marks_worse_without_color() -> None:
    ax = charts.plot_bridge(BRIDGE, unit="USD")
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    assert ends == [1200000, 1350000, 930000, -170000, -170000]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True, True, False]
    assert [text.get_text() for text in ax.texts] == ["1,200 k", "+150 k", "−420 k", "−1,100 k", "−170 k"]


def test_small_steps_of_a_bridge_are_one_and_nothing_is_no_step() -> None:
    steps = pd.Series([10, 5, 0, -1, 2, 1, 17], index=["2024", "a", "b", "c", "d", "e", "2025"])
    ax = charts.plot_bridge(steps, unit="USD", most=3)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["2024", "a", "d", "2 others, together", "2025"]
    assert [text.get_text() for text in ax.texts] == ["10", "+5", "+2", "0", "17"]


@pytest.mark.parametrize("lowest", [-1, 21])  # nothing is missing, or half of it
def test_numbers_on_a_heat_map_stand_out_from_their_cells(lowest: int) -> None:
    table = pd.DataFrame(np.arange(40.0).reshape(5, 8))
    mesh = cast(Any, (ax := charts.plot_heat(table.where(table > lowest))).collections[0])
    cells = mesh.get_facecolors()[~np.ma.getmaskarray(mesh.get_array()).ravel()]
    assert min(contrast(text.get_color(), cell) for text, cell in zip(ax.texts, cells, strict=True)) >= 4.5


def contrast(one: Any, two: Any) -> float:
    """By WCAG 2."""
    light, dark = sorted((relative_luminance(to_rgb(color)) for color in (one, two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def relative_luminance(color: Any) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_many_dots_are_a_raster_and_few_are_drawn() -> None:
    few, large = (len(picture(root_figure(dots(count)))[0]) for count in (1_900, 6_000))
    assert few < 1_500_000
    assert large < 1_800_000


def dots(count: int) -> Axes:
    frame = pd.DataFrame(np.random.default_rng(4).random((count, 2)), columns=["a", "b"])
    return charts.plot_matrix(frame, cuts=(0.5, 0.5), quadrants=QUADRANTS)


def test_a_bridge_that_does_not_close_is_refused() -> None:
    with pytest.raises(ValueError, match="does not close"):
        charts.plot_bridge(pd.Series({"start": 10, "step": 5, "end": 16}), unit="USD")


def test_a_bridge_stands_on_the_value_that_is_reached_between() -> None:
    steps = pd.Series({"Today": -40, "services": 70, "With agreements": 30, "sales": 20, "goods": -10, "With all": 40})
    ax = charts.plot_bridge(steps, unit="USD", between="With agreements")
    bars = [(patch.get_x(), patch.get_width()) for patch in ax.patches]
    assert bars == [(0, -40), (-40, 70), (0, 30), (30, 20), (50, -10), (0, 40)]
    with pytest.raises(ValueError, match=r"30\.0 by start and steps, 35\.0 by 'With agreements'"):
        charts.plot_bridge(steps.replace(30, 35), unit="USD", between="With agreements")


def test_the_whale_curve_tells_peak_end_and_break_even() -> None:
    told = root_figure(
        plot_whale_curve(whale([Decimal(80), Decimal(20), Decimal(10), Decimal(-10), Decimal(-20)]), unit="USD")
    ).get_label()
    assert "End: USD 80" in told
    assert "Peak: USD 110 from the best 60%" in told
    assert "Break-even: the best 20% of customers earn as much as all together" in told
    assert "Top (1): USD 80; Middle (3): USD 20; Bottom (1): USD −20." in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([Decimal(5), Decimal(3)], "End: USD 8; no customer loses"),
        ([Decimal(-5), Decimal(-8)], "End: USD −13; no customer earns"),
        ([Decimal(5), Decimal(-8), Decimal(-9)], "Break-even: 67% of customers and the gains are used up"),
    ],
)
def test_the_whale_curve_reads_sensibly_without_peak_or_with_a_loss(values: list[object], told: str) -> None:
    assert told in root_figure(plot_whale_curve(whale(values), unit="USD")).get_label()


def test_rows_whose_signs_differ_are_named_and_marked() -> None:
    frame = pd.DataFrame({"contribution": [9, 4, -1], "full_cost": [5, -2, -3]}, index=["a", "b", "c"])
    ax = charts.plot_paired_bars(frame, unit="USD")
    left, right = root_figure(ax).axes[1:]
    assert [text.get_text() for text in right.texts] == ["5", "−2  ◆", "−3"]
    assert left.get_xlim() == right.get_xlim()
    assert root_figure(ax).get_label() == (
        "Contribution beside Full cost for 3. a: 9 beside 5; b: 4 beside −2; c: −1 beside −3. Gain on one side and loss on the other: b."
    )


def test_quadrants_are_counted_and_what_is_missing_is_told() -> None:
    frame = pd.DataFrame({"x": [0, 2, 2, None], "y": [0, 0, 2, 1]}, index=list("abcd"))
    told = root_figure(
        charts.plot_matrix(frame, cuts=(1, 1), quadrants=["ul", "ur", "ll", "lr"], named=["c"])
    ).get_label()
    assert told == "Matrix of 3. ul: 0; ur: 1; ll: 1; lr: 1. 1 not shown: a value is not available. Named: c."


def test_small_multiples_share_a_scale_or_say_that_they_do_not() -> None:
    one = charts.plot_small_multiples(months(6, 3), unit="USD")
    own = charts.plot_small_multiples(months(6, 3), unit="USD", shared=False)
    assert len({part.get_ylim() for part in root_figure(one).axes[1:]}) == 1
    assert len({part.get_ylim() for part in root_figure(own).axes[1:]}) == 3
    assert "each panel on its own scale, which does not begin at zero" in root_figure(own).get_label()


def test_a_panel_on_its_own_scale_shows_the_direction_and_not_a_flat_line() -> None:
    rising = pd.DataFrame({"A": [1000.0, 1001.0, 1003.0]}, index=months(3, 1).index)
    panel = root_figure(charts.plot_small_multiples(rising, unit="USD", shared=False)).axes[1]
    assert panel.get_ylim()[0] > 990
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        f"{month:%b}\n{month:%Y}" for month in (rising.index[0], rising.index[-1])
    ]


def test_more_panels_than_can_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match="13 panels"):
        charts.plot_small_multiples(months(2, 13), unit="USD")


def test_a_chart_draws_into_the_axes_it_is_given_and_changes_no_input() -> None:
    from matplotlib.figure import Figure

    axes = Figure(layout="constrained").subplots(1, 2)
    frame = pairs(many(4))
    before = frame.copy()
    assert charts.plot_bars(frame["contribution"], unit="USD", ax=axes[0]) is axes[0]
    assert charts.plot_paired_bars(frame, unit="USD", ax=axes[1]) is axes[1]
    pd.testing.assert_frame_equal(frame, before)


def test_a_plan_says_what_is_behind_and_what_is_not_drawn() -> None:
    from datetime import date

    from crmlib.look.plans import plot_gantt

    day = date(2025, 1, 1)
    late = {
        "start": day,
        "end": date(2025, 1, 9),
        "begins": day,
        "ends": date(2025, 1, 20),
        "state": "late",
        "critical": True,
    }
    done = {**late, "ends": date(2025, 1, 5), "state": "done", "critical": False}
    frame = pd.DataFrame([late, done], index=["Windows <b>", "Pallets $5$"])
    ax = plot_gantt(frame, today=date(2025, 1, 15))
    assert [tick.get_fontweight() for tick in ax.get_yticklabels()] == ["bold", "normal"]
    assert "Plan of 2 milestones. Behind: Windows <b> (late)." in str(ax.get_figure(root=True).get_label())
    assert "1 more are not drawn." in str(plot_gantt(frame, today=day, most=1).get_figure(root=True).get_label())


def test_months_outside_their_limits_are_marked() -> None:
    from datetime import date

    from crmlib.look.plans import plot_control

    rows = [
        {
            "month": date(2025, m, 1),
            "share": share,
            "mean": 0.9,
            "lower": 0.5,
            "upper": 1.0,
            "target": 0.95,
            "outside": share < 0.5,
        }
        for m, share in enumerate([0.9, 0.2, 1.0], 1)
    ]
    ax = plot_control(pd.DataFrame(rows))
    assert ax.lines[1].get_xdata().tolist() == [1]
    assert "Lowest: 20.0% in February 2025; outside the limits: 1." in str(ax.get_figure(root=True).get_label())
