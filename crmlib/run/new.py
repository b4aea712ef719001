"""A new engagement: a commented template of everything, or the client's books set up as one mapping."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from crmlib.books.ledger import identifier
from crmlib.books.raw import WORKBOOKS
from crmlib.books.sheets import DATABASES, Engine, Sheet
from crmlib.books.sniff import sheets
from crmlib.declared.editions import SHEETS
from crmlib.declared.judgement import FILES, Round
from crmlib.declared.ledger import tables
from crmlib.declared.reading import DECLARED, SettingsError
from crmlib.declared.vocabulary import parts
from crmlib.run.drafts import Ask, Draft, Proposal
from crmlib.run.meaning import NO_CURRENCY, UNKNOWN, proposed
from crmlib.run.proposal import DERIVED, of_documents

TAX = ("tax", "with_tax", "document_currency", "document_amount")  # looked at, and not in the ledger
EXTRAS = {"discount", "freight", "commission"}  # amounts that a line may be without


def write_template(folder: Path, sources: Sequence[str] = (), ask: Ask = lambda question: "") -> list[str]:
    """A new engagement: commented engagement.yml, an example statement, headers of every table, templates of judgement.

    From the client's files, which are copied into `ledger` (a database stays where it is), one mapping is written; what they do
    not prove is asked; where no answer comes it stays marked in engagement.yml, and is given back.

    Raises
    ------
    SettingsError
        The folder is there and not empty, a file is not there, of no kind that is read, or named like another.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is there and not empty; name a new folder")
    files = {source: _file_name(source) for source in sources}
    if gone := [source for source in files if not source.startswith("env:") and not Path(source).is_file()]:
        raise SettingsError(f"no such file: {', '.join(gone)}")
    if twice := sorted({name for name in files.values() if [*files.values()].count(name) > 1}):
        raise SettingsError(f"two files are named {twice[0]}; rename one of them")
    if len(files) > 1 and (databases := [source for source in files if _is_database(source)]):
        raise SettingsError(f"{databases[0]} is a database and stands alone; leave the other files away")
    texts, still_open = (
        {"engagement.yml": Path(__file__).with_name("engagement.yml").read_text(encoding="utf-8")},
        list[str](),
    )
    if files:
        with tempfile.TemporaryDirectory() as work:
            proposal = proposed(sheets(Engine(Path(work)), files), ask)
        texts = _texts(folder, next(iter(files)), proposal)
        still_open = [question.asked for question in proposal.open.values()]
    _write(folder, texts)
    for source, name in files.items():
        if not _is_database(source):
            shutil.copyfile(source, folder / "ledger" / name)
    return still_open


def _is_database(source: str) -> bool:
    return source.startswith("env:") or Path(source).suffix.lower() in DATABASES


def _file_name(source: str) -> str:
    file = Path(source)
    kept = _is_database(source) or file.suffix.lower() in {".csv", ".parquet", *WORKBOOKS}
    return file.name if kept else f"{file.stem}.csv"  # by another name


def _texts(folder: Path, source: str, p: Proposal) -> dict[str, str]:
    """engagement.yml, and the queries of derived tables, as the proposal has them."""
    place = (
        source
        if source.startswith("env:")
        else os.path.relpath(Path(source).resolve(), folder.resolve())
        if _is_database(source)
        else "ledger"
    )
    texts = {"engagement.yml": "\n".join([*_settings(folder, place, p), *_open(p), *_mapping(p), ""])}
    texts |= {draft.sheet.source[0]: f"{draft.sheet.query}\n" for draft in p.tables.values() if draft.sheet.query}
    return texts | {f"{name}.sql": _derived(name, draft) for name, draft in p.tables.items() if draft.derived}


