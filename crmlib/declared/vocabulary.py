"""Words by which `crm new` recognises the tables, columns and values of other companies' exports (vocabulary.yml)."""

from __future__ import annotations

import functools
import re
import unicodedata
from datetime import timedelta

from crmlib.declared.ledger import tables
from crmlib.declared.reading import DECLARED, Record, nearest, read
from crmlib.declared.settings import COUNTED, SERIAL

KNOWN = 0.75  # from this likeness on a name is known; below it people are asked
LIKELY = 0.55  # below this likeness a name says nothing


class Words(Record):
    """How a table and its columns may be called, the best word first."""

    names: list[str]
    columns: dict[str, list[str]]


class Code(Record):
    """A column of a known export, told by a column beside it, whose values are codes of kinds; or in which any value is `filled`."""

    column: str
    beside: str = ""
    kinds: dict[str, list[str]]
    filled: str = ""


class Chart(Record):
    """A chart of accounts: ranges of revenue, and of those what reduces it; percent of tax that amounts of an account hold, or of a tax key's last digit."""

    code: str
    revenue: list[tuple[str, str]]
    reductions: list[tuple[str, str]]
    rates: dict[int, list[tuple[str, str]]]
    keys: dict[str, int]


class Vocabulary(Record):
    """vocabulary.yml."""

    tables: dict[str, Words]
    journal: dict[str, list[str]]
    charts: list[Chart]
    entries: dict[str, list[str]]
    ledgers: list[tuple[str, str]]
    kinds: dict[str, list[str]]
    codes: list[Code]
    short: dict[str, list[str]]
    yes: list[str]
    no: list[str]
    normal: list[str]
    partly: list[str]
    voided: list[str]
    emails: list[str]
    status: list[str]
    types: list[str]
    scales: dict[float, list[str]]
    own: list[str]
    tax_rates: list[float]
    net: list[str]
    local: list[str]
    currencies: dict[str, str]
    months: list[list[str]]
    year: list[str]
    month: list[str]
    row_labels: list[str]
    fiscal: list[str]
    starts: list[str]
    ends: list[str]
    notes: list[str]
    taxes: list[str]
    revenue: list[str]
    rates: list[str]
    chances: list[str]
    stacked: list[str]
    wholes: list[str]
    costs: list[str]
    accounts: list[str]
    account_names: list[str]
    unlike: list[str]


@functools.cache
def vocabulary() -> Vocabulary:
    """The words, and the ledger's own names before them."""
    words = read(DECLARED / "vocabulary.yml", Vocabulary)
    own = {n: Words(names=[n], columns={c: [c] for c in table.columns}) for n, table in tables().items()}
    return words.model_copy(update={"tables": own | {n: _with_own(own, n, w) for n, w in words.tables.items()}})


def _with_own(own: dict[str, Words], table: str, words: Words) -> Words:
    return words.model_copy(update={"columns": (own[table].columns if table in own else {}) | words.columns})


@functools.cache
def parts(name: str) -> tuple[str, ...]:
    """The words of a name without case, accents and marks: `KundenNr.` is kunden and nr."""
    whole = re.sub(r"(?i)^(sum of|summe von|somme de|suma de) ", "", name)  # as pivots say
    broken = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", whole.replace("ß", "ss").replace("%", " percent "))
    plain = unicodedata.normalize("NFKD", broken).encode("ascii", "ignore").decode().casefold()
    return tuple(re.sub("([aou])e", r"\1", word) for word in re.findall("[a-z0-9]+", plain))


@functools.cache
def _in_full() -> dict[str, str]:
    return {short: word for word, each in vocabulary().short.items() for short in each}


@functools.cache
def spelt(name: str) -> tuple[str, ...]:
    """The words of a name, those that are short for another in full."""
    return tuple(word for part in parts(name) if (word := _in_full().get(part, part)))


@functools.cache
def likeness(name: str, words: tuple[str, ...]) -> float:
    """How sure a name means what one of the words means: 1 the first of them, 0.9 the last, less where it is only near."""
    bare = tuple(p for p in spelt(name) if p not in vocabulary().currencies and not p.isdigit()) or spelt(name)
    plain = "".join(bare)
    known = {"".join(spelt(word)): 1 - 0.1 * place / len(words) for place, word in reversed([*enumerate(words)])}
    if plain in known:
        return known[plain]
    turned = {"".join(sorted(spelt(word))): known["".join(spelt(word))] for word in reversed(words)}
    if len(bare) > 1 and (same := turned.get("".join(sorted(bare)))):  # `% discount`
        return same
    inside = [len(spelt(w)) / len(bare) for w in words if set(spelt(w)) <= set(bare)]
    near = 0.8 if len(plain) > 4 and nearest(plain, known, 0.88) else 0
    return max([near, *(0.3 + 0.4 * share for share in inside if share > 0.6)])


@functools.cache
def kind_of(value: str) -> str:
    """The kind of line that a value says by itself, such as `Sales credit note`; '' where it says none."""
    said = parts(value)
    if {*said} & {*vocabulary().partly}:
        return ""
    for kind, words in vocabulary().kinds.items():
        for word in map(parts, words):
            inside = len(word) > 1 and any(said[i : i + len(word)] == word for i in range(len(said)))
            if inside or said == word or "".join(said) == "".join(word):
                return kind
    return ""


def scale_of(*names: str) -> float:
    """By how much amounts are to be multiplied, as the name of a column or a title says: 1000 of `Umsatz TEUR`, `T€` and `in thousands`, 0.01 of `amount_cents`."""
    for name in names:
        if re.search(r"(?i)\b[tk] ?[€$£]|[€$£] ?k\b|[(\['’$€£]000'?s?\b(?![.,]?\d)", name):
            return 1000
        said = f" {' '.join(parts(name))} "
        for scale, words in vocabulary().scales.items():
            if any(f" {' '.join(parts(word))} " in said for word in words):
                return scale
    return 1


@functools.cache
def month_numbers() -> dict[str, int]:
    """The number of each month by its names, without accents."""
    return {"".join(parts(name)): n for n, names in enumerate(vocabulary().months, 1) for name in names}


def month_of(name: str) -> str:
    """The first day of the month that a name says, as 'Jan 2024', '2024-01', '2024-01-01' or Excel's 45292; '' where it says none."""
    if re.fullmatch(r"[345]\d{4}", name):
        day = COUNTED[SERIAL][0] + timedelta(int(name))
        return f"{day}" if day.day == 1 else ""
    words = parts(re.sub(r"^(\d{4}-\d\d)-01( 00:00:00)?$", r"\1", name))
    numbers = [int(word) for word in words if word.isdigit()]
    month = next((month_numbers()[word] for word in words if word in month_numbers()), 0)
    year = next((n for n in numbers if 1990 <= n < 2100), 0)
    year = year or next((2000 + n for n in numbers if month and n < 100), 0)
    month = month or next((n for n in numbers if 1 <= n <= 12), 0)
    return f"{year}-{month:02}-01" if year and month and len(words) == 2 else ""


def kind_named(name: str) -> str:
    """The kind of line that the name of a file or sheet says of all its rows, such as `returns_2024`; '' where it says none."""
    title = re.sub(r"\d+", " ", name.rpartition(":")[2])
    return next((kind for said in (title, *parts(title)) if (kind := kind_of(said))), "")
