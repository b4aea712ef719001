"""Numbers in words, headings, tables and the display in a notebook."""

from __future__ import annotations

import re
from decimal import Decimal

import matplotlib
import pandas as pd
import pytest

from crmlib.declared.statement import Line
from crmlib.look import drawing, tables, words

HOSTILE = 'O\'Neill, "Sons" & Daughters <script>alert(1)</script> $5 of $x^2$ Ltd'


LINES = (
    Line("sales", "Sales", "revenue"),
    Line("discounts", "Discounts", "deduction"),
    Line("receivables_charge", "Receivables charge", "variable"),
    Line("margin", "Contribution margin", subtotal=True, note="before receivables charge"),
    Line("joint", "Joint costs", "pool"),
)


def statement(rows: dict[str, dict[str, object]], **options: object) -> str:
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=object)
    given = {"title": "Stores earn", "what": "Profit and loss, 2025", "currency": "USD"} | options
    return tables.statement_table(frame, LINES, **given).as_raw_html()


def cells(page: str) -> dict[str, list[str]]:
    """Cells by the name of their row."""
    rows = re.findall(r"(?s)<tr>\s*<th[^>]*>(.*?)</th>(.*?)</tr>", page)
    return {name: [text.strip("\u2004") for text in re.findall(r"<td[^>]*>(.*?)</td>", row)] for name, row in rows}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(1400000), "USD 1.4 M"),
        (Decimal("-12345.67"), "USD −12 k"),
        (999_999, "USD 1.0 M"),
        (2_500_000_000, "USD 2.5 bn"),
        (873.4, "USD 873"),
        (Decimal("8.50"), "USD 8.50"),
        (Decimal("-0.001"), "USD 0.00"),
        (0, "USD 0"),
        (Decimal("-0"), "USD 0"),
        (None, "not available"),
        (float("nan"), "not available"),
        (Decimal("NaN"), "not available"),
        (float("inf"), "not available"),
        (pd.NA, "not available"),
    ],
)
def test_money_reads_as_a_person_says_it(value: object, text: str) -> None:
    assert words.amount(value, "USD") == text


def test_more_digits_are_given_where_asked() -> None:
    assert words.amount(Decimal(12345678), "EUR", digits=2) == "EUR 12.35 M"


def test_percent_is_of_a_share_and_says_where_there_is_none() -> None:
    assert words.percent(Decimal("0.1234")) == "12.3%"
    assert words.percent(-0.5, digits=0) == "−50%"
    assert words.percent(None) == "not available"


def test_neighbouring_ticks_differ() -> None:
    texts = [words.tick_text(value, "USD", 15e6) for value in (10e6, 12.5e6, 15e6, -2500000.0, 0.0)]
    assert texts == ["10 M", "12.5 M", "15 M", "−2.5 M", "0"]
    assert words.tick_text(0.025, "%", 0.05) == "2.5%"


def test_all_values_of_an_exhibit_are_in_one_unit() -> None:
    text = words.one_unit([3_020_123, -97_400, 0, None])
    assert [text(value) for value in (3_020_123, -97_400, 0, None)] == ["3,020 k", "−97 k", "0 k", "not available"]
    assert words.one_unit([3_020_123, 803_000])(803_000) == "0.8 M"
    assert words.one_unit([3_020_123, 803_000], signed=True, least=1)(803_000) == "+803 k"
    assert words.one_unit([0.125, 0.5], "%")(0.125) == "12.5%"
    assert words.one_unit([2.5, 1])(2.5) == "2.50"


def test_long_names_stand_on_two_lines_and_stay_different_at_their_end() -> None:
    names = [
        words.wrapped("Grand Magasin de la Société Générale d'Alimentation et de Vins, " + c) for c in ("Lyon", "Nice")
    ]
    assert names[0] != names[1]
    assert max(len(line) for name in names for line in name.splitlines()) <= 34
    assert (
        words.wrapped("Cinderford & Co. Department Stores Southeast") == "Cinderford & Co. Department Stores\nSoutheast"
    )


