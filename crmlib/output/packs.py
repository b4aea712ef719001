"""The index of the fact packs of many accounts, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.declared.periods import Period
from crmlib.look.words import amount, counted
from crmlib.output.page import refuse_outside, rendered

if TYPE_CHECKING:
    from crmlib.books.stored import Books


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


def packs_folder(report: Path) -> Path:
    """The folder of the packs of the period of a report, beside it."""
    return report.with_name(f"{report.name}-accounts")


def write_pack_index(folder: Path, books: Books, period: Period, title: str, packs: Sequence[Pack]) -> None:
    """Write index.html: every account with its segment, sales and margin, links to its pack and to its PDF, and why there is none."""
    currency = books.engagement.settings.currency
    rows = [
        (pack, amount(pack.sales, currency), amount(pack.margin, currency), (folder / f"{pack.file}.pdf").exists())
        for pack in packs
    ]
    text = rendered(
        "packs.html.j2", client=books.engagement.settings.client, period=period, title=title, rows=rows, count=counted(len(packs), "account"),
        margin=books.statement_in(period).net_margin.title,
    )  # fmt: skip
    refuse_outside(text, "index.html")
    (folder / "index.html").write_text(text, encoding="utf-8")
