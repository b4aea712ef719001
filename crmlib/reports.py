"""What comes out: one offline page per notebook, an Excel workbook with live formulas, data files and the index."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.engagement import PACKAGE, CrmError, Period
from crmlib.exhibits import amount, share_text
from crmlib.rollup import ROUNDING_RULE
from crmlib.workbook import CSV_HINT, versions
from crmlib.workbook import export_workbook as export_workbook

if TYPE_CHECKING:
    import pyarrow as pa
    from nbformat import NotebookNode

    from crmlib.books import Books

TEMPLATES = PACKAGE / "templates"
FILES = {
    "workbook": "Profit and loss by customer, account type and segment: live formulas, checks, parameters",
    "data/customer_profitability": "Every line of the statement, a row per customer",
    "data/account_type_profitability": "Every line of the statement, a row per account type, and the firm",
    "data/segment_profitability": "Every line of the statement, a row per segment of the rules, and the firm",
    "data/cube": "Every line and driver, a row per owner and month",
    "data/findings": "What was found in the books, with place, amount and way out",
    "data/tie_out": "Ledger against general ledger: both sides of every check",
    "data/intake": "Read, assigned, unassigned and excluded, by table and column",
}
HEADLINES = ("net_sales", "contribution_margin", "operating_profit")


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


# --- pages -----------------------------------------------------------------------------------------------------------


def export_page(notebook: Path, html: Path, *, client_report: bool = True) -> None:
    """Write one executed notebook as one HTML file that needs nothing else.

    Parameters
    ----------
    notebook
        Executed notebook. Cells tagged `study` are left out of a client report, and so is what went to stderr.
    html
        File to write, beside `index.html`.
    client_report
        False keeps the study section, for a student.

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
            "TagRemovePreprocessor": {"enabled": client_report, "remove_cell_tags": {"study"}},
            "NbConvertBase": {"display_data_priority": _SHOWN},
        },
    )
    page = {**_heading(executed, notebook.stem), "client_report": client_report}
    text, _ = exporter.from_notebook_node(executed, resources={"page": page})
    _refuse_outside(text, html.name)
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


def _refuse_outside(text: str, name: str) -> None:
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


# --- data ------------------------------------------------------------------------------------------------------------


def export_data(books: Books, period: Period, folder: Path) -> None:
    """Write the period's tables as Parquet (amounts as DECIMAL) and as CSV (exact decimals, text as it is).

    A row per customer, per account type and segment, and per owner and month of the cube; findings, tie-out and intake as `Books`
    has them. CSV is UTF-8 with a byte-order mark, every field in quotation marks.
    """
    import pyarrow.parquet as pq

    from crmlib.profitability import customer_profitability, group_profitability, read_cube

    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "customer_profitability": _table(customer_profitability(books, period)),
        "cube": _table(read_cube(books, period)),
    }
    for by in ("account_type", "segment"):
        if by in books.customers.columns:
            tables[f"{by}_profitability"] = _table(group_profitability(books, period, by))
    for name in ("findings", "tie_out", "intake"):
        tables[name] = pq.read_table(books.cache / f"{name}.parquet").replace_schema_metadata()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        _write_csv(table, folder / f"{name}.csv")


def export_findings(findings: pd.DataFrame, path: Path) -> None:
    """Write findings as CSV, as `export_data` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(_table(findings), path)


def _table(frame: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    columns = {str(name): _column(frame[name]) for name in frame}
    money = {
        name: pa.decimal128(38, 8) for name, values in columns.items() if any(isinstance(v, Decimal) for v in values)
    }
    return pa.table({name: pa.array(values, money.get(name)) for name, values in columns.items()})


def _column(values: pd.Series) -> list[Any]:
    """Values with None where there is none: a missing value, and an empty text among numbers or dates."""
    found = [None if pd.isna(value) else value for value in values]
    if all(isinstance(value, str) for value in found if value is not None):
        return found
    known = [None if isinstance(value, str) and not value else value for value in found]
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in known]


def _write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow as pa

    columns = [_digits(column) if pa.types.is_decimal(column.type) else column.to_pylist() for column in table.columns]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*columns, strict=True))


def _digits(column: pa.ChunkedArray) -> list[str | None]:
    """Decimals with all their digits, never as 0E-8."""
    return [None if value is None else f"{value:f}" for value in column.to_pylist()]


# --- index -----------------------------------------------------------------------------------------------------------


def write_index(folder: Path, books: Books, period: Period, pages: Sequence[Page]) -> None:
    """Write index.html: what the period came to, the pages, the files beside them, and where it all comes from."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    last = period.end - timedelta(days=1)
    made = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    made_with = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = environment.get_template("contents.html.j2").render(
        client=books.engagement.settings.client, period=period, span=f"{_day(period.start)} to {_day(last)}",
        figures=_figures(books, period), states=_states(books), pages=pages, downloads=_downloads(folder),
        csv_hint=CSV_HINT,
        facts={"Data hash": books.data_hash, "Made": made, "Made with": made_with, "Rounding": ROUNDING_RULE},
    )  # fmt: skip
    _refuse_outside(text, "index.html")
    (folder / "index.html").write_text(text, encoding="utf-8")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _figures(books: Books, period: Period) -> list[dict[str, Any]]:
    """The firm's headline subtotals with their share of gross sales; the net margin is the customers' own."""
    from crmlib.profitability import customer_profitability, firm_profitability

    statement, firm = books.statement_in(period), firm_profitability(books, period)
    margin = statement.net_margin
    customers = sum(customer_profitability(books, period)[margin.id], Decimal(0))
    sales = next(firm.get(line.id) for line in statement.lines if line.cls == "revenue")
    found = []
    for line in (line for line in statement.lines if line.subtotal and (line == margin or line.id in HEADLINES)):
        value = customers if line == margin else firm[line.id]
        name = f"{line.title} of all customers" if line == margin else line.title
        said = amount(value, books.engagement.settings.currency, digits=1)
        found.append({"name": name, "value": said, "share": share_text(value, sales), "worse": value < 0})
    return found


def _states(books: Books) -> list[dict[str, Any]]:
    """What to know before the figures: whether the books tie out, and what was found in them."""
    checks, untied = len(books.tie_out), int((~books.tie_out["tied"].astype(bool)).sum())
    tied = f"{untied} of {checks} checks do not tie out" if untied else f"tied out to the cent, all {checks} checks"
    counts = books.findings.groupby("verdict")["count"].sum()
    warned, accepted = int(counts.get("warn", 0)), int(counts.get("accept", 0))
    kinds = books.findings.loc[books.findings["verdict"] == "warn", "code"].nunique()
    told = f"{warned:,} warnings of {kinds} kinds, {accepted:,} accepted" if warned else "no warnings"
    return [
        {"good": not untied, "text": f"Ledger and general ledger: {tied}."},
        {"good": not warned, "text": f"Checks of the books: {told}."},
    ]


def _downloads(folder: Path) -> list[dict[str, Any]]:
    """The files beside the pages that are there: what each holds, and its names."""
    found = []
    for name, what in FILES.items():
        files = [file.relative_to(folder).as_posix() for file in sorted(folder.glob(f"{name}.*"))]
        found += [{"what": what, "files": files}] if files else []
    return found
