"""What no mapping of columns reads, as one SELECT over the client's tables: a general ledger's entries, months side by side, credit notes numbered as invoices are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

from crmlib.books.headings import TOTAL, TOTAL_OF
from crmlib.books.ledger import identifier, quoted
from crmlib.books.sheets import CENT, Sheet
from crmlib.declared.vocabulary import KNOWN, kind_named, likeness, month_of, vocabulary
from crmlib.run.drafts import Ask, Question, column_named
from crmlib.run.proposal import REVERSED, roles, written
from crmlib.run.references import BARE, HELD, shared_key

LINES = "invoice_lines.sql"
ENTRY = """-- Bookings of revenue, each with the customer whom its entry charges.
SELECT {{place}}l.{day}, l.{account}, {sides}, {more}c.customer_id, c.customer_name
FROM {ledger} AS l
LEFT JOIN (
    SELECT {keys}, min({customer}) AS customer_id, min({name}) AS customer_name
    FROM {ledger} AS c
    WHERE starts_with(CAST({account} AS VARCHAR), {customers})
    GROUP BY {keys}
    HAVING count(DISTINCT {customer}) = 1
) AS c ON {same}
WHERE starts_with(CAST(l.{account} AS VARCHAR), {revenue})"""
WHOLE = "trim(CAST({} AS VARCHAR))"
PART = """SELECT {{place}}{kind} AS document_type, {columns}
FROM {{{lines}}} AS l LEFT JOIN {{{head}}} AS h ON {same}"""


MONTHLY = """SELECT {{place}}{others}, '{month}' AS invoice_date, {amounts}l.{amount} AS amount
FROM {{sheet}} AS l WHERE trim(CAST(l.{amount} AS VARCHAR)) <> ''{but}"""
PIVOTED = 3  # columns named for months, from which on each is what was sold in one


def with_selected(sheets: Sequence[Sheet], ask: Ask) -> list[Sheet]:
    """The sheets, those from which invoice lines, customers or products can be selected alone replaced by what the query gives."""
    sheets = [_once(_once(sheet, "customer"), "product") for sheet in _without_units(sheets)]
    for sheet in sheets:
        if lines := _entries(sheet):
            return [*(s for s in sheets if s is not sheet), lines]
    for head, credit_head in _twins(sheets):
        for lines, credit_lines in _twins(sheets):
            if lines is not head and (key := _clashing(head, credit_head, lines, credit_lines)):
                four = {"invoices": head, "lines": lines, "credit_notes": credit_head, "credit_lines": credit_lines}
                texts = [
                    _part(four, "invoice", "lines", "invoices", key),
                    _part(four, "credit note", "credit_lines", "credit_notes", key),
                ]
                made = lines.selected("\nUNION ALL\n".join(texts), four, LINES)
                return [*(s for s in sheets if s not in four.values()), made]
    for head, lines in permutations(sheets, 2):
        if bare := _by_noughts(head, lines):
            two = {"lines": lines, "heads": head}
            made = lines.selected(_part(two, "invoice", "lines", "heads", bare, f"ltrim({WHOLE}, '0')"), two, LINES)
            return [*(s for s in sheets if s not in (head, lines)), made]
    dated = (roles(sheet, table).keys() for sheet in sheets for table in ("documents", "invoice_lines"))
    if not any({"customer_id", "invoice_date"} <= found for found in dated):
        for sheet in sheets:
            if lines := _by_month(sheet, ask) or _of_year_and_month(sheet):
                return [*(s for s in sheets if s is not sheet), lines]
    return [*sheets]


def _without_units(sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets, one of them alone with a unit behind every quantity, `12 pcs`, with both in columns of their own."""
    words, of_unit = tuple(vocabulary().tables["invoice_lines"].columns["quantity"]), "[^\\W\\d_][\\w.²³]*$"
    odd = [
        (sheet, n) for sheet in sheets for n, c in sheet.columns.items()
        if c.kind == "text" and not c.numbers and not c.dates and c.filled and likeness(n, words) >= KNOWN
        and not sheet.has(f"WHERE {c.text} <> '' AND NOT regexp_matches({c.text}, '^-?\\d[\\d.,]* ?{of_unit}')")
    ]  # fmt: skip
    if len(odd) != 1:
        return [*sheets]
    [(sheet, name)] = odd
    columns = ", ".join(f"l.{identifier(n)}" for n in sheet.columns if n != name)
    cell = f"trim(l.{identifier(name)})"
    text = f"SELECT {{place}}{columns}, regexp_replace({cell}, ' ?{of_unit}', '') AS {identifier(name)}, regexp_extract({cell}, '{of_unit}') AS unit FROM {{sheet}} AS l"
    made = sheet.selected(text, {"sheet": sheet}, LINES)
    return [*sheets] if "unit" in sheet.columns or not made.columns[name].is_number else [made if s is sheet else s for s in sheets]  # fmt: skip