def _write(folder: Path, texts: dict[str, str]) -> None:
    statement = (DECLARED / "statement.yml").read_text(encoding="utf-8")
    texts |= {
        "statement.example.yml": f"# Rename to statement.yml to use a statement of your own.\n{statement}",
        "judgement/README.md": "What people decide in workshops; each notebook that reads one says how.\n",
        **{f"judgement/{name}": text for name, text in judgement_templates().items()},
        **{f"headers/{table.name}.csv": ",".join(table.columns) + "\n" for table in tables().values()},
    }
    for place in ("ledger", "judgement", "headers"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def judgement_templates() -> dict[str, str]:
    """The judgement files as a new engagement gets them: file name → text."""
    files = {name: (DECLARED / name).read_text("utf-8") for name in FILES}
    headers = {**SHEETS, "process.csv": tuple(Round.model_fields)}
    return {**files, **{name: ",".join(columns) + "\n" for name, columns in headers.items()}}


def _settings(folder: Path, source: str, p: Proposal) -> Iterator[str]:
    yield "# Proposed by `crm new` from the client's files."
    yield "# data/README.md of the workbook is the dictionary; `crm check` says what is wrong with the books as they are mapped here."
    yield f"client: {_text(folder.resolve().name)}"
    yield f"currency: {p.currency}" + (
        "  # write its three letters; XXX is no currency" if p.currency == NO_CURRENCY else ""
    )
    start, end = p.coverage if p.coverage[0] else UNKNOWN
    yield f"coverage: {{start: {start}, end: {end}}}" + ("  # whole months that have sales" if p.coverage[0] else "")
    yield f"source: {_text(source)}"
    yield "# cost_of_goods_basis: full  # where the cost of goods is full standard cost"
    yield "# rates: {cost_of_capital: 0.09, tax_rate: 0.25, inventory_noncapital_rate: 0}"


def _open(p: Proposal) -> Iterator[str]:
    """The questions that nobody has answered, but for the currency, without which nothing is read."""
    questions = [question for question in p.open.values() if question.key != "currency"]
    if questions:
        yield "open:  # what the files do not prove: mend the setting where what was taken is wrong, then remove its entry here"
    for question in questions:
        yield f"  {_text(question.key)}:"
        yield f"    asked: {_text(question.asked)}"
        yield f"    taken: {_text(question.taken or question.default)}"
        yield from [] if question.amount is None else [f"    amount: {question.amount:.2f}"]


def _mapping(p: Proposal) -> Iterator[str]:
    yield "tables:" + (
        "" if p.tables else " {}  # no file looks like a table of the ledger; `headers` shows what each holds"
    )
    for table, draft in p.tables.items():
        yield f"  {table}:"
        yield from (f"    {line}" for line in _table(p, table, draft))


def _table(p: Proposal, table: str, draft: Draft) -> Iterator[str]:
    sheet = draft.sheet
    if draft.derived:
        yield f"source: {table}.sql  # the export is flat: its {table}, one row each"
    else:
        yield f"source: {_source(p, sheet)}"
    if sheet.header_row > 1 or sheet.by_place:
        titles = "the rows above are titles" + ", or name the columns with it" * (sheet.header_rows > 1)
        why = titles if sheet.header_row > 1 else "a column without a name is called by its place"
        yield f"header_row: {sheet.header_row}  # {why}"
    if sheet.header_rows > 1:
        yield f"header_rows: {sheet.header_rows}"
    if sheet.headings:
        yield f"heading: {_names(sheet.headings)}  # stands above its rows; totals are compared with them"
    if sheet.carried:
        yield f"carried: {_names(sheet.carried, brackets=True)}  # written in the first row of each document alone"
    if draft.derived:
        yield from _formats(draft)
        return
    if draft.head:
        yield f"join: {{{_text(draft.head.name)}: {{{_text(draft.key[0])}: {_text(draft.key[1])}}}}}  # our column: theirs"
    if draft.where:
        others = "no debtor is charged by" if draft.debtor else "are headings and totals, or no customers'"
        yield f"where: {_text(draft.where)}  # the other rows {others}"
    if draft.kinds:
        yield "kinds:  # what a line is, by the words found in its columns of status and type"
        yield from (f"  {kind}: {_text(test)}" for kind, test in draft.kinds.items())
    if draft.document:
        yield f"document: [{', '.join(map(_text, draft.document))}]  # the number alone stands for several"
    known = tables()[table].columns if table in tables() else {}
    mapped = {role: draft.columns[role] for role in known if role in draft.columns}
    if any(role != name for role, name in mapped.items()) or draft.turned:
        yield "columns:"
        yield from (f"  {role}: {_column(draft, table, role, name)}" for role, name in mapped.items())
    elsewhere = [
        name for d in p.tables.values() if d.derived and d.sheet.source == sheet.source for name in d.columns.values()
    ]
    whole = {"".join(parts(role)) for role in known if role not in mapped}
    of_head = [c for c in (draft.head.columns if draft.head else ()) if "".join(parts(c)) in whole]
    numbers = {"".join(parts(n)) for n in known["line_no"].also} if "line_no" in {*known} - {*mapped} else {}
    odd = [c for c in sheet.columns if "".join(parts(c)) in numbers]  # which tell no lines apart
    unread = [*of_head, *odd] + [
        c
        for c in (*elsewhere, *(draft.columns.get(role, "") for role in TAX), *of_documents(sheet))
        if c in sheet.columns and sheet.columns[c] not in draft.mapped(*mapped.values())
    ]
    if unread and table == "invoice_lines":
        yield f"unread: [{', '.join(map(_text, dict.fromkeys(unread)))}]  # read for customers and products, tax, or of a document as a whole"
    yield from _formats(draft)


def _source(p: Proposal, sheet: Sheet) -> str:
    """A sheet's name, a pattern that new months will meet too, or a list where it would meet others."""
    sheets = [s for d in p.tables.values() for s in (d.sheet, d.head) if s]
    others = [*p.unread, *(name for s in sheets for name in s.source)]
    alike = len(sheet.name) > 3 and not any(map(sheet.meets, others))
    return _text(sheet.name) if alike else _names(sheet.source)


def _column(draft: Draft, table: str, role: str, name: str) -> str:
    """A column as the mapping names it, with what its type needs."""
    record, columns = tables()[table].columns[role], draft.mapped(name)
    cast = draft.sheet.is_typed and any(
        c.kind == "float" or (c.kind == "number" and not record.numeric) for c in columns
    )
    cast |= (
        record.type == "date"
        and any("timed" in c.marks for c in columns)
        and draft.sheet.file.suffix.lower() not in WORKBOOKS
    )
    blanks = record.numeric and any(
        c.filled < s.rows for s in draft.sheets for c in s.columns.values() if c.name == name
    )
    more = ", ".join(
        ["sign: turned"] * (role in draft.turned)
        + ["cast: true"] * cast
        + ["blank: zero"] * (blanks and role in EXTRAS)
    )
    return f"{{column: {_text(name)}, {more}}}" if more else _text(name)


def _formats(draft: Draft) -> Iterator[str]:
    sheet, marks = draft.sheet, {mark for c in draft.mapped() for mark in c.marks}
    sign = next((m for m in marks if m in "€$£¥" or (len(m) == 3 and m.isupper())), "")
    negative = next((m for m in ("trailing", "parentheses", "CR") if m in marks), "leading")
    given = {"encoding": (sheet.encoding, "utf-8"), "delimiter": ("," if sheet.columns_at else sheet.delimiter, ","), "decimal": (draft.number[0], "."),
             "thousands": (draft.number[1], ""), "negative": (negative, "leading"), "currency_sign": (sign, "")}  # fmt: skip
    written = [f"{key}: {_text(value)}" for key, (value, default) in given.items() if value != default]
    written += [f"columns_at: {[*sheet.columns_at]}"] if sheet.columns_at else []
    written += [f"dates: [{', '.join(map(_text, draft.days))}]"] if draft.days not in ([], ["%Y-%m-%d"]) else []
    if written:
        yield f"formats: {{{', '.join(written)}}}  # borne out by every value"


def _derived(table: str, draft: Draft) -> str:
    """The query that makes customers or products of a flat export: one row each, with what is the same in all rows of one."""
    names, sheet = {role: draft.sheet.spoken(name) for role, name in draft.columns.items()}, draft.sheet
    first, name, *others = DERIVED[table]
    key, there = names[first], [role for role in others if role in names]
    rows = sheet.query or " UNION ALL ".join(f"SELECT * FROM {identifier(source)}" for source in sheet.source)
    columns = [f"trim(CAST({key} AS VARCHAR)) AS {first}", f"max({names.get(name, key)}) AS {name}"]
    columns += [f"max({names[role]}) AS {role}" for role in there]
    lines, there_is = ",\n    ".join(columns), f"{key} IS NOT NULL AND trim(CAST({key} AS VARCHAR)) <> ''"
    test = f"{there_is} AND ({draft.where})" if draft.where else there_is
    return f"-- The {table} of these books, one row each, as the invoice lines name them.\nSELECT\n    {lines}\nFROM ({rows}) AS lines\nWHERE {test}\nGROUP BY 1\nORDER BY 1\n"


def _text(text: str) -> str:
    """A text as YAML, in quotes where it is more than a word."""
    return (
        text
        if text.isidentifier()
        and text.isascii()
        and text.lower() not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
        else json.dumps(text, ensure_ascii=False)
    )


def _names(names: Sequence[str], *, brackets: bool = False) -> str:
    return _text(names[0]) if len(names) == 1 and not brackets else f"[{', '.join(map(_text, names))}]"