def test_a_sentence_keeps_text_from_data_as_text() -> None:
    sentence = words.Words("USD")("{name} earns {margin:money}", name=HOSTILE, margin=Decimal(5))
    assert "<script>" not in sentence._repr_html_()
    assert sentence._repr_html_().startswith('<p class="finding" style="')
    assert repr(sentence) == f"{HOSTILE} earns USD 5"


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{x:money}", Decimal("-1234567"), "USD −1.2 M"), ("{x:money.2}", 1234567.0, "USD 1.23 M"), ("{x:size}", -12_000, "USD 12 k"),
        ("{x:percent}", 0.125, "12.5%"), ("{x:percent.0}", Decimal("0.125"), "12%"), ("{x:moved}", -0.031, "down 3.1%"),
        ("{x:moved}", 0.5, "up 50.0%"), ("It {x:rose}.", Decimal(-9), "It fell by USD 9."), ("They {x:contribute}.", -9, "They lose USD 9."),
        ("It {x:contributes}.", 9, "It contributes USD 9."), ("{x:customer}", 1, "1 customer"), ("{x:customer}", 1200, "1,200 customers"),
        ("{x:family|families}", 2, "2 families"), ("{x:customer or none}", 0, "No customer"), ("It has {x:customer or none}.", 0, "It has no customer."), ("{x:list}", ["Fir"], "Fir"),
        ("{x:list}", ["Fir", "Gorse"], "Fir and Gorse"), ("{x:list.2}", ["Fir", "Gorse", "Hazel", "Ivy"], "Fir, Gorse and 2 more"), ("{x:list}", ["a, b", "c", "d"], "a, b; c and d"),
        ("{x[margin]:money}", pd.DataFrame({"margin": [Decimal(7)]}), "USD 7"), ("{x:customer} with {x[margin]:money}", pd.DataFrame({"margin": [Decimal(7), Decimal(-2)]}), "2 customers with USD 5"), ("{x}", pd.Index(["Fir"]), "Fir"),
        ("in {x}", 2025, "in 2025"), ("of {x}", 83_036, "of 83,036"),
    ],
)  # fmt: skip
def test_a_value_reads_as_a_person_would_say_it(template: str, value: object, text: str) -> None:
    assert str(words.Words("USD")(template, x=value)) == text


@pytest.mark.parametrize("value", [None, 0, Decimal(0), float("nan"), Decimal("nan"), "", pd.Series(dtype=float)])
def test_nothing_is_said_of_what_is_not_there(value: object) -> None:
    say = words.Words("USD")
    assert not say("They lose {x:money}.", x=value)
    assert say("They lose {x:money}.", x=value)._repr_html_() == ""
    assert str(say("They lose {x:money}.", otherwise="Nobody loses.", x=value)) == "Nobody loses."
    assert str(say("All {n:customer} buy.", "They lose {x:money}.", n=3, x=value)) == "All 3 customers buy."


def test_a_verb_agrees_with_what_was_counted_or_listed_before_it() -> None:
    one, two = pd.DataFrame({"margin": [5]}), pd.DataFrame({"margin": [5, -9]})
    say = words.Words("USD", {"one": one, "two": two, "names": ["Fir"]})
    assert str(say("{one:customer} {one[margin]:contribute}.", "{two:customer} {two[margin]:contribute}.")) == (
        "1 customer contributes USD 5. 2 customers lose USD 4."
    )
    assert str(say("{names:list} {two[margin]:contribute}.")) == "Fir loses USD 4."
    assert str(say("{two:customer} in {names:list} {two[margin]:contribute}.")) == "2 customers in Fir lose USD 4."
    forms = "{x:account or none} {x:does.stand}, and {x:does.it brings|they bring} {x:does.one|many}."
    assert [str(say(forms, x=rows)) for rows in (one.head(0), one, two)] == [
        "No account stands, and it brings one.", "1 account stands, and it brings one.", "2 accounts stand, and they bring many."]  # fmt: skip
    bought = words.Words("USD", say.names, costed=False)
    assert str(bought("{one:customer} {one[margin]:contribute}.", "{two:customer} {two[margin]:contribute}.")) == (
        "1 customer buys USD 5. 2 customers return USD 4."
    )


