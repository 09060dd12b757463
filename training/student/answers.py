"""Reading a student's output: which choice it gives, and which part of it is the explanation."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from training.student.objectives import Task, one_line, same_text

ANSWER_MARK = re.compile(r"\banswer\s+is\b\s*:?", re.IGNORECASE)
SO_THE_ANSWER = re.compile(r"\bso,?\s+the\s+answer\s+is\b", re.IGNORECASE)
TAG = re.compile(r"^\s*(?:\[\w+\]\s*)?(?:(?:Answer|Rationale):\s*)?", re.IGNORECASE)
LEAD = re.compile(r"^[\s\"'`*(\[:-]*(?:(?:an?|the)\s+)?", re.IGNORECASE)
LETTER = re.compile(r"^\s*\(?([a-z])\)(?!\w)", re.IGNORECASE)


def phrase(text: str) -> re.Pattern[str]:
    """A pattern for the text as whole words, whatever its case and spacing: "car" is not found in "cargo"."""
    words = r"\s+".join(re.escape(word) for word in one_line(text).split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def mentions(text: str, choice: str) -> bool:
    """Whether the text holds the choice as whole words."""
    return bool(one_line(choice)) and phrase(choice).search(text) is not None


def parse_answer(task: Task, text: str, choices: Sequence[str]) -> int | None:
    """The position of the choice that an output gives, or None where it gives none or more than one.

    Looks behind "answer is" (the last one where an explanation comes first, else the first one), then for a choice
    that stands right there, the longest if several do ("ice cream" before "ice"), then for a letter such as "(b)",
    then for the only choice named in that sentence. Case, articles, quotes and full stops do not matter. Of repeated
    choices the first is returned.
    """
    marks = list(ANSWER_MARK.finditer(text))
    mark = None if not marks else marks[-1] if task in ("factual", "counterfactual") else marks[0]
    if mark is None and task in ("factual", "counterfactual"):
        return None  # an explanation that names a choice is not yet an answer
    tail = text[mark.end() :] if mark else TAG.sub("", text, count=1)
    by_length = sorted(range(len(choices)), key=lambda i: (-len(one_line(choices[i])), i))
    stripped = LEAD.sub("", tail, count=1)
    for candidate in (tail.strip(), stripped):
        for i in by_length:
            if one_line(choices[i]) and phrase(choices[i]).match(candidate):
                return i
    if (letter := LETTER.match(tail)) and (position := ord(letter[1].lower()) - ord("a")) < len(choices):
        return position
    sentence = re.split(r"\.\s|\n", tail.strip(), maxsplit=1)[0]
    named: list[int] = []
    for i in by_length:
        if mentions(sentence, choices[i]):
            named.append(i)
            sentence = phrase(choices[i]).sub(" ", sentence)
    distinct = [i for k, i in enumerate(named) if not any(same_text(choices[i], choices[j]) for j in named[:k])]
    return distinct[0] if len(distinct) == 1 else None


def exact_match(task: Task, text: str, answer: str) -> bool:
    """The reference's own score, for comparison: the whole output (predict), or what follows the last "So the answer is
    " (factual), must equal the target.

    For `standard`, whose score the reference never computed over all rows, the output must begin with the target's
    answer sentence.
    """
    if task == "factual":
        return text.rsplit("So the answer is ", 1)[-1].strip() == f"{answer}."
    if task == "standard":
        return text.strip().startswith(f"[answer] The answer is {answer}.")
    return text.strip() == f"The answer is {answer}"


def explanation_of(task: Task, text: str, choices: Sequence[str]) -> str:
    """The explanation in an output: all of it (explain), what comes before the last "So the answer is" (factual), or
    what follows the answer (standard). Task tags are removed and white space is made single spaces.
    """
    if task == "explain":
        return one_line(text)
    body = TAG.sub("", text, count=1)
    if task == "factual":
        marks = list(SO_THE_ANSWER.finditer(body))
        return one_line(body[: marks[-1].start()] if marks else body)
    mark = ANSWER_MARK.search(body)
    if mark is None or mark.start() > len("The "):
        return one_line(body)
    tail = body[mark.end() :].strip()
    for choice in sorted(choices, key=len, reverse=True):
        if one_line(choice) and (found := phrase(choice).match(tail)):
            return one_line(tail[found.end() :].lstrip(string.punctuation + string.whitespace))
    return one_line(tail.partition(". ")[2])
