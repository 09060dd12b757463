"""Greedy decoding of many prompts in batches with a key/value cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from training.student.collator import padded
from training.student.models import Student


@dataclass(frozen=True, slots=True)
class Generated:
    """One output; finished is False where the token limit cut it off."""

    text: str
    finished: bool


class OnOutputOnly(LogitsProcessor):
    """Applies a processor to what was generated, without the prompt: repeating the question's words is no fault of an
    explanation.
    """

    def __init__(self, inner: LogitsProcessor, prompt_width: int) -> None:
        self.inner = inner
        self.prompt_width = prompt_width

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        output: torch.LongTensor = input_ids[:, self.prompt_width :]  # type: ignore[assignment]
        return self.inner(output, scores) if output.shape[1] else scores


def generate(
    student: Student,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    *,
    no_repeat_ngram_size: int = 0,
    repetition_penalty: float = 1.0,
) -> list[Generated]:
    """Decode one batch greedily. prompts: token ids as encoding.encode_prompts gives them; padding goes to the left of a
    decoder-only prompt, where the mask and the positions leave it out, so that a row's text is that of the row alone.
    """
    model: Any = student.model
    ids, mask = padded(prompts, student.pad_id, left=not student.is_encoder_decoder)
    width = 1 if student.is_encoder_decoder else ids.shape[1]  # what precedes the output: the start token or the prompt
    processors = LogitsProcessorList()
    if no_repeat_ngram_size:
        processors.append(OnOutputOnly(NoRepeatNGramLogitsProcessor(no_repeat_ngram_size), width))
    if repetition_penalty != 1:
        processors.append(OnOutputOnly(RepetitionPenaltyLogitsProcessor(repetition_penalty), width))
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=student.pad_id,
        eos_token_id=student.eos_id,
        decoder_start_token_id=student.start_id if student.is_encoder_decoder else None,
    )
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=processors,
        )
    results = []
    for row in output[:, width:].tolist():
        finished = student.eos_id in row
        kept = row[: row.index(student.eos_id)] if finished else row
        text = str(student.tokenizer.decode(kept, skip_special_tokens=True))
        results.append(Generated(text.strip(), finished))
    return results
