"""Values typed as the settings declare them, without guessing; what cannot be read gets the code of its defect."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir


DATE_PARTS = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{1,2}",
    "%d": r"\d{1,2}",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]{3,9}",
}
TIME_PARTS = {"%H": r"\d{1,2}", "%I": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}", "%f": r"\d{1,9}", "%p": "[AaPp][Mm]",
              "%z": r"(?:Z|[+-]\d{2}:?\d{2})"}  # fmt: skip
ANY_TIME = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?Z| ?[+-]\d{2}:?\d{2})?)?"
BLANKS = "\u00a0\u202f"  # typographic twins of a blank


def typed_value(value: Any, column: Column, source: ColumnSource, formats: Formats) -> tuple[ir.Value, ir.StringValue]:
    """A column's typed value, and the code of what is wrong with it (null where nothing is)."""
    dtype = value.type()
    if dtype.is_string():
        typed, problem = _from_text(value, column, formats, cast=source.cast)
        present = stripped(value) != ""
    else:
        typed, problem = _from_native(value, column, cast=source.cast)
        present = value.notnull()
    present = present.fill_null(False)
    if column.numeric and source.blank == "zero":
        return _cases(typed, (~present, 0), dtype=column.dtype), present.ifelse(problem, "blank-zero")
    return typed, _blank_or(problem, present, column)


def stripped(text: Any) -> Any:
    """Text without blanks around it."""
    return _engine_text("stripped")(text)


@functools.cache
def _engine_text(name: str) -> Any:
    """A function of the engine, or a macro that `ledger.connect` gives it, from text to text."""
    import ibis

    def function(text: Any) -> Any:
        """As the engine defines it."""

    return ibis.udf.scalar.builtin(function, name=name, signature=(("string",), "string"))


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


def _from_text(value: Any, column: Column, formats: Formats, *, cast: bool) -> tuple[Any, Any]:
    text = stripped(value)
    if column.numeric:
        return _number(_plain_marks(text, formats), column, formats, cast=cast)
    if column.type in {"date", "month"}:
        return _date(text, column, formats, cast=cast)
    if column.values:
        known = text.isin(column.values)
        return _when(known, text), _when(~known, "value-unknown")
    return text.nullif(""), _untrimmed(value, text, column)


def _untrimmed(value: Any, text: Any, column: Column) -> Any:
    return _when((value != text) & (text != ""), "key-trimmed") if column.type == "key" else _when(False, "")


def _plain_marks(text: Any, formats: Formats) -> Any:
    """A number with the marks that a keyboard has, for the typographic twins of those that are declared."""
    twins = dict.fromkeys(BLANKS, " ") | ({} if formats.negative == "parentheses" else {"\u2212": "-"})
    twins |= {"\u2019": "'"} if formats.thousands == "'" else {}
    rare = text.length() != _strlen()(
        text
    )  # all twins take several bytes, and translating costs more than all else here
    return rare.ifelse(text.translate("".join(twins), "".join(twins.values())), text)


def _number(text: Any, column: Column, formats: Formats, *, cast: bool) -> tuple[Any, Any]:
    import ibis

    normal = text
    for mark in filter(None, (formats.thousands, formats.currency_sign)):
        normal = normal.replace(mark, "")
    normal = normal if normal is text else stripped(normal)
    normal = normal if formats.decimal == "." else normal.replace(formats.decimal, ".")
    if formats.negative == "trailing":
        normal = normal.re_replace(r"^(.*)-$", r"-\1")
    elif formats.negative == "parentheses":
        normal = normal.re_replace(r"^\((.*)\)$", r"-\1")
    fits = text.re_search(_number_pattern(formats, SCALES[column.type]))
    longer = text.re_search(_number_pattern(formats, 99))
    value = ibis.ifelse(longer if cast else fits, normal, ibis.null("string")).try_cast(column.dtype)
    told = [(fits & value.notnull(), None), (value.notnull(), "rounded")] if cast else [(value.notnull(), None)]
    return value, ibis.cases(*told, (longer, "number-too-long"), else_="number-format")


def _number_pattern(formats: Formats, scale: int) -> str:
    """A number of so many decimals, and of any number of noughts behind them."""
    thousands, point = re.escape(formats.thousands), re.escape(formats.decimal)
    digits = 14 if scale < 99 else 99
    whole = rf"\d{{1,{digits}}}" if not thousands else rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+|\d{{1,{digits}}})"
    number = whole + (rf"(?:{point}\d{{1,{scale}}}0*)?" if scale else rf"(?:{point}0+)?")
    sign = re.escape(formats.currency_sign)
    number = rf"(?:{sign} ?)?{number}(?: ?{sign})?" if sign else number
    forms = {"leading": f"-?{number}", "trailing": f"{number}-?", "parentheses": rf"(?:{number}|\({number}\))"}
    return f"^{forms[formats.negative]}$"