def _by_noughts(head: Sheet, lines: Sheet) -> tuple[str, str] | None:
    """The columns by which lines name their head, where they have the same numbers but for noughts before them."""
    theirs, ours = (roles(sheet, table) for sheet, table in ((head, "documents"), (lines, "invoice_lines")))
    lacks = not {"customer_id", "invoice_date"} <= ours.keys()
    if not (lacks and {"customer_id", "invoice_date", "order_id"} <= theirs.keys() and "order_id" in ours):
        return None
    own, other = ours["order_id"][0], theirs["order_id"][0]
    alike = (head.delimiter, head.encoding, head.header_row) == (lines.delimiter, lines.encoding, lines.header_row)
    held = [lines.held(own, head, other, read) for read in ("{}", BARE)]
    again = head.repeats(BARE.format(identifier(other)))
    return (own, other) if alike and held[0] < HELD <= held[1] and not again else None


def _once(sheet: Sheet, what: str) -> Sheet:
    """Customers or products that stand in several rows, such as one for each address, each in one, with what is the same in all; the sheet as it is where it is no such list."""
    words = vocabulary().tables[f"{what}s"]
    key, name = (column_named(sheet, words.columns[f"{what}_{part}"], KNOWN) for part in ("id", "name"))
    is_list = likeness(sheet.source[0].rpartition(":")[2], tuple(words.names)) >= KNOWN
    sold = {"gross_sales", "unit_price", "quantity"} & roles(sheet, "invoice_lines").keys()
    if (
        not (is_list and key and name)
        or key == name
        or sold
        or sheet.columns[key].filled < sheet.rows
        or sheet.unique(key)
    ):
        return sheet
    same = [n for n in sheet.columns if n == key or sheet.depends(sheet.spoken(n), sheet.spoken(key))]
    columns = ", ".join(f"l.{identifier(n)}" for n in same)
    text = f"SELECT {{place}}{columns} FROM {{sheet}} AS l\nQUALIFY row_number() OVER (PARTITION BY trim(CAST(l.{identifier(key)} AS VARCHAR)) ORDER BY l._file, l._row) = 1"
    return sheet.selected(text, {"sheet": sheet}, f"{what}s.sql") if name in same else sheet


def _entries(sheet: Sheet) -> Sheet | None:
    """The bookings of revenue of a general ledger with debit and credit, in which an entry has several rows; None where it is none."""
    names = {role: column_named(sheet, words, KNOWN) for role, words in vocabulary().entries.items()}
    if not all(names[role] for role in ("entry", "account", "debit", "credit", "day")):
        return None
    cell = {role: identifier(name) for role, name in names.items() if name}
    counts = {
        chart: _count(sheet, cell["account"], chart[1])
        for chart in vocabulary().ledgers
        if _count(sheet, cell["account"], chart[0])
    }
    if not any(counts.values()):
        return None
    customers, revenue = max(counts, key=lambda chart: counts[chart])
    account = f"CAST({cell['account']} AS VARCHAR)"
    customer = (
        f"coalesce(nullif(trim(CAST({cell['customer']} AS VARCHAR)), ''), {account})" if "customer" in cell else account
    )
    keys = [cell[role] for role in ("journal", "entry") if role in cell]
    of_customers = sheet.kept(f"starts_with({account}, {quoted(customers)})")
    if "document" in cell and of_customers.mixed(customer, ", ".join(keys)):  # an entry of several documents
        keys.append(cell["document"])
    ledger = "{ledger}"
    if of_customers.mixed(customer, ", ".join(keys)) and (
        part := _balanced(
            sheet, cell, keys, f"CASE WHEN starts_with({account}, {quoted(customers)}) THEN {customer} END"
        )
    ):
        ledger, keys = f"(SELECT *, {part} AS part FROM {{ledger}})", [*keys, "part"]
    sides = (
        f"coalesce(nullif(trim(CAST(l.{cell[side]} AS VARCHAR)), ''), '0') AS {cell[side]}"
        for side in ("debit", "credit")
    )
    more = "".join(f"l.{cell[role]}, " for role in ("document", "label") if role in cell)
    text = ENTRY.format(
        day=cell["day"], account=cell["account"], sides=", ".join(sides), ledger=ledger, more=more, customer=customer, name=cell.get("customer_name", customer),
        keys=", ".join(keys), same=" AND ".join(f"l.{key} = c.{key}" for key in keys), customers=quoted(customers), revenue=quoted(revenue))  # fmt: skip
    return sheet.selected(text, {"ledger": sheet}, LINES)


