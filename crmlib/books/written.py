"""How numbers and days are written as text: the forms that are tried, and their patterns."""

from __future__ import annotations

import functools
import re

from crmlib.declared.settings import SERIAL
from crmlib.declared.vocabulary import LIKELY, likeness, vocabulary

NUMBERS = [(".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"), (",", "'")]
NAME = r"\p{L}{3,10}\.?"  # of a month
DATES = {
    "%Y-%m-%d": r"\d{4}-\d\d?-\d\d?", "%d.%m.%Y": r"\d\d?\.\d\d?\.\d{4}", "%d/%m/%Y": r"\d\d?/\d\d?/\d{4}",
    "%m/%d/%Y": r"\d\d?/\d\d?/\d{4}", "%d-%m-%Y": r"\d\d?-\d\d?-\d{4}", "%m-%d-%Y": r"\d\d?-\d\d?-\d{4}",
    "%Y/%m/%d": r"\d{4}/\d\d?/\d\d?", "%Y%m%d": r"(?:19|20)\d{6}", "%d.%m.%y": r"\d\d?\.\d\d?\.\d\d",
    "%d/%m/%y": r"\d\d?/\d\d?/\d\d", "%m/%d/%y": r"\d\d?/\d\d?/\d\d", "%d-%m-%y": r"\d\d?-\d\d?-\d\d", "%m-%d-%y": r"\d\d?-\d\d?-\d\d", "%y-%m-%d": r"\d\d-\d\d?-\d\d?",
    "%d-%B-%y": rf"\d\d?-{NAME}-\d\d", "%d-%B-%Y": rf"\d\d?-{NAME}-\d{{4}}", "%d %B %Y": rf"\d\d? {NAME} \d{{4}}", "%d %B %y": rf"\d\d? {NAME} \d\d", "%d. %B %Y": rf"\d\d?\. {NAME} \d{{4}}",
    "%B %d, %Y": rf"{NAME} \d\d?, \d{{4}}", "%B %Y": rf"{NAME} \d{{4}}", "%Y-%m": r"\d{4}-\d\d?", "%m/%Y": r"\d\d?/\d{4}", "%Y-%B": rf"\d{{4}}-{NAME}", "%B %y": rf"{NAME} \d\d", "%B-%y": rf"{NAME}-\d\d",
}  # fmt: skip
NUMBERED = {  # where the name is a date's
    "%Y%m": r"(?:19|20)\d{4}", "%m.%Y": r"\d\d?\.(?:19|20)\d\d", "0%m.%Y": r"0\d\d\.(?:19|20)\d\d", "1%y%j": r"1\d{5}", "%d%m%Y": r"\d{4}(?:19|20)\d\d",
    SERIAL: r"[345]\d{4}(?:\.\d+)?", "unix": r"1\d{9}(?:\.\d+)?", "unix-ms": r"1\d{12}(?:\.\d+)?",
}  # fmt: skip
TIME = r"(?:(?:,? |T)\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?(?: ?Z| ?[+-]\d\d:?\d\d)?)?"


def has_figure(name: str, kind: str = "text") -> str:
    """The condition that a column is no blank and no word such as Total."""
    return f"regexp_matches({name}, '[0-9]')" if kind == "text" else f"{name} IS NOT NULL"


def may_be(value: str, pattern: str, *, words: bool) -> bool:
    """Whether a value may have a pattern, or be a word where these stand beside: the engine, which alone knows letters, has the last word."""
    there = re.search(pattern.replace(r"\p{L}", r"[^\d\s]"), value, re.ASCII)
    return there is not None or (words and not re.search("[0-9]", value))


def days_of(name: str, serial: str = "") -> dict[str, str]:
    """The forms of days that a column of this name may have, with their patterns: those that are numbers where the name is a day's, in a workbook as it counts them."""
    numbered = {serial if serial and form == SERIAL else form: shape for form, shape in NUMBERED.items()}
    return DATES | (numbered if is_of_day(name) else {})


def is_of_day(name: str) -> bool:
    """Whether a column is named like a date or a month."""
    words = vocabulary().tables["invoice_lines"].columns
    return likeness(name, (*words["invoice_date"], *words["order_date"])) >= LIKELY


@functools.cache
def sign_of_currency() -> str:
    """What a sign or code of a currency looks like."""
    return f"(?:[€$£¥]|{'|'.join(sorted({*vocabulary().currencies.values()}))})"


def number_pattern(form: tuple[str, str]) -> str:
    """What a number with these marks of decimals and thousands looks like."""
    (decimal, thousands), sign = form, sign_of_currency()
    between = {" ": "[ \u00a0\u202f]", "'": "['\u2019]"}.get(thousands, re.escape(thousands))
    whole = rf"\d{{1,3}}(?:{between}\d{{3}})+" if thousands else ""
    body = rf"(?:{whole}|\d+)(?:{re.escape(decimal)}\d+)?" if whole else rf"\d+(?:{re.escape(decimal)}\d+)?"
    return rf"^(?:-?{sign}? ?-?{body} ?{sign}?(?:-|(?i: ?[CD]R))?|(?:{sign} ?)?\({sign}? ?{body} ?{sign}?\)|{sign} ?-)$"
