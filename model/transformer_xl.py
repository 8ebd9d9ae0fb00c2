"""Transformer-XL: segments read one after the other, each seeing the hidden states of those before it as memory.

The same layers serve two models: salience of sentences (bidirectional within a segment, the past as memory) and
language modelling (causal). Cost is linear in the length and memory is flat, whatever the length.

B batch, L length of a segment, M memory, K = M + L keys, W width, H heads, D head size, P relative positions
Source: Dai et al. 2019, "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context", section 3 and
appendix B.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.layers import drop, join_heads, split_heads

Memory = tuple[Tensor, ...]
"""The inputs [B, M, W] that each layer saw before this segment, without gradient; empty at the start."""


@dataclass(frozen=True, kw_only=True)
class XLShape:
    """The sizes of a Transformer-XL. Raises ValueError where the heads do not divide the width evenly."""

    width: int
    layers: int
    heads: int
    inner: int

    def __post_init__(self) -> None:  # noqa: D105
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width must be even and a multiple of the heads: {self.width=}, {self.heads=}")


class TransformerXL(nn.Module):
    """A stack of layers over vectors, with a memory for each.

    `causal`: a position sees itself and what is before it; else it also sees the rest of its segment.
    """

    def __init__(self, shape: XLShape, *, causal: bool) -> None:
        super().__init__()
        self.shape = shape
        self.causal = causal
        self.layers = nn.ModuleList(XLLayer(shape) for _ in range(shape.layers))

    def forward(
        self,
        x: Tensor,
        memory: Memory = (),
        *,
        memory_length: int,
        mask: Tensor | None = None,
        same_length: bool = False,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Memory]:
        """Reads a segment [B, L, W] -> its hidden states [B, L, W] and the memory for the next one.

        At most `memory_length` positions are kept. `mask` [B, L] is true at real positions: padding is neither seen
        nor useful, so it belongs in a document's last segment alone. With `same_length` every position sees the same
        number of earlier ones, `memory_length` of them, which makes positions comparable when evaluating.
        """
        length = x.shape[1]
        past = memory[0].shape[1] if memory else 0
        positions = relative_positions(past, length, width=self.shape.width, causal=self.causal, like=x)
        visible = self._visible(past, length, reach=memory_length if same_length else None, device=x.device)[None]
        if mask is not None:
            seen = torch.cat([mask.new_ones(len(mask), past), mask], dim=1)
            visible = visible & seen[:, None, :]
        kept = []
        for number, layer in enumerate(self.layers):
            before = memory[number] if memory else x[:, :0]
            context = torch.cat([before, x], dim=1)
            kept.append(context[:, max(0, past + length - memory_length) :].detach())
            x = layer(x, context, positions=positions, visible=visible, dropout=dropout)
        return x, tuple(kept)

    def _visible(self, past: int, length: int, *, reach: int | None, device: torch.device) -> Tensor:
        """[L, K], true where a position sees a key."""
        here = torch.arange(length, device=device)[:, None] + past
        there = torch.arange(past + length, device=device)[None, :]
        visible = (there <= here) if self.causal else torch.ones(length, past + length, dtype=torch.bool, device=device)
        return visible if reach is None else visible & (here - there <= reach)


class XLLayer(nn.Module):
    """Relative attention and a feed-forward layer, each behind a norm (pre-norm trains without a long warm-up)."""

    def __init__(self, shape: XLShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.LayerNorm(shape.width)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width, bias=False)
        self.position = nn.Linear(shape.width, shape.width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(shape.heads, shape.width // shape.heads))  # u of the paper
        self.position_bias = nn.Parameter(torch.zeros(shape.heads, shape.width // shape.heads))  # v of the paper
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.norm = nn.LayerNorm(shape.width)
        self.up = nn.Linear(shape.width, shape.inner)
        self.down = nn.Linear(shape.inner, shape.width)

    def forward(self, x: Tensor, context: Tensor, *, positions: Tensor, visible: Tensor, dropout: float) -> Tensor:
        """x [B, L, W], context [B, K, W] (memory, then x), positions [P, W], visible [1 or B, L, K] -> [B, L, W]."""
        past = context.shape[1] - x.shape[1]
        context = self.attention_norm(context)
        query = split_heads(self.query(context[:, past:]), self.heads)
        key = split_heads(self.key(context), self.heads)
        value = split_heads(self.value(context), self.heads)
        distance = split_heads(self.position(positions)[None], self.heads)
        by_position = (query + self.position_bias[:, None]) @ distance.transpose(-1, -2)
        by_content = (query + self.content_bias[:, None]) @ key.transpose(-1, -2)
        scores = (by_content + relative_shift(by_position, context.shape[1])) * query.shape[-1] ** -0.5
        # The scores are there already, so the fused kernel would save nothing; in bf16 on a CPU it is also slower.
        gathered = scores.masked_fill(~visible[:, None], float("-inf")).softmax(-1).to(value.dtype) @ value
        x = x + drop(self.output(join_heads(gathered)), dropout)
        inner = drop(F.gelu(self.up(self.norm(x))), dropout)
        return x + drop(self.down(inner), dropout)


def relative_positions(past: int, length: int, *, width: int, causal: bool, like: Tensor) -> Tensor:
    """Sinusoidal encodings [P, W] of the distances i - j, from the farthest past down.

    P is M + L for causal attention, whose distances end at 0, and M + 2L - 1 otherwise, whose distances end at 1 - L.
    """
    last = 0 if causal else 1 - length
    distances = torch.arange(past + length - 1, last - 1, -1, device=like.device, dtype=torch.float32)
    rates = 10_000 ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angles = distances[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(like.dtype)


def relative_shift(scores: Tensor, keys: int) -> Tensor:
    """[B, H, L, P] by distance, farthest first -> [B, H, L, K] by key: out[i, j] = scores[i, L - 1 - i + j].

    Appendix B of the paper: one padded column turns the shift of row i into a change of shape. Where a key is in the
    future of a causal query, the value is another row's and has to be masked.
    """
    batch, heads, length, count = scores.shape
    padded = F.pad(scores, (1, 0)).view(batch, heads, count + 1, length)
    return padded[:, :, 1:].reshape(batch, heads, length, count)[..., :keys]


def read_in_segments(
    network: TransformerXL, x: Tensor, *, segment: int, memory_length: int, same_length: bool = False
) -> Tensor:
    """A whole document [B, N, W], read segment by segment -> [B, N, W]."""
    outputs: list[Tensor] = []
    memory: Memory = ()
    for part in torch.split(x, segment, dim=1):
        hidden, memory = network(part, memory, memory_length=memory_length, same_length=same_length)
        outputs.append(hidden)
    return torch.cat(outputs, dim=1)
