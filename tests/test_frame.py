"""What is generated and committed is what would be generated now, and what a newcomer looks for is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crmlib.declared.reading import DECLARED, PROJECT
from crmlib.declared.settings import Settings


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
    code = "import sys, crmlib; print([m for m in ('seaborn', 'sklearn', 'matplotlib', 'duckdb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "environment.yml", "constraints.txt",
     ".pre-commit-config.yaml", ".ci/run", "data/README.md", "reports/README.md"],
)  # fmt: skip
def test_what_a_newcomer_looks_for_is_there(name: str) -> None:
    assert (PROJECT / name).stat().st_size > 100
