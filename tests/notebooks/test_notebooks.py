"""How the notebooks are written: cells that read like analysis, each name with one meaning, nothing of one machine."""

from __future__ import annotations

import ast
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmlib.declared.reading import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
REUSED = {"title", "what", "chart"}  # what one exhibit says of itself: anew in each cell
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def length(cell: dict[str, Any]) -> int:
    return len(source(cell).splitlines())


def assigned(tree: ast.AST) -> Iterator[str]:
    """The names that a cell gives a value; those of a comprehension are its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For):
            named = (n for target in targets if target for n in ast.walk(target) if isinstance(n, ast.Name))
            yield from (name.id for name in named if isinstance(name.ctx, ast.Store))


def sentence_conditions(cell: dict[str, Any]) -> int:
    """Conditional expressions that build a sentence."""
    choices = [node for node in ast.walk(ast.parse(source(cell))) if isinstance(node, ast.IfExp)]
    return sum(
        any(
            isinstance(part, ast.JoinedStr)
            or (isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value)
            for part in ast.walk(choice)
        )
        for choice in choices
    )


def test_the_notebooks_are_there() -> None:
    assert {
        "00_data_review",
        "11_strategy_review",
        "12_criteria",
        "14_metrics",
        "15_gain_sharing",
        "21_segments",
        "13_differentiation",
        "22_teams",
        "23_account_review",
        "24_opportunities",
        "25_agreements",
        "26_implementation",
        "27_profitability",
        "31_contribution_approach",
        "32_eva",
    } <= {path.stem for path in NOTEBOOKS}


@each_notebook
def test_a_notebook_is_committed_without_outputs_but_small_expected_ones(path: Path) -> None:
    with_output = [cell["id"] for cell in code_of(path) if cell["outputs"] and "nbval-check-output" not in tags(cell)]
    assert with_output == []
    assert all(cell["execution_count"] is None for cell in code_of(path) if not cell["outputs"])


@each_notebook
def test_a_notebooks_cells_have_readable_ids_of_their_own(path: Path) -> None:
    ids = [cell["id"] for cell in cells_of(path)]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", i)] == []


@each_notebook
def test_a_notebook_has_one_cell_of_parameters_with_literals_types_and_help(path: Path) -> None:
    [cell] = [cell for cell in code_of(path) if "parameters" in tags(cell)]
    for line in source(cell).splitlines():
        assert re.fullmatch(r"\w+: \w+ = .+  # .+", line), line
        [statement] = ast.parse(line).body
        assert isinstance(statement, ast.AnnAssign)
        assert statement.value is not None
        ast.literal_eval(statement.value)


@each_notebook
def test_a_notebook_defines_and_prints_nothing_and_is_of_20_to_45_cells(path: Path) -> None:
    wrong = []
    for cell in code_of(path):
        for node in ast.walk(ast.parse(source(cell))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if called or isinstance(node, ast.FunctionDef | ast.ClassDef):
                wrong.append((cell["id"], ast.unparse(node)[:60]))
    assert wrong == []
    assert 20 <= len(cells_of(path)) <= 45


@each_notebook
def test_a_notebooks_cells_are_short_and_no_line_runs_out_of_view(path: Path) -> None:
    lengths = [length(cell) for cell in code_of(path)]
    assert {c["id"]: n for c in code_of(path) if (n := length(c)) > 12 and "study" not in tags(c)} == {}
    assert sum(n <= 11 for n in lengths) >= 0.9 * len(lengths)
    assert [line for cell in code_of(path) for line in source(cell).splitlines() if len(line) > 100] == []


@each_notebook
def test_a_notebook_has_words_between_its_cells(path: Path) -> None:
    assert len(cells_of(path)) - len(code_of(path)) >= 0.8 * len(code_of(path))


@each_notebook
def test_a_name_has_one_meaning_in_a_notebook(path: Path) -> None:
    given: dict[str, str] = {}
    wrong = []
    for cell in code_of(path):
        for name in sorted(set(assigned(ast.parse(source(cell)))) - REUSED):
            if given.setdefault(name, cell["id"]) != cell["id"] and "study" not in tags(cell):
                wrong.append(f"{name}: {given[name]} and {cell['id']}")
    assert wrong == []


@each_notebook
def test_a_sentence_of_a_notebook_is_not_built_from_conditions(path: Path) -> None:
    assert sum(map(sentence_conditions, code_of(path))) <= 3


@each_notebook
def test_a_notebook_has_no_path_of_a_machine(path: Path) -> None:
    assert not re.search(r"/(home|root|tmp|work|Users)/|[A-Z]:\\\\", path.read_text(encoding="utf-8"))


def test_over_all_notebooks_half_of_the_cells_have_at_most_six_lines() -> None:
    medians = {path.stem: statistics.median(map(length, code_of(path))) for path in NOTEBOOKS}
    assert statistics.median(length(cell) for path in NOTEBOOKS for cell in code_of(path)) <= 6, medians
    assert sum(sentence_conditions(cell) for path in NOTEBOOKS for cell in code_of(path)) < 20


FIELD = re.compile(r"\{[^{}:]+:(?!money|size|percent|moved|rose|improves|contribute|does)[a-z][^{}]*\}\s+([a-z]+)")
UNCHANGING = (
    "in of on at for from by to with without into near outside behind against only each more less longer when before that who which and or "
    "would could will may can cannot must had bought brought came went grew sold shown it they named yet a the"
)


@each_notebook
def test_a_verb_after_a_count_or_a_list_agrees_with_it(path: Path) -> None:
    """One that has two forms is written ``{rows:does.stand}``; a form for one alone stands where the cell takes one."""
    templates = [
        node.value
        for cell in code_of(path)
        if "study" not in tags(cell)
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    words = {word for template in templates for word in FIELD.findall(template)}
    assert {word for word in words if not word.endswith(("ed", "s")) and word not in UNCHANGING.split()} == set()
