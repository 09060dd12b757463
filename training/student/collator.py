"""The collator: rows of all tasks as one flat, dynamically padded batch with a weight for each target token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from training.student.batches import MicroBatch
from training.student.models import Student


def padded(sequences: Sequence[Sequence[int]], fill: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as one rectangle filled up with `fill`, and the mask of what is real. Both of shape (rows, longest),
    int64.
    """
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), fill, dtype=torch.int64)
    mask = torch.zeros((len(sequences), width), dtype=torch.int64)
    for i, sequence in enumerate(sequences):
        where = slice(width - len(sequence), width) if left else slice(0, len(sequence))
        ids[i, where] = torch.tensor(sequence, dtype=torch.int64)
        mask[i, where] = 1
    return ids, mask


def collate(student: Student, batch: MicroBatch) -> dict[str, Any]:
    """The tensors of one pass.

    inputs: what the model's forward takes. positions: flat indices of the places whose next token is a target,
    target_ids: those tokens, token_weights: their weights (all of shape (target tokens,)); real_tokens and
    padded_tokens: how many tokens are needed and how many are computed. A decoder-only model needs no mask here:
    padding is on the right, where causal attention never looks.
    """
    if student.is_encoder_decoder:
        input_ids, mask = padded([row.input_ids for row in batch.rows], student.pad_id)
        start = student.start_id
        decoder_ids, _ = padded([[start, *row.target_ids[:-1]] for row in batch.rows], student.pad_id)
        inputs = {"input_ids": input_ids, "attention_mask": mask, "decoder_input_ids": decoder_ids}
        width, first = decoder_ids.shape[1], [0] * len(batch.rows)
        computed = input_ids.numel() + decoder_ids.numel()
    else:
        input_ids, _ = padded([row.input_ids + row.target_ids for row in batch.rows], student.pad_id)
        inputs = {"input_ids": input_ids}
        width, first = input_ids.shape[1], [len(row.input_ids) - 1 for row in batch.rows]
        computed = input_ids.numel()
    positions = [torch.arange(len(row.target_ids)) + i * width + first[i] for i, row in enumerate(batch.rows)]
    weights = [
        torch.full((len(row.target_ids),), weight) for row, weight in zip(batch.rows, batch.weights, strict=True)
    ]
    return {
        "inputs": inputs,
        "positions": torch.cat(positions),
        "target_ids": torch.tensor([token for row in batch.rows for token in row.target_ids]),
        "token_weights": torch.cat(weights),
        "real_tokens": sum(row.tokens for row in batch.rows),
        "padded_tokens": computed,
    }
