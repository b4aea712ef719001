"""What a person is told: paths as seen from here, no folder of this machine, control characters as visible escapes."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
CELL = re.compile(r"^.*ipykernel_\d+[/\\]\d+\.py")
NO_SPACE = (28, 122, 27)  # errno's ENOSPC, EDQUOT and EFBIG


def near(path: Path) -> str:
    """A path as seen from the working folder."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive
        return str(path)


def visible(text: str) -> str:
    """Text in which no character steers a terminal: controls and marks of direction as escapes; lines stay lines."""
    return CONTROLS.sub(lambda mark: mark[0].encode("unicode_escape").decode(), text)


def _temporary() -> Path:
    """Where temporary files are, or would be if any could be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 (a name for a message)


def machine_folders() -> dict[Path, str]:
    """Folders that say whose machine this is, and what is shown instead."""
    from crmlib.declared.reading import PROJECT

    return {_temporary(): "temp", Path.home(): "~", Path(sys.prefix): "python", Path.cwd(): ".", PROJECT: "."}


def scrubbed(content: Any, folders: Mapping[Path, str]) -> Any:
    """Text, or lists and mappings of text, with each of these folders shown as something else."""
    if isinstance(content, list):
        return [scrubbed(each, folders) for each in content]
    if isinstance(content, dict):
        return {key: value if key == "image/png" else scrubbed(value, folders) for key, value in content.items()}
    if not isinstance(content, str):
        return content
    if "ipykernel_" in content:  # word by word: a search for all that may stand before would be quadratic
        content = re.sub(r"[^\s\"'(<>]+", lambda word: CELL.sub("a cell", word[0]), content)
    paths = {path: text for path, text in folders.items() if len(path.parts) > 1}
    forms = {form: text for path, text in paths.items() for form in (str(path), repr(str(path))[1:-1])}
    if not any(form in content for form in forms):
        return content
    pattern = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{pattern})(?![\w-])", lambda form: forms[form[0]], content)


def os_error(error: BaseException) -> OSError | None:
    """The system's own error, where a library has wrapped it, or says it in words of its own."""
    from crmlib.books.findings import refusal_in

    wrapped = (each for each in (error, *error.args, error.__cause__) if isinstance(each, OSError))
    return next(wrapped, None) or refusal_in(error)


def os_error_message(error: OSError, reports: Path, cache: Path) -> str:
    """What the system refused, where, and the way out."""
    places = {
        cache: "the cache of the books: CRM_CACHE names another folder, and what is in it may be removed",
        reports: "the reports: --out names another folder",
        _temporary(): "temporary files: TMPDIR names another folder",
    }
    if error.errno in NO_SPACE:
        lines = [f"{near(place)}: {_free_bytes(place) // 1_000_000:,} MB, {what}" for place, what in places.items()]
        return "\n  ".join([f"the disk is full ({error.strerror}); make room, then run again. Free:", *lines])
    if error.filename is None:
        return str(error)
    file = Path(os.fsdecode(error.filename)).absolute()
    what = next((f", {what}" for place, what in places.items() if file.is_relative_to(place)), "")
    return f"{error.strerror}: {near(file)}{what}"


def _free_bytes(place: Path) -> int:
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def write_crash(error: BaseException, folder: Path, private: Mapping[Path, str]) -> Path | None:
    """A file with all that is known of an error nobody expected: in the folder, else among temporary files."""
    from crmlib.declared.versions import versions

    trace = "".join(traceback.format_exception(error))
    text = "\n\n".join([f"crm {' '.join(sys.argv[1:])}", str(versions()), trace])
    for place in (folder, _temporary()):
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            file = place / f"crash-{datetime.now():%Y%m%d-%H%M%S}.txt"
            file.write_text(scrubbed(text, {**machine_folders(), **private}), "utf-8", errors="backslashreplace")
            return file
    return None
