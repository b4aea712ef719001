"""What is generated and committed is what would be generated now; notebooks and files are in the order agreed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crmlib.declared.reading import DECLARED, PROJECT
from crmlib.declared.settings import Settings

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


def cells_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in cells_of(path) if cell["cell_type"] == "code"]


def tags(cell: dict[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def test_environment_yml_is_what_pyproject_toml_generates(tmp_path: Path) -> None:
    command = re.search(r"\$\(BIN\)/(pyproject2conda .+) -o environment\.yml", (PROJECT / "Makefile").read_text())
    assert command
    words = [word.strip("'\"") for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", command[1])]
    program = Path(sys.executable).parent / words[0]
    subprocess.run(
        [program, *words[1:], "-o", tmp_path / "environment.yml"], cwd=PROJECT, check=True, capture_output=True
    )
    made, kept = ((folder / "environment.yml").read_text().partition("name:")[2] for folder in (tmp_path, PROJECT))
    assert kept == made


def test_the_schema_for_editors_is_the_models(tmp_path: Path) -> None:
    kept = (DECLARED / "engagement.schema.json").read_text(encoding="utf-8")
    assert kept == json.dumps(Settings.model_json_schema(), indent=1) + "\n"


def test_the_sample_and_its_page_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, PROJECT / "data" / "generate.py", "--out", tmp_path], check=True, capture_output=True
    )
    sample = PROJECT / "data" / "sample"
    kept = {str(p.relative_to(sample)): p for p in sample.rglob("*") if p.is_file()}
    kept["README.md"] = PROJECT / "data" / "README.md"
    made = {str(p.relative_to(tmp_path)): p for p in tmp_path.rglob("*") if p.is_file()}
    assert set(made) == set(kept)
    assert [name for name in sorted(made) if made[name].read_bytes() != kept[name].read_bytes()] == []
    assert sum(path.stat().st_size for path in kept.values()) < 10_000_000


def test_no_address_of_a_registry_is_pinned() -> None:
    for name in ("constraints.txt", "environment.yml", "pyproject.toml"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|-url|-links| @ ", text), name
    pins = [
        line
        for line in (PROJECT / "constraints.txt").read_text().splitlines()
        if line and not line.lstrip().startswith("#")
    ]
    assert len(pins) > 50
    assert all(re.match(r"[\w.-]+==[\w.!+]+( ;.+)?$", pin) for pin in pins)


def test_importing_crmlib_loads_nothing_heavy() -> None:
    code = "import sys, crmlib; print([m for m in ('seaborn', 'sklearn', 'ibis', 'matplotlib', 'duckdb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "environment.yml", "constraints.txt",
     ".pre-commit-config.yaml", ".ci/run", "data/README.md", "reports/README.md"],
)  # fmt: skip
def test_what_a_newcomer_looks_for_is_there(name: str) -> None:
    assert (PROJECT / name).stat().st_size > 100


# --- notebooks -------------------------------------------------------------------------------------------------------


def test_the_notebooks_are_there() -> None:
    assert {
        "00_data_review",
        "11_strategy_review",
        "12_criteria",
        "21_segments",
        "27_profitability",
        "31_contribution_approach",
    } <= {path.stem for path in NOTEBOOKS}


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


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
    for line in "".join(cell["source"]).splitlines():
        assert re.fullmatch(r"\w+: \w+ = .+  # .+", line), line
        [statement] = ast.parse(line).body
        assert isinstance(statement, ast.AnnAssign)
        assert statement.value is not None
        ast.literal_eval(statement.value)


@each_notebook
def test_a_notebooks_code_cells_are_at_most_15_lines(path: Path) -> None:
    assert {c["id"]: n for c in code_of(path) if (n := len("".join(c["source"]).splitlines())) > 15} == {}


@each_notebook
def test_a_notebook_defines_and_prints_nothing_and_is_of_20_to_45_cells(path: Path) -> None:
    found = []
    for cell in code_of(path):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if called or isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((cell["id"], ast.unparse(node)[:60]))
    assert found == []
    assert 20 <= len(cells_of(path)) <= 45


@each_notebook
def test_a_notebook_has_no_path_of_a_machine(path: Path) -> None:
    assert not re.search(r"/(home|root|tmp|work|Users)/|[A-Z]:\\\\", path.read_text(encoding="utf-8"))
