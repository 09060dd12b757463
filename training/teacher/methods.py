"""The three generation methods: which prompts are asked for a question, and how their answers become rationales.

few_shot: one rationale of the right answer. counterfactual: one for every choice, asserted as if it were the answer; a choice
that occurs twice is written once. critique_revision: the few-shot rationale is criticised and then written again; the
critique goes into the revision's prompt whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import TeacherConfig
from training.errors import Cancelled
from training.records import GenerationMethod, Question
from training.student.config import Progress, ShouldStop
from training.student.objectives import same_text
from training.teacher.clean import Cleaned, clean
from training.teacher.engine import Decoding, Engine
from training.teacher.prompts import Kind, Prompt, PromptSet, drawn_adjectives, drawn_request, item_seed
from training.teacher.store import Journal, Row, claim, read_set


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be written: about a question, or about one of its choices (counterfactual; else -1)."""

    question: Question
    choice_index: int = -1

    @property
    def key(self) -> tuple[str, int]:
        """As store.item_key."""
        return self.question.id, self.choice_index

    @property
    def answer(self) -> str:
        """The text that the rationale argues for."""
        return self.question.answer if self.choice_index < 0 else self.question.choices[self.choice_index]


@dataclass(frozen=True, slots=True)
class TeacherWork:
    """All that writing one set needs."""

    config: TeacherConfig
    engine: Engine
    prompts: PromptSet
    seed: int


@dataclass(slots=True)
class Written:
    """What an item got: its clean text, how often it was asked again, and the tokens of all attempts."""

    cleaned: Cleaned
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def items_of(method: GenerationMethod, questions: Sequence[Question]) -> list[Item]:
    """What a method writes, in the order of the questions and choices; repeated choices are named once."""
    if method != "counterfactual":
        return [Item(question) for question in questions]
    return [
        Item(question, i)
        for question in questions
        for i, choice in enumerate(question.choices)
        if first_like(question, i) == i and choice.strip()
    ]


def first_like(question: Question, index: int) -> int:
    """The position of the first choice that reads the same."""
    return next(i for i, choice in enumerate(question.choices) if same_text(choice, question.choices[index]))


