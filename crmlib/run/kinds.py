"""What a line is: by the words or codes in columns of status and type, by numbers of documents, items and accounts, asked where none proves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from crmlib.books.ledger import quoted
from crmlib.books.raw import PLACE
from crmlib.books.sheets import Sheet
from crmlib.books.sniff import CENT, Sniffer
from crmlib.declared.vocabulary import KNOWN, kind_named, kind_of, likeness, parts, vocabulary
from crmlib.run.drafts import MOST_RETURNED, Ask, Draft, Question, column_named

FILE = PLACE[0]  # where several are merged
AMOUNTS = (
    "gross_sales",
    "with_tax",
    "unit_price",
    "quantity",
)  # by which it is said what lines are worth, before it is known what they are
LONGEST_CODE = 3  # letters of a code for a type
MOST_KINDS = 20  # different values of a column of status or type


def find_kinds(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> dict[str, str]:
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
        if not any(kinds.values()) and (flag := _flag(look, lines, whole, name, values, ask)):
            kinds = {value: flag for value in values if _is_among(value, vocabulary().yes)}
        unknown = [v for v in values if not _is_told(v, kinds.get(v, ""))]
        if 0 < len(unknown) < len(values) or (unknown and _is_of_codes(look, lines, whole, name, values)):
            kinds |= _said_of(look, lines, whole, name, unknown, ask)
        for kind in sorted({*kinds.values()} - {""}):
            tests.setdefault(kind, []).append(is_one(whole, name, [v for v in values if kinds.get(v) == kind]))
    _join_cancelled(look, lines, whole, tests)
    _count_credited(look, lines, whole, tests, ask)
    for kind, test in _said_elsewhere(look, lines, whole, tests, ask):
        tests.setdefault(kind, []).append(test)
    return {
        kind: " or ".join(tests[kind]) for kind in sorted(tests, key=lambda kind: kind != "exclude")
    }  # a draft is nothing else


def _join_cancelled(look: Sniffer, lines: Draft, whole: Sheet, tests: dict[str, list[str]]) -> None:
    """Leave out what cancels too, where what it cancels is left out by its status: together they are nought."""
    out, back = (" or ".join(tests.get(kind, ["false"])) for kind in ("exclude", "cancellation"))
    both = _amount(look, lines, whole, f"coalesce({out}, false) OR coalesce({back}, false)")
    if "cancellation" in tests and abs(both) <= CENT and _amount(look, lines, whole, back):
        tests["exclude"] = tests.get("exclude", []) + tests.pop("cancellation")


def _count_credited(look: Sniffer, lines: Draft, whole: Sheet, tests: dict[str, list[str]], ask: Ask) -> None:
    """Count documents that are cancelled by their status though each has a credit note of its amount, as people say: together they are nought."""
    notes, customer = " or ".join(tests.get("return", [])), lines.columns.get("customer_id", "")
    amount = next((whole.spoken(lines.columns[role]) for role in AMOUNTS if role in lines.columns), "")
    if not (notes and customer and amount):
        return
    same = f"concat_ws('|', {whole.spoken(customer)}, abs({amount}))"
    for test in [*tests.get("exclude", [])]:
        out = f"({test}) AND NOT coalesce({notes}, false) AND {amount} > 0"
        alone = f"{out} AND {same} NOT IN (SELECT {same} FROM {whole.view} WHERE {notes})"
        if not look.total(whole, "1", out) or look.total(whole, "1", alone):
            continue
        text = f"Each row that {test} leaves out has a credit note of its amount. Do both count, so that they are nought together?"
        if _asked(look, lines, whole, "credited", text, out, ask):
            tests["exclude"].remove(test)
    if not tests.get("exclude", ["-"]):
        del tests["exclude"]


def _is_told(value: str, kind: str) -> bool:
    return bool(kind) or _is_among(value, (*vocabulary().normal, *vocabulary().yes, *vocabulary().no))


def _is_among(value: str, words: Sequence[str]) -> bool:
    return _plain(value) in {*map(_plain, words)}


def is_one(whole: Sheet, name: str, values: Sequence[str]) -> str:
    """The condition that a column has one of these values."""
    return f"{whole.spoken(name)} in ({', '.join(map(quoted, values))})"


def _amount(look: Sniffer, lines: Draft, whole: Sheet, where: str) -> float:
    """What the lines that meet a condition are worth, by the first amount that they have."""
    first = next((lines.columns[role] for role in AMOUNTS if role in lines.columns), "")
    return look.total(whole, whole.spoken(first), where) if first else 0


def _said_of(look: Sniffer, lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> dict[str, str]:
    """The kind of lines with values that say nothing, beside others that do, where the column is one of status or type: sales, or as people say."""
    if not ({*parts(name)} & {*vocabulary().status} or _is_type(name)):
        return {}
    text = f"Are the rows whose {name} is {' or '.join(values)} sales? Where they are of several kinds, say so under kinds."
    key, amount = f"tables.invoice_lines.kinds ({name})", _amount(look, lines, whole, is_one(whole, name, values))
    said = ask(Question(key, text, [], ["sales", "exclude", "return"], "sales", amount=amount))
    return dict.fromkeys(values, said) if said in {"exclude", "return"} else {}


def _is_type(name: str) -> bool:
    own = name.rsplit(".", 1)[-1]
    return likeness(own, tuple(vocabulary().types)) >= KNOWN or own.lower().endswith("type")


def _is_of_codes(look: Sniffer, lines: Draft, whole: Sheet, name: str, values: Sequence[str]) -> bool:
    """Whether a column of types holds several codes that nothing explains, and no amount is negative, as a credit note's would be, or so many are as only payments are."""
    coded = _is_type(name) and len(values) > 1 and all(len(value) <= LONGEST_CODE for value in values)
    first = next((whole.spoken(lines.columns[role]) for role in AMOUNTS if role in lines.columns), "")
    less, more = (look.total(whole, f"abs({first})", f"{first} {sign} 0") if first else 0 for sign in "<>")
    return coded and bool(first) and not 0 < less < MOST_RETURNED * more