def test_texts_of_one_kind_are_told_once_without_what_is_of_one_of_them() -> None:
    texts = [
        "no price, where product P1 has one",
        "no price, where product P2 big has one",
        "no price, where product P1 has one",
    ]
    assert words.alike(texts) == "no price, where product … has one"
    assert words.alike(["a  b", "a  b"]) == "a b"


def test_an_empty_list_is_not_told_and_a_misspelt_format_is_an_error() -> None:
    assert not words.Words("USD")("First {x:list}.", x=[])
    with pytest.raises(ValueError, match="no such format"):
        words.Words("USD")("{x:mony}", x=Decimal("1.5"))


@pytest.mark.parametrize(
    "number", [Decimal("0.5"), Decimal("-0.004"), Decimal("1234567.125"), Decimal("-2.5"), Decimal(10**12)]
)
def test_digits_are_set_apart_by_thousands_and_no_zero_is_negative(number: Decimal) -> None:
    text = words.digits_text(number, 2)
    assert Decimal(text.replace(",", "").replace("−", "-")) == round(number, 2)
    assert text != "−0.00"


def test_costs_stand_in_parentheses_and_subtotals_carry_their_note() -> None:
    rows = {"2025": {"sales": Decimal(2000000), "discounts": Decimal(300000), "margin": Decimal(1700000)}}
    page = statement(rows, ratios=["2025"])
    found = cells(page)
    assert page.count("* Contribution margin, before receivables charge") == 1
    assert found["Sales"] == ["2,000", "100.0"]
    assert found["Discounts"] == ["(300)", "(15.0)"]
    assert found["Contribution margin *"] == ["1,700", "85.0"]


def test_what_is_not_available_is_written_and_what_is_the_firms_alone_is_a_dash() -> None:
    found = cells(statement({"2025": {"sales": Decimal(5), "discounts": Decimal(0), "margin": Decimal(5)}}))
    assert found["Receivables charge"] == ["not available"]
    assert found["Joint costs"] == ["–"]
    assert found["Discounts"] == ["0"]


def test_a_negative_margin_stands_in_parentheses_and_a_negative_cost_does_not() -> None:
    rows = {"2025": {"sales": Decimal(200000), "discounts": Decimal(-50000), "margin": Decimal(-250000)}}
    found = cells(statement(rows))
    assert found["Discounts"] == ["50"]
    assert found["Contribution margin *"] == ["(250)"]


def test_without_sales_there_is_no_ratio() -> None:
    found = cells(
        statement({"2025": {"sales": Decimal(0), "discounts": Decimal(4), "margin": Decimal(-4)}}, ratios=["2025"])
    )
    assert found["Discounts"] == ["(4)", "no ratio"]


def test_the_unit_is_thousand_only_where_amounts_are_large() -> None:
    assert "USD thousand" in statement({"a": {"sales": Decimal(-100000)}})
    assert "USD thousand" not in statement({"a": {"sales": Decimal(99999)}})
    owners = {"giant": {"sales": Decimal(900_000)}} | {name: {"sales": Decimal(300)} for name in "ab"}
    assert "USD thousand" not in statement(owners)  # in which most would be nought


def test_a_table_escapes_names_and_has_the_same_bytes_in_every_run() -> None:
    rows = {HOSTILE: {"sales": Decimal(1)}, "b": {"sales": Decimal(2)}}
    page = statement(rows, title=HOSTILE, what=HOSTILE)
    assert "<script>" not in page
    assert page == statement(rows, title=HOSTILE, what=HOSTILE)


