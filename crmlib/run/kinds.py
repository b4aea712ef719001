"""What a line is: by the words or codes in columns of status and type, by numbers of documents, items and accounts, asked where none proves it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from crmlib.books.ledger import quoted
from crmlib.books.raw import PLACE
from crmlib.books.sheets import CENT, Sheet
from crmlib.declared.vocabulary import KNOWN, kind_named, kind_of, likeness, parts, vocabulary
from crmlib.run.drafts import MOST_RETURNED, Ask, Draft, Question, column_named

MEASURES = ("gross_sales", "quantity", "cost_of_goods")  # that may stand below each other in one column
FILE = PLACE[0]  # where several are merged
# by which it is said what lines are worth, before it is known what they are
AMOUNTS = ("gross_sales", "with_tax", "unit_price", "quantity")
LONGEST_CODE = 3  # letters of a code for a type
MOST_KINDS = 20  # different values of a column of status or type


def find_kinds(lines: Draft, whole: Sheet, ask: Ask) -> dict[str, str]:
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
                tests.setdefault(code.filled, []).append(_is_filled(whole, name))
        if not 0 < column.distinct <= MOST_KINDS or column.kind == "float" or name in lines.columns.values():
            continue
        if name.rsplit(".", 1)[-1] == FILE:
            continue
        codes = [c for c in vocabulary().codes if _plain(c.column) == _plain(name) and _plain(c.beside) in {"", *names}]
        known = {value: kind for code in codes for kind, values in code.kinds.items() for value in values}
        values = [*whole.values(name)]
        kinds = {value: known.get(value) or kind_of(value) for value in values}
        if not any(kinds.values()) and (flag := _flag(lines, whole, name, values, ask)):
            kinds = {value: flag for value in values if _is_among(value, vocabulary().yes)}
        unknown = [v for v in values if not _is_told(v, kinds.get(v, ""))]
        if unknown and (others := _beside(lines, whole, name, values, ask)):
            kinds, unknown = dict.fromkeys(others, "exclude"), []
        if 0 < len(unknown) < len(values) or (unknown and _is_of_codes(lines, whole, name, values)):
            kinds |= _said_of(lines, whole, name, unknown, ask)
        for kind in sorted({*kinds.values()} - {""}):
            tests.setdefault(kind, []).append(is_one(whole, name, [v for v in values if kinds.get(v) == kind]))
    _join_cancelled(lines, whole, tests)
    _count_credited(lines, whole, tests, ask)
    for kind, test in _said_elsewhere(lines, whole, tests, ask):
        tests.setdefault(kind, []).append(test)
    # a draft is nothing else
    return {kind: " or ".join(tests[kind]) for kind in sorted(tests, key=lambda kind: kind != "exclude")}


def _join_cancelled(lines: Draft, whole: Sheet, tests: dict[str, list[str]]) -> None:
    """Leave out what cancels too, where what it cancels is left out by its status: together they are nought."""
    out, back = (" or ".join(tests.get(kind, ["false"])) for kind in ("exclude", "cancellation"))
    both = _amount(lines, whole, f"coalesce({out}, false) OR coalesce({back}, false)")
    if "cancellation" in tests and abs(both) <= CENT and _amount(lines, whole, back):
        tests["exclude"] = tests.get("exclude", []) + tests.pop("cancellation")


def _count_credited(lines: Draft, whole: Sheet, tests: dict[str, list[str]], ask: Ask) -> None:
    """Count documents that are cancelled by their status though each has a credit note of its amount, or its opposite, as people say: together they are nought."""
    customer, amount = lines.columns.get("customer_id", ""), _first(lines, whole)
    if not (customer and amount):
        return
    notes = " or ".join([f"{amount} < 0", *tests.get("return", [])])
    same = f"concat_ws('|', {whole.spoken(customer)}, abs({amount}))"
    stays = f"({notes}) AND NOT coalesce({' or '.join(tests.get('exclude', ['false']))}, false)"
    for test in [*tests.get("exclude", [])]:
        out = f"({test}) AND NOT coalesce({notes}, false) AND {amount} > 0"
        alone = f"{out} AND {same} NOT IN (SELECT {same} FROM {whole.view} WHERE {stays})"
        if not whole.has(f"WHERE {out}") or whole.has(f"WHERE {alone}"):
            continue
        text = f"Each row that {test} leaves out has a credit note of its amount, or its opposite. Do both count, so that they are nought together?"
        if _asked(lines, whole, "credited", text, out, ask):
            tests["exclude"].remove(test)
    if not tests.get("exclude", ["-"]):
        del tests["exclude"]


def _is_told(value: str, kind: str) -> bool:
    return bool(kind) or _is_among(value, (*vocabulary().normal, *vocabulary().yes, *vocabulary().no))


def _is_among(value: str, words: Sequence[str]) -> bool:
    return _plain(value) in {*map(_plain, words)}


def _is_filled(whole: Sheet, name: str) -> str:
    return f"coalesce(trim(CAST({whole.spoken(name)} AS VARCHAR)), '') <> ''"


def is_one(whole: Sheet, name: str, values: Sequence[str]) -> str:
    """The condition that a column has one of these values."""
    return f"{whole.spoken(name)} in ({', '.join(map(quoted, values))})"


def _first(lines: Draft, whole: Sheet) -> str:
    return next((whole.spoken(lines.columns[role]) for role in AMOUNTS if role in lines.columns), "")


def _amount(lines: Draft, whole: Sheet, where: str) -> float:
    """What the lines that meet a condition are worth, by the first amount that they have."""
    first = _first(lines, whole)
    return whole.total(first, where) if first else 0


def _said_of(lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> dict[str, str]:
    """The kind of lines with values that say nothing, beside others that do, where the column is one of status or type: sales, or as people say."""
    told = [v for v in whole.values(name) if v not in values]
    if not ({*parts(name)} & {*vocabulary().status} or _is_type(name) or (len(told) > 1 and any(map(kind_of, told)))):
        return {}
    text = f"Are the rows whose {name} is {' or '.join(values)} sales? Where they are of several kinds, say so under kinds."
    said = _said(lines, whole, name, text, is_one(whole, name, values), ask, ("sales", "exclude", "return"))
    return dict.fromkeys(values, said) if said in {"exclude", "return"} else {}


def _beside(lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> list[str]:
    """What a column of measures or scenarios says of rows that are not what was invoiced, as people say; nothing where it is none."""
    words = vocabulary().tables["invoice_lines"].columns
    like = {role: max(values, key=lambda v: likeness(v, tuple(words[role]))) for role in MEASURES}
    known = {role: v for role, v in like.items() if likeness(v, tuple(words[role])) >= KNOWN}
    is_account = likeness(name, (*vocabulary().accounts, *vocabulary().account_names)) >= KNOWN
    is_stacked = len({*known.values()}) > 1 or likeness(name, tuple(vocabulary().stacked)) >= KNOWN
    if is_account or not is_stacked or len(values) < 2:
        return []
    first = known.get("gross_sales") or next((v for v in values if _is_among(v, vocabulary().normal)), "all")
    text = f"{name} is {', '.join(values)}. Which of these is what was invoiced?"
    choices = dict.fromkeys((first, *values, "all"))
    said = _said(lines, whole, name, text, f"NOT {is_one(whole, name, [first])}", ask, [*choices])
    return [] if said == "all" else [v for v in values if v != said]


def _is_type(name: str) -> bool:
    own = name.rsplit(".", 1)[-1]
    return likeness(own, tuple(vocabulary().types)) >= KNOWN or own.lower().endswith("type")


def _is_of_codes(lines: Draft, whole: Sheet, name: str, values: Sequence[str]) -> bool:
    """Whether a column of types holds several codes that nothing explains, and no amount is negative, as a credit note's would be, or so many are as only payments are."""
    coded = _is_type(name) and len(values) > 1 and all(len(value) <= LONGEST_CODE for value in values)
    first = _first(lines, whole)
    less, more = (whole.total(f"abs({first})", f"{first} {sign} 0") if first else 0 for sign in "<>")
    return coded and bool(first) and not 0 < less < MOST_RETURNED * more


