"""Tiny students of both kinds, made from configs with random weights and a tokenizer trained here, and a few real-looking questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from training.records import Question, TeacherRationales
from training.student.config import StudentConfig
from training.student.models import Student, load_student

PLACES = ["kitchen", "garden", "harbour", "library", "cargo bay", "car", "ice", "ice cream parlour", "mill", "barn"]
THINGS = ["spoon", "rake", "anchor", "novel", "crate", "wheel", "skate", "cone", "flour", "hay", "pot", "seed"]


def make_questions(count: int) -> list[Question]:
    """Questions with three choices; every fifth has its right answer twice, every seventh a wrong choice twice."""
    questions = []
    for i in range(count):
        thing, place = THINGS[i % len(THINGS)], PLACES[(3 * i) % len(PLACES)]
        wrong = [PLACES[(3 * i + k) % len(PLACES)] for k in (1, 2)]
        choices = [*wrong[:1], place, *wrong[1:]]
        if i % 5 == 4:
            choices[2] = place
        elif i % 7 == 6:
            choices[2] = choices[0]
        text = f"Where would somebody look for a {thing}" + " in the early morning" * (i % 4) + "?"
        questions.append(Question(f"q{i}", text, tuple(choices), place, "made", "train"))
    return questions


def make_rationales(questions: list[Question]) -> dict[str, TeacherRationales]:
    """Texts that name what they were written for, of varied length."""
    return {
        q.id: TeacherRationales(
            q.id,
            few_shot=f"First reason for {q.answer} in {q.id}" + ", and it is often so" * (i % 5) + ".",
            counterfactual=tuple(f"One could argue for {c}" + " since it is near" * (i % 3) + "." for c in q.choices),
            critique="It is vague.",
            revised=f"Revised reason for {q.answer} in {q.id}" + ", which fits better than others" * (i % 4) + ".",
        )
        for i, q in enumerate(questions)
    }


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are faster on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def questions() -> list[Question]:
    return make_questions(40)


@pytest.fixture(scope="session")
def rationales(questions: list[Question]) -> dict[str, TeacherRationales]:
    return make_rationales(questions)


def _tokenizer(*, ends_inputs: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE; with `ends_inputs` it puts the end token after a text, as T5's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = make_questions(60)
    texts = [q.text for q in made] + [r.few_shot or "" for r in make_rationales(made).values()]
    texts += ["Question: Choices: Rationale: So the answer is [predict] [explain] [factual] [counterfactual] " * 3]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<pad>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if ends_inputs:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


@pytest.fixture(scope="session")
def llama_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder-only model with grouped keys, 4 layers, no dropout, and a padding token equal to its end token."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(1)
    tokenizer = _tokenizer(ends_inputs=False)
    tokenizer.pad_token = tokenizer.eos_token
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=1,
        bos_token_id=None,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def t5_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder-decoder of T5 1.1's kind (gated, untied output), 4 + 4 layers, with dropout."""
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(2)
    tokenizer = _tokenizer(ends_inputs=True)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=4,
        num_decoder_layers=4,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.1,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=0.5,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=["llama", "t5"])
def model_dir(request: pytest.FixtureRequest) -> Path:
    """Both kinds in turn."""
    return request.getfixturevalue(f"{request.param}_dir")


@pytest.fixture
def student(model_dir: Path) -> Student:
    """A loaded student of each kind, dropout off."""
    loaded = load_student(str(model_dir))
    loaded.model.eval()
    return loaded


def small_settings(folder: Path) -> StudentConfig:
    return StudentConfig(
        model=str(folder),
        max_steps=6,
        batch_size=4,
        gradient_accumulation=2,
        learning_rate=1e-3,
        precision="float32",
        eval_every=3,
        save_every=3,
    )


@pytest.fixture
def config(model_dir: Path) -> StudentConfig:
    """Small settings in float32, for both kinds of model in turn."""
    return small_settings(model_dir)


@pytest.fixture
def llama_config(llama_dir: Path) -> StudentConfig:
    """The same for the decoder-only model alone, where the kind of model does not matter."""
    return small_settings(llama_dir)


@pytest.fixture
def t5_config(t5_dir: Path) -> StudentConfig:
    """The same for the encoder-decoder alone, which has dropout."""
    return small_settings(t5_dir)
