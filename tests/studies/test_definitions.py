"""Definitions as people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.errors import InputError
from app.studies.definitions import read_definition, telltales
from tests.factories import study_definition

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = (ROOT / "examples" / "study.yaml").read_text(encoding="utf-8")


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_definition(text, "study.yaml")
    return str(caught.value)


def test_the_example_is_the_reference_studys_design_and_is_blind() -> None:
    definition = read_definition(EXAMPLE)
    names = [c.name for c in definition.constructs]
    assert names == ["Plausibility", "Understandability", "Satisfaction", "Completeness", "Contrastiveness"]
    assert all(c.source and len(c.labels) == 5 for c in definition.constructs)
    assert len(definition.conditions) * definition.design.trials_per_condition == 12
    assert [b.key for b in definition.background] == ["gender", "age", "country", "education", "employment"]
    assert telltales(definition) == []


def line_of(fragment: str) -> int:
    return EXAMPLE[: EXAMPLE.index(fragment)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("trials_per_condition: 3", "trials_per_condition: 0", "design.trials_per_condition: Input should be greater"),
        ("trials_per_condition: 3", "trials_per_conditon: 3", "did you mean trials_per_condition?"),
        ("slug: explanations-2026 #", "slug: My Study #", "small letters, digits and hyphens"),
        ("    name: Satisfaction\n", "    name:\n", "constructs.2.name: Input should be a valid string (it is None)"),
        ("key: satisfaction", "key: plausibility", "construct key 'plausibility' is used twice"),
        ("key: gender", "key: condition", "the key 'condition' is a column of the exports"),
        ("answer: How good", "answer: Whatever", "is not one of the choices"),
        ("same_questions: true", "same_questions: true\n  same_questions: false", "the key 'same_questions' stands here twice"),
        ("kind: text", "kind: essay", "background.2.kind"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, says: str) -> None:
    message = refusal(EXAMPLE.replace(old, new, 1))
    assert message.startswith("study.yaml, line ") and says in message


def test_the_line_is_the_one_where_the_mistake_stands() -> None:
    wrong = EXAMPLE.replace("    key: contrastiveness", "    key: Contrastiveness!").replace(
        "- key: contrastiveness", "- key: Contrastiveness!"
    )
    assert f"line {line_of('key: contrastiveness')}: constructs.4.key" in refusal(wrong)
    wrong = EXAMPLE.replace("kind: text", "kind: essay")
    assert f"line {line_of('kind: text')}: background.2.kind" in refusal(wrong)


def test_every_problem_is_told_at_once() -> None:
    wrong = EXAMPLE.replace("title:", "titel:").replace("trials_per_condition: 3", "trials_per_condition: three")
    message = refusal(wrong)
    assert (
        "did you mean title?" in message and "title: this is missing" in message and "trials_per_condition" in message
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a YAML mapping"),
        ("- a\n- b\n", "must be a YAML mapping"),
        ("slug: [a\ntitle: b\n", "line 2: this is not valid YAML"),
        ("slug: !!python/object/apply:os.system ['true']", "this is not valid YAML"),
        ("a: &x [*x]\nb: \x07", "this is not valid YAML"),
        ("slug: 2026-11-24\n", "slug"),
    ],
)
def test_what_is_no_definition_at_all_is_told(text: str, says: str) -> None:
    assert says in refusal(text)


def with_title(title: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(title=title)


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("title", with_title("Ratings of the few-shot multitask model")),
        ("slug", lambda c: c.update(slug="counterfactual-few-shot")),
        ("texts.instructions", lambda c: c["texts"].update(instructions="Some are by SmolLM2-135M-Instruct.")),
        ("constructs.0", lambda c: c["constructs"][0].update(statement="It reads like counterfactual / few shot.")),
        ("practice", lambda c: c["practice"].update(explanation="Made by multitask few_shot.")),
    ],
)
def test_a_text_that_tells_a_condition_is_found(where: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = study_definition().model_dump(mode="json")
    content["conditions"][1]["name"] = "few-shot multitask"
    content["conditions"][2]["model"] = "smollm2-135m-instruct"
    change(content)
    found = telltales(read_definition(yaml.safe_dump(content)))
    assert [line.partition(":")[0] for line in found] == [where]


def test_the_debrief_may_tell() -> None:
    content = study_definition().model_dump(mode="json")
    content["texts"]["debrief"] = "You read explanations of multitask/few_shot and others."
    assert telltales(read_definition(yaml.safe_dump(content))) == []
