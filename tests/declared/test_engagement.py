"""Periods, settings and the source of an engagement."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from crmlib.books.raw import source_path
from crmlib.declared.engagement import open_engagement
from crmlib.declared.periods import Period, add_months, parse_period
from crmlib.declared.reading import CrmError, DataRejected, SettingsError, safe_code

BOOKS = Period(date(2023, 1, 1), date(2026, 1, 1))
SETTINGS = "client: Test\ncurrency: USD\ncoverage: {start: 2024-01, end: 2024-12}\n"
Make = Callable[..., Path]


def write(folder: Path, text: str) -> Path:
    (folder / "engagement.yml").write_text(text, encoding="utf-8")
    return folder


# --- periods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "end", "label"),
    [
        ("2025", "2025-01-01", "2026-01-01", "2025"),
        (2025, "2025-01-01", "2026-01-01", "2025"),  # `-p period 2025` arrives as an integer
        (" 2025 ", "2025-01-01", "2026-01-01", "2025"),
        ("2025Q4", "2025-10-01", "2026-01-01", "2025Q4"),
        ("2025q1", "2025-01-01", "2025-04-01", "2025Q1"),
        ("2025-03", "2025-03-01", "2025-04-01", "2025-03"),
        ("2025-12", "2025-12-01", "2026-01-01", "2025-12"),
        ("2025-01..2025-06", "2025-01-01", "2025-07-01", "2025-01..2025-06"),
        ("2024-11..2025-02", "2024-11-01", "2025-03-01", "2024-11..2025-02"),
        ("2025-04..2025-06", "2025-04-01", "2025-07-01", "2025Q2"),
        ("FY2025", "2025-01-01", "2026-01-01", "FY2025"),
        ("fy2024", "2024-01-01", "2025-01-01", "FY2024"),
        ("last-12-months", "2025-01-01", "2026-01-01", "2025"),
        ("last-18-months", "2024-07-01", "2026-01-01", "2024-07..2025-12"),
        ("last-1-month", "2025-12-01", "2026-01-01", "2025-12"),
    ],
)
def test_every_form_of_a_period_is_understood(text: str | int, start: str, end: str, label: str) -> None:
    period = parse_period(text, BOOKS)
    assert (period.start.isoformat(), period.end.isoformat(), period.label) == (start, end, label)


@pytest.mark.parametrize(
    ("text", "head"),
    [("2025", "2025"), ("2025Q4", "2025Q4"), ("FY2025", "FY2025"), ("2025-03", "Mar 2025"), ("2025-01..2025-11", "Jan–Nov 2025"), ("2024-12..2025-02", "Dec 2024–Feb 2025")],
)  # fmt: skip
def test_a_period_stands_over_a_column_in_words(text: str, head: str) -> None:
    assert parse_period(text, BOOKS).short == head


@pytest.mark.parametrize(
    "text",
    ["", "25", "2025Q5", "2025Q0", "2025-13", "2025-00", "2025-3", "2025-06..2025-01", "2025..2024", "FY25", "last-0-months",
     "last-year", "2025-01-01", "2025Q1..2025Q2", "../2025", "None", "2025 Q1"],
)  # fmt: skip
def test_a_period_outside_the_grammar_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(SettingsError, match=r"not understood; write it as 2025, 2025Q4, .* or last-12-months"):
        parse_period(text, BOOKS)


@pytest.mark.parametrize("text", ["2022", "2026", "2025-12..2026-01", "2022Q4"])
def test_a_period_outside_the_coverage_is_refused_with_the_coverage(text: str) -> None:
    with pytest.raises(SettingsError, match=r"outside the books, which cover 2023-01\.\.2025-12"):
        parse_period(text, BOOKS)


def test_the_last_months_are_as_many_as_the_books_hold() -> None:
    assert parse_period("last-37-months", BOOKS) == parse_period("2023-01..2025-12", BOOKS)


def test_a_fiscal_year_is_named_for_the_calendar_year_in_which_it_ends() -> None:
    period = parse_period("FY2025", BOOKS, fiscal_year_start=7)
    assert (period.start, period.end) == (date(2024, 7, 1), date(2025, 7, 1))
    with pytest.raises(SettingsError, match="outside the books"):
        parse_period("FY2023", BOOKS, fiscal_year_start=7)


def test_the_period_before_has_the_same_length_and_a_year_before_the_same_months() -> None:
    quarter, fiscal = (parse_period("2025Q1", BOOKS), parse_period("FY2025", BOOKS, fiscal_year_start=4))
    assert (quarter.previous().label, quarter.year_before().label) == ("2024Q4", "2024Q1")
    assert (fiscal.previous().label, fiscal.previous().start) == ("FY2024", date(2023, 4, 1))
    assert parse_period("2025-03", BOOKS).previous().label == "2025-02"
    assert parse_period("2025-01..2025-02", BOOKS).previous().label == "2024-11..2024-12"


def test_a_period_knows_its_months() -> None:
    period = parse_period("2024-11..2025-02", BOOKS)
    assert period.months == 4
    assert period.month_starts() == [date(2024, 11, 1), date(2024, 12, 1), date(2025, 1, 1), date(2025, 2, 1)]
    assert period.folder == "2024-11_to_2025-02"


def test_months_are_counted_over_the_ends_of_years() -> None:
    assert add_months(date(2024, 12, 31), 1) == date(2025, 1, 1)
    assert add_months(date(2024, 1, 15), -1) == date(2023, 12, 1)


# --- settings --------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_the_settings_are_told_at_once_with_path_and_what_is_allowed(tmp_path: Path) -> None:
    write(
        tmp_path,
        """client: ''