def _balanced(sheet: Sheet, cell: Mapping[str, str], keys: Sequence[str], charged: str) -> str:
    """The part of an entry of several customers that a row is of, from each customer's row to the next, where debit is credit in all such parts; '' where it is not."""
    forms = (
        sheet.columns[name].numbers for name in sheet.columns if identifier(name) in (cell["debit"], cell["credit"])
    )
    whole = sheet.typed(next((form for each in forms for form in each), (".", "")), ())
    rows = f"SELECT *, '' AS _file, row_number() OVER () AS _row FROM {whole.view}"
    for order in ("", " DESC"):
        entry = f"OVER (PARTITION BY {', '.join(keys)}"
        part = f"CASE WHEN min({charged}) {entry}) < max({charged}) {entry}) THEN count({charged}) {entry} ORDER BY _file, _row{order}) ELSE 0 END"
        sums = f"SELECT {part} AS part, * FROM ({rows})) GROUP BY {', '.join(keys)}, part HAVING abs(sum(coalesce({cell['debit']}, 0) - coalesce({cell['credit']}, 0)))"
        if not sheet.engine.rows(f"SELECT 1 FROM ({sums} > {CENT} LIMIT 1"):
            return part
    return ""


def _by_month(sheet: Sheet, ask: Ask) -> Sheet | None:
    """A row per customer and month of a table with a column per month, without its totals; None where it is none."""
    said = " ".join((*sheet.source, *(cell for cells in sheet.above for cell in cells)))
    years = {*re.findall(r"(?<!\d)20\d\d(?!\d)", said)}
    year = f" {min(years)}" if len(years) == 1 else ""
    months = {n: month for n in sheet.columns if (month := month_of(n) or month_of(n + year))}
    beside = dict[str, str]()  # what else a month has
    if len(months) < PIVOTED:
        months, beside = _measures(sheet, year)
    whose = [name for name, _ in roles(sheet, "customers").values() if name not in months]
    label = "" if whose else column_named(sheet, vocabulary().row_labels, KNOWN) or next(iter(sheet.columns))
    label = label if label and sheet.columns[label].kind == "text" and label not in months else ""
    whose = whose or [label]
    if len(months) < PIVOTED or whose == [""]:
        return None
    texts = [c for c in sheet.columns if c not in months and not (c not in whose and sheet.columns[c].is_number)]
    rows = sheet.read_rows(texts, [*months])
    if (totals := _totals(rows, 1, texts, whose) or _totals(rows, -1, texts, whose)) is None:
        return None  # neither customers nor what they add up to
    but, customers = totals
    columns = ", ".join(f"l.{identifier(text)}" + " AS customer" * (text == label) for text in texts)
    rows = [MONTHLY.format(others=columns, month=month, amounts=beside.get(month, ""), amount=identifier(name), but=but) for name, month in months.items()]  # fmt: skip
    made = sheet.selected("\nUNION ALL\n".join(rows), {"sheet": sheet}, LINES)
    amount, key = made.columns["amount"], "tables.invoice_lines.source (months)"
    text = f"{sheet.name} has a column for each of {len(months)} months, {min(months.values())[:7]} to {max(months.values())[:7]}. Is what stands there net sales?"
    text += f" Are its {label} customers?" if label else ""
    text += f" {', '.join(customers)}: customers, as no rows above add up to them." if customers else ""
    question = Question(key, text, amount.samples, ["yes", "no"], "yes", amount=made.read_sum([amount]))
    return made if ask(question) != "no" else None


def _measures(sheet: Sheet, year: str) -> tuple[dict[str, str], dict[str, str]]:
    """The month of each column whose name says one and sales, as `Umsatz 01/2024`, and in SQL what the others say of each month; blanks where a month has not the same as others."""
    named = {n: (month, n.replace(piece, "").strip(" -_/:")) for n in sheet.columns
             for shape in (r"[^\W\d_]{3,}", r"\d{1,2}[./-]\d{4}", r"\d{4}[./-]\d{1,2}(?:-01(?: 00:00:00)?)?", r"\d{4} [^\W\d_]+", r"[^\W\d_]+[ .'-]*\d{2,4}")
             for piece in re.findall(shape, n) if (month := month_of(piece) or month_of(piece + year))}  # fmt: skip
    words = tuple(vocabulary().tables["invoice_lines"].columns["gross_sales"])
    measures = {rest: likeness(rest, words) for _, rest in named.values()}
    sales = max(measures, key=lambda rest: measures[rest], default="")
    months = {n: month for n, (month, rest) in named.items() if rest == sales}
    if measures.get(sales, 0) < KNOWN or {*named.values()} != {(month, rest) for month in months.values() for rest in measures}:  # fmt: skip
        return {}, {}
    beside = dict[str, str]()
    for n, (month, rest) in named.items():
        beside[month] = beside.get(month, "") + (f"l.{identifier(n)} AS {identifier(rest)}, " if rest != sales else "")
    return months, beside


