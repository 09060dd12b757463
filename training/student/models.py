"""Loading students: a hub id or a folder, optionally with fewer layers; and what of them differs between T5 and its kin
and decoder-only models.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from training.errors import TrainingInputError
from training.small_models import resolve_model
from training.student.config import LoraConfig, ShrinkConfig

disable_progress_bar()  # bars over loaded weights would drown what the commands report

LAYER_KEY = re.compile(r"^(.*?\b(?:layers|block|h))\.(\d+)\.(.*)$")
"""Names of a layer's parameters: Llama, Qwen, Gemma "…layers.3.…", T5 "…block.3.…", GPT-2 "…h.3.…"."""


class LogitSelector:
    """Makes a model compute logits at chosen positions only.

    The output matrix is the largest of a small student (a fifth of SmolLM2-135M); prompts and padding need none of
    it. A hook before the model's output layer picks the rows of `positions` (flat indices into batch * length), so
    that logits come back as (chosen, vocabulary). Without positions the model behaves as always.
    """

    def __init__(self, model: nn.Module) -> None:
        self.positions: torch.Tensor | None = None
        head: Any = model.get_output_embeddings()  # type: ignore[operator]
        head.register_forward_pre_hook(self._select)

    def _select(self, _module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if self.positions is None:
            return None
        hidden = args[0]
        return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, self.positions),)

    @contextmanager
    def at(self, positions: torch.Tensor) -> Iterator[None]:
        """Within this block, logits are computed at `positions` only. shape: (n,), int64."""
        self.positions = positions
        try:
            yield
        finally:
            self.positions = None


@dataclass(frozen=True, slots=True)
class Student:
    """A model with its tokenizer. pad_id fills batches; whether it equals the end token does not matter, since nothing
    is masked by its value.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    is_encoder_decoder: bool
    selector: LogitSelector

    @property
    def pad_id(self) -> int:
        """The tokenizer's padding token, or its end token where it has none."""
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.eos_id

    @property
    def start_id(self) -> int:
        """The token that an encoder-decoder's targets begin behind."""
        config, generation = self.model.config, self.model.generation_config
        named = [getattr(each, "decoder_start_token_id", None) for each in (config, generation)]
        named += [getattr(config, "bos_token_id", None), self.tokenizer.bos_token_id, self.pad_id]
        return int(next(token for token in named if token is not None))

    @property
    def eos_id(self) -> int:
        """The token that ends every target."""
        return int(self.tokenizer.eos_token_id)


def bf16_in_hardware(device: str) -> bool:
    """Whether the device ("cpu" or "cuda") multiplies bfloat16 matrices natively."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported())


def uses_bf16(precision: str, device: str | None = None) -> bool:
    """Whether a precision setting means bf16 on this device (default: the GPU if there is one)."""
    device = device or default_device()
    return precision == "bf16" or (precision == "auto" and bf16_in_hardware(device))


def default_device() -> str:
    """ "cuda" where there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_student(model: str, shrink: ShrinkConfig | None = None, dtype: torch.dtype = torch.float32) -> Student:
    """Load a model and its tokenizer.

    Raises:
        TrainingInputError: nothing can be loaded from `model`, its tokenizer has no end token, or it has fewer
        layers than asked for.
    """
    try:
        source = resolve_model(model)
        config = AutoConfig.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        loaded = kind.from_pretrained(source, dtype=dtype)
    except (OSError, ValueError) as error:
        where = "folder" if Path(model).exists() else "hub id (and no such folder exists here)"
        first_line = str(error).strip().splitlines()[0]
        raise TrainingInputError(
            f"model: cannot load the {where} {model!r}: {first_line}. Give a folder with config.json, weights and tokenizer."
        ) from error
    if tokenizer.eos_token_id is None:
        raise TrainingInputError(
            f"model: the tokenizer of {model!r} has no end token, so a student could never learn to stop. Set eos_token in it."
        )
    if shrink is not None:
        loaded = shrunk(loaded, shrink.layers)
    return Student(loaded, tokenizer, bool(config.is_encoder_decoder), LogitSelector(loaded))


