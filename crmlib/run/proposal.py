"""Which of a client's files is which table, and which column which: proven by name or content, asked where it is neither."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from crmlib.books.profiles import Profile
from crmlib.books.sheets import Sheet
from crmlib.declared.ledger import tables
from crmlib.declared.vocabulary import KNOWN, LIKELY, kind_named, likeness, parts, scale_of, vocabulary
from crmlib.run.drafts import Ask, Draft, Proposal, Question, fits
from crmlib.run.journal import journal
from crmlib.run.references import join_noughts, leave_numbers, refer, shared_key
from crmlib.run.totals import leave_totals

NEEDED = {"customers": ("customer_id", "customer_name"), "products": ("product_id", "product_name"),
          "documents": ("order_id", "invoice_date", "customer_id"), "invoice_lines": ("gross_sales", "customer_id", "invoice_date")}  # fmt: skip
AMOUNT_OF_TWO = ("unit_price", "quantity"), ("debit", "credit")  # columns from which an amount is computed
TAKEN_OFF = {"discount", "discount_share", "refunded"}  # columns without which net sales are more
KEYS = {"customers": "customer_id", "products": "product_id", "documents": "order_id"}
DERIVED = {"customers": ("customer_id", "customer_name", "account_type", "region", "account_manager"),  # from a flat export
           "products": ("product_id", "product_name", "product_family")}  # fmt: skip
NAMES = {"customer_name": "customer_id", "product_name": "product_id"}
MOST_MIXED = 0.5  # of the keys or documents of several rows, above which what differs in them is hardly one customer
MANY = 5  # names from which on it is no chance that they go with the keys one by one
SHARED = 3  # columns whose names begin with one way, such as `Invoice lines/`
REVERSED = {"return", "cancellation"}  # what a sheet of its own may hold


# --- which file is which table ------------------------------------------------------------------------------------------


def roles(sheet: Sheet, table: str) -> dict[str, tuple[str, float]]:
    """Columns of the ledger's table, each with the client's column that its name and content make likely, and how likely."""
    words, needed, key = vocabulary().tables[table].columns, NEEDED.get(table, ()), KEYS.get(table, "")
    bare, whole = _without_path(sheet), {*of_documents(sheet)}
    likely = [
        (role in needed, likeness(bare[c.name], (*(vocabulary().own if role == key else ()), *synonyms)), role, c.name)
        for role, synonyms in words.items() for c in sheet.columns.values() if c.filled and c.name not in whole and fits(c, table, role)
        and not (role == "customer_id" and (c.distinct == 1 < sheet.rows or {"g", "l"} <= {*parts(c.name)}))  # the same everywhere, or of the general ledger
        and (sheet.unique(c.name) if role == key else not (role in KEYS.values() and sheet.unique(c.name) and _is_own(c.name)))
    ]  # fmt: skip
    found: dict[str, tuple[str, float]] = {}
    alone = {("customer_name", n) for n, c in sheet.columns.items() if c.distinct == 1 < sheet.rows}  # such as our own
    ranked = sorted(likely, key=lambda one: (-(one[0] and one[1] >= KNOWN), one[2:] in alone, -one[1]))
    for _, like, role, name in ranked:
        if like >= LIKELY and role not in found and name not in {taken for taken, _ in found.values()}:
            found[role] = name, like
    name = needed[1] if key and table in DERIVED else ""
    others = [
        (like, c) for _, like, role, c in likely if role == key and like >= KNOWN and c != found.get(key, ("",))[0]
    ]
    if (
        name and name not in found and others and parts(found[key][0]) == ("name",)
    ):  # beside another number it is no key
        found |= {name: found[key], key: max(others)[::-1]}
    # a name of the ledger's own is that column, whatever else it is
    alike = {"".join(parts(c.name)): c.name for c in sheet.columns.values()}
    records = tables()[table].columns if table in tables() else {}
    own = {role: alike.get("".join(parts(role)), "") for role in records if role not in found}
    return found | {
        role: (name, 1)
        for role, name in own.items()
        if name and fits(sheet.columns[name], table, role) and (role != key or sheet.unique(name))
    }


def of_documents(sheet: Sheet) -> list[str]:
    """The numbers that stand in the first row of each document alone: its own, not a line's."""
    numbers = (c for c in sheet.columns.values() if c.is_number and not c.dates and c.filled < sheet.rows)
    return [c.name for c in numbers] if len(sheet.carried) > 1 and not sheet.query else []


