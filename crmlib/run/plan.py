"""What need not run again: hashes of all that a page comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import sha256
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import PACKAGE
from crmlib.declared.versions import versions
from crmlib.run.notebooks import Notebook

if TYPE_CHECKING:
    from crmlib.output.page import Page


@dataclass(frozen=True)
class Plan:
    """What is to run, which pages and other files of the last report stay, and what all is made of."""

    records: Mapping[str, Mapping[str, Any]]
    run: tuple[Notebook, ...]
    kept: tuple[Page, ...]
    exports: tuple[str, ...]
    exports_made_of: str
    nothing_to_do: bool


def content_hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def file_hashes(root: Path, counts: Callable[[Path], bool] = lambda path: True) -> dict[str, str]:
    """Path relative to the root → hash of the file, for the files that count."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and counts(path.relative_to(root))]
    return {path.relative_to(root).as_posix(): sha256(path) for path in files}


def settings_hashes(engagement: Engagement) -> dict[str, str]:
    return file_hashes(engagement.folder, lambda p: p.suffix in {".yml", ".yaml", ".sql"} or p.parts[0] == "judgement")


def code_hash(engagement: Engagement) -> str:
    """Hash of all that every page comes from, but for the ledger, which is known only once the books are open."""
    return content_hash(
        [file_hashes(PACKAGE, lambda p: "__pycache__" not in p.parts), settings_hashes(engagement), versions()]
    )


def fingerprint(notebook: Notebook, values: Mapping[str, Any], made_of: str) -> str:
    return f"{content_hash([notebook.cells, values])}-{made_of}"


def is_fresh(before: Mapping[str, Any], notebook: Notebook, values: Mapping[str, Any], made_of: str) -> bool:
    """Whether the last report's page comes from the same; without a data hash, as far as can be said without."""
    last = before["notebooks"].get(notebook.name, {}).get("fingerprint", "")
    whole = {f"{notebook.name}.html", f"{notebook.name}.ipynb"} <= before["files"].keys()
    return whole and str(last).startswith(fingerprint(notebook, values, made_of))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The last report's manifest, with those of its files only that are as they were written."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        hashes, found = manifest["files"], file_hashes(folder, lambda p: p.name != "manifest.json")
        same = {file: sha for file, sha in hashes.items() if found.get(file) == sha}
        return {**manifest, "files": same, "whole": same == hashes and manifest["status"] == "complete"}
    except (OSError, ValueError, KeyError, AttributeError):
        return {"notebooks": {}, "files": {}, "exports": "", "whole": False}
