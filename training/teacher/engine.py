"""What every teacher engine offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from training.teacher.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a text is decoded. temperature 0: greedily. stop: texts at which a row ends (each row for itself)."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a teacher wrote after a prompt, without the stop text; finished is False where the token limit cut it off."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finished: bool


class Engine(Protocol):
    """A teacher. The completion of a prompt depends on the prompt, its seed and the decoding, not on its neighbours."""

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completion]:
        """The completions, in the order of the prompts."""

    def describe(self) -> dict[str, Any]:
        """Model, hashes and settings that go into the manifest."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What that many tokens cost, in the currency of the configured prices; 0 in process."""

    def close(self) -> None:
        """Let go of connections and memory."""


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop text, and whether there was one."""
    places = [place for s in stop if (place := text.find(s)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
