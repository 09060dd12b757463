"""The teacher in process: the shared prefix changes nothing, rows do not depend on each other, and nothing is ever cut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from training.config import LocalEngineConfig
from training.errors import TrainingInputError
from training.records import Question
from training.teacher.engine import Decoding
from training.teacher.local import LocalEngine, RowSampler, model_sha256
from training.teacher.prompts import Prompt, PromptSet, drawn_adjectives, item_seed
from training.teacher.shared_prefix import supports_shared_prefix

PREFIX = "Explain.\n\nQuestion: What is wet?\nAnswer: rain, it is made of water.\n\n"


def load(folder: Path, **values: Any) -> LocalEngine:
    return LocalEngine(LocalEngineConfig.model_validate({"model": str(folder), "dtype": "float32", **values}))


def prompts_of(questions: list[Question], prefix: str = PREFIX) -> list[Prompt]:
    return [
        Prompt(prefix, f"Question: {q.text}\nAnswer: {q.answer},", q.id, item_seed(0, "few_shot", q.id))
        for q in questions
    ]


@pytest.fixture(scope="module")
def engine(tiny_causal: Path) -> LocalEngine:
    return load(tiny_causal)


def reference(folder: Path, prompts: list[Prompt], new_tokens: int) -> list[str]:
    """Each prompt alone through transformers' plain greedy generate."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = []
    for prompt in prompts:
        ids = tokenizer(prompt.text, return_tensors="pt").input_ids
        output = model.generate(ids, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0)
        texts.append(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
    return texts


def test_greedy_text_with_a_shared_prefix_is_that_of_plain_generate(
    engine: LocalEngine, tiny_causal: Path, asked: list[Question]
) -> None:
    assert engine.shares_prefix
    prompts = prompts_of(asked)
    assert len({len(prompt.suffix) for prompt in prompts}) > 3
    texts = [c.text for c in engine.generate(prompts, Decoding(24))]
    assert texts == reference(tiny_causal, prompts, 24)
    assert len(set(texts)) > 6


@pytest.mark.parametrize("prefix", ["", "A"])
def test_a_prefix_may_be_empty_or_one_token(
    prefix: str, engine: LocalEngine, tiny_causal: Path, asked: list[Question]
) -> None:
    prompts = prompts_of(asked[:3], prefix)
    assert [c.text for c in engine.generate(prompts, Decoding(12))] == reference(tiny_causal, prompts, 12)


def test_a_prompt_that_is_its_prefix_alone_still_gets_a_text(engine: LocalEngine, tiny_causal: Path) -> None:
    prompts = [Prompt(PREFIX, "", "q0"), Prompt(PREFIX, "Question: x", "q1")]
    assert [c.text for c in engine.generate(prompts, Decoding(8))] == reference(tiny_causal, prompts, 8)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("decoding", [Decoding(16), Decoding(16, 1.0), Decoding(16, 0.8, 0.7)])
def test_a_row_does_not_depend_on_its_neighbours(
    share: bool, decoding: Decoding, tiny_causal: Path, asked: list[Question]
) -> None:
    teacher = load(tiny_causal, share_prefix=share)
    prompts = prompts_of(asked)
    together = [c.text for c in teacher.generate(prompts, decoding)]
    backwards = [c.text for c in teacher.generate(prompts[::-1], decoding)][::-1]
    alone = [teacher.generate([prompt], decoding)[0].text for prompt in prompts]
    assert together == backwards == alone


def test_sampling_follows_the_seed_and_both_ways_draw_alike(tiny_causal: Path, asked: list[Question]) -> None:
    decoding = Decoding(12, 1.0, 0.9)
    prompts = prompts_of(asked)
    shared, plain = load(tiny_causal), load(tiny_causal, share_prefix=False)
    first = [c.text for c in shared.generate(prompts, decoding)]
    assert first == [c.text for c in plain.generate(prompts, decoding)]
    others = [Prompt(p.prefix, p.suffix, p.question_id, p.seed + 1) for p in prompts]
    assert first != [c.text for c in shared.generate(others, decoding)]


def test_samples_follow_the_distribution_at_their_temperature() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    rows = 4000
    sampler = RowSampler(Decoding(1, 0.5, 0.95), list(range(rows)))
    drawn = sampler(torch.zeros((rows, 1)), logits.expand(rows, 4)).argmax(-1).bincount(minlength=4) / rows
    expected = (logits / 0.5).softmax(-1)
    kept = torch.where(expected.cumsum(-1) - expected < 0.95, expected, 0.0)
    torch.testing.assert_close(drawn, kept / kept.sum(), atol=0.025, rtol=0)
    assert drawn[3] == 0


@pytest.mark.parametrize("share", [True, False])
def test_a_stop_text_ends_its_own_row_only(share: bool, tiny_causal: Path, asked: list[Question]) -> None:
    """Mistake 6: only the first row of a batch was looked at."""
    teacher = load(tiny_causal, share_prefix=share)
    prompts = prompts_of(asked)
    free = [c.text for c in teacher.generate(prompts, Decoding(24))]
    stop = free[-1][5:8]
    stopped = teacher.generate(prompts, Decoding(24, stop=(stop,)))
    for text, completion in zip(free, stopped, strict=True):
        assert completion.text == text.split(stop)[0]
        assert completion.finished == (stop in text)
    assert stopped[-1].completion_tokens < 24
    assert max(c.completion_tokens for c in stopped) == 24


def test_a_prompt_that_does_not_fit_is_an_error_that_names_its_question(
    tiny_causal: Path, asked: list[Question], tmp_path: Path
) -> None:
    """Mistake 4: the end of a long prompt, that is the question, was cut off."""
    config = AutoConfig.from_pretrained(tiny_causal)
    config.max_position_embeddings = 200
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_causal, config=config)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_causal).save_pretrained(tmp_path)
    teacher = load(tmp_path)
    prompts = prompts_of(asked)
    longest = max(prompts, key=lambda prompt: len(prompt.text))
    room = 200 - len(longest.text)
    assert len(teacher.generate(prompts, Decoding(room))) == len(prompts)
    with pytest.raises(
        TrainingInputError, match=rf"question {longest.question_id}: .* tokens, but the teacher takes {199 - room}"
    ):
        teacher.generate([longest], Decoding(room + 1))


