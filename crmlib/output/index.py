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
from crmlib.look.words import amount, percent
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
    from crmlib.profitability import customer_profitability, firm_profitability, share

    statement, firm = books.statement_in(period), firm_profitability(books, period)
    margin, report = statement.net_margin, customer_profitability(books, period)
    customers = sum(report.loc[report["customer_id"] != "", margin.id], Decimal(0))
    sales = next(firm.get(line.id) for line in statement.lines if line.is_revenue)
    figures = []
    for line in (line for line in statement.firm_lines if line.subtotal and (line == margin or line.id in HEADLINES)):
        value = customers if line == margin else firm[line.id]
        of_sales = share(value, sales)
        figures.append({
            "name": f"{line.title} of customers" if line == margin else line.title,
            "value": amount(value, books.engagement.settings.currency, digits=1),
            "share": "" if of_sales is None else f"{percent(of_sales)} of gross sales",
            "worse": value < 0,
        })  # fmt: skip
    return figures


def _states(books: Books) -> list[dict[str, Any]]:
    """What to know before the figures: whether the books agree with the general ledger and in themselves, and what was found in them."""
    controls, checks = books.control_totals, len(books.tie_out)
    warnings = books.findings[books.findings["verdict"] == "warn"]
    warned, kinds = int(warnings["count"].sum()), warnings["code"].nunique()
    return [
        {"good": controls > 0, "text": f"The books and the general ledger agree to the cent: {controls} totals tied out."
                                       if controls else "No total of the general ledger is there to hold these books against."},
        {"good": True, "text": f"The report adds up to the books: {checks} checks tied out to the cent."},
        {"good": not warned, "text": f"Checks of the books: {warned:,} warnings of {kinds} kinds." if warned
                                     else "Checks of the books: no warnings."},
    ]  # fmt: skip


def _downloads(folder: Path) -> list[dict[str, Any]]:
    """The files beside the pages that are there: what each holds, and its names."""
    found = []
    for name, what in FILES.items():
        files = [file.relative_to(folder).as_posix() for file in sorted(folder.glob(f"{name}.*"))]
        found += [{"what": what, "files": files}] if files else []
    return found
