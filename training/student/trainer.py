"""Training one student: the Hugging Face Trainer with our batches, our loss, resumption and an honest record."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from training.errors import Cancelled, TrainingInputError
from training.memory import freed_memory_is_kept, memory_advice
from training.records import Question, TeacherRationales
from training.student.batches import StepDataset, micro_batches
from training.student.checkpoints import MarkComplete, last_checkpoint, remove_torn_checkpoints
from training.student.collator import collate
from training.student.config import Progress, ShouldStop, StudentConfig
from training.student.encoding import EncodedQuestion, encode_questions
from training.student.models import (
    Student,
    choose_attention,
    compile_layers,
    default_device,
    load_student,
    uses_bf16,
    with_lora,
)
from training.student.objectives import rows_of, task_weights
from training.student.watch import Watch

VALIDATION_SEED = 0
"""The validation split is the same for every seed, so that runs differ by what they were given to differ by."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What one training gave; also out/training.json (which holds the loss history, validation ids and settings
    besides).
    """

    model_dir: str
    steps: int
    final_loss: float | None
    best_validation_loss: float | None
    diverged: bool
    diverged_reason: str
    tokens_per_second: float
    padding_share: float
    train_questions: int
    validation_questions: int
    left_out: dict[str, int]
    seconds: float


def target_loss(student: Student, model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """Weighted sum of the cross-entropies (nats) of the batch's target tokens: with the weights of batches.row_weights,
    a step's parts add up to the sum over tasks of w_t * (mean loss per target token of task t). Prompts and padding
    take no part. `model` may be a wrapper of student.model.
    """
    with student.selector.at(batch["positions"]):
        logits = model(**batch["inputs"], use_cache=False).logits
    losses = functional.cross_entropy(logits.float(), batch["target_ids"], reduction="none")
    return (losses * batch["token_weights"]).sum()


def split_validation(questions: Sequence[Question], fraction: float) -> tuple[list[Question], list[Question]]:
    """A random split into training and validation questions; the same for every run over the same questions."""
    count = round(len(questions) * fraction)
    held_out = set(np.random.default_rng(VALIDATION_SEED).permutation(len(questions))[:count].tolist())
    train = [question for i, question in enumerate(questions) if i not in held_out]
    return train, [question for i, question in enumerate(questions) if i in held_out]


VALIDATION_ROWS = 32
"""Rows in a pass over the validation split."""


class StudentTrainer(Trainer):
    """A Trainer whose data loader yields the micro-batches of StepDataset in order, and whose loss needs no further
    scaling.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        student: Student,
        model: Any,
        args: TrainingArguments,
        steps: StepDataset,
        validation: list[EncodedQuestion],
        **kwargs: Any,
    ) -> None:
        self.student = student
        self.steps = steps
        self.validation = validation
        self.real_tokens = self.padded_tokens = 0
        super().__init__(model, args, train_dataset=steps, eval_dataset=validation or None, **kwargs)

    def get_train_dataloader(self) -> DataLoader:
        """One item, that is one ready micro-batch, at a time; accelerate deals them to the processes in turn."""
        loader: DataLoader = DataLoader(
            self.steps, batch_size=1, shuffle=False, collate_fn=lambda items: collate(self.student, items[0])
        )
        return self.accelerator.prepare(loader)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The batch's share of the step's loss, times the number of processes since DDP takes the mean of their
        gradients.
        """
        self.real_tokens += inputs["real_tokens"]
        self.padded_tokens += inputs["padded_tokens"]
        return target_loss(self.student, model, inputs) * self.accelerator.num_processes

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated."""
        return 0

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The objective's loss over the whole validation split as one step, every counterfactual included; logged as
        eval_loss.
        """
        rows = [row for question in self.validation for row in question.rows("all", 0, 0)]
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        parts = processes * math.ceil(len(rows) / (processes * VALIDATION_ROWS))
        batches = micro_batches(rows, self.steps.weights, parts, is_encoder_decoder=self.student.is_encoder_decoder)
        model: Any = self.model
        model.eval()
        total = torch.zeros((), device=self.args.device)
        for batch in batches[rank::processes]:
            inputs = self._prepare_inputs(collate(self.student, batch))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += target_loss(self.student, model, inputs)
        model.train()
        metrics = {f"{metric_key_prefix}_loss": float(self.accelerator.reduce(total, "sum"))}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def training_arguments(config: StudentConfig, folder: Path, *, validate: bool) -> TrainingArguments:
    """Our settings in the Trainer's words."""
    stopping = config.early_stopping_patience is not None
    checkpointing: dict[str, Any] = {"activation_checkpointing": True} if config.gradient_checkpointing else {}
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=config.max_steps,
        per_device_train_batch_size=1,  # one micro-batch of StepDataset
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        bf16=uses_bf16(config.precision),
        use_cpu=default_device() == "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validate else "no",
        eval_steps=config.eval_every,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,  # while one is written, the one before it is whole
        load_best_model_at_end=stopping,
        metric_for_best_model="eval_loss" if stopping else None,
        greater_is_better=False if stopping else None,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to=["tensorboard"],
        seed=config.seed,
        **checkpointing,
    )


