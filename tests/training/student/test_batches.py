"""Batches: the same loss as task by task, no padding in it, little padding around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from training.errors import TrainingInputError
from training.records import Question, TeacherRationales
from training.student.batches import MicroBatch, StepDataset, cut_rows, micro_batches
from training.student.collator import collate, padded
from training.student.config import StudentConfig
from training.student.encoding import EncodedRow, encode_prompts, encode_questions, encode_targets
from training.student.models import Student
from training.student.objectives import rows_of, task_weights
from training.student.trainer import target_loss

Data = tuple[list[Question], dict[str, TeacherRationales]]


def encoded_rows(student: Student, config: StudentConfig, data: Data, count: int = 6) -> list[EncodedRow]:
    questions, rationales = data
    encoded, _ = encode_questions(student, [rows_of(q, rationales[q.id], config) for q in questions[:count]], config)
    return [row for question in encoded for row in question.rows("all", 0, 0)]


@pytest.fixture
def data(questions: list[Question], rationales: dict[str, TeacherRationales]) -> Data:
    return questions, rationales


def loss_task_by_task(student: Student, rows: list[EncodedRow], weights: dict[str, float]) -> torch.Tensor:
    """The definition, without any of our batching: each row alone, unpadded; mean over a task's target tokens; weighted sum."""
    total = torch.zeros(())
    for task, weight in weights.items():
        losses = []
        for row in (row for row in rows if row.task == task):
            target = torch.tensor(row.target_ids)
            if student.is_encoder_decoder:
                start = student.model.config.decoder_start_token_id
                logits = student.model(
                    input_ids=torch.tensor([row.input_ids]),
                    decoder_input_ids=torch.tensor([[start, *row.target_ids[:-1]]]),
                ).logits[0]
            else:
                logits = student.model(input_ids=torch.tensor([row.input_ids + row.target_ids])).logits[0]
                logits = logits[len(row.input_ids) - 1 : -1]
            losses.append(functional.cross_entropy(logits, target, reduction="none"))
        total = total + weight * torch.cat(losses).mean()
    return total


@pytest.mark.parametrize("objective", ["standard", "multitask", "counterfactual", "multitask_counterfactual"])
@pytest.mark.parametrize("parts", [1, 3])
def test_one_flat_batch_has_the_loss_and_gradient_of_separate_passes(
    student: Student, config: StudentConfig, data: Data, objective: str, parts: int
) -> None:
    chosen = config.model_copy(update={"objective": objective, "alpha": 0.3, "beta": 0.6, "gamma": 0.7})
    weights = task_weights(chosen)
    rows = encoded_rows(student, chosen, data)
    expected = loss_task_by_task(student, rows, weights)  # type: ignore[arg-type]
    expected.backward()
    gradients = {n: p.grad.clone() for n, p in student.model.named_parameters() if p.grad is not None}
    student.model.zero_grad()
    total = 0.0
    for batch in micro_batches(rows, weights, parts, is_encoder_decoder=student.is_encoder_decoder):
        loss = target_loss(student, student.model, collate(student, batch))
        loss.backward()
        total += float(loss.detach())
    assert total == pytest.approx(float(expected.detach()), abs=1e-5)
    for name, parameter in student.model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)


def test_padding_does_not_count_in_the_loss(student: Student, config: StudentConfig, data: Data) -> None:
    """A row's loss beside a much longer row is its loss alone."""
    rows = sorted(encoded_rows(student, config, data), key=lambda row: row.tokens)
    short, long = rows[0], rows[-1]
    assert long.tokens > 2 * short.tokens
    alone = target_loss(student, student.model, collate(student, MicroBatch([short], [1.0])))
    beside = target_loss(student, student.model, collate(student, MicroBatch([short, long], [1.0, 0.0])))
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-5)


