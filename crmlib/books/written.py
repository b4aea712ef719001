"""How numbers and days are written as text: the forms that are tried, and their patterns."""

from __future__ import annotations

import functools
import re

from crmlib.declared.settings import SERIAL
from crmlib.declared.vocabulary import LIKELY, likeness, vocabulary

NUMBERS = [(".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"), (",", "'")]
DATES = {
    "%Y-%m-%d": r"\d{4}-\d\d?-\d\d?", "%d.%m.%Y": r"\d\d?\.\d\d?\.\d{4}", "%d/%m/%Y": r"\d\d?/\d\d?/\d{4}",
    "%m/%d/%Y": r"\d\d?/\d\d?/\d{4}", "%d-%m-%Y": r"\d\d?-\d\d?-\d{4}", "%m-%d-%Y": r"\d\d?-\d\d?-\d{4}",
    "%Y/%m/%d": r"\d{4}/\d\d?/\d\d?", "%Y%m%d": r"(?:19|20)\d{6}", "%d.%m.%y": r"\d\d?\.\d\d?\.\d\d",
    "%d-%b-%y": r"\d\d?-[A-Za-z]{3}-\d\d", "%d/%m/%y": r"\d\d?/\d\d?/\d\d", "%m/%d/%y": r"\d\d?/\d\d?/\d\d", "%d-%b-%Y": r"\d\d?-[A-Za-z]{3}-\d{4}",
    "%d %b %Y": r"\d\d? [A-Za-z]{3} \d{4}", "%b %d, %Y": r"[A-Za-z]{3} \d\d?, \d{4}", "%d %B %Y": r"\d\d? [A-Za-z]{3,9} \d{4}",
    "%b %Y": r"[A-Za-z]{3} \d{4}", "%B %Y": r"[A-Za-z]{3,9} \d{4}", "%Y-%m": r"\d{4}-\d\d?", "%m/%Y": r"\d\d?/\d{4}", "%Y-%b": r"\d{4}-[A-Za-z]{3}", "%Y-%B": r"\d{4}-[A-Za-z]{3,9}",
}  # fmt: skip
NUMBERED = {
    "%Y%m": r"(?:19|20)\d{4}",
    "%m.%Y": r"\d\d?\.(?:19|20)\d\d",
    "0%m.%Y": r"0\d\d\.(?:19|20)\d\d",
    "1%y%j": r"1\d{5}",
    SERIAL: r"[345]\d{4}(?:\.\d+)?",
}  # where the name is a date's
TIME = r"(?:(?:,? |T)\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?(?: ?Z| ?[+-]\d\d:?\d\d)?)?"


def has_figure(name: str, kind: str = "text") -> str:
    """The condition that a column is no blank and no word such as Total."""
    return f"regexp_matches({name}, '[0-9]')" if kind == "text" else f"{name} IS NOT NULL"


def days_of(name: str) -> dict[str, str]:
    """The forms of days that a column of this name may have, with their patterns: those that are numbers where the name is a day's."""
    return DATES | (NUMBERED if is_of_day(name) else {})


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
    between = "[ \u00a0\u202f]" if thousands == " " else re.escape(thousands)
    whole = rf"\d{{1,3}}(?:{between}\d{{3}})+" if thousands else ""
    body = rf"(?:{whole}|\d+)(?:{re.escape(decimal)}\d+)?" if whole else rf"\d+(?:{re.escape(decimal)}\d+)?"
    return rf"^(?:-?{sign}? ?-?{body} ?{sign}?-?|\({sign}? ?{body} ?{sign}?\))$"
