"""What `crm new` finds before it is written: a question, a table, the mapping as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from crmlib.books.profiles import Profile
from crmlib.books.sheets import Sheet
from crmlib.declared.ledger import tables
from crmlib.declared.vocabulary import likeness


@dataclass(frozen=True)
class Question:
    """What the data do not prove: where it stands in engagement.yml, three rows of evidence, the choices, a default; and without an answer what is taken, the amount that hangs on it."""

    key: str
    text: str
    evidence: Sequence[str]
    choices: Sequence[str]
    default: str
    taken: str = ""  # the default where nothing else is said
    amount: float | None = None

    @property
    def asked(self) -> str:
        """The question with its evidence, in one line."""
        return f"{self.text} {'; '.join(self.evidence[:3])}".rstrip()


MOST_RETURNED = 0.25  # of what was sold; more is hardly what was returned
LIKE_LINES = ("invoice_lines", "customers", "products")  # whose columns stand in a flat export
Ask = Callable[[Question], str]  # the answer; empty where nobody is there to give it


def column_named(sheet: Sheet, words: Sequence[str], least: float) -> str:
    """The column whose name is likest to these words, if it is at least so likely; '' without."""
    like = {name: likeness(name, tuple(words)) for name, column in sheet.columns.items() if column.filled}
    best = max(like, key=lambda name: like[name], default="")
    return best if like.get(best, 0) >= least else ""


def fits(column: Profile, table: str, role: str) -> bool:
    """Whether what a column holds can be what the role needs."""
    record = next(
        (tables()[t].columns[role] for t in (table, *LIKE_LINES) if t in tables() and role in tables()[t].columns), None
    )
    kind = record.type if record else "text" if role == "mark" else "money"
    if kind in {"date", "month"}:
        return column.is_date
    if kind in {"money", "quantity", "measure", "rate", "integer"}:
        return column.is_number and not column.dates
    return column.kind != "date" and column.kind != "float" and (not column.dates or bool(column.numbers))


@dataclass
class Draft:
    """One table as it will stand in engagement.yml; `columns` are names of the client's or expressions on them."""

    sheet: Sheet
    columns: dict[str, str]
    turned: set[str] = field(default_factory=set)
    document: list[str] = field(default_factory=list)
    head: Sheet | None = None  # of the invoices that the lines belong to
    key: tuple[str, str] = ("", "")  # our column and the head's
    where: str = ""
    kinds: dict[str, str] = field(default_factory=dict)
    number: tuple[str, str] = (".", "")
    days: Sequence[str] = ()
    derived: bool = False
    settled: bool = False  # its amounts and what it holds are known
    currency: str = ""  # as the file says it
    period: tuple[str, str] = ("", "")  # first and last month, as the files say them
    debtor: str = ""  # what the accounts of customers look like
    unsure: set[str] = field(default_factory=set)  # columns whose names only come near

    @property
    def sheets(self) -> list[Sheet]:
        """The sheet, and that of the heads."""
        return [sheet for sheet in (self.sheet, self.head) if sheet]

    def mapped(self, *names: str) -> list[Profile]:
        """The client's columns that are among these, or stand in these expressions; without any, in all that are mapped."""
        given = names or tuple(self.columns.values())
        words = {word for name in given for word in re.findall(r'"[^"]*"|\w+', name)}
        return [
            c
            for s in self.sheets
            for n, c in s.columns.items()
            if {n, f"{s.name}.{n}"} & {*given} or s.spoken(n) in words
        ]


@dataclass
class Proposal:
    """One whole mapping, the sheets that it leaves unread, and by key what is still open."""

    tables: dict[str, Draft] = field(default_factory=dict)
    currency: str = ""
    coverage: tuple[str, str] = ("", "")
    unread: list[str] = field(default_factory=list)
    open: dict[str, Question] = field(default_factory=dict)