def _date(text: Any, column: Column, formats: Formats, *, cast: bool) -> tuple[Any, Any]:
    import ibis

    forms = [_date_pattern(form, cast=cast) for form in formats.dates]
    shaped = [text.re_search(pattern) for _, pattern, _ in forms]
    days = [text.re_extract(pattern, 1) if timed else text for _, pattern, timed in forms]
    read = [
        ibis.ifelse(fits, _strptime()(day, form), ibis.null("timestamp")).cast("date")
        for fits, day, (form, *_) in zip(shaped, days, forms, strict=True)
    ]
    value = ibis.coalesce(*read)
    several = [(ibis.greatest(*read) != ibis.least(*read), "date-ambiguous")] if len(read) > 1 else []
    wrong = ibis.ifelse(functools.reduce(lambda a, b: a | b, shaped), "date-impossible", "date-format")
    cut = [
        (fits & (day != text), "time-cut") for fits, day, (*_, timed) in zip(shaped, days, forms, strict=True) if timed
    ]
    cases = [*several, (value.isnull(), wrong), *_not_first(value, column), *cut]
    return value, ibis.cases(*cases, else_=ibis.null("string"))


@functools.cache
def _strlen() -> Any:
    import ibis

    def strlen(text: Any) -> Any:
        """DuckDB's own: bytes, not characters."""

    return ibis.udf.scalar.builtin(strlen, signature=(("string",), "int64"))


@functools.cache
def _strptime() -> Any:
    import ibis

    def try_strptime(text: Any, form: Any) -> Any:
        """DuckDB's own, for the text that is read there."""

    return ibis.udf.scalar.builtin(try_strptime, signature=(("string", "string"), "timestamp"))


def _not_first(value: Any, column: Column) -> list[tuple[Any, str]]:
    return [(value.day() != 1, "month-not-first")] if column.type == "month" else []


def _date_pattern(form: str, *, cast: bool) -> tuple[str, str, bool]:
    """The part of a format that names the day, the pattern of the whole with the day as its group, and whether there is more."""
    end = max(form.rfind(part) + 2 for part in DATE_PARTS)
    parts = DATE_PARTS | TIME_PARTS
    day, rest = (
        "".join(parts.get(p, re.escape(p)) for p in re.split("(%[a-zA-Z])", t)) for t in (form[:end], form[end:])
    )
    timed = any(part in form for part in TIME_PARTS)
    rest += ANY_TIME if cast and not timed else ""
    return form[:end] if rest else form, f"^({day}){rest}$", bool(rest)


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
        code = "time-cut" if cast else "date-with-time"
        timed = [] if dtype.is_date() else [(value != day.cast(dtype), code)]
        timed += (
            [(ibis.literal(True), "date-with-zone")] if dtype.is_timestamp() and dtype.timezone and not cast else []
        )
        cases = _not_first(day, column) + timed
        return day, ibis.cases(*cases, else_=none) if cases else none
    if not cast:  # text does not come here
        return value.cast("string"), ibis.literal("type-not-text")
    if dtype.is_floating():
        whole = value.try_cast("int64")
        exact = (whole.cast(dtype) == value).fill_null(False)
        return whole.cast("string"), ibis.ifelse(exact, none, "key-not-whole")
    given = value.cast("string")
    return stripped(given).nullif(""), _untrimmed(given, stripped(given), column)


def _native_number(value: Any, column: Column, *, cast: bool) -> tuple[Any, Any]:
    import ibis

    dtype, none = value.type(), ibis.null("string")
    if dtype.copy(nullable=True) == ibis.dtype(column.dtype):
        return value, none
    if dtype.is_floating() and not cast:
        return ibis.null(column.dtype), ibis.literal("type-floating")
    if not dtype.is_numeric() or dtype.is_boolean():
        return ibis.null(column.dtype), ibis.literal("type-not-number")
    typed = value.try_cast(column.dtype)
    if dtype.is_floating():
        return typed, ibis.cases((value.isnan() | value.isinf() | typed.isnull(), "number-format"), else_="cast")
    exact = typed.cast(dtype) == value  # types of unlike width do not compare
    return typed, ibis.cases(
        (typed.isnull(), "number-too-long"), (~exact, "rounded" if cast else "number-too-long"), else_=none
    )
