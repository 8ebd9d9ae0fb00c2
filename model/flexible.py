"""The sliding window as one FlexAttention kernel with a block mask: what a GPU runs in place of the chunks.

It has no backward on a CPU, and there the chunks are faster (76 against 121 ms a layer at 4,096 tokens).

B batch, G global tokens, N blocks, C tokens a block, L = N * C, H heads, D head size
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

_compiled: Callable[..., Tensor] | None = None


def window_mask(*, mask: Tensor, global_mask: Tensor, reach: int) -> BlockMask:
    """Which of G + L keys, global ones first, each of L queries sees, in all heads and all layers of one `reach`.

    `mask` [B, N, C] and `global_mask` [B, G] are true at real tokens; local ones at most `reach` apart see each other.
    """
    globals_ = global_mask.shape[1]
    real = torch.cat([global_mask, mask.flatten(1)], dim=1)

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        near = (query - (key - globals_)).abs() <= reach
        return real[row, key] & ((key < globals_) | near)

    locals_ = mask[0].numel()
    return create_block_mask(seen, len(mask), None, locals_, globals_ + locals_, device=str(mask.device))


def window_attention(
    query: Tensor, key: Tensor, value: Tensor, *, global_key: Tensor, global_value: Tensor, seen: BlockMask
) -> Tensor:
    """As `model.attention.local_attention` with a reach: [B, N, H, C, D] each, the global ones [B, H, G, D].

    Compiled on a GPU; elsewhere as it is, which holds all scores and is for comparison alone.
    """
    blocks, length = query.shape[1], query.shape[3]
    keys = torch.cat([global_key, _in_one(key)], dim=-2)
    values = torch.cat([global_value, _in_one(value)], dim=-2)
    run = _kernel() if query.is_cuda else cast(Callable[..., Tensor], flex_attention)
    gathered = run(_in_one(query), keys, values, block_mask=seen)
    return gathered.view(*gathered.shape[:2], blocks, length, -1).transpose(1, 2)


def _kernel() -> Callable[..., Tensor]:
    global _compiled
    if _compiled is None:
        _compiled = cast(Callable[..., Tensor], torch.compile(flex_attention))
    return _compiled


def _in_one(blocks: Tensor) -> Tensor:
    """[B, N, H, C, D] -> [B, H, L, D]."""
    return blocks.transpose(1, 2).flatten(2, 3)
