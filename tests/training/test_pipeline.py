"""The pipeline: from questions to explanations, resumed wherever it was cut, without doing anything twice."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.config import DistillConfig, parse_config
from training.errors import Cancelled, TrainingInputError
from training.manifest import code_version
from training.pipeline import run_pipeline
from training.records import Question
from training.teacher.store import read_set

ROOT = Path(__file__).resolve().parents[2]
MULTITASK = "multitask-few_shot-student-seed0"
COMBINED = "multitask_counterfactual-few_shot-student-seed0"


@pytest.fixture
def settings(tmp_path: Path, tiny_causal: Path, asked: list[Question]) -> dict[str, Any]:
    """A distillation of 8 training and 4 test questions from rationales that exist, some of them flawed, with a tiny student."""
    rows = [
        {"id": q.id, "question": f"{q.text} {i}", "choices": list(q.choices), "answer": q.answer}
        for i, q in enumerate(asked)
    ]
    made = [
        {
            "id": row["id"],
            "first": f"\n\nThe {row['answer']} is where people keep it, item {i}.\n\nQuestion: What is blue?",
            "second": f"It is kept in the {row['answer']} so that it is near, item {i}. So the answer is {row['answer']}.",
            "others": [f"One may well look in the {choice} for it, item {i}." for choice in row["choices"]],
        }
        for i, row in enumerate(rows[:8])
    ]
    made[3]["first"] = "\n \n"
    for name, part in (("train", rows[:8]), ("test", rows[8:]), ("made", made)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (tmp_path / "student").symlink_to(tiny_causal)
    return {
        "name": "trial",
        "questions": {
            "dataset": "made",
            "train": {"path": str(tmp_path / "train.jsonl")},
            "test": {"path": str(tmp_path / "test.jsonl")},
        },
        "teacher": {
            "from": {
                "path": str(tmp_path / "made.jsonl"),
                "mapping": {"id": "id", "few_shot": "first", "counterfactual": "others", "revised": "second"},
            }
        },
        "students": {
            "objectives": ["multitask", "multitask_counterfactual"],
            "generation_methods": ["few_shot"],
            "models": [str(tmp_path / "student")],
            "settings": {
                "max_steps": 3, "batch_size": 4, "gradient_accumulation": 1, "save_every": 1, "precision": "float32",
                "validation_fraction": 0, "max_input_tokens": 600,
            },
        },
        "evaluation": {"batch_size": 2, "max_new_tokens": 8, "bootstrap_resamples": 100},
    }  # fmt: skip


def config_of(settings: Mapping[str, Any]) -> DistillConfig:
    return parse_config(yaml.safe_dump(dict(settings)), name="trial.yaml")


def results(out: Path) -> dict[str, bytes]:
    """Everything that must be the same however a distillation was made."""
    patterns = (
        "teacher/*/rationales.jsonl",
        "runs/*/explanations.jsonl",
        "runs/*/metrics.json",
        "runs/*/model/*.safetensors",
    )
    return {str(path.relative_to(out)): path.read_bytes() for pattern in patterns for path in out.glob(pattern)}


def test_rationales_that_exist_are_cleaned_and_lead_to_runs_with_provenance(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """Mistakes 1 and 3 in data that was made elsewhere; and the contract's files."""
    out = tmp_path / "out"
    result = run_pipeline(config_of(settings), out, command="blindrate distill trial.yaml")
    few_shot = read_set(out / "teacher" / "few_shot")
    assert few_shot[0]["rationale"] == "The kitchen is where people keep it, item 0."
    assert (few_shot[3]["rationale"], few_shot[3]["fault"]) == (None, "empty")
    revised = read_set(out / "teacher" / "critique_revision")
    assert revised[0]["rationale"] == "It is kept in the kitchen so that it is near, item 0."
    counterfactual = read_set(out / "teacher" / "counterfactual")
    assert [row["choice_index"] for row in counterfactual[:5]] == [0, 1, 2, 3, 4]
    assert list(result.runs) == [MULTITASK, COMBINED]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["command"] == "blindrate distill trial.yaml"
    assert manifest["code_version"] == code_version()
    assert manifest["config"]["students"][0]["settings"]["max_steps"] == 3
    assert manifest["questions"]["train"]["count"] == 8
    assert manifest["teacher"]["few_shot"]["failures"] == {"empty": 1}
    assert manifest["runs"][COMBINED]["state"] == "evaluated"
    assert manifest["runs"][COMBINED]["accuracy"] == result.runs[COMBINED]["accuracy"]
    assert not (out / "runs" / COMBINED / "checkpoints").exists()
    explanations = [
        json.loads(line) for line in (out / "runs" / COMBINED / "explanations.jsonl").read_text().splitlines()
    ]
    assert [row["question_id"] for row in explanations] == ["q8", "q9", "q10", "q11"]
    assert set(explanations[0]) >= {
        "question_id", "question", "choices", "answer", "predicted", "correct", "explanation", "method", "objective",
        "generation_method", "seed", "model",
    }  # fmt: skip
    assert {row["generation_method"] for row in explanations} == {"few_shot"}


