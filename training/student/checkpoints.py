"""Checkpoints that can be trusted: one that was being written when the process died is never resumed from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

MARK = "complete"
NAME = re.compile(r"^checkpoint-(\d+)$")


class MarkComplete(TrainerCallback):
    """Writes an empty file beside a checkpoint once all of it is on disk."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Called by the Trainer in each process after that one's last file."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            (Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / MARK).touch()


def last_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint with the most steps, or None."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := NAME.match(path.name)) and (path / MARK).exists()
    ]
    return max(found)[1] if found else None


def remove_torn_checkpoints(folder: Path) -> list[str]:
    """Delete checkpoints without their mark; returns their names."""
    torn = [path for path in folder.glob("checkpoint-*") if NAME.match(path.name) and not (path / MARK).exists()]
    for path in torn:
        shutil.rmtree(path)
    return sorted(path.name for path in torn)