def _without_path(sheet: Sheet) -> dict[str, str]:
    """The columns' names without the way to them that several share: `Invoice lines/Quantity`, `InvcDtl_ExtPrice`."""
    split = {n: re.match(r"([^/]+)/|([A-Z][a-z]+[A-Z]\w*?)_", n) for n in sheet.columns}
    paths = Counter(way[0] for way in split.values() if way)
    return {n: n.removeprefix(way[0]) if way and paths[way[0]] >= SHARED else n for n, way in split.items()}


def _with_names(sheet: Sheet) -> Sheet:
    """A report whose one heading is named for what its columns lack: the customer, else the product."""
    found = roles(sheet, "invoice_lines")
    lacking = next((name for name in ("customer", "product") if f"{name}_id" not in found), "")
    able = len(sheet.headings) == 1 and lacking and lacking not in sheet.columns
    return sheet.renamed({sheet.headings[0]: lacking}) if able else sheet


def _is_own(name: str) -> bool:
    return likeness(name, tuple(vocabulary().own)) >= KNOWN


def _score(sheet: Sheet, table: str) -> float:
    """How sure a sheet is a table, by its own name and those of the columns needed; nothing where one is absent or a key repeats."""
    found = roles(sheet, table)
    needed = NEEDED.get(table) or [c.name for c in tables()[table].columns.values() if c.required]
    for first, _ in (pair for pair in AMOUNT_OF_TWO if {*pair} <= {*found}):
        found["gross_sales"] = found[first]
    if any(c not in found for c in needed):
        return 0
    if table not in NEEDED and _named(sheet, table) < KNOWN:
        return 0
    return _named(sheet, table) + sum(found[c][1] for c in needed) / len(needed)


def _named(sheet: Sheet, table: str) -> float:
    return likeness(" ".join(_stem(sheet)), tuple(vocabulary().tables[table].names)) if _stem(sheet) else 0


def _stem(sheet: Sheet) -> tuple[str, ...]:
    """The words of a sheet's name without what tells one month or year from another."""
    left_out = set(parts(" ".join(chain(*vocabulary().months))))
    book, mark, title = sheet.source[0].partition(":")
    name = book if not mark or title.casefold() in {"sheet1", "tabelle1", "feuil1", "hoja1"} else title
    return tuple(part for part in parts(re.sub(r"\d+", " ", name)) if part not in left_out and len(part) > 1)


def recognised(p: Proposal, sheets: Sequence[Sheet], ask: Ask) -> None:
    """Fill the proposal's tables, what refers to what, and the sheets that stay unread."""
    rest = [
        sheet
        for sheet in _merged([_with_names(s) for s in sheets])
        if not set(vocabulary().unlike) & {*parts(sheet.source[0])}
    ]
    if lines := journal(rest, ask) or _headed(rest):
        p.tables["invoice_lines"] = lines
        rest = [sheet for sheet in rest if sheet not in (lines.sheet, lines.head)]
    for table in dict.fromkeys(("invoice_lines", *NEEDED, *tables())):
        best = max(rest, key=lambda sheet: _score(sheet, table), default=None)
        if table not in p.tables and table != "documents" and best and _score(best, table):
            alike = [s for s in rest if [*s.columns] == [*best.columns] and _score(s, table)]
            p.tables[table] = _draft(alike[0].merged(alike[1:]), table)
            rest = [sheet for sheet in rest if sheet not in alike]
    if not (lines := p.tables.get("invoice_lines") or _by_content(p, rest, ask)):
        return
    if lines.settled:
        _leave_creditors(lines, p.tables.get("customers"))
    else:
        _recognise_columns(p, lines, ask)
    for table in KEYS.keys() & p.tables.keys():
        _fill_names(p.tables[table], table)
    for table, attributes in DERIVED.items():
        known = [role for role in attributes if lines.columns.get(role)]
        if table not in p.tables and KEYS[table] in known and (table == "customers" or len(known) > 1):
            p.tables[table] = _derived(lines, table)
    read = {name for d in p.tables.values() for s in (d.sheet, d.head) if s for name in s.source}
    p.unread = [name for sheet in sheets for name in sheet.source if name not in read]


