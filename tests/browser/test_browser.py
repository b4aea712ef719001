"""The sample's whole report: pages as a browser shows them, from disk and with the network off, and one number for each name."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from bs4 import BeautifulSoup

from crmlib.output.pdf import browser, export_pdf
from crmlib.run.report import Request, run_report

Figure = tuple[str, str, str]  # owner, name, period
OTHERWISE_CALLED = {
    "Net margin": "Net segment margin",
    "Margin": "Net segment margin",
    "Net margin of customers": "Net segment margin",
}
COUNTS = {"Customers", "Orders", "Opportunities"}
AMOUNT = re.compile(r"\(?\d[\d,]*\)?")
SAID = re.compile(r"(?:^|[.:;] )(?!Its|It |They )([A-Z\d][\w &'-]*?) ((?:contribute|lose)s? [A-Z]{3} [\d.]+(?: [kM])?)")
by_browser = pytest.mark.skipif(
    not browser(), reason="no Chromium on this machine: pages are not looked at in a browser"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole report of the sample."""
    return run_report(
        "data/sample", Request(parameters={"period": "2025"}, out=tmp_path_factory.mktemp("reports"))
    ).folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Seen:
    """What a browser shows of a page that is opened once, from disk and with the network off."""

    asked: list[str] = field(default_factory=list)  # addresses
    said: list[str] = field(default_factory=list)  # on the console
    levels: list[int] = field(default_factory=list)  # of headings
    across: dict[int, int] = field(default_factory=dict)  # how wide it is in a window so wide
    barriers: dict[int, list[tuple[str, str]]] = field(default_factory=dict)  # by the width of the window
    sheets: dict[str, int] = field(default_factory=dict)  # that it takes, by their size


@pytest.fixture(scope="module")
def seen(report: Path, chromium: Any) -> dict[str, Seen]:
    """Every page, in a wide window, in a narrow one, and printed."""
    from pypdf import PdfReader

    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    pages = {file.name: Seen() for file in sorted(report.glob("*.html"))}
    for name, seen in pages.items():
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        page = context.new_page()
        page.on("request", lambda request, seen=seen: seen.asked.append(request.url))
        page.on("console", lambda message, seen=seen: seen.said.append(message.text))
        page.goto((report / name).as_uri())
        seen.levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            seen.across[width] = page.evaluate("document.documentElement.scrollWidth")
            found = [v for v in axe.Axe().run(page).response["violations"] if v["impact"] in {"serious", "critical"}]
            seen.barriers[width] = [(v["id"], v["nodes"][0]["html"][:120]) for v in found]
        for sheet in ("A4", "Letter"):
            printed = page.pdf(format=sheet, prefer_css_page_size=False)
            seen.sheets[sheet] = len(PdfReader(io.BytesIO(printed)).pages)
        context.close()
    return pages


@by_browser
def test_every_page_opens_from_disk_without_a_request_or_a_complaint(seen: dict[str, Seen]) -> None:
    assert len(seen) > 15
    for name, page in seen.items():
        assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == [], name
        assert page.said == [], name
        assert page.levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(page.levels)), (name, page.levels)


@by_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_fits_its_window_and_has_no_barrier(seen: dict[str, Seen], width: int) -> None:
    assert {name: page.across[width] for name, page in seen.items() if page.across[width] > width} == {}
    assert {name: page.barriers[width] for name, page in seen.items() if page.barriers[width]} == {}


@by_browser
@pytest.mark.parametrize("sheet", ["A4", "Letter"])
def test_the_summary_is_one_sheet_and_no_page_more_than_six(seen: dict[str, Seen], sheet: str) -> None:
    assert seen["index.html"].sheets[sheet] == 1
    assert {name: page.sheets[sheet] for name, page in seen.items() if page.sheets[sheet] > 6} == {}


@pytest.fixture(scope="module")
def printed(report: Path) -> list[str]:
    """The text of each sheet of its PDF."""
    from pypdf import PdfReader

    sheets = PdfReader(export_pdf(report, "Tallow & Reed")).pages
    return [unicodedata.normalize("NFKC", sheet.extract_text()) for sheet in sheets]  # fi may be one letter


