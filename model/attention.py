"""Longformer's attention: tokens see their neighbourhood and the global tokens, global tokens see everything.

The local tokens come in blocks. In the retrieval mode a block is a passage and sees itself alone; in the
whole-document mode a block is as long as the window and sees half a window each side, which spans its two neighbours.
Either way each block is one row of a batched scaled-dot-product attention, so cost is linear in the number of blocks.

B batch, G global tokens, N blocks, C tokens a block, S = G + N * C, H heads, D head size
Source: Beltagy, Peters, Cohan 2020, "Longformer: The Long-Document Transformer", section 3.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Scores of so many pairs of tokens at a time on a CPU: they stay in the cache, and memory stays flat at any length. At
# 4,096 tokens (12 heads x 32, 128 each side) one core took 49 instead of 109 ms a layer in bf16, 60 and 96 in fp32.
SCORES_AT_ONCE = 2**21
SHORT = 96  # keys up to which the fused kernel is as fast in bf16: at 24, 56 instead of 78 us, at 90, 366 and 356
UNSEEN = -1e4  # added to a score: its weight is then zero, yet a row without any other key stays finite


def local_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    global_key: Tensor,
    global_value: Tensor,
    mask: Tensor,
    global_mask: Tensor,
    reach: int | None,
) -> Tensor:
    """What the local tokens gather: [B, N, H, C, D] for query, key and value alike.

    `global_key` and `global_value` are [B, H, G, D]; `mask` [B, N, C] and `global_mask` [B, G] are true at real tokens.
    With `reach` None a block sees itself alone. Otherwise tokens at most `reach` apart see each other, also across
    blocks, and `reach` must not exceed C. Rows of padding hold no meaning. Raises ValueError when `reach` exceeds C.
    """
    batch, blocks, heads, length, _ = query.shape
    if reach is not None and reach > length:
        raise ValueError(f"reach is {reach}, blocks hold {length} tokens: a token would see past its neighbours")
    at_once = blocks
    if query.device.type == "cpu":
        keys = global_key.shape[-2] + (length if reach is None else 3 * length)
        at_once = max(1, SCORES_AT_ONCE // (batch * heads * length * keys))
    parts = []
    for first in range(0, blocks, at_once):
        some = slice(first, min(first + at_once, blocks))
        near_key, near_value, near = _near(key, value, mask, some, reach=reach)
        rows, far = near.shape[1:3], global_mask[:, None, None, :]
        keys_ = torch.cat([_for_each_block(global_key, rows[0]), near_key], dim=-2)
        values = torch.cat([_for_each_block(global_value, rows[0]), near_value], dim=-2)
        visible = torch.cat([far.expand(-1, *rows, -1), near], dim=-1)[:, :, None]
        gathered = attend(
            query[:, some].flatten(0, 1), keys_.flatten(0, 1), values.flatten(0, 1), visible=visible.flatten(0, 1)
        )
        parts.append(gathered.view(batch, rows[0], heads, length, -1))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def global_attention(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor) -> Tensor:
    """What the global tokens gather from all S tokens: query [B, H, G, D], key and value [B, H, S, D], mask [B, S]."""
    return attend(query, key, value, visible=mask[:, None, None, :])


def attend(query: Tensor, key: Tensor, value: Tensor, *, visible: Tensor | None) -> Tensor:
    """Scaled dot-product attention: [..., Q, D], [..., K, D], [..., K, D] -> [..., Q, D].

    `visible` broadcasts to [..., Q, K], true where a query sees a key; None: everywhere. A query that sees nothing
    gets finite values without a meaning.

    In bf16 on a CPU the two products of long texts are made one by one: PyTorch's fused kernel multiplies blocks of
    bf16 at a sixth of the speed that a whole product has. Forward and backward of 26 blocks of 150 tokens, 12 heads x
    32, two cores: 33 ms against 73 ms; in fp32 the fused kernel is the faster one, 40 against 49 ms.
    """
    short = key.shape[-2] <= SHORT and not query.requires_grad
    if query.dtype is not torch.bfloat16 or query.device.type != "cpu" or short:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if visible is not None:
        scores += torch.zeros_like(visible, dtype=scores.dtype).masked_fill_(~visible, UNSEEN)
    return torch.matmul(scores.softmax(-1), value)


def visibility(*, mask: Tensor, global_mask: Tensor, reach: int | None) -> Tensor:
    """The same pattern as one boolean matrix [B, S, S], global tokens first: the slow reference of both functions.

    Row i is true at the columns that token i sees. `mask` is [B, N, C], `global_mask` [B, G].
    """
    batch, blocks, length = mask.shape
    globals_, locals_ = global_mask.shape[1], blocks * length
    place = torch.arange(locals_)
    if reach is None:
        near = (place[:, None] // length) == (place[None, :] // length)
    else:
        near = (place[:, None] - place[None, :]).abs() <= reach
    pattern = torch.ones(globals_ + locals_, globals_ + locals_, dtype=torch.bool)
    pattern[globals_:, globals_:] = near
    real = torch.cat([global_mask, mask.flatten(1)], dim=1)
    return pattern.to(mask.device)[None] & real[:, None, :].expand(batch, -1, -1)


def _for_each_block(x: Tensor, blocks: int) -> Tensor:
    return x[:, None].expand(-1, blocks, -1, -1, -1)


def _near(key: Tensor, value: Tensor, mask: Tensor, some: slice, *, reach: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values [B, N, H, X, D] that some blocks' tokens see nearby, and which [B, N, 1 or C, X] they do."""
    if reach is None:
        return key[:, some], value[:, some], mask[:, some, None, :]
    real = _with_neighbours(mask[:, :, None, :, None], some)[..., 0]
    band = _band(mask.shape[2], reach, device=mask.device)
    return _with_neighbours(key, some), _with_neighbours(value, some), real & band


def _with_neighbours(x: Tensor, some: slice) -> Tensor:
    """[B, N, X, C, Y] -> [B, some, X, 3C, Y]: each block behind the one before it and ahead of the one after it."""
    around = x[:, max(some.start - 1, 0) : some.stop + 1]
    ends = (int(some.start == 0), int(some.stop == x.shape[1]))
    if any(ends):
        around = F.pad(around, (0, 0, 0, 0, 0, 0, *ends))
    return torch.cat([around[:, :-2], around[:, 1:-1], around[:, 2:]], dim=-2)


def _band(length: int, reach: int, *, device: torch.device) -> Tensor:
    """[C, 3C], true where a token of the middle block and one of the three blocks are at most `reach` apart."""
    here = torch.arange(length, device=device)[:, None] + length
    there = torch.arange(3 * length, device=device)[None, :]
    return (here - there).abs() <= reach
