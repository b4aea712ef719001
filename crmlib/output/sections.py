"""Sections of a page in which there is nothing to show: their questions stand at its end, each with the one sentence that answers it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from nbformat import NotebookNode

_HEADING = re.compile(r"(##+) +(.+)")


def without_empty(cells: Sequence[NotebookNode]) -> tuple[list[NotebookNode], dict[str, list[str]]]:
    """The cells of a page without the sections that show nothing, and by what each says instead their headings.

    A section of the second level stays as long as one of the third level in it does.
    """
    sections = _sections(cells)
    said, levels = [_absent(section) for section in sections], [_level(section) for section in sections]
    empty = [bool(sentence) for sentence in said]
    for place in reversed(range(len(sections))):
        end = next((at for at in range(place + 1, len(levels)) if levels[at] <= levels[place]), len(levels))
        within = empty[place + 1 : end]
        bare = empty[place] or (levels[place] > 1 and bool(within) and not _shown(sections[place]))
        empty[place] = bare and all(within)
    missing: dict[str, list[str]] = {}
    for section, sentence, gone in zip(sections, said, empty, strict=True):
        if gone and sentence:
            missing.setdefault(sentence, []).append(_HEADING.match(section[0].source)[2])  # type: ignore[index]
    return [cell for section, gone in zip(sections, empty, strict=True) if not gone for cell in section], missing


def _sections(cells: Sequence[NotebookNode]) -> list[list[NotebookNode]]:
    """The cells from one heading to the next; what stands before the first is one too."""
    sections: list[list[NotebookNode]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and _HEADING.match(cell.source):
            sections.append([])
        sections[-1].append(cell)
    return [section for section in sections if section]


def _level(section: Sequence[NotebookNode]) -> int:
    heading = _HEADING.match(section[0].source)
    return len(heading[1]) if heading and section[0].cell_type == "markdown" else 0


def _shown(section: Sequence[NotebookNode]) -> list[str]:
    """What the outputs of a section show, each as HTML."""
    outputs = [output for cell in section for output in cell.get("outputs", [])]
    told = [output.get("data", {"text/html": "text"}) for output in outputs]
    return [str(data.get("text/html", "picture")) for data in told if any(data.values())]


def _absent(section: Sequence[NotebookNode]) -> str:
    """What a section says that shows nothing else than that there is nothing; '' of any other."""
    parts = [BeautifulSoup(html, "html.parser") for html in _shown(section)]
    said = [part.get_text() for part in parts if part.select_one("p.absent")]
    return " ".join(dict.fromkeys(said)) if len(said) == len(parts) and _level(section) > 1 else ""