def make_set(
    work: TeacherWork,
    method: GenerationMethod,
    questions: Sequence[Question],
    teacher: Path,
    *,
    settings: Mapping[str, Any],
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> list[Row]:
    """Write one teacher set into teacher/<method>, going on where an earlier call stopped; its rows.

    Batches are cut from all items sorted by length, whatever is done already, so that an interrupted set ends the same.
    settings: what the set depends on (see pipeline).

    Raises:
        Cancelled: should_stop() said so between two batches; what was written is stored.
        TrainingInputError: the folder holds a set with other settings, or a prompt does not fit.
    """
    folder = teacher / method
    claim(folder, settings)
    done_file = folder / "rationales.jsonl"
    if done_file.exists():
        return read_set(folder)
    journal = Journal(folder)
    first = {}
    if method == "critique_revision":
        first = {row["question_id"]: row["rationale"] for row in read_set(teacher / "few_shot")}
    items = items_of(method, questions)
    order = sorted(range(len(items)), key=lambda i: (-_length(items[i]), i))
    size = work.config.batch_size
    batches = [[items[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
    write = _WRITERS[method]
    started, made, stage = time.monotonic(), 0, f"teacher {method}"
    if progress is not None:
        progress(stage, min(len(journal.rows), len(items)), len(items), {})
    done = 0
    for batch in batches:
        done += len(batch)
        if all(item.key in journal.rows for item in batch):
            continue
        if should_stop is not None and should_stop():
            raise Cancelled(f"stopped while the teacher wrote {method}: {done - len(batch)} of {len(items)} are stored")
        rows = write(work, method, batch, first)
        journal.append(rows)
        made += len(batch)
        if progress is not None:
            pace = (time.monotonic() - started) / made
            figures = {
                "failed": sum(row["rationale"] is None for row in journal.rows.values()),
                "completion_tokens": sum(row["completion_tokens"] for row in journal.rows.values()),
                "eta_seconds": pace * (len(items) - done),
            }
            progress(stage, done, len(items), figures)
    keys = _spread_repeated(method, journal, questions, items)
    journal.finish(done_file, keys)
    return read_set(folder)


def _length(item: Item) -> int:
    return len(item.question.text) + sum(map(len, item.question.choices)) + len(item.answer)


def _spread_repeated(
    method: GenerationMethod, journal: Journal, questions: Sequence[Question], items: Sequence[Item]
) -> list[tuple[str, int]]:
    """Keys of all rows in order; for a choice that reads like an earlier one, that one's row under its own index."""
    if method != "counterfactual":
        return [item.key for item in items]
    keys = []
    for question in questions:
        for i, choice in enumerate(question.choices):
            twin = journal.rows[question.id, first_like(question, i)]
            journal.rows[question.id, i] = {**twin, "choice_index": i, "choice": choice}
            keys.append((question.id, i))
    return keys


def _complete(
    work: TeacherWork,
    items: Sequence[Item],
    prompt_of: Callable[[Item, int], Prompt],
    limit: int,
    *,
    critique: bool = False,
) -> list[Written]:
    """A text for each item. prompt_of: the prompt of an attempt (0 first). critique: whether a critique is written.

    An item whose text is faulty is asked again with another seed, up to config.retries times.
    """
    config = work.config
    results = [Written(Cleaned("", "not asked")) for _ in items]
    open_items = list(range(len(items)))
    for attempt in range(config.retries + 1):
        temperature = config.temperature if attempt == 0 else max(config.temperature, config.retry_temperature)
        decoding = Decoding(limit, temperature, config.top_p, work.prompts.stop)
        completions = work.engine.generate([prompt_of(items[i], attempt) for i in open_items], decoding)
        for i, completion in zip(open_items, completions, strict=True):
            result = results[i]
            result.retries = attempt
            result.prompt_tokens += completion.prompt_tokens
            result.completion_tokens += completion.completion_tokens
            result.cleaned = clean(
                completion.text,
                answer="" if critique else items[i].answer,
                finished=completion.finished,
                copied_from=work.prompts.example_texts,
                critique=critique,
            )
        open_items = [i for i in open_items if results[i].cleaned.fault]
        if not open_items:
            break
    return results


def _row(item: Item, written: Written, **more: Any) -> Row:
    """A line of rationales.jsonl. A faulty text is kept as `rejected`, for whoever wants to know; nothing trains on it."""
    cleaned = written.cleaned
    row: Row = {"question_id": item.question.id}
    if item.choice_index >= 0:
        row |= {"choice_index": item.choice_index, "choice": item.answer}
    row["rationale"] = None if cleaned.fault else cleaned.text
    if cleaned.fault:
        row |= {"fault": cleaned.fault, "rejected": cleaned.text}
    counts = {
        "retries": written.retries,
        "prompt_tokens": written.prompt_tokens,
        "completion_tokens": written.completion_tokens,
    }
    return row | more | counts


def _write_rationales(
    work: TeacherWork, method: str, batch: Sequence[Item], first: Mapping[str, str | None]
) -> list[Row]:
    """few_shot and counterfactual: the same prompt, with the right answer or each choice in its place."""
    adjectives = {
        item.question.id: drawn_adjectives(work.prompts, work.seed, method, item.question.id) for item in batch
    }

    def prompt(item: Item, attempt: int) -> Prompt:
        seed = item_seed(work.seed, method, item.question.id, item.choice_index, attempt)
        return work.prompts.prompt(
            "rationale", item.question, seed, answer=item.answer, adjectives=adjectives[item.question.id]
        )

    texts = _complete(work, batch, prompt, work.config.max_new_tokens)
    return [
        _row(item, written, adjectives=adjectives[item.question.id]) for item, written in zip(batch, texts, strict=True)
    ]


def _write_revisions(
    work: TeacherWork, method: str, batch: Sequence[Item], first: Mapping[str, str | None]
) -> list[Row]:
    """critique_revision: a critique of the first rationale, then the revision. Without a first rationale there is nothing to
    revise, and the item fails.
    """
    requests = {item.question.id: drawn_request(work.prompts, work.seed, method, item.question.id) for item in batch}

    def prompt_of(kind: Kind, critiques: Mapping[str, str]) -> Callable[[Item, int], Prompt]:
        def prompt(item: Item, attempt: int) -> Prompt:
            id_ = item.question.id
            return work.prompts.prompt(
                kind,
                item.question,
                item_seed(work.seed, method, id_, kind, attempt),
                answer=item.answer,
                rationale=first[id_] or "",
                critique=critiques.get(id_, ""),
                request=requests[id_][0 if kind == "critique" else 1],
            )

        return prompt

    critique_limit = work.config.max_critique_tokens or work.config.max_new_tokens
    with_first = [item for item in batch if first.get(item.question.id)]
    critiques: dict[str, Written] = {}
    if with_first:
        texts = _complete(work, with_first, prompt_of("critique", {}), critique_limit, critique=True)
        critiques = {item.question.id: written for item, written in zip(with_first, texts, strict=True)}
    usable = [item for item in with_first if not critiques[item.question.id].cleaned.fault]
    revisions: dict[str, Written] = {}
    if usable:
        whole = {id_: written.cleaned.text for id_, written in critiques.items()}
        limit = work.config.max_new_tokens
        texts = _complete(work, usable, prompt_of("revision", whole), limit)
        revisions = {item.question.id: written for item, written in zip(usable, texts, strict=True)}
    rows = []
    for item in batch:
        id_ = item.question.id
        critique, revision = critiques.get(id_), revisions.get(id_)
        fault = "no first rationale" if critique is None else f"critique: {critique.cleaned.fault}"
        total = Written(revision.cleaned if revision else Cleaned("", fault))
        for written in (critique, revision):
            if written is not None:
                total.retries += written.retries
                total.prompt_tokens += written.prompt_tokens
                total.completion_tokens += written.completion_tokens
        rows.append(
            _row(
                item,
                total,
                first_rationale=first.get(id_),
                critique=critique.cleaned.text if revision and critique else None,
                critique_request=requests[id_][0],
                revision_request=requests[id_][1],
            )
        )
    return rows


_WRITERS: dict[str, Callable[[TeacherWork, str, Sequence[Item], Mapping[str, str | None]], list[Row]]] = {
    "few_shot": _write_rationales,
    "counterfactual": _write_rationales,
    "critique_revision": _write_revisions,
}
