"""The teacher inside this process: any causal or encoder-decoder model of transformers, on a GPU or on the CPU."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from training.config import LocalEngineConfig
from training.errors import TrainingInputError
from training.small_models import resolve_model
from training.student.collator import padded
from training.student.models import default_device, uses_bf16
from training.teacher.engine import Completion, Decoding, cut_at_stop
from training.teacher.prompts import Prompt
from training.teacher.shared_prefix import NAME, RowCache, SharedPrefix, supports_shared_prefix

NO_LIMIT = 10**9
RELATIVE_POSITIONS = frozenset({"t5", "mt5", "umt5", "longt5"})
"""Kinds of models without a limit of positions, whatever length their tokenizer was set to."""

KEPT_PREFIXES = 4
STOP_TAIL = 12
"""Tokens that are decoded to look for a stop text after each step; stop texts are short."""


class RowSampler(LogitsProcessor):
    """Turns scores so that their maximum is a sample: each row draws from a generator of its own, seeded by its prompt.

    Adding Gumbel noise to log-probabilities and taking the maximum samples from them (Gumbel 1954), so that the same loop
    decodes greedily and by chance. At temperature 0 the scores stay as they are.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int]) -> None:
        self.decoding = decoding
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds] if decoding.temperature else []

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        self.generators = [self.generators[i] for i in rows] if self.generators else []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores: (rows, vocabulary)."""
        if not self.generators:
            return scores
        logits = scores.float() / self.decoding.temperature
        if self.decoding.top_p < 1:
            ordered, order = logits.sort(dim=-1, descending=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            dropped = (before >= self.decoding.top_p).scatter(-1, order, before >= self.decoding.top_p)
            logits = logits.masked_fill(dropped, -torch.inf)
        width = logits.shape[1]
        uniform = torch.stack([torch.rand(width, generator=generator) for generator in self.generators])
        uniform = uniform.clamp(1e-20, 1 - 1e-7).to(logits.device)
        return logits - torch.log(-torch.log(uniform))


class _StopTexts(StoppingCriteria):
    """Ends each row for itself when one of the stop texts is in what it wrote."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], start: int) -> None:
        self.tokenizer, self.stop, self.start = tokenizer, stop, start

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """One bool per row."""
        first = max(self.start, input_ids.shape[1] - STOP_TAIL)
        texts = self.tokenizer.batch_decode(input_ids[:, first:], skip_special_tokens=True)
        return torch.tensor([cut_at_stop(text, self.stop)[1] for text in texts], device=input_ids.device)


