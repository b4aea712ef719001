"""Settings that cannot work are refused when they are read: a SettingsError that names the key and the way out, never another error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from crmlib.declared.engagement import open_engagement
from crmlib.declared.judgement import condition_parts
from crmlib.declared.periods import Period, parse_period
from crmlib.declared.reading import SettingsError
from crmlib.declared.settings import Settings

Make = Callable[..., Path]
PLAIN: dict[str, Any] = {"client": "Test", "currency": "USD", "coverage": {"start": "2024-01", "end": "2024-12"}}
ODD: list[Any] = [
    None, True, 0, -1, 10**18, 1.5, float("inf"), float("nan"), "", " ", "0", "é", "%", "%Q", "%s", "nonsense", "x" * 3000, "2024-02-30", "a\tb",
    "9999-12", "0000-01", [], [1], [["a"]], {}, {"a": 1}, {1: {2: 3}}, "utf-7", "idna", "undefined", "../..", "~nobody", "env:", "env:X Y", ".sql",
]  # fmt: skip


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every key of a record and of the records in it, those of tables by way of invoice_lines."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        inner = [model, *(a for a in [field.annotation, *get_args(field.annotation)] if isinstance(a, type))]
        for record in (r for r in inner[1:] if issubclass(r, BaseModel)):
            table = ("invoice_lines",) if name == "tables" else ()
            yield from keys(record, (*above, name, *table))
    if model.__name__ == "TableSource":
        yield from ((*above, "columns", "discount", key) for key in ("column", "value", "cast", "blank"))
        yield (*above, "columns", "own")


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    content = yaml.safe_load(yaml.safe_dump(PLAIN))
    inner = content
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return dict(content)


def opened(folder: Path, text: str) -> str:
    """What is told of settings, '' where they open; any error but SettingsError is the test's."""
    (folder / "engagement.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        open_engagement(folder)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", list(keys(Settings)), ids=".".join)
def test_an_odd_value_of_any_key_is_refused_or_read_and_never_crashes(tmp_path: Path, path: tuple[str, ...]) -> None:
    for value in ODD:
        told = opened(tmp_path, yaml.safe_dump(changed(path, value), allow_unicode=True))
        assert told == "" or (path[0] in told and "mistake(s)" in told), value


@pytest.mark.parametrize(
    ("formats", "way_out"),
    [
        ({"currency_sign": "."}, "a part of numbers; such as $ or EUR"),
        ({"currency_sign": ",", "thousands": ","}, "a part of numbers"),
        ({"currency_sign": "-"}, "a part of numbers"),
        ({"currency_sign": "(US)"}, "a part of numbers"),
        ({"currency_sign": "US1"}, "a part of numbers"),
        ({"delimiter": "é"}, "formats.delimiter: is not in its form; one mark such as , ; | or a tab"),
        ({"delimiter": '"'}, "formats.delimiter: is not in its form; one mark such as , ; | or a tab"),
        ({"delimiter": "."}, "formats.delimiter: is not in its form; one mark such as , ; | or a tab"),
        ({"delimiter": "1"}, "formats.delimiter: is not in its form; one mark such as , ; | or a tab"),
        ({"delimiter": ";;"}, "formats.delimiter: is not in its form; one mark such as , ; | or a tab"),
        ({"dates": [""]}, "must name day, month and year once each"),
        ({"dates": ["%Y"]}, "must name day, month and year once each"),
        ({"dates": ["%d/%d/%Y"]}, "must name day, month and year once each"),
        ({"dates": ["%"]}, "% is not known; letters are %d, %m, %b, %B, %Y, %y, "),
        ({"dates": ["%d.%m.%Q"]}, "%Q is not known"),
        ({"dates": ["%s"]}, "%s is not known"),
        ({"dates": ["%d.%M.%Y"]}, "must name day, month and year once each"),
        ({"dates": ["%H:%M %d.%m.%Y"]}, "a time after them, such as %d.%m.%Y or %Y-%m-%d %H:%M (found"),
        ({"encoding": "hex"}, "encoding 'hex' is unknown; such as utf-8"),
    ],
)
def test_a_format_that_cannot_work_is_refused_with_the_way_out(
    tmp_path: Path, formats: dict[str, Any], way_out: str
) -> None:
    for place in ({"formats": formats}, {"tables": {"costs": {"formats": formats}}}):
        told = opened(tmp_path, yaml.safe_dump({**PLAIN, **place}, allow_unicode=True))
        assert "formats" in told
        assert way_out in told