def _plain(name: str) -> str:
    return "".join(parts(name.rsplit(".", 1)[-1]))


def _flag(look: Sniffer, lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> str:
    """The kind that a column of yes and no is named like; a cancellation that still has its amount is left out, as nothing else takes it back. What is only part of a word is asked."""
    yes, no = ([v for v in values if _is_among(v, words)] for words in (vocabulary().yes, vocabulary().no))
    kind = kind_of(re.sub("^(is|ist|est|es) ", "", " ".join(parts(name.rsplit(".", 1)[-1]))))
    if not (yes and len(yes) + len(no) == len(values)):
        return ""
    if not kind and any(word in _plain(name) for word in vocabulary().voided):
        text = f"Are the rows whose {name} is {' or '.join(yes)} void, to be left out?"
        return "exclude" if _asked(look, lines, whole, name, text, is_one(whole, name, yes), ask) else ""
    if not kind:
        return ""
    stands = _amount(look, lines, whole, is_one(whole, name, yes)) > 0
    return "exclude" if kind == "cancellation" and stands else kind


def _said_elsewhere(
    look: Sniffer, lines: Draft, whole: Sheet, known: Iterable[str], ask: Ask
) -> Iterator[tuple[str, str]]:
    """Conditions on numbers of documents, items and accounts, each as people say; without an answer it is taken."""
    if "return" not in known:
        yield from _notes(look, lines, whole, ask)
    yield from _taxes(look, lines, whole, ask)
    yield from _accounts(look, lines, whole, ask)
    if name := column_named(lines.sheet, vocabulary().chances, KNOWN):
        text = f"{lines.sheet.name} has a {name}, as a list of opportunities has. Is what was won of them, and nothing else, what was invoiced?"
        _asked(look, lines, whole, name, text, "true", ask)


def _asked(look: Sniffer, lines: Draft, whole: Sheet, key: str, text: str, test: str, ask: Ask) -> bool:
    amount = _amount(look, lines, whole, test)
    return ask(Question(f"tables.invoice_lines.kinds ({key})", text, [], ["yes", "no"], "yes", amount=amount)) != "no"


def _notes(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Documents whose numbers begin with the letters of credit notes, and whose amounts are positive as others' are."""
    if (name := lines.columns.get("order_id")) not in whole.columns:
        return
    letters = f"regexp_extract(CAST({whole.spoken(name)} AS VARCHAR), '^[A-Za-z]+')"
    there = [said for said, _ in look.groups(whole, [letters])]
    notes = [said for said in there if kind_of(said) == "return" or said.lower() in vocabulary().notes]
    test = f"{letters} in ({', '.join(map(quoted, notes))})"
    if not 0 < len(notes) < len(there) <= MOST_KINDS or _amount(look, lines, whole, test) <= 0:
        return
    text = f"Are the documents whose {name} begins with {' or '.join(notes)} credit notes, though their amounts are positive?"
    if _asked(look, lines, whole, name, text, test, ask):
        yield "return", test


def _taxes(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Rows whose item is called a tax."""
    if (name := lines.columns.get("product_id")) not in whole.columns:
        return
    taxes = [value for value in look.values(whole, name) if {*parts(value)[:1]} & {*vocabulary().taxes}]
    text = f"Are the rows whose {name} is {' or '.join(taxes)} taxes, to be left out?"
    if taxes and _asked(look, lines, whole, name, text, test := is_one(whole, name, taxes), ask):
        yield "exclude", test


def _accounts(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Rows of a journal whose accounts are none of revenue, by their names; where no name says which are, what to do."""
    order, amount = (lines.columns.get(role, "") for role in ("order_id", "gross_sales"))
    account = column_named(lines.sheet, vocabulary().accounts, KNOWN)
    if not (account and order in whole.columns and amount) or look.depends(
        whole, whole.spoken(account), whole.spoken(order)
    ):
        return
    name = column_named(lines.sheet, vocabulary().account_names, KNOWN) or account
    values = [*look.values(whole, name)]
    others = {*vocabulary().taxes, *vocabulary().costs}
    sales = [v for v in values if {*parts(v)} & {*vocabulary().revenue} and not {*parts(v)} & others]
    if 0 < len(sales) < len(values):
        text = f"{lines.sheet.name} books to several accounts. Are its sales those whose {name} is {' or '.join(sales)}, and no others?"
        test = f"NOT coalesce({is_one(whole, name, sales)}, false)"
        if _asked(look, lines, whole, account, text, test, ask):
            yield "exclude", test
    elif not sales and look.adds_up(whole, whole.spoken(order), whole.spoken(amount), "0", "0"):
        text = f"The rows of each document of {lines.sheet.name} add up to nought, as in a journal. Which {account} are of revenue? Leave the others out by kinds, such as `exclude: {whole.spoken(account)} not in ('8400')`."
        _asked(look, lines, whole, account, text, "true", ask)
