"""The pages of a report as one PDF, printed by the Chromium that is on the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from crmlib.declared.reading import CrmError
from crmlib.output.page import rendered

if TYPE_CHECKING:
    from bs4 import Tag

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
QUIET = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-pdf-header-footer")  # fmt: skip
LONGEST_SECONDS = 300


def browser() -> str:
    """The first Chromium on the machine; '' where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), "")


def need_browser() -> None:
    """Raise CrmError where nothing here can print."""
    if not browser():
        raise CrmError("no PDF: there is no Chromium or Chrome here; install one, or open index.html and print it")


def print_page(html: Path) -> None:
    """Print one page into a PDF of its name beside it; errors as `export_pdf`."""
    need_browser()
    with TemporaryDirectory() as work:
        _print(html, html.with_suffix(".pdf"), Path(work))


def export_pdf(folder: Path, heading: str) -> Path:
    """Print the summary and every page of a report, with contents and page numbers, into report.pdf beside them.

    Raises
    ------
    CrmError
        There is no Chromium on this machine, or it could not print.
    """
    from pypdf import PdfReader

    need_browser()
    files = [folder / "index.html", *sorted(folder.glob("[0-9][0-9]_*.html")), folder / "about.html"]
    parts = [(file.stem, *_part(file)) for file in files]
    numbers: dict[str, int] = {}
    with TemporaryDirectory() as work:
        for _ in range(2):  # the first print tells on which page each part begins
            html, printed = Path(work, "report.html"), Path(work, "report.pdf")
            html.write_text(rendered("pdf.html.j2", heading=heading, parts=parts, numbers=numbers), encoding="utf-8")
            _print(html, printed, Path(work, "profile"))
            reader = PdfReader(printed)
            places = {name.lstrip("/"): place for name, place in reader.named_destinations.items()}
            there = [name for name, *_ in parts if name in places]
            numbers = {name: (reader.get_destination_page_number(places[name]) or 0) + 1 for name in there}
        shutil.copy2(printed, folder / "report.pdf.new")
    (folder / "report.pdf.new").replace(folder / "report.pdf")
    return folder / "report.pdf"


def _part(file: Path) -> tuple[str, str]:
    """Title and content of a page, its places and links named apart from those of the others."""
    from bs4 import BeautifulSoup

    main = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser").select("main")[0]
    for tag in main.find_all(True):
        _rename(tag, file.stem)
    title = main.find("h1")
    return title.get_text() if title else file.stem, main.decode_contents()


def _rename(tag: Tag, page: str) -> None:
    for name in ("id", "aria-labelledby"):
        if tag.get(name) and not re.fullmatch(r"t[0-9a-f]{12}", str(tag[name])):  # a table's style goes by its name
            tag[name] = f"{page}-{tag[name]}"
    link = str(tag.get("href", ""))
    found = re.fullmatch(r"([\w%.-]*?)(?:\.html)?(#.+)?", link)
    if found and (link.startswith("#") or ".html" in link):
        target, place = found[1] or page, (found[2] or "").removeprefix("#")
        tag["href"] = f"#{target}-{place}" if place else f"#{target}"
    elif "href" in tag.attrs:
        del tag["href"]  # a file that lies beside the page and not in the PDF


def _print(html: Path, pdf: Path, profile: Path) -> None:
    alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [browser(), *QUIET, *alone, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", html.as_uri()]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=LONGEST_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        raise CrmError(f"no PDF: {Path(command[0]).name} could not print ({type(error).__name__})") from None
    if not pdf.exists():
        raise CrmError(f"no PDF: {Path(command[0]).name} printed nothing; open index.html and print it")