def test_the_test_split_is_never_trained_on(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_pipeline(config_of(settings), out, stages=("teacher", "student"))
    asked_about = {
        row["question_id"] for path in out.glob("teacher/*/rationales.jsonl") for row in read_set(path.parent)
    }
    assert asked_about == {f"q{i}" for i in range(8)}
    (tmp_path / "test.jsonl").write_text((tmp_path / "train.jsonl").read_text())
    with pytest.raises(TrainingInputError, match="8 ids are in both train and test"):
        run_pipeline(config_of(settings), tmp_path / "other")


def test_a_second_call_does_nothing_again(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run_pipeline(config_of(settings), out)
    seen: list[str] = []
    again = run_pipeline(config_of(settings), out, progress=lambda stage, done, total, figures: seen.append(stage))
    assert again == first
    assert seen == []
    with pytest.raises(TrainingInputError, match="holds a distillation already"):
        run_pipeline(config_of(settings), out, resume=False)


def test_a_grown_grid_makes_only_what_is_missing(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    students = settings["students"]
    run_pipeline(config_of({**settings, "students": students | {"objectives": ["multitask"]}}), out)
    before = results(out)
    seen: list[str] = []
    run_pipeline(config_of(settings), out, progress=lambda stage, done, total, figures: seen.append(stage))
    assert set(seen) == {f"train {COMBINED}", f"evaluate {COMBINED}"}
    assert before.items() <= results(out).items()


def test_stages_can_run_one_by_one_in_their_order_only(settings: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(settings)
    with pytest.raises(
        TrainingInputError, match=r"the teacher set few_shot is not finished, .* run `blindrate teacher` first"
    ):
        run_pipeline(config, tmp_path / "a", stages=("student",))
    run_pipeline(config, tmp_path / "a", stages=("teacher",))
    with pytest.raises(
        TrainingInputError, match="there is no trained student to evaluate; run `blindrate student` first"
    ):
        run_pipeline(config, tmp_path / "a", stages=("evaluate",))
    run_pipeline(config, tmp_path / "a", stages=("student",))
    run_pipeline(config, tmp_path / "a", stages=("evaluate",))
    run_pipeline(config, tmp_path / "b")
    assert results(tmp_path / "a") == results(tmp_path / "b")


def test_changed_inputs_are_refused_not_mixed(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_pipeline(config_of(settings), out)
    file = tmp_path / "made.jsonl"
    file.write_text(file.read_text().replace("people keep it", "people always keep it"))
    with pytest.raises(TrainingInputError, match=r"few_shot: was made with other settings \(from_sha256\)"):
        run_pipeline(config_of(settings), out)


def test_a_stop_between_steps_is_heeded_and_gone_on_from(settings: dict[str, Any], tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_pipeline(config_of(settings), whole)
    for stage, place in ((f"evaluate {MULTITASK}", 2), (f"train {COMBINED}", 2)):
        at: set[tuple[str, int]] = set()
        with pytest.raises(Cancelled):
            run_pipeline(
                config_of(settings),
                cut,
                progress=lambda now, done, total, figures, at=at: at.add((now, done)),
                should_stop=lambda at=at, place=(stage, place): place in at,
            )
    run_pipeline(config_of(settings), cut)
    assert results(cut) == results(whole)


def test_two_pipelines_do_not_work_in_one_folder(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainingInputError, match="another process is at work in this folder"):
            run_pipeline(config_of(settings), out)
    run_pipeline(config_of(settings), out, stages=("teacher",))


def test_a_made_file_that_does_not_fit_is_named(settings: dict[str, Any], tmp_path: Path) -> None:
    made = settings["teacher"]["from"]

    def refused(message: str, **changes: Any) -> None:
        config = config_of({**settings, "teacher": {"from": {**made, **changes}}})
        with pytest.raises(TrainingInputError, match=message):
            run_pipeline(config, tmp_path / "out")

    refused("teacher.from.path: there is no file none.jsonl", path="none.jsonl")
    refused("there is no column 'frist' .*mend teacher.from.mapping", mapping=made["mapping"] | {"few_shot": "frist"})
    refused("holds a rationale for none of the 8 training questions", mapping=made["mapping"] | {"id": "first"})


KILLER = """
import os, signal, sys
from pathlib import Path
from training.config import load_config
from training.pipeline import run_pipeline

config, out, stage, place = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def progress(now, done, total, figures):
    if now == stage and done >= place:
        os.kill(os.getpid(), signal.SIGKILL)

run_pipeline(load_config(config), out, progress=progress)
"""


@pytest.mark.slow
def test_a_kill_in_each_stage_changes_nothing_of_the_result(
    settings: dict[str, Any], tiny_causal: Path, short_folder: Path, tmp_path: Path
) -> None:
    engine = {
        "engine": {"model": str(tiny_causal), "dtype": "float32"},
        "max_new_tokens": 8,
        "batch_size": 4,
        "retries": 0,
    }
    students = settings["students"] | {"objectives": ["multitask"]}
    questions = settings["questions"] | {"prompts": str(short_folder)}
    settings = {**settings, "teacher": engine | {"methods": ["few_shot"]}, "students": students, "questions": questions}
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(settings))
    run_pipeline(config_of(settings), tmp_path / "whole")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for stage, place in (("teacher few_shot", 4), (f"train {MULTITASK}", 2), (f"evaluate {MULTITASK}", 2)):
        command = [
            sys.executable,
            "-c",
            KILLER,
            str(tmp_path / "trial.yaml"),
            str(tmp_path / "killed"),
            stage,
            str(place),
        ]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == -9, ended.stderr
    run_pipeline(config_of(settings), tmp_path / "killed")
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
