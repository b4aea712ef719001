"""The cache decides between today's figures and yesterday's: its key, its wholeness, and what killed runs leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from crmlib.books import cache, keeping, stored
from crmlib.books.stored import Books, open_books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import DECLARED, CrmError, DataRejected, SettingsError
from crmlib.profitability import firm_profitability
from crmlib.run.messages import os_error, os_error_message

Make = Callable[..., Path]
CREDITS = "SELECT customer_id, date, kind, CAST(amount AS DECIMAL(18, 2)) AS amount FROM extra"
EXTRA = "customer_id, date, kind, amount\nA, 2024-03-01, rebate, 10.00"


def sales_of(books: Books) -> Any:
    return firm_profitability(books, books.period("2024"))["sales"]


def net_of(books: Books) -> Any:
    return firm_profitability(books, books.period("2024"))["net_sales"]


# --- the key ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mapped(make_engagement: Make) -> Path:
    """An engagement whose credits come from a .sql file."""
    folder = make_engagement({"extra": EXTRA}, tables={"credits": {"source": "credits.sql"}})
    (folder / "credits.sql").write_text(CREDITS)
    return folder


def test_another_query_gives_other_books(mapped: Path) -> None:
    assert net_of(open_books(mapped)) == 140
    (mapped / "credits.sql").write_text(CREDITS.replace("CAST(", "2 * CAST("))
    assert net_of(open_books(mapped)) == 130


def test_another_file_under_a_query_gives_other_books(mapped: Path) -> None:
    assert net_of(open_books(mapped)) == 140
    (mapped / "ledger/extra.csv").write_text(EXTRA.replace("10.00", "99.00").replace(", ", ","))
    assert net_of(open_books(mapped)) == 51


def test_another_statement_gives_other_books(make_engagement: Make) -> None:
    folder, first = make_engagement(), []
    for label in ("Sales", "Turnover"):
        text = (DECLARED / "statement.yml").read_text(encoding="utf-8")
        (folder / "statement.yml").write_text(text.replace("label: Sales,", f"label: {label},"), encoding="utf-8")
        first.append(open_books(folder).statement["sales"].label)
    assert first == ["Sales", "Turnover"]


@pytest.mark.usefixtures("compute_once")
def test_everything_that_reads_and_checks_the_books_is_in_the_key(make_engagement: Make, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    floors = [Path(cache.__file__).parent, DECLARED]
    files = {
        f"{floor.name}/{f.name}" for floor in floors for f in floor.iterdir() if f.suffix in {".py", ".yml", ".sql"}
    }
    assert {
        "books/checks.yml",
        "books/views.sql",
        "books/tie_out.sql",
        "declared/statement.yml",
        "declared/ledger.yml",
    } <= files
    assert list(cache.FLOORS) == floors
    copies = [Path(shutil.copytree(floor, tmp_path / floor.name)) for floor in floors]
    monkeypatch.setattr(cache, "FLOORS", copies)
    monkeypatch.setattr(cache, "_code_hashes", cache._code_hashes.__wrapped__)  # each time as in a process of its own
    folder = make_engagement()
    seen = {open_books(folder).cache}
    for name in ("books/checks.yml", "books/views.sql", "declared/statement.yml", "books/typing.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
        seen.add(open_books(folder).cache)
    assert len(seen) == 5


def test_a_file_that_changes_while_it_is_read_is_refused(make_engagement: Make, monkeypatch: pytest.MonkeyPatch,
                                                        tmp_path: Path) -> None:  # fmt: skip
    folder, compute = make_engagement(), cache._compute
    file = folder / "ledger/invoice_lines.csv"

    def meanwhile(*given: Any) -> None:
        file.write_text(file.read_text().replace("100", "101"))
        compute(*given)

    monkeypatch.setattr(cache, "_compute", meanwhile)
    with pytest.raises(SettingsError, match=r"invoice_lines\.csv changed"):
        open_books(folder)
    assert not list((tmp_path / "crm-cache").iterdir())


def test_a_file_that_changes_and_changes_back_while_it_is_read_is_refused(make_engagement: Make,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    folder, compute = make_engagement(), cache._compute
    file = folder / "ledger/invoice_lines.csv"

    def meanwhile(*given: Any) -> str:
        content = file.read_bytes()
        file.write_bytes(content.replace(b"100", b"101"))
        state = compute(*given)
        file.write_bytes(content)
        return state

    monkeypatch.setattr(cache, "_compute", meanwhile)
    with pytest.raises(SettingsError, match=r"invoice_lines\.csv changed"):
        open_books(folder)


@pytest.mark.usefixtures("compute_once")
def test_other_settings_other_segments_and_other_versions_are_other_books(make_engagement: Make,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    folder = make_engagement()
    kept = [open_books(folder).cache]
    (folder / "engagement.yml").write_text(f"{(folder / 'engagement.yml').read_text()}\nhorizon_months: 3\n")
    kept.append(open_books(folder).cache)
    (folder / "judgement").mkdir()
    rule = "{segment: %s, when: [], because: all, stance: keep}"
    for name in ("All", "Everybody"):
        (folder / "judgement/segments.yml").write_text(f"rules: [{rule % name}]\n")
        kept.append(open_books(folder).cache)
    monkeypatch.setattr(cache, "versions", lambda: {"duckdb": "99"})
    kept.append(open_books(folder).cache)
    assert len({*kept}) == len(kept) == 5


# --- wholeness -------------------------------------------------------------------------------------------------------


def empty(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")


def remove(folder: Path, name: str) -> None:
    (folder / name).unlink()


@pytest.mark.usefixtures("compute_once")
@pytest.mark.parametrize("harm", [empty, remove])
def test_a_cache_that_lost_anything_is_filled_anew(make_engagement: Make, harm: Callable[[Path, str], None]) -> None:
    folder = make_engagement()
    kept = open_books(folder).cache
    names = sorted(str(f.relative_to(kept)) for f in kept.rglob("*") if f.is_file())
    assert "books.json" in names
    for name in names:
        harm(kept, name)
        books = open_books(folder)
        assert (books.cache, sales_of(books)) == (kept, 150)
        assert sorted(str(f.relative_to(kept)) for f in kept.rglob("*") if f.is_file()) == names


@pytest.mark.usefixtures("compute_once")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"lines": []}', None])
def test_a_folder_that_is_there_already_is_no_obstacle(make_engagement: Make, content: str | None) -> None:
    folder = make_engagement()
    kept = open_books(folder).cache
    shutil.rmtree(kept)
    if content is None:
        kept.write_text("a file")
    else:
        kept.mkdir()
        (kept / "books.json").write_text(content)
        (kept / "stray.parquet").write_bytes(b"PAR1")
    assert sales_of(open_books(folder)) == 150


def test_the_record_names_every_file_and_its_size(make_engagement: Make) -> None:
    kept = open_books(make_engagement()).cache
    files = json.loads((kept / "books.json").read_text())["files"]
    assert files == {
        str(f.relative_to(kept)): f.stat().st_size for f in kept.rglob("*") if f.name != "books.json" and f.is_file()
    }


def test_what_killed_runs_left_is_swept_and_a_run_in_progress_is_not(
    make_engagement: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, compute, filled = tmp_path / "crm-cache", cache._compute, list[Path]()
    monkeypatch.setattr(cache, "_compute", lambda engagement, work: filled.append(work) or compute(engagement, work))
    hold = f"import fcntl, os, sys; fcntl.flock(os.open({str(home / '.filling-live')!r}, os.O_RDONLY), fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"
    for name in (".filling-dead", ".filling-live"):
        (home / name).mkdir(parents=True)
        (home / name / "cube.parquet").write_bytes(b"x")
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        open_books(folder := make_engagement())
        assert [p.name for p in home.glob(".filling-*")] == [".filling-live"]
        run.kill()
    open_books(folder)  # by a run that has nothing to fill, too
    assert not list(home.glob(".filling-*"))
    assert [work.match(".filling-*") for work in filled] == [True]


def test_a_cache_that_cannot_be_written_says_where(make_engagement: Make, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CRM_CACHE", str(tmp_path / "file"))
    with pytest.raises(CrmError, match="set CRM_CACHE to a folder"):
        open_books(make_engagement())


def test_a_full_disk_is_no_fault_of_the_tables(make_engagement: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise duckdb.IOException('IO Error: Could not write file "rates.parquet": No space left on device')

    monkeypatch.setattr("crmlib.books.reader._make_typed", full)
    with pytest.raises(CrmError, match="No space left on device; make room"):
        open_books(make_engagement())
    with pytest.raises(duckdb.IOException) as error:
        full()
    refused = os_error(error.value)
    assert refused
    assert "the disk is full" in os_error_message(refused, Path(), Path())


def test_a_file_that_is_put_beside_the_books_and_cannot_be_read_is_not_hidden_by_the_cache(
    make_engagement: Make,
) -> None:
    folder = make_engagement()
    open_books(folder)
    (folder / "ledger/credits.xls").write_text("")
    with pytest.raises(DataRejected, match=r"credits\.xls"):
        open_books(folder)


def test_the_write_ahead_log_of_a_database_is_part_of_the_data(make_engagement: Make) -> None:
    from crmlib.books.raw import source_files

    folder = make_engagement(source="client.duckdb")
    for name in ("client.duckdb", "client.duckdb.wal"):
        (folder / name).write_bytes(b"")
    assert list(source_files(open_engagement(folder))) == ["client.duckdb", "client.duckdb.wal"]
    (folder / "client.duckdb.wal").unlink()
    assert list(source_files(open_engagement(folder))) == ["client.duckdb"]


# --- what was made of the books --------------------------------------------------------------------------------------


class Counted:
    """A function of books that says how often it was made; two of it stand for two processes."""

    def __init__(self) -> None:
        self.calls = 0
        self.here, self.there = stored.shared(self.made), stored.shared(self.made)

    def made(self, books: Books, period: str = "2024", *, seed: int = 0) -> pd.DataFrame:
        self.calls += 1
        return pd.DataFrame({"call": [self.calls]})


def test_what_is_asked_again_is_made_once_however_it_is_written(make_engagement: Make) -> None:
    folder, counted = make_engagement(), Counted()
    first, again = open_books(folder), open_books(folder)
    own = counted.here(first)
    own.loc[0, "call"] = 99  # nobody else's
    asked = [counted.here(again), counted.here(again, "2024"), counted.here(first, period="2024", seed=0)]
    assert (counted.calls, [frame["call"].item() for frame in asked]) == (1, [1, 1, 1])


def test_what_is_wrapped_already_is_not_wrapped_again() -> None:
    with pytest.raises(TypeError, match=r"Counted.made is wrapped already"):
        stored.shared(stored.shared(Counted().made))


def test_other_judgement_settings_attributes_periods_and_numbers_are_made_anew(make_engagement: Make) -> None:
    folder, counted = make_engagement(), Counted()
    opened = open_books(folder)
    rates = opened.engagement.settings.model_copy(update={"client": "Another"})
    others = [replace(opened, added="segments"), replace(opened, engagement=replace(opened.engagement, settings=rates))]
    for books in (opened, *others):
        counted.here(books)
    counted.here(opened, "2025")
    counted.here(opened, seed=1)
    (folder / "judgement").mkdir(exist_ok=True)
    for calls, text in enumerate(("hold: 0.1", "hold: 0.2"), 6):
        (folder / "judgement/segments.yml").write_text(text)
        counted.here(opened)
        assert counted.calls == calls


def test_the_processes_of_a_run_make_it_once_and_each_for_itself_where_nothing_can_be_written(
        make_engagement: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    books, counted = open_books(make_engagement()), Counted()
    with keeping.sharing(tmp_path):
        assert counted.here(books).equals(counted.there(books))
        assert counted.calls == 1
        monkeypatch.setattr(Path, "write_bytes", lambda self, content: (_ for _ in ()).throw(OSError("full")))
        counted.here(books, "2025")
        counted.there(books, "2025")
    assert counted.calls == 3
    Counted().here(books)
    assert keeping.FOLDER not in os.environ
