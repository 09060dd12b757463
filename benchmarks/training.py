"""How fast a student trains, against the reference's way of doing the same step.

    python -m benchmarks.training --data ../shared/data/paper/teacher_llama_train.jsonl.gz

The reference's way (public code of arXiv 2504.16056): one forward pass per task, inputs and labels padded to the
longest of 1,000 rows, all positions through the output layer, gradient checkpointing, float32. Both sides train the
same T5 (the sizes of t5-small, random weights, the same attention code) on the same steps of the same questions with
the same four rows each (one counterfactual per question). Steps of the variants alternate; on a CPU their processor
time counts. The loss compared is the one with padding ignored, on both sides. Peak memory is taken in a process of its
own for each variant.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from training.memory import freed_memory_is_kept
from training.records import Question, TeacherRationales
from training.student.batches import StepDataset
from training.student.collator import collate, padded
from training.student.config import StudentConfig
from training.student.encoding import EncodedQuestion, encode_questions
from training.student.models import Student, bf16_in_hardware, choose_attention, default_device, load_student
from training.student.objectives import rows_of, task_weights
from training.student.trainer import target_loss

MAP_BATCH = 1000
VARIANTS: dict[str, dict[str, bool]] = {
    "reference": {"ours": False, "bf16": False, "checkpointing": True},
    "reference, bf16": {"ours": False, "bf16": True, "checkpointing": True},
    "Blindrate, same settings": {"ours": True, "bf16": False, "checkpointing": True},
    "Blindrate, bf16, checkpointing": {"ours": True, "bf16": True, "checkpointing": True},
    "Blindrate, recommended": {"ours": True, "bf16": True, "checkpointing": False},
}


def read_data(path: Path | None) -> tuple[list[Question], dict[str, TeacherRationales]]:
    """The teacher's real outputs, or as many made-up ones with word counts of the same spread (log-normal, median 38
    words).
    """
    questions, rationales = [], {}
    if path is None:
        rng = random.Random(0)
        words = [
            f"{a}{b}" for a in ("lo", "mi", "ka", "ter", "sun", "pre") for b in ("ra", "den", "vo", "ling", "st", "m")
        ]

        def text(median: int) -> str:
            count = int(rng.lognormvariate(math.log(median), 0.45))
            return " ".join(rng.choices(words, k=max(5, min(110, count))))

        for i in range(4 * MAP_BATCH):
            choices = tuple(rng.choice(words) + f" {k}" for k in range(5))
            questions.append(Question(f"q{i}", text(13), choices, choices[i % 5], "made", "train"))
            rationales[f"q{i}"] = TeacherRationales(f"q{i}", text(38), tuple(text(38) for _ in range(5)))
        return questions, rationales
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            questions.append(Question(row["id"], row["question"], tuple(row["choices"]), row["answer"], "cqa", "train"))
            counterfactual = tuple(row["counterfactual_rationales"])
            rationales[row["id"]] = TeacherRationales(
                row["id"], row["few_shot_rationale"], counterfactual, None, row["revised_rationale"]
            )
    return questions, rationales


def make_model(folder: Path, texts: Sequence[str]) -> None:
    """A T5 of small size with random weights and a unigram tokenizer trained on the texts."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=32000, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=32128,
        d_model=512,
        d_kv=64,
        d_ff=2048,
        num_layers=6,
        num_heads=8,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)


def reference_batches(
    encoded: Sequence[EncodedQuestion], config: StudentConfig
) -> dict[str, dict[str, tuple[int, int]]]:
    """For each question and task, the input and label lengths that the reference pads to: the longest of its 1,000 rows."""
    widths: dict[str, dict[str, tuple[int, int]]] = {}
    for start in range(0, len(encoded), MAP_BATCH):
        block = encoded[start : start + MAP_BATCH]
        longest: dict[str, tuple[int, int]] = {}
        for question in block:
            for row in question.rows("one_per_epoch", 0, config.seed):
                a, b = longest.get(row.task, (0, 0))
                longest[row.task] = max(a, len(row.input_ids)), max(b, len(row.target_ids))
        for question in block:
            widths[question.question_id] = longest
    return widths


def filled(ids: torch.Tensor, width: int, fill: int) -> torch.Tensor:
    """Padded on to a given width."""
    return functional.pad(ids, (0, width - ids.shape[1]), value=fill)