def _recognise_columns(p: Proposal, lines: Draft, ask: Ask) -> None:
    for table, key in KEYS.items():
        if table in p.tables:
            refer(lines, p.tables[table], key, ask)
    _prove_names(lines)
    if "customers" not in p.tables:
        _prove_customer(lines, ask)
    for table, draft in p.tables.items():
        _confirm(draft, table, ask)
    leave_totals(lines, ask)
    if "customers" not in p.tables:
        join_noughts(lines, ask)


def _fill_names(draft: Draft, table: str) -> None:
    """Where a name is blank in some rows, the next column that is one, and last the key."""
    role, key = NEEDED[table][1], KEYS[table]
    name, columns = draft.columns.get(role, ""), draft.sheet.columns
    if name in columns and columns[name].filled < draft.sheet.rows:
        words = tuple(vocabulary().tables[table].columns[role])
        others = [
            n
            for n, c in columns.items()
            if c.filled and n not in draft.columns.values() and likeness(n, words) >= LIKELY
        ]
        texts = [f"nullif({draft.sheet.spoken(n)}, '')" for n in (name, *others)]
        draft.columns[role] = f"coalesce({', '.join(texts)}, {draft.sheet.spoken(draft.columns[key])})"


def _leave_creditors(lines: Draft, customers: Draft | None) -> None:
    """Leave out of the customers the accounts that are no debtor's."""
    if customers:
        account = customers.sheet.spoken(customers.columns["customer_id"])
        debtor = f"regexp_matches({account}, '{lines.debtor}')"
        customers.where = debtor if customers.sheet.has(f"WHERE NOT coalesce({debtor}, false)") else ""


def _prove_names(lines: Draft) -> None:
    """Take the one text that is another for each customer or product, and the same in all its rows, for its name; a product without a key has its name for one."""
    columns, sheet = lines.columns, lines.sheet
    if "product_id" not in columns and "product_name" in columns and "product_name" not in lines.unsure:
        keys = [c for c in _one_by_one(sheet, columns["product_name"]) if c not in columns.values() and _is_own(c)]
        columns["product_id"] = keys[0] if keys else columns.pop("product_name")
    leave_numbers(lines)
    for role, key in NAMES.items():
        known = role in columns and role not in lines.unsure
        if known or columns.get(key) not in sheet.columns or key in lines.unsure:
            continue
        taken = {c for r, c in columns.items() if r != role}
        texts = [c for c in _one_by_one(sheet, columns[key]) if _content(sheet.columns[c]) == "text" and c not in taken]
        if columns.get(role) in texts or (len(texts) == 1 and sheet.columns[texts[0]].distinct >= MANY):
            columns[role] = columns[role] if columns.get(role) in texts else texts[0]
            lines.unsure.discard(role)


def _prove_customer(lines: Draft, ask: Ask) -> None:
    """Ask who the customer is where most keys have several names, as accounts of a general ledger have, or contacts."""
    sheet, key, name = lines.sheet, *(lines.columns.get(role, "") for role in ("customer_id", "customer_name"))
    if not {key, name} <= {*sheet.columns}:
        return
    if sheet.mixed(sheet.spoken(name), sheet.spoken(key)) > MOST_MIXED:
        other = next((c for c in _one_by_one(sheet, name) if c not in lines.columns.values()), name)
        text = f"Most {key} have several {name}. Is the customer {other}, or {key}?"
        rows = [f"{key} {row[0]}, {name} {row[1]}" for row in sheet.groups([sheet.spoken(key), sheet.spoken(name)])]
        amount = sheet.read_sum([c for n, c in sheet.columns.items() if n == lines.columns.get("gross_sales")])
        question = Question(
            "tables.invoice_lines.columns.customer_id (names)", text, rows, [other, key], other, amount=amount
        )
        lines.columns["customer_id"] = ask(question) or other


