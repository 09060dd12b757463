"""Loading and shrinking students; logits at chosen places."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.errors import TrainingInputError
from training.student.config import LoraConfig, ShrinkConfig
from training.student.models import Student, compile_layers, kept_layers, load_student, with_lora


def test_layers_are_kept_evenly_from_first_to_last() -> None:
    assert kept_layers(30, 4) == [0, 10, 19, 29]
    assert kept_layers(4, 4) == [0, 1, 2, 3]
    assert kept_layers(12, 1) == [0]


def test_a_shrunk_student_holds_the_weights_of_the_kept_layers(model_dir: Path) -> None:
    whole, small = load_student(str(model_dir)), load_student(str(model_dir), ShrinkConfig(layers=2))
    before, after = whole.model.state_dict(), small.model.state_dict()
    stacks = ["model.layers"] if not whole.is_encoder_decoder else ["encoder.block", "decoder.block"]
    for stack in stacks:
        names = [name for name in after if name.startswith(f"{stack}.1.")]
        assert names
        assert all(torch.equal(after[name], before[name.replace(f"{stack}.1.", f"{stack}.3.")]) for name in names)
        assert not any(name.startswith(f"{stack}.2.") for name in after)
    others = [name for name in after if not any(name.startswith(stack) for stack in stacks)]
    assert all(torch.equal(after[name], before[name]) for name in others)


def test_keeping_all_layers_changes_no_output(model_dir: Path) -> None:
    whole, same = load_student(str(model_dir)), load_student(str(model_dir), ShrinkConfig(layers=4))
    inputs = {"input_ids": torch.tensor([[5, 6, 7]])}
    if whole.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.tensor([[0, 8]])
    assert torch.equal(whole.model.eval()(**inputs).logits, same.model.eval()(**inputs).logits)


def test_a_shrunk_student_generates_with_its_cache(model_dir: Path) -> None:
    small = load_student(str(model_dir), ShrinkConfig(layers=2))
    ids = torch.tensor([[5, 6, 7]])
    cached, plain = (
        small.model.generate(ids, max_new_tokens=5, do_sample=False, use_cache=use) for use in (True, False)
    )
    assert cached.tolist() == plain.tolist()


def test_more_layers_than_there_are_is_an_error(model_dir: Path) -> None:
    with pytest.raises(TrainingInputError, match=r"shrink.layers: 9 asked for, but the model has 4"):
        load_student(str(model_dir), ShrinkConfig(layers=9))


def test_a_folder_without_a_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match=str(tmp_path)):
        load_student(str(tmp_path))


def test_a_tokenizer_without_end_token_is_refused(llama_dir: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(llama_dir).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(llama_dir)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(TrainingInputError, match="end token"):
        load_student(str(tmp_path))


def test_selected_logits_are_those_of_the_whole(student: Student) -> None:
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 8], [9, 5, 6, 7]])}
    if student.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    everything = student.model(**inputs).logits
    with student.selector.at(torch.tensor([1, 6])):
        chosen = student.model(**inputs).logits
    torch.testing.assert_close(chosen, torch.stack([everything[0, 1], everything[1, 2]]))
    assert student.model(**inputs).logits.shape == everything.shape


def test_unknown_adapter_targets_are_an_error(student: Student) -> None:
    with pytest.raises(TrainingInputError, match=r"lora\.target_modules"):
        with_lora(student.model, LoraConfig(target_modules=("nothing",)))


def test_the_start_of_targets_is_found_where_a_config_names_it_and_where_it_does_not(t5_dir: Path) -> None:
    student = load_student(str(t5_dir))
    assert student.start_id == 0
    student.model.config.decoder_start_token_id = None
    student.model.generation_config.decoder_start_token_id = 7
    assert student.start_id == 7
    student.model.generation_config.decoder_start_token_id = None
    assert student.start_id == student.pad_id


def test_compiling_without_a_compiler_is_an_error_that_says_what_to_do(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TrainingInputError, match=r"compile: needs a C\+\+ compiler"):
        compile_layers(student.model)