def _plain(name: str) -> str:
    return "".join(parts(name.rsplit(".", 1)[-1]))


def _flag(lines: Draft, whole: Sheet, name: str, values: Sequence[str], ask: Ask) -> str:
    """The kind that a column of yes and no is named like; a cancellation that still has its amount is left out, as nothing else takes it back. What is only part of a word is asked."""
    yes, no = ([v for v in values if _is_among(v, words)] for words in (vocabulary().yes, vocabulary().no))
    kind = kind_of(re.sub("^(is|ist|est|es) ", "", " ".join(parts(name.rsplit(".", 1)[-1]))))
    if not (yes and len(yes) + len(no) == len(values)):
        return ""
    if not kind and any(word in _plain(name) for word in vocabulary().voided):
        text = f"Are the rows whose {name} is {' or '.join(yes)} void, to be left out?"
        return "exclude" if _asked(lines, whole, name, text, is_one(whole, name, yes), ask) else ""
    if not kind:
        return ""
    stands = _amount(lines, whole, is_one(whole, name, yes)) > 0
    return "exclude" if kind == "cancellation" and stands else kind


def _said_elsewhere(lines: Draft, whole: Sheet, known: Iterable[str], ask: Ask) -> Iterator[tuple[str, str]]:
    """Conditions on numbers of documents, items and accounts, each as people say; without an answer it is taken."""
    if "return" not in known:
        yield from _notes(lines, whole, ask)
    yield from _taxes(lines, whole, ask)
    yield from _accounts(lines, whole, ask)
    yield from _wholes(lines, whole, ask)
    if name := column_named(lines.sheet, vocabulary().chances, KNOWN):
        text = f"{lines.sheet.name} has a {name}, as a list of opportunities has. Is what was won of them, and nothing else, what was invoiced?"
        _asked(lines, whole, name, text, "true", ask)


