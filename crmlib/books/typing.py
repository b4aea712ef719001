"""Values typed as the settings declare them, without guessing; what cannot be read gets the code of its defect."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir


DATE_PARTS = {"%Y": r"\d{4}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}"}


def typed_value(value: Any, column: Column, source: ColumnSource, formats: Formats) -> tuple[ir.Value, ir.StringValue]:
    """A column's typed value, and the code of what is wrong with it (null where nothing is)."""
    dtype = value.type()
    if dtype.is_string():
        typed, problem = _from_text(value, column, formats)
        present = value.strip().length() > 0
    else:
        typed, problem = _from_native(value, column, cast=source.cast)
        present = value.notnull()
    present = present.fill_null(False)
    if column.numeric and source.blank == "zero":
        return _cases(typed, (~present, 0), dtype=column.dtype), _when(present, problem)
    return typed, _blank_or(problem, present, column)


def _cases(otherwise: Any, *cases: tuple[Any, Any], dtype: str) -> Any:
    import ibis

    return ibis.cases(*[(test, ibis.literal(v).cast(dtype)) for test, v in cases], else_=otherwise.cast(dtype))


def _when(test: Any, problem: Any) -> Any:
    import ibis

    return ibis.ifelse(ibis.literal(False) if test is False else test, problem, ibis.null("string"))


def _blank_or(problem: Any, present: Any, column: Column) -> Any:
    """A blank is refused where a value is needed: in a required column, and in any number."""
    import ibis

    refused = not column.blank and (column.required or column.numeric)
    return ibis.ifelse(present, problem, ibis.literal("blank") if refused else ibis.null("string"))


def _from_text(value: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    text = value.strip()
    if column.numeric:
        return _number(text, column, formats)
    if column.type in {"date", "month"}:
        return _date(text, column, formats)
    if column.values:
        known = text.isin(column.values)
        return _when(known, text), _when(~known, "value-unknown")
    return text.nullif(""), _untrimmed(value, text, column)


def _untrimmed(value: Any, text: Any, column: Column) -> Any:
    return _when((value != text) & (text != ""), "key-trimmed") if column.type == "key" else _when(False, "")


def _number(text: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    import ibis

    normal = text
    for mark in filter(None, (formats.thousands, formats.currency_sign)):
        normal = normal.replace(mark, "")
    normal = normal.strip().replace(formats.decimal, ".")
    if formats.negative == "trailing":
        normal = normal.re_replace(r"^(.*)-$", r"-\1")
    elif formats.negative == "parentheses":
        normal = normal.re_replace(r"^\((.*)\)$", r"-\1")
    fits = text.re_search(_number_pattern(formats, SCALES[column.type]))
    longer = text.re_search(_number_pattern(formats, 99))
    value = ibis.ifelse(fits, normal, ibis.null("string")).try_cast(column.dtype)
    problem = ibis.cases(
        (fits & value.notnull(), ibis.null("string")), (longer, "number-too-long"), else_="number-format"
    )
    return value, problem


def _number_pattern(formats: Formats, scale: int) -> str:
    thousands, point = re.escape(formats.thousands), re.escape(formats.decimal)
    digits = 14 if scale < 99 else 99
    whole = rf"\d{{1,{digits}}}" if not thousands else rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+|\d{{1,{digits}}})"
    number = whole + (rf"(?:{point}\d{{1,{scale}}})?" if scale else "")
    sign = re.escape(formats.currency_sign)
    number = rf"(?:{sign} ?)?{number}(?: ?{sign})?" if sign else number
    forms = {"leading": f"-?{number}", "trailing": f"{number}-?", "parentheses": rf"(?:{number}|\({number}\))"}
    return f"^{forms[formats.negative]}$"


def _date(text: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    import ibis

    shaped = [text.re_search(_date_pattern(form)) for form in formats.dates]
    read = [
        ibis.ifelse(fits, _strptime()(text, form), ibis.null("timestamp")).cast("date")
        for fits, form in zip(shaped, formats.dates, strict=True)
    ]
    value = ibis.coalesce(*read)
    several = [(ibis.greatest(*read) != ibis.least(*read), "date-ambiguous")] if len(read) > 1 else []
    wrong = ibis.ifelse(functools.reduce(lambda a, b: a | b, shaped), "date-impossible", "date-format")
    cases = [*several, (value.isnull(), wrong), *_not_first(value, column)]
    return value, ibis.cases(*cases, else_=ibis.null("string"))


@functools.cache
def _strptime() -> Any:
    import ibis

    def try_strptime(text: Any, form: Any) -> Any:
        """DuckDB's own, for the text that is read there."""

    return ibis.udf.scalar.builtin(try_strptime, signature=(("string", "string"), "timestamp"))


def _not_first(value: Any, column: Column) -> list[tuple[Any, str]]:
    return [(value.day() != 1, "month-not-first")] if column.type == "month" else []


def _date_pattern(form: str) -> str:
    return "^" + "".join(DATE_PARTS.get(part, re.escape(part)) for part in re.split(r"(%[a-zA-Z])", form)) + "$"


def _from_native(value: Any, column: Column, *, cast: bool) -> tuple[Any, Any]:
    """A value that a Parquet file or a database brings with its type."""
    import ibis

    dtype, none = value.type(), ibis.null("string")
    if column.numeric:
        return _native_number(value, column, cast=cast)
    if column.type in {"date", "month"}:
        if not (dtype.is_date() or dtype.is_timestamp()):
            return ibis.null("date"), ibis.literal("type-not-date")
        day = value.cast("date")
        timed = [] if dtype.is_date() or cast else [(value != day.cast(dtype), "date-with-time")]
        timed += (
            [(ibis.literal(True), "date-with-zone")] if dtype.is_timestamp() and dtype.timezone and not cast else []
        )
        cases = timed + _not_first(day, column)
        return day, ibis.cases(*cases, else_=none) if cases else none
    if dtype.is_floating() or not (cast or dtype.is_string()):
        return value.cast("string"), ibis.literal("type-not-text")
    given = value.cast("string")
    return given.strip().nullif(""), _untrimmed(given, given.strip(), column)


def _native_number(value: Any, column: Column, *, cast: bool) -> tuple[Any, Any]:
    import ibis

    dtype, none = value.type(), ibis.null("string")
    if dtype.is_floating() and not cast:
        return ibis.null(column.dtype), ibis.literal("type-floating")
    if not dtype.is_numeric() or dtype.is_boolean():
        return ibis.null(column.dtype), ibis.literal("type-not-number")
    typed = value.try_cast(column.dtype)
    if dtype.is_floating():
        return typed, ibis.cases((value.isnan() | value.isinf() | typed.isnull(), "number-format"), else_=none)
    exact = typed.cast(dtype) == value if not cast else ibis.literal(True)  # types of unlike width do not compare
    return typed, ibis.cases((typed.isnull() | ~exact, "number-too-long"), else_=none)
