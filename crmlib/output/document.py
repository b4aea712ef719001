"""Agreements as files: the customer's copy in Word and HTML, and apart from it the internal pages with their index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.agreements import Draft, commitments, drafts, economics
from crmlib.books.stored import Books
from crmlib.clauses import Document, changes, documents
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, visible
from crmlib.look.words import amount, digits_text, percent
from crmlib.menu import priced, read_agreements
from crmlib.output.page import refuse_outside, rendered

FOLDER, INTERNAL = "agreements", "agreements_internal"  # of the customers' copies, and of what they never see
FONT, SHADE, WIDTHS = "Arial", "E7EAEE", (4.2, 3.6, 3.8, 4.9)  # of a table with four columns, in centimetres


def export_agreements(books: Books, period: Period, decided: pd.DataFrame, folder: Path) -> dict[str, pd.DataFrame]:
    """Write every draft into the folder agreements (Word and HTML) and what it costs and leaves into another; nothing without a menu.

    What each costs and leaves is given back as a list for the workbook (`lists`), the most profitable first.

    Parameters
    ----------
    books
        With the segments of the period.
    decided
        As `segments.differentiate`.
    """
    rows = priced(books, period)
    made = drafts(books, period, decided, rows)
    if not made:
        return {}
    for name in (FOLDER, INTERNAL):
        (folder / name).mkdir(parents=True, exist_ok=True)
    template = read_agreements(books).template
    write = _from_template(books.engagement.folder / "judgement" / template) if template else write_word
    for draft, copy in zip(made, documents(books, made), strict=True):
        write(copy, folder / FOLDER / f"{draft.code}.docx")
        _page(folder / FOLDER / f"{draft.code}.html", "agreement.html.j2", copy=copy)
    promised = commitments(books, period, made, rows)
    left = economics(books, period, made, promised, rows)
    _write_internal(folder / INTERNAL, books, period, made, promised, left)
    return {"priced_agreements": left.sort_values("margin", ascending=False, ignore_index=True)}


def _write_internal(
    folder: Path, books: Books, period: Period, made: list[Draft], promised: pd.DataFrame, left: pd.DataFrame
) -> None:
    """A page for each draft with what every commitment costs, and the index of all."""
    settings, whole = books.engagement.settings, left.to_dict("records")
    told = {"client": settings.client, "currency": settings.currency, "period": period, "cents": _cents, "percent": percent,
            "margin": books.statement_in(period).net_margin.title, "amount": lambda value: amount(value, settings.currency)}  # fmt: skip
    words = changes(books, made)
    for draft, row in zip(made, whole, strict=True):
        own, new = (rows[rows["code"] == draft.code].to_dict("records") for rows in (promised, words))
        values = {"draft": draft, "left": row, "rows": own, "changes": new}
        _page(folder / f"{draft.code}.html", "agreement_internal.html.j2", **values, **told)
    _page(folder / "index.html", "agreements.html.j2", rows=whole, **told)


def _page(path: Path, template: str, **values: Any) -> None:
    text = rendered(template, **values)
    refuse_outside(text, path.name)
    path.write_text(text, encoding="utf-8")


def _cents(value: Any, decimals: int = 2, *, signed: bool = False) -> str:
    return ("+ " if signed and value >= 0 else "") + digits_text(value, decimals)


def _from_template(path: Path) -> Callable[[Document, Path], None]:
    """How a copy is written by a Word file of the client's own, which names what is to be filled in; data stays text.

    Raises
    ------
    SettingsError
        It cannot be filled in: why, and what it may name.
    """
    from docxtpl import DocxTemplate
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    def write(copy: Document, target: Path) -> None:
        try:
            filled = DocxTemplate(path)
            filled.render(_seen(asdict(copy)), SandboxedEnvironment(autoescape=True, undefined=StrictUndefined))
        except (TemplateError, ValueError, KeyError, OSError) as error:
            names = f"it may name {', '.join(asdict(copy))}, and of each clause heading, text, head and rows"
            raise SettingsError(f"judgement/{path.name} cannot be filled in: {error}; {names}") from None
        _describe(filled, copy)
        filled.save(target)

    return write


def _seen(value: Any) -> Any:
    """A value with every control character in its texts as a visible escape."""
    if isinstance(value, dict):
        return {key: _seen(inner) for key, inner in value.items()}
    return visible(value) if isinstance(value, str) else [_seen(inner) for inner in value]


def _describe(word: Any, copy: Document) -> None:
    """The file's own properties: what it is and whose, and nothing of who made it."""
    properties = word.core_properties if hasattr(word, "core_properties") else word.docx.core_properties
    properties.title, properties.author = visible(f"{copy.title}, {copy.number}")[:255], visible(copy.client)[:255]
    for name in ("comments", "keywords", "subject", "category", "last_modified_by"):
        setattr(properties, name, "")


