"""What the objectives ask of a student, and the mistakes that the reference made there."""

from __future__ import annotations

import pytest

from training.records import Question, TeacherRationales
from training.student.config import StudentConfig
from training.student.objectives import (
    EXPLANATION_TASK,
    drawn_counterfactual,
    prompt_text,
    rows_of,
    target_text,
    task_weights,
    wrong_choices,
)

QUESTION = Question("q", "Where do boats rest?", ("harbour", "barn", "mill", "Barn"), "harbour", "made", "train")
RATIONALES = TeacherRationales(
    "q", "Boats moor there.", ("h", "b1", "m", "b2"), None, "Boats moor there, not in mills."
)


def settings(**changes: object) -> StudentConfig:
    return StudentConfig(model="any", **changes)  # type: ignore[arg-type]


def test_the_weights_follow_the_papers_formula() -> None:
    both = task_weights(settings(objective="multitask_counterfactual", alpha=0.6, beta=0.3, gamma=0.2))
    expected = {"predict": 0.12, "explain": 0.08, "factual": 0.24, "counterfactual": 0.56}
    assert both == pytest.approx(expected)
    assert task_weights(settings(objective="multitask", alpha=0.7)) == pytest.approx({"predict": 0.7, "explain": 0.3})
    alone = task_weights(settings(objective="counterfactual"))
    assert alone["factual"] == alone["counterfactual"]
    assert task_weights(settings(objective="standard")) == {"standard": 1.0}


def test_a_task_of_weight_zero_makes_no_rows() -> None:
    rows = rows_of(QUESTION, RATIONALES, settings(objective="multitask", alpha=1.0))
    assert [row.task for row in rows.always] == ["predict"]


def test_the_right_answer_is_never_a_counterfactual_target_wherever_it_stands() -> None:
    for position in range(3):
        choices = ["barn", "mill"]
        choices.insert(position, "harbour")
        question = Question("q", "Where?", tuple(choices), "harbour", "made", "train")
        rows = rows_of(question, TeacherRationales("q", "r", ("x", "y", "z")), settings(objective="counterfactual"))
        targets = [row.target for row in rows.counterfactuals]
        assert len(targets) == 2
        assert not any("harbour" in target for target in targets)


def test_a_repeated_right_answer_is_no_counterfactual_target_either() -> None:
    question = Question("q", "Where?", ("bridge", "beach", "Bridge ", "depot"), "bridge", "made", "train")
    assert wrong_choices(question) == [1, 3]


def test_each_counterfactual_rationale_leads_to_the_choice_it_argues_for() -> None:
    question = Question("q", "Do whales sing?", ("yes", "no"), "yes", "strategyqa", "train")
    rows = rows_of(
        question, TeacherRationales("q", "r", ("They do.", "They cannot.")), settings(objective="counterfactual")
    )
    (row,) = rows.counterfactuals
    assert "They cannot." in row.input
    assert "They do." not in row.input
    assert row.target.endswith("So the answer is no.")


def test_a_repeated_wrong_choice_is_used_once() -> None:
    assert wrong_choices(QUESTION) == [1, 2]


def test_the_revised_rationale_is_the_target_of_explain_and_of_factual() -> None:
    rows = rows_of(QUESTION, RATIONALES, settings(target="critique_revision"))
    written = {row.task: row.target for row in rows.always}
    assert written["explain"] == RATIONALES.revised
    assert str(RATIONALES.revised) in written["factual"]
    assert not any("Boats moor there. " in target for target in written.values())


def test_the_rationale_in_a_counterfactual_input_stands_on_a_line_of_its_own() -> None:
    text = prompt_text("counterfactual", QUESTION, "Because.")
    assert text.splitlines()[-1] == "Rationale: Because."
    assert "\\" not in text


def test_a_rationale_that_begins_with_a_line_break_is_not_an_empty_target() -> None:
    rows = rows_of(QUESTION, TeacherRationales("q", "\nBoats moor\nthere."), settings(objective="multitask"))
    assert rows.always[1].target == "Boats moor there."


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_a_missing_rationale_is_left_out_and_counted(nothing: str | None) -> None:
    rows = rows_of(QUESTION, TeacherRationales("q", nothing, (None, "b", "", "b2")), settings())
    assert [row.task for row in rows.always] == ["predict"]
    assert [row.target for row in rows.counterfactuals] == [target_text("counterfactual", "barn")]
    assert rows.missing == {"explain": 1, "factual": 1, "counterfactual": 1}


def test_braces_in_a_question_are_only_text() -> None:
    question = Question("q", "What does {x} mean in {}?", ("a set", "a dict"), "a set", "made", "train")
    assert "{x} mean in {}?" in prompt_text("predict", question)


def test_one_counterfactual_per_epoch_visits_all_of_them_and_depends_on_the_seed() -> None:
    draws = [drawn_counterfactual("q", 4, epoch, seed=1) for epoch in range(40)]
    assert set(draws) == {0, 1, 2, 3}
    assert draws == [drawn_counterfactual("q", 4, epoch, seed=1) for epoch in range(40)]
    assert draws != [drawn_counterfactual("q", 4, epoch, seed=2) for epoch in range(40)]


def test_every_objective_can_write_an_explanation() -> None:
    for objective, task in EXPLANATION_TASK.items():
        assert task in task_weights(settings(objective=objective))


def test_every_choice_is_shown_with_its_letter() -> None:
    assert "(a) harbour (b) barn (c) mill (d) Barn" in prompt_text("predict", QUESTION)


def test_early_stopping_without_a_validation_split_is_refused() -> None:
    with pytest.raises(ValueError, match="the test split is never used"):
        settings(early_stopping_patience=2, validation_fraction=0)