def kept_layers(total: int, keep: int) -> list[int]:
    """`keep` evenly spaced positions out of `total`, first and last included (one alone: the first)."""
    if keep == 1:
        return [0]
    return [round(i * (total - 1) / (keep - 1)) for i in range(keep)]


def shrunk(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """The model with only `layers` evenly spaced layers (in encoder and decoder each).

    Built anew from a smaller config and filled by renaming parameters, so that caches and relative position biases
    (kept in T5's first block, which is always kept) fit.

    Raises:
        TrainingInputError: the model has fewer layers than that.
    """
    config = copy.deepcopy(model.config)
    sizes = [
        name
        for name in ("num_layers", "num_decoder_layers", "num_hidden_layers", "n_layer")
        if name in config.to_dict()
    ]
    have = min(getattr(config, name) for name in sizes)
    if layers > have:
        raise TrainingInputError(f"shrink.layers: {layers} asked for, but the model has {have}. Give at most {have}.")
    totals: dict[str, int] = {}
    for key in model.state_dict():
        if match := LAYER_KEY.match(key):
            totals[match[1]] = max(totals.get(match[1], 0), int(match[2]) + 1)
    new_position = {
        stack: {old: new for new, old in enumerate(kept_layers(total, layers))} for stack, total in totals.items()
    }
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in kept_layers(have, layers)]
    for name in sizes:
        setattr(config, name, layers)
    state: dict[str, torch.Tensor] = {}
    for key, tensor in model.state_dict().items():
        match = LAYER_KEY.match(key)
        if match is None:
            state[key] = tensor
        elif (new := new_position[match[1]].get(int(match[2]))) is not None:
            state[f"{match[1]}.{new}.{match[3]}"] = tensor
    smaller: Any = type(model)(config)
    smaller.to(model.dtype)
    smaller.load_state_dict(state)
    smaller.generation_config = model.generation_config
    return smaller.eval()


def choose_attention(model: PreTrainedModel, precision: str) -> None:
    """Set the attention code to train with. On a CPU in bf16, transformers' plain one makes a step of short rows a quarter
    faster than torch's fused one (docs/training-speed.md); anywhere else, and for inference, the model's own is best.
    """
    if default_device() == "cpu" and uses_bf16(precision):
        model.set_attn_implementation("eager")


def compile_layers(model: nn.Module) -> int:
    """Compile each layer by itself, for any length; returns how many. Equal layers share their code, so that this takes
    a fraction of the time of compiling the whole model, and batches of other shapes compile nothing anew. Parameter
    names stay as they are.

    Raises:
        TrainingInputError: there is no C++ compiler, which torch.compile needs.
    """
    if not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++")))):
        raise TrainingInputError(
            "compile: needs a C++ compiler, and there is none. Install g++, or set compile to false."
        )
    layers = [module for name, module in model.named_modules() if LAYER_KEY.match(f"{name}.") and name[-1].isdigit()]
    outermost = [
        layer for layer in layers if not any(layer is not other and layer in set(other.modules()) for other in layers)
    ]
    for layer in outermost:
        layer.compile(dynamic=True)
    return len(outermost)


def with_lora(model: PreTrainedModel, lora: LoraConfig) -> Any:
    """The model with trainable low-rank adapters and all else frozen (a peft model; merge_and_unload() gives a plain
    one).
    """
    from peft import LoraConfig as PeftConfig
    from peft import TaskType, get_peft_model

    modules = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    task = TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM
    try:
        return get_peft_model(
            model,
            PeftConfig(
                r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=modules, task_type=task
            ),
        )
    except ValueError as error:
        raise TrainingInputError(f"lora.target_modules: {str(error).splitlines()[0]}") from error
