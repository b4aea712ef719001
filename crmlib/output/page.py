"""One offline page per notebook."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crmlib.declared.reading import CrmError, visible
from crmlib.look.words import FINDINGS
from crmlib.output.sections import without_empty

if TYPE_CHECKING:
    from jinja2 import Environment
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


@dataclass(frozen=True)
class Finding:
    """What a page has found: the sentence, the first amount that it names, and where it is shown."""

    text: str
    amount: float
    page: str
    cell: str


# cells that no page has as they are: findings stand under its title, `rests-on` at its foot, `about` on the page about the figures
HIDDEN = {"study", "author", "about", "findings", "rests-on"}
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


def write_page(executed: NotebookNode, html: Path, *, pages: Sequence[Page] = ()) -> None:
    """Write one executed notebook as one HTML file that needs nothing else, to stand beside `index.html`.

    The findings stand under the title, and what the page rests on at its foot. A text and the table or picture after it stay
    on one sheet. Titles of other `pages`, in italics, are links. Cells tagged as in `HIDDEN` are left out, and what went to stderr.

    Raises
    ------
    CrmError
        The page would load or link something outside itself, or run a script.
    """
    from nbconvert import HTMLExporter

    executed = deepcopy(executed)
    page = _heading(executed, html.stem) | _beside(html.name, pages)
    page |= {"in_report": bool(pages), "findings": findings_of(executed, html.name), "rests_on": _rests_on(executed)}
    executed.cells = [cell for cell in executed.cells if not HIDDEN & tags_of(cell)]
    executed.cells, page["missing"] = without_empty(executed.cells)
    page["contents"] = [
        (cell.id, title) for cell in executed.cells if cell.cell_type == "markdown"
        for title in re.findall(r"^## +(.+?)\s*$", cell.source, re.MULTILINE)
    ]  # fmt: skip
    _keep_together(executed.cells)
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="report", extra_template_basedirs=[str(TEMPLATES)], extra_template_paths=[str(TEMPLATES)], exclude_anchor_links=True,
        filters={"css_text": _css_text, "reachable": _reachable, "below_heading": _below_heading},
        config={"NbConvertBase": {"display_data_priority": SHOWN}},
    )  # fmt: skip
    text, _ = exporter.from_notebook_node(executed, resources={"page": page})
    for other in pages:
        title = escape(other.title)
        text = text.replace(f"<em>{title}</em>", f'<a href="{quote(other.html)}">{title}</a>')
    refuse_outside(text, html.name)
    html.write_text(visible(text), encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """A template of this floor, filled in; text stays text."""
    return visible(_environment().get_template(template).render(**values))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["css_text"] = _css_text
    return environment


def tags_of(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def findings_of(executed: NotebookNode, page: str) -> list[Finding]:
    """What an executed notebook has found, in its order."""
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    rows = [row for output in outputs for row in output.get("data", {}).get(FINDINGS, [])]
    return [Finding(row["text"], row["amount"], page, row["cell"]) for row in rows]


def _rests_on(executed: NotebookNode) -> list[str]:
    """What the cell that opens the books says of them."""
    cells = [cell for cell in executed.cells if "rests-on" in tags_of(cell)]
    return [output["data"]["text/plain"] for cell in cells for output in cell.outputs if "data" in output]


def _beside(name: str, pages: Sequence[Page]) -> dict[str, Any]:
    """The pages before and after one, as far as there are any."""
    around = [None, *pages, None]
    place = next((at for at, page in enumerate(around) if page and page.html == name), 0)
    return {"previous": around[place - 1], "next": around[place + 1]} if place else {"previous": None, "next": None}


def _keep_together(cells: Sequence[NotebookNode]) -> None:
    """Mark where each piece of text with the output that follows it begins and ends: it stays on one sheet."""
    opened = False
    for place, cell in enumerate(cells):
        cell.metadata["begins"] = not opened
        shows = any(any(output.get("data", {"stream": True}).values()) for output in cell.get("outputs", []))
        opened = not shows and 0 < place < len(cells) - 1
        cell.metadata["ends"] = not opened


def _heading(notebook: NotebookNode, name: str) -> dict[str, Any]:
    """Client, period, title and parameters of a page; the client's name only where the runner gave it."""
    parameters = _parameters(notebook)
    given = {row["name"]: row["value"] for row in parameters}
    made = notebook.metadata.get("crm", {})  # what the runner knows of it
    client, period = made.get("client", ""), made.get("period", given.get("period", ""))
    markdown = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# +(.+?)\s*$", markdown, re.MULTILINE)
    account = made.get("account", "")
    heading = " · ".join(part for part in (client, period, title[1] if title else name, account) if part)
    for row in parameters:
        row["value"] = Path(row["value"]).name if Path(row["value"]).is_absolute() else row["value"]
    return {"client": client, "period": period, "account": account, "heading": heading, "parameters": parameters}