class LocalEngine:
    """A model in this process."""

    def __init__(self, config: LocalEngineConfig) -> None:
        """Load the model.

        Raises:
            TrainingInputError: nothing can be loaded from config.model.
        """
        self.config = config
        source = resolve_model(config.model)
        self.device = default_device()
        dtype = torch.bfloat16 if uses_bf16(config.dtype, self.device) else torch.float32
        trust = {"trust_remote_code": config.trust_remote_code}
        try:
            settings = AutoConfig.from_pretrained(source, **trust)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source, **trust)
            self.is_encoder_decoder = bool(settings.is_encoder_decoder)
            kind = AutoModelForSeq2SeqLM if self.is_encoder_decoder else AutoModelForCausalLM
            model: Any = kind.from_pretrained(source, dtype=dtype, **trust)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise TrainingInputError(
                f"teacher.engine.model: cannot load {config.model!r}: {reason}. Give a hub id, a folder or a small model's name."
            ) from error
        if config.chat and not getattr(self.tokenizer, "chat_template", None):
            raise TrainingInputError(
                f"teacher.engine.chat: the tokenizer of {config.model!r} has no chat template; set it to false"
            )
        self.model = model.to(self.device).eval()
        self.source = source
        text_config = settings.get_text_config()
        self.shares_prefix = config.share_prefix and not self.is_encoder_decoder and supports_shared_prefix(text_config)
        if self.shares_prefix:
            self.model.set_attn_implementation(NAME)
        self.max_positions = _max_positions(text_config, self.tokenizer)
        eos = self.model.generation_config.eos_token_id
        self.eos_ids = [int(e) for e in (eos if isinstance(eos, list) else [eos] if eos is not None else [])]
        if self.tokenizer.eos_token_id is not None and self.tokenizer.eos_token_id not in self.eos_ids:
            self.eos_ids.append(int(self.tokenizer.eos_token_id))
        self.pad_id = int(self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.eos_ids[0])
        self._prefixes: dict[str, tuple[list[int], SharedPrefix]] = {}
        self._described: dict[str, Any] | None = None

    def describe(self) -> dict[str, Any]:
        """Model, its hash and how it is computed."""
        if self._described is None:
            self._described = {
                "type": "local",
                "model": self.config.model,
                "model_sha256": model_sha256(self.source),
                "dtype": str(self.model.dtype).removeprefix("torch."),
                "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
                "shares_prefix": self.shares_prefix,
            }
        return self._described

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Nothing is paid for a local model."""
        return 0.0

    def close(self) -> None:
        """Free the model's memory."""
        self._prefixes.clear()
        del self.model
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completion]:
        """Complete one batch. All prompts must fit with what is to be written; none is ever cut.

        Raises:
            TrainingInputError: a prompt does not fit; the message names its question.
        """
        if not prompts:
            return []
        texts = [self._wrapped(prompt.text) for prompt in prompts]
        rows: list[list[int]] = self.tokenizer(texts, add_special_tokens=not self.config.chat).input_ids
        for prompt, row in zip(prompts, rows, strict=True):
            room = self.max_positions - (0 if self.is_encoder_decoder else decoding.max_new_tokens)
            if len(row) > room:
                raise TrainingInputError(
                    f"question {prompt.question_id}: its prompt has {len(row)} tokens, but the teacher takes {room} "
                    f"beside {decoding.max_new_tokens} new ones. Use fewer worked examples, fewer max_new_tokens, or another model."
                )
        with torch.inference_mode():
            decode = self._decode_shared if self.shares_prefix else self._decode_plain
            outputs = decode(prompts, rows, decoding)
        completions = []
        for row, ids in zip(rows, outputs, strict=True):
            ended = next((i for i, token in enumerate(ids) if token in self.eos_ids), None)
            kept = ids if ended is None else ids[:ended]
            text, stopped = cut_at_stop(self.tokenizer.decode(kept, skip_special_tokens=True), decoding.stop)
            completions.append(Completion(text, len(row), len(ids), stopped or ended is not None))
        return completions

    def _wrapped(self, text: str) -> str:
        if not self.config.chat:
            return text
        messages = [{"role": "user", "content": text}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _decode_plain(self, prompts: Sequence[Prompt], rows: list[list[int]], decoding: Decoding) -> list[list[int]]:
        """transformers' own generate on whole prompts."""
        ids, mask = padded(rows, self.pad_id, left=not self.is_encoder_decoder)
        start = 1 if self.is_encoder_decoder else ids.shape[1]
        settings = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.pad_id,
            eos_token_id=self.eos_ids,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None),
        )
        output = self.model.generate(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            generation_config=settings,
            logits_processor=LogitsProcessorList([RowSampler(decoding, [p.seed for p in prompts])]),
            stopping_criteria=StoppingCriteriaList([_StopTexts(self.tokenizer, decoding.stop, start)])
            if decoding.stop
            else None,
        )
        return [_without_padding(row, self.pad_id, self.eos_ids) for row in output[:, start:].tolist()]

    def _prefix(self, text: str) -> tuple[list[int], SharedPrefix]:
        """Tokens and keys and values of a prefix; the last few are kept."""
        if text not in self._prefixes:
            while len(self._prefixes) >= KEPT_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            ids: list[int] = self.tokenizer(text, add_special_tokens=not self.config.chat).input_ids
            while ids and ids[-1] in self.eos_ids:
                ids = ids[:-1]
            self._prefixes[text] = ids, self._computed(ids)
        return self._prefixes[text]

    def _computed(self, ids: list[int]) -> SharedPrefix:
        if not ids:
            return SharedPrefix([], [])
        layers = self.model.config.get_text_config().num_hidden_layers
        cache = RowCache(layers, len(ids))
        inputs = torch.tensor([ids], device=self.device)
        self.model(
            inputs,
            past_key_values=cache,
            position_ids=torch.arange(len(ids), device=self.device)[None],
            logits_to_keep=1,
        )
        return SharedPrefix(cache.first_row("keys"), cache.first_row("values"))

    def _decode_shared(self, prompts: Sequence[Prompt], rows: list[list[int]], decoding: Decoding) -> list[list[int]]:
        """One token per step and row after a prefix computed once; rows that have ended leave the batch."""
        prefix_ids, prefix = self._prefix(
            _common_start([self._wrapped(p.prefix) for p in prompts], [self._wrapped(p.text) for p in prompts])
        )
        # A token may reach over the seam, so only what the tokens of all rows have in common is taken from the prefix.
        shared = min(min(_common_length(prefix_ids, row), len(row) - 1) for row in rows)
        prefix = prefix.cut(shared)
        ids, real = padded([row[shared:] for row in rows], self.pad_id, left=True)
        width = ids.shape[1]
        cache = RowCache(self.model.config.get_text_config().num_hidden_layers, width + decoding.max_new_tokens)
        own = real.bool().to(self.device)
        causal = torch.ones((width, width), dtype=torch.bool, device=self.device).tril()
        mask = (own[:, None, :] & causal)[:, None]
        positions = (shared + real.cumsum(1) - 1).clamp(min=0).to(self.device)
        tokens = ids.to(self.device)
        sampler = RowSampler(decoding, [prompt.seed for prompt in prompts])
        written: list[list[int]] = [[] for _ in rows]
        active = list(range(len(rows)))
        for _ in range(decoding.max_new_tokens):
            logits = self.model(
                tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                shared_prefix=prefix,
                logits_to_keep=1,
            ).logits[:, -1]
            chosen = sampler(tokens, logits.float()).argmax(-1).tolist()
            going = []
            for place, (row, token) in enumerate(zip(active, chosen, strict=True)):
                written[row].append(token)
                if token not in self.eos_ids and not self._at_stop(written[row], decoding.stop):
                    going.append(place)
            if not going:
                break
            positions = positions[:, -1:] + 1
            if len(going) < len(active):
                keep = torch.tensor(going, device=self.device)
                cache.keep(keep)
                own, positions = own[keep], positions[keep]
                sampler.keep(going)
                active = [active[place] for place in going]
                chosen = [chosen[place] for place in going]
            own = torch.cat([own, own.new_ones((len(active), 1))], dim=1)
            mask = own[:, None, None, :]
            tokens = torch.tensor(chosen, device=self.device)[:, None]
        return written

    def _at_stop(self, ids: list[int], stop: Sequence[str]) -> bool:
        if not stop:
            return False
        return cut_at_stop(self.tokenizer.decode(ids[-STOP_TAIL:], skip_special_tokens=True), stop)[1]


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return i
    return min(len(first), len(second))


