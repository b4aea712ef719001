"""The index of a report: its summary on one sheet."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.books.stored import Books
from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period
from crmlib.look import drawing, whale
from crmlib.look.words import Words, digits_text, one_unit, percent
from crmlib.output.headlines import headlines
from crmlib.output.lists import TITLES
from crmlib.output.packs import packs_index
from crmlib.output.page import Finding, Page, refuse_outside, rendered
from crmlib.process import board
from crmlib.profitability import customer_profitability, from_customers_to_profit, whale_curve

FILES = {
    "Excel workbook": "workbook",
    "Profit and loss by customer": "data/customer_profitability",
    "by account type": "data/account_type_profitability",
    "by segment": "data/segment_profitability",
    "by month": "data/cube",
    "Agreements": "agreements_internal/index",
    **{title: f"data/{name}" for name, title in TITLES.items()},
    "Findings in the books": "data/findings",
    "Tie-out": "data/tie_out",
    "Rows read": "data/intake",
}
REPORT, ACTIONS = "27_", "actions"  # the report, and its cell that says what to do
MOST_OWN = 4
MOST_FINDINGS, MOST_ACTIONS, MATERIAL = 7, 5, 0.01
THOUSAND = Decimal(1000)


def write_index(
    folder: Path,
    books: Books,
    period: Period,
    pages: Sequence[Page],
    findings: Sequence[Finding],
    actions: pd.DataFrame,
) -> None:
    """Write index.html: what the period came to, what was found, what to do first, the pages and the files beside them.

    `books` have the segments of the period; `actions` is the list of that name.
    """
    settings, unit, figures = books.engagement.settings, _unit(actions), _figures(books, period)
    to_do = [finding.text for finding in findings if _says_what_to_do(finding)]
    report = next((page.html for page in pages if page.html.startswith(REPORT)), "")
    text = rendered(
        "summary.html.j2",
        client=settings.client, period=period, currency=settings.currency, span=f"{_day(period.start)} to {_day(period.last_day)}",
        as_of=_day(books.engagement.coverage.last_day), figures=figures, way=_way(books, period), whale=_whale_curve(books, period), margin=books.statement_in(period).net_margin.name,
        findings=chosen_findings(findings), actions=_actions(actions, unit), rounded=any(figure["value"][-1].isalpha() for figure in figures), found=len(actions), to_do=to_do, report=report, thousand=unit == THOUSAND, pages=pages, titles={page.html: page.title for page in pages},
        meanings=_meanings(books, actions, findings), downloads=_downloads(folder), packs=packs_index(folder, period), **_board(books, pages),
    )  # fmt: skip
    refuse_outside(text, "index.html")
    (folder / "index.html").write_text(text, encoding="utf-8")


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def chosen_findings(findings: Sequence[Finding]) -> list[Finding]:
    """At most so many: those of the report itself, which say what moved, who earns and who loses; the first of each other page, by amount; the rest.

    What is small beside the others is left out, and what is to be done, which has a part of its own.
    """
    findings = [finding for finding in findings if not _says_what_to_do(finding)]
    least = MATERIAL * max((finding.amount for finding in findings), default=0)
    ranked = sorted((f for f in findings if f.amount > least), key=lambda finding: -finding.amount)
    own = [finding for finding in findings if finding in ranked and finding.page.startswith(REPORT)][:MOST_OWN]
    leading = [next(f for f in findings if f.page == page) for page in dict.fromkeys(f.page for f in findings)]
    first = [finding for finding in ranked if finding in leading and finding not in own]
    others = [finding for finding in ranked if finding not in [*leading, *own]]
    return [*own, *first, *others][:MOST_FINDINGS]


def _says_what_to_do(finding: Finding) -> bool:
    return finding.page.startswith(REPORT) and finding.cell == ACTIONS


def _figures(books: Books, period: Period) -> list[dict[str, Any]]:
    rows, currency = headlines(books, period), books.engagement.settings.currency
    values = [value for row in rows for value in (row.now, row.before) if value is not None]
    least = 0.1 if max(map(abs, values), default=0) >= 10 * THOUSAND else 1
    text = one_unit(values, least=least, digits=2)  # no 0.2 M beside another 0.2 M
    return [{
        "name": row.name, "value": f"{currency} {text(row.now)}", "worse": row.now < 0, "note": row.note,
        "before": "" if row.before is None else f"{row.year}: {currency} {text(row.before)}",
        "share": "" if row.share is None else f"{percent(row.share)} of gross sales",
    } for row in rows]  # fmt: skip


def _way(books: Books, period: Period) -> str:
    """From the margin of customers to the last line of the firm, in one sentence; nothing where nothing lies between them."""
    down = from_customers_to_profit(books, period)
    between, say = down.iloc[1:-1].sum(), Words(books.engagement.settings.currency)
    how, last = ("takes", "from") if between < 0 else ("adds", "to"), down.index[-1].lower()
    told = "What belongs to no customer {how[0]} {between:size.2} {how[1]} the {start:money.2} of customers: the firm's {last} is {end:money.2}."
    return str(say(told, how=how, between=between, start=down.iloc[0], last=last, end=down.iloc[-1]))


def _meanings(books: Books, actions: pd.DataFrame, findings: Sequence[Finding]) -> dict[str, str]:
    """What the segments mean that the summary names, by the rules."""
    first = {rule.segment: rule.because for rule in reversed(books.engagement.judgement("segments.yml", Rules).rules)}
    listed = set(actions.head(MOST_ACTIONS).get("segment", ()))
    said = " ".join(finding.text for finding in chosen_findings(findings))
    named = [s for s in reversed(first) if s in listed or re.search(rf"\b{re.escape(s)}\b", said)]
    return {segment: first[segment] for segment in named}


def _whale_curve(books: Books, period: Period) -> dict[str, str]:
    """The whale curve in small, as a picture with its alternative text; nothing where nobody bought."""
    report, margin = customer_profitability(books, period), books.statement_in(period).net_margin
    curve = whale_curve(report[report["customer_id"] != ""], margin.id)
    if curve.empty:
        return {}
    currency, small = books.engagement.settings.currency, drawing.new_axes(None, 2.7, width=5.4)
    ax = whale.plot_whale_curve(curve, unit=currency, ax=small)
    svg, alt = drawing.picture(drawing.root_figure(ax))
    say = Words(currency, costed=books.statement_in(period).has_costs)
    src = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return {"src": src, "alt": alt, "finding": _gained_and_lost(curve, say)}


def _gained_and_lost(curve: pd.DataFrame, say: Words) -> str:
    """The whale curve in a sentence: what those who earn contribute, and what the others lose."""
    earners, losers = curve[curve["margin"] > 0], curve[curve["margin"] < 0]
    told = "{earners:customer} {earners[margin]:contribute}.", "{losers:customer} {losers[margin]:contribute}."
    return str(say(*told, otherwise="Nobody earns and nobody loses", earners=earners, losers=losers))


def _board(books: Books, pages: Sequence[Page]) -> dict[str, Any]:
    """The sub-processes with their page, when each was last run and whose it is, and how many were; none where nothing is recorded."""
    steps, links = board(books).to_dict("records"), {page.number: page.html for page in pages}
    run = sum(step["done"] != "" for step in steps)
    return {"board": [{**step, "html": links.get(step["page"], "")} for step in steps] if run else [], "run": run}


def _unit(actions: pd.DataFrame) -> Decimal:
    """What amounts of the actions are told in: thousand where the largest is ten of it or more."""
    return THOUSAND if len(actions) and actions["at_stake"].max() >= 10 * THOUSAND else Decimal(1)


def _actions(actions: pd.DataFrame, unit: Decimal) -> list[dict[str, str]]:
    """The first actions as texts, amounts in a unit."""
    rows = actions.head(MOST_ACTIONS).fillna("").to_dict("records")
    return [{str(name): _told(value, unit) for name, value in row.items()} for row in rows]


def _told(value: object, unit: Decimal) -> str:
    if not isinstance(value, Decimal):
        return str(value)
    size = value / unit
    return digits_text(size, 0 if size >= 10 or size == int(size) else 1)


def _downloads(folder: Path) -> list[tuple[str, list[str]]]:
    """The files beside the pages that are there: what each holds, and its names."""
    there = [(what, sorted(folder.glob(f"{name}.*"))) for what, name in FILES.items()]
    return [(what, [file.relative_to(folder).as_posix() for file in files]) for what, files in there if files]
