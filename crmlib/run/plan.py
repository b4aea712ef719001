"""What need not run again: hashes of all that a page comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import PACKAGE, content_hash, file_part, sha256
from crmlib.declared.versions import versions
from crmlib.run.notebooks import Notebook

if TYPE_CHECKING:
    from crmlib.output.page import Page


@dataclass(frozen=True)
class Unit:
    """What makes one page: a notebook and its values; the page's name tells it from the notebook's other pages."""

    name: str
    notebook: Notebook
    values: Mapping[str, Any]

    @property
    def files(self) -> tuple[str, str]:
        """The page, and the notebook as it was executed."""
        return f"{self.name}.html", f"{self.name}.ipynb"

    def fingerprint(self, origin: str) -> str:
        """Hash of notebook and values, and of what else the page comes from."""
        return f"{content_hash([self.notebook.cells, self.values])}-{origin}"

    def is_fresh(self, last: Mapping[str, Any], origin: str) -> bool:
        """Whether the last report's page comes from the same; without a data hash, as far as can be said without."""
        fingerprint = str(last["pages"].get(self.name, {}).get("fingerprint", ""))
        return set(self.files) <= last["files"].keys() and fingerprint.startswith(self.fingerprint(origin))


@dataclass(frozen=True)
class Plan:
    """What is to run, which pages and other files of the last report stay, and what pages and exports come from."""

    stale: tuple[Unit, ...]
    fresh: tuple[Unit, ...]
    origin: str
    exports: tuple[str, ...]
    exports_fingerprint: str
    nothing_to_do: bool


def units(notebook: Notebook, sets: Sequence[Mapping[str, Any]]) -> list[Unit]:
    """A page for each set of values, named by the notebook and by the values in which the sets differ."""
    differing = [name for name in sets[0] if any(values[name] != sets[0][name] for values in sets)]
    names = ["-".join([notebook.name, *(file_part(values[name]) for name in differing)]) for values in sets]
    return [Unit(name, notebook, values) for name, values in zip(names, sets, strict=True)]


def file_hashes(root: Path, counts: Callable[[Path], bool] = lambda path: True) -> dict[str, str]:
    """Path relative to the root → hash of the file, for the files that count."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and counts(path.relative_to(root))]
    return {path.relative_to(root).as_posix(): sha256(path) for path in files}


def settings_hashes(engagement: Engagement) -> dict[str, str]:
    """Hash of each file in which people declare something."""
    return file_hashes(engagement.folder, lambda p: p.suffix in {".yml", ".yaml", ".sql"} or p.parts[0] == "judgement")


def code_hash(engagement: Engagement) -> str:
    """Hash of all that every page comes from, but for the ledger, which is known only once the books are open."""
    return content_hash(
        [file_hashes(PACKAGE, lambda p: "__pycache__" not in p.parts), settings_hashes(engagement), versions()]
    )


def raw_manifest(folder: Path) -> dict[str, Any]:
    """A report's manifest as it stands; nothing where there is none that can be read."""
    try:
        found = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The last report's manifest, with those of its files only that are as they were written."""
    try:
        manifest = raw_manifest(folder)
        written, there = manifest["files"], file_hashes(folder, lambda p: p.name != "manifest.json")
        same = {file: sha for file, sha in written.items() if there.get(file) == sha}
        whole = same == written and manifest["status"] == "complete"
        return {**manifest, "pages": dict(manifest["pages"]), "files": same, "whole": whole}
    except (KeyError, AttributeError, TypeError):
        return {"pages": {}, "files": {}, "exports": "", "whole": False}


def write_manifest(
    folder: Path, plan: Plan, pages: Sequence[Page], engagement: Engagement, facts: Mapping[str, Any]
) -> None:
    """Write what the report comes from: the facts, the settings, a record of each page, a hash of each file."""
    by_file = {page.notebook: {"seconds": page.seconds, "reused": page.reused} for page in pages}
    records = {
        unit.name: {
            "notebook": unit.notebook.name, "parameters": unit.values, "fingerprint": unit.fingerprint(plan.origin),
            **by_file[unit.files[1]],
        }
        for unit in sorted((*plan.fresh, *plan.stale), key=lambda unit: unit.name)
    }  # fmt: skip
    content = {
        **facts, "settings": engagement.settings.model_dump(mode="json"),
        "versions": versions(), "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        "pages": records, "exports": plan.exports_fingerprint, "files": file_hashes(folder), "status": "complete",
    }  # fmt: skip
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
    (folder / "manifest.json").write_text(text, "utf-8")