currency: dollars
coverage: {start: 2024-13, end: 2024-12}
fiscal_year_start: 13
fromats: {}
formats: {decimal: ';', dates: [], delimeter: ';'}
tables: {invoices: {}, costs: {colums: {}}}
rates: {tax_rate: 1}
cost_of_goods_basis: standard
""",
    )
    with pytest.raises(SettingsError) as caught:
        open_engagement(tmp_path)
    told = str(caught.value)
    for part in (
        "engagement.yml has", "client: ", "currency: ", "coverage.start: ", "fiscal_year_start: ", "rates.tax_rate: ", "formats.decimal: ",
        "formats.dates: ", "'.' or ','", "'variable' or 'full'", "fromats: unknown key; allowed: client, currency, ", "; did you mean 'formats'?", "invoice_lines",
        "formats.delimeter: unknown key; allowed: encoding, delimiter, ", "; did you mean 'delimiter'?",
        "tables.costs.colums: unknown key; allowed: source, header_row, header_rows, heading, carried, join, where, columns, ", "; did you mean 'columns'?",
    ):  # fmt: skip
        assert part in told


def test_a_coverage_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"coverage: .*start 2024-12 is after end 2024-01"):
        open_engagement(
            write(tmp_path, SETTINGS.replace("2024-01", "x").replace("2024-12", "2024-01").replace("x", "2024-12"))
        )


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"engagement\.yml, line 4: key 'currency' stands twice"):
        open_engagement(write(tmp_path, SETTINGS + "currency: EUR\n"))


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "client: [", "just text"])
def test_settings_that_are_no_mapping_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"engagement\.yml"):
        open_engagement(write(tmp_path, text))


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="could not determine a constructor"):
        open_engagement(write(tmp_path, SETTINGS + "source: !!python/object/apply:os.getcwd []\n"))


def test_an_engagement_that_is_not_there_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no engagement at .*nowhere.*`crm new"):
        open_engagement(tmp_path / "nowhere")


def test_an_engagement_opens_by_its_folder_or_its_file_and_relative_to_the_project(
    make_engagement: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_engagement()
    monkeypatch.chdir(tmp_path)
    assert open_engagement(folder).folder == open_engagement(folder / "engagement.yml").folder
    assert open_engagement(folder.name).folder == folder.resolve()
    assert open_engagement("data/sample").settings.client == "Tallow & Reed"


@pytest.mark.parametrize(
    ("file", "meant"),
    [
        ("judgement/segments.yaml", "judgement/segments.yml"),
        ("judgement/Segments (1).yml", "judgement/segments.yml"),
        ("judgement/opportunites.csv", "judgement/opportunities.csv"),
        ("judgement/ratings.xlsx", "judgement/ratings.csv"),
        ("criteria.yml", "judgement/criteria.yml"),
        ("statement.yaml", "statement.yml"),
        ("Statements.yml", "statement.yml"),
    ],
)
def test_a_file_that_looks_like_one_that_is_missing_is_refused_until_it_is_named_as_unread(
    make_engagement: Make, file: str, meant: str
) -> None:
    folder = make_engagement()
    (folder / "judgement").mkdir(exist_ok=True)
    (folder / file).write_text("rules: []\n", encoding="utf-8")
    (folder / "judgement" / "interviews.txt").touch()
    with pytest.raises(SettingsError, match=f"{re.escape(file)} is not read; is it {re.escape(meant)}"):
        open_engagement(folder)
    with (folder / "engagement.yml").open("a", encoding="utf-8") as settings:
        settings.write(f"unread: [{Path(file).name}]\n")
    open_engagement(folder)


def test_an_engagement_may_have_another_name(make_engagement: Make) -> None:
    folder = make_engagement()
    file = (folder / "engagement.yml").rename(folder / "engagement-2024.yml")
    assert open_engagement(file).folder == folder


def test_the_charge_for_capital_before_tax_is_cost_of_capital_over_what_tax_leaves(make_engagement: Make) -> None:
    rates = open_engagement(make_engagement(rates={"cost_of_capital": "0.09", "tax_rate": "0.25"})).settings.rates
    assert rates.capital_charge_rate == Decimal("0.12")


def test_the_source_env_names_a_variable_and_an_unset_one_is_told(
    make_engagement: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engagement = open_engagement(make_engagement(source="env:CLIENT_BOOKS"))
    monkeypatch.delenv("CLIENT_BOOKS", raising=False)
    with pytest.raises(SettingsError, match="the environment variable CLIENT_BOOKS is not set"):
        source_path(engagement)
    monkeypatch.setenv("CLIENT_BOOKS", str(tmp_path))
    assert source_path(engagement) == tmp_path.resolve()


@pytest.mark.parametrize("source", ["nothing", "/", "a" * 5000], ids=["nothing", "root", "long"])
def test_a_source_that_is_not_there_is_told(make_engagement: Make, source: str) -> None:
    with pytest.raises(SettingsError, match=rf"source '{source[:40]}.* is not there or cannot be read"):
        source_path(open_engagement(make_engagement(source=source)))


@pytest.mark.parametrize(
    ("name", "code"), [("../../etc", "etc"), ("Müller & Co", "M-ller-Co"), ("...", "engagement"), ("a b", "a-b")]
)
def test_a_file_name_is_ours_and_made_from_a_safe_code(name: str, code: str) -> None:
    assert safe_code(name) == code


def test_both_kinds_of_refusal_are_errors_that_are_told_to_people() -> None:
    assert issubclass(SettingsError, CrmError)
    assert issubclass(DataRejected, CrmError)
