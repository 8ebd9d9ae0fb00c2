"""The parts that the encoder and the Longformer share: BERT's embeddings and its post-norm block.

B batch, L length, W width, H heads, D head size (W = H * D)
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# oneDNN keeps code for each number of rows that it has multiplied, a third of a megabyte for a product: the sentences
# of one book left 500 MB of it. Numbers of rows are therefore rounded up to a multiple, of the smaller one when few.
ROWS_STEP, SMALL_STEP = 128, 16
INNER_AT_ONCE = 2**21  # numbers of the inner layer: 4,096 word pieces of MiniLM's took 53 instead of 64 ms in bf16


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a BERT-shaped transformer; the defaults are all-MiniLM-L6-v2's."""

    vocabulary: int = 30_522
    positions: int = 512
    segments: int = 2
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1_536
    epsilon: float = 1e-12

    @classmethod
    def of_config(cls, config: Mapping[str, object]) -> "Shape":
        """The shape that a Hugging Face `config.json` of BERT's family describes."""

        def number(name: str) -> int:
            value = config[name]
            if not isinstance(value, int):
                raise ValueError(f"config.json: {name} is {value!r}, expected a whole number")
            return value

        return cls(
            vocabulary=number("vocab_size"),
            positions=number("max_position_embeddings"),
            segments=number("type_vocab_size"),
            width=number("hidden_size"),
            layers=number("num_hidden_layers"),
            heads=number("num_attention_heads"),
            inner=number("intermediate_size"),
            epsilon=float(str(config.get("layer_norm_eps", 1e-12))),
        )


class Embeddings(nn.Module):
    """Word, position and segment embeddings, summed and normalised."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.vocabulary, shape.width)
        self.position = nn.Embedding(shape.positions, shape.width)
        self.segment = nn.Embedding(shape.segments, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.epsilon)

    def forward(self, tokens: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Three integer tensors of one shape [...] -> [..., W]."""
        summed: Tensor = self.word(tokens) + self.position(positions) + self.segment(segments)
        normalised: Tensor = self.norm(summed)
        return normalised


class Block(nn.Module):
    """BERT's post-norm block. How positions see each other is the caller's: `attend` maps projections to contexts."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.output = nn.Linear(shape.width, shape.width)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.up = nn.Linear(shape.width, shape.inner)
        self.down = nn.Linear(shape.inner, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.epsilon)

    def forward(self, x: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor], *, dropout: float = 0.0) -> Tensor:
        """[..., W] -> [..., W]; `attend` takes and gives [..., W] for the projected queries, keys and values."""
        return self.feed_forward(x, attend(self.query(x), self.key(x), self.value(x)), dropout=dropout)

    def feed_forward(self, x: Tensor, context: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Everything after the attention: output projection, two residual norms and the inner layer."""
        x = self.attention_norm(x + drop(self.output(context), dropout))
        normalised: Tensor = self.norm(x + drop(self._inner(x), dropout))
        return normalised

    def _inner(self, x: Tensor) -> Tensor:
        """The inner layer; without a gradient a few rows at a time, which stay in the cache between its parts."""
        rows = INNER_AT_ONCE // self.up.out_features // ROWS_STEP * ROWS_STEP
        if torch.is_grad_enabled() or x.numel() <= rows * x.shape[-1]:
            inner: Tensor = self.down(F.gelu(self.up(x)))
            return inner
        parts = [self.down(F.gelu(self.up(some))) for some in torch.split(x.flatten(0, -2), max(1, rows))]
        return torch.cat(parts).view_as(x)


def drop(x: Tensor, share: float) -> Tensor:
    """Dropout: zero with probability `share` in steps of 1/256, else scaled up so that the mean stays.

    A random byte decides each element: PyTorch's own draws a number for each, which took 3 times as long on a CPU.
    """
    if share == 0.0:
        return x
    dropped = round(256 * share)
    words = torch.randint(2**62, ((x.numel() + 6) // 7,), device=x.device)  # 7 bytes of each are uniform
    noise = words.view(torch.uint8).view(-1, 8)[:, :7].reshape(-1)[: x.numel()].view(x.shape)
    return x * (noise >= dropped).to(x.dtype).mul_(256 / (256 - dropped))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, W] -> [B, H, L, D]."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    """[B, H, L, D] -> [B, L, W]."""
    return x.transpose(-3, -2).flatten(-2)


_LINEAR = {"q": "query", "k": "key", "v": "value", "out": "output"}
_RENAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^(bert|roberta|longformer|electra|distilbert)\.", ""),
    (r"\.gamma$", ".weight"),  # as the first checkpoints were written
    (r"\.beta$", ".bias"),
    (r"^embeddings\.(word|position)_embeddings\.", r"embeddings.\1."),
    (r"^embeddings\.token_type_embeddings\.", "embeddings.segment."),
    (r"^embeddings\.LayerNorm\.", "embeddings.norm."),
    (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.self\.(query|key|value)(_global)?\.", r".\1\2."),
    (r"\.attention\.output\.dense\.", ".output."),
    (r"\.attention\.output\.LayerNorm\.", ".attention_norm."),
    (r"\.intermediate\.dense\.", ".up."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.down."),
    (r"^(blocks\.\d+)\.output\.LayerNorm\.", r"\1.norm."),
    (r"^transformer\.layer\.(\d+)\.", r"blocks.\1."),  # DistilBERT's own names
    (r"^(blocks\.\d+)\.attention\.(q|k|v|out)_lin\.", lambda found: f"{found[1]}.{_LINEAR[found[2]]}."),
    (r"^(blocks\.\d+)\.sa_layer_norm\.", r"\1.attention_norm."),
    (r"^(blocks\.\d+)\.ffn\.lin1\.", r"\1.up."),
    (r"^(blocks\.\d+)\.ffn\.lin2\.", r"\1.down."),
    (r"^(blocks\.\d+)\.output_layer_norm\.", r"\1.norm."),
    (r"^qa_outputs\.", "span."),
)


def rename_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Hugging Face state dict of BERT's family under the names that our modules use; pooler and buffers dropped."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if not name.startswith("pooler.") and not name.endswith("position_ids"):
            renamed[name] = tensor
    return renamed


def fastest_dtype() -> torch.dtype:
    """bfloat16 where this CPU multiplies it in hardware (1.6-1.8 times fp32's speed); emulated it is 4 times slower."""
    native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if native else torch.float32
