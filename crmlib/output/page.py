"""One offline page per notebook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.declared.reading import CrmError

if TYPE_CHECKING:
    from nbformat import NotebookNode


TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Page:
    """One page of a report: its notebook's number, title and question, its two files, and how long it took."""

    number: str
    title: str
    question: str
    html: str
    notebook: str
    seconds: float
    reused: bool


def export_page(notebook: Path, html: Path, *, client_report: bool = True) -> None:
    """Write one executed notebook as one HTML file that needs nothing else.

    Parameters
    ----------
    notebook
        Executed notebook. Cells tagged `study` or `author` are left out of a client report, and so is what went to stderr.
    html
        File to write, beside `index.html`.
    client_report
        False keeps them, for a student.

    Raises
    ------
    CrmError
        The page would load or link something outside itself, or run a script.
    """
    import nbformat
    from nbconvert import HTMLExporter

    executed = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="report",
        extra_template_basedirs=[str(TEMPLATES)],
        extra_template_paths=[str(TEMPLATES)],
        exclude_anchor_links=True,
        filters={"css_text": _css_text},
        config={
            "TagRemovePreprocessor": {"enabled": client_report, "remove_cell_tags": {"study", "author"}},
            "NbConvertBase": {"display_data_priority": _SHOWN},
        },
    )
    page = {**_heading(executed, notebook.stem), "client_report": client_report}
    text, _ = exporter.from_notebook_node(executed, resources={"page": page})
    refuse_outside(text, html.name)
    html.write_text(text, encoding="utf-8")


_SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


def _heading(notebook: NotebookNode, name: str) -> dict[str, Any]:
    """Client, period, title and parameters of a page; the client's name only where the runner gave it."""
    parameters = _parameters(notebook)
    given = {row["name"]: row["value"] for row in parameters}
    made = notebook.metadata.get("crm", {})  # what the runner knows of it
    client, period = made.get("client", ""), made.get("period", given.get("period", ""))
    markdown = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+?)\s*$", markdown, re.MULTILINE)
    heading = " · ".join(part for part in (client, period, title[1] if title else name) if part)
    for row in parameters:
        row["value"] = Path(row["value"]).name if Path(row["value"]).is_absolute() else row["value"]
    return {"client": client, "period": period, "heading": heading, "parameters": parameters}


def _parameters(notebook: NotebookNode) -> list[dict[str, str]]:
    """Name, value as it ran and help of each parameter, from the cell that declares them and the one papermill adds."""
    found: dict[str, dict[str, str]] = {}
    for tag in ("parameters", "injected-parameters"):
        for cell in notebook.cells:
            if tag not in cell.metadata.get("tags", []):
                continue
            for name, value, told in _PARAMETER.findall(cell.source):
                told = told or found.get(name, {}).get("help", "")
                found[name] = {"name": name, "value": value.strip("\"'"), "help": told}
    return list(found.values())


_PARAMETER = re.compile(
    r"^(\w+)(?:\s*:[^=\n]+?)?\s*=\s*(\"[^\"\n]*\"|'[^'\n]*'|[^#\n]*?)\s*(?:#\s*(.*?)\s*)?$", re.MULTILINE
)


def _css_text(text: str) -> str:
    """Text as it may stand in a CSS string: all but letters, digits and blanks as code points."""
    return "".join(c if c.isalnum() or c == " " else f"\\{ord(c):06x} " for c in text)


_LINKS = ("src", "href", "srcset", "xlink:href", "poster", "action", "formaction", "background", "data")


def refuse_outside(text: str, name: str) -> None:
    """Raise on a page that fetches, runs or links to anything outside itself: it must open offline, from a mail."""
    from bs4 import BeautifulSoup

    tags = BeautifulSoup(text, "html.parser").find_all(True)
    found = [f"<{tag.name}>" for tag in tags if tag.name in {"script", "iframe", "object", "embed", "link", "base"}]
    for tag in tags:
        links = [str(tag.get(link, "")).strip() for link in _LINKS]
        found += [
            f"<{tag.name}> {link[:80]}" for link in links if re.match(r"(?!data:image/)([a-zA-Z][\w+.-]*:|//)", link)
        ]
        styles = f"{tag.get('style', '')}\n{tag.string if tag.name == 'style' else ''}"
        found += re.findall(r"@import[^;]{0,80}|url\(\s*['\"]?(?!data:|#)[^)]{0,80}\)", styles)
    if found:
        raise CrmError(
            f"{name}: a page stands alone, but this one has {', '.join(found[:3])}; take it out of the notebook"
        )
