"""The settings of one student: how it is trained and how it is examined.

Defaults follow the paper (arXiv 2504.16056) where it states them: linear decay without warm-up or weight decay,
learning rate 5e-5, 5,000 steps, 48 questions per step, equal weights (alpha, beta and gamma .5), a tenth of the
training questions kept for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from training.records import Objective

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called as progress(stage, done, total, figures): stage "train" or "evaluate", done of total steps or questions, and
figures such as loss, tokens_per_second and eta_seconds. It runs between two steps, on the main process only.
"""

ShouldStop = Callable[[], bool]
"""Asked between two steps or batches; True ends the work with training.errors.Cancelled after what was done has been
saved.
"""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values are fixed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ShrinkConfig(Settings):
    """A smaller student out of a larger model: `layers` evenly spaced layers are kept (of encoder and decoder each)."""

    layers: int = Field(ge=1)


class LoraConfig(Settings):
    """Low-rank adapters (Hu et al. 2021) instead of full training; merged into the weights when the student is saved."""

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class StudentConfig(Settings):
    """One training of one student. Steps count optimizer steps; batch_size counts questions per step over all processes.

    model: a hub id or a folder. target: which rationale the explain and factual tasks learn; counterfactual texts
    always come from the counterfactual teacher set. counterfactuals: every wrong choice's rationale in each step, or
    one drawn per question and epoch. alpha weighs predict against explain, beta factual against counterfactual, gamma
    multitask against counterfactual (see objectives.task_weights). gradient_accumulation: number of micro-batches a
    step's rows are cut into by length; it changes memory and padding, never the result. precision auto: bf16 where
    the device computes it in hardware, else float32 (weights and optimizer stay float32 in any case).
    """

    model: str
    shrink: ShrinkConfig | None = None
    objective: Objective = "multitask_counterfactual"
    target: Literal["few_shot", "critique_revision"] = "few_shot"
    alpha: float = Field(default=0.5, ge=0, le=1)
    beta: float = Field(default=0.5, ge=0, le=1)
    gamma: float = Field(default=0.5, ge=0, le=1)
    counterfactuals: Literal["all", "one_per_epoch"] = "all"
    max_steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=48, ge=1)
    gradient_accumulation: int = Field(default=12, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    precision: Literal["auto", "float32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    lora: LoraConfig | None = None
    validation_fraction: float = Field(default=0.1, ge=0, lt=1)
    eval_every: int = Field(default=250, ge=1)
    save_every: int = Field(default=250, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    max_input_tokens: int = Field(default=512, ge=8)
    max_target_tokens: int = Field(default=384, ge=4)
    group_by_length: bool = True
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _early_stopping_needs_validation(self) -> StudentConfig:
        if self.early_stopping_patience is not None:
            if self.validation_fraction == 0:
                raise ValueError(
                    "early_stopping_patience needs a validation_fraction above 0: the test split is never used for it"
                )
            if self.save_every % self.eval_every:
                raise ValueError(
                    "with early stopping, save_every must be a multiple of eval_every, so that the best step can be restored"
                )
        return self


class EvaluationConfig(Settings):
    """How a student is examined on the test split. batch_size counts questions; limit takes the first questions only
    (None: all).

    explanations False skips explanations and all that needs them, where the objective can answer without one.
    untrained_baseline also scores the model as it was before training. no_repeat_ngram_size (0: off) and
    repetition_penalty (1: off) act on explanations alone, and equally for every objective; answers are decoded
    greedily without them.
    """

    batch_size: int = Field(default=16, ge=1)
    max_new_tokens: int = Field(default=192, ge=1)
    bootstrap_resamples: int = Field(default=10_000, ge=100)
    limit: int | None = Field(default=None, ge=1)
    explanations: bool = True
    untrained_baseline: bool = False
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    repetition_penalty: float = Field(default=1.0, gt=0)
