"""The teacher over HTTP: against a real server that answers as told, and against `transformers serve` with the small real model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from training.config import HttpEngineConfig, LocalEngineConfig
from training.errors import TrainingInputError
from training.records import Question
from training.teacher.engine import Decoding
from training.teacher.http import HttpEngine
from training.teacher.local import LocalEngine
from training.teacher.prompts import Prompt, PromptSet, drawn_adjectives

Answer = tuple[int, dict[str, str], bytes]
PROMPTS = [Prompt("Explain. ", f"Question {i}", f"q{i}", seed=i + 2**40) for i in range(8)]


def completed(text: str, reason: str = "stop") -> Answer:
    content = {
        "choices": [{"text": text, "message": {"content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7},
    }
    return 200, {}, json.dumps(content).encode()


class Server:
    """An OpenAI-compatible server that answers with what `reply` says, and remembers what came."""

    def __init__(self, reply: Callable[[dict[str, Any], int], Answer]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    server.bodies.append(body)
                    server.paths.append(self.path)
                    server.headers.append(dict(self.headers))
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                    tries = sum(b == body for b in server.bodies)
                status, headers, content = reply(body, tries)
                with lock:
                    server.at_once -= 1
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@contextmanager
def serving(reply: Callable[[dict[str, Any], int], Answer]) -> Iterator[Server]:
    server = Server(reply)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def engine(url: str, **values: Any) -> HttpEngine:
    settings = {"type": "http", "model": "big", "base_url": url, "backoff_seconds": 0.01, **values}
    return HttpEngine(HttpEngineConfig.model_validate(settings))


def test_each_prompt_gets_its_own_completion_with_its_own_seed() -> None:
    with serving(lambda body, _: completed(f" about {body['prompt'][-1]}\nQuestion: x")) as server:
        completions = engine(server.url).generate(PROMPTS, Decoding(20, 0.5, 0.9, ("\nQuestion:", "b", "c", "d", "e")))
    assert [c.text for c in completions] == [" a" for _ in PROMPTS]  # cut at the stop text "b"
    assert all((c.prompt_tokens, c.completion_tokens, c.finished) == (11, 7, True) for c in completions)
    bodies = sorted(server.bodies, key=lambda body: body["prompt"])
    assert [body["prompt"] for body in bodies] == [prompt.text for prompt in PROMPTS]
    assert len({body["seed"] for body in bodies}) == 8
    assert bodies[0] == {
        "model": "big", "prompt": "Explain. Question 0", "max_tokens": 20, "temperature": 0.5, "top_p": 0.9,
        "seed": PROMPTS[0].seed % 2**31, "stop": ["\nQuestion:", "b", "c", "d"], "stream": False,
    }  # fmt: skip


def test_chat_sends_one_user_message() -> None:
    with serving(lambda body, _: completed(body["messages"][0]["content"][::-1], "length")) as server:
        (completion,) = engine(server.url, api="chat").generate(PROMPTS[:1], Decoding(20))
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Explain. Question 0"}]
    assert (completion.text, completion.finished) == ("Explain. Question 0"[::-1], False)


def test_no_more_requests_are_under_way_than_allowed() -> None:
    three = threading.Barrier(3)

    def reply(body: dict[str, Any], tries: int) -> Answer:
        three.wait(timeout=10)  # answers only when three requests are here at once
        return completed("ok")

    with serving(reply) as server:
        engine(server.url, concurrency=3).generate(PROMPTS[:6], Decoding(5))
    assert server.most_at_once == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_asked_again(status: int) -> None:
    def reply(body: dict[str, Any], tries: int) -> Answer:
        return completed("at last") if tries == 3 else (status, {"Retry-After": "0"}, b"busy")

    with serving(reply) as server:
        completions = engine(server.url, max_retries=2).generate(PROMPTS[:2], Decoding(5))
    assert [c.text for c in completions] == ["at last"] * 2
    assert len(server.bodies) == 6


def test_a_refusal_is_not_asked_again_and_told_in_the_servers_words() -> None:
    refusal = 404, {}, json.dumps({"error": {"message": "The model `big` does not exist."}}).encode()
    with serving(lambda body, _: refusal) as server, pytest.raises(TrainingInputError) as error:
        engine(server.url).generate(PROMPTS[:1], Decoding(5))
    assert "answered 404: The model `big` does not exist. for question q0" in str(error.value)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"choices": []}', b'{"choices": [{"tex": 1}]}', b"[]"])
def test_an_answer_in_another_form_is_an_error(content: bytes) -> None:
    with (
        serving(lambda body, _: (200, {}, content)) as server,
        pytest.raises(TrainingInputError, match="did not answer as an OpenAI-compatible server"),
    ):
        engine(server.url).generate(PROMPTS[:1], Decoding(5))


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        TrainingInputError, match=rf"127.0.0.1:{port}/v1/completions cannot be reached .* for question q0"
    ):
        engine(f"http://127.0.0.1:{port}/v1", max_retries=1).generate(PROMPTS[:1], Decoding(5))


def test_the_key_comes_from_the_environment_and_goes_into_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLINDRATE_TEST_KEY", raising=False)
    with pytest.raises(TrainingInputError, match="BLINDRATE_TEST_KEY is not set"):
        engine("http://x/v1", api_key_env="BLINDRATE_TEST_KEY")
    monkeypatch.setenv("BLINDRATE_TEST_KEY", "very-secret")
    with serving(lambda body, _: completed("ok")) as server:
        teacher = engine(server.url, api_key_env="BLINDRATE_TEST_KEY")
        teacher.generate(PROMPTS[:1], Decoding(5))
    assert server.headers[0]["Authorization"] == "Bearer very-secret"
    assert "very-secret" not in json.dumps(teacher.describe())


def test_cost_follows_the_prices() -> None:
    teacher = engine("http://x/v1", price_per_million_prompt_tokens=2.0, price_per_million_completion_tokens=8.0)
    assert teacher.cost(1_500_000, 250_000) == pytest.approx(5.0)


@pytest.fixture
def real_server() -> Iterator[str]:
    """Address of `transformers serve`, which loads the model that a request names."""
    pytest.importorskip("openai", reason="transformers serve needs the package openai")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32", "--log-level", "info"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = []
        while "Uvicorn running" not in (line := process.stdout.readline()):
            said.append(line)
            assert line, f"the server ended: {said}"
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.slow
@pytest.mark.model
def test_a_real_server_gives_the_text_of_the_engine_in_process(
    real_server: str, small_model: Path, commonsense: PromptSet
) -> None:
    question = Question("q0", "What is an umbrella for?", ("rain", "sleep", "music"), "rain", "made", "train")
    adjectives = drawn_adjectives(commonsense, 0, "few_shot", "q0")
    prompts = [
        commonsense.prompt("rationale", question, 0, answer=answer, adjectives=adjectives)
        for answer in ("rain", "music")
    ]
    decoding = Decoding(12, stop=commonsense.stop)
    for api in ("completions", "chat"):
        local = LocalEngine(LocalEngineConfig(model=str(small_model), dtype="float32", chat=api == "chat"))
        served = engine(real_server, model=str(small_model), api=api, concurrency=2)
        ours, theirs = local.generate(prompts, decoding), served.generate(prompts, decoding)
        assert [c.text for c in ours] == [c.text for c in theirs]
        assert [c.prompt_tokens for c in ours] == [c.prompt_tokens for c in theirs]
        assert all(c.text.strip() for c in theirs)