def test_only_target_tokens_are_learned_and_the_end_token_is_one(
    student: Student, config: StudentConfig, data: Data
) -> None:
    rows = encoded_rows(student, config, data, count=2)
    batch = collate(student, MicroBatch(rows, [1.0] * len(rows)))
    assert batch["target_ids"].tolist() == [token for row in rows for token in row.target_ids]
    assert all(row.target_ids[-1] == student.eos_id for row in rows)
    assert all(student.eos_id not in row.target_ids[:-1] for row in rows)
    if student.is_encoder_decoder:
        assert all(row.input_ids[-1] == student.eos_id for row in rows)
    else:  # what is learned never reaches into a prompt
        flat = batch["inputs"]["input_ids"].reshape(-1)
        assert flat[batch["positions"] + 1].tolist() == batch["target_ids"].tolist()
        assert all(student.eos_id not in row.input_ids for row in rows)


def test_rows_over_the_limits_are_left_out_whole_and_counted(
    student: Student, config: StudentConfig, data: Data
) -> None:
    questions, rationales = data
    few = [rows_of(q, rationales[q.id], config) for q in questions[:8]]
    everything, none_left_out = encode_questions(student, few, config)
    limit = sorted(len(row.target_ids) for q in everything for row in q.always)[-3]
    tight = config.model_copy(update={"max_target_tokens": limit})
    kept, left_out = encode_questions(student, few, tight)
    assert none_left_out == {}
    assert all(len(row.target_ids) <= limit for q in kept for row in (*q.always, *q.counterfactuals))
    before, after = (sum(len(q.always) + len(q.counterfactuals) for q in each) for each in (everything, kept))
    assert sum(left_out.values()) == before - after > 0


def steps(student: Student, config: StudentConfig, data: Data, processes: int = 1) -> StepDataset:
    questions, rationales = data
    encoded, _ = encode_questions(student, [rows_of(q, rationales[q.id], config) for q in questions], config)
    return StepDataset(student, encoded, task_weights(config), config, processes)


def step_ids(dataset: StepDataset, step: int) -> list[str]:
    return [dataset.questions[i].question_id for i in dataset.step_questions(step)[1]]


def test_an_epoch_visits_each_question_at_most_once_and_epochs_differ(
    student: Student, config: StudentConfig, data: Data
) -> None:
    dataset = steps(student, config, data)
    per_epoch = dataset.steps_per_epoch
    first = [name for step in range(per_epoch) for name in step_ids(dataset, step)]
    second = [name for step in range(per_epoch, 2 * per_epoch) for name in step_ids(dataset, step)]
    assert len(first) == len(set(first)) == per_epoch * config.batch_size
    assert first != second


def test_a_step_depends_on_the_seed_and_its_number_only(student: Student, config: StudentConfig, data: Data) -> None:
    dataset = steps(student, config, data)
    forward = [step_ids(dataset, step) for step in range(25)]
    fresh = steps(student, config, data)
    assert [step_ids(fresh, step) for step in reversed(range(25))] == forward[::-1]
    other = steps(student, config.model_copy(update={"seed": 1}), data)
    assert [step_ids(other, step) for step in range(25)] != forward


def test_the_parts_of_all_processes_are_the_rows_of_the_step(
    student: Student, config: StudentConfig, data: Data
) -> None:
    def contents(dataset: StepDataset) -> list[tuple[list[int], list[int], float]]:
        parts = [dataset[i] for i in range(dataset.parts)]
        found = [
            (r.input_ids, r.target_ids, w) for part in parts for r, w in zip(part.rows, part.weights, strict=True) if w
        ]
        return sorted(found)

    assert contents(steps(student, config, data, processes=3)) == contents(steps(student, config, data))


def test_a_step_with_fewer_rows_than_parts_gives_every_process_a_pass_without_weight(
    student: Student, config: StudentConfig, data: Data
) -> None:
    rows = encoded_rows(student, config, data, count=1)[:2]
    parts = micro_batches(rows, task_weights(config), 4, is_encoder_decoder=student.is_encoder_decoder)
    assert len(parts) == 4
    assert sum(len(part.rows) for part in parts if any(part.weights)) == 2
    empty = [part for part in parts if not any(part.weights)]
    assert [float(target_loss(student, student.model, collate(student, part)).detach()) for part in empty] == [0.0, 0.0]


