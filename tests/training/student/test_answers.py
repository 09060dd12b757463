"""Reading outputs: the tolerant parser, the reference's exact match beside it, and the explanation's part."""

from __future__ import annotations

import pytest

from training.student.answers import exact_match, explanation_of, mentions, parse_answer

CHOICES = ("car", "cargo", "ice", "ice cream", "st. louis")


@pytest.mark.parametrize(
    ("output", "position"),
    [
        ("The answer is car", 0),
        ("The answer is cargo", 1),  # "car" is part of the word, and not the answer
        ("The answer is cargo, not a car", 1),
        ("the answer is: 'Ice  Cream'.", 3),
        ("The answer is the ice.", 2),
        ("The answer is an ice cream", 3),
        ("The answer is St. Louis.", 4),
        ("The answer is (b)", 1),
        ("The answer is (b) cargo", 1),
        ("The answer is probably cargo", 1),
        ("[answer] The answer is car. A cargo is carried by it.", 0),
        ("cargo", 1),
        ("The answer is carriage", None),
        ("The answer is maybe car or cargo", None),
        ("The answer is", None),
        ("", None),
    ],
)
def test_the_choice_that_an_output_gives(output: str, position: int | None) -> None:
    assert parse_answer("predict", output, CHOICES) == position


def test_behind_an_explanation_the_last_answer_counts() -> None:
    output = "[factual] Answer: One may think the answer is car, but it floats. So the answer is cargo."
    assert parse_answer("factual", output, CHOICES) == 1
    assert parse_answer("factual", "[factual] Answer: A car is fast.", CHOICES) is None


def test_before_an_explanation_the_first_answer_counts() -> None:
    output = "[answer] The answer is ice. Some say the answer is car."
    assert parse_answer("standard", output, CHOICES) == 2


def test_of_repeated_choices_the_first_is_given() -> None:
    assert parse_answer("predict", "The answer is bridge", ("beach", "bridge", "Bridge")) == 1
    assert parse_answer("predict", "The answer is maybe a bridge", ("beach", "bridge", "Bridge")) == 1


def test_the_references_exact_match_is_as_strict_as_it_was() -> None:
    assert exact_match("predict", "The answer is car", "car")
    assert not exact_match("predict", "The answer is car.", "car")
    assert not exact_match("predict", "The answer is cargo", "car")
    assert exact_match("factual", "It rolls. So the answer is car.", "car")
    assert not exact_match("factual", "It rolls. So the answer is car", "car")
    assert exact_match("standard", "[answer] The answer is car. It rolls.", "car")


@pytest.mark.parametrize(
    ("task", "output", "explanation"),
    [
        ("explain", " It  rolls.\nFast. ", "It rolls. Fast."),
        ("factual", "[factual] Answer: It rolls. So the answer is car.", "It rolls."),
        ("factual", "It rolls. So the answer is it. So, the answer is car.", "It rolls. So the answer is it."),
        ("factual", "[factual] Answer: It rolls on and", "It rolls on and"),
        ("factual", "So the answer is car.", ""),
        ("standard", "[answer] The answer is ice cream. It is cold.", "It is cold."),
        ("standard", "[answer] The answer is st. louis. It is a city.", "It is a city."),
        ("standard", "[answer] The answer is something else. It is odd.", "It is odd."),
        ("standard", "The answer is car", ""),
        ("standard", "It is cold.", "It is cold."),
        ("explain", "", ""),
    ],
)
def test_the_explanations_part_of_an_output(task: str, output: str, explanation: str) -> None:
    assert explanation_of(task, output, CHOICES) == explanation  # type: ignore[arg-type]


def test_a_choice_is_mentioned_only_as_whole_words() -> None:
    assert mentions("A CAR rolls.", "car")
    assert mentions("Some ice\ncream.", "ice cream")
    assert not mentions("A cargo rolls.", "car")
    assert not mentions("anything", " ")
    assert mentions("C++ is old.", "c++")
