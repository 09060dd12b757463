"""Training: seeds, resumption to the bit, validation, divergence, adapters, several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from training.errors import Cancelled, TrainingInputError
from training.records import Question, TeacherRationales
from training.student.checkpoints import last_checkpoint
from training.student.config import EvaluationConfig, LoraConfig, ShrinkConfig, StudentConfig
from training.student.evaluation import evaluate_student
from training.student.models import load_student
from training.student.trainer import split_validation, train_student

Data = tuple[list[Question], dict[str, TeacherRationales]]


@pytest.fixture
def data(questions: list[Question], rationales: dict[str, TeacherRationales]) -> Data:
    return questions, rationales


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "training.json").read_text())["history"]


def stop_after(step: int) -> tuple[Callable[..., None], Callable[[], bool]]:
    """A progress and a should_stop that ask to stop once this step was reported."""
    seen = [0]

    def progress(_stage: str, done: int, _total: int, _figures: object) -> None:
        seen[0] = done

    return progress, lambda: seen[0] >= step


def test_training_lowers_the_loss_and_writes_a_loadable_student(
    config: StudentConfig, data: Data, tmp_path: Path
) -> None:
    longer = config.model_copy(
        update={"max_steps": 20, "eval_every": 10, "objective": "multitask", "learning_rate": 3e-3}
    )
    reports: list[tuple[str, int, int]] = []
    result = train_student(longer, *data, tmp_path, progress=lambda s, d, t, f: reports.append((s, d, t)))
    losses = [entry["loss"] for entry in history(tmp_path) if "loss" in entry]
    assert result.final_loss == losses[-1] < losses[0]
    assert reports[-1] == ("train", 20, 20)
    assert (result.train_questions, result.validation_questions, result.diverged) == (36, 4, False)
    validation = [entry["eval_loss"] for entry in history(tmp_path) if "eval_loss" in entry]
    assert result.best_validation_loss == min(validation) == validation[-1] < losses[0]
    assert load_student(result.model_dir).model.num_parameters() > 0
    assert list((tmp_path / "logs").glob("events*"))


def test_the_seed_is_effective_and_reproduces(t5_config: StudentConfig, data: Data, tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train_student(t5_config.model_copy(update={"seed": seed}), *data, tmp_path / name)
    assert same(tmp_path / "first", tmp_path / "again")
    assert not same(tmp_path / "first", tmp_path / "other")


def test_a_stopped_training_goes_on_to_the_same_weights(config: StudentConfig, data: Data, tmp_path: Path) -> None:
    train_student(config, *data, tmp_path / "straight")
    progress, should_stop = stop_after(4)
    with pytest.raises(Cancelled, match="of 6"):
        train_student(config, *data, tmp_path / "stopped", progress=progress, should_stop=should_stop)
    assert not (tmp_path / "stopped" / "training.json").exists()
    train_student(config, *data, tmp_path / "stopped")
    assert same(tmp_path / "straight", tmp_path / "stopped")
    straight, stopped = ([e.get("loss") for e in history(tmp_path / n)] for n in ("straight", "stopped"))
    assert straight == stopped


def write_inputs(folder: Path, config: StudentConfig, data: Data) -> list[str]:
    """The command line's arguments for files of these data."""
    (folder / "student.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    questions, rationales = data
    lines = [json.dumps({"id": q.id, "question": q.text, "choices": q.choices, "answer": q.answer}) for q in questions]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    lines = [
        json.dumps(
            {"id": r.question_id, "few_shot_rationale": r.few_shot, "counterfactual_rationales": r.counterfactual}
        )
        for r in rationales.values()
    ]
    (folder / "rationales.jsonl").write_text("\n".join(lines))
    return [
        str(folder / "student.yaml"),
        "--questions",
        str(folder / "questions.jsonl"),
        "--rationales",
        str(folder / "rationales.jsonl"),
    ]


KILLED_TRAINING = """
import os, signal, sys
from pathlib import Path
from training.student.__main__ import read_questions, read_rationales
from training.student.config import StudentConfig
from training.student.trainer import train_student
import yaml

def die(stage, done, total, figures):
    if done == 4:
        torn = Path(sys.argv[4]) / "checkpoints" / "checkpoint-4"
        torn.mkdir()
        (torn / "trainer_state.json").write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)

config = StudentConfig.model_validate(yaml.safe_load(Path(sys.argv[1]).read_text()))
train_student(config, read_questions(Path(sys.argv[2])), read_rationales(Path(sys.argv[3])), Path(sys.argv[4]), progress=die)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_whole_checkpoint_to_the_same_weights(
    t5_dir: Path, data: Data, tmp_path: Path
) -> None:
    config = StudentConfig(
        model=str(t5_dir), max_steps=6, batch_size=4, precision="float32", save_every=3, eval_every=3
    )
    arguments = write_inputs(tmp_path, config, data)
    command = [
        sys.executable,
        "-c",
        KILLED_TRAINING,
        arguments[0],
        arguments[2],
        arguments[4],
        str(tmp_path / "killed"),
    ]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # sums in another order differ in their last bits
    killed = subprocess.run(command, capture_output=True, check=False, env=one_thread)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    found = last_checkpoint(tmp_path / "killed" / "checkpoints")
    assert found is not None
    assert found.name == "checkpoint-3"
    for name in ("straight", "killed"):
        train_student(config, *data, tmp_path / name)
    assert same(tmp_path / "straight", tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_layers_learn_the_same(llama_config: StudentConfig, data: Data, tmp_path: Path) -> None:
    config = llama_config.model_copy(update={"precision": "float32"})
    plain = train_student(config, *data, tmp_path / "plain")
    compiled = train_student(config.model_copy(update={"compile": True}), *data, tmp_path / "compiled")
    assert compiled.final_loss == pytest.approx(plain.final_loss, abs=1e-4)
    first, second = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(llama_dir: Path, data: Data, tmp_path: Path) -> None:
    config = StudentConfig(
        model=str(llama_dir),
        max_steps=3,
        batch_size=4,
        gradient_accumulation=2,
        precision="float32",
        learning_rate=1e-3,
    )
    alone = train_student(config, *data, tmp_path / "alone")
    arguments = write_inputs(tmp_path, config, data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
    ]
    launch += ["--dynamo_backend", "no", "--main_process_port", str(port), "-m", "training.student"]
    together = subprocess.run(
        [sys.executable, *launch, *arguments, "--out", str(tmp_path / "together")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert together.returncode == 0, together.stderr[-3000:]
    first, second = weights(tmp_path / "alone"), weights(tmp_path / "together")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=2e-5)
    result = json.loads((tmp_path / "together" / "training.json").read_text())["result"]
    assert result["final_loss"] == pytest.approx(alone.final_loss, abs=1e-4)
    assert result["best_validation_loss"] == pytest.approx(alone.best_validation_loss, abs=1e-4)


def test_a_finished_training_is_returned_and_not_repeated(
    llama_config: StudentConfig, data: Data, tmp_path: Path
) -> None:
    first = train_student(llama_config, *data, tmp_path)
    changed = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    assert train_student(llama_config, *data, tmp_path) == first
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == changed


def test_a_folder_of_another_training_is_refused(llama_config: StudentConfig, data: Data, tmp_path: Path) -> None:
    train_student(llama_config, *data, tmp_path)
    with pytest.raises(TrainingInputError, match=r"other settings \(learning_rate\)"):
        train_student(llama_config.model_copy(update={"learning_rate": 0.5}), *data, tmp_path)


def test_a_diverged_training_ends_early_and_is_kept_and_marked(llama_dir: Path, data: Data, tmp_path: Path) -> None:
    config = StudentConfig(
        model=str(llama_dir), max_steps=12, batch_size=4, precision="float32", learning_rate=1e30, save_every=2
    )
    result = train_student(config, *data, tmp_path)
    assert result.diverged
    assert "not finite at step" in result.diverged_reason
    assert result.steps < 12
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert result.final_loss is None
    written = json.loads(
        (tmp_path / "training.json").read_text(), parse_constant=pytest.fail
    )  # no NaN: databases refuse it
    assert written["result"]["diverged"] is True


def test_validation_questions_are_the_same_for_all_seeds_and_never_trained_on(
    llama_config: StudentConfig, data: Data, tmp_path: Path
) -> None:
    held_out = []
    for seed in (0, 1):
        train_student(llama_config.model_copy(update={"seed": seed, "max_steps": 1}), *data, tmp_path / str(seed))
        held_out.append(json.loads((tmp_path / str(seed) / "training.json").read_text())["validation_ids"])
    assert held_out[0] == held_out[1]
    train, validation = split_validation(data[0], 0.1)
    assert [q.id for q in validation] == held_out[0]
    assert {q.id for q in train}.isdisjoint(held_out[0])
    assert len(train) + len(validation) == len(data[0])


def test_early_stopping_keeps_the_best_step(llama_dir: Path, data: Data, tmp_path: Path) -> None:
    config = StudentConfig(
        model=str(llama_dir),
        objective="multitask",
        max_steps=60,
        batch_size=4,
        precision="float32",
        learning_rate=0.3,
        eval_every=1,
        save_every=1,
        early_stopping_patience=2,
    )
    result = train_student(config, *data, tmp_path)
    losses = [entry["eval_loss"] for entry in history(tmp_path) if "eval_loss" in entry]
    best = losses.index(min(losses)) + 1
    assert result.steps < 60
    assert len(losses) == best + 2
    saved = load_file(tmp_path / "checkpoints" / f"checkpoint-{best}" / "model.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in weights(tmp_path).items())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_adapters_are_merged_into_a_plain_student(
    config: StudentConfig, data: Data, tmp_path: Path, checkpointing: bool
) -> None:
    lora = config.model_copy(
        update={"lora": LoraConfig(r=2), "learning_rate": 0.01, "gradient_checkpointing": checkpointing}
    )
    result = train_student(lora, *data, tmp_path)
    before, after = load_student(config.model).model.state_dict(), load_student(result.model_dir).model.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any("norm" in name or "embed" in name for name in changed)


def test_accumulation_and_checkpointing_change_nothing_but_rounding(
    llama_dir: Path, data: Data, tmp_path: Path
) -> None:
    base = StudentConfig(model=str(llama_dir), max_steps=3, batch_size=4, precision="float32", gradient_accumulation=1)
    train_student(base, *data, tmp_path / "one")
    train_student(
        base.model_copy(update={"gradient_accumulation": 5, "gradient_checkpointing": True}), *data, tmp_path / "five"
    )
    first, second = weights(tmp_path / "one"), weights(tmp_path / "five")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=2e-5)


def test_bf16_trains_float32_weights(config: StudentConfig, data: Data, tmp_path: Path) -> None:
    result = train_student(config.model_copy(update={"precision": "bf16", "max_steps": 2}), *data, tmp_path)
    assert not result.diverged
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float32}


def test_a_shrunk_student_is_saved_with_fewer_layers(llama_config: StudentConfig, data: Data, tmp_path: Path) -> None:
    result = train_student(
        llama_config.model_copy(update={"shrink": ShrinkConfig(layers=2), "max_steps": 1}), *data, tmp_path
    )
    assert load_student(result.model_dir).model.config.num_hidden_layers == 2


def test_what_the_teacher_failed_to_write_is_counted_in_the_record(
    llama_config: StudentConfig, data: Data, tmp_path: Path
) -> None:
    questions, rationales = data
    train, _ = split_validation(questions, llama_config.validation_fraction)
    gone = dict(rationales)
    del gone[train[0].id], gone[train[1].id]
    result = train_student(
        llama_config.model_copy(update={"objective": "multitask", "max_steps": 1}), questions, gone, tmp_path
    )
    assert result.left_out == {"missing_explain": 2}


def test_the_command_line_names_a_wrong_setting(data: Data, llama_dir: Path, tmp_path: Path) -> None:
    arguments = write_inputs(tmp_path, StudentConfig(model=str(llama_dir)), data)
    (tmp_path / "student.yaml").write_text("model: x\nlerning_rate: 1\n")
    run = [sys.executable, "-m", "training.student", *arguments, "--out", str(tmp_path / "out")]
    failed = subprocess.run(run, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "lerning_rate" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
@pytest.mark.model
def test_the_small_real_model_learns_and_is_examined(small_model: Path, data: Data, tmp_path: Path) -> None:
    """Four of its layers, a few steps: enough to see the loss fall and the answers take their form."""
    config = StudentConfig(
        model=str(small_model),
        shrink=ShrinkConfig(layers=4),
        objective="multitask",
        max_steps=12,
        batch_size=6,
        gradient_accumulation=1,
        learning_rate=5e-4,
        warmup_steps=2,
    )
    result = train_student(config, *data, tmp_path)
    losses = [entry["loss"] for entry in history(tmp_path) if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    settings = EvaluationConfig(max_new_tokens=24, bootstrap_resamples=200, untrained_baseline=True)
    metrics = evaluate_student(config, settings, Path(result.model_dir), data[0][:8], tmp_path, provenance={})
    assert metrics["accuracy_generation"] > metrics["untrained"]["accuracy_generation"]
    assert metrics["unparsed_answers"] < metrics["untrained"]["unparsed_answers"]
    assert metrics["explanations"]["empty"] == 0
