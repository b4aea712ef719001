"""One run at a time, stopped without leaving anything behind."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from crmlib.declared.engagement import Engagement


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold this file for as long as the run goes on; CrmError says who else holds it."""
    from crmlib.declared.reading import CrmError

    with path.open("a+", encoding="utf-8") as file:
        try:
            _lock(file)
        except OSError:
            holder = path.read_text("utf-8") or "it began just now"
            raise CrmError(f"another run is building this report: {holder}; wait for it, or stop it") from None
        file.truncate(0)
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        file.write(f"process {os.getpid()} on {platform.node()} since {since}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # nobody holds it; and no machine is named beside a report


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(4096)  # beyond the text, which the second run must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def stoppable() -> Iterator[None]:
    """Make the first signal to stop a KeyboardInterrupt, and be deaf to more while what runs is ended."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {n: handler for n in numbers if (handler := signal.getsignal(n)) is not signal.SIG_IGN}

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    try:
        for each in before:
            signal.signal(each, stop)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def claim(folder: Path, engagement: Engagement) -> Path:
    """Make the folder of an engagement's reports, which remembers whose it is.

    Raises
    ------
    SettingsError
        It is another engagement's, whose folder has the same name.
    """
    from crmlib.declared.reading import PROJECT, SettingsError
    from crmlib.run.messages import near

    inside = engagement.folder.is_relative_to(PROJECT)
    place = engagement.folder.relative_to(PROJECT) if inside else engagement.folder
    mine = hashlib.sha256(place.as_posix().encode()).hexdigest()  # no path in a report
    mark = folder / ".engagement"
    folder.mkdir(parents=True, exist_ok=True)
    owner, _, client = mark.read_text("utf-8").partition(" ") if mark.exists() else (mine, "", "")
    if owner != mine:
        raise SettingsError(
            f"{near(folder)} has the reports of another engagement of this name, for {client.strip()}: give this one a folder of "
            f"its own by `--out`, or rename its folder; if it is the same one and was moved, delete {near(mark)}"
        )
    mark.write_text(f"{mine} {engagement.settings.client}\n", "utf-8")
    return folder


def scratch(target: Path, what: str) -> Path:
    """The place beside a folder of results for its lock, its new or its old version."""
    return target.with_name(f".{what}-{target.name}")


def recover(target: Path) -> None:
    """Remove what a killed run left, and put back the results that it was about to replace."""
    new, old = scratch(target, "new"), scratch(target, "old")
    shutil.rmtree(new, ignore_errors=True)
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def put_into_place(target: Path) -> None:
    """Replace results by their new version, whole or not at all.

    Raises
    ------
    CrmError
        The system refuses; the old ones are where they were.
    """
    from crmlib.declared.reading import CrmError
    from crmlib.run.messages import near

    try:
        if target.exists():
            target.rename(scratch(target, "old"))
        scratch(target, "new").rename(target)
    except BaseException as error:
        recover(target)
        if not isinstance(error, OSError):
            raise
        raise CrmError(f"{near(target)} cannot be replaced; is one of its files open? ({error})") from None
    shutil.rmtree(scratch(target, "old"), ignore_errors=True)
