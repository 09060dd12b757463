"""Generation methods: what is asked, what is stored, and that neither batches nor interruptions change it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from training.config import LocalEngineConfig, TeacherConfig
from training.errors import Cancelled, TrainingInputError
from training.records import Question
from training.teacher.local import LocalEngine
from training.teacher.methods import TeacherWork, items_of, make_set
from training.teacher.prompts import Prompt, PromptSet
from training.teacher.store import Journal, read_rationales, read_set

ENGINE = {"model": "any"}


def teacher_config(**values: Any) -> TeacherConfig:
    return TeacherConfig.model_validate({"engine": ENGINE, "batch_size": 4, **values})


def reason(prompt: Prompt) -> str:
    """A good text that says which kind of prompt it was written for and for which answer."""
    turn = prompt.suffix
    answer = re.search(r"Answer: (.*)", turn)
    kind = turn.rsplit("\n", 1)[-1].split(" ")[0].rstrip(":").lower()
    assert answer is not None
    return f" One {kind} for {prompt.question_id} speaks of the {answer[1]} at length.\n"


def test_few_shot_writes_one_rationale_per_question_in_their_order(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    work = TeacherWork(teacher_config(), told(reason), commonsense, 0)
    rows = make_set(work, "few_shot", asked, tmp_path, settings={})
    assert [row["question_id"] for row in rows] == [q.id for q in asked]
    assert rows[3]["rationale"] == f"One explanation for q3 speaks of the {asked[3].answer} at length."
    assert all(row["adjectives"][0] != row["adjectives"][1] for row in rows)
    assert read_set(tmp_path / "few_shot") == rows
    assert not (tmp_path / "few_shot" / "journal.jsonl").exists()


def test_counterfactual_argues_for_every_choice_and_writes_a_repeated_one_once(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    engine = told(reason)
    rows = make_set(
        TeacherWork(teacher_config(), engine, commonsense, 0), "counterfactual", asked, tmp_path, settings={}
    )
    assert [(r["question_id"], r["choice_index"], r["choice"]) for r in rows] == [
        (q.id, i, choice) for q in asked for i, choice in enumerate(q.choices)
    ]
    assert all(f"speaks of the {row['choice']} at length" in row["rationale"] for row in rows)
    assert len(engine.asked) == 12 * 5 - 1 == len(items_of("counterfactual", asked))
    last = [row for row in rows if row["question_id"] == "q11"]
    assert last[1]["rationale"] == last[2]["rationale"]
    assert len({tuple(row["adjectives"]) for row in last}) == 1


def test_critique_and_revision_get_the_cleaned_rationale_and_the_whole_critique(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    """Mistakes 1 to 3: an empty first line, a critique cut to its first line, an uncut rationale in the next prompt."""

    def tell(prompt: Prompt) -> str:
        if prompt.suffix.endswith("Critique:"):
            return "\nThe explanation is short.\nIt should name the room.\n\nQuestion: What is blue?"
        return f"\n\n{reason(prompt).strip()}\n\nQuestion: What is blue?\nChoices: (a) sky"

    engine = told(tell)
    work = TeacherWork(teacher_config(), engine, commonsense, 0)
    make_set(work, "few_shot", asked, tmp_path, settings={})
    rows = make_set(work, "critique_revision", asked, tmp_path, settings={})
    first = f"One explanation for q0 speaks of the {asked[0].answer} at length."
    assert rows[0]["first_rationale"] == first
    assert rows[0]["critique"] == "The explanation is short. It should name the room."
    assert rows[0]["rationale"] == f"One revision for q0 speaks of the {asked[0].answer} at length."
    assert not any("What is blue" in json.dumps(row) for row in rows)
    turns = {p.suffix.rsplit("\n", 1)[-1]: p.suffix for p, _ in engine.asked if p.question_id == "q0"}
    assert f"\nExplanation: {first}\nRequest: {rows[0]['critique_request']}\n" in turns["Critique:"]
    assert f"\nCritique: {rows[0]['critique']}\nRequest: {rows[0]['revision_request']}\n" in turns["Revision:"]
    assert (rows[0]["critique_request"], rows[0]["revision_request"]) in commonsense.requests
    records = read_rationales(tmp_path, asked)
    assert records["q0"].few_shot == first
    assert records["q0"].revised == rows[0]["rationale"]


@pytest.mark.parametrize("method", ["few_shot", "counterfactual", "critique_revision"])
def test_every_method_decodes_as_configured(
    method: Any, told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    """Mistake 5: two of the reference's handlers dropped their decoding settings."""
    engine = told(reason)
    config = teacher_config(max_new_tokens=33, max_critique_tokens=22, temperature=0.4, top_p=0.9)
    work = TeacherWork(config, engine, commonsense, 0)
    for needed in ("few_shot", method) if method == "critique_revision" else (method,):
        make_set(work, needed, asked, tmp_path, settings={})
    assert {d.max_new_tokens for p, d in engine.asked if not p.suffix.endswith("Critique:")} == {33}
    assert {d.max_new_tokens for p, d in engine.asked if p.suffix.endswith("Critique:")} <= {22}
    assert {(d.temperature, d.top_p, d.stop) for _, d in engine.asked} == {(0.4, 0.9, commonsense.stop)}