def _common_start(prefixes: Sequence[str], texts: Sequence[str]) -> str:
    """The longest beginning that the texts share with the first prefix (a chat template closes a prefix differently)."""
    start = prefixes[0]
    for text in texts:
        length = next(
            (i for i, (a, b) in enumerate(zip(start, text, strict=False)) if a != b), min(len(start), len(text))
        )
        start = start[:length]
    return start


def _without_padding(row: list[int], pad_id: int, eos_ids: Sequence[int]) -> list[int]:
    """A generated row without the padding behind its end."""
    ended = next((i for i, token in enumerate(row) if token in eos_ids), None)
    if ended is not None:
        return row[: ended + 1]
    while row and row[-1] == pad_id:
        row = row[:-1]
    return row


def _max_positions(config: Any, tokenizer: Any) -> int:
    """Tokens that a model can take: its configuration's limit, else its tokenizer's."""
    if config.model_type in RELATIVE_POSITIONS:
        return NO_LIMIT
    named = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len")]
    limits = [limit for limit in named if isinstance(limit, int)]
    return min(limits, default=min(int(tokenizer.model_max_length), NO_LIMIT))


def model_sha256(source: str) -> str:
    """sha256 over a model folder's weight files, in the order of their names; for a hub id the snapshot's
    commit.
    """
    folder = Path(source)
    if not folder.is_dir():
        commit = getattr(AutoConfig.from_pretrained(source), "_commit_hash", None)
        return f"commit:{commit}" if commit else ""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if re.fullmatch(r".*\.(safetensors|bin|gguf)", path.name):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
