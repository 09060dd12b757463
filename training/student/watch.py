"""What happens between two steps: progress, requests to stop, and the end of a diverged training."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.student.config import Progress, ShouldStop

if TYPE_CHECKING:
    from training.student.trainer import StudentTrainer


class Watch(TrainerCallback):
    """Between two steps: reports progress, ends a diverged training, and heeds a request to stop after saving what was
    done.
    """

    def __init__(self, trainer: StudentTrainer, progress: Progress | None, should_stop: ShouldStop | None) -> None:
        self.trainer = trainer
        self.progress = progress
        self.should_stop = should_stop
        self.cancelled = False
        self.diverged_at: int | None = None
        self.started = time.monotonic()
        self.first_step = 0
        self.tokens_per_second = 0.0
        self.seconds_in_steps = 0.0
        self._step_began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Starts the clock."""
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Validation and saving are not counted in tokens per second."""
        self._step_began = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """A stop is taken up by all processes at once: the request of any of them counts."""
        self.seconds_in_steps += time.monotonic() - self._step_began
        self.tokens_per_second = self.trainer.real_tokens / self.seconds_in_steps
        if self.should_stop is None:
            return
        asked = torch.tensor(float(self.should_stop()), device=args.device)
        if float(self.trainer.accelerator.reduce(asked, "sum")) > 0:
            self.cancelled = True
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        """Called after each step with its loss. A loss that is not finite cannot recover: nothing of it is saved as a
        checkpoint.
        """
        logs = logs or {}
        loss = logs.get("loss", logs.get("eval_loss"))
        if loss is not None and not math.isfinite(loss):
            self.diverged_at = self.diverged_at or state.global_step
            control.should_training_stop = True
            control.should_save = False
        if "loss" in logs and self.progress is not None and state.is_world_process_zero:
            done = state.global_step - self.first_step
            left = (time.monotonic() - self.started) / max(done, 1) * (state.max_steps - state.global_step)
            figures = {"tokens_per_second": self.tokens_per_second, "eta_seconds": left}
            if math.isfinite(logs["loss"]):
                figures["loss"] = logs["loss"]
            self.progress("train", state.global_step, state.max_steps, figures)
