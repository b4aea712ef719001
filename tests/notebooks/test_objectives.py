"""The chapter's ten learning objectives: each has its notebook and its section, and the README says so."""

from __future__ import annotations

import json
import re

import pytest

from crmlib.declared.reading import PROJECT
from crmlib.declared.terms import objectives

NOTEBOOKS = {path.stem[:2]: path for path in (PROJECT / "notebooks").glob("*.ipynb")}


def headings(number: str) -> set[str]:
    cells = json.loads(NOTEBOOKS[number].read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()]
    return {line.lstrip("# ") for line in lines if line.startswith("#")}


def test_there_are_ten() -> None:
    assert len(objectives()) == 10


@pytest.mark.parametrize("objective", objectives())
def test_an_objective_has_its_sections_and_its_row_in_the_readme(objective: str) -> None:
    places = objectives()[objective]
    assert [(number, heading) for number, heading in places if heading not in headings(number)] == []
    [row] = re.findall(
        rf"^\| {re.escape(objective)} \| (.+) \|$", (PROJECT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"\d\d", row)) == {number for number, _ in places}
