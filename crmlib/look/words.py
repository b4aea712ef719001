"""Numbers in words, and the sentences that read a result.

A sentence is a template over the notebook's own names: ``say("{losers:customer} lose {losers[margin]:size}.")``. It speaks only of
what is there: a sentence with a value that is missing, empty or zero is left out.

=================  ===============================================================================================
format             gives
=================  ===============================================================================================
money, money.1     USD 1.4 M; two significant digits, or so many decimals; a column is summed
size               the same without its sign
percent            12.5% of a share from 0 to 1; percent.0 without decimals
moved              of a share: up 12.5%, down 3.1%
rose               of an amount: rose by USD 1.4 M, fell by USD 12 k
improves           of an amount: improves by USD 1.4 M, worsens by USD 12 k
contribute         of an amount: contribute USD 1.4 M, lose USD 12 k; contributes after a count or list of one;
                   buy and return where the books know of no cost
list, list.3       Fir, Gorse and Hazel; Fir, Gorse, Hazel and 4 more; semicolons where a name holds a comma
customer           any other word counts: 1 customer, 12 customers; of a table its rows; irregular as in family|families
customer or none   counts, and says no customer for none
does.weigh         a verb that agrees with how many there are: weighs, weigh; irregular as does.it brings|they bring
=================  ===============================================================================================
"""

from __future__ import annotations

import html
import math
import numbers
import re
import string
import textwrap
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pandas as pd

NOT_AVAILABLE = "not available"
ACCENT = "#0b5394"
MARKED = f"padding-left: 14px; border-left: 3px solid {ACCENT}"  # in JupyterLab too, which has no sheet of ours
VERBS = {"rose": ("rose by", "fell by"), "improves": ("improves by", "worsens by"),
         "contribute": ("contribute", "lose"), "contributes": ("contributes", "loses"),
         "buy": ("buy", "return"), "buys": ("buys", "returns")}  # fmt: skip
FIVE_DIGITS = 10_000  # from which thousands of a plain number are set apart: a year is a year
HEADLINE = 240  # letters of a reading that is set bold; what is longer is a paragraph
AMOUNTS = {"money", "size", *VERBS}


def as_decimal(value: object) -> Decimal | None:
    """The value as a number; None for what is none."""
    if value is None or pd.isna(cast(Any, value)):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None


def floats(values: Iterable[object]) -> list[float]:
    """The values as floats to draw; NaN for what is no number."""
    return [math.nan if (number := as_decimal(value)) is None else float(number) for value in values]


def digits_text(number: Decimal, decimals: int) -> str:
    """A number with so many decimals, thousands set apart, half to even."""
    return f"{round(number, decimals) + 0:,.{decimals}f}".replace("-", "−")  # adding zero turns −0 into 0


SCALES = ((Decimal(10**9), " bn"), (Decimal(10**6), " M"), (Decimal(10**3), " k"), (Decimal(1), ""))


def _scale(number: Decimal) -> tuple[Decimal, str]:
    return next((scale for scale in SCALES if abs(number) >= scale[0] * Decimal("0.9995")), SCALES[-1])


def _compact(number: Decimal, digits: int | None = None) -> str:
    factor, suffix = _scale(number)
    scaled = number / factor
    few = abs(scaled) < Decimal("9.95") and (suffix or scaled != scaled.to_integral_value())
    return digits_text(scaled, digits if digits is not None else (1 if suffix else 2) if few else 0) + suffix


def amount(value: object, currency: str, *, digits: int | None = None) -> str:
    """Money as a person says it: ``USD 1.4 M``, ``USD −12 k``; *not available* for what is no number.

    Two significant digits or the whole number, unless `digits` says how many decimals.
    """
    number = as_decimal(value)
    return NOT_AVAILABLE if number is None else f"{currency} {_compact(number, digits)}".strip()


def percent(value: object, *, digits: int = 1) -> str:
    """A share (0 to 1) as percent; *not available* for what is no number."""
    number = as_decimal(value)
    return NOT_AVAILABLE if number is None else digits_text(number * 100, digits) + "%"


