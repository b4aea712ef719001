"""Exercises: right, usual mistakes, not answered; and answers that cannot be read off the file."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import pytest

from crmlib import study
from crmlib.declared.reading import SettingsError

ANSWERS = {  # what a student works out on paper
    "00-1": 3700 - (1200 + 850 + 850 + 400) - 150,
    "00-2": 850 - 510,
    "00-3": "12",
    "11-1": 0.5**2 + 0.3**2 + 0.2**2,
    "11-2": 100 * ((500 + 300 + 200) / (520 + 380) - 1),
    "12-1": 0.5 * 2 / 3 + 0.3 * 0 + 0.2 * (5 - 1) / 4,
    "12-2": (0.5 / 3 + 0.3 / 3) / (0.5 + 0.3),
    "12-3": 100 * 29 / (29 + 42),
    "21-1": ["Alder Mend", "Birch Develop", "Cedar Change terms", "Dogwood Core"],
    "21-2": 3000 * 0.75 / 0.35,
    "21-3": 3000 * (0.85 / 0.25 - 0.75 / 0.35),
    "27-1": (16000 - 1600 - 900) - (8800 - 400) - 405 - 1150 - 40 * 25 - 720 - 1500,
    "27-2": 100 * (420 + 260 + 90) / (420 + 260 + 90 - 150 - 120),
    "27-3": (11 - 10) * 900,
    "27-4": 100 * (1896 + 325) / (10000 + 16000),
    "31-1": -3829 + 40 * (78 - 17),
    "31-2": (50 + 60 - 100) - (30 + 50 + 60 - 100),
    "31-3": "Birch",
    "31-4": (120000 - 2000 * 30 - 150 * 160 - 60 * 200) * 0.70,
}
EXERCISES = study.exercises()


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_answer_worked_out_is_right(exercise: str) -> None:
    assert study.check(exercise, ANSWERS[exercise]).text.startswith(f"Exercise {exercise}: right.")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_an_exercise_not_answered_says_so(exercise: str) -> None:
    assert study.check(exercise, None).text == f"Exercise {exercise}: not answered yet."


@pytest.mark.parametrize("exercise", EXERCISES)
def test_neither_the_answer_nor_a_hash_without_salt_is_in_the_file(exercise: str) -> None:
    record = EXERCISES[exercise]
    words = " ".join([record.question, record.right, *record.hints, *(m.hint for m in record.mistakes)])
    answer = str(ANSWERS[exercise])
    assert answer not in words.replace(",", "").split()
    assert hashlib.sha256(answer.casefold().encode()).hexdigest() != record.answer
    assert len({record.salt for record in EXERCISES.values()}) == len(EXERCISES)


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [
        ("00-1", 400, "a row of its own"),
        ("27-1", 1825, "promotion agreed with this customer comes below"),
        ("27-4", 10.5, "weighs both customers equally"),
        ("31-2", 10, "It stays"),
        ("31-3", "cedar", "Spread the joint cost anew"),
    ],
)
def test_a_usual_mistake_is_explained(exercise: str, answer: object, said: str) -> None:
    told = study.check(exercise, answer).text
    assert told.startswith(f"Exercise {exercise}: not yet.")
    assert said in told


def test_a_wrong_answer_points_to_the_hints() -> None:
    assert study.check("27-2", 1).text == (
        'Exercise 27-2: not yet. For a hint: study.check("27-2", answer, hint=1), up to 3.'
    )


def test_hints_grow_and_the_last_one_stays() -> None:
    hints = EXERCISES["27-2"].hints
    told = [study.check("27-2", 1, hint=i).text for i in (1, 2, 3, 9)]
    assert [t.endswith(h) for t, h in zip(told, [*hints, hints[-1]], strict=True)] == [True] * 4
    assert "Hint 1 of 3" in study.check("27-2", None, hint=1).text


@pytest.mark.parametrize("answer", [325, 325.0, Decimal("325.00"), np.float64(325.2), "325", " 325 ", "0,325.4"])
def test_a_number_is_read_as_people_write_it(answer: object) -> None:
    assert "right" in study.check("27-1", answer).text


def test_a_minus_may_be_the_printed_one() -> None:
    assert "right" in study.check("31-1", "−1,389").text


@pytest.mark.parametrize("answer", ["much", "", float("nan"), float("inf"), [1, 2], True])
def test_what_is_no_number_is_asked_for_again(answer: object) -> None:
    assert "write the answer as a number" in study.check("27-1", answer).text


@pytest.mark.parametrize("answer", ["birch", " BIRCH.", ["Birch"]])
def test_capitals_and_blanks_do_not_count_in_a_text(answer: object) -> None:
    assert "right" in study.check("31-3", answer).text


def test_an_unknown_exercise_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no exercise '27_1'; there are 00-1, .*; did you mean '27-1'"):
        study.check("27_1", 3)