@by_browser
def test_the_pdf_holds_every_page_with_contents_and_numbers(printed: list[str]) -> None:
    titles = ["Data review", "Customer profitability report", "About these figures"]
    contents = printed[1]
    assert "Contents" in contents
    for title in titles:
        number = int(next(line for line in contents.splitlines() if line.startswith(title)).split()[-1])
        assert title in printed[number - 1]
    assert f"{len(printed)} / {len(printed)}" in printed[-1]


@by_browser
def test_a_name_has_one_number_in_summary_pages_workbook_and_print(report: Path, printed: list[str]) -> None:
    book = openpyxl.load_workbook(report / "workbook.xlsx", data_only=True)
    firm = {str(row[0]): row[1:3] for row in book["Summary"].iter_rows(min_row=5, max_col=3, values_only=True)}
    head, *owners, _ = book["P&L by customer"].iter_rows(min_row=4, values_only=True)
    margins = [row[head.index("Net segment margin")] for row in owners if row[0]]  # without what has no known customer
    firm["Net segment margin of customers"] = (sum(margins), None)
    summary = BeautifulSoup((report / "index.html").read_text("utf-8"), "html.parser")
    figures = [[part.get_text() for part in item.select("span")] for item in summary.select(".figures li")]
    assert len(figures) == 4
    for name, now, before, _ in figures:
        for told, value in zip((now, before), firm[name], strict=True):
            if value is not None:
                assert float(told.split()[-2]) == pytest.approx(float(value) / 1e6, abs=0.0051), (name, told, value)
    listed = {row[1]: row for row in book["Actions"].iter_rows(min_row=5, values_only=True)}
    rows = [[cell.get_text() for cell in row.select("th, td")] for row in summary.select(".actions tbody tr")]
    assert [row[2] for row in rows] == [f"{listed[row[0]][4] / 1000:,.0f}" for row in rows]
    text = " ".join(" ".join(printed).split())
    for finding in summary.select(".findings li"):
        assert " ".join(str(finding.find(string=True)).split()) in text
    said: dict[str, set[str]] = {}
    for part in [text, *(html.get_text(". ") for html in map(soup, report.glob("*.html")))]:
        for subject, amount in SAID.findall(part):
            said.setdefault(subject, set()).add(re.sub(r"^(contribute|lose)s", r"\1", amount))
    assert len(said) > 3
    assert {subject: amounts for subject, amounts in said.items() if len(amounts) > 1} == {}


def soup(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text("utf-8"), "html.parser")


def figures_of(page: BeautifulSoup) -> Iterator[tuple[Figure, int, int]]:
    """The whole amounts of a page's tables, each with its step: 1, or 1,000 where a table is in thousands, but for counts."""
    for table in page.select("table.gt_table"):
        caption = page.find(
            id=str(table.find_parent(role="group")["aria-labelledby"]).removesuffix("-title") + "-subtitle"
        )  # type: ignore[index]
        what, head = (
            caption.get_text() if caption else "",
            [h.get_text(" ", strip=True) for h in table.select(".gt_col_heading")],
        )
        period, of_statement = re.search(r"20\d\d", what), bool(head) and head[0].endswith("thousand")
        scale = 1000 if of_statement or "thousand" in what else 1
        down = of_statement and "Net segment margin" not in head  # unless its owners stand below each other
        for row in table.select("tbody tr"):
            label, *amounts = [cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
            for name, amount in zip(head[1:], amounts, strict=False):
                if period and AMOUNT.fullmatch(amount):
                    owner, line = (name, label) if down else (label, name)
                    step = 1 if line in COUNTS else scale
                    number = int(amount.strip("()").replace(",", "")) * (-1 if amount.startswith("(") else 1)
                    yield (owner, OTHERWISE_CALLED.get(line, line), period[0]), number * step, step


def test_a_name_has_one_number_in_the_tables_of_all_pages(report: Path) -> None:
    seen: dict[Figure, dict[str, tuple[int, int]]] = {}
    for file in report.glob("[0-9]*.html"):
        for figure, amount, step in figures_of(soup(file)):
            seen.setdefault(figure, {})[file.stem] = (amount, step)
    shared = {figure: pages for figure, pages in seen.items() if len(pages) > 1}
    assert {name for _, name, _ in shared} >= {"Sales", "Net segment margin"}
    assert len(shared) > 25
    for figure, pages in shared.items():
        amounts = [amount for amount, _ in pages.values()]
        assert max(amounts) - min(amounts) <= max(step for _, step in pages.values()) / 2, (figure, pages)