def one_unit(
    values: Iterable[object], unit: str = "", *, signed: bool = False, least: float = 0.1, digits: int = 1
) -> Callable[[object], str]:
    """How to write these values beside their marks, all in one unit: that of the largest, or the next where one would be below `least`.

    `signed` shows the plus too; `digits` are those behind the point, where the largest has few before it or the smallest none.
    """
    sizes = [abs(number) for value in values if (number := as_decimal(value))]
    largest, smallest = max(sizes, default=Decimal(0)), min(sizes, default=Decimal(0))
    place = next((at for at, (factor, _) in enumerate(SCALES) if largest >= factor), len(SCALES) - 1)
    place += smallest < SCALES[place][0] * Decimal(str(least)) and place < len(SCALES) - 1
    factor, suffix = SCALES[place]
    cents = largest < 1000 and any(size % 1 and size < 100 for size in sizes)
    decimals = digits * (largest < 100 * factor or smallest < factor) if factor > 1 else 2 * cents

    def text(value: object) -> str:
        number = as_decimal(value)
        if number is None:
            return NOT_AVAILABLE
        said = percent(number) if unit == "%" else digits_text(number / factor, decimals) + suffix
        return f"+{said}" if signed and number > 0 else said

    return text


def tick_text(value: float, unit: str, largest: float) -> str:
    """The text of a tick, in the unit of the largest: as many digits as tell it from the next."""
    factor, suffix = (Decimal("0.01"), "%") if unit == "%" else _scale(Decimal(str(largest)))
    return f"{float(Decimal(str(round(value, 9))) / factor):.5g}{suffix if value else ''}".replace("-", "−")


def wrapped(name: object, letters: int = 34) -> str:
    """The name on at most two lines; of one that is longer still the middle of the second is left out, so that its end is seen."""
    text = " ".join(str(name).split())
    first, *rest = textwrap.wrap(text, letters) or [""]
    second, tail = " ".join(rest), letters // 2
    if len(second) > letters:
        second = f"{second[: letters - tail - 1].rstrip()}…{second[-tail:].lstrip()}"
    return f"{first}\n{second}" if second else first


def counted(number: int, noun: str) -> str:
    """How many of something: 1 customer, 2,345 customers; an irregular noun as family|families."""
    one, _, several = noun.partition("|")
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def alike(texts: Iterable[str]) -> str:
    """What texts say together; … stands for the words in which they differ."""
    first, *others = [text.split() for text in dict.fromkeys(texts)]
    return re.sub("…(?: …)+", "…", " ".join(w if all(w in other for other in others) else "…" for w in first))


def heading(column: object) -> str:
    """A column's name as a reader sees it: ``cost_to_serve`` is *Cost to serve*."""
    text = " ".join(str(column).replace("_", " ").split())
    return text[:1].upper() + text[1:]


# --- sentences -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Sentence:
    """A sentence that reads a result: text in a console, a paragraph on a page, never markup; nothing where it is empty.

    `amount` is the first that it names, without its sign; `absent` is one that stands where there is nothing to show.
    """

    text: str
    amount: Decimal = Decimal(0)
    absent: bool = False

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self.text)

    def _repr_html_(self) -> str:
        kind = "finding absent" if self.absent else "finding"
        weight = 600 if len(self.text) <= HEADLINE else 400
        said = f'<p class="{kind}" style="{MARKED}; font-weight: {weight}">{html.escape(self.text)}</p>'
        return said if self.text else ""


FINDINGS = "application/vnd.crm.findings+json"


@dataclass(frozen=True)
class Findings:
    """What a page has found: each sentence with the cell that shows it. They stand under the page's title, the largest in the summary."""

    rows: tuple[tuple[str, Sentence], ...]

    def __str__(self) -> str:
        return "\n".join(sentence.text for _, sentence in self.rows)

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        items = "".join(f'<li style="{MARKED}; margin: 0">{html.escape(s.text)}</li>' for _, s in self.rows)
        listed = f'<ul class="findings" style="list-style: none; padding: 0">{items}</ul>'
        records = [{"text": s.text, "amount": float(s.amount), "cell": place} for place, s in self.rows]
        return {FINDINGS: records, "text/html": listed, "text/plain": str(self)}


