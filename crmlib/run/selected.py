"""What no mapping of columns reads, as one SELECT over the client's tables: entries of a general ledger, credit notes numbered as the invoices are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmlib.books.ledger import identifier, quoted
from crmlib.books.sheets import Sheet
from crmlib.books.sniff import Sniffer
from crmlib.declared.vocabulary import KNOWN, kind_named, vocabulary
from crmlib.run.drafts import column_named
from crmlib.run.proposal import REVERSED, roles, written
from crmlib.run.references import HELD, shared_key

LINES = "invoice_lines.sql"
ENTRY = """-- Bookings of revenue, each with the customer whom its entry charges.
SELECT {{place}}l.{day}, l.{account}, l.{debit}, l.{credit}, {more}c.customer_id, c.customer_name
FROM {{ledger}} AS l
LEFT JOIN (
    SELECT {keys}, min({customer}) AS customer_id, min({name}) AS customer_name
    FROM {{ledger}} AS c
    WHERE starts_with(CAST({account} AS VARCHAR), {customers})
    GROUP BY {keys}
    HAVING count(DISTINCT {customer}) = 1
) AS c ON {same}
WHERE starts_with(CAST(l.{account} AS VARCHAR), {revenue})"""
PART = """SELECT {{place}}{kind} AS document_type, {columns}
FROM {{{lines}}} AS l LEFT JOIN {{{head}}} AS h ON trim(CAST(l.{ours} AS VARCHAR)) = trim(CAST(h.{theirs} AS VARCHAR))"""


def with_selected(look: Sniffer, sheets: Sequence[Sheet]) -> list[Sheet]:
    """The sheets, those from which invoice lines can be selected alone replaced by what the query gives."""
    for sheet in sheets:
        if lines := _entries(look, sheet):
            return [*(s for s in sheets if s is not sheet), lines]
    for head, credit_head in _twins(sheets):
        for lines, credit_lines in _twins(sheets):
            if lines is not head and (key := _clashing(look, head, credit_head, lines, credit_lines)):
                parts = {"invoices": head, "lines": lines, "credit_notes": credit_head, "credit_lines": credit_lines}
                texts = [
                    _part(parts, "invoice", "lines", "invoices", key),
                    _part(parts, "credit note", "credit_lines", "credit_notes", key),
                ]
                made = look.selected(lines, "\nUNION ALL\n".join(texts), parts, LINES)
                return [*(s for s in sheets if s not in parts.values()), made]
    return [*sheets]


def _entries(look: Sniffer, sheet: Sheet) -> Sheet | None:
    """The bookings of revenue of a general ledger with debit and credit, in which an entry has several rows; None where it is none."""
    names = {role: column_named(sheet, words, KNOWN) for role, words in vocabulary().entries.items()}
    if not all(names[role] for role in ("entry", "account", "debit", "credit", "day")):
        return None
    cell = {role: identifier(name) for role, name in names.items() if name}
    counts = {
        chart: _count(look, sheet, cell["account"], chart[1])
        for chart in vocabulary().ledgers
        if _count(look, sheet, cell["account"], chart[0])
    }
    if not any(counts.values()):
        return None
    customers, revenue = max(counts, key=lambda chart: counts[chart])
    account = f"CAST({cell['account']} AS VARCHAR)"
    customer = (
        f"coalesce(nullif(trim(CAST({cell['customer']} AS VARCHAR)), ''), {account})" if "customer" in cell else account
    )
    keys = [cell[role] for role in ("journal", "entry") if role in cell]
    of_customers = look.kept(sheet, f"starts_with({account}, {quoted(customers)})")
    if "document" in cell and look.mixed(of_customers, customer, ", ".join(keys)):  # an entry of several documents
        keys.append(cell["document"])
    more = "".join(f"l.{cell[role]}, " for role in ("document", "label") if role in cell)
    text = ENTRY.format(
        **{role: cell[role] for role in ("day", "account", "debit", "credit")}, more=more, customer=customer, name=cell.get("customer_name", customer),
        keys=", ".join(keys), same=" AND ".join(f"l.{key} = c.{key}" for key in keys), customers=quoted(customers), revenue=quoted(revenue))  # fmt: skip
    return look.selected(sheet, text, {"ledger": sheet}, LINES)


def _count(look: Sniffer, sheet: Sheet, account: str, begin: str) -> int:
    return int(look.total(sheet, "1", f"starts_with(CAST({account} AS VARCHAR), {quoted(begin)})"))


def _twins(sheets: Sequence[Sheet]) -> list[tuple[Sheet, Sheet]]:
    """Sheets of one header, of which the second is named for credit notes."""
    notes = [sheet for sheet in sheets if kind_named(sheet.source[0]) in REVERSED]
    return [(s, c) for s in sheets if s not in notes for c in notes if written(s) == written(c)]


def _clashing(
    look: Sniffer, head: Sheet, credit_head: Sheet, lines: Sheet, credit_lines: Sheet
) -> tuple[str, str] | None:
    """The columns by which lines name their head, where credit notes have numbers that invoices have too."""
    theirs, ours = (
        roles(sheet, table).get("order_id", ("", 0))[0]
        for sheet, table in ((head, "documents"), (lines, "invoice_lines"))
    )
    if not theirs or not look.held(credit_head, theirs, head, theirs):
        return None
    key = shared_key(look, lines, ours, head, theirs)
    return key if key and look.held(credit_lines, key[0], credit_head, key[1]) >= HELD else None


def _part(parts: Mapping[str, Sheet], kind: str, lines: str, head: str, key: tuple[str, str]) -> str:
    own = [f"l.{identifier(name)}" for name in parts[lines].columns]
    own += [f"h.{identifier(name)}" for name in parts[head].columns if name not in parts[lines].columns]
    return PART.format(
        kind=quoted(kind),
        columns=", ".join(own),
        lines=lines,
        head=head,
        ours=identifier(key[0]),
        theirs=identifier(key[1]),
    )