def write_word(copy: Document, target: Path) -> None:
    """Write a copy as a Word file of our own look: A4, numbered clauses, the number of the agreement and of the page on every sheet."""
    import docx
    from docx.shared import Cm, Pt

    word = docx.Document()
    normal, section = word.styles["Normal"], word.sections[0]
    normal.font.name, normal.font.size, normal.paragraph_format.space_after = FONT, Pt(10), Pt(6)
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.25)
    _paragraph(word, copy.title, 18, style="Heading 1")
    _paragraph(word, f"between {copy.client} and {copy.customer}" if copy.customer else f"offered by {copy.client}", 12)
    _paragraph(word, f"{copy.number}, valid {copy.valid}", 10)
    for place, clause in enumerate(copy.clauses, 1):
        _paragraph(word, f"{place}  {clause.heading}", 12, style="Heading 2")
        if clause.rows:
            _table(word, clause.head, clause.rows)
        for text in filter(None, clause.text):
            _paragraph(word, text, 10)
    _running(section, copy)
    _describe(word, copy)
    word.save(str(target))


def _paragraph(place: Any, text: str, size: int, *, style: str = "Normal") -> None:
    from docx.shared import Pt, RGBColor

    run = place.add_paragraph(style=style).add_run(visible(text))
    run.font.name, run.font.size, run.font.color.rgb = FONT, Pt(size), RGBColor(0, 0, 0)


def _table(word: Any, head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    """A table whose head is repeated on every sheet and whose rows are not cut; a short one stays on one sheet."""
    from docx.shared import Cm, Pt

    widths = WIDTHS if len(head) == len(WIDTHS) else (sum(WIDTHS) / len(head),) * len(head)
    table = word.add_table(rows=1 + len(rows), cols=len(head), style="Table Grid")
    table.autofit = False
    for column, width in zip(table.columns, widths, strict=True):
        column.width = Cm(width)
    for at, (row, texts) in enumerate(zip(table.rows, (head, *rows), strict=True)):
        row._tr.get_or_add_trPr().append(_mark("tblHeader" if at == 0 else "cantSplit"))
        row.height = Cm(1.2) if texts[0].startswith("Signature:") else None
        for cell, text, width in zip(row.cells, texts, widths, strict=True):
            cell.width, paragraph = Cm(width), cell.paragraphs[0]
            run = paragraph.add_run(visible(text) or "–")
            run.bold, run.font.size, paragraph.paragraph_format.space_after = at == 0, Pt(9), Pt(3)
            paragraph.paragraph_format.keep_with_next = len(rows) < 4 and at < len(rows)
            if at == 0:
                cell._tc.get_or_add_tcPr().append(_mark("shd", val="clear", fill=SHADE))
    word.add_paragraph().paragraph_format.space_after = Pt(0)


def _mark(name: str, **attributes: str) -> Any:
    """An element of Word's that python-docx has no name for."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    element = OxmlElement(f"w:{name}")
    for key, value in attributes.items():
        element.set(qn(f"w:{key}"), value)
    return element


def _running(section: Any, copy: Document) -> None:
    """The title and number at the head of each sheet, and at its foot which sheet of how many."""
    from docx.shared import Pt

    head, foot = section.header.paragraphs[0], section.footer.paragraphs[0]
    head.style.font.size = foot.style.font.size = Pt(8)
    head.add_run(visible(f"{copy.title}  ·  {copy.number}"))
    for text, field in (("Page ", "PAGE"), (" of ", "NUMPAGES")):
        foot.add_run(text)
        foot._p.append(_mark("fldSimple", instr=field))