@dataclass(frozen=True)
class Words:
    """Says things of one engagement, in its currency, about the `names` of a notebook; the formats stand at the head of this module."""

    currency: str
    names: Mapping[str, object] = field(default_factory=dict, repr=False)
    costed: bool = True  # where nothing is, customers buy and do not contribute

    def __call__(self, *sentences: str, otherwise: str = "", **values: object) -> Sentence:
        """Those of the sentences whose values are all there, one after another; `otherwise` where none is."""
        template = _Template(self.currency, self.costed)
        known = ChainMap(values, cast(dict[str, object], self.names))
        parts = [text for sentence in sentences if (text := template.filled(sentence, known))]
        return Sentence(" ".join(parts) or otherwise, template.amount, absent=not parts)

    def findings(self, places: Mapping[str, str | tuple[str, ...]], *, otherwise: str, **values: object) -> Findings:
        """Those of the findings that are true, each one or more sentences and the cell that shows it; `otherwise` where none is."""
        texts = {cell: (text,) if isinstance(text, str) else text for cell, text in places.items()}
        said = [(cell, self(*text, otherwise="", **values)) for cell, text in texts.items()]
        return Findings(tuple(row for row in said if row[1]) or (("", Sentence(otherwise)),))


class _AbsentError(Exception):
    """A value that is not there, so that nothing is said of it."""


class _Template(string.Formatter):
    def __init__(self, currency: str, costed: bool) -> None:
        # `one`: whether the subject is, which is what was counted last, else the first list
        self.currency, self.costed, self.amount, self.one = currency, costed, Decimal(0), cast("bool | None", None)

    def filled(self, sentence: str, values: Mapping[str, object]) -> str:
        self.one, before = None, self.amount
        try:
            text = self.vformat(sentence, (), values)
            return f"N{text[1:]}" if text.startswith("no ") else text
        except _AbsentError:
            self.amount = before
            return ""

    def format_field(self, value: Any, format_spec: str) -> str:
        kind, _, detail = format_spec.partition(".")
        if kind == "list":
            self.one = len(value) == 1 if self.one is None else self.one
            return _listed([str(item) for item in value], int(detail or len(value)))
        if kind == "does":
            return _agreeing(detail, len(value) if isinstance(value, Sized) else value)
        value, noun = _single(value, kind), kind.removesuffix(" or none")
        if noun != kind and not value:
            return f"no {noun.split('|')[0]}"
        if not value:
            raise _AbsentError
        self.one = self.one if noun in {*AMOUNTS, "", "percent", "moved"} else value == 1
        if noun in AMOUNTS and not self.amount:
            self.amount = abs(as_decimal(value) or Decimal(0))
        verb = noun if self.costed else noun.replace("contribute", "buy")
        verb = f"{verb}s" if noun == "contribute" and self.one else verb
        return _in_words(value, verb, int(detail) if detail else None, self.currency)


def _single(value: Any, kind: str) -> Any:
    """One value: of a column its sum for amounts, else that of its only row; of a table its rows; None for what is missing."""
    if isinstance(value, pd.DataFrame):
        return len(value)
    if isinstance(value, pd.Series | pd.Index):
        items = [] if kind in AMOUNTS and value.isna().any() else value.to_list()  # a sum with a hole is no sum
        value = sum(items) if kind in AMOUNTS else items[0] if items else None
    return None if isinstance(value, float | Decimal) and not math.isfinite(value) else value


def _agreeing(forms: str, number: int) -> str:
    """Of ``one|several``, or of a verb whose one form has an s, that for so many; none is one: no customer weighs."""
    one, irregular, several = forms.rpartition("|")
    return several if number > 1 else one if irregular else f"{several}s"


def _listed(items: Sequence[str], most: int) -> str:
    if not items:
        raise _AbsentError
    names = [*items[:most], *([f"{len(items) - most} more"] if len(items) > most else [])]
    mark = "; " if any("," in name for name in names) else ", "
    return names[0] if len(names) == 1 else f"{mark.join(names[:-1])} and {names[-1]}"


def _in_words(value: Any, kind: str, digits: int | None, currency: str) -> str:
    match kind:
        case "":
            return f"{value:,}" if isinstance(value, numbers.Integral) and int(value) >= FIVE_DIGITS else str(value)
        case "percent":
            return percent(value, digits=1 if digits is None else digits)
        case "moved":
            return f"{'up' if value > 0 else 'down'} {percent(abs(value))}"
        case "money" | "size":
            return amount(abs(value) if kind == "size" else value, currency, digits=digits)
    if kind in VERBS:
        return f"{VERBS[kind][int(value < 0)]} {amount(abs(value), currency, digits=digits)}"
    if not isinstance(value, numbers.Integral):
        raise ValueError(f"{value!r} cannot be counted as {kind!r}: no such format")
    return counted(int(value), kind)
