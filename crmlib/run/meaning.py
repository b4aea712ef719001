"""What a client's columns mean: how they are written, what a line is, which months and currency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from crmlib.books.ledger import quoted
from crmlib.books.raw import PLACE
from crmlib.books.sheets import Sheet
from crmlib.books.sniff import Sniffer
from crmlib.declared.vocabulary import kind_named, kind_of, parts, vocabulary
from crmlib.run.amounts import find_amounts, scale_amounts, turn_signs
from crmlib.run.drafts import Ask, Draft, Proposal, Question
from crmlib.run.proposal import recognised
from crmlib.run.selected import with_selected

FILE = PLACE[0]  # where several are merged
UNKNOWN = ("2024-01", "2024-12")  # stands for months of which nothing is known
EDGE_DAYS = 7  # by which the first or last month is shorter than the others, as the check month-in-part has it
NO_CURRENCY = "XXX"  # ISO 4217's code for none
AMOUNTS = (
    "gross_sales",
    "with_tax",
    "unit_price",
    "quantity",
)  # by which it is said what lines are worth, before it is known what they are
MOST_MIXED = 0.5  # of the documents that have several lines, above which what differs in them is hardly a customer
MOST_KINDS = 20  # different values of a column of status or type


def proposed(look: Sniffer, sheets: Sequence[Sheet], ask: Ask) -> Proposal:
    """One mapping of these files, sheets and tables to the ledger."""
    p = Proposal()

    def asked(question: Question) -> str:
        if not (answer := ask(question)):
            p.open[question.key] = question
        return answer

    recognised(look, p, with_selected(look, sheets, asked), asked)
    for name, draft in p.tables.items():
        _read_forms(look, draft, name, asked)
    if (lines := p.tables.get("invoice_lines")) and lines.settled:
        p.coverage = (
            _coverage(_booked_months(look, lines), asked) if FILE not in lines.columns["invoice_date"] else lines.period
        )
    elif lines:
        whole = look.whole(lines.sheet, lines.head, lines.key, (lines.number, lines.days))
        lines.kinds = _kinds(look, lines, whole, asked)
        if out := lines.kinds.get("exclude"):
            whole = look.kept(whole, f"NOT coalesce({out}, false)")
        find_amounts(look, lines, whole, asked)
        scale_amounts(lines, whole)
        turn_signs(look, lines, whole)
        _name_documents(look, lines, whole, asked)
        if {*parts(lines.columns.get("gross_sales", ""))} & {*vocabulary().local}:
            lines.columns |= {"currency": ""} if "currency" in lines.columns else {}  # the document's, not the amount's
        _read_plain(lines)
        p.coverage = _coverage(_months(look, lines, whole), asked)
    p.open |= {question.key: question for question in _left(p)}
    p.currency = _currency(look, p, asked)
    return p


def _left(p: Proposal) -> Iterator[Question]:
    """What nobody can be asked, as nothing is known of it, or as it is for later."""
    if not p.coverage[0]:
        text = "Which months do the books hold? No form of their dates is known."
        yield Question("coverage", text, [], [], f"{UNKNOWN[0]} to {UNKNOWN[1]}")
    if p.unread:
        text = f"Recognised as no table of the ledger: {', '.join(p.unread)}. Is there nothing in them that counts?"
        yield Question("unread", text, [], [], "not read")


def _read_forms(look: Sniffer, draft: Draft, table: str, ask: Ask) -> None:
    """Forms of numbers and dates that every value of the mapped columns bears out; where two do, people are asked."""
    columns = draft.mapped()
    numbers = [c for c in columns if c.numbers and not c.dates and "marked" in c.marks]
    votes = [form for c in numbers for form in c.numbers]
    best = [form for form in dict.fromkeys(votes) if votes.count(form) == max(map(votes.count, votes))]
    if len({decimal for decimal, _ in best}) > 1:
        marks = {"comma": ",", "point": "."}
        text = f"Which is the decimal mark of {table}, comma or point? Every number could be read either way:"
        there = [c for c in numbers if c.name in draft.sheet.columns]
        sums = [look.read_sum(draft.sheet, there, form) for form in best]
        key, amount = f"tables.{table}.formats.decimal", max(sums) - min(sums)
        answer = ask(Question(key, text, numbers[0].samples, [*marks], "comma", "point", amount))
        best = [form for form in best if form[0] == marks.get(answer, ".")]
    draft.number = min(best, key=lambda form: len(form[1]), default=(".", ""))
    dates = [c.dates for c in columns if c.dates]
    common = [form for form in dict.fromkeys(form for d in dates for form in d) if all(form in d for d in dates)]
    if len(common) > 1:
        text = f"Which form have the dates of {table}? Every one could be read in each of these:"
        samples = next(c.samples for c in columns if c.dates)
        answer = ask(Question(f"tables.{table}.formats.dates", text, samples, common, common[0], "none"))
        common = [answer] if answer else []
    draft.days = draft.days or common or sorted({d[0] for d in dates if len(d) == 1})


def _read_plain(lines: Draft) -> None:
    """Columns with a minus before the number where the others have it behind, or parentheses, are read as the engine does."""
    columns, odd = lines.sheet.columns, {"trailing", "parentheses"}
    mapped = {role: columns[name] for role, name in lines.columns.items() if name in columns}
    if any(odd & column.marks for column in mapped.values()):
        for role, column in mapped.items():
            if "leading" in column.marks and not odd & column.marks and (".", "") in column.numbers:
                lines.columns[role] = f"try_cast({lines.sheet.spoken(column.name)} as decimal(18, 4))"


def _kinds(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> dict[str, str]:
    """What a line is, by the words or codes in columns of status and type, or by a yes in a column named like a kind: kind → condition."""
    names = {_plain(name) for name in whole.columns}
    tests: dict[str, list[str]] = {}
    named = {file: kind_named(source) for source, file in zip(lines.sheet.source, lines.sheet.files, strict=True)}
    for kind in sorted({*named.values()} - {""}) if FILE in whole.columns else ():
        given = ", ".join(quoted(file) for file in named if named[file] == kind)
        tests.setdefault(kind, []).append(f"{FILE} in ({given})")
    for name, column in whole.columns.items():
        for code in vocabulary().codes:
            if code.filled and column.filled and _plain(code.column) == _plain(name):
                there = "<> ''" if column.kind == "text" else "is not null"
                tests.setdefault(code.filled, []).append(f"{whole.spoken(name)} {there}")
        if not 0 < column.distinct <= MOST_KINDS or column.kind == "float" or name in lines.columns.values():
            continue
        if name.rsplit(".", 1)[-1] == FILE:
            continue
        codes = [c for c in vocabulary().codes if _plain(c.column) == _plain(name) and _plain(c.beside) in {"", *names}]
        known = {value: kind for code in codes for kind, values in code.kinds.items() for value in values}
        values = [*look.values(whole, name)]
        kinds = {value: known.get(value) or kind_of(value) for value in values}
        if not any(kinds.values()) and (flag := _flag(look, lines, whole, name, values)):
            kinds = {value: flag for value in values if _plain(value) in vocabulary().yes}
        unknown = [v for v in values if not _is_told(v, kinds.get(v, ""))]
        if 0 < len(unknown) < len(values):
            kinds |= _said_of(look, lines, whole, name, unknown, ask)
        for kind in sorted({*kinds.values()} - {""}):
            tests.setdefault(kind, []).append(_is_one(whole, name, [v for v in values if kinds.get(v) == kind]))
    return {
        kind: " or ".join(tests[kind]) for kind in sorted(tests, key=lambda kind: kind != "exclude")
    }  # a draft is nothing else


def _is_told(value: str, kind: str) -> bool:
    return bool(kind) or _plain(value) in {*map(_plain, (*vocabulary().normal, *vocabulary().yes, *vocabulary().no))}


def _is_one(whole: Sheet, name: str, values: Sequence[str]) -> str:
    """The condition that a column has one of these values."""
    return f"{whole.spoken(name)} in ({', '.join(map(quoted, values))})"


def _amount(look: Sniffer, lines: Draft, whole: Sheet, where: str) -> float:
    """What the lines that meet a condition are worth, by the first amount that they have."""
    first = next((lines.columns[role] for role in AMOUNTS if role in lines.columns), "")
    return look.total(whole, whole.spoken(first), where) if first else 0


def _said_of(look: Sniffer, lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> dict[str, str]:
    """The kind of lines with values that say nothing, beside others that do, where the column is one of status: sales, or as people say left out."""
    if not {*parts(name)} & {*vocabulary().status}:
        return {}
    text = f"Are the rows whose {name} is {' or '.join(values)} sales? Others are of another kind, or left out."
    key, amount = f"tables.invoice_lines.kinds ({name})", _amount(look, lines, whole, _is_one(whole, name, values))
    said = ask(Question(key, text, [], ["sales", "exclude"], "sales", amount=amount))
    return dict.fromkeys(values, "exclude") if said == "exclude" else {}


def _plain(name: str) -> str:
    return "".join(parts(name.rsplit(".", 1)[-1]))


def _flag(look: Sniffer, lines: Draft, whole: Sheet, name: str, values: Sequence[str]) -> str:
    """The kind that a column of yes and no is named like; a cancellation that still has its amount is left out, as nothing else takes it back."""
    yes, no = ([v for v in values if _plain(v) in words] for words in (vocabulary().yes, vocabulary().no))
    kind = kind_of(re.sub(r"(?i)^(is|ist|est|es)\b", "", name.rsplit(".", 1)[-1]))
    if not (kind and yes and len(yes) + len(no) == len(values)):
        return ""
    stands = _amount(look, lines, whole, _is_one(whole, name, yes)) > 0
    return "exclude" if kind == "cancellation" and stands else kind


def _name_documents(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> None:
    """What a document is beside its number, where one number stands for several customers."""
    if not {"order_id", "customer_id", "invoice_date"} <= set(lines.columns):
        return
    order, customer, day = (whole.spoken(lines.columns[role]) for role in ("order_id", "customer_id", "invoice_date"))
    if "line_no" in lines.columns and look.repeats(whole, f"{order}, {whole.spoken(lines.columns['line_no'])}"):
        del lines.columns["line_no"]
    if look.depends(whole, customer, order):
        return
    few = {
        whole.spoken(n): n
        for n, c in lines.sheet.columns.items()
        if 1 < c.distinct <= MOST_KINDS and c.kind != "float" and not {"marked", "leading"} & c.marks
        and n not in lines.columns.values()
    }  # fmt: skip
    for beside, name in {f"year({day})": "year", **few}.items():
        if look.depends(whole, customer, f"{order}, {beside}"):
            lines.document = [name, "order_id"]
            return
    if look.mixed(whole, customer, order) > MOST_MIXED:
        text = f"Most documents of several lines have several values of {customer}. Is it the customer?"
        rows = [f"{order} {row[0]}, {customer} {row[1]}" for row in look.groups(whole, [order, customer])[:3]]
        amount = look.total(whole, whole.spoken(lines.columns.get("gross_sales", "1")))
        question = Question(
            "tables.invoice_lines.columns.customer_id (documents)", text, rows, ["yes", "no"], "yes", amount=amount
        )
        if ask(question) == "no":
            del lines.columns["customer_id"]


Months = Sequence[tuple[date, int, int]]  # each with its first and last day that has rows


def _months(look: Sniffer, lines: Draft, whole: Sheet) -> Months:
    day = whole.columns.get(lines.columns.get("invoice_date", ""))
    known = day and (day.kind == "date" or set(lines.days) & set(day.dates))
    return look.months(whole, lines.columns["invoice_date"]) if known else []


def _booked_months(look: Sniffer, lines: Draft) -> Months:
    """The months of a journal, whose rows are of one year by the text of their date."""
    given, sheet = lines.columns["invoice_date"], look.kept(lines.sheet, lines.where)
    if given in sheet.columns and sheet.columns[given].kind == "date":
        return look.months(sheet, f"{sheet.spoken(given)}::DATE")
    text = given.removeprefix("day(").removesuffix(")") if given.startswith("day(") else sheet.spoken(given)
    return look.months(sheet, look.day(text, lines.days[0])) if lines.days else []


def _coverage(months: Months, ask: Ask) -> tuple[str, str]:
    """The months that the lines hold, without a first or last one that is there in part only, as the check has it."""
    inner = months[1:-1]
    if len(inner) >= 2:
        late, early = min(m[2] for m in inner), max(m[1] for m in inner)
        if months[-1][2] + EDGE_DAYS <= late and ask(_edge(months[-1], "last")) != "keep":
            months = months[:-1]
        if months[0][1] >= early + EDGE_DAYS and ask(_edge(months[0], "first")) != "keep":
            months = months[1:]
    return (f"{months[0][0]:%Y-%m}", f"{months[-1][0]:%Y-%m}") if months else ("", "")


def _edge(month: tuple[date, int, int], edge: str) -> Question:
    text = f"The {edge} month, {month[0]:%Y-%m}, has sales of its days {month[1]} to {month[2]} only. Leave it out, so that all months are whole?"
    return Question(f"coverage ({edge} month)", text, [], ["leave out", "keep"], "leave out")


def _currency(look: Sniffer, p: Proposal, ask: Ask) -> str:
    """The currency that a column, the signs beside amounts or the names of columns prove, or that people say."""
    known, seen = vocabulary().currencies, [d.currency for d in p.tables.values() if d.currency]
    for draft in p.tables.values():
        sheets = [sheet for sheet in (draft.sheet, draft.head) if sheet]
        for column in (c for sheet in sheets for c in sheet.columns.values() if c.is_number):
            words = {
                *column.marks,
                *parts(column.name),
                *(sign for sign in known if not sign.isalpha() and sign in column.name),
            }
            seen += [known.get(word, word) for word in sorted(words) if word in known or re.fullmatch("[A-Z]{3}", word)]
        given = draft.columns.get("currency", "").removeprefix(f"{draft.head.name}." if draft.head else "")
        for sheet in (sheet for sheet in sheets if given in sheet.columns):
            seen = [value.upper() for value in look.values(sheet, given)]
    codes = [*dict.fromkeys(seen)]
    if len(codes) == 1 and re.fullmatch("[A-Z]{3}", codes[0]):
        return codes[0]
    text = "Which currency are the books in, in three letters?"
    text += " Amounts in others need a table exchange_rates." if codes else " Nothing in the files says it."
    answer = ask(Question("currency", text, codes[:3], [], codes[0] if codes else "EUR"))
    return answer.strip().upper() or NO_CURRENCY