def test_a_faulty_text_is_asked_again_with_another_seed_and_by_sampling(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    seen: dict[str, list[int]] = {}

    def tell(prompt: Prompt) -> str:
        seen.setdefault(prompt.question_id, []).append(prompt.seed)
        bad = prompt.question_id == "q5" and len(seen["q5"]) < 3
        return "\n\nQuestion: and now?" if bad else reason(prompt)

    engine = told(tell)
    rows = make_set(
        TeacherWork(teacher_config(retries=2), engine, commonsense, 0), "few_shot", asked, tmp_path, settings={}
    )
    assert rows[5]["rationale"] is not None
    assert rows[5]["retries"] == 2
    assert len(set(seen["q5"])) == 3
    assert [d.temperature for p, d in engine.asked if p.question_id == "q5"] == [0.0, 0.7, 0.7]
    assert all(len(seeds) == 1 for id_, seeds in seen.items() if id_ != "q5")


def test_what_fails_is_recorded_counted_and_never_trained_on(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    from training.manifest import set_summary
    from training.student.config import StudentConfig
    from training.student.objectives import rows_of

    engine = told(lambda prompt: "yes " * 30 if prompt.question_id == "q2" else reason(prompt))
    work = TeacherWork(teacher_config(retries=1), engine, commonsense, 0)
    for method in ("few_shot", "counterfactual", "critique_revision"):
        rows = make_set(work, method, asked, tmp_path, settings={})
        failed = [row for row in rows if row["rationale"] is None]
        assert {row["question_id"] for row in failed} == {"q2"}
        expected = {"few_shot": "repetitive", "counterfactual": "repetitive", "critique_revision": "no first rationale"}
        summary = set_summary(rows)
        assert summary["failures"] == {expected[method]: len(failed)}
        assert summary["written"] + summary["failed"] == summary["items"] == len(rows)
    record = read_rationales(tmp_path, asked)["q2"]
    for target in ("few_shot", "critique_revision"):
        config = StudentConfig(model="any", objective="multitask_counterfactual", target=target)
        made = rows_of(asked[2], record, config)
        assert [row.task for row in (*made.always, *made.counterfactuals)] == ["predict"]


def _real_work(folder: Path, prompts: PromptSet, batch_size: int, temperature: float) -> TeacherWork:
    config = teacher_config(batch_size=batch_size, temperature=temperature, max_new_tokens=12, retries=1)
    return TeacherWork(config, LocalEngine(LocalEngineConfig(model=str(folder), dtype="float32")), prompts, 0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neither_batch_size_nor_order_changes_a_set(
    temperature: float, tiny_causal: Path, short_prompts: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    """Mistake 6: random draws followed the order of the rows."""
    sets = []
    for number, (size, questions) in enumerate([(1, asked), (5, asked), (12, list(reversed(asked)))]):
        work = _real_work(tiny_causal, short_prompts, size, temperature)
        rows = make_set(work, "few_shot", questions, tmp_path / str(number), settings={})
        sets.append({row["question_id"]: row for row in rows})
    assert sets[0] == sets[1] == sets[2]


def test_a_set_stopped_and_torn_at_any_place_ends_the_same(
    tiny_causal: Path, short_prompts: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    work, asked = _real_work(tiny_causal, short_prompts, 4, 1.0), asked[-5:]
    make_set(work, "counterfactual", asked, tmp_path / "whole", settings={})
    whole = (tmp_path / "whole" / "counterfactual" / "rationales.jsonl").read_bytes()
    batches_seen = 0

    def stop_after_six() -> bool:
        nonlocal batches_seen
        batches_seen += 1
        return batches_seen > 3

    with pytest.raises(Cancelled, match="12 of 24 are stored"):
        make_set(work, "counterfactual", asked, tmp_path / "torn", settings={}, should_stop=stop_after_six)
    journal = tmp_path / "torn" / "counterfactual" / "journal.jsonl"
    lines = journal.read_bytes()
    journal.write_bytes(lines[: len(lines) * 2 // 3])  # as a crash leaves it: in the middle of a line and of a batch
    stored = len(Journal(journal.parent).rows)
    assert 0 < stored < 12
    make_set(work, "counterfactual", asked, tmp_path / "torn", settings={})
    assert (tmp_path / "torn" / "counterfactual" / "rationales.jsonl").read_bytes() == whole


def test_a_finished_set_is_not_made_again_and_other_settings_are_refused(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    work = TeacherWork(teacher_config(), told(reason), commonsense, 0)
    rows = make_set(work, "few_shot", asked, tmp_path, settings={"seed": 0, "model": "a"})
    silent = told(lambda prompt: pytest.fail("asked again"))
    assert (
        make_set(
            TeacherWork(teacher_config(), silent, commonsense, 0),
            "few_shot",
            asked,
            tmp_path,
            settings={"seed": 0, "model": "a"},
        )
        == rows
    )
    with pytest.raises(TrainingInputError, match=r"was made with other settings \(seed\)"):
        make_set(work, "few_shot", asked, tmp_path, settings={"seed": 1, "model": "a"})


def test_progress_goes_up_to_all_items(
    told: Any, commonsense: PromptSet, asked: list[Question], tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    work = TeacherWork(teacher_config(), told(reason), commonsense, 0)
    make_set(work, "few_shot", asked, tmp_path, settings={}, progress=lambda s, d, t, i: seen.append((s, d, t)))
    assert seen == [("teacher few_shot", done, 12) for done in (0, 4, 8, 12)]
