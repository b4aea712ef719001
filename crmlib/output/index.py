"""The index of a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.rollups import ROUNDING_RULE
from crmlib.declared.periods import Period
from crmlib.declared.versions import versions
from crmlib.look.words import amount, share_text
from crmlib.output.page import TEMPLATES, Page, refuse_outside
from crmlib.output.workbook import CSV_HINT

if TYPE_CHECKING:
    from crmlib.books.stored import Books


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
    refuse_outside(text, "index.html")
    (folder / "index.html").write_text(text, encoding="utf-8")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _figures(books: Books, period: Period) -> list[dict[str, Any]]:
    """The firm's headline subtotals with their share of gross sales; the net margin is the customers' own."""
    from crmlib.profitability import customer_profitability, firm_profitability

    statement, firm = books.statement_in(period), firm_profitability(books, period)
    margin = statement.net_margin
    customers = sum(customer_profitability(books, period)[margin.id], Decimal(0))
    sales = next(firm.get(line.id) for line in statement.lines if line.is_revenue)
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
