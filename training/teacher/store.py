"""Teacher sets on disk: a journal while one is made, one sorted file when it is done.

    teacher/<generation method>/settings.json      what the set depends on, written first
    teacher/<generation method>/journal.jsonl      a line per item, appended batch by batch
    teacher/<generation method>/rationales.jsonl   all items in the order of the questions, written last and at once

A process may die at any moment: a line cut off at the journal's end is not counted, and its batch is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import TrainingInputError
from training.records import Question, TeacherRationales

Row = dict[str, Any]


def content_hash(content: Any) -> str:
    """sha256 of anything that JSON can hold; equal content gives an equal hash."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def questions_hash(questions: Iterable[Question]) -> str:
    """sha256 over the questions themselves, whatever file they came from."""
    return content_hash([[q.id, q.text, list(q.choices), q.answer] for q in questions])


def write_json(path: Path, content: Any) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def claim(folder: Path, settings: Mapping[str, Any], name: str = "settings.json") -> None:
    """Take a folder for work that depends on `settings`, or find that it was begun with the same.

    Raises:
        TrainingInputError: it was begun with others; says which.
    """
    path = folder / name
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, wanted)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if changed := sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key)):
        raise TrainingInputError(
            f"{folder}: was made with other settings ({', '.join(changed)}); choose another --out, or delete this folder to make it again"
        )


class Journal:
    """Items that are done, as they come. Keys are (question id, choice index or -1)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: dict[tuple[str, int], Row] = {}
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self.path.open("rb+") as file:  # a line that was being written when the process died
                file.truncate(len(whole))
        for line in whole.splitlines():
            row = json.loads(line)
            self.rows[item_key(row)] = row

    def append(self, rows: Sequence[Row]) -> None:
        """Store one batch; when this returns, it is on the disk."""
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        with self.path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.rows.update({item_key(row): row for row in rows})

    def finish(self, path: Path, keys: Sequence[tuple[str, int]]) -> None:
        """Write the finished set in the order of `keys` and remove the journal."""
        write_lines(path, (self.rows[key] for key in keys))
        self.path.unlink(missing_ok=True)


def item_key(row: Mapping[str, Any]) -> tuple[str, int]:
    """What a row is about: a question, or one of its choices."""
    return str(row["question_id"]), int(row.get("choice_index", -1))


def read_set(folder: Path) -> list[Row]:
    """The rows of a finished teacher set."""
    with (folder / "rationales.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_rationales(teacher: Path, questions: Sequence[Question]) -> dict[str, TeacherRationales]:
    """All finished sets below `teacher` as records by question id. What failed is None."""
    rows = {
        method: {item_key(row): row for row in read_set(teacher / method)}
        for method in ("few_shot", "counterfactual", "critique_revision")
        if (teacher / method / "rationales.jsonl").exists()
    }
    none: Row = {}

    def text(method: str, key: tuple[str, int], field: str = "rationale") -> str | None:
        return rows.get(method, {}).get(key, none).get(field)

    return {
        q.id: TeacherRationales(
            q.id,
            few_shot=text("few_shot", (q.id, -1)),
            counterfactual=tuple(text("counterfactual", (q.id, i)) for i in range(len(q.choices)))
            if "counterfactual" in rows
            else (),
            critique=text("critique_revision", (q.id, -1), "critique"),
            revised=text("critique_revision", (q.id, -1)),
        )
        for q in questions
    }
