"""What a client's columns mean: how they are written, what a line is, which months and currency."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from crmlib.books.ledger import quoted
from crmlib.books.raw import WORKBOOKS
from crmlib.books.sheets import Sheet
from crmlib.books.typing import day_of
from crmlib.books.written import DATES, NUMBERS, TIME, number_pattern
from crmlib.declared.settings import SERIAL
from crmlib.declared.vocabulary import KNOWN, likeness, parts, vocabulary
from crmlib.run.amounts import find_amounts, scale_amounts, turn_signs
from crmlib.run.drafts import Ask, Draft, Proposal, Question, column_named
from crmlib.run.kinds import FILE, MOST_KINDS, find_kinds, is_one
from crmlib.run.proposal import MOST_MIXED, recognised, roles
from crmlib.run.selected import with_selected

UNKNOWN = ("2024-01", "2024-12")  # stands for months of which nothing is known
WRITTEN = ("gross_sales", "invoice_date", "discount", "discount_share", "unit_price", "quantity", "with_tax", "cost_of_goods")  # fmt: skip
EDGE_DAYS = 7  # by which the first or last month is shorter than the others, as the check month-in-part has it
NO_CURRENCY = "XXX"  # ISO 4217's code for none
PERIODS = ("%Y%m", "%m.%Y", "0%m.%Y", "%m/%Y", "%Y-%m")  # forms of months that a fiscal year may count


def proposed(sheets: Sequence[Sheet], ask: Ask) -> Proposal:
    """One mapping of these files, sheets and tables to the ledger."""
    p = Proposal()

    def asked(question: Question) -> str:
        if not (answer := ask(question)):
            p.open[question.key] = question
        return answer

    recognised(p, with_selected(sheets, asked), asked)
    for name, draft in p.tables.items():
        _read_forms(draft, name, asked)
    if (lines := p.tables.get("invoice_lines")) and lines.settled:
        p.coverage = (
            _coverage(_booked_months(lines), asked) if FILE not in lines.columns["invoice_date"] else lines.period
        )
    elif lines:
        whole = lines.sheet.typed(lines.number, lines.days)
        if lines.head:
            whole = whole.beside(lines.head.typed(lines.number, lines.days), lines.key)
        lines.kinds = find_kinds(lines, whole, asked)
        if out := lines.kinds.get("exclude"):
            whole = whole.kept(f"NOT coalesce({out}, false)")
            for draft in (d for d in p.tables.values() if d.derived and d.sheet is lines.sheet and not lines.head):
                draft.where = " AND ".join(filter(None, (draft.where, f"NOT coalesce({out}, false)")))
        _in_one_currency(lines, whole, asked)
        find_amounts(lines, whole, asked)
        scale_amounts(lines, whole)
        turn_signs(lines, whole)
        _name_documents(lines, whole, asked)
        if "currency" in lines.columns and {*parts(lines.columns.get("gross_sales", ""))} & {*vocabulary().local}:
            lines.columns["document_currency"] = lines.columns.pop("currency")  # not the amount's
        _read_plain(lines)
        p.coverage = _coverage(_months(lines, whole), asked)
    p.open |= {question.key: question for question in _left(p, sheets)}
    p.currency = _currency(p, asked)
    return p


def _left(p: Proposal, sheets: Sequence[Sheet]) -> Iterator[Question]:
    """What nobody can be asked, as nothing is known of it, or as it is for later."""
    lines = p.tables.get("invoice_lines")
    if not lines or "customer_id" not in lines.columns:
        sheets = [lines.sheet] if lines else sheets
        lacking = "; ".join(
            f"{s.name} has no column known as {' or as '.join(none)}" for s in sheets if (none := _lacking(s))
        )
        text = f"No file has a customer, a date and an amount in each row: {lacking}. Name the columns under tables.invoice_lines.columns, select them in a .sql file, or export what has them: a marketplace names the buyer in its order report, not in its settlement, a file of bookings for another program, such as IIF, has them in its list of invoices, and a pivot table by month, grouped by customers alone, or in tabular form with its labels repeated, without subtotals."
        yield Question("tables.invoice_lines", text, [], [], "not read")
    elif not p.coverage[0]:
        text = "Which months do the books hold? No form of their dates is known."
        yield Question("coverage", text, [], [], f"{UNKNOWN[0]} to {UNKNOWN[1]}")
    for sheet in (s for s in sheets if lines and {*s.source} <= {*p.unread} and not _lacking(s)):
        amounts = [
            c for n, c in sheet.columns.items() if n == roles(sheet, "invoice_lines").get("gross_sales", ("",))[0]
        ]
        text = f"{sheet.name} has a customer, a date and an amount in each row too, under other names than {p.tables['invoice_lines'].sheet.name}. Are they lines of these books? Then write both in one form under the names of one of them, and begin anew with `crm new`; if not, remove this entry."
        yield Question(f"unread ({sheet.name})", text, [], [], "not read", amount=sheet.read_sum(amounts))
    for sheet in lines.sheets if lines else sheets:
        yield from _unreadable(sheet, lines.columns if lines else {})
    if (
        lines
        and "gross_sales" not in lines.columns
        and (name := lines.columns.get("with_tax", "")) in lines.sheet.columns
    ):
        text = f"{name} holds a tax, and no column has the tax or what is left without it. Export one of these; where one rate holds for all, such as 19 percent, write `gross_sales: '{lines.sheet.spoken(name)} / 1.19'` under tables.invoice_lines.columns, and remove this entry."
        yield Question("tables.invoice_lines.columns.gross_sales (with tax)", text, [], [], "not read", amount=lines.sheet.read_sum([lines.sheet.columns[name]]))  # fmt: skip
    if p.unread:
        text = f"Recognised as no table of the ledger: {', '.join(p.unread)}. Is there nothing in them that counts?"
        yield Question("unread", text, [], [], "not read")


def _unreadable(sheet: Sheet, taken: Mapping[str, str]) -> Iterator[Question]:
    """Columns that are called like amounts or days, and most of whose values, but not all, are written like them."""
    for role, words in vocabulary().tables["invoice_lines"].columns.items():
        if role not in WRITTEN or role in taken:
            continue
        for c in sheet.columns.values():
            if c.kind != "text" or c.numbers or c.dates or not c.filled or likeness(c.name, tuple(words)) < KNOWN:
                continue
            forms = {f"^{shape}{TIME}$" for shape in DATES.values()} if role == "invoice_date" else {*map(number_pattern, NUMBERS)}  # fmt: skip
            [counts] = sheet.ask(", ".join(f"count_if(regexp_matches({c.text}, {quoted(form)}))" for form in forms))
            most, form = max(zip(counts, forms, strict=True))
            if 2 * most < c.filled:
                continue
            others = f"WHERE {c.text} <> '' AND NOT regexp_matches({c.text}, {quoted(form)}) ORDER BY 1 LIMIT 3"
            odd = sheet.ask(f"DISTINCT {c.text}", others)
            text = f"{most} of {c.filled} values of {c.name} are written alike, and others otherwise, such as {' and '.join(v for (v,) in odd)}; it is not read. Write all in one way and begin anew with `crm new`."
            if role == "invoice_date" and sheet.file.suffix in WORKBOOKS:
                text += " Where a workbook has some days as text, those it made days may have day and month exchanged: take them from the system as text."
            yield Question(f"tables.invoice_lines.columns.{role} ({c.name})", text, [], [], "not read", amount=None if role == "quantity" else sheet.read_sum([c]))  # fmt: skip


def _lacking(sheet: Sheet) -> list[str]:
    known = roles(sheet, "invoice_lines").keys()
    needed = {
        "customer": {"customer_id", "customer_name"},
        "date": {"invoice_date"},
        "amount": {"gross_sales", "unit_price", "debit"},
    }
    return [name for name, able in needed.items() if not able & known]


def _in_one_currency(lines: Draft, whole: Sheet, ask: Ask) -> None:
    """Amounts of several currencies in the one of them whose rate is 1: a column that is each amount at its rate, or is it in that one alone, else as people say."""
    given, amount = (lines.columns.get(role, "") for role in ("currency", "gross_sales"))
    rate = column_named(lines.sheet, vocabulary().rates, KNOWN)
    if (
        not {given, amount} <= {*whole.columns}
        or whole.columns[given].distinct < 2
        or {"discount", "cost_of_goods", "unit_cost"} & {*lines.columns}
    ):
        return
    money, at = whole.spoken(amount), whole.spoken(rate)
    others = [n for n, c in whole.columns.items() if c.is_number and not c.dates and n not in (amount, rate)]
    codes = {code: whole.kept(is_one(whole, given, [code])) for code in whole.values(given)}
    own = [code for code, rows in codes.items() if rate and rows.agree(at, "1")]
    ways = {"times": f"{money} * {at}", "divided by": f"{money} / {at}"} if rate else {}
    base = next((n for n in others for way in ways.values() if whole.agree(way, whole.spoken(n))), "")
    if not rate:  # a column that is named for one currency, and the amount in its rows alone
        named = {(n, code) for n in others for code in codes if {*parts(n)} & {code.casefold(), *vocabulary().local}}
        pairs = [
            (n, code)
            for n, code in named
            if [c for c, rows in codes.items() if rows.agree(money, whole.spoken(n))] == [code]
        ]
        base, own = (pairs[0][0], [pairs[0][1]]) if len(pairs) == 1 else ("", [])
    if len(own) != 1:
        return
    if not base:
        text = f"{amount} is in several currencies. Is it, in {own[0]}, {amount} times {rate}, or divided by it?"
        rows = [" ".join(row[:-1]) for row in whole.groups([whole.spoken(given), at])[:3]]
        key, total = "tables.invoice_lines.columns.gross_sales (currency)", whole.total(ways["times"])
        base = ways[ask(Question(key, text, rows, [*ways], "times", amount=total)) or "times"]
    for role in ("currency", "tax", "with_tax", "unit_price", "list_price"):
        lines.columns.pop(role, None)
    lines.columns |= {"gross_sales": base, "document_currency": given, "document_amount": amount}
    lines.currency = own[0]


def _read_forms(draft: Draft, table: str, ask: Ask) -> None:
    """Forms of numbers and dates that every value of the mapped columns bears out; where two do, people are asked."""
    columns = draft.mapped()
    numbers = [c for c in columns if c.numbers and not c.dates and "marked" in c.marks]
    votes = [form for c in numbers for form in c.numbers]
    best = [form for form in dict.fromkeys(votes) if votes.count(form) == max(map(votes.count, votes))]
    if len({decimal for decimal, _ in best}) > 1:
        marks = {"comma": ",", "point": "."}
        text = f"Which is the decimal mark of {table}, comma or point? Every number could be read either way:"
        there = [c for c in numbers if c.name in draft.sheet.columns]
        sums = [draft.sheet.read_sum(there, form) for form in best]
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
    if SERIAL in common and not draft.sheet.serial:
        text = f"Do the dates of {table} count from 1900, as Excel does, or from 1904, as a workbook of a Mac may?"
        key, samples = f"tables.{table}.formats.dates (1904)", next(c.samples for c in columns if SERIAL in c.dates)
        common = ["serial-1904"] if ask(Question(key, text, samples, ["1900", "1904"], "1900")) == "1904" else common
    for c in columns:
        forms = {*c.dates} & {*common}
        asked = {
            "fiscal": f"Is the month in {c.name} one of the calendar year, and not of a fiscal year that begins later?" if forms & {*PERIODS} and {*parts(c.name)} & {*vocabulary().fiscal} else "",
            "year": f"Is the number after the month in {c.name} its year, and not a day?" if forms & {"%B %y", "%B-%y"} else "",
        }  # fmt: skip
        for about, text in ((about, text) for about, text in asked.items() if text):
            key, amounts = f"tables.{table}.formats.dates ({about})", [a for a in columns if a.name == draft.columns.get("gross_sales")]  # fmt: skip
            amount = draft.sheet.read_sum(amounts, draft.number)
            if ask(Question(key, text, c.samples, ["yes", "no"], "yes", amount=amount)) == "no":
                common = []
    draft.days = draft.days or common or sorted({d[0] for d in dates if len(d) == 1})


def _read_plain(lines: Draft) -> None:
    """Columns with a minus before the number where the others have it behind, or parentheses, are read as the engine does."""
    columns, odd = lines.sheet.columns, {"trailing", "parentheses", "CR"}
    mapped = {role: columns[name] for role, name in lines.columns.items() if name in columns}
    if any(odd & column.marks for column in mapped.values()):
        for role, column in mapped.items():
            if "leading" in column.marks and not odd & column.marks and (".", "") in column.numbers:
                lines.columns[role] = f"try_cast({lines.sheet.spoken(column.name)} as decimal(18, 4))"


def _name_documents(lines: Draft, whole: Sheet, ask: Ask) -> None:
    """What a document is beside its number, where one number stands for several customers."""
    if not {"order_id", "customer_id", "invoice_date"} <= set(lines.columns):
        return
    order, customer, day = (whole.spoken(lines.columns[role]) for role in ("order_id", "customer_id", "invoice_date"))
    if "line_no" in lines.columns and whole.repeats(f"{order}, {whole.spoken(lines.columns['line_no'])}"):
        del lines.columns["line_no"]
    if whole.depends(customer, order):
        return
    few = {
        whole.spoken(n): n
        for n, c in lines.sheet.columns.items()
        if 1 < c.distinct <= MOST_KINDS and c.kind != "float" and not {"marked", "leading"} & c.marks
        and n not in lines.columns.values()
    }  # fmt: skip
    for beside, name in {f"year({day})": "year", **few}.items():
        if whole.depends(customer, f"{order}, {beside}"):
            lines.document = [name, "order_id"]
            return
    if whole.mixed(customer, order) > MOST_MIXED:
        text = f"Most documents of several lines have several values of {customer}. Is it the customer?"
        rows = [f"{order} {row[0]}, {customer} {row[1]}" for row in whole.groups([order, customer])[:3]]
        amount = whole.total(whole.spoken(lines.columns.get("gross_sales", "1")))
        question = Question(
            "tables.invoice_lines.columns.customer_id (documents)", text, rows, ["yes", "no"], "yes", amount=amount
        )
        if ask(question) == "no":
            del lines.columns["customer_id"]


Months = Sequence[tuple[date, int, int]]  # each with its first and last day that has rows


def _months(lines: Draft, whole: Sheet) -> Months:
    day = whole.columns.get(lines.columns.get("invoice_date", ""))
    known = day and (day.kind == "date" or set(lines.days) & set(day.dates))
    return whole.months(lines.columns["invoice_date"]) if known else []


def _booked_months(lines: Draft) -> Months:
    """The months of a journal, whose rows are of one year by the text of their date."""
    given, sheet = lines.columns["invoice_date"], lines.sheet.kept(lines.where)
    if given in sheet.columns and sheet.columns[given].kind == "date":
        return sheet.months(f"{sheet.spoken(given)}::DATE")
    text = given.removeprefix("day(").removesuffix(")") if given.startswith("day(") else sheet.spoken(given)
    return sheet.months(day_of(text, lines.days[0])) if lines.days else []


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


def _currency(p: Proposal, ask: Ask) -> str:
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
            seen = [value.upper() for value in sheet.values(given)]
    codes = [*dict.fromkeys(seen)]
    if len(codes) == 1 and re.fullmatch("[A-Z]{3}", codes[0]):
        return codes[0]
    text = "Which currency are the books in, in three letters?"
    text += " Amounts in others need a table exchange_rates." if codes else " Nothing in the files says it."
    answer = ask(Question("currency", text, codes[:3], [], codes[0] if codes else "EUR"))
    return answer.strip().upper() or NO_CURRENCY
