"""Agreements as files: the customer's copy holds nothing of ours and of nobody else, text from data stays text, the client's own template is filled in."""

from __future__ import annotations

import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import docx
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from crmlib import agreements, clauses, menu, segments
from crmlib.books.stored import Books
from crmlib.declared.reading import SettingsError
from crmlib.output import document

WILD = 'Jones & <b>Sons</b> "Ltd" {{ 7 * 7 }} {% raw %} \u05d0\u05d1 x\u202ey \x07'
COPY = clauses.Document(
    "Agreement", "X1, version 1", WILD, WILD, "1 to 2", (clauses.Clause(WILD, (WILD,), ("Head", WILD), ((WILD, ""),)),)
)
SEEN = 'Jones & <b>Sons</b> "Ltd" {{ 7 * 7 }} {% raw %} \u05d0\u05d1 x\\u202ey \\u0007'


@pytest.fixture(scope="module")
def year(sample: Books, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, pd.DataFrame, pd.DataFrame]:
    """The sample's agreements as files; its drafts, what they promise, and what they leave."""
    period, folder = sample.period("2025"), tmp_path_factory.mktemp("agreements")
    decided = segments.differentiate(sample, period)
    books = segments.with_segments(sample, period, decided)
    document.export_agreements(books, period, decided, folder)
    rows = menu.priced(books, period)
    made = agreements.drafts(books, period, decided, rows)
    promised = agreements.commitments(books, period, made, rows)
    return folder, made, promised, agreements.economics(books, period, made, promised, rows)


def parts(path: Path) -> str:
    """All text of a Word file: every part, properties, comments and alternative texts too; or of a page."""
    if path.suffix == ".docx":
        with zipfile.ZipFile(path) as file:
            texts = [
                file.read(name).decode("utf-8", "ignore")
                for name in file.namelist()
                if not name.startswith("word/theme")
            ]
        return "\n".join(texts + [re.sub(r"<[^>]+>", "", text) for text in texts])
    return path.read_text(encoding="utf-8")


def spellings(amount: Any) -> list[str]:
    """An amount as it may be written."""
    decimals = (0, 2) if abs(amount) >= 1000 else (2,)  # three digits alone are many a number's
    return [text for digits in decimals for text in (f"{abs(amount):.{digits}f}", f"{abs(amount):,.{digits}f}")]


def test_the_customers_copy_holds_no_internal_figure_and_no_other_customer(sample: Books, year: Any) -> None:
    folder, made, promised, left = year
    names = set(sample.customers["customer_name"])
    for draft in made:
        own, row = promised[promised["code"] == draft.code], left[left["code"] == draft.code].iloc[0]
        amounts = [*own["cost"], *own["today_cost"], *own["before_cost"], *own["penalty_cost"], *own["unit_cost"],
                   *row[["sales", "margin", "today_cost", "committed", "penalty_cost", "margin_then", "beside_today", "judged_gain"]]]  # fmt: skip
        figures = {text for amount in amounts if amount for text in spellings(amount)}
        for file in (f"{draft.code}.docx", f"{draft.code}.html"):
            text = parts(folder / "agreements" / file)
            words = set(re.findall(r"[\d,]*\d(?:\.\d+)?", re.sub(r"<[^>]*>", " ", text)))
            assert words & figures == set(), (file, words & figures)
            assert [name for name in names - {draft.name} if name in text and name not in draft.name] == []
            assert not any(f">{segment}<" in text for segment in sample.engagement.segments)
            assert not re.search(
                r"margin(?!-)|walk-away|contribut|penalt|w:ins |w:del ",
                re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL),
            ), file


def test_the_search_for_internal_figures_would_find_one(year: Any, tmp_path: Path) -> None:
    _, made, promised, _ = year
    amount = promised["cost"].max()
    copy = clauses.Document("T", "N", "C", "D", "v", (clauses.Clause("H", (f"It costs {amount:,.2f}.",)),))
    document.write_word(copy, tmp_path / "leak.docx")
    assert any(text in parts(tmp_path / "leak.docx") for text in spellings(amount))
    assert made


def test_the_internal_page_adds_up_to_the_cent(year: Any) -> None:
    folder, made, promised, left = year
    for draft in made:
        tables = BeautifulSoup(
            (folder / "agreements_internal" / f"{draft.code}.html").read_text("utf-8"), "html.parser"
        ).find_all("table")
        cells = [[cell.get_text() for cell in row.find_all(["td", "th"])] for row in tables[0].find_all("tr")]
        numbers = [Decimal(row[5].replace(",", "").replace("−", "-")) for row in cells[1:] if len(row) > 5]
        assert sum(numbers[:-1]) == numbers[-1] == left.loc[left["code"] == draft.code, "committed"].iloc[0]
        assert numbers[:-1] == list(promised.loc[promised["code"] == draft.code, "cost"])


def test_file_names_and_links_are_safe_codes(year: Any) -> None:
    folder, _, _, _ = year
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"agreements(_internal)?/[\w.-]+\.(docx|html)", file, re.ASCII) for file in files)
    index = BeautifulSoup((folder / "agreements_internal" / "index.html").read_text("utf-8"), "html.parser")
    links = [str(a["href"]) for a in index.find_all("a") if a["href"] != "../index.html"]
    assert len(links) == len(files) - 1
    assert all((folder / "agreements_internal" / link).resolve().is_file() for link in links)


def test_text_from_data_stays_text_in_word_and_html(tmp_path: Path) -> None:
    document.write_word(COPY, tmp_path / "a.docx")
    word = docx.Document(str(tmp_path / "a.docx"))
    assert f"1  {SEEN}" in [p.text for p in word.paragraphs]
    assert word.tables[0].cell(1, 0).text == SEEN
    assert (word.core_properties.author, word.core_properties.comments) == (SEEN, "")
    document._page(tmp_path / "a.html", "agreement.html.j2", copy=COPY)
    page = BeautifulSoup((tmp_path / "a.html").read_text("utf-8"), "html.parser")
    assert page.find("b") is None
    assert page.find("h2").get_text() == SEEN  # type: ignore[union-attr]


def own_template(path: Path, text: str) -> Path:
    """A client's Word file of another look: landscape, with fields of its own."""
    word = docx.Document()
    section = word.sections[0]
    section.page_width, section.page_height = section.page_height, section.page_width
    word.add_heading("Acme contract {{ number }}", 0)
    word.add_paragraph(text)
    word.save(str(path))
    return path


def test_the_clients_own_template_is_filled_in_and_data_stays_text(tmp_path: Path) -> None:
    text = "For {{ customer }}: {% for clause in clauses %}{{ clause.heading }}: {{ clause.rows[0][0] }}{% endfor %}"
    document._from_template(own_template(tmp_path / "t.docx", text))(COPY, tmp_path / "a.docx")
    word = docx.Document(str(tmp_path / "a.docx"))
    assert [p.text for p in word.paragraphs] == ["Acme contract X1, version 1", f"For {SEEN}: {SEEN}: {SEEN}"]
    assert word.core_properties.author == SEEN


@pytest.mark.parametrize("text", ["{{ margin }}", "{{ clauses", "{% for %}", "{{ ''.__class__.__mro__ }}"])
def test_a_template_that_cannot_be_filled_in_is_told_with_what_it_may_name(tmp_path: Path, text: str) -> None:
    write = document._from_template(own_template(tmp_path / "t.docx", text))
    with pytest.raises(
        SettingsError, match=r"judgement/t.docx cannot be filled in: .*it may name title, number, client, customer"
    ):
        write(COPY, tmp_path / "a.docx")
