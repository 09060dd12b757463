"""Teacher generation: the shared prefix against plain `generate` on whole prompts, at the same batch size and precision.

    python -m benchmarks.teacher --questions 32 --batch 16 --threads 2

Each way runs in a process of its own (so that its peak memory is its own), on the same prompts: seven worked examples, then
Blindrate's own questions. Model loading is not timed; computing the prefix is. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).resolve().parent.parent / "app" / "demo" / "questions.jsonl"
WAYS = {"plain": "plain `generate` on whole prompts", "shared": "shared prefix (Blindrate)"}


def run_way(arguments: argparse.Namespace) -> dict[str, Any]:
    """Generate in this process; seconds, processor seconds, memory and texts."""
    import torch

    from training.config import LocalEngineConfig, QuestionsConfig
    from training.questions import read_split
    from training.teacher.engine import Decoding
    from training.teacher.local import LocalEngine
    from training.teacher.prompts import drawn_adjectives, item_seed, load_prompts

    torch.set_num_threads(arguments.threads)
    source = {"path": str(QUESTIONS), "limit": arguments.questions}
    questions = read_split(
        QuestionsConfig.model_validate({"dataset": "blindrate", "train": source, "test": source}), "train"
    )
    commonsense = load_prompts("commonsense")
    prompts = [
        commonsense.prompt(
            "rationale",
            q,
            item_seed(0, "few_shot", q.id),
            answer=q.answer,
            adjectives=drawn_adjectives(commonsense, 0, "few_shot", q.id),
        )
        for q in sorted(questions, key=lambda q: len(q.text) + sum(map(len, q.choices)))
    ]
    share = arguments.way == "shared"
    settings = {"model": arguments.model, "dtype": arguments.dtype, "share_prefix": share}
    engine = LocalEngine(LocalEngineConfig.model_validate(settings))
    decoding = Decoding(arguments.new_tokens, stop=commonsense.stop if arguments.stop else ())
    loaded = _peak_memory()
    wall, processor = time.perf_counter(), time.process_time()
    completions = []
    for at in range(0, len(prompts), arguments.batch):
        completions += engine.generate(prompts[at : at + arguments.batch], decoding)
    if engine.device == "cuda":
        torch.cuda.synchronize()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory = torch.cuda.max_memory_allocated() / 2**30 if engine.device == "cuda" else _peak_memory()
    return {
        "seconds": wall,
        "processor_seconds": processor,
        "peak_gib": memory,
        "loaded_gib": loaded,
        "device": engine.describe()["device"],
        "texts": [completion.text for completion in completions],
        "prompt_tokens": sum(completion.prompt_tokens for completion in completions) / len(completions),
        "new_tokens": sum(completion.completion_tokens for completion in completions),
    }


def _peak_memory() -> float:
    """Peak resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _table(results: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> str:
    plain, shared = results["plain"], results["shared"]
    equal = sum(a == b for a, b in zip(plain["texts"], shared["texts"], strict=True))
    rows = ["| way | questions/s | processor s | peak memory, GiB |", "| --- | ---: | ---: | ---: |"]
    for way, result in results.items():
        speed = arguments.questions / result["seconds"]
        rows.append(f"| {WAYS[way]} | {speed:.3f} | {result['processor_seconds']:.1f} | {result['peak_gib']:.2f} |")
    rows += [
        "",
        f"{arguments.questions} questions, batches of {arguments.batch}, {arguments.new_tokens} new tokens at most"
        f"{', with stop texts' if arguments.stop else ''}, {arguments.dtype}, {shared['device']} "
        f"({platform.machine()}, {arguments.threads} threads), {shared['prompt_tokens']:.0f} prompt tokens on average: "
        f"{plain['seconds'] / shared['seconds']:.2f} times the questions per second "
        f"({plain['processor_seconds'] / shared['processor_seconds']:.2f} times by processor time); "
        f"{equal} of {arguments.questions} greedy texts are equal.",
    ]
    return "\n".join(rows)


def main() -> None:
    """Run both ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stop", action="store_true", help="end rows at the stop texts, as the pipeline does")
    parser.add_argument("--way", choices=list(WAYS), help="run one way here and print its figures as JSON")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(run_way(arguments)))
        return
    results = {}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.teacher", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        results[way] = json.loads(done.stdout.splitlines()[-1])
    print(_table(results, arguments))


if __name__ == "__main__":
    main()