def reference_step(
    student: Student, questions: Sequence[EncodedQuestion], widths: dict[str, Any], config: StudentConfig
) -> tuple[float, int, int]:
    """One step the reference's way. Returns its loss, the tokens needed and the tokens computed."""
    rows = [row for question in questions for row in question.rows("one_per_epoch", 0, config.seed)]
    device = student.model.device
    loss: Any = 0
    computed = 0
    for task, weight in task_weights(config).items():
        mine = [row for row in rows if row.task == task]
        longest = [max(widths[q.question_id][task][k] for q in questions) for k in (0, 1)]
        ids, mask = (
            filled(t, longest[0], 0).to(device) for t in padded([row.input_ids for row in mine], student.pad_id)
        )
        labels, real = (
            filled(t, longest[1], 0).to(device) for t in padded([row.target_ids for row in mine], student.pad_id)
        )
        computed += ids.numel() + labels.numel()
        labels = labels.masked_fill(real == 0, -100)
        loss = loss + weight * student.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
    loss.backward()
    return float(loss.detach()), sum(row.tokens for row in rows), computed


def our_step(student: Student, steps: StepDataset, number: int) -> tuple[float, int, int]:
    """One step of StepDataset. Returns its loss, the tokens needed and the tokens computed."""
    total, real, computed = 0.0, 0, 0
    device = student.model.device
    for batch in steps.step(number):
        tensors = collate(student, batch)
        tensors["inputs"] = {name: tensor.to(device) for name, tensor in tensors["inputs"].items()}
        tensors |= {name: tensors[name].to(device) for name in ("positions", "target_ids", "token_weights")}
        loss = target_loss(student, student.model, tensors)
        loss.backward()
        total += float(loss.detach())
        real += tensors["real_tokens"]
        computed += tensors["padded_tokens"]
    return total, real, computed


def clock() -> float:
    """Seconds: by the clock on a GPU, of processor time (all threads) on a CPU, where other work would blur the clock."""
    return time.perf_counter() if default_device() == "cuda" else time.process_time()


class Bench:
    """The model, the data and one optimizer, ready to run any variant's step."""

    def __init__(self, folder: Path, data: Path | None, limit: int, batch: int, parts: int, target: str) -> None:
        questions, rationales = read_data(data)
        questions = questions[:limit]
        self.config = StudentConfig(
            model=str(folder),
            target=target,
            counterfactuals="one_per_epoch",
            batch_size=batch,
            gradient_accumulation=parts,
            max_steps=10**6,
        )
        if not (folder / "config.json").exists():
            all_rows = [rows_of(q, rationales[q.id], self.config) for q in questions]
            make_model(
                folder, [f"{r.input} {r.target}" for rows in all_rows for r in (*rows.always, *rows.counterfactuals)]
            )
        self.student = load_student(str(folder))
        choose_attention(self.student.model, "auto")
        self.student.model.to(default_device()).train()  # type: ignore[arg-type]
        self.encoded, _ = encode_questions(
            self.student, [rows_of(q, rationales[q.id], self.config) for q in questions], self.config
        )
        self.widths = reference_batches(self.encoded, self.config)
        self.steps = StepDataset(self.student, self.encoded, task_weights(self.config), self.config)
        self.optimizer = torch.optim.AdamW(self.student.model.parameters(), lr=0.0)

    def questions(self, number: int) -> list[EncodedQuestion]:
        """The questions of a step, the same for all variants."""
        return [self.steps.questions[i] for i in self.steps.step_questions(number)[1]]

    def run(self, name: str, number: int) -> tuple[float, float, int, int]:
        """One whole step of a variant: seconds, loss, tokens needed, tokens computed. The learning rate is 0, so that
        losses can be compared.
        """
        variant, model = VARIANTS[name], self.student.model
        if variant["checkpointing"]:
            model.activation_checkpointing_enable({"use_reentrant": False})
        else:
            model.activation_checkpointing_disable()
        began = clock()
        with torch.autocast(default_device(), torch.bfloat16, enabled=variant["bf16"]):
            if variant["ours"]:
                loss, real, computed = our_step(self.student, self.steps, number)
            else:
                loss, real, computed = reference_step(self.student, self.questions(number), self.widths, self.config)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if default_device() == "cuda":
            torch.cuda.synchronize()
        return clock() - began, loss, real, computed