def _asked(lines: Draft, whole: Sheet, key: str, text: str, test: str, ask: Ask) -> bool:
    return _said(lines, whole, key, text, test, ask, ("yes", "no")) != "no"


def _said(lines: Draft, whole: Sheet, key: str, text: str, test: str, ask: Ask, choices: Sequence[str]) -> str:  # fmt: skip
    """What people say of lines that meet a condition, with their amount; the first choice where they say nothing."""
    amount = _amount(lines, whole, test)
    return ask(Question(f"tables.invoice_lines.kinds ({key})", text, [], [*choices], choices[0], amount=amount)) or choices[0]  # fmt: skip


def _notes(lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Documents whose numbers begin with the letters of credit notes, and whose amounts are positive as others' are."""
    if (name := lines.columns.get("order_id")) not in whole.columns:
        return
    letters = f"regexp_extract(CAST({whole.spoken(name)} AS VARCHAR), '^[A-Za-z]+')"
    there = [said for said, _ in whole.groups([letters])]
    notes = [said for said in there if kind_of(said) == "return" or said.lower() in vocabulary().notes]
    test = f"{letters} in ({', '.join(map(quoted, notes))})"
    if not 0 < len(notes) < len(there) <= MOST_KINDS or _amount(lines, whole, test) <= 0:
        return
    text = f"Are the documents whose {name} begins with {' or '.join(notes)} credit notes, though their amounts are positive?"
    if _asked(lines, whole, name, text, test, ask):
        yield "return", test


def _taxes(lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Rows whose item is called a tax, or else described as one."""
    for name in (lines.columns.get(role, "") for role in ("product_id", "product_name")):
        values = whole.values(name) if name in whole.columns else ()
        taxes = [v for v in values if {*parts(v)[:1], *parts(v)[-1:]} & {*vocabulary().taxes}]
        text = f"Are the rows whose {name} is {' or '.join(taxes)} taxes, to be left out?"
        if taxes and _asked(lines, whole, name, text, test := is_one(whole, name, taxes), ask):
            yield "exclude", test
            return


def _wholes(lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Rows whose amount is in another row of the document too: parts of a kit, and heads, which are the sum of the others."""
    if part := column_named(lines.sheet, vocabulary().wholes, KNOWN):
        test = _is_filled(whole, part)
        text = f"Are the rows that have a {part} parts of what stands in another row with its whole amount, to be left out?"
        if whole.has(f"WHERE NOT ({test})") and _asked(lines, whole, part, text, test, ask):
            yield "exclude", test
    amount, order = (whole.spoken(lines.columns[r]) if r in lines.columns else "" for r in ("gross_sales", "order_id"))
    few = {n: [*whole.values(n)] for n, c in whole.columns.items() if c.distinct == 2 and n not in lines.columns.values()}  # fmt: skip
    for name, value in ((name, value) for name, values in few.items() for value in values if amount and order):
        test = is_one(whole, name, [value])
        several = f"GROUP BY {order} HAVING count(*) FILTER ({test}) <> 1"
        rest, head = f"CASE WHEN {test} THEN 0 ELSE {amount} END", f"CASE WHEN {test} THEN {amount} END"
        if not whole.has(several) and whole.adds_up(order, rest, head, "0"):
            text = f"In each document the row whose {name} is {value} is the sum of the others. Is it the document's total, to be left out?"
            if _asked(lines, whole, name, text, test, ask):
                yield "exclude", test
            return


def _accounts(lines: Draft, whole: Sheet, ask: Ask) -> Iterator[tuple[str, str]]:
    """Rows of a journal whose accounts are none of revenue, by their names; where no name says which are, what to do."""
    order, amount = (lines.columns.get(role, "") for role in ("order_id", "gross_sales"))
    account = column_named(lines.sheet, vocabulary().accounts, KNOWN)
    if not (account and order in whole.columns and amount) or whole.depends(whole.spoken(account), whole.spoken(order)):
        return
    name = column_named(lines.sheet, vocabulary().account_names, KNOWN) or account
    values = [*whole.values(name)]
    others = {*vocabulary().taxes, *vocabulary().costs}
    sales = [v for v in values if {*parts(v)} & {*vocabulary().revenue} and not {*parts(v)} & others]
    if 0 < len(sales) < len(values):
        text = f"{lines.sheet.name} books to several accounts. Are its sales those whose {name} is {' or '.join(sales)}, and no others?"
        test = f"NOT coalesce({is_one(whole, name, sales)}, false)"
        if _asked(lines, whole, account, text, test, ask):
            yield "exclude", test
    elif not sales and whole.adds_up(whole.spoken(order), whole.spoken(amount), "0", "0"):
        text = f"The rows of each document of {lines.sheet.name} add up to nought, as in a journal. Which {account} are of revenue? Leave the others out by kinds, such as `exclude: {whole.spoken(account)} not in ('8400')`."
        _asked(lines, whole, account, text, "true", ask)
    elif not sales and len(digits := {v[:1] for v in values if v[:1].isdigit()}) > 1:
        is_of = {d: f"starts_with(CAST({whole.spoken(account)} AS VARCHAR), {quoted(d)})" for d in digits}
        most = sorted(digits, key=lambda d: (-abs(_amount(lines, whole, is_of[d])), d))
        text = f"{lines.sheet.name} books to accounts of several kinds: {account} is {', '.join(values)}. With which digit do those of revenue begin, or are all of revenue?"
        said = _said(lines, whole, account, text, f"NOT {is_of[most[0]]}", ask, [*most, "all"])
        if said != "all":
            yield "exclude", f"NOT coalesce({is_of[said]}, false)"