def _one_by_one(sheet: Sheet, column: str) -> list[str]:
    """The columns that have one value for each of another column's, and another for each."""
    ours, count = sheet.spoken(column), sheet.columns[column].distinct
    able = [
        c.name for c in sheet.columns.values() if c.name != column and (c.filled, c.distinct) == (sheet.rows, count)
    ]
    return [c for c in able if sheet.depends(sheet.spoken(c), ours)]


def _derived(lines: Draft, table: str) -> Draft:
    """The customers or products of a flat export: the key, a name, and what is the same in all rows of one."""
    key = KEYS[table]
    if lines.settled:
        return Draft(lines.sheet, {key: lines.columns[key]}, where=lines.where, derived=True)
    before = f"{lines.head.name}." if lines.head and lines.columns[key].startswith(f"{lines.head.name}.") else ""
    sheet = lines.head if lines.head and before else lines.sheet
    named = {role: lines.columns.get(role, "").removeprefix(before) for role in DERIVED[table]}
    own = {role: name for role, name in named.items() if name in sheet.columns or (role == key and name)}
    theirs, certain = sheet.spoken(own[key]), NEEDED[table]
    columns = {r: c for r, c in own.items() if r in certain or sheet.depends(sheet.spoken(c), theirs)}
    return Draft(sheet, columns, where="" if before else lines.where, derived=True)


def _draft(sheet: Sheet, table: str) -> Draft:
    found = roles(sheet, table)
    name, product = (found.get(role, ("", 0))[0] for role in ("customer_id", "product_id"))
    if parts(name) == ("name",) and product and sheet.depends(sheet.spoken(name), sheet.spoken(product)):
        found |= {"product_name": found.pop("customer_id")}  # each product has its own
    unsure = {role for role, (_, like) in found.items() if like < KNOWN}
    return Draft(sheet, {role: name for role, (name, _) in found.items()}, unsure=unsure)


def _by_content(p: Proposal, sheets: Sequence[Sheet], ask: Ask) -> Draft | None:
    """The lines where no name says which they are: a sheet with a date and a number, the only one or as people say."""
    able = {s.source[0]: s for s in sheets if {"date", "number"} <= {_content(c) for c in s.columns.values()}}
    text = "Which of these holds the invoice lines (customer, date, amount)?"
    evidence = [f"{name}: {s.rows} rows of {', '.join(list(s.columns)[:6])}" for name, s in able.items()]
    name = next(iter(able), "")
    if len(able) > 1:
        name = ask(Question("tables.invoice_lines.source", text, evidence, [*able], name, "none"))
    if name:
        p.tables["invoice_lines"] = _draft(able[name], "invoice_lines")
    return p.tables.get("invoice_lines")


def _content(column: Profile) -> str:
    return "date" if column.is_date else "number" if column.is_number else "text"


