"""Figures to check the books' arithmetic by, and exercises whose answers do not show.

`textbook_cases` puts printed examples through the same code as any company's books; `check` compares a student's
answer with a salted hash.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from crmlib.books.stored import CELL, Books, Frame, open_books, services
from crmlib.declared.periods import Period
from crmlib.declared.reading import PACKAGE, PROJECT, Record, SettingsError, did_you_mean, read
from crmlib.full_cost import full_cost, time_driven, verdicts
from crmlib.profitability import customer_profitability, firm_profitability, group_profitability

TEXTBOOK = PROJECT / "examples" / "textbook"
COLUMNS = ("case", "source", "grade", "what", "expected", "got", "agrees")


class Figure(Record):
    """A printed figure, and where the books hold it: view, row and column."""

    what: str
    where: tuple[str, str, str]
    expected: Decimal
    period: str = ""
    percent: bool = False


class Case(Record):
    """expected.yml of a textbook case."""

    source: str
    grade: Literal["A", "B", "C", "D"]
    note: str = ""
    period: str
    unit: int = 1
    figures: tuple[Figure, ...]


class Mistake(Record):
    """A usual wrong answer, as its hash, and what went wrong."""

    hash: str
    hint: str
    decimals: int | None = None


class Exercise(Record):
    """An exercise as study.yml records it."""

    question: str
    salt: str
    answer: str
    right: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    decimals: int | None = None


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
    case, books = read(file, Case), open_books(file.parent)
    view = functools.cache(functools.partial(_view, books))
    for figure in case.figures:
        try:
            got = _got(figure, view(figure.where[0], figure.period or case.period), case.unit).quantize(CELL)
        except KeyError as error:
            raise SettingsError(f"{file.parent.name}/expected.yml: {figure.what}: no {error} in its books") from None
        agrees = got.quantize(figure.expected, ROUND_HALF_UP) == figure.expected
        yield file.parent.name, case.source, case.grade, figure.what, figure.expected, got, agrees


def _got(figure: Figure, frame: Any, unit: int) -> Decimal:
    """The amount at [view, row, column] in the source's unit; a column `a + b` is a sum, `a / b` a ratio without unit."""
    _, row, column = figure.where
    if " / " in column:
        above, below = column.split(" / ")
        return Decimal(frame.loc[row, above] / frame.loc[row, below]) * (100 if figure.percent else 1)
    return sum((Decimal(frame.loc[row, part]) for part in column.split(" + ")), Decimal(0)) / unit


def _view(books: Books, name: str, text: str) -> Frame:
    period = books.period(text)
    views = {
        "customers": lambda: _served(books, period),
        "account_types": lambda: group_profitability(books, period).whole,
        "firm": lambda: firm_profitability(books, period).to_frame("Firm").T,
        "full_cost": lambda: full_cost(books, period).set_index("customer_id"),
        "verdicts": lambda: verdicts(books, period, books.engagement.settings.horizon_months).set_index("customer_id"),
        "capacity": lambda: _capacity(books, period),
    }
    return views[name]()


def _served(books: Books, period: Period) -> Frame:
    """The report by customer, and how often each activity was done for them."""
    done = services(books, period, ["owner", "activity"])
    quantities = done.pivot(index="owner", columns="activity", values="quantity").fillna(0).add_suffix(" quantity")
    return customer_profitability(books, period).set_index("customer_id").join(quantities)


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
    hints, place = record.hints, min(hint, len(record.hints))
    helped = f" Hint {place} of {len(hints)}: {hints[place - 1]}" if hint > 0 else ""
    if answer is None:
        return Reply(f"Exercise {exercise}: not answered yet.{helped}")
    try:
        right = answer_hash(record, answer) == record.answer
    except InvalidOperation:
        return Reply(f"Exercise {exercise}: write the answer as a number, such as 1250 or -12.5.{helped}")
    if right:
        return Reply(f"Exercise {exercise}: right. {record.right}")
    more = "" if helped else f' For a hint: study.check("{exercise}", answer, hint=1), up to {len(hints)}.'
    return Reply(f"Exercise {exercise}: not yet.{_read_as(record, answer)}{_usual(record, answer)}{helped}{more}")


def _usual(exercise: Exercise, answer: object) -> str:
    """What went wrong, if that is a usual mistake or only the rounding; a mistake may take more decimals to tell it from others."""
    usual = [m.hint for m in exercise.mistakes if answer_hash(exercise, answer, m.decimals) == m.hash]
    near = [] if usual or exercise.decimals is None else _neighbours(_plain(answer), exercise.decimals)
    if any(answer_hash(exercise, number) == exercise.answer for number in near):
        usual = ["That is very near: mind the rounding."]
    return "".join(f" {hint}" for hint in usual)


def _neighbours(number: Decimal, decimals: int) -> list[Decimal]:
    """What rounds to the number as it is written, and one step of the decimals asked for to each side."""
    step = Decimal(1).scaleb(-decimals)
    missing = max(0, decimals + int(number.as_tuple().exponent))
    reach = max(1, 10 ** min(missing, 2) // 2)
    return [number + step * places for places in range(-reach, reach + 1)]


def _read_as(exercise: Exercise, answer: object) -> str:
    """How a text with a comma or a point was read, since people write numbers in more than one way."""
    if exercise.decimals is None or not isinstance(answer, str) or not re.search(r"[.,]", answer):
        return ""
    return f" It was read as {_plain(answer):,f}."


@functools.cache
def exercises() -> dict[str, Exercise]:
    """The exercises by number."""
    return read(PACKAGE / "study.yml", dict[str, Exercise])


def _exercise(name: str) -> Exercise:
    known = exercises()
    if name not in known:
        raise SettingsError(f"no exercise {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}")
    return known[name]


def answer_hash(exercise: Exercise, answer: object, decimals: int | None = None) -> str:
    """An answer as study.yml records it: salted, a number with the exercise's decimals (or so many), a text without capitals and blanks."""
    places = exercise.decimals if decimals is None else decimals
    normal = _text(answer) if places is None else _number(answer, places)
    return hashlib.sha256(f"{exercise.salt}{normal}".encode()).hexdigest()


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
