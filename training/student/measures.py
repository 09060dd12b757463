"""Automatic measures of explanations and accuracies: what can be said without a human rater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from training.student.answers import mentions
from training.student.objectives import one_line, same_text

BOOTSTRAP_SEED = 42
REPETITIVE_SHARE = 0.3


def accuracy_interval(correct: Sequence[bool], resamples: int) -> list[float]:
    """95 % bootstrap confidence interval of a share (BCa; Efron 1987), seeded. All values equal: that value twice, since
    no resample differs.
    """
    values = np.asarray(correct, dtype=float)
    if values.size < 2 or values.min() == values.max():
        return [float(values.mean())] * 2
    result = bootstrap(
        (values,), np.mean, n_resamples=resamples, batch=500, method="BCa", rng=np.random.default_rng(BOOTSTRAP_SEED)
    )
    return [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def difference_interval(first: Sequence[bool], second: Sequence[bool], resamples: int) -> list[float]:
    """95 % percentile bootstrap interval of the difference of two shares over the same questions (resampled in pairs)."""
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if differences.size < 2 or differences.min() == differences.max():
        return [float(differences.mean())] * 2
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    result = bootstrap((differences,), np.mean, n_resamples=resamples, batch=500, method="percentile", rng=rng)
    return [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def chance_level(choices: Sequence[Sequence[str]]) -> float:
    """Expected accuracy of guessing one of the choices of each question."""
    return float(np.mean([1 / len(each) for each in choices]))


def repeated_share(text: str, n: int = 3) -> float:
    """Share of the text's word n-grams that occurred before in it: 0 for text without repetition, near 1 for a loop."""
    words = one_line(text).casefold().split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distractors_mentioned(explanation: str, choices: Sequence[str], answer: str) -> int:
    """How many choices other than `answer` the explanation names as whole words; repeated choices count once."""
    wrong = [
        c for i, c in enumerate(choices) if not same_text(c, answer) and not any(same_text(c, d) for d in choices[:i])
    ]
    return sum(mentions(explanation, choice) for choice in wrong)


def explanation_measures(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measures over explanations. Each item: explanation, choices, predicted (text or None), finished, and agrees (bool,
    or None where not asked).

    empty, repetitive (over 30 % repeated word trigrams) and cut_off count faulty explanations; all others are means
    over explanations that are not empty: length_characters, length_words, distractors_mentioned (wrong choices named,
    seen from the student's own answer), mentions_a_distractor, answer_leakage (the explanation names the student's
    answer), agreement (the explanation alone leads the student to the answer it gave).
    """
    texts = [str(item["explanation"]) for item in items]
    written = [item for item in items if item["explanation"]]
    counts: dict[str, Any] = {
        "n": len(items),
        "empty": len(items) - len(written),
        "repetitive": sum(repeated_share(text) > REPETITIVE_SHARE for text in texts),
        "cut_off": sum(not item["finished"] for item in items),
    }
    if not written:
        return counts
    lengths = [len(str(item["explanation"])) for item in written]
    named = [distractors_mentioned(item["explanation"], item["choices"], item["predicted"] or "") for item in written]
    agreement = [item["agrees"] for item in written if item["agrees"] is not None]
    return counts | {
        "length_characters": float(np.mean(lengths)),
        "length_characters_sd": float(np.std(lengths)),
        "length_words": float(np.mean([len(item["explanation"].split()) for item in written])),
        "distractors_mentioned": float(np.mean(named)),
        "mentions_a_distractor": float(np.mean([count > 0 for count in named])),
        "answer_leakage": float(np.mean([mentions(item["explanation"], item["predicted"] or "") for item in written])),
        "agreement": float(np.mean(agreement)) if agreement else None,
    }