def train_student(
    config: StudentConfig,
    questions: Sequence[Question],
    rationales: Mapping[str, TeacherRationales],
    out: Path,
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainResult:
    """Train one student, or go on with one that was interrupted, or return one that is finished.

    questions: the training split, from which the validation split is drawn. rationales: by question id. Writes
    out/model (safetensors and tokenizer), out/checkpoints, out/logs (TensorBoard) and, last, out/training.json. A
    training whose loss becomes NaN or infinite ends there and is kept and marked. Called in every process of a
    distributed launch.

    Raises:
        TrainingInputError: a bad model or setting, no usable rationale, too little memory, or `out` holds a training with
        other settings.
        Cancelled: should_stop() said so; a checkpoint of that step is saved.
    """
    _claim(out, config, questions)
    record = out / "training.json"
    if record.exists():
        return TrainResult(**json.loads(record.read_text())["result"])
    set_seed(config.seed)  # before the model: adapters and new weights are drawn from it
    student = load_student(config.model, config.shrink)
    choose_attention(student.model, config.precision)
    train, held_out = split_validation(questions, config.validation_fraction)
    weights = task_weights(config)
    rows, left_out = encode_questions(student, [rows_of(q, rationales.get(q.id), config) for q in train], config)
    validation, _ = encode_questions(student, [rows_of(q, rationales.get(q.id), config) for q in held_out], config)
    model: Any = with_lora(student.model, config.lora) if config.lora else student.model
    if config.gradient_checkpointing and config.lora:
        student.model.enable_input_require_grads()
    folder = out / "checkpoints"
    if config.compile:
        compile_layers(student.model)
    args = training_arguments(config, folder, validate=bool(validation))
    if args.n_gpu > 1:
        args._n_gpu = 1  # a process uses one GPU; several are for accelerate, never for the Trainer's DataParallel
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "logs")
    steps = StepDataset(student, rows, weights, config, processes=args.world_size)
    trainer = StudentTrainer(
        student, model, args, steps, validation, processing_class=student.tokenizer, callbacks=[MarkComplete()]
    )
    if config.lora and trainer.is_fsdp_enabled:
        raise TrainingInputError(
            "lora: adapters cannot be merged into weights that FSDP has sharded. Train without FSDP, or without lora."
        )
    trainer.remove_callback(PrinterCallback)
    watch = Watch(trainer, progress, should_stop)
    trainer.add_callback(watch)
    if config.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(config.early_stopping_patience))
    with trainer.accelerator.main_process_first():
        if trainer.is_world_process_zero():
            remove_torn_checkpoints(folder)
    resume_from = last_checkpoint(folder)
    advice = "Raise gradient_accumulation, set gradient_checkpointing, or lower batch_size."
    with memory_advice(advice), freed_memory_is_kept():
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    if watch.cancelled:
        raise Cancelled(f"training stopped at step {trainer.state.global_step} of {config.max_steps}")
    _save_model(trainer, out / "model")
    result = _result(trainer, watch, out, steps, len(validation), left_out)
    if trainer.is_world_process_zero():
        _write_json(
            record,
            {
                "result": asdict(result),
                "history": [
                    {name: _finite(value) for name, value in entry.items()} for entry in trainer.state.log_history
                ],
                "validation_ids": [q.id for q in held_out],
            },
        )
    trainer.accelerator.wait_for_everyone()
    return result


def _claim(out: Path, config: StudentConfig, questions: Sequence[Question]) -> None:
    """Write the settings into an empty folder, or check that they are the ones a started training has."""
    settings: dict[str, Any] = {"config": config.model_dump(mode="json"), "questions": len(questions)}
    path = out / "settings.json"
    if path.exists():
        found = json.loads(path.read_text())
        changed = sorted(
            key for key in settings["config"] if found.get("config", {}).get(key) != settings["config"][key]
        )
        changed += ["questions"] if found.get("questions") != settings["questions"] else []
        if changed:
            raise TrainingInputError(
                f"{out}: holds a training with other settings ({', '.join(changed)}). Choose another folder or delete this one."
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    _write_json(path, settings)


def _finite(value: float) -> float | None:
    """None for NaN and the infinities, which JSON does not know."""
    return value if math.isfinite(value) else None


def _write_json(path: Path, content: Any) -> None:
    """Write whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1, allow_nan=False))
    part.replace(path)


def _save_model(trainer: StudentTrainer, folder: Path) -> None:
    """Weights and tokenizer as a plain model folder, adapters merged in; written aside and moved, so that the folder is
    whole or absent. Called in every process, since weights that are sharded over processes have to be gathered.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    state = None if trainer.steps.config.lora else trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return
    plain: PreTrainedModel = model.merge_and_unload() if trainer.steps.config.lora else model
    part = folder.with_name("model.part")
    for leftover in (part, folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(leftover)
    plain.save_pretrained(part, state_dict=state)
    trainer.student.tokenizer.save_pretrained(part)
    part.rename(folder)


def _result(
    trainer: StudentTrainer, watch: Watch, out: Path, steps: StepDataset, validation: int, left_out: dict[str, int]
) -> TrainResult:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    validation_losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    reason = f"the loss was not finite at step {watch.diverged_at}" if watch.diverged_at is not None else ""
    return TrainResult(
        model_dir=str(out / "model"),
        steps=trainer.state.global_step,
        final_loss=_finite(losses[-1]),
        best_validation_loss=min(filter(math.isfinite, validation_losses), default=None),
        diverged=bool(reason),
        diverged_reason=reason,
        tokens_per_second=watch.tokens_per_second * trainer.accelerator.num_processes,
        padding_share=1 - trainer.real_tokens / max(trainer.padded_tokens, 1),
        train_questions=len(steps.questions),
        validation_questions=validation,
        left_out=left_out,
        seconds=time.monotonic() - watch.started,
    )
