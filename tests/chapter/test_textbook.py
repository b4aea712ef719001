"""Printed figures: each textbook case goes through the same books as a client's, and comes out as the source prints it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from crmlib import study
from crmlib.books.stored import open_books
from crmlib.declared.reading import SettingsError, read
from crmlib.full_cost import verdicts
from crmlib.profitability import customer_profitability, group_profitability

CASES = sorted(path.parent.name for path in study.TEXTBOOK.glob("*/expected.yml"))


@pytest.fixture(autouse=True)
def cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_CACHE", str(session_cache))


@pytest.fixture(scope="module")
def figures(session_cache: Path) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(session_cache))
        return study.textbook_cases()


def test_every_case_of_the_issue_is_there() -> None:
    assert CASES == [
        "account_types", "full_cost_reverses_the_verdict", "hospital_supplier", "time_driven_customer_service",
        "traceable_and_common_cost",
    ]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_books_give_what_the_source_prints(case: str, figures: pd.DataFrame) -> None:
    printed = read(study.TEXTBOOK / case / "expected.yml", study.Case).figures
    found = figures[figures["case"] == case]
    assert len(found) == len(printed) == found["what"].nunique()
    wrong = found.loc[found["got"] != found["expected"], ["what", "expected", "got"]]
    ratios = wrong["what"].str.contains("%")
    assert wrong[~ratios].empty, wrong
    assert (wrong.loc[ratios, "got"] - wrong.loc[ratios, "expected"]).abs().le(Decimal("0.05")).all(), wrong
    assert found["agrees"].all()


@pytest.mark.parametrize("case", CASES)
def test_the_books_of_a_case_have_no_findings_and_tie(case: str) -> None:
    books = open_books(study.TEXTBOOK / case)
    assert books.findings.empty
    assert books.tie_out["tied"].all()


def test_hospitals_with_the_same_gross_margin_end_on_opposite_sides() -> None:
    books = open_books(study.TEXTBOOK / "hospital_supplier")
    margins = customer_profitability(books, books.period("2024-12")).set_index("customer_id")
    assert list(margins["gross_margin"]) == [2660, 2660]
    assert margins["customer_margin"].to_dict() == {"University": 725, "Memorial": -3829}


def test_account_types_own_costs_that_none_of_their_customers_has() -> None:
    books = open_books(study.TEXTBOOK / "account_types")
    types = group_profitability(books, books.period("2024-12")).whole
    assert types.loc["Drug stores", "own_costs"] == 400_000 + 500_000 + 200_000
    assert set(customer_profitability(books, books.period("2024-12"))["promotion_and_slotting"]) == {0}


def test_full_cost_calls_department_1_a_loser_and_then_department_2() -> None:
    books = open_books(study.TEXTBOOK / "full_cost_reverses_the_verdict")
    before, after = (verdicts(books, books.period(p), 12).set_index("customer_id") for p in ("2024-11", "2024-12"))
    assert before["flips"].to_dict() == {"1": True, "2": False, "3": False}
    assert after["flips"].to_dict() == {"2": True, "3": False}
    assert before.loc["1", "contribution"] == 9000 - 6500


def test_what_is_recalled_only_is_not_called_published(figures: pd.DataFrame) -> None:
    recalled = figures[figures["grade"] == "D"]
    assert set(recalled["case"]) == {"account_types"}
    assert recalled["source"].str.contains("recalled; check against the book before calling it published").all()


def test_a_figure_that_is_not_in_the_books_does_not_agree(tmp_path: Path) -> None:
    case = _case(
        tmp_path,
        "{what: Sales, where: [firm, Firm, sales], expected: 1001}",
        "{what: Rounded, where: [firm, Firm, sales], expected: 1000.5}",
    )
    found = study.textbook_cases(case)
    assert list(found["agrees"]) == [False, True]
    assert list(found["got"]) == [Decimal("1000.45"), Decimal("1000.45")]


def test_a_figure_without_a_place_is_named(tmp_path: Path) -> None:
    case = _case(tmp_path, "{what: Lost, where: [customers, A, nothing], expected: 1}")
    with pytest.raises(SettingsError, match=r"toy/expected\.yml: Lost: no 'nothing' in its books"):
        study.textbook_cases(case)


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no textbook cases"):
        study.textbook_cases(tmp_path)


def _case(folder: Path, *figures: str) -> Path:
    files = {
        "engagement.yml": "client: Toy\ncurrency: USD\ncoverage: {start: 2024-12, end: 2024-12}\n",
        "ledger/customers.csv": "customer_id,customer_name\nA,Alder\n",
        "ledger/invoice_lines.csv": "customer_id,invoice_date,gross_sales\nA,2024-12-01,1000.45\n",
        "expected.yml": "source: nobody\ngrade: A\nperiod: 2024-12\nfigures:\n"
        + "".join(f"  - {f}\n" for f in figures),
    }
    for name, text in files.items():
        path = folder / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
