"""By which columns lines name their head, customers and products: those whose values the other table's key has."""

from __future__ import annotations

from dataclasses import replace

from crmlib.books.ledger import identifier
from crmlib.books.sheets import Sheet
from crmlib.books.written import has_figure
from crmlib.declared.vocabulary import KNOWN, LIKELY, likeness, parts, vocabulary
from crmlib.run.drafts import Ask, Draft, Question, column_named, fits

BARE = "ltrim(CAST({} AS VARCHAR), '0')"  # a number without the noughts before it
HELD = 0.98  # of a column's values that another table's key has, where one refers to the other


def shared_key(lines: Sheet, ours: str, head: Sheet, theirs: str) -> tuple[str, str] | None:
    """The columns by which lines name their head: those known as its number, or of one name, where the head has what the lines name, each once."""
    pairs = [(ours, theirs), *((name, name) for name in lines.columns if name in head.columns)]
    for own, other in pairs:
        if (
            own in lines.columns
            and lines.columns[own].filled
            and not lines.unique(own)
            and head.unique(other)
            and lines.held(own, head, other) >= HELD
        ):
            return own, other
    return None


def refer(lines: Draft, other: Draft, key: str, ask: Ask) -> None:
    """Set the columns by which lines refer to another table: the key that has their values, by its name where several do."""
    before = (
        f"{lines.head.name}." if lines.head and lines.columns.get(key, "").startswith(f"{lines.head.name}.") else ""
    )
    sheet = lines.head if lines.head and before else lines.sheet
    words, own = tuple(vocabulary().tables["invoice_lines"].columns[key]), tuple(vocabulary().own)
    found = [
        (held + likeness(ours, words) + likeness(theirs, own + words) + (parts(ours) == parts(theirs)), ours, theirs)
        for theirs in other.sheet.columns if other.sheet.unique(theirs) and fits(other.sheet.columns[theirs], "customers", "customer_id")
        for ours in sheet.columns if sheet.columns[ours].filled and fits(sheet.columns[ours], "customers", "customer_id")
        if (held := sheet.held(ours, other.sheet, theirs)) > 0.5
    ]  # fmt: skip
    if found:
        _, ours, theirs = max(found)
        old = other.columns[key]
        moved = theirs if other.sheet.columns[old].is_number else old  # of what was the name
        other.columns = {r: moved if c == theirs else c for r, c in other.columns.items()} | {key: theirs}
        lines.columns = {r: c for r, c in lines.columns.items() if c != ours} | {key: before + ours}
        lines.unsure.discard(key)
        other.unsure.discard(key)
        _join_versions(lines, other, key, ask)
    if key in lines.columns:
        _without_noughts(lines, other, key, ask)


def _join_versions(lines: Draft, other: Draft, key: str, ask: Ask) -> None:
    """Take several keys of one customer or product, each with its first and last day, for one by the key that stays."""
    sheet, words = other.sheet, (vocabulary().starts, vocabulary().ends)
    spans = [name for each in words if (name := column_named(sheet, each, KNOWN)) and sheet.columns[name].is_date]
    lasting = [
        n
        for n, c in sheet.columns.items()
        if n not in (other.columns[key], *spans) and 1 < c.distinct < c.filled == sheet.rows
        and likeness(n, (*vocabulary().own, "alternate key", "business key", "natural key")) >= LIKELY
    ]  # fmt: skip
    if len(spans) < 2 or not lasting or lines.head:
        return
    one, several = lasting[0], other.columns[key]
    rows = [" ".join(row[:-1]) for row in sheet.groups([sheet.spoken(n) for n in (one, several, *spans)])]
    text = f"In {sheet.name} one {one} has several {several}, each with its first and last day. Is it one by {one}, or one for each {several}?"
    choices = [one, several]
    if ask(Question(f"tables.invoice_lines.columns.{key} (versions)", text, rows, choices, one)) == several:
        return
    lines.head = replace(sheet, columns={name: sheet.columns[name] for name in (one, several)})
    lines.key = lines.columns[key], several
    lines.columns[key] = f"{sheet.name}.{one}"
    other.columns |= {key: one}
    other.derived = True


