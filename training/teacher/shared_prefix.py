"""Attention over a prefix that all rows of a batch share, without a copy of it for each row.

The keys and values of the prefix (instruction and worked examples) are computed once and kept once; each row has keys and
values only for what comes after. Attention scores over both are put together before one softmax, so that the result is
that of ordinary attention over the whole prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin

NAME = "blindrate_shared_prefix"


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Keys and values of a prefix, per layer, each of shape (key/value heads, tokens, head size)."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.keys[0].shape[1] if self.keys else 0

    def cut(self, length: int) -> SharedPrefix:
        """The first `length` tokens of it (views)."""
        return SharedPrefix([k[:, :length] for k in self.keys], [v[:, :length] for v in self.values])


class RowLayer(CacheLayerMixin):
    """One layer's keys and values of the rows, in memory that is set aside once for `capacity` tokens."""

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Set the memory aside. shapes: (rows, key/value heads, tokens, head size)."""
        rows, heads, _, size = key_states.shape
        self.keys = key_states.new_empty((rows, heads, self.capacity, size))
        self.values = value_states.new_empty((rows, heads, self.capacity, value_states.shape[-1]))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and return all that is there so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        end = self.length + key_states.shape[2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        assert self.keys is not None and self.values is not None
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_seq_length(self) -> int:
        """Tokens of each row so far."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the mask."""
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        """Tokens that fit."""
        return self.capacity


class RowCache(Cache):
    """The cache for what comes after the prefix."""

    def __init__(self, layers: int, capacity: int) -> None:
        """Empty, for `capacity` tokens of each row."""
        self.row_layers = [RowLayer(capacity) for _ in range(layers)]
        super().__init__(layers=list(self.row_layers))

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only."""
        for layer in self.row_layers:
            layer.keep(rows)

    def first_row(self, name: str) -> list[torch.Tensor]:
        """Keys or values of the first row, per layer, of shape (key/value heads, tokens, head size)."""
        return [getattr(layer, name)[0] for layer in self.row_layers]


def shared_prefix_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared_prefix: SharedPrefix | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `query` (rows, heads, new tokens, size) over the shared prefix and the rows' own `key` and `value` (rows,
    key/value heads, tokens, size). attention_mask: bool, (rows, 1, new tokens, tokens), True where a row's own token is seen;
    None: causal (for computing the prefix itself).
    """
    rows, heads, new, size = query.shape
    groups = heads // key.shape[1]
    scale = size**-0.5 if scaling is None else scaling
    if shared_prefix is None:
        out = functional.scaled_dot_product_attention(
            query, key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1), is_causal=True, scale=scale
        )
        return out.transpose(1, 2), None
    layer: int = module.layer_idx  # type: ignore[assignment]
    if shared_prefix.keys:
        prefix_keys, prefix_values = shared_prefix.keys[layer], shared_prefix.values[layer]
    else:
        prefix_keys, prefix_values = key[0, :, :0], value[0, :, :0]
    kv_heads, length = prefix_keys.shape[0], prefix_keys.shape[1]
    # Heads in front: the prefix is then one matrix product per head for all rows at once.
    grouped = query.reshape(rows, kv_heads, groups * new, size)
    by_head = grouped.transpose(0, 1).reshape(kv_heads, rows * groups * new, size)
    on_prefix = (by_head @ prefix_keys.transpose(1, 2)).view(kv_heads, rows, groups * new, length).transpose(0, 1)
    own = grouped @ key.transpose(2, 3)
    if attention_mask is not None:
        seen = attention_mask.expand(rows, groups, new, key.shape[2]).reshape(rows, 1, groups * new, key.shape[2])
        own = own.masked_fill(~seen, torch.finfo(own.dtype).min)
    weights = functional.softmax(torch.cat([on_prefix, own], dim=-1).float() * scale, dim=-1).to(query.dtype)
    prefix_weights = weights[..., :length].transpose(0, 1).reshape(kv_heads, rows * groups * new, length)
    out = (prefix_weights @ prefix_values).view(kv_heads, rows, groups * new, -1).transpose(0, 1)
    out = out + weights[..., length:] @ value
    return out.reshape(rows, heads, new, -1).transpose(1, 2), None


AttentionInterface.register(NAME, shared_prefix_attention)


def supports_shared_prefix(config: Any) -> bool:
    """Whether this attention gives what the model's own gives: full attention in every layer, no soft cap on scores."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    capped = getattr(config, "attn_logit_softcapping", None)
    return kinds == {"full_attention"} and not capped and (window is None or bool(getattr(config, "layer_types", None)))
