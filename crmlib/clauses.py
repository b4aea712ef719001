"""The customer's copy of an agreement, clause by clause: it holds words alone, and nothing of costs, margins, segments or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from crmlib.agreements import Draft
from crmlib.books.stored import Books, Frame
from crmlib.declared.agreements import Agreement, Commitment, Terms
from crmlib.menu import read_agreements, read_menu


@dataclass(frozen=True)
class Clause:
    """A clause of the customer's copy: paragraphs, and a table with its head."""

    heading: str
    text: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Document:
    """The customer's copy of an agreement."""

    title: str
    number: str
    client: str
    customer: str
    valid: str
    clauses: tuple[Clause, ...]


def documents(books: Books, made: Sequence[Draft]) -> list[Document]:
    """The customers' copies, one for each draft."""
    client, general = books.engagement.settings.client, read_agreements(books).terms
    menu = read_menu(books).set_index("option").to_dict("index")
    return [_document(draft, client, general, menu) for draft in made]


def _document(draft: Draft, client: str, general: Terms, menu: Any) -> Document:
    agreement = draft.agreement
    words = {clause: getattr(agreement, clause) or getattr(general, clause) for clause in Terms.model_fields}
    clauses = (*_clauses(agreement, menu, words, (client, draft.name)), _last(draft, words["law"]), SIGNATURES)
    title = "Product and service agreement" + ("" if draft.name else ", standard terms")
    valid = f"{_day(agreement.valid_from)} to {_day(agreement.valid_to)}"
    whole = tuple(clause for clause in clauses if any(clause.text) or clause.rows)
    return Document(title, f"{draft.code}, version {agreement.version}", client, draft.name, valid, whole)


def changes(books: Books, made: Sequence[Draft]) -> Frame:
    """What is new in the words of each draft that follows another version: code, with_whom, clause, before, now ('' for what is not there)."""
    again = [draft for draft in made if draft.before]
    earlier = [replace(draft, agreement=draft.before, before=None) for draft in again if draft.before]
    found = []
    for draft, new, old in zip(again, documents(books, again), documents(books, earlier), strict=True):
        now, before = (dict(line for clause in copy.clauses for line in _lines(clause)) for copy in (new, old))
        found += [
            (draft.code, draft.with_whom, what, before.get(what, ""), now.get(what, ""))
            for what in dict.fromkeys([*now, *before]) if now.get(what) != before.get(what)
        ]  # fmt: skip
    return pd.DataFrame(found, columns=["code", "with_whom", "clause", "before", "now"])


def _lines(clause: Clause) -> Iterator[tuple[str, str]]:
    """The lines of a clause by what they are about: the first cell of a row, or the heading."""
    for first, *others in clause.rows:
        yield first, ", ".join(filter(None, others))
    if text := " ".join(f"{each.removesuffix('.')}." for each in clause.text if each):
        yield clause.heading, text


def _clauses(agreement: Agreement, menu: Any, words: dict[str, str], parties: tuple[str, str]) -> Iterator[Clause]:
    client, customer = parties
    sides = [f"{client} (the supplier)", f"{customer or 'The customer named at its signature'} (the customer)"]
    contacts = [", ".join(names) or "to be named" for names in (agreement.contacts.ours, agreement.contacts.theirs)]
    yield Clause("Parties and contacts", (), ("Party", "Contacts"), tuple(zip(sides, contacts, strict=True)))
    yield Clause("Products and services", (words["scope"],))
    rows = [
        (menu[c.option]["name"], level_in_words(c.level, menu[c.option]["per"]), "" if c.target is None else f"{c.measure}: {_plain(c.target * 100)}%", _sanction(c))
        for c in agreement.commitments
    ]  # fmt: skip
    told = [c for c in agreement.commitments if c.measure and c.method]
    methods = tuple(f"{c.measure[:1].upper()}{c.measure[1:]}: {c.method}, by month." for c in told)
    head = ("Commitment", "How much", "Measure and target", "What follows")
    yield Clause("Service commitments", methods, head, tuple(rows))
    yield Clause("Orders and delivery", (words["delivery"],))
    yield Clause("Payment", (words["payment"],))
    yield Clause("Forecasts", (words["forecast_sharing"],))
    yield Clause("Returns", (words["returns"],))
    yield Clause("Joint improvement projects", agreement.projects)
    yield Clause("Sharing of gains", (words["gain_sharing"],))
    yield Clause("Communication and reviews", (words["reviews"],))


SIGNED = tuple((f"{what}:",) * 2 for what in ("Name", "Place and date", "Signature"))
SIGNATURES = Clause("Signatures", (), ("For the supplier", "For the customer"), SIGNED)


def _last(draft: Draft, law: str) -> Clause:
    valid = f"This agreement is valid from {_day(draft.agreement.valid_from)} to {_day(draft.agreement.valid_to)}."
    replaced = f" It takes the place of version {draft.before.version}." if draft.before else ""
    return Clause("Validity", tuple(text for text in (valid + replaced, law) if text))


def level_in_words(level: Decimal, per: str) -> str:
    """How much a level is, as a customer reads it."""
    counted = {"order": "order", "invoice_line": "order line", "unit": "unit"}.get(per)
    if counted:
        return f"with every {counted}" if level == 1 else f"up to {_plain(level * 100)} for every 100 {counted}s"
    if per == "net_sales":
        return f"up to {_plain(level * 100)}% of net sales"
    if per == "month" and level % 1 == 0:
        return f"{_plain(level)} a month"
    yearly = level * (12 if per == "month" else 1)
    years = 1 / yearly if yearly else yearly
    return f"1 every {_plain(years)} years" if years > 1 and years % 1 == 0 else f"{_plain(yearly)} a year"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _sanction(promised: Commitment) -> str:
    """What follows where a target is missed or met, in words."""
    follows = ("below the target is credited", "at the target or above is paid in addition")
    parts, of = zip((promised.penalty, promised.bonus), follows, strict=True), "of the net invoice value of each month"
    return "; ".join(f"{_plain(share * 100)}% {of} {what}" for share, what in parts if share)


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
