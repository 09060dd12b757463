"""Batched decoding and choice scoring: a batch gives what each row alone would give."""

from __future__ import annotations

import pytest
import torch

from training.student.choice_scoring import best_choice, common_prefix, score_choices
from training.student.encoding import encode_prompts, encode_targets
from training.student.generation import generate
from training.student.measures import repeated_share
from training.student.models import Student

PROMPTS = ["Where?", "Where would somebody look for a spoon in the early morning?", "Question: What is it, and why so?"]
CHOICES = [
    ["car", "cargo"],
    ["a kitchen", "a garden", "a library"],
    ["ice", "ice", "an ice cream parlour in the harbour"],
]


def test_a_batch_of_prompts_of_any_length_gives_the_text_of_each_alone(student: Student) -> None:
    prompts = encode_prompts(student, PROMPTS)
    assert len({len(prompt) for prompt in prompts}) == 3
    together = generate(student, prompts, 12)
    alone = [generate(student, [prompt], 12)[0] for prompt in prompts]
    assert together == alone


def test_the_token_limit_is_kept_and_told(student: Student) -> None:
    (cut,) = generate(student, encode_prompts(student, PROMPTS[:1]), 3)
    assert not cut.finished or cut.text == generate(student, encode_prompts(student, PROMPTS[:1]), 30)[0].text


def test_the_end_token_ends_a_text(student: Student) -> None:
    """With an output layer that prefers the end token everywhere, nothing is written and the text counts as finished."""
    head = student.model.get_output_embeddings()
    bias = torch.full((head.weight.shape[0],), 0.0)
    bias[student.eos_id] = 1e4
    head.bias = torch.nn.Parameter(bias)
    (done,) = generate(student, encode_prompts(student, PROMPTS[:1]), 5)
    assert (done.text, done.finished) == ("", True)


def test_repetition_is_prevented_when_asked_and_the_prompt_may_still_be_quoted(student: Student) -> None:
    prompts = encode_prompts(student, PROMPTS)
    plain = generate(student, prompts, 60)
    held = generate(student, prompts, 60, no_repeat_ngram_size=2)
    assert max(repeated_share(each.text, 2) for each in plain) >= max(repeated_share(each.text, 2) for each in held)
    assert generate(student, prompts, 60, repetition_penalty=5.0) != plain
    # A ban that looked at the prompt would change the very first tokens of a model that copies; ours begins with the output.
    assert generate(student, prompts, 1, no_repeat_ngram_size=1) == generate(student, prompts, 1)


def plain_score(student: Student, prompt: list[int], target: list[int], shared: int) -> float:
    """Mean log-probability of the target's tokens after the shared ones, one row, no cache, no padding."""
    if student.is_encoder_decoder:
        decoder = torch.tensor([[student.model.config.decoder_start_token_id, *target[:-1]]])
        logits = student.model(input_ids=torch.tensor([prompt]), decoder_input_ids=decoder).logits[0]
    else:
        logits = student.model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.log_softmax(-1)[torch.arange(len(target)), torch.tensor(target)]
    return float(chosen[shared:].mean().detach())


@pytest.mark.parametrize("end", [True, False])
def test_choice_scores_are_those_of_single_rows_without_cache(student: Student, end: bool) -> None:
    prompts = encode_prompts(student, PROMPTS)
    targets = [
        encode_targets(student, [f"The answer is {choice}" for choice in choices], end=end) for choices in CHOICES
    ]
    scores = score_choices(student, prompts, targets)
    for prompt, choices, found in zip(prompts, targets, scores, strict=True):
        shared = common_prefix(choices)
        expected = [plain_score(student, prompt, target, shared) for target in choices]
        assert found == pytest.approx(expected, abs=2e-4)


def test_choices_of_one_token_each_are_scored(student: Student) -> None:
    prompts = encode_prompts(student, PROMPTS[:2])
    targets = [[[10], [11]], [[12], [13]]]
    scores = score_choices(student, prompts, targets)
    assert scores[1] == pytest.approx([plain_score(student, prompts[1], [token], 0) for token in (12, 13)], abs=2e-4)


def test_longer_choices_are_not_punished_for_their_length() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert common_prefix([[1, 2], [1, 2]]) == 1
    assert common_prefix([[1], [1, 2]]) == 0


def test_the_best_choice_is_the_first_of_equals_and_none_for_a_broken_model() -> None:
    assert best_choice([-2.0, -1.0, -1.0]) == 1
    assert best_choice([-2.0, float("nan")]) is None
