"""Prompts: seven worked examples, a prefix that all questions share, seeded draws, and a folder that users can replace."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.conftest import PAPER, needs_paper_data
from training.errors import TrainingInputError
from training.questions import read_rows
from training.records import Question
from training.teacher.prompts import (
    KINDS,
    PROMPTS,
    PromptSet,
    drawn_adjectives,
    drawn_request,
    item_seed,
    load_prompts,
)

FOLDERS = ["commonsense", "esnli", "strategyqa"]
DEMO = Path(__file__).resolve().parents[3] / "app" / "demo" / "questions.jsonl"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_dataset_has_seven_complete_examples_and_ten_paired_requests(folder: str) -> None:
    prompts = load_prompts(folder)
    content = yaml.safe_load((PROMPTS / folder / "examples.yaml").read_text())
    assert len(content["examples"]) == 7
    assert len({example["question"] for example in content["examples"]}) == 7
    assert len(set(prompts.requests)) == 10
    assert len(set(prompts.adjectives)) >= 16
    for kind in KINDS:
        assert all(example[kind] in prompts.prefixes[kind] for example in content["examples"])
        assert prompts.prefixes[kind].count("\n\nQuestion:") == 7


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_worked_example_is_unclean_or_too_like_another(folder: str) -> None:
    from training.teacher.clean import clean

    content = yaml.safe_load((PROMPTS / folder / "examples.yaml").read_text())
    for example in content["examples"]:
        for kind in KINDS:
            cleaned = clean(example[kind], answer=example["answer"], critique=kind == "critique")
            assert (cleaned.text, cleaned.fault) == (example[kind], "")
    assert len({tuple(example["adjectives"]) for example in content["examples"]}) == 7


def test_worked_examples_are_not_among_the_questions_that_are_annotated() -> None:
    """Mistake 7: the reference's examples come from the training set that they are used on."""
    known = {row["question"].casefold() for row in read_rows(DEMO)}
    for folder in FOLDERS:
        content = yaml.safe_load((PROMPTS / folder / "examples.yaml").read_text())
        assert not known & {example["question"].casefold() for example in content["examples"]}


@needs_paper_data
def test_worked_examples_are_not_among_commonsense_qa() -> None:
    known = {row["question"].casefold() for row in read_rows(PAPER / "cqa_train.json.gz")}
    content = yaml.safe_load((PROMPTS / "commonsense" / "examples.yaml").read_text())
    assert not known & {example["question"].casefold() for example in content["examples"]}


def test_the_prefix_is_shared_and_the_drawn_pair_stands_in_the_final_turn(
    commonsense: PromptSet, asked: list[Question]
) -> None:
    first = commonsense.prompt("rationale", asked[0], 1, answer="kitchen", adjectives=["plain", "direct"])
    second = commonsense.prompt("rationale", asked[1], 2, answer="garden", adjectives=["clear", "logical"])
    assert first.prefix == second.prefix
    assert first.suffix == (
        f"Question: {asked[0].text}\nChoices: (a) kitchen (b) garden (c) harbour (d) library (e) cargo bay\n"
        "Answer: kitchen\nExplanation (plain and direct):"
    )


def test_the_critique_goes_into_the_revision_prompt_whole(commonsense: PromptSet, asked: list[Question]) -> None:
    """Mistake 2: only its first line did, which was empty."""
    prompt = commonsense.prompt(
        "revision",
        asked[0],
        1,
        answer="kitchen",
        rationale="A.",
        critique="\nVague.\nName the drawer.",
        request="Again.",
    )
    assert "\nCritique: Vague. Name the drawer.\nRequest: Again.\nRevision:" in prompt.suffix


def test_draws_depend_on_seed_method_and_question_only(commonsense: PromptSet) -> None:
    """Mistake 6: they were never seeded."""
    pairs = [tuple(drawn_adjectives(commonsense, 0, "few_shot", f"q{i}")) for i in range(200)]
    assert pairs == [tuple(drawn_adjectives(commonsense, 0, "few_shot", f"q{i}")) for i in range(200)]
    assert all(first != second for first, second in pairs)
    assert len(set(pairs)) > 80
    assert pairs != [tuple(drawn_adjectives(commonsense, 1, "few_shot", f"q{i}")) for i in range(200)]
    requests = Counter(drawn_request(commonsense, 0, "critique_revision", f"q{i}") for i in range(500))
    assert len(requests) == 10
    assert min(requests.values()) > 20


def test_seeds_of_items_differ_and_fit_63_bits() -> None:
    seeds = [
        item_seed(s, m, f"q{i}", c)
        for s in (0, 1)
        for m in ("few_shot", "counterfactual")
        for i in range(50)
        for c in (0, 1)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's copy of a prompt folder."""
    return Path(shutil.copytree(PROMPTS / "strategyqa", tmp_path / "own"))


def test_a_folder_of_ones_own_is_used(own: Path, asked: list[Question]) -> None:
    (own / "rationale.jinja").write_text(
        "Q: {{ question }}\nA ({{ adjectives|join(', ') }}) {{ answer }}:{% if text %} {{ text }}{% endif %}\n"
    )
    prompts = load_prompts(str(own))
    prompt = prompts.prompt("rationale", asked[0], 1, answer="kitchen", adjectives=["plain", "direct"])
    assert prompt.suffix == f"Q: {asked[0].text}\nA (plain, direct) kitchen:"
    assert prompts.sha256 != load_prompts("strategyqa").sha256


def test_every_fault_of_a_folder_is_named(own: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match=r"neither a folder nor one of commonsense, esnli, strategyqa"):
        load_prompts(str(tmp_path / "none"))
    good = yaml.safe_load((own / "examples.yaml").read_text())

    def write(change: dict) -> None:
        (own / "examples.yaml").write_text(json.dumps({**good, **change}))

    write({"examples": [{**good["examples"][0], "answer": "maybe"}]})
    with pytest.raises(TrainingInputError, match=r"examples\[1\].answer is none of its choices"):
        load_prompts(str(own))
    write({"examples": [{k: v for k, v in good["examples"][0].items() if k != "draft"}]})
    with pytest.raises(TrainingInputError, match=r"examples\[1\].draft is missing"):
        load_prompts(str(own))
    write({"adjectives": ["only"]})
    with pytest.raises(TrainingInputError, match="adjectives needs at least two"):
        load_prompts(str(own))
    write({"instructions": {"rationale": "x"}})
    with pytest.raises(TrainingInputError, match=r"instructions.critique is missing"):
        load_prompts(str(own))
    write({})
    (own / "critique.jinja").write_text("{{ questoin }}")
    with pytest.raises(TrainingInputError, match="questoin"):
        load_prompts(str(own))
    (own / "critique.jinja").write_text("{% if %}")
    with pytest.raises(TrainingInputError, match=r"own: "):
        load_prompts(str(own))
    (own / "critique.jinja").unlink()
    with pytest.raises(TrainingInputError, match=r"critique.jinja: this file of the prompt folder is missing"):
        load_prompts(str(own))
