"""Intervals and automatic measures."""

from __future__ import annotations

import numpy as np
import pytest

from training.student.measures import (
    accuracy_interval,
    chance_level,
    difference_interval,
    distractors_mentioned,
    explanation_measures,
    repeated_share,
)


def test_the_interval_holds_the_accuracy_and_narrows_with_more_questions() -> None:
    wide, narrow = (accuracy_interval([True] * (7 * n) + [False] * (3 * n), 2000) for n in (5, 50))
    assert wide[0] < narrow[0] < 0.7 < narrow[1] < wide[1]
    assert accuracy_interval([True, False] * 10, 2000) == accuracy_interval([True, False] * 10, 2000)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = accuracy_interval((rng.random(80) < 0.6).tolist(), 500)
        covered += low <= 0.6 <= high
    assert 180 <= covered <= 199


def test_equal_outcomes_give_an_interval_and_no_nan() -> None:
    assert accuracy_interval([True] * 5, 1000) == [1.0, 1.0]
    assert accuracy_interval([False], 1000) == [0.0, 0.0]


def test_the_interval_of_a_difference_uses_the_pairs() -> None:
    before = [True, False] * 50
    low, high = difference_interval([True] * 100, before, 1000)
    assert 0.3 < low < 0.5 < high < 0.7
    assert difference_interval(before, before, 1000) == [0.0, 0.0]


def test_chance_depends_on_the_number_of_choices() -> None:
    assert chance_level([("a", "b"), ("a", "b", "c", "d")]) == pytest.approx(0.375)


def test_a_loop_is_repetitive_and_a_sentence_is_not() -> None:
    assert repeated_share("It is cold and it is wet so people stay inside.") == 0
    assert repeated_share("it is cold " * 20) > 0.9
    assert repeated_share("") == 0


def test_distractors_are_counted_as_whole_words_and_once() -> None:
    assert distractors_mentioned("A cargo is no barn.", ("car", "barn", "Barn", "mill"), "mill") == 1
    assert distractors_mentioned("The mill grinds.", ("car", "barn", "mill"), "mill") == 0


def item(explanation: str, **changes: object) -> dict[str, object]:
    return {
        "explanation": explanation,
        "choices": ("car", "barn"),
        "predicted": "car",
        "finished": True,
        "agrees": True,
    } | changes


def test_measures_of_explanations() -> None:
    found = explanation_measures(
        [
            item("A car rolls."),
            item("A barn does not.", agrees=False),
            item("", agrees=None),
            item("so it is so it is so it is so it is", finished=False),
        ]
    )
    assert (found["n"], found["empty"], found["repetitive"], found["cut_off"]) == (4, 1, 1, 1)
    assert found["length_words"] == pytest.approx((3 + 4 + 12) / 3)
    assert found["distractors_mentioned"] == found["mentions_a_distractor"] == pytest.approx(1 / 3)
    assert found["answer_leakage"] == pytest.approx(1 / 3)
    assert found["agreement"] == pytest.approx(2 / 3)


def test_only_empty_explanations_are_counted_and_nothing_is_averaged() -> None:
    assert explanation_measures([item("", agrees=None)]) == {"n": 1, "empty": 1, "repetitive": 0, "cut_off": 0}
