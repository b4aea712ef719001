"""All pages of a report: those of the notebooks, the one about the figures, the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crmlib.books.stored import Books
from crmlib.declared.periods import Period
from crmlib.output.about import write_about
from crmlib.output.index import write_index
from crmlib.output.page import Page, findings_of, write_page


def write_site(folder: Path, books: Books, period: Period, pages: Sequence[Page]) -> None:
    """Write the pages of the executed notebooks in a folder, what is about them, and the index.

    The folder holds the data of the report; errors as `write_page`.
    """
    import nbformat

    executed = {page.html: nbformat.read(folder / page.notebook, as_version=4) for page in pages}  # type: ignore[no-untyped-call]
    for name, notebook in executed.items():
        write_page(notebook, folder / name, pages=pages)
    write_about(folder, books, period, pages, executed)
    findings = [finding for name, notebook in executed.items() for finding in findings_of(notebook, name)]
    write_index(folder, books, period, pages, findings, pd.read_parquet(folder / "data" / "actions.parquet"))
