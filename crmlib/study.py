"""Figures to check the books' arithmetic by, and exercises whose answers do not show.

`textbook_cases` puts printed examples through the same code as any company's books; `check` compares a student's
answer with a salted hash.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, open_books
from crmlib.declared.periods import Period
from crmlib.declared.reading import PACKAGE, PROJECT, SettingsError, read_yaml
from crmlib.full_cost import full_cost, time_driven, verdicts
from crmlib.profitability import customer_profitability, firm_profitability, group_profitability

TEXTBOOK = PROJECT / "examples" / "textbook"


COLUMNS = ("case", "source", "grade", "what", "expected", "got", "agrees")


def textbook_cases(folder: Path | None = None) -> Frame:
    """Every figure of the textbook cases beside what the books of that case give.

    Parameters
    ----------
    folder
        Holds a folder per case: an engagement with an `expected.yml` beside it. Default: `examples/textbook`.

    Returns
    -------
    One row per figure: case, source, grade (A seen in print, B computed from inputs seen, C recalled and agrees with control
    totals seen, D recalled only, so not published), what, expected and got (Decimals in the source's unit), agrees (got rounded
    half up to the digits printed is what is expected).

    Raises
    ------
    SettingsError
        No case there, or a figure that names no place in its books.
    """
    files = sorted((folder or TEXTBOOK).glob("*/expected.yml"))
    if not files:
        raise SettingsError(f"no textbook cases in {folder or TEXTBOOK}: expected folders with an expected.yml")
    return pd.DataFrame([row for file in files for row in _figures(file)], columns=list(COLUMNS))


def _figures(file: Path) -> Iterator[tuple[object, ...]]:
    told, books = read_yaml(file), open_books(file.parent)
    view = functools.cache(functools.partial(_view, books))
    for figure in told["figures"]:
        expected = Decimal(str(figure["expected"]))
        try:
            frame = view(figure["where"][0], str(figure.get("period", told["period"])))
            got = _got(figure, frame, told.get("unit", 1)).quantize(CELL)
        except KeyError as error:
            raise SettingsError(f"{file.parent.name}/expected.yml: {figure['what']}: no {error} in its books") from None
        agrees = got.quantize(expected, ROUND_HALF_UP) == expected
        yield file.parent.name, told["source"], told["grade"], figure["what"], expected, got, agrees


def _got(figure: Mapping[str, Any], frame: Frame, unit: int) -> Decimal:
    """The amount at [view, row, column] in the source's unit; a column `a + b` is a sum, `a / b` a ratio without unit."""
    _, row, column = figure["where"]
    if " / " in column:
        above, below = column.split(" / ")
        return Decimal(frame.loc[row, above] / frame.loc[row, below]) * (100 if figure.get("percent") else 1)
    return sum((Decimal(frame.loc[row, part]) for part in column.split(" + ")), Decimal(0)) / unit


def _view(books: Books, name: str, text: str) -> Frame:
    period = books.period(text)
    views = {
        "customers": lambda: customer_profitability(books, period).set_index("customer_id"),
        "account_types": lambda: group_profitability(books, period).whole,
        "firm": lambda: firm_profitability(books, period).to_frame("Firm").T,
        "full_cost": lambda: full_cost(books, period).set_index("customer_id"),
        "verdicts": lambda: verdicts(books, period, books.engagement.settings.horizon_months).set_index("customer_id"),
        "capacity": lambda: _capacity(books, period),
    }
    return views[name]()


def _capacity(books: Books, period: Period) -> Frame:
    """The time-driven lens by activity, and by pool as used, unused and whole."""
    lens = time_driven(books, period)
    if lens.empty:
        raise KeyError("capacity")
    idle = lens["activity"] == "unused"
    parts = {"used": lens[~idle], "unused": lens[idle], "whole": lens}
    sums = {name: part.groupby("pool")[["used", "cost"]].sum() for name, part in parts.items()}
    pools = [frame.set_axis([f"{pool}, {name}" for pool in frame.index]) for name, frame in sums.items()]
    return pd.concat([lens[~idle].set_index("activity"), *pools])


@dataclass(frozen=True, repr=False)
class Reply:
    """What is said of an answer."""

    text: str

    def __repr__(self) -> str:
        return self.text


