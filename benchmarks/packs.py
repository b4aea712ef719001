"""Fact packs with their pages, by `crm run --for`, beside as many papermill runs one after another: wall and CPU, in one run.

python benchmarks/packs.py --packs 30
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import papermill

from crmlib.books.stored import open_books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import PROJECT
from crmlib.run.packs import accounts_for, run_packs
from crmlib.run.plan import file_part
from crmlib.run.report import Request

ENGAGEMENT, PERIOD = PROJECT / "data" / "sample", "2025"
NOTEBOOK = PROJECT / "notebooks" / "23_account_review.ipynb"


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of CPU, of this process and of those that it has ended."""
    before, begun = os.times(), time.perf_counter()
    work()
    after = os.times()
    return time.perf_counter() - begun, sum(after[:4]) - sum(before[:4])


def outputs(path: Path) -> list[Any]:
    """What the cells show that know of the account."""
    cells = nbformat.read(path, as_version=4).cells
    return [
        (cell.id, output.get("data", output.get("text")))
        for cell in cells if not {"once", "injected-parameters", "study"} & set(cell.metadata.get("tags", []))
        for output in cell.get("outputs", [])
    ]  # fmt: skip


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    books = open_books(open_engagement(ENGAGEMENT))  # so that neither way builds the cache
    who = accounts_for(books, books.period(PERIOD), ["all"])["customer_id"].head(asked.packs).tolist()
    with tempfile.TemporaryDirectory() as folder:
        made, alone = Path(folder, "packs"), Path(folder, "alone")
        alone.mkdir()
        request = Request(only=("23",), parameters={"period": PERIOD}, jobs=asked.jobs, out=made)
        given = {"engagement": str(ENGAGEMENT), "period": PERIOD}
        packs = measured(lambda: run_packs(ENGAGEMENT, who, request, tell=lambda step: None))
        runs = measured(lambda: [
            papermill.execute_notebook(NOTEBOOK, alone / f"{file_part(one)}.ipynb", {**given, "customer_id": one}, progress_bar=False)
            for one in who
        ])  # fmt: skip
        home = made / ENGAGEMENT.name / f"{PERIOD}-accounts"
        for one in who:
            assert (home / f"{file_part(one)}.html").stat().st_size > 100_000
            assert outputs(home / f"{file_part(one)}.ipynb") == outputs(alone / f"{file_part(one)}.ipynb"), one
    print(f"{len(who)} packs with pages: {packs[0]:.1f} s, {packs[1]:.1f} CPU s, {asked.jobs} at a time")
    print(f"{len(who)} papermill runs one after another: {runs[0]:.1f} s, {runs[1]:.1f} CPU s")
    print(
        f"ratio: {packs[0] / runs[0]:.2f} of the time, {packs[1] / runs[1]:.2f} of the CPU; outputs compared and equal"
    )


if __name__ == "__main__":
    main()