def padding_shares(bench: Bench, steps: int) -> dict[int, float]:
    """Share of computed tokens that are padding over whole data, for several numbers of micro-batches at 48 questions
    per step.
    """
    shares = {}
    for parts in (1, 4, 8, 12, 16):
        config = bench.config.model_copy(update={"batch_size": 48, "gradient_accumulation": parts})
        dataset = StepDataset(bench.student, bench.encoded, task_weights(config), config)
        batches = [collate(bench.student, part) for number in range(steps) for part in dataset.step(number)]
        shares[parts] = 1 - sum(b["real_tokens"] for b in batches) / sum(b["padded_tokens"] for b in batches)
    return shares


def own_peak_memory() -> float:
    """Peak resident MiB of this process (Linux). Not ru_maxrss, which a child takes over from the process that started it."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def peak_memory(arguments: Sequence[str], name: str) -> float:
    """Peak resident memory in MiB of a fresh process that loads the questions and runs one step of a variant."""
    command = [sys.executable, "-m", "benchmarks.training", *arguments, "--memory-of", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="teacher's outputs, .jsonl.gz; without it, made-up texts")
    parser.add_argument("--target", choices=["few_shot", "critique_revision"], default="critique_revision")
    parser.add_argument("--steps", type=int, default=3, help="steps that every variant runs")
    parser.add_argument("--batch", type=int, default=48, help="questions per step")
    parser.add_argument("--micro-batches", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=MAP_BATCH, help="train on the first questions of the data")
    parser.add_argument("--padding-steps", type=int, default=40, help="steps over which padding is counted")
    parser.add_argument("--memory", action="store_true", help="measure peak memory, not speed")
    parser.add_argument("--memory-of", choices=list(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--model-dir", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.model_dir or Path(tempfile.mkdtemp())
    bench = Bench(folder, options.data, options.rows, options.batch, options.micro_batches, options.target)
    with freed_memory_is_kept():
        if options.memory_of:
            bench.run(options.memory_of, 0)
            print(own_peak_memory())
        elif options.memory:
            report_memory(options, folder)
        else:
            report_speed(bench, options)


def report_speed(bench: Bench, options: argparse.Namespace) -> None:
    """Run the steps of all variants and print a Markdown table."""
    device = torch.cuda.get_device_name() if default_device() == "cuda" else f"CPU, {options.threads} threads"
    hardware = bf16_in_hardware(default_device())
    print(f"{device}; {platform.machine()}; bf16 in hardware: {hardware}; torch {torch.__version__}")
    shares = {parts: f"{share:.1%}" for parts, share in padding_shares(bench, options.padding_steps).items()}
    print("padding at 48 questions per step by micro-batches:", shares, flush=True)
    totals: dict[str, list[float]] = {name: [0.0, 0.0, 0, 0] for name in VARIANTS}
    number_of_steps = min(options.steps, bench.steps.steps_per_epoch)
    bench.run(next(reversed(VARIANTS)), 0)  # warm up
    for number in range(number_of_steps):
        for name in VARIANTS:
            for k, value in enumerate(bench.run(name, number)):
                totals[name][k] += value
            print(
                f"step {number + 1} of {number_of_steps}, {name}: {totals[name][0]:.1f} s in all",
                file=sys.stderr,
                flush=True,
            )
    examples = 4 * options.batch * number_of_steps
    base = totals["reference"][0]
    same_precision = {True: totals["reference, bf16"][0], False: base}
    print("\n| way | examples/s | × reference | × at equal precision | loss | computed per real token | padding |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (seconds, loss, real, computed) in totals.items():
        ratio = same_precision[VARIANTS[name]["bf16"]] / seconds
        speed = f"{examples / seconds:.1f} | {base / seconds:.2f} | {ratio:.2f}"
        print(
            f"| {name} | {speed} | {loss / number_of_steps:.4f} | {computed / real:.2f} | {1 - real / computed:.1%} |",
            flush=True,
        )


def report_memory(options: argparse.Namespace, folder: Path) -> None:
    """Run a step of each variant in a process of its own and print a Markdown table."""
    arguments = ["--batch", str(options.batch), "--threads", str(options.threads), "--rows", str(options.rows)]
    arguments += ["--target", options.target, "--micro-batches", str(options.micro_batches), "--model-dir", str(folder)]
    arguments += ["--data", str(options.data)] if options.data else []
    print("| way | peak memory of a process, MiB |\n| --- | ---: |")
    for name in VARIANTS:
        print(f"| {name} | {peak_memory(arguments, name):.0f} |", flush=True)


if __name__ == "__main__":
    main()