def test_an_encoder_decoder_reads_whole_prompts_and_rows_stay_apart(tiny_seq2seq: Path, asked: list[Question]) -> None:
    teacher = load(tiny_seq2seq)
    assert not teacher.shares_prefix
    prompts = prompts_of(asked)
    for decoding in (Decoding(12), Decoding(12, 1.0)):
        together = teacher.generate(prompts, decoding)
        alone = [teacher.generate([prompt], decoding)[0] for prompt in prompts]
        assert [c.text for c in together] == [c.text for c in alone]
    ends = load(tiny_seq2seq).generate(
        [Prompt(p.prefix, p.suffix[:-3] + "xyz", p.question_id) for p in prompts], Decoding(12)
    )
    assert [c.text for c in ends] != [
        c.text for c in teacher.generate(prompts, Decoding(12))
    ]  # the end of a prompt counts


def test_sliding_windows_and_soft_caps_are_left_to_the_models_own_attention() -> None:
    from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen3Config

    assert supports_shared_prefix(LlamaConfig())
    assert supports_shared_prefix(Qwen3Config())
    assert not supports_shared_prefix(Gemma2Config())
    assert not supports_shared_prefix(MistralConfig(sliding_window=128))


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match=re.escape(f"teacher.engine.model: cannot load '{tmp_path / 'none'}'")):
        load(tmp_path / "none")


def test_chat_needs_a_template_and_uses_it(tiny_causal: Path, asked: list[Question], tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match="has no chat template"):
        load(tiny_causal, chat=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_causal)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    AutoModelForCausalLM.from_pretrained(tiny_causal).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    prompts = prompts_of(asked[:4])
    chat = [c.text for c in load(tmp_path, chat=True).generate(prompts, Decoding(10))]
    wrapped = [Prompt("", f"<user>{p.text}<assistant>", p.question_id) for p in prompts]
    assert chat == reference(tmp_path, wrapped, 10)


def test_the_models_hash_is_that_of_its_weights(tiny_causal: Path, tmp_path: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_causal)
    model.save_pretrained(tmp_path / "same")
    assert model_sha256(str(tmp_path / "same")) == model_sha256(str(tiny_causal))
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    model.save_pretrained(tmp_path / "other")
    assert model_sha256(str(tmp_path / "other")) != model_sha256(str(tiny_causal))


@pytest.mark.slow
@pytest.mark.model
def test_the_small_real_model_writes_as_plain_generate_does(small_model: Path, commonsense: PromptSet) -> None:
    file = Path(__file__).resolve().parents[3] / "app" / "demo" / "questions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()[:3]]
    questions = [Question(r["id"], r["question"], tuple(r["choices"]), r["answer"], "blindrate", "train") for r in rows]
    prompts = [
        commonsense.prompt(
            "rationale", q, 0, answer=q.answer, adjectives=drawn_adjectives(commonsense, 0, "few_shot", q.id)
        )
        for q in questions
    ]
    completions = load(small_model).generate(prompts, Decoding(16))
    assert [c.text for c in completions] == reference(small_model, prompts, 16)
    assert all(c.text.strip() for c in completions)