def row_of_lengths(source: int, target: int) -> EncodedRow:
    return EncodedRow("predict", [1] * source, [1] * target)


def cost(rows: list[EncodedRow], groups: list[list[int]], *, is_encoder_decoder: bool) -> int:
    total = 0
    for group in (g for g in groups if g):
        if is_encoder_decoder:
            total += len(group) * (
                max(len(rows[i].input_ids) for i in group) + max(len(rows[i].target_ids) for i in group)
            )
        else:
            total += len(group) * max(rows[i].tokens for i in group)
    return total


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=40),
    parts=st.integers(1, 8),
    is_encoder_decoder=st.booleans(),
)
def test_cuts_keep_every_row_once_and_each_further_cut_pads_no_more(
    lengths: list[tuple[int, int]], parts: int, is_encoder_decoder: bool
) -> None:
    rows = [row_of_lengths(*each) for each in lengths]
    costs = []
    for wanted in (parts, parts + 1):
        groups = cut_rows(rows, wanted, is_encoder_decoder=is_encoder_decoder)
        assert sorted(i for group in groups for i in group) == list(range(len(rows)))
        assert len(groups) == wanted
        assert sum(map(bool, groups)) == min(wanted, len(rows))
        costs.append(cost(rows, groups, is_encoder_decoder=is_encoder_decoder))
    assert costs[1] <= costs[0]


def test_long_inputs_and_long_targets_are_kept_apart() -> None:
    rows = [row_of_lengths(*lengths) for lengths in [(50, 5), (5, 50), (49, 5), (5, 49)]]
    groups = cut_rows(rows, 2, is_encoder_decoder=True)
    assert sorted(sorted(group) for group in groups) == [[0, 2], [1, 3]]


def test_equal_rows_are_cut_evenly_so_that_more_parts_need_less_memory() -> None:
    groups = cut_rows([row_of_lengths(5, 5)] * 8, 4, is_encoder_decoder=True)
    assert [len(group) for group in groups] == [2, 2, 2, 2]


def test_length_grouping_lowers_the_share_of_padding(student: Student, config: StudentConfig, data: Data) -> None:
    def share(grouped: bool, accumulation: int) -> float:
        update = {"group_by_length": grouped, "gradient_accumulation": accumulation, "max_steps": 10}
        dataset = steps(student, config.model_copy(update=update), data)
        batches = [collate(student, dataset[i]) for i in range(len(dataset))]
        return 1 - sum(b["real_tokens"] for b in batches) / sum(b["padded_tokens"] for b in batches)

    assert share(True, 6) < share(True, 1) / 2
    assert share(True, 2) < share(False, 2)


def test_padding_goes_to_the_asked_side() -> None:
    ids, mask = padded([[5, 6], [7]], 0, left=True)
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]
    assert padded([[5, 6], [7]], 0)[0].tolist() == [[5, 6], [7, 0]]


def test_no_usable_rationale_at_all_is_an_error_that_says_so(student: Student, config: StudentConfig) -> None:
    with pytest.raises(TrainingInputError, match="no usable rationale"):
        StepDataset(student, [], task_weights(config), config)


def test_prompt_and_target_are_encoded_as_they_are_at_test_time(student: Student) -> None:
    (prompt,), (target,) = (
        encode_prompts(student, ["[predict] Question: x"]),
        encode_targets(student, ["The answer is x"]),
    )
    assert student.tokenizer.decode(target) == "The answer is x</s>"
    assert (prompt[-1] == student.eos_id) == student.is_encoder_decoder
    assert encode_prompts(student, []) == encode_targets(student, []) == []
    assert np.isfinite(len(prompt))
