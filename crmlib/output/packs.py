"""The index of the fact packs of many accounts, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from crmlib.books.stored import Books
from crmlib.declared.periods import Period
from crmlib.look.words import amount, counted
from crmlib.output.page import refuse_outside, rendered


@dataclass(frozen=True)
class Pack:
    """The pack of one account: its files are `file` with .html and .ipynb; `cause` says why there is no page."""

    customer_id: str
    name: str
    segment: str
    sales: Decimal
    margin: Decimal
    file: str
    cause: str = ""


def packs_name(period: Period) -> str:
    """The name of the folder of a period's packs, beside that of its report."""
    return f"{period.folder}-accounts"


def packs_index(report: Path, period: Period) -> str:
    """Where the index of packs stands beside a report; '' where there is none."""
    file = f"{packs_name(period)}/index.html"
    return f"../{file}" if (report.parent / file).exists() else ""


def write_pack_index(folder: Path, books: Books, period: Period, title: str, packs: Sequence[Pack]) -> None:
    """Write index.html: every account with its segment, sales and margin, links to its pack and to its PDF, and why there is none."""
    currency = books.engagement.settings.currency
    rows = [
        (pack, *(amount(size, currency) for size in (pack.sales, pack.margin)), (folder / f"{pack.file}.pdf").exists())
        for pack in packs
    ]
    text = rendered(
        "packs.html.j2", client=books.engagement.settings.client, period=period, title=title, rows=rows, count=counted(len(packs), "account"),
        margin=books.statement_in(period).net_margin.title, summary=folder.with_name(period.folder).joinpath("index.html").exists(),
    )  # fmt: skip
    refuse_outside(text, "index.html")
    (folder / "index.html").write_text(text, encoding="utf-8")
