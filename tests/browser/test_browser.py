"""Pages as a browser shows them, from disk and with the network off: nothing is asked for, nothing complains, nobody is shut out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from crmlib.output.pdf import browser, export_pdf
from crmlib.run.report import Request, run_report

if not browser():
    pytest.skip("no Chromium on this machine: pages are not looked at in a browser", allow_module_level=True)
sync = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole report of the sample."""
    return run_report(
        "data/sample", Request(parameters={"period": "2025"}, out=tmp_path_factory.mktemp("reports"))
    ).folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_opens_from_disk_without_a_request_a_complaint_or_a_barrier(
    report: Path, chromium: Any, width: int
) -> None:
    for file in sorted(report.glob("*.html")):
        context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
        page, asked, said = context.new_page(), [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(file.as_uri())
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.name
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in pairwise(levels)), (file.name, levels)
        found = axe.Axe().run(page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in {"serious", "critical"}]
        assert serious == [], file.name
        context.close()


def test_the_pdf_holds_every_page_with_contents_and_numbers(report: Path) -> None:
    from pypdf import PdfReader

    printed = PdfReader(export_pdf(report, "Tallow & Reed")).pages
    pages = [unicodedata.normalize("NFKC", page.extract_text()) for page in printed]  # fi may be one letter
    titles = ["Data review", "Customer profitability report", "About these figures"]
    contents = pages[1]
    assert "Contents" in contents
    for title in titles:
        number = int(next(line for line in contents.splitlines() if line.startswith(title)).split()[-1])
        assert title in pages[number - 1]
    assert f"{len(pages)} / {len(pages)}" in pages[-1]