def check(exercise: str, answer: object, *, hint: int = 0) -> Reply:
    """Whether an answer is right; where it is not, what went wrong if that is a usual mistake, and the hint asked for.

    Parameters
    ----------
    exercise
        Its number, such as ``"27-1"``.
    answer
        A number or a text; None is not answered yet. Digits beyond those asked for, upper case and blanks do not count.
    hint
        1 for the first hint, 2 for the next, which tells more.

    Raises
    ------
    SettingsError
        There is no such exercise.
    """
    record = _exercise(exercise)
    hints: list[str] = record["hints"]
    helped = f" Hint {min(hint, len(hints))} of {len(hints)}: {hints[min(hint, len(hints)) - 1]}" if hint > 0 else ""
    if answer is None:
        return Reply(f"Exercise {exercise}: not answered yet.{helped}")
    try:
        right = answer_hash(record, answer) == record["answer"]
    except InvalidOperation:
        return Reply(f"Exercise {exercise}: write the answer as a number, such as 1250 or -12.5.{helped}")
    if right:
        return Reply(f"Exercise {exercise}: right. {record['right']}")
    more = "" if helped else f' For a hint: study.check("{exercise}", answer, hint=1), up to {len(hints)}.'
    return Reply(f"Exercise {exercise}: not yet.{_read_as(record, answer)}{_usual(record, answer)}{helped}{more}")


def _usual(record: Mapping[str, Any], answer: object) -> str:
    """What went wrong, if that is a usual mistake or only the rounding; a mistake may take more decimals to tell it from others."""
    usual = [m["hint"] for m in record.get("mistakes", []) if answer_hash({**record, **m}, answer) == m["hash"]]
    near = [] if usual or "decimals" not in record else _neighbours(_plain(answer), record["decimals"])
    if any(answer_hash(record, number) == record["answer"] for number in near):
        usual = ["That is very near: mind the rounding."]
    return "".join(f" {hint}" for hint in usual)


def _neighbours(number: Decimal, decimals: int) -> list[Decimal]:
    """What rounds to the number as it is written, and one step of the decimals asked for to each side."""
    step = Decimal(1).scaleb(-decimals)
    missing = max(0, decimals + int(number.as_tuple().exponent))
    reach = max(1, 10 ** min(missing, 2) // 2)
    return [number + step * places for places in range(-reach, reach + 1)]


def _read_as(record: Mapping[str, Any], answer: object) -> str:
    """How a text with a comma or a point was read, since people write numbers in more than one way."""
    if "decimals" not in record or not isinstance(answer, str) or not re.search(r"[.,]", answer):
        return ""
    return f" It was read as {_plain(answer):,f}."


@functools.cache
def exercises() -> dict[str, Any]:
    """The exercises by number."""
    return read_yaml(PACKAGE / "study.yml")


def _exercise(name: str) -> dict[str, Any]:
    known = exercises()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SettingsError(f"no exercise {name!r}; {hint}there are {', '.join(known)}")
    return dict(known[name])


def answer_hash(record: Mapping[str, Any], answer: object) -> str:
    """An answer as study.yml records it: salted, a number with the exercise's decimals, a text without capitals and blanks."""
    normal = _number(answer, record["decimals"]) if "decimals" in record else _text(answer)
    return hashlib.sha256(f"{record['salt']}{normal}".encode()).hexdigest()


def _number(answer: object, decimals: int) -> str:
    """The number as text with so many decimals, half up."""
    return f"{_plain(answer).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) + 0:f}"


def _plain(answer: object) -> Decimal:
    """The number that an answer is; InvalidOperation for what is none."""
    number = Decimal(re.sub(r"[\s,%]", "", str(answer)).replace("−", "-"))
    if not number.is_finite():
        raise InvalidOperation
    return number


def _text(answer: object) -> str:
    """Small letters, single blanks, no full stop; of several texts the order does not count."""
    if isinstance(answer, Mapping):
        answer = [f"{key} {value}" for key, value in answer.items()]
    several = answer if isinstance(answer, Iterable) and not isinstance(answer, str) else [answer]
    return ", ".join(sorted(" ".join(str(part).casefold().split()).strip(" .") for part in several))
