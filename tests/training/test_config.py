"""The configuration: grids expand to named runs, and every mistake is told with its place and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from training.config import load_config, parse_config, runs_of
from training.errors import TrainingInputError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BASE: dict[str, Any] = {
    "name": "trial",
    "questions": {
        "dataset": "made",
        "train": {"path": "train.jsonl"},
        "test": {"path": "test.jsonl"},
    },
    "teacher": {"engine": {"model": "some-model"}},
    "students": {
        "objectives": ["multitask", "multitask_counterfactual"],
        "generation_methods": ["few_shot", "critique_revision"],
        "models": ["Org/Tiny-T5"],
        "seeds": [0, 1],
        "settings": {"max_steps": 10},
    },
}


def text_of(**changes: Any) -> str:
    return yaml.safe_dump({**BASE, **changes})


def test_a_grid_expands_to_runs_with_stable_names() -> None:
    runs = list(runs_of(parse_config(text_of(), name="x")))
    assert [run.name for run in runs] == [
        "multitask-few_shot-tiny-t5-seed0",
        "multitask-few_shot-tiny-t5-seed1",
        "multitask_counterfactual-few_shot-tiny-t5-seed0",
        "multitask_counterfactual-few_shot-tiny-t5-seed1",
        "multitask-critique_revision-tiny-t5-seed0",
        "multitask-critique_revision-tiny-t5-seed1",
        "multitask_counterfactual-critique_revision-tiny-t5-seed0",
        "multitask_counterfactual-critique_revision-tiny-t5-seed1",
    ]
    assert runs[-1].config.target == "critique_revision"
    assert {run.config.max_steps for run in runs} == {10}


def test_grids_may_be_a_list_and_differ_by_label() -> None:
    grid = BASE["students"] | {"objectives": ["multitask"], "generation_methods": ["few_shot"], "seeds": [0]}
    config = parse_config(
        text_of(students=[grid, grid | {"label": "long", "settings": {"shrink": {"layers": 2}}}]), name="x"
    )
    assert [run.name for run in runs_of(config)] == [
        "multitask-few_shot-tiny-t5-seed0",
        "multitask-few_shot-tiny-t5-2layers-seed0-long",
    ]
    with pytest.raises(
        TrainingInputError, match=r"two runs are called multitask-few_shot-tiny-t5-seed0; give .* a label"
    ):
        parse_config(text_of(students=[grid, grid]), name="x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, r"x.yaml: sed: there is no such setting; remove it or mend its spelling"),
        (
            {"teacher": {"engine": {"model": "m", "temprature": 1}}},
            r"teacher.engine.temprature: there is no such setting",
        ),
        ({"teacher": {"engine": {"type": "local"}}}, r"teacher.engine.model: is missing"),
        ({"teacher": {}}, r"teacher: give either engine .* or from"),
        ({"teacher": {"engine": {"type": "grpc", "model": "m"}}}, r"teacher.engine: .*'local', 'http'"),
        (
            {"teacher": {"engine": {"type": "http", "model": "m", "base_url": "localhost"}}},
            r"teacher.engine.base_url: ",
        ),
        (
            {"teacher": {"engine": {"model": "m"}, "methods": ["few_shot"]}},
            r"needs teacher.methods to hold counterfactual",
        ),
        ({"teacher": {"from": {"path": "x", "mapping": {"id": "id"}}}}, r"teacher.from.mapping: name the column"),
        ({"questions": {**BASE["questions"], "train": {}}}, r"questions.train: give either path .* or hub"),
        ({"questions": {**BASE["questions"], "reader": "csv"}}, r"questions.reader: "),
        ({"students": {**BASE["students"], "settings": {"max_step": 5}}}, r"students.0: settings.max_step: "),
        ({"students": {**BASE["students"], "settings": {"seed": 5}}}, r"settings.seed: belongs into seeds"),
        ({"students": {**BASE["students"], "objectives": ["multi"]}}, r"students.0.objectives.0: "),
        ({"name": "a b"}, r"x.yaml: name: "),
        ({"evaluation": {"batch_size": 0}}, r"evaluation.batch_size: "),
    ],
)
def test_every_mistake_names_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingInputError, match=message):
        parse_config(text_of(**changes), name="x.yaml")


def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match="there is no such file"):
        load_config(tmp_path / "none.yaml")
    for content, message in ((b"a: [", "not valid YAML"), (b"- a", "must hold name"), (b"\xff\xfe", "UTF-8")):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(TrainingInputError, match=message):
            load_config(tmp_path / "bad.yaml")


def test_settings_can_be_changed_from_outside(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text_of())
    changes = ["questions.train.limit=7", "teacher.temperature=0.5", "students.seeds=[4]", "evaluation.limit=3"]
    config = load_config(tmp_path / "a.yaml", changes)
    assert (config.questions.train.limit, config.teacher.temperature, config.evaluation.limit) == (7, 0.5, 3)
    assert {run.config.seed for run in runs_of(config)} == {4}
    with pytest.raises(TrainingInputError, match=r"teacher.tempo: there is no such setting"):
        load_config(tmp_path / "a.yaml", ["teacher.tempo=1"])
    with pytest.raises(TrainingInputError, match="must be PLACE=VALUE"):
        load_config(tmp_path / "a.yaml", ["teacher.tempo"])
    with pytest.raises(TrainingInputError, match="no such place"):
        load_config(tmp_path / "a.yaml", ["name.first=1"])


def test_paths_are_found_from_the_current_folder_the_files_and_blindrates(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n")
    (tmp_path / "a.yaml").write_text(
        text_of(questions={**BASE["questions"], "test": {"path": "app/demo/questions.jsonl"}})
    )
    questions = load_config(tmp_path / "a.yaml").questions
    assert questions.train.path is not None and questions.test.path is not None
    assert Path(questions.train.path).samefile(tmp_path / "train.jsonl")
    assert Path(questions.test.path).samefile(EXAMPLES.parent / "app" / "demo" / "questions.jsonl")


@pytest.mark.parametrize(
    "path", sorted(p for p in EXAMPLES.glob("*.yaml") if "teacher:" in p.read_text()), ids=lambda p: p.name
)
def test_every_example_is_valid_and_has_runs(path: Path) -> None:
    config = load_config(path)
    assert list(runs_of(config))