def _parameters(notebook: NotebookNode) -> list[dict[str, str]]:
    """Name, value as it ran and help of each parameter, from the cell that declares them and the one papermill adds."""
    found: dict[str, dict[str, str]] = {}
    for tag in ("parameters", "injected-parameters"):
        source = "\n".join(cell.source for cell in notebook.cells if tag in tags_of(cell))
        for name, value, told in _PARAMETER.findall(source):
            told = told or found.get(name, {}).get("help", "")
            found[name] = {"name": name, "value": value.strip("\"'"), "help": told}
    return list(found.values())


_PARAMETER = re.compile(
    r"^(\w+)(?:\s*:[^=\n]+?)?\s*=\s*(\"[^\"\n]*\"|'[^'\n]*'|[^#\n]*?)\s*(?:#\s*(.*?)\s*)?$", re.MULTILINE
)


def _reachable(html: str) -> str:
    """The title of a table stands before the part that scrolls on a narrow screen, which the keyboard reaches and the title names."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    for scroller in page.select("div[id]:has(> table.gt_table)"):
        caption = page.new_tag("div", attrs={"class": "caption"})
        for cell in scroller.select("td.gt_heading"):
            cell.name = "p"
            del cell["colspan"]
            caption.append(cell.extract())
        scroller.insert_before(caption)
        scroller.attrs |= {"tabindex": "0", "role": "group", "aria-labelledby": f"{scroller['id']}-title"}
    for table in page.select("table:not(.gt_table)"):
        head = table.find("th")
        label = head.get_text() if head else "Table"
        table.wrap(page.new_tag("div", attrs={"tabindex": "0", "role": "group", "aria-label": label}))
    return str(page)


def _below_heading(svg: str, plot: float) -> str:
    """The picture without the heading in it, which a page has as text: the plot is so much of its height."""
    width, height = (float(size) for size in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    svg = re.sub(r'height="[\d.]+pt"', f'height="{height * plot:.2f}pt"', svg, count=1)
    box = f'viewBox="0 {height * (1 - plot):.2f} {width:g} {height * plot:.2f}"'
    return re.sub(r'viewBox="[^"]+"', box, svg, count=1)


def _css_text(text: str) -> str:
    """Text as it may stand in a CSS string: all but letters, digits and blanks as code points."""
    return "".join(c if c.isalnum() or c == " " else f"\\{ord(c):06x} " for c in text)


_OUTSIDE = re.compile(r"(?!data:image/)([a-zA-Z][\w+.-]*:|//)")
_LINKS = ("src", "href", "srcset", "xlink:href", "poster", "action", "formaction", "background", "data")


def refuse_outside(text: str, name: str) -> None:
    """Raise on a page that fetches, runs or links to anything outside itself: it must open offline, from a mail."""
    from bs4 import BeautifulSoup

    tags = BeautifulSoup(text, "html.parser").find_all(True)
    found = [f"<{tag.name}>" for tag in tags if tag.name in {"script", "iframe", "object", "embed", "link", "base"}]
    for tag in tags:
        links = [str(tag.get(link, "")).strip() for link in _LINKS]
        found += [f"<{tag.name}> {link[:80]}" for link in links if _OUTSIDE.match(link)]
        styles = f"{tag.get('style', '')}\n{tag.string if tag.name == 'style' else ''}"
        found += re.findall(r"@import[^;]{0,80}|url\(\s*['\"]?(?!data:|#)[^)]{0,80}\)", styles)
    if found:
        there = ", ".join(found[:3])
        raise CrmError(f"{name}: a page stands alone, but this one has {there}; take it out of the notebook")
