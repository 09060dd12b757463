"""Cleaning what a teacher wrote. One function for all of it, so that what is trained on and what goes into the next prompt
are the same text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from training.student.measures import repeated_share
from training.student.objectives import one_line

NEW_TURN = re.compile(
    r"""(?:^|\n)\s*(?:\#+\s*|\*\*|\d+\.\s*)?(?:
        question|choices|options|answer|premise|hypothesis|explanation|rationale|critique|revision|request
        |critique\ request|revision\ request|assistant|user|human|system|example|q|a
    )(?:\s*\d+)?(?:\s*\([^)\n]*\))?\s*(?:\*\*)?:""",
    re.IGNORECASE | re.VERBOSE,
)
"""The beginning of a turn at the start of a line, as in the worked examples: the text before it is what was asked for."""

INLINE_QUESTION = re.compile(r"(?<=[.!?\"'])\s*(?:Question|Premise)\s*\d*:\s")
"""An invented next question that follows without a line break."""

SPECIAL_TOKEN = re.compile(r"<\|[^|>\n]{1,40}\|>|</?s>|<pad>|<(?:start|end)_of_turn>")
LABEL = re.compile(
    r"^\s*(?:\*\*)?(?:(?:revised|improved)\s+)?(?:explanation|rationale|critique|revision|assistant)(?:\s*\([^)\n]*\))?\s*:\s*(?:\*\*)?\s*",
    re.IGNORECASE,
)
ANSWER_SENTENCE = r"(?:so|therefore|thus|hence)?,?\s*(?:the\s+)?(?:correct\s+|right\s+)?answer\s+is:?\s*{answer}"
SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)")

ABOUT_ITSELF = re.compile(
    r"\b(?:the|this|my|your|a better|the revised) (?:explanation|rationale|critique|revision)\b|\bassistant's\b",
    re.IGNORECASE,
)
"""A rationale that speaks of itself is a critique in disguise; it says nothing to a reader who only has the question."""

MIN_WORDS = 4
REPETITIVE_SHARE = 0.3
REPEATED_SENTENCES = 2


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned text, and why it must not be used ("" if it can be)."""

    text: str
    fault: str = ""


def clean(
    raw: str, *, answer: str = "", finished: bool = True, copied_from: Collection[str] = (), critique: bool = False
) -> Cleaned:
    """Make a completion usable, or say why it is not.

    Leading white space and labels go; the text ends where an invented next question or turn begins; line breaks become
    spaces, so that nothing behind a leading or inner one is lost; a sentence that only says "The answer is <answer>" goes;
    where the token limit cut it off (finished False), it ends with its last whole sentence. copied_from: texts of the worked
    examples, of which none may be repeated. critique: only a critique may speak of the explanation itself.
    """
    text = next((part for part in SPECIAL_TOKEN.split(raw) if part.strip()), "").strip()
    text = LABEL.sub("", text, count=1)
    for pattern in (NEW_TURN, INLINE_QUESTION):
        if (match := pattern.search(text)) is not None:
            text = text[: match.start()]
    text = one_line(text)
    text = _without_answer_sentences(text, answer)
    if not finished:
        text = _whole_sentences(text)
    fault = _fault(text, copied_from)
    if not fault and not critique and ABOUT_ITSELF.search(text):
        fault = "about itself"
    return Cleaned(text, fault)


def _without_answer_sentences(text: str, answer: str) -> str:
    """The text without sentences that only repeat the answer, at its beginning and end."""
    if not answer:
        return text
    said = ANSWER_SENTENCE.format(
        answer=r"[\"'(]*(?:\(?[a-g]\)\s*)?(?:(?:an?|the)\s+)?" + re.escape(one_line(answer)) + r"[\"')]*"
    )
    text = re.sub(rf"^(?:{said}\s*(?:[.!]\s*|$))+", "", text, flags=re.IGNORECASE)
    return re.sub(rf"(?:(?<=[.!?])\s+|^){said}\s*[.!]?$", "", text, flags=re.IGNORECASE).strip()


def _whole_sentences(text: str) -> str:
    """The text up to its last sentence end; unchanged where there is none."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def _fault(text: str, copied_from: Collection[str]) -> str:
    words = text.split()
    if not words:
        return "empty"
    if len(words) < MIN_WORDS:
        return "too short"
    if repeated_share(text) > REPETITIVE_SHARE:
        return "repetitive"
    sentences = [s.strip().casefold() for s in re.split(r"(?<=[.!?])\s+", text) if len(s.split()) >= MIN_WORDS]
    if any(sentences.count(sentence) > REPEATED_SENTENCES for sentence in set(sentences)):
        return "repetitive"
    if text in copied_from:
        return "copied from a worked example"
    if sum(c.isalpha() for c in text) < len(text.replace(" ", "")) / 2:
        return "not prose"
    return ""
