"""A teacher behind an OpenAI-compatible server: vLLM, llama.cpp, `transformers serve`, a hosted model."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from typing import Any

import httpx

from training.config import HttpEngineConfig
from training.errors import TrainingInputError
from training.teacher.engine import Completion, Decoding, cut_at_stop
from training.teacher.prompts import Prompt

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0
MOST_STOP_TEXTS = 4
"""The API takes no more; all of them are looked for here anyway."""


class HttpEngine:
    """Requests go out with bounded concurrency; a failed one is sent again with growing pauses."""

    def __init__(self, config: HttpEngineConfig) -> None:
        """Set up, without asking the server anything.

        Raises:
            TrainingInputError: the environment variable that should hold the key is not set.
        """
        self.config = config
        self._headers: dict[str, str] = {}
        if config.api_key_env is not None:
            key = os.environ.get(config.api_key_env)
            if not key:
                raise TrainingInputError(
                    f"teacher.engine.api_key_env: the environment variable {config.api_key_env} is not set; put the server's key into it"
                )
            self._headers["Authorization"] = f"Bearer {key}"
        path = "completions" if config.api == "completions" else "chat/completions"
        self._url = f"{config.base_url.rstrip('/')}/{path}"

    def describe(self) -> dict[str, Any]:
        """Model and address."""
        return {
            "type": "http",
            "model": self.config.model,
            "api": self.config.api,
            "base_url": self.config.base_url,
        }

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """By the configured prices per million tokens."""
        config = self.config
        return (
            prompt_tokens * config.price_per_million_prompt_tokens
            + completion_tokens * config.price_per_million_completion_tokens
        ) / 1e6

    def close(self) -> None:
        """Nothing stays open between batches."""

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completion]:
        """Complete the prompts, `concurrency` at a time.

        Raises:
            TrainingInputError: the server cannot be reached, refuses (with its own words), or answers in another form.
        """
        return asyncio.run(self._generate(prompts, decoding))

    async def _generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completion]:
        slots = asyncio.Semaphore(self.config.concurrency)
        limits = httpx.Limits(max_connections=self.config.concurrency)
        async with httpx.AsyncClient(
            headers=self._headers, timeout=self.config.timeout_seconds, limits=limits
        ) as client:

            async def one(prompt: Prompt) -> Completion:
                async with slots:
                    return await self._complete(client, prompt, decoding)

            tasks = [asyncio.ensure_future(one(prompt)) for prompt in prompts]
            try:
                return list(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()

    def _body(self, prompt: Prompt, decoding: Decoding) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "seed": prompt.seed % 2**31,
            "stream": False,
        }
        if decoding.temperature:
            body["top_p"] = decoding.top_p
        if decoding.stop:
            body["stop"] = list(decoding.stop[:MOST_STOP_TEXTS])
        if self.config.api == "completions":
            return body | {"prompt": prompt.text}
        return body | {"messages": [{"role": "user", "content": prompt.text}]}

    async def _complete(self, client: httpx.AsyncClient, prompt: Prompt, decoding: Decoding) -> Completion:
        body = self._body(prompt, decoding)
        pause = random.Random(prompt.seed)  # noqa: S311 -- spreads the retries, no secret
        for attempt in range(self.config.max_retries + 1):
            wait = min(self.config.backoff_seconds * 2**attempt, LONGEST_WAIT) * (0.5 + pause.random() / 2)
            try:
                response = await client.post(self._url, json=body)
            except httpx.TransportError as error:
                problem = f"cannot be reached ({type(error).__name__}: {error})"
            else:
                if response.status_code == httpx.codes.OK:
                    return self._read(response, prompt, decoding)
                problem = f"answered {response.status_code}: {_words(response)}"
                if response.status_code not in AGAIN:
                    break
                wait = max(wait, _asked_wait(response))
            if attempt < self.config.max_retries:
                await asyncio.sleep(wait)
        raise TrainingInputError(
            f"teacher.engine: {self._url} {problem} for question {prompt.question_id} (model {self.config.model!r}). "
            "Check base_url, model and the server's own log; the same command goes on from here."
        )

    def _read(self, response: httpx.Response, prompt: Prompt, decoding: Decoding) -> Completion:
        try:
            content = response.json()
            choice = content["choices"][0]
            text = choice["text"] if self.config.api == "completions" else choice["message"]["content"]
            usage = content.get("usage") or {}
            tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
            finished = choice.get("finish_reason") != "length"
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise TrainingInputError(
                f"teacher.engine: {self._url} did not answer as an OpenAI-compatible server does for question {prompt.question_id} "
                f"({type(error).__name__}: {error}); check base_url and api"
            ) from error
        cut, stopped = cut_at_stop(text or "", decoding.stop)
        return Completion(cut, *tokens, finished or stopped)


def _words(response: httpx.Response) -> str:
    """What the server says went wrong, in one line."""
    try:
        content = response.json()
        error = content.get("error", content) if isinstance(content, dict) else content
        text = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except ValueError:
        text = response.text
    return " ".join(str(text).split())[:300] or response.reason_phrase


def _asked_wait(response: httpx.Response) -> float:
    """Seconds that the server asks to wait (Retry-After as a number)."""
    try:
        return min(float(response.headers.get("Retry-After", "0")), LONGEST_WAIT)
    except ValueError:
        return 0.0
