"""Whatever fails, and whenever: the old report or the new one stands, whole; the next run finishes; nothing is left running."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from test_runner import Place, fake_crmlib, gone, make_place, run_toy, write_toy

from crmlib.books.stored import open_books
from crmlib.declared.reading import CrmError
from crmlib.output import document
from crmlib.profitability import firm_profitability
from crmlib.run.plan import read_manifest

KILLS = 6 if settings().max_examples == 30 else 200  # by `make test-long`
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@dataclass
class _Disk:
    """A disk of which the n-th write below a folder fails, or all from the n-th on."""

    folder: str = ""
    failing: int = 0
    for_ever: bool = False
    seen: int = 0

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        writes = event in {"os.rename", "os.mkdir"} or (
            event == "open" and isinstance(args[2], int) and args[2] & WRITES
        )
        if self.folder and writes and str(args[0]).startswith(self.folder) and ".lock" not in str(args[0]):
            self.seen += 1
            full = self.for_ever and self.seen > self.failing > 0 and event != "os.rename"  # which needs no room
            if self.seen == self.failing or full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))


DISK = _Disk()
sys.addaudithook(DISK.hook)


@contextmanager
def failing(folder: Path, number: int, *, for_ever: bool = False) -> Iterator[None]:
    DISK.folder, DISK.failing, DISK.for_ever, DISK.seen = str(folder), number, for_ever, 0
    try:
        yield
    finally:
        DISK.folder = ""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = make_place(tmp_path / "a")
    fake_crmlib(made.root / "package", monkeypatch.setattr)
    write_toy(made.notebooks, "27_a", "1")
    write_toy(made.notebooks, "12_b", "1")
    made.run_instantly()
    return made


def content(place: Place) -> dict[str, bytes]:
    """The files of a report that is whole, but for the record of when it was made."""
    assert read_manifest(place.report)["whole"]
    timed = re.compile(rb"seconds=[\d.]+")
    return {name: timed.sub(b"", text) for name, text in place.files().items() if name != "manifest.json"}


@pytest.mark.parametrize("for_ever", [False, True])
def test_whichever_write_fails_a_whole_report_stands_and_the_next_run_finishes(place: Place, for_ever: bool) -> None:
    old, out = content(place), place.root / "out"
    shutil.copytree(out, place.root / "kept")
    (place.root / "package" / "code.py").write_text("two")
    write_toy(place.notebooks, "27_a", "2")
    with failing(out, 0):
        place.run_instantly()
    new, writes, stood = content(place), DISK.seen, []
    assert writes > 10
    for number in range(1, writes + 1):
        shutil.rmtree(out)
        shutil.copytree(place.root / "kept", out)
        with failing(out, number, for_ever=for_ever):
            try:
                place.run_instantly()
            except (OSError, CrmError) as error:
                assert "No space left" in str(error) or "cannot be replaced" in str(error)  # noqa: PT017
        stood.append(content(place))
        assert stood[-1] in (old, new), number
        place.run_instantly()
        assert content(place) == new
        assert place.left_over() == []
    assert old in stood


@pytest.mark.usefixtures("compute_once")
def test_whichever_write_of_the_books_fails_they_are_whole_the_next_time(
    make_engagement: Callable[..., Path], tmp_path: Path
) -> None:
    folder, cache = make_engagement(), tmp_path / "crm-cache"
    with failing(cache, 0):
        open_books(folder)
    writes, refused = DISK.seen, 0
    assert writes > 5
    for number in range(1, writes + 1):
        shutil.rmtree(cache)
        with failing(cache, number):
            try:
                open_books(folder)
            except CrmError as error:
                refused += "cannot be kept: " in str(error) and "No space left" in str(error)
        assert not list(cache.glob(".filling-*"))
        books = open_books(folder)
        assert firm_profitability(books, books.period("2024"))["sales"] == 150
    assert refused > 5


LIMITED = """import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from crmlib.run.cli import app
app(sys.argv[2:])"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
@pytest.mark.parametrize("size", [0, 3000])
def test_a_file_that_cannot_grow_is_told_and_the_next_run_finishes(
    make_engagement: Callable[..., Path], tmp_path: Path, size: int
) -> None:
    command = ["check", str(make_engagement()), "--out", str(tmp_path / "out")]
    limited = subprocess.run([sys.executable, "-c", LIMITED, str(size), *command], capture_output=True, text=True)
    assert limited.returncode in {0, 1}, limited.stderr
    assert (limited.returncode == 0) == ("accepted" in limited.stdout)
    assert "Traceback" not in limited.stderr
    assert not list((tmp_path / "out").glob("crash*"))
    if limited.returncode:
        assert "make room" in limited.stderr
    assert open_books(command[1]).findings.empty


@needs_proc
def test_a_run_killed_at_any_time_leaves_a_whole_report_and_no_process(place: Place) -> None:
    old, out = content(place), place.root / "out"
    shutil.copytree(out, place.root / "kept")
    sleeping = "import os, pathlib, time\npathlib.Path(os.environ['PIDS'], str(os.getpid())).touch()\ntime.sleep(0.3)"
    write_toy(place.notebooks, "27_a", sleeping)
    pids = place.root / "pids"
    pids.mkdir()
    (place.root / "temp").mkdir()
    drawn, context = random.Random(0), multiprocessing.get_context("spawn")
    os.environ["PIDS"] = str(pids)
    longest = 6.0
    for _ in range(KILLS):
        process = context.Process(target=run_toy, args=(place.root,))
        process.start()
        process.join(drawn.uniform(0, longest))
        process.kill()
        process.join()
        assert gone([int(file.name) for file in pids.iterdir()])
        if content(place) != old:  # it was quicker
            longest = max(longest * 0.8, 1)
            shutil.rmtree(out)
            shutil.copytree(place.root / "kept", out)
    place.run_instantly()
    assert place.left_over() == []


@needs_proc
def test_a_run_killed_while_agreements_are_written_leaves_the_last_report(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = content(place)
    (place.root / "package" / "code.py").write_text("two")

    def killed(books: Any, period: Any, decided: Any, folder: Path) -> None:
        (folder / "agreements").mkdir()
        (folder / "agreements" / "half.docx").write_bytes(b"PK")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(document, "export_agreements", killed)
    process = multiprocessing.get_context("fork").Process(target=place.run_instantly)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert content(place) == old
    assert (place.report.with_name(".new-2025") / "agreements" / "half.docx").exists()
    monkeypatch.setattr(document, "export_agreements", lambda *given: {})
    place.run_instantly()
    assert place.left_over() == []
    assert not (place.report / "agreements").exists()
