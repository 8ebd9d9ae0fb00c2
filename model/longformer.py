"""The Longformer: a BERT-shaped transformer whose question tokens see everything and whose passages see themselves.

Tokens travel packed, without padding, as one matrix [T, W]: the valid global tokens of all rows first, then the valid
local ones, each in reading order. They are spread over padded blocks only inside the attention.

T tokens of a batch, B batch, G global tokens, N blocks, C tokens a block, W width, H heads, D head size
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from model.attention import global_attention, local_attention
from model.flexible import window_attention, window_mask
from model.layers import Block, Embeddings, Shape, drop, join_heads, split_heads


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Token ids and where they stand. Masks are true at real tokens; ids and positions elsewhere are zero.

    `question`, `question_mask` [B, G]: the global tokens, [CLS] first. `blocks`, `mask`, `positions` [B, N, C]: the
    local tokens. `reach` None: blocks are passages, don't see each other, and their positions restart. Otherwise they
    are one text, in which a token sees `reach[i]` tokens each side in layer i, at most a block's length.
    """

    question: Tensor
    question_mask: Tensor
    blocks: Tensor
    mask: Tensor
    positions: Tensor
    reach: tuple[int, ...] | None = None


class Longformer(nn.Module):
    """Contextual vectors of a question and its passages.

    With `own_global`, global tokens have projections of their own, as in Beltagy et al. 2020, section 3.1.
    """

    def __init__(self, shape: Shape, *, own_global: bool) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        block = GlobalBlock if own_global else Block
        self.blocks = nn.ModuleList(block(shape) for _ in range(shape.layers))

    def forward(self, layout: Layout, *, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Vectors of the global tokens [B, G, W] and of the local ones [B, N, C, W]; zero at padding."""
        packing = Packing(layout)
        question_positions = torch.arange(layout.question.shape[1], device=layout.question.device)
        x = self.embeddings(
            packing.pack(layout.question, layout.blocks),
            packing.pack(question_positions.expand_as(layout.question), layout.positions),
            packing.pack(torch.zeros_like(layout.question), torch.ones_like(layout.blocks)),
        )
        x = drop(x, dropout)
        for number, block in enumerate(self.blocks):
            reach = None if layout.reach is None else layout.reach[number]
            attention = _Attention(packing, heads=self.shape.heads, block=block, x=x, reach=reach)
            x = block(x, attention, dropout=dropout)
        return packing.unpack(x)


class GlobalBlock(Block):
    """A block with separate projections for the attention of global tokens."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.query_global = nn.Linear(shape.width, shape.width)
        self.key_global = nn.Linear(shape.width, shape.width)
        self.value_global = nn.Linear(shape.width, shape.width)

    def copy_projections(self) -> None:
        """Starts the global projections as copies of the local ones, as Longformer's authors do."""
        for name in ("query", "key", "value"):
            getattr(self, f"{name}_global").load_state_dict(getattr(self, name).state_dict())


class Packing:
    """Between the packed matrix [T, ...] and padded tensors [B, G, ...] and [B, N, C, ...]."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._question_rows = layout.question_mask.flatten().nonzero()[:, 0]
        self._block_rows = layout.mask.flatten().nonzero()[:, 0]
        self.globals = len(self._question_rows)
        self._windows: dict[int, BlockMask] = {}

    def window_mask(self, reach: int) -> BlockMask:
        """The block mask of a window, made once for all layers that have it."""
        if reach not in self._windows:
            layout = self.layout
            self._windows[reach] = window_mask(mask=layout.mask, global_mask=layout.question_mask, reach=reach)
        return self._windows[reach]

    def pack(self, question: Tensor, blocks: Tensor) -> Tensor:
        """[B, G, ...] and [B, N, C, ...] -> [T, ...]."""
        return torch.cat(
            [take(question.flatten(0, 1), self._question_rows), take(blocks.flatten(0, 2), self._block_rows)]
        )

    def unpack(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """[T, W] -> [B, G, W] and [B, N, C, W], zero at padding."""
        spread = put(packed[self.globals :], self._block_rows, self.layout.mask.numel())
        return self.unpack_question(packed[: self.globals]), spread.view(*self.layout.mask.shape, packed.shape[-1])

    def unpack_question(self, packed: Tensor) -> Tensor:
        """The packed global tokens alone -> [B, G, W], zero at padding."""
        spread = put(packed, self._question_rows, self.layout.question_mask.numel())
        return spread.view(*self.layout.question_mask.shape, packed.shape[-1])


class _Attention:
    """Sliding-window plus global attention over packed tokens, as the `attend` of one block."""

    def __init__(self, packing: Packing, *, heads: int, block: nn.Module, x: Tensor, reach: int | None) -> None:
        self._packing, self._heads, self._block, self._x, self._reach = packing, heads, block, x, reach

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[T, W] each -> [T, W]."""
        layout, heads = self._packing.layout, self._heads
        global_query, local_query = self._spread(query)
        global_key, local_key = self._spread(key)
        global_value, local_value = self._spread(value)
        if local_query.is_cuda and self._reach is not None:
            seen = self._packing.window_mask(self._reach)
            local = window_attention(
                local_query, local_key, local_value, global_key=global_key, global_value=global_value, seen=seen
            )
        else:
            local = local_attention(
                local_query,
                local_key,
                local_value,
                global_key=global_key,
                global_value=global_value,
                mask=layout.mask,
                global_mask=layout.question_mask,
                reach=self._reach,
            )
        if isinstance(self._block, GlobalBlock):
            own_query = self._block.query_global(self._x[: self._packing.globals])
            global_query = split_heads(self._packing.unpack_question(own_query), heads)
            global_key, local_key = self._spread(self._block.key_global(self._x))
            global_value, local_value = self._spread(self._block.value_global(self._x))
        gathered = global_attention(
            global_query,
            torch.cat([global_key, _flat(local_key)], dim=-2),
            torch.cat([global_value, _flat(local_value)], dim=-2),
            mask=torch.cat([layout.question_mask, layout.mask.flatten(1)], dim=1),
        )
        return self._packing.pack(join_heads(gathered), join_heads(local))

    def _spread(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        question, blocks = self._packing.unpack(packed)
        return split_heads(question, self._heads), split_heads(blocks, self._heads)


def _flat(blocks: Tensor) -> Tensor:
    """[B, N, H, C, D] -> [B, H, N * C, D]."""
    return blocks.transpose(1, 2).flatten(2, 3)


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.count = len(x)
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return put(gradient, rows, ctx.count), None


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(rows)
        return x.new_zeros(count, *x.shape[1:]).index_copy_(0, rows, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        return take(gradient, rows), None, None


def take(x: Tensor, rows: Tensor) -> Tensor:
    """x[rows] for distinct rows. Its gradient is a copy, where PyTorch's adds one by one: 23% of a training step."""
    taken: Tensor = _Take.apply(x, rows)  # type: ignore[no-untyped-call]
    return taken


def put(x: Tensor, rows: Tensor, count: int) -> Tensor:
    """A tensor of `count` rows with x at the distinct `rows` and zero elsewhere; the inverse of `take`."""
    spread: Tensor = _Put.apply(x, rows, count)  # type: ignore[no-untyped-call]
    return spread