def _without_noughts(lines: Draft, other: Draft, key: str, ask: Ask) -> None:
    """Take keys for the same that differ only by the noughts before them."""
    place = lines.head.name if lines.head and lines.columns[key].startswith(f"{lines.head.name}.") else ""
    ours, theirs = lines.columns[key].removeprefix(f"{place}.") if place else lines.columns[key], other.columns[key]
    sheet = lines.head if lines.head and place else lines.sheet
    if ours not in sheet.columns or theirs not in other.sheet.columns:
        return
    held = sheet.held(ours, other.sheet, theirs, BARE)
    if held < HELD or held <= sheet.held(ours, other.sheet, theirs):
        return
    one, two = sheet.columns[ours], other.sheet.columns[theirs]
    text = f"{ours} is {one.samples[0]} in {sheet.name}, and {theirs} is {two.samples[0]} in {other.sheet.name}. Are they the same but for noughts before them?"
    rows = [f"{c.name}: {', '.join(c.samples)}" for c in (one, two)]
    apart = all(s.depends(s.spoken(c), BARE.format(s.spoken(c))) for s, c in ((sheet, ours), (other.sheet, theirs)))
    amounts = [c for n, c in lines.sheet.columns.items() if n == lines.columns.get("gross_sales")]
    amount = lines.sheet.read_sum(amounts)
    question = Question(
        f"tables.invoice_lines.columns.{key} (noughts)", text, rows, ["yes", "no"], "yes", amount=amount
    )
    if (apart and held == 1) or ask(question) != "no":
        before = f"{identifier(place)}." if place else ""
        lines.columns[key] = BARE.format(before + sheet.spoken(ours))
        other.columns[key] = BARE.format(other.sheet.spoken(theirs))


def leave_numbers(lines: Draft) -> None:
    """Take a column called `name` for the document's, and no customer's, where another names the customer, or where it is a number and a column of addresses is there."""
    columns, sheet = lines.columns, lines.sheet
    email = column_named(sheet, vocabulary().emails, KNOWN)
    for role, other in (("customer_id", columns.get("customer_name")), ("customer_name", "")):
        name = columns.get(role, "")
        if parts(name) == ("name",) and (
            other or (email and not sheet.has(f"WHERE NOT {has_figure(sheet.spoken(name))}"))
        ):
            columns.setdefault("order_id", columns.pop(role))
            columns["customer_id"] = columns.get("customer_id") or columns.pop("customer_name", "") or email


def join_noughts(lines: Draft, ask: Ask) -> None:
    """Take customers of a flat export for one whose numbers differ by the noughts before them, where they have one name or people say so."""
    sheet, name = lines.sheet, lines.columns.get("customer_id", "")
    bare = BARE.format(sheet.spoken(name))
    if name not in sheet.columns or sheet.columns[name].kind != "text" or sheet.depends(sheet.spoken(name), bare):
        return
    named = lines.columns.get("customer_name", "")
    several = f"{bare} IN (SELECT {bare} FROM {sheet.view} GROUP BY 1 HAVING count(DISTINCT {sheet.spoken(name)}) > 1)"
    rows = [
        " ".join(row[:-1])
        for row in sheet.groups([sheet.spoken(n) for n in (name, named) if n in sheet.columns], several)
    ]
    text = f"{name} is written with noughts before it and without. Is it one customer?"
    amounts = [c for n, c in sheet.columns.items() if n == lines.columns.get("gross_sales")]
    key, amount = ("tables.invoice_lines.columns.customer_id (noughts)", sheet.kept(several).read_sum(amounts))
    default = "no" if named in sheet.columns else "yes"  # where names differ
    proven = default == "no" and sheet.depends(sheet.spoken(named), bare)
    if proven or (ask(Question(key, text, rows, ["yes", "no"], default, amount=amount)) or default) == "yes":
        lines.columns["customer_id"] = bare