def _confirm(draft: Draft, table: str, ask: Ask) -> None:
    """Columns that are needed or only near by name: taken where nothing else can be meant, else as people say."""
    needed, there = (
        NEEDED.get(table, ()),
        {*draft.columns} | ({"gross_sales"} if any(pair[0] in draft.columns for pair in AMOUNT_OF_TWO) else set()),
    )
    for role in (*(role for role in needed if role not in there), *sorted(draft.unsure)):
        likely, taken = draft.columns.pop(role, ""), {*draft.columns.values()}
        able = [c for c in draft.sheet.columns.values() if c.filled and c.name not in taken and fits(c, table, role)]
        able = [
            c
            for c in able
            if (role in needed and not (role == "gross_sales" and _is_number_of(c.name))) or c.name == likely
        ]
        if (
            len(able) == 1
            and role in needed
            and role != "customer_id"
            and (role != "gross_sales" or _is_amount(able[0]))
        ):
            draft.columns[role] = able[0].name
        elif able:
            record = tables()[table].columns.get(role) if table in tables() else None
            text = f"Which column of {draft.sheet.name} is {role}{f' ({record.meaning})' if record else ''}?"
            able = sorted(able, key=lambda c: c.name != likely)
            evidence = [f"{c.name}: {', '.join(c.samples)}" for c in able]
            amount = draft.sheet.read_sum(able[:1]) if role in TAKEN_OFF else None
            choices = [*(c.name for c in able), "none"]
            key = f"tables.{table}.columns.{role}"
            name = ask(Question(key, text, evidence, choices, choices[0], "none", amount))
            draft.columns |= {role: name} if name not in {"", "none"} else {}


def _is_amount(column: Profile) -> bool:
    """Whether a column is known as an amount, or has decimals: others may be codes or years."""
    words = tuple(vocabulary().tables["invoice_lines"].columns["gross_sales"])
    is_named = likeness(column.name, words) >= LIKELY or scale_of(column.name) != 1
    return is_named or column.kind == "float" or "marked" in column.marks


def _is_number_of(name: str) -> bool:
    """Whether a name is known for a document's, a line's, a customer's, a product's or an account's number: no amount."""
    words = vocabulary().tables["invoice_lines"].columns
    known = (words[role] for role in ("order_id", "line_no", "customer_id", "product_id"))
    return any(
        likeness(name, tuple(each)) >= KNOWN
        for each in (*known, vocabulary().accounts, vocabulary().entries["account"])
    )


def _merged(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Sheets that differ in nothing but month and year as one, and with them those of returns that are written alike."""
    groups: dict[object, list[Sheet]] = {}
    for sheet in sheets:
        groups.setdefault((written(sheet), _stem(sheet)), []).append(sheet)
    returns = [group for group in groups.values() if kind_named(group[0].source[0]) in REVERSED]
    others, merged = [group for group in groups.values() if group not in returns], list[Sheet]()
    for group in others:
        alike = [g for g in returns if written(g[0]) == written(group[0])]
        if alike and sum(written(other[0]) == written(group[0]) for other in others) == 1:
            returns = [g for g in returns if g not in alike]
            merged.append(group[0].merged([*group[1:], *chain(*alike)], with_file=True))
        else:
            merged.append(group[0].merged(group[1:]))
    return [*merged, *(group[0].merged(group[1:]) for group in returns)]


def written(sheet: Sheet) -> tuple[object, ...]:
    """What sheets of one table have in common."""
    return (*sheet.columns, sheet.header_row, sheet.header_rows, sheet.delimiter, sheet.columns_at)


def _headed(sheets: Sequence[Sheet]) -> Draft | None:
    """Lines whose customer or date stands in a table of heads to which they refer by its key."""
    for head in (s for s in sheets if _score(s, "documents")):
        theirs = {role: name for role, (name, _) in roles(head, "documents").items()}
        if len(head.source) > 1 and any(head.meets(name) for s in sheets for name in s.source):
            continue  # no one name says which
        for lines in sorted((s for s in sheets if s is not head), key=lambda s: -s.rows):
            draft = _draft(lines, "invoice_lines")
            ours = {role: c for role, c in draft.columns.items() if role not in draft.unsure & {*theirs}}
            if {"customer_id", "invoice_date"} <= set(ours) or not {"gross_sales", "unit_price"} & set(ours):
                continue
            if key := shared_key(lines, ours.get("order_id", ""), head, theirs["order_id"]):
                taken = {
                    r: f"{head.name}.{c}" for r, c in theirs.items() if r not in {"order_id", "total"} and c != key[1]
                }
                return replace(
                    draft,
                    columns=taken | ours | {"order_id": key[0]},
                    head=head,
                    key=key,
                    unsure=draft.unsure - {*theirs},
                )
    return None
