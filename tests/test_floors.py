"""The floors of the house: arrows go down only, and each thing is done in one place."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from crmlib.declared.reading import PACKAGE, PROJECT

FLOORS = {"declared": set(), "books": {"declared"}, "look": {"declared"}, "chapter": {"books", "declared"},
          "output": {"chapter", "look", "books", "declared"}, "run": {"output", "chapter", "look", "books", "declared"}}  # fmt: skip
ROOM = 50  # lines that a floor may be below what is said of it: more were taken away, and that is to be said
FILES = sorted(PACKAGE.rglob("*.py"))


def floor(module: str) -> str:
    """The floor of crmlib.x.y; the flat files are the chapter."""
    first = module.split(".")[1] if "." in module else ""
    return first if first in FLOORS else "chapter"


@functools.cache
def imports(file: Path) -> list[tuple[str, str]]:
    """Module and name of everything that a file imports, wherever in it."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = (PACKAGE / (node.module or "").removeprefix("crmlib").strip(".").replace(".", "/")).is_dir()
            found += ((f"{node.module}.{a.name}" if inside else str(node.module), a.name) for a in node.names)
    return found


each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


@each_file
def test_arrows_go_down_only_and_no_private_name_crosses_a_file(file: Path) -> None:
    here = floor(f"crmlib.{file.relative_to(PACKAGE).as_posix()}".replace("/", ".").removesuffix(".py"))
    ours = [(module, name) for module, name in imports(file) if module.split(".")[0] == "crmlib"]
    up = [module for module, name in ours if name != "__version__" and floor(module) not in {here, *FLOORS[here]}]
    beyond = [
        module
        for module, _ in ours
        if here == "chapter" and floor(module) == "books" and module != "crmlib.books.stored"
    ]
    private = [name for _, name in ours if name.startswith("_") and name != "__version__"]
    assert (up, beyond, private) == ([], [], [])


@each_file
def test_the_engine_stays_in_books_and_yaml_is_read_in_one_place(file: Path) -> None:
    roots, inside = {module.split(".")[0] for module, _ in imports(file)}, file.relative_to(PACKAGE).as_posix()
    assert inside.startswith("books/") or not roots & {"duckdb", "sqlglot"}
    assert inside == "declared/reading.py" or "yaml" not in roots


@each_file
def test_no_file_is_longer_than_can_be_read_at_once(file: Path) -> None:
    assert code_lines(file) <= 300


def test_every_floor_has_the_lines_that_contributing_says_and_grows_only_where_that_is_changed() -> None:
    counted: Counter[str] = Counter()
    for file in FILES:
        counted[floor(f"crmlib.{file.relative_to(PACKAGE).as_posix()}".replace("/", "."))] += code_lines(file)
    said = re.findall(r"(\w+) ([\d,]+) of [\d,]+", (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    limits = {name.replace("helper", "chapter"): int(count.replace(",", "")) for name, count in said}
    assert {name: -ROOM <= count - limits[name] <= 0 for name, count in counted.items()} == dict.fromkeys(FLOORS, True)


@functools.cache
def code_lines(file: Path) -> int:
    """How many lines of a file are code: no docstring, comment or blank."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.stmt) and not _is_docstring(node))
    return len({line for node in nodes for line in _own_lines(node)})


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _own_lines(node: ast.stmt) -> range:
    """The lines of a simple statement, or of the head of one that holds others."""
    body = getattr(node, "body", None)
    last = (
        (body[0].lineno - 1 if body[0].lineno > node.lineno else node.lineno)
        if body
        else node.end_lineno or node.lineno
    )
    return range(node.lineno, last + 1)
