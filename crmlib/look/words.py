"""Numbers in words, and the sentences that read a result."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import pandas as pd

NOT_AVAILABLE = "not available"


def as_decimal(value: object) -> Decimal | None:
    if value is None or pd.isna(cast(Any, value)):
        return None
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    return number if number.is_finite() else None


def floats(values: Iterable[object]) -> list[float]:
    """The values as floats to draw; NaN for what is no number."""
    return [math.nan if (number := as_decimal(value)) is None else float(number) for value in values]


def digits_text(number: Decimal, decimals: int) -> str:
    from babel.numbers import format_decimal

    pattern = f"#,##0.{'0' * decimals}" if decimals else "#,##0"
    # adding zero turns a negative zero into zero
    return format_decimal(round(number, decimals) + 0, format=pattern, locale="en").replace("-", "−")


def _scaled(number: Decimal) -> tuple[Decimal, str]:
    for factor, suffix in ((10**9, " bn"), (10**6, " M"), (10**3, " k")):
        if abs(number) >= factor * Decimal("0.9995"):
            return number / factor, suffix
    return number, ""


def _compact(number: Decimal, digits: int | None = None) -> str:
    scaled, suffix = _scaled(number)
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


def share_text(part: object, total: object) -> str:
    """The share of `part` in `total` as percent; where the total is zero or negative it says that there is none."""
    piece, whole = as_decimal(part), as_decimal(total)
    if piece is None or whole is None:
        return NOT_AVAILABLE
    if whole <= 0:
        return f"no share (the total is {'negative' if whole else 'zero'})"
    return percent(piece / whole)


def label_text(value: object, unit: str, *, signed: bool = False) -> str:
    """The text of a value beside its mark, without its unit; `signed` shows the plus too."""
    text = percent(value) if unit == "%" else amount(value, "")
    return f"+{text}" if signed and (as_decimal(value) or 0) > 0 else text


def tick_text(value: float, unit: str) -> str:
    """The text of a tick: as many digits as tell it from the next."""
    scaled, suffix = (value * 100, "%") if unit == "%" else _scaled(Decimal(str(round(value, 9))))
    return f"{float(scaled):.5g}{suffix}".replace("-", "−")


def short_name(name: object, letters: int = 34) -> str:
    """The name on one line, its middle left out where it is longer; the ends tell similar names apart."""
    text, tail = " ".join(str(name).split()), letters // 3
    return text if len(text) <= letters else text[: letters - tail - 1].rstrip() + "…" + text[-tail:].lstrip()


def counted(number: object, thing: str) -> str:
    """'1 customer', '2,345 customers'."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def heading(column: object) -> str:
    """A column's name as a reader sees it: ``cost_to_serve`` is *Cost to serve*."""
    text = " ".join(str(column).replace("_", " ").split())
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, repr=False)
class Sentence:
    """A sentence that reads a result: text in a console, a paragraph on a page, never markup."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<p class="finding">{html.escape(self.text)}</p>'


def say(text: str) -> Sentence:
    """The sentence to end a cell with; what comes from the data stays text."""
    return Sentence(text)
