"""Exercises: right, usual mistakes, not answered. No answer stands here: each exercise's record is held against itself, and the way an
answer takes is tried on an exercise made for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest

from crmlib import study
from crmlib.declared.reading import SettingsError

EXERCISES = dict(study.exercises())


def hashed(text: str) -> str:
    return hashlib.sha256(f"salt{text}".encode()).hexdigest()


NUMBER = study.Exercise.model_validate({
    "question": "Growth, percent", "salt": "salt", "decimals": 1, "answer": hashed("12.5"), "right": "Well done.", "hints": ["First.", "Second.", "Third."],
    "mistakes": [{"hash": hashed("0.125"), "decimals": 3, "hint": "Right as a share."}, {"hash": hashed("-12.5"), "hint": "The sign."}],
})  # fmt: skip
TEXT = study.Exercise.model_validate({"question": "Who?", "salt": "salt", "answer": hashed("alder mend, birch core"), "right": "So it is.", "hints": ["Look."]})  # fmt: skip


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(study, "exercises", lambda: {"99-1": NUMBER, "99-2": TEXT})
    return


@pytest.mark.parametrize("exercise", EXERCISES)
def test_an_exercise_is_whole_and_does_not_give_its_answer_away(exercise: str) -> None:
    record = EXERCISES[exercise]
    hashes = [record.answer, *(mistake.hash for mistake in record.mistakes)]
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in hashes)
    assert len(set(hashes)) == len(hashes)
    assert record.hints
    assert all(mistake.hint for mistake in record.mistakes)
    assert [other for other in EXERCISES if EXERCISES[other].salt == record.salt] == [exercise]
    said = " ".join([record.question, record.right, *record.hints, *(m.hint for m in record.mistakes)])
    words = {word.strip(".,:;()%").replace(",", "") for word in said.split()}
    numbers = {w for w in words if re.fullmatch(r"-?\d+(\.\d+)?", w)} if record.decimals is not None else words - {""}
    assert [word for word in numbers if study.answer_hash(record, word) == record.answer] == []


@pytest.mark.parametrize(
    "answer", [12.5, Decimal("12.50"), np.float64(12.52), "12.5", " 12.5 %", "0,012.5", "+12.5", "12.45"]
)
def test_a_number_is_read_as_people_write_it(answer: object) -> None:
    assert study.check("99-1", answer).text == "Exercise 99-1: right. Well done."


def test_what_is_not_answered_yet_says_so() -> None:
    assert study.check("99-1", None).text == "Exercise 99-1: not answered yet."
    assert study.check("99-1", None, hint=1).text.endswith("Hint 1 of 3: First.")


@pytest.mark.parametrize(("answer", "said"), [(0.125, "Right as a share."), ("−12.5", "The sign.")])
def test_a_usual_mistake_is_explained(answer: object, said: str) -> None:
    assert said in study.check("99-1", answer).text


def test_another_mistake_that_rounds_to_a_usual_one_is_not_taken_for_it() -> None:
    assert study.check("99-1", 0.1).text == (
        'Exercise 99-1: not yet. For a hint: study.check("99-1", answer, hint=1), up to 3.'
    )


@pytest.mark.parametrize("answer", [12, 13, 12.4, 12.6])
def test_rounding_too_early_is_told_from_another_mistake(answer: object) -> None:
    assert "very near: mind the rounding" in study.check("99-1", answer).text


@pytest.mark.parametrize(("answer", "number"), [("250,00", "25,000"), ("16.800", "16.800"), ("1.250,5", "1.2505")])
def test_a_text_with_comma_or_point_says_how_it_was_read(answer: str, number: str) -> None:
    assert f"not yet. It was read as {number}." in study.check("99-1", answer).text


@pytest.mark.parametrize("answer", ["much", "", float("nan"), float("inf"), [1, 2], True])
def test_what_is_no_number_is_asked_for_again(answer: object) -> None:
    assert "write the answer as a number" in study.check("99-1", answer).text


@pytest.mark.parametrize(
    "answer", [["Birch Core", "alder mend"], "Alder MEND, birch  core.", {"Alder": "Mend", "Birch": "Core"}]
)
def test_order_capitals_blanks_and_form_do_not_count_in_a_text(answer: object) -> None:
    assert study.check("99-2", answer).text.startswith("Exercise 99-2: right.")


def test_hints_grow_and_the_last_one_stays() -> None:
    said = [study.check("99-1", 1, hint=i).text.rsplit(": ", 1)[1] for i in (1, 2, 3, 9)]
    assert said == ["First.", "Second.", "Third.", "Third."]


def test_an_unknown_exercise_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no exercise '99_1'.*did you mean '99-1'"):
        study.check("99_1", 3)