def test_a_plain_table_writes_each_column_by_its_kind() -> None:
    frame = pd.DataFrame(
        {
            "check": ["=cmd|x", HOSTILE, None],
            "left": [Decimal("1234.5"), Decimal("-3.2"), None],
            "rows_read": [100000, 2, 0],
            "sales_share": [0.123, None, -0.2],
            "tied": [True, False, True],
        }
    )
    page = tables.plain_table(frame, title="Ties", what="Tie-out, USD").as_raw_html()
    found = [text.strip("\u2004") for text in re.findall(r'<td[^>]*class="gt_row[^>]*>(.*?)</td>', page)]
    assert found[:5] == ["=cmd|x", "1,234.50", "100,000", "12.3%", "yes"]
    assert found[6:10] == ["(3.20)", "2", "not available", "no"]
    assert found[10:12] == ["not available", "not available"]
    assert "<script>" not in page
    assert "Rows read" in page
    assert frame["left"].tolist() == [Decimal("1234.5"), Decimal("-3.2"), None]


@pytest.mark.parametrize(("large", "unit", "texts"), [
    ("123456.7", "USD thousand", ["123", "4", "(1)", "12,000", "7", "0.62"]),
    ("99999.4", "USD", ["99,999", "4,000", "(1,234)", "12,000", "7", "0.62"]),
])  # fmt: skip
def test_all_money_of_a_table_stands_in_one_unit_and_what_is_no_money_as_it_is(
    large: str, unit: str, texts: list[str]
) -> None:
    row = {
        "sales": Decimal(large),
        "low": 4000.0,
        "margin": Decimal(-1234),
        "orders": 12000,
        "silent_days": 7.4,
        "score": 0.62,
    }
    table = tables.plain_table(pd.DataFrame([row]), title="One", what="Sales, 2025", unit="USD").as_raw_html()
    assert [text.strip("\u2004") for text in re.findall(r'<td[^>]*class="gt_row[^>]*>(.*?)</td>', table)] == texts
    assert f"Sales, 2025, {unit}<" in table


def plotted() -> object:
    ax = drawing.new_axes(None, 3.0)
    ax.plot([0, 1], [0, 1])
    return drawing.describe(ax, "A line.")


@pytest.mark.parametrize("finding", ["Short", HOSTILE * 4, "W" * 300])
def test_a_headline_of_any_length_covers_nothing_and_stays_inside(finding: str) -> None:
    ax = drawing.headline(plotted(), finding, "What, who, USD, 2025 " * 8)
    figure = drawing.root_figure(ax)
    figure.draw_without_rendering()
    title, small = (text.get_window_extent() for text in figure.texts)
    assert title.y0 > small.y1
    assert small.y0 > ax.get_tightbbox().y1
    assert max(title.x1, small.x1) <= figure.bbox.x1
    assert title.y1 <= figure.bbox.y1
    assert ax.get_window_extent().height > 2 * figure.dpi


def test_the_finding_comes_first_in_the_alternative_text() -> None:
    ax = drawing.headline(plotted(), "It rises by USD 1.4 M", "Sales, USD, 2025")
    assert drawing.root_figure(ax).get_label() == "It rises by USD 1.4 M. Sales, USD, 2025. A line."


def test_dollar_signs_are_no_mathematics() -> None:
    ax = drawing.headline(plotted(), "$x^2$", "$y$")
    assert not any(text.get_parse_math() for text in drawing.root_figure(ax).texts)


def test_a_headline_fits_above_the_small_multiples_of_seaborn_too() -> None:
    import matplotlib.pyplot as plt
    import seaborn as sns

    months = pd.DataFrame({"month": [1, 2, 1, 2], "margin": [1, 2, 3, 4], "type": ["a", "a", "b", "b"]})
    with matplotlib.rc_context(drawing.LOOK):
        ax = sns.relplot(months, x="month", y="margin", col="type", kind="line", height=2).axes.flat[0]
    drawing.headline(ax, "It rises " * 30, "Margin by type, USD")
    figure = drawing.root_figure(ax)
    figure.draw_without_rendering()
    lowest = min(text.get_window_extent().y0 for text in figure.texts)
    assert lowest > max(part.get_tightbbox().y1 for part in figure.axes)
    plt.close(figure)


def test_drawing_leaves_the_settings_of_the_session_alone() -> None:
    before = dict(matplotlib.rcParams)
    drawing.new_axes(None, 2)
    assert dict(matplotlib.rcParams) == before


