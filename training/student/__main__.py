"""Training one student from files, alone or distributed: `accelerate launch -m training.student --help`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from training.errors import Cancelled, TrainingInputError
from training.records import Question, TeacherRationales
from training.student.config import StudentConfig


def read_questions(path: Path) -> list[Question]:
    """Questions from JSON lines with id, question, choices, answer and optionally dataset and split."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            names = row.get("dataset", path.stem), row.get("split", "train")
            found.append(Question(str(row["id"]), row["question"], tuple(row["choices"]), row["answer"], *names))
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingInputError(
                f"{path}, line {number}: not a question ({error!r}). Needed: id, question, choices, answer."
            ) from error
    return found


def read_rationales(path: Path) -> dict[str, TeacherRationales]:
    """Rationales from JSON lines with id (or question_id), few_shot_rationale, counterfactual_rationales (one per
    choice), revised_rationale.
    """
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            name = str(row.get("question_id", row.get("id")))
            counterfactual = tuple(row.get("counterfactual_rationales") or ())
            found[name] = TeacherRationales(
                name, row.get("few_shot_rationale"), counterfactual, row.get("critique"), row.get("revised_rationale")
            )
        except (ValueError, AttributeError, TypeError) as error:
            raise TrainingInputError(f"{path}, line {number}: not a teacher's rationales ({error!r}).") from error
    return found


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--questions", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON lines."
)
@click.option(
    "--rationales", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON lines."
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of this training.")
def main(config: Path, questions: Path, rationales: Path, out: Path) -> None:
    """Train one student with the settings in CONFIG (YAML); go on from its last checkpoint if it was interrupted.

    \b
    Example, two processes on one machine:
      accelerate launch --num_processes 2 -m training.student student.yaml \\
        --questions questions.jsonl --rationales rationales.jsonl --out runs/mt-0
    """
    try:
        settings: Any = yaml.safe_load(config.read_text(encoding="utf-8"))
        student = StudentConfig.model_validate(settings)
        data = read_questions(questions), read_rationales(rationales)
        from training.student.trainer import train_student  # late: mistakes in files are told without loading torch

        result = train_student(student, *data, out)
    except ValidationError as error:
        first = error.errors()[0]
        raise SystemExit(_fail(f"{config}: {'.'.join(map(str, first['loc']))}: {first['msg']}", 2)) from error
    except (TrainingInputError, Cancelled) as error:
        raise SystemExit(_fail(str(error), error.exit_code)) from error
    print(json.dumps(asdict(result)))


def _fail(message: str, code: int) -> int:
    print(f"training.student: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