@pytest.mark.parametrize(
    "formats",
    [
        {"delimiter": "\t"}, {"delimiter": ";", "decimal": ",", "thousands": "."}, {"currency_sign": "€"}, {"currency_sign": "kr.", "decimal": ","},
        {"dates": ["%d %b %Y", "%B %d, %Y"]}, {"dates": ["%d.%m.%y", "%Y-%m-%dT%H:%M:%S%z"]}, {"encoding": "utf-16"}, {"decimal": ",", "delimiter": ","},
    ],
)  # fmt: skip
def test_a_format_that_can_work_is_read(tmp_path: Path, formats: dict[str, Any]) -> None:
    assert opened(tmp_path, yaml.safe_dump({**PLAIN, "formats": formats}, allow_unicode=True)) == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("client: 2024-02-30", "line 4: '2024-02-30' looks like a date or number and is none; put text in quotes"),
        ("client: 2024-13-45", "line 4: '2024-13-45' looks like a date"),
        (f"client: {'9' * 5000}", "looks like a date or number and is none"),
        (f"client: 0x{'f' * 5000}", "looks like a date or number and is none"),
        ("client: 0123", "line 4: '0123' looks like a date or number and is none; put text in quotes"),
        ("client: 12:30", "line 4: '12:30' looks like a date or number and is none"),
        ("client: 1_000", "line 4: '1_000' looks like a date or number and is none"),
        (
            "tables: {customers: {columns: {region: {value: true}}}}",
            "region.value: must be text; put it in quotes (found True)",
        ),
        ("? {a: b}\n: c", "line 4: a key must be a single word"),
        ("? [a]\n: c", "line 4: a key must be a single word"),
        ("source: " + "[" * 3000 + "]" * 3000, "more than 50 deep"),
        ("source: " + "[" * 200_000, "more than 50 deep"),
        ('client: "a\\0b"', "line 4: a control character"),
        ('source: "led\\u0001ger"', "line 4: a control character"),
        ("tables: {invoice_lines: {columns: {order: PACKING}}}", "invoice_lines.columns.order is a word of the engine"),
        ("tables: {invoice_lines: {columns: {x y: PACKING}}}", "invoice_lines.columns.x y must be small letters"),
        ("tables: {invoice_lines: {columns: {month: PACKING}}}", "choose another, such as own_month"),
        ("tables: {invoice_lines: {columns: {orders: PACKING}}}", "choose another, such as own_orders"),
        ("tables: {customers: {columns: {select: CHANNEL}}}", "customers.columns.select is a word of the engine"),
        (
            "tables: {invoice_lines: {columns: {discount: 5}}}",
            "tables.invoice_lines.columns.discount: must be `key: value`",
        ),
    ],
)
def test_yaml_that_no_one_can_mean_is_refused_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    text = opened(tmp_path, f"currency: USD\ncoverage: {{start: 2024-01, end: 2024-12}}\nhorizon_months: 12\n{line}\n")
    assert text.startswith("engagement.yml")
    assert told in text


@pytest.mark.parametrize("word", ["NO", "no", "ON", "Off", "yes", "n"])
def test_words_that_other_readers_take_for_truth_are_text(tmp_path: Path, word: str) -> None:
    content = {**PLAIN, "tables": {"customers": {"columns": {"region": {"value": "WORD"}}}}}
    (tmp_path / "engagement.yml").write_text(yaml.safe_dump(content).replace("WORD", word))
    assert open_engagement(tmp_path).settings.tables["customers"].columns["region"].value == word


def test_settings_that_are_not_utf_8_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "engagement.yml").write_bytes("currency: USD\nclient: Müller\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"engagement\.yml, line 2: not UTF-8; save it as UTF-8"):
        open_engagement(tmp_path)


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [("0000-01", "2024-12", "coverage.start: is not in its form; a month from 1900-01 to 2999-12"),
     ("2024-01", "9999-12", "coverage.end: is not in its form"), ("1900-01", "2999-12", "longer than the 100 years")],
)  # fmt: skip
def test_a_coverage_that_no_books_have_is_refused(tmp_path: Path, start: str, end: str, told: str) -> None:
    assert told in opened(tmp_path, yaml.safe_dump({**PLAIN, "coverage": {"start": start, "end": end}}))


@pytest.mark.parametrize(
    "text", ["0000", "9999", "FY9999", "FY0000", "9999-12", "0000-01..0000-02", "2024-01..9999-12", "3000Q1", "1899"]
)
@pytest.mark.parametrize("covered", [True, False])
def test_a_year_that_no_books_have_is_no_period(text: str, covered: bool) -> None:
    coverage = parse_period("2024", None) if covered else None
    with pytest.raises(SettingsError, match=r"is not understood; write it as .*; years are 1900 to 2999"):
        parse_period(text, coverage)


def test_the_first_and_the_last_year_are_periods() -> None:
    for text in ("1900", "2999", "FY1900", "2999-12", "1900-01..2999-12"):
        assert isinstance(parse_period(text, None, 7), Period)


@pytest.mark.parametrize("name", ["order", "x y", "day", "month", "a-b", "Sales", "units", "_row", "select", ""])
def test_a_measure_or_line_that_the_roll_up_cannot_hold_is_refused(make_engagement: Make, name: str) -> None:
    from conftest import default_statement

    with pytest.raises(
        SettingsError, match=r"statement\.yml has 1 mistake\(s\):\n .*\(transportation\): the column of source"
    ):
        open_engagement(
            make_engagement(statement=default_statement(transportation={"sources": [f"invoice_lines.{name}"]}))
        )
    if name != "units":
        with pytest.raises(SettingsError, match=r"statement\.yml has 1 mistake\(s\):\n .*\.id: "):
            open_engagement(make_engagement(statement=default_statement(transportation={"id": name})))


@pytest.mark.parametrize("segment", ["[a]", "{a: b}", "5", "''"])
def test_a_segment_without_a_name_is_refused(make_engagement: Make, segment: str) -> None:
    folder = make_engagement()
    (folder / "judgement").mkdir()
    rule = f"rules:\n  - {{segment: {segment}, when: [], because: all, stance: keep}}\n"
    (folder / "judgement" / "segments.yml").write_text(rule, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"judgement/segments\.yml has 1 mistake\(s\):\n  rules\[0\].*segment: "):
        assert open_engagement(folder).segments


@pytest.mark.parametrize("text", ["NO", '"NO"', "'NO'"])
def test_quotation_marks_around_the_text_of_a_condition_are_none_of_it(text: str) -> None:
    assert condition_parts(f"region is {text}") == ("region", "is", "NO")
