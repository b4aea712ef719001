"""Engagements for the tests: the sample's books, opened once, and small ones written beside what is expected of them."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings

from crmlib.books import cache
from crmlib.books.ledger import Ledger
from crmlib.books.stored import Books, open_books
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import PROJECT

settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    max_examples=30,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # shrinking whole ledgers takes minutes; examples are small anyway
)
settings.register_profile("long", settings.get_profile("tests"), max_examples=300)
settings.load_profile("tests")


def costly(examples: int) -> settings:
    """A property that opens books for each example: so many where others have 30, and ten times as many in `make test-long`."""
    return settings(max_examples=examples * settings().max_examples // 30)


Table = str | Sequence[Mapping[str, object]]
SMALLEST: dict[str, Table] = {
    "customers": "customer_id, customer_name\nA, Adler\nB, Birch",
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50",
}


def values(ledger: Ledger, table: str, *columns: str) -> list[Any]:
    """The values of a column of a typed table, or tuples of several, in the order of the source."""
    named = ", ".join(f'"{column}"' for column in columns)
    rows = ledger.con.execute(f"SELECT {named} FROM typed.{table} ORDER BY _file, _row").fetchall()
    return [row[0] if len(columns) == 1 else row for row in rows]


def write_engagement(
    folder: Path, tables: Mapping[str, Table], /, *, statement: Sequence[Mapping[str, Any]] | None = None, **given: Any
) -> Path:
    """An engagement of 2024 (unless settings say otherwise) with these tables as CSV; returns its folder.

    A table is text, one row a line, cells set apart by commas and any blanks, or a sequence of mappings.
    """
    (folder / "ledger").mkdir(parents=True)
    content = {"client": "Test", "currency": "USD", "coverage": {"start": "2024-01", "end": "2024-12"}, **given}
    (folder / "engagement.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    if statement is not None:
        (folder / "statement.yml").write_text(yaml.safe_dump({"lines": list(map(dict, statement))}), encoding="utf-8")
    for name, table in tables.items():
        with (folder / "ledger" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(_rows(table))
    return folder


def _rows(table: Table) -> list[list[object]]:
    if isinstance(table, str):
        return [[cell.strip() for cell in line.split(",")] for line in table.strip().splitlines()]
    header = list(dict.fromkeys(name for row in table for name in row))
    return [header, *([row.get(name, "") for name in header] for row in table)]


def default_statement(**changed: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The lines of the default statement, some with keys changed; a line that is None is left out."""
    lines = yaml.safe_load((PROJECT / "crmlib" / "declared" / "statement.yml").read_text(encoding="utf-8"))["lines"]
    assert not set(changed) - {line["id"] for line in lines}
    kept = [line for line in lines if changed.get(line["id"], {}) is not None]
    return [{**line, **(changed.get(line["id"]) or {})} for line in kept]


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole session, shared by the workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "crm-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the cache of the checkout."""
    monkeypatch.setenv("CRM_CACHE", str(tmp_path / "crm-cache"))


@pytest.fixture(scope="session")
def sample(session_cache: Path) -> Books:
    """The books of the sample engagement."""
    with pytest.MonkeyPatch.context() as patch, _one_at_a_time(session_cache / "lock"):
        patch.setenv("CRM_CACHE", str(session_cache))
        return open_books(PROJECT / "data" / "sample")


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # without locks each worker fills the cache for itself, by rename
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def make_engagement(tmp_path: Path) -> Callable[..., Path]:
    """Write an engagement (as `write_engagement`, from the smallest ledger on) into a folder of its own."""
    made: list[Path] = []

    def make(tables: Mapping[str, Table] | None = None, /, **given: Any) -> Path:
        made.append(write_engagement(tmp_path / f"client-{len(made)}", {**SMALLEST, **(tables or {})}, **given))
        return made[-1]

    return make


@pytest.fixture
def make_books(tmp_path: Path, session_cache: Path) -> Callable[..., Books]:
    """Write an engagement and open its books, which are computed once in a session for all of the same content."""
    made = itertools.count()

    def make(tables: Mapping[str, Table] | None = None, /, **given: Any) -> Books:
        content = {**SMALLEST, **(tables or {})}
        name = hashlib.sha256(repr((content, given)).encode()).hexdigest()[:12]
        folder = write_engagement(tmp_path / f"books-{next(made)}" / name, content, **given)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRM_CACHE", str(session_cache))
            return open_books(folder)

    return make


@pytest.fixture
def compute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first books are computed and all others copied from them: where they are kept is what is tested."""
    compute, first = cache._compute, tmp_path / "first"

    def copied(engagement: Engagement, work: Path) -> str:
        if first.exists():
            shutil.copytree(first, work, dirs_exist_ok=True)
            return ""
        state = compute(engagement, work)
        shutil.copytree(work, first)
        return state

    monkeypatch.setattr(cache, "_compute", copied)


def cells(frame: pd.DataFrame) -> dict[tuple[Any, ...], Any]:
    """A roll-up as amounts that are not zero, by level, owner, month and column."""
    amounts = [c for c in frame.columns if c not in {"level", "owner", "month"}]
    return {
        (row["level"], row["owner"], str(row["month"])[:10], column): row[column]
        for row in frame.to_dict("records")
        for column in amounts
        if row[column] is not None and row[column] == row[column] and row[column] != 0
    }
