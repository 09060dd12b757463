"""Cleaning: nothing behind a line break is lost, nothing invented is kept, nothing empty or looping passes."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.conftest import PAPER, needs_paper_data
from training.teacher.clean import clean

GOOD = "A spring gives fresh water, so a hiker can fill a bottle there."


def test_a_leading_line_break_does_not_empty_the_text() -> None:
    """Mistake 1: the first line of such completions was taken, which is empty."""
    assert clean(f"\n\n{GOOD}").text == GOOD
    assert clean(f"\n{GOOD}").fault == ""


def test_a_text_of_several_lines_is_kept_whole() -> None:
    """Mistake 2: critiques were cut to their first line."""
    raw = "\nThe explanation is vague.\nIt should name the water.\n\n1. Say where it comes from."
    text = clean(raw, critique=True).text
    assert text == "The explanation is vague. It should name the water. 1. Say where it comes from."


@pytest.mark.parametrize(
    "invented",
    [
        "\n\nQuestion: Where do fish live?\nChoices: (a) sea\nAnswer: sea\nExplanation (clear and precise): Fish swim.",
        "\nQuestion 2: Where do fish live?",
        "\n\n**Question:** Where do fish live?",
        "\n\n### Question: Where do fish live?",
        " Question: Where do fish live?",
        "\n\nPremise: Fish swim. Hypothesis: Fish move.",
        "\nAssistant (clear and concise): Fish live in the sea.",
        "\n\nUser: and now?",
        "\nExplanation (plain and direct): Fish live in the sea.",
        "\n\nCritique: It is good.",
        "<|im_end|>\n<|im_start|>user\nQuestion: Where do fish live?",
    ],
)
def test_an_invented_next_turn_is_cut_off(invented: str) -> None:
    """Mistake 3: raw texts that ran on into further questions were stored, and went into the next prompts."""
    assert clean(GOOD + invented).text == GOOD


def test_the_word_question_inside_a_sentence_is_no_new_turn() -> None:
    text = "The question asks for water, and the answer: a spring, has it."
    assert clean(text).text == text


@pytest.mark.parametrize(
    "said",
    [
        "The answer is mountain spring. {}",
        "the answer is: a mountain spring. {}",
        "The correct answer is (b) mountain spring.\n{}",
        "{} So the answer is mountain spring.",
        "{} Therefore, the answer is mountain spring",
        "The answer is mountain spring. {} The answer is mountain spring.",
        "Explanation: {}",
        "Revised explanation: {}",
    ],
)
def test_a_sentence_that_only_repeats_the_answer_goes(said: str) -> None:
    assert clean(said.format(GOOD), answer="mountain spring").text == GOOD


def test_a_reason_that_begins_with_the_answer_stays() -> None:
    text = "The answer is mountain spring because it gives fresh water."
    assert clean(text, answer="mountain spring").text == text
    other = "The answer is mountain springs. They give fresh water."
    assert clean(other, answer="mountain spring").text == other


def test_a_text_cut_by_the_token_limit_ends_with_a_whole_sentence() -> None:
    assert clean(f"{GOOD} A tent has no", finished=False).text == GOOD
    assert clean("A tent has no water and so nobody", finished=False).text == "A tent has no water and so nobody"
    assert clean("It costs 2.50 euros there. It is also", finished=False).text == "It costs 2.50 euros there."


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("\n\nQuestion: Where do fish live?", "empty"),
        ("The answer is tent.", "empty"),
        ("Because water.", "too short"),
        ("the water and " * 12, "repetitive"),
        ("A spring has water for all. " * 3, "repetitive"),
        ("( ) - 1 2 3 4 5 6 7 8 9 - ( )", "not prose"),
        (GOOD, "copied from a worked example"),
        ("The explanation should say where the water comes from.", "about itself"),
        ("A spring has water, and the assistant's rationale does not say so.", "about itself"),
    ],
)
def test_what_must_not_be_trained_on_is_named(raw: str, fault: str) -> None:
    assert clean(raw, answer="tent", copied_from=[GOOD]).fault == fault


def test_a_critique_may_speak_of_the_explanation() -> None:
    text = "The explanation should say where the water comes from."
    assert clean(text, critique=True).fault == ""


@pytest.mark.parametrize(
    "raw", [GOOD, f"\n{GOOD} So the answer is tent.\n\nQuestion: x", "a a a a a a a a", "Zwei kurze Sätze. Gut so."]
)
def test_cleaning_twice_changes_nothing_more(raw: str) -> None:
    once = clean(raw, answer="tent")
    assert clean(once.text, answer="tent") == once


@needs_paper_data
def test_real_teacher_outputs_keep_their_words() -> None:
    """The reference's own outputs are one line each and good prose: almost all pass, and none loses its beginning."""
    with gzip.open(PAPER / "teacher_llama_train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(1500), file, strict=False)]
    faults = 0
    for row in rows:
        for raw in (row["few_shot_rationale"], row["revised_rationale"], *row["counterfactual_rationales"]):
            cleaned = clean(raw, answer=row["answer"])
            faults += bool(cleaned.fault)
            if not cleaned.fault:
                assert len(cleaned.text.split()) >= 4
    assert faults < 0.04 * 7 * len(rows)
