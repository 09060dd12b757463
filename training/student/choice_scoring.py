"""Answers by constrained choice: which choice does the student find most likely, per token?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.modeling_outputs import BaseModelOutput

from training.student.collator import padded
from training.student.models import Student


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all sequences share, leaving at least one token of each."""
    shortest = min(len(sequence) for sequence in sequences)
    shared = 0
    while shared < shortest - 1 and len({sequence[shared] for sequence in sequences}) == 1:
        shared += 1
    return shared


def score_choices(
    student: Student, prompts: Sequence[list[int]], targets: Sequence[Sequence[list[int]]]
) -> list[list[float]]:
    """Mean log-probability (nats per token) of each question's targets after its prompt.

    prompts: token ids, one per question. targets: for each question one token list per choice. Tokens that all
    choices of a question share at the start ("The answer is") are not counted: they say nothing about the choice. The
    prompt, and for decoder-only models also the shared start, runs through the model once per question, not once per
    choice.
    """
    shared = [common_prefix(choices) for choices in targets]
    owner = torch.tensor([i for i, choices in enumerate(targets) for _ in choices], device=student.model.device)
    run = _encoder_decoder if student.is_encoder_decoder else _decoder_only
    with torch.inference_mode():
        flat = run(student, prompts, targets, shared, owner)
    scores = iter(flat)
    return [[next(scores) for _ in choices] for choices in targets]


def best_choice(scores: Sequence[float]) -> int | None:
    """Position of the highest score (the first of equals); None if any score is not a number, as in a diverged model."""
    if any(score != score for score in scores):
        return None
    return max(range(len(scores)), key=lambda i: scores[i])


def _mean_log_probabilities(logits: torch.Tensor, tokens: Sequence[list[int]]) -> list[float]:
    """logits: one row per token of `tokens` laid end to end."""
    flat = torch.tensor([token for row in tokens for token in row], device=logits.device)
    chosen = torch.log_softmax(logits.float(), dim=-1).gather(1, flat[:, None])[:, 0]
    return [float(part.mean()) for part in chosen.split([len(row) for row in tokens])]


def _encoder_decoder(
    student: Student,
    prompts: Sequence[list[int]],
    targets: Sequence[Sequence[list[int]]],
    shared: Sequence[int],
    owner: torch.Tensor,
) -> list[float]:
    model, device = student.model, student.model.device
    ids, mask = (tensor.to(device) for tensor in padded(prompts, student.pad_id))
    states = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
    rows = [target for choices in targets for target in choices]
    starts = [shared[i] for i in owner.tolist()]
    decoder_ids, _ = padded([[student.start_id, *row[:-1]] for row in rows], student.pad_id)
    width = decoder_ids.shape[1]
    positions = torch.cat(
        [torch.arange(start, len(row)) + i * width for i, (row, start) in enumerate(zip(rows, starts, strict=True))]
    )
    with student.selector.at(positions.to(device)):
        logits = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states[owner]),
            attention_mask=mask[owner],
            decoder_input_ids=decoder_ids.to(device),
            use_cache=False,
        ).logits
    return _mean_log_probabilities(logits, [row[start:] for row, start in zip(rows, starts, strict=True)])


def _decoder_only(
    student: Student,
    prompts: Sequence[list[int]],
    targets: Sequence[Sequence[list[int]]],
    shared: Sequence[int],
    owner: torch.Tensor,
) -> list[float]:
    model, device = student.model, student.model.device
    begun = [prompt + list(choices[0][:start]) for prompt, choices, start in zip(prompts, targets, shared, strict=True)]
    ids, mask = (tensor.to(device) for tensor in padded(begun, student.pad_id, left=True))
    lengths = mask.sum(dim=1)
    last = torch.arange(1, len(begun) + 1, device=device) * ids.shape[1] - 1
    with student.selector.at(last):
        first = model(
            input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0), use_cache=True
        )
    rests = [target[shared[i] :] for i, choices in enumerate(targets) for target in choices]
    width = max(len(rest) for rest in rests) - 1
    first_logits = first.logits[owner]
    if width == 0:
        return _mean_log_probabilities(first_logits, rests)
    cache = first.past_key_values
    cache.batch_select_indices(owner)
    rest_ids, rest_mask = (
        tensor.to(device) for tensor in padded([rest[:-1] or [student.pad_id] for rest in rests], student.pad_id)
    )
    positions = torch.cat([torch.arange(len(rest) - 1) + i * rest_ids.shape[1] for i, rest in enumerate(rests)]).to(
        device
    )
    with student.selector.at(positions):
        later = model(
            input_ids=rest_ids,
            attention_mask=torch.cat([mask[owner], rest_mask], dim=1),
            position_ids=lengths[owner][:, None] + torch.arange(rest_ids.shape[1], device=device),
            past_key_values=cache,
            use_cache=True,
        ).logits
    later_rows = later.split([len(rest) - 1 for rest in rests])
    logits = torch.cat([part for i in range(len(rests)) for part in (first_logits[i : i + 1], later_rows[i])])
    return _mean_log_probabilities(logits, rests)