CELLS = {
    "look": "from crmlib import look\nfrom crmlib.look.drawing import describe, headline, new_axes\nsay = look.begin('USD', globals())",
    "axes": "ax = describe(new_axes(None, 2), 'A $x$ picture.')\nax.plot([1, 2])\nheadline(ax, 'It \"rises\" by <5>', 'Sales, USD')",
    "empty": "headline(new_axes(None, 2), 'Nothing rises', 'Sales, USD', otherwise='There are no sales.')",
    "sentence": "kept = new_axes(None, 2)\nsay('done <b>')",
    "pyplot": "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nax.set_title('x')\nax",
    "open": "plt.plot([1, 2]);",
    "table": "import pandas as pd\nfrom crmlib.look.tables import plain_table\nplain_table(pd.DataFrame({'a': [1]}), title='t', what='w')",
}


def test_a_notebook_shows_each_picture_once_as_svg_with_its_alternative_text() -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    NotebookClient(notebook, kernel_name="python3").execute()
    shown = {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}
    assert shown["look"] == []
    assert {name: len(outputs) for name, outputs in shown.items() if name != "look"} == dict.fromkeys(
        list(CELLS)[1:], 1
    )
    for name in ("axes", "pyplot", "open"):
        assert set(shown[name][0].data) == {"image/svg+xml", "text/plain"}
    alt = 'It "rises" by <5>. Sales, USD. A $x$ picture.'
    heading = shown["axes"][0].metadata["image/svg+xml"]
    assert (heading["alt"], heading["finding"], heading["what"]) == (alt, 'It "rises" by <5>', "Sales, USD")
    assert 0.7 < heading["plot"] < 0.9  # of its height, below both
    assert set(shown["pyplot"][0].metadata["image/svg+xml"]) == {"alt"}
    assert shown["axes"][0].data["text/plain"] == alt
    assert shown["empty"][0].data["text/plain"] == "There are no sales."
    assert shown["sentence"][0].data["text/html"].endswith('600">done &lt;b&gt;</p>')
    assert shown["table"][0].data["text/plain"] == "Table"


def test_a_column_of_which_nothing_is_known_is_named_below_the_title() -> None:
    rows = pd.DataFrame({"team": ["Fir", "Gorse"], "lead_hours": [None, None], "hours": [1, None]})
    html = tables.plain_table(rows, title="t", what="w").as_raw_html()  # type: ignore[union-attr]
    assert "w; not available: lead hours" in html
    assert "Lead hours" not in html
    assert html.count("not available") == 2  # and where one of the hours is missing


def test_the_largest_changes_have_an_arrow_and_a_subtotal_has_none() -> None:
    rows = {
        "2025": {"sales": Decimal(90), "discounts": Decimal(5), "margin": Decimal(85)},
        "2024": {"sales": Decimal(100), "discounts": Decimal(8), "margin": Decimal(92)},
    }
    found = cells(statement(rows, change=True))
    assert [found[name][-1] for name in ("Sales", "Discounts", "Contribution margin *")] == ["▼ (10)", "▲ 3", "(7)"]


def test_sales_and_the_margin_that_is_nothing_else_where_no_cost_is_known_stand_once() -> None:
    lines = [
        Line("sales", "Sales", "revenue"),
        Line("net", "Gross sales", subtotal=True, note="no cost is in these books"),
    ]
    frame = pd.DataFrame({"sales": [Decimal(90)], "net": [Decimal(90)]}, index=["2024"])
    page = tables.statement_table(frame, lines, title="T", what="W", currency="USD", ratios=["2024"]).as_raw_html()
    assert re.findall(r">(Sales|Gross sales \*|100.0)<", page) == ["Gross sales *"]
    named = pd.DataFrame({"customer_name": ["A"], "sales": [Decimal(90)], "gross sales": [Decimal(90)]})
    assert re.findall(
        r">(Sales|Gross sales)<", tables.plain_table(named, title="T", what="W", unit="USD").as_raw_html()
    ) == ["Gross sales"]
