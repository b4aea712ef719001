"""Values typed as the settings declare them, without guessing; what cannot be read gets the code of its defect.

All is SQL. A column is typed in steps, each a column that the next ones name: its text, its value, the code of what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from crmlib.books.ledger import BLANKS, identifier, quoted
from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import COUNTED, ColumnSource, Formats
from crmlib.declared.vocabulary import month_numbers

DATE_PARTS = {
    "%Y": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": r"\p{L}{3,10}\.?", "%B": r"\p{L}{3,10}\.?", "%j": r"\d{3}",
}  # fmt: skip
TIME_PARTS = {"%H": r"\d{1,2}", "%I": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}", "%f": r"\d{1,9}", "%p": "[AaPp][Mm]",
              "%z": r"(?:Z|[+-]\d{2}:?\d{2})"}  # fmt: skip
ANY_TIME = r"(?:(?:T|,? )\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm])?(?: ?Z| ?[+-]\d{2}:?\d{2})?)?"
NONE = "NULL::VARCHAR"
INTEGERS = r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"  # types
STEPS = ("text", "cast", "value", "code")  # of typing, in this order

Value = tuple[str, str]  # a value, and the code of what is wrong with it, in SQL


def step(name: str, column: str) -> str:
    """What a step of typing a column is called, as it stands in SQL."""
    return identifier(f"= {name} of {column}")


def stepped(query: str, steps: Mapping[str, Mapping[str, str]]) -> str:
    """A query with the steps of typing these columns."""
    for name in STEPS:
        added = [f"{each[name]} AS {step(name, column)}" for column, each in steps.items() if name in each]
        query = f"SELECT *, {', '.join(added)} FROM ({query})" if added else query
    return query


def typed_value(given: str, kind: str, column: Column, source: ColumnSource, formats: Formats) -> dict[str, str]:
    """The steps that type a column: `value` is its value, `code` says what is wrong (null where nothing is).

    `given` is what the client has, in SQL, and `kind` what the engine calls its type.
    """
    text, near, value = (step(name, column.name) for name in STEPS[:3])
    is_text, steps = kind.startswith(("VARCHAR", "ENUM")), dict[str, str]()
    present = f"coalesce({text} <> '', false)" if is_text else f"({given} IS NOT NULL)"
    if is_text and column.numeric:  # most numbers are as they should be: no other text is made of these
        typed, code = _number(f"{given}::VARCHAR", value, column, formats, cast=source.cast)
        present = f"coalesce(stripped({given}::VARCHAR) <> '', false)"
        steps, typed = _quicker(f"{given}::VARCHAR", typed, near, column, formats)
    elif is_text:
        typed, code = _from_text(given, text, value, column, formats, cast=source.cast)
        steps, typed = _quicker(text, typed, near, column, formats)
        steps["text"] = f"stripped({given}::VARCHAR)"
    else:
        typed, code = _from_native(given, kind, value, column, formats, cast=source.cast)
    if column.numeric and source.blank == "zero":
        typed, code = (
            f"CASE WHEN {present} THEN {typed} ELSE 0::{column.dtype} END",
            f"CASE WHEN {present} THEN {code} ELSE 'blank-zero' END",
        )
    elif not column.blank and (column.required or column.numeric):
        code = f"CASE WHEN {value} IS NOT NULL OR {present} THEN {code} ELSE 'blank' END"
    elif code != NONE:
        code = f"CASE WHEN {value} IS NOT NULL OR {present} THEN {code} END"
    return {**steps, "value": typed, "code": code}


def _quicker(text: str, typed: str, near: str, column: Column, formats: Formats) -> tuple[dict[str, str], str]:
    """The value, taken from the engine's own cast, `near`, where that is proven right, and the step that it needs.

    A number is as the engine writes it but for noughts at its end, or a day is as ISO 8601 writes it: a pattern takes thrice as long.
    """
    if column.numeric and (formats.decimal, formats.negative) == (".", "leading"):
        sure = f"starts_with({near}::VARCHAR, {text}) AND NOT suffix({text}, '.')"
    elif column.type in {"date", "month"} and formats.dates == ["%Y-%m-%d"]:
        sure = f"{text} LIKE '____-__-__' AND {text} >= '0' AND {near} IS NOT NULL"
    else:
        return {}, typed
    return {"cast": f"TRY_CAST({text} AS {column.dtype})"}, f"CASE WHEN {sure} THEN {near} ELSE {typed} END"


def _from_text(given: str, text: str, value: str, column: Column, formats: Formats, *, cast: bool) -> Value:
    if column.type in {"date", "month"}:
        return _date(text, value, column, formats, cast=cast)
    if column.values:
        known = ", ".join(map(quoted, column.values))
        return f"CASE WHEN {text} IN ({known}) THEN {text} END", f"CASE WHEN {value} IS NULL THEN 'value-unknown' END"
    return f"nullif({text}, '')", _untrimmed(given, text, column)


def _untrimmed(given: str, stripped: str, column: Column) -> str:
    return (
        f"CASE WHEN {given} <> {stripped} AND {stripped} <> '' THEN 'key-trimmed' END" if column.type == "key" else NONE
    )


def _number(given: str, value: str, column: Column, formats: Formats, *, cast: bool) -> Value:
    """A number as it is given, or else without blanks around it and with the marks that a keyboard has."""
    twins = dict.fromkeys(BLANKS, " ") | ({} if formats.negative == "parentheses" else {"\u2212": "-"})
    twins |= {"\u2019": "'"} if formats.thousands == "'" else {}
    plain = f"translate(stripped({given}), {quoted(''.join(twins))}, {quoted(''.join(twins.values()))})"
    fits, longer = (quoted(_number_pattern(formats, scale)) for scale in (SCALES[column.type], 99))
    cases = [
        f"WHEN regexp_matches({text}, {longer if cast else fits}) THEN TRY_CAST({_normal(text, formats)} AS {column.dtype})"
        for text in (given, plain)
    ]
    rounded = f"CASE WHEN NOT regexp_matches({plain}, {fits}) THEN 'rounded' END" if cast else NONE
    known = f"WHEN {value} IS NOT NULL THEN {rounded} WHEN regexp_matches({plain}, {longer}) THEN 'number-too-long'"
    return f"CASE {' '.join(cases)} END", f"CASE {known} ELSE 'number-format' END"


def _normal(text: str, formats: Formats) -> str:
    """A number as the engine reads it."""
    normal = text
    for mark in filter(None, (formats.thousands, formats.currency_sign)):
        normal = f"replace({normal}, {quoted(mark)}, '')"
    normal = normal if normal == text else f"stripped({normal})"
    normal = f"regexp_replace({normal}, '^-$', '0')" if formats.currency_sign else normal  # as Excel writes nought
    normal = normal if formats.decimal == "." else f"replace({normal}, {quoted(formats.decimal)}, '.')"
    if formats.negative == "CR":
        return rf"regexp_replace(regexp_replace({normal}, '(?i)^(.*?) ?CR$', '-\1'), '(?i) ?DR$', '')"
    if formats.negative == "trailing":
        return rf"regexp_replace({normal}, '^(.*)-$', '-\1')"
    return rf"regexp_replace({normal}, '^\((.*)\)$', '-\1')" if formats.negative == "parentheses" else normal


def _number_pattern(formats: Formats, scale: int) -> str:
    """A number of so many decimals, and of any number of noughts behind them."""
    thousands, point = re.escape(formats.thousands), re.escape(formats.decimal)
    digits = 14 if scale < 99 else 99
    whole = rf"\d{{1,{digits}}}" if not thousands else rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+|\d{{1,{digits}}})"
    number = whole + (rf"(?:{point}\d{{1,{scale}}}0*)?" if scale else rf"(?:{point}0+)?")
    sign = re.escape(formats.currency_sign)
    before, minus, nought = (rf"(?:{sign} ?)?", f"|{sign} ?-{number}", f"|{sign} ?-") if sign else ("", "", "")
    number = rf"{before}{number}(?: ?{sign})?" if sign else number
    forms = {
        "leading": f"-?{number}{minus}",
        "trailing": f"{number}-?",
        "parentheses": rf"{number}|{before}\({number}\)",
        "CR": rf"{number}(?i: ?[CD]R)?",
    }
    return f"^(?:{forms[formats.negative]}{nought})$"


def _date(text: str, value: str, column: Column, formats: Formats, *, cast: bool) -> Value:
    forms = [_date_pattern(form, cast=cast) for form in formats.dates]
    shaped = [f"regexp_matches({text}, {quoted(pattern)})" for _, pattern, _ in forms]
    days = [f"regexp_extract({text}, {quoted(pattern)}, 1)" if timed else text for _, pattern, timed in forms]
    read = [
        f"CASE WHEN {fits} THEN {day_of(day, form)} END"
        for fits, day, (form, *_) in zip(shaped, days, forms, strict=True)
    ]
    every = ", ".join(read)
    several = [f"WHEN greatest({every}) <> least({every}) THEN 'date-ambiguous'"] if len(read) > 1 else []
    shape = " OR ".join(shaped)
    wrong = f"WHEN {value} IS NULL THEN CASE WHEN {shape} THEN 'date-impossible' ELSE 'date-format' END"
    cut = [
        f"WHEN {fits} AND {f'TRY_CAST({day} AS DOUBLE) % {COUNTED[form][1]} <> 0' if form in COUNTED else f'{day} <> {text}'} THEN 'time-cut'"
        for fits, day, (form, _, timed) in zip(shaped, days, forms, strict=True) if timed
    ]  # fmt: skip
    return f"coalesce({every})", _cases([*several, wrong, *_not_first(value, column), *cut])


def _cases(cases: Sequence[str], otherwise: str = NONE) -> str:
    return f"CASE {' '.join(cases)} ELSE {otherwise} END" if cases else otherwise


def _not_first(value: str, column: Column) -> list[str]:
    return [f"WHEN day({value}) <> 1 THEN 'month-not-first'"] if column.type == "month" else []


def day_of(text: str, form: str) -> str:
    """The date that a text is in a form, as an expression; NULL where it is none."""
    if form in COUNTED:
        start, in_a_day, _ = COUNTED[form]
        return f"DATE '{start}' + TRY_CAST(floor(TRY_CAST({text} AS DOUBLE) / {in_a_day}) AS INT)"
    if re.search("%[bB]", form):
        known = ", ".join(f"{quoted(name)}: '{number}'" for name, number in month_numbers().items())
        word = f"strip_accents(lower(regexp_extract({text}, '\\p{{L}}+')))"
        text = rf"regexp_replace({text}, '\p{{L}}+\.?', map_extract(MAP {{{known}}}, {word})[1])"
    return f"CAST(try_strptime({text}, {quoted(re.sub('%[bB]', '%m', form))}) AS DATE)"


def _date_pattern(form: str, *, cast: bool) -> tuple[str, str, bool]:
    """The part of a format that names the day, the pattern of the whole with the day as its group, and whether there is more."""
    if form in COUNTED:
        return form, rf"^({COUNTED[form][2]}(?:\.\d+)?)$", True
    end = max(form.rfind(part) + 2 for part in DATE_PARTS)
    parts = DATE_PARTS | TIME_PARTS
    day, rest = (
        "".join(parts.get(p, re.escape(p)) for p in re.split("(%[a-zA-Z])", t)) for t in (form[:end], form[end:])
    )
    timed = any(part in form for part in TIME_PARTS)
    rest += ANY_TIME if cast and not timed else ""
    return form[:end] if rest else form, f"^({day}){rest}$", bool(rest)


def _from_native(given: str, kind: str, value: str, column: Column, formats: Formats, *, cast: bool) -> Value:
    """A value that a Parquet file or a database brings with its type."""
    floating, timed = kind in {"FLOAT", "DOUBLE"}, kind.startswith("TIMESTAMP")
    if column.numeric:
        return _native_number(given, kind, value, column, cast=cast)
    if column.type in {"date", "month"}:
        numbered = [form for form in formats.dates if form in COUNTED or not re.search(r"%[bB]|[^%\w]", form)]
        if numbered and (floating or kind.startswith("DECIMAL") or re.fullmatch(INTEGERS, kind)):
            return _date(rf"regexp_replace({given}::VARCHAR, '\.0+$', '')", value, column, formats, cast=cast)
        if not (timed or kind == "DATE"):
            return "NULL::DATE", "'type-not-date'"
        code = "time-cut" if cast else "date-with-time"
        cases = [f"WHEN {value} IS NULL THEN 'date-impossible'", *_not_first(value, column)]
        cases += [f"WHEN {given} <> {value}::{kind} THEN '{code}'"] if timed else []
        cases += ["WHEN true THEN 'date-with-zone'"] if "WITH TIME ZONE" in kind and not cast else []
        days = "BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
        return f"CASE WHEN {given}::DATE {days} THEN {given}::DATE END", _cases(cases)
    if not cast:  # text does not come here
        return f"{given}::VARCHAR", "'type-not-text'"
    if floating:
        whole = f"TRY_CAST({given} AS BIGINT)"
        return f"{whole}::VARCHAR", f"CASE WHEN NOT coalesce({whole}::{kind} = {given}, false) THEN 'key-not-whole' END"
    text = f"{given}::VARCHAR"
    return f"nullif(stripped({text}), '')", _untrimmed(text, f"stripped({text})", column)


def _native_number(given: str, kind: str, value: str, column: Column, *, cast: bool) -> Value:
    floating = kind in {"FLOAT", "DOUBLE"}
    if kind == column.dtype.upper().replace(" ", "").replace("INT64", "BIGINT"):
        return given, NONE
    if floating and not cast:
        return f"NULL::{column.dtype}", "'type-floating'"
    if not (floating or kind.startswith("DECIMAL") or re.fullmatch(INTEGERS, kind)):
        return f"NULL::{column.dtype}", "'type-not-number'"
    typed = f"TRY_CAST({given} AS {column.dtype})"
    if floating:
        return (
            typed,
            f"CASE WHEN isnan({given}) OR isinf({given}) OR {value} IS NULL THEN 'number-format' ELSE 'cast' END",
        )
    inexact = f"WHEN {value}::{kind} <> {given} THEN '{'rounded' if cast else 'number-too-long'}'"
    return typed, _cases([f"WHEN {value} IS NULL THEN 'number-too-long'", inexact])