def _totals(
    rows: Sequence[Sequence[Any]], way: int, texts: Sequence[str], whose: Sequence[str]
) -> tuple[str, list[str]] | None:
    """What leaves out the rows called totals or nobody's, to which rows above add up, or below if the way is −1, and who is called like one and is none; None where a plain total or nobody's is none, or rows stand in rows."""
    above, totals, customers, of_nobody = list[Sequence[float]](), dict[str, list[str]](), list[str](), False
    for row in rows[::way]:
        said, amounts = dict(zip(texts, row, strict=False)), row[len(texts) :]
        called = {t: v for t, v in said.items() if re.search(TOTAL, v) or re.search(TOTAL_OF, v)}
        nobody = not any(said[text] for text in whose)
        if (called or nobody) and _added(reversed(above), amounts):
            for text, value in called.items():
                totals.setdefault(text, []).append(value)
            of_nobody |= not called
        elif nobody or any(re.search(TOTAL, value) for value in called.values()):
            return None
        else:
            above.append(amounts)
            customers += called.values()
    if _is_nested(above[::way]):
        return None
    cells = {text: f"coalesce(trim(CAST({identifier(text)} AS VARCHAR)), '')" for text in texts}
    tests = [f"{cells[text]} IN ({', '.join(map(quoted, values))})" for text, values in totals.items()]
    tests += [" AND ".join(f"{cells[text]} = ''" for text in whose)] * of_nobody
    return f" AND NOT ({' OR '.join(tests)})" if tests else "", customers


def _added(rows: Iterable[Sequence[float]], amounts: Sequence[float]) -> int:
    """How many of the rows, from the first on, add up to these amounts; 0 where none do."""
    left = [*amounts]
    for count, row in enumerate(rows, 1):
        left = [total - value for total, value in zip(left, row, strict=True)]
        if all(abs(each) <= CENT for each in left):
            return count
    return 0


def _is_nested(rows: Sequence[Sequence[float]]) -> bool:
    """Whether all rows, from the first on, are sums of those behind them, as customers stand above their products."""
    rows = [row for row in rows if any(row)]
    while rows and (count := _added(rows[1:], rows[0])):
        rows = rows[count + 1 :]
    return not rows


def _of_year_and_month(sheet: Sheet) -> Sheet | None:
    """A sheet with its year and its month, which are columns, as one; None where they are not, or it has dates."""
    year, month = (column_named(sheet, words, KNOWN) for words in (vocabulary().year, vocabulary().month))
    dated = any(c.is_date for name, c in sheet.columns.items() if name not in (year, month))
    if not (year and month) or dated or {"customer_id", "gross_sales"} - roles(sheet, "invoice_lines").keys():
        return None
    columns = ", ".join(f"l.{identifier(name)}" for name in sheet.columns if name not in (year, month))
    text = f"SELECT {{place}}{columns}, concat_ws('-', l.{identifier(year)}, l.{identifier(month)}) AS invoice_date FROM {{sheet}} AS l"
    made = sheet.selected(text, {"sheet": sheet}, LINES)
    return made if made.columns["invoice_date"].is_date else None


def _count(sheet: Sheet, account: str, begin: str) -> int:
    return int(sheet.ask("count(*)", f"WHERE starts_with(CAST({account} AS VARCHAR), {quoted(begin)})")[0][0])


def _twins(sheets: Sequence[Sheet]) -> list[tuple[Sheet, Sheet]]:
    """Sheets of one header, of which the second is named for credit notes."""
    notes = [sheet for sheet in sheets if kind_named(sheet.source[0]) in REVERSED]
    return [(s, c) for s in sheets if s not in notes for c in notes if written(s) == written(c)]


def _clashing(head: Sheet, credit_head: Sheet, lines: Sheet, credit_lines: Sheet) -> tuple[str, str] | None:
    """The columns by which lines name their head, where credit notes have numbers that invoices have too."""
    theirs, ours = (
        roles(sheet, table).get("order_id", ("", 0))[0]
        for sheet, table in ((head, "documents"), (lines, "invoice_lines"))
    )
    if not theirs or not credit_head.held(theirs, head, theirs):
        return None
    key = shared_key(lines, ours, head, theirs)
    return key if key and credit_lines.held(key[0], credit_head, key[1]) >= HELD else None


def _part(parts: Mapping[str, Sheet], kind: str, lines: str, head: str, key: tuple[str, str], read: str = WHOLE) -> str:
    """Lines with what their head says; `read` is how both say the document's number."""
    own = [f"l.{identifier(name)}" for name in parts[lines].columns]
    own += [f"h.{identifier(name)}" for name in parts[head].columns if name not in parts[lines].columns]
    same = " = ".join(read.format(f"{side}.{identifier(name)}") for side, name in zip("lh", key, strict=True))
    return PART.format(kind=quoted(kind), columns=", ".join(own), lines=lines, head=head, same=same)
