"""One page about the figures: what they rest on, what they are called, how they were checked and made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.rollups import ROUNDING_RULE
from crmlib.books.stored import Books, standing
from crmlib.declared.periods import Period
from crmlib.declared.terms import objectives, terms
from crmlib.declared.versions import versions
from crmlib.look.words import counted, heading
from crmlib.output.page import Page, rendered, tags_of, write_page

if TYPE_CHECKING:
    from nbformat import NotebookNode

PARTS = (
    "How far they can be trusted",
    "What they are called",
    "Where the process stands in the pages",
    "How they were made",
)
CSV_HINT = (
    "The CSV files are UTF-8 with every field in quotation marks. In Excel use Data, From Text/CSV and set every column of "
    "text to type Text: opened by a double click, 00123 loses its zeros and text that begins with = + - @ is read as a formula."
)


def write_about(
    folder: Path, books: Books, period: Period, pages: Sequence[Page], executed: Mapping[str, NotebookNode]
) -> None:
    """Write about.html: facts, terms, run times, and the cells that notebooks tag `about`, by the page's file in `executed`."""
    from nbformat import v4

    text = rendered(
        "about.html.j2", standing=standing(books), checks=_checks(books), facts={"Data (SHA-256)": books.data_hash, **versions()},
        terms=[(heading(term.label), term.definition, term.base) for term in terms().values()], rounding=ROUNDING_RULE, csv_hint=CSV_HINT,
        pages=pages, objectives=objectives(), by_number={page.number: page for page in pages},
    )  # fmt: skip
    made: Any = v4
    cells = [made.new_markdown_cell("# About these figures")]
    for title, part in zip(PARTS, text.split("<hr>"), strict=True):
        output = made.new_output("display_data", data={"text/html": part})
        cells += [made.new_markdown_cell(f"## {title}"), made.new_code_cell("", outputs=[output])]
    cells += [cell for page in pages for cell in executed[page.html].cells if "about" in tags_of(cell)]
    for place, cell in enumerate(cells):
        cell.id, cell.metadata = f"about-{place}", {}
    runner = {"client": books.engagement.settings.client, "period": period.words}
    write_page(made.new_notebook(cells=cells, metadata={"crm": runner}), folder / "about.html", pages=pages)


def _checks(books: Books) -> list[str]:
    """Whether the books agree with the general ledger and in themselves, and what was found in them."""
    controls, checks = books.control_totals, len(books.tie_out)
    warnings = books.findings[books.findings["verdict"] == "warn"]
    warned, kinds = int(warnings["count"].sum()), warnings["code"].nunique()
    return [
        f"The books and the general ledger agree to the cent: {counted(controls, 'total')} tied out."
        if controls else "No total of the general ledger is there to hold these books against.",
        f"The report adds up to the books: {counted(checks, 'check')} tied out to the cent.",
        f"Checks of the books: {counted(warned, 'warning')} of {counted(kinds, 'kind')}." if warned else "Checks of the books: no warnings.",
    ]  # fmt: skip
