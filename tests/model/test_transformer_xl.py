import math

import pytest
import torch
from torch import Tensor

from model.transformer_xl import TransformerXL, XLLayer, XLShape, read_in_segments, relative_positions

SHAPE = XLShape(width=16, layers=2, heads=2, inner=32)


def network(*, causal: bool) -> TransformerXL:
    torch.manual_seed(0)
    built = TransformerXL(SHAPE, causal=causal)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return built.double().eval()


def naive_layer(layer: XLLayer, x: Tensor, context: Tensor, *, causal: bool, reach: int | None) -> Tensor:
    """Formula by formula, one query and one key at a time: section 3.3 of the paper."""
    past, size = context.shape[1] - x.shape[1], SHAPE.width // SHAPE.heads
    normed = layer.attention_norm(context)
    outputs = []
    for i in range(x.shape[1]):
        heads = []
        for head in range(SHAPE.heads):
            part = slice(head * size, (head + 1) * size)
            query = layer.query(normed[0, past + i])[part]
            scores, values = [], []
            for j in range(context.shape[1]):
                distance = past + i - j
                if (causal and distance < 0) or (reach is not None and distance > reach):
                    continue
                rates = 10_000 ** (-torch.arange(0, SHAPE.width, 2, dtype=torch.float64) / SHAPE.width)
                encoding = torch.cat([(distance * rates).sin(), (distance * rates).cos()])
                content = (query + layer.content_bias[head]) @ layer.key(normed[0, j])[part]
                place = (query + layer.position_bias[head]) @ layer.position(encoding)[part]
                scores.append((content + place) / math.sqrt(size))
                values.append(layer.value(normed[0, j])[part])
            heads.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        y = x[0, i] + layer.output(torch.cat(heads))
        outputs.append(y + layer.down(torch.nn.functional.gelu(layer.up(layer.norm(y)))))
    return torch.stack(outputs)[None]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("reach", "length"), [(None, 5), (3, 5), (None, 1)])
def test_every_layer_equals_the_naive_quadratic_formula(causal: bool, reach: int | None, length: int) -> None:
    built = network(causal=causal)
    x, memory = torch.randn(1, length, 16).double(), tuple(torch.randn(1, 3, 16).double() for _ in range(2))
    with torch.inference_mode():
        actual, _ = built(x, memory, memory_length=3, same_length=reach is not None)
        expected = x
        for layer, before in zip(built.layers, memory, strict=True):
            context = torch.cat([before, expected], dim=1)
            expected = naive_layer(layer, expected, context, causal=causal, reach=reach)
    # the encodings are computed in fp32 and the naive ones in fp64
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("segment", [1, 2, 5, 12])
def test_segments_with_enough_memory_equal_one_pass(segment: int) -> None:
    built = network(causal=True)
    x = torch.randn(2, 12, 16).double()
    with torch.inference_mode():
        whole, _ = built(x, memory_length=0)
        read = read_in_segments(built, x, segment=segment, memory_length=12)
    torch.testing.assert_close(read, whole, rtol=1e-5, atol=1e-5)


def test_too_little_memory_is_not_one_pass() -> None:
    built = network(causal=True)
    x = torch.randn(1, 12, 16).double()
    with torch.inference_mode():
        whole, _ = built(x, memory_length=0)
        read = read_in_segments(built, x, segment=3, memory_length=2)
    assert not torch.allclose(read, whole, rtol=1e-3)


@pytest.mark.parametrize("segment", [1, 2, 3, 10])
def test_streaming_equals_the_batch_at_the_same_length_of_sight(segment: int) -> None:
    built = network(causal=True)
    x = torch.randn(1, 10, 16).double()
    with torch.inference_mode():
        batch, _ = built(x, memory_length=4, same_length=True)
        streamed = read_in_segments(built, x, segment=segment, memory_length=4, same_length=True)
        farther = read_in_segments(built, x, segment=segment, memory_length=5, same_length=True)
    torch.testing.assert_close(streamed, batch, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(farther, batch, rtol=1e-3)


def test_memory_holds_what_it_may_and_carries_no_gradient() -> None:
    built = network(causal=False)
    x = torch.randn(2, 6, 16, requires_grad=True, dtype=torch.float64)
    _, memory = built(x, memory_length=4)
    assert [part.shape for part in memory] == [(2, 4, 16)] * 2
    assert not any(part.requires_grad for part in memory)
    y = torch.randn(2, 6, 16, requires_grad=True, dtype=torch.float64)
    hidden, _ = built(y, memory, memory_length=4)
    hidden.sum().backward()
    assert y.grad is not None
    assert x.grad is None


def test_the_encoder_sees_ahead_within_its_segment_and_the_language_model_does_not() -> None:
    for causal in (False, True):
        built = network(causal=causal)
        x = torch.randn(1, 6, 16).double()
        changed = x.clone()
        changed[:, 4] += torch.randn(16).double()
        with torch.inference_mode():
            (before, _), (after, _) = (built(part, memory_length=0) for part in (x, changed))
        assert torch.allclose(before[:, :4], after[:, :4]) is causal


def test_padding_changes_nothing() -> None:
    built = network(causal=False)
    x = torch.randn(1, 5, 16).double()
    padded = torch.cat([x, torch.full((1, 3, 16), 7.0).double()], dim=1)
    mask = torch.tensor([[True] * 5 + [False] * 3])
    with torch.inference_mode():
        alone, _ = built(x, memory_length=0)
        among, _ = built(padded, memory_length=0, mask=mask)
    torch.testing.assert_close(among[:, :5], alone)


def test_distances_run_from_the_farthest_past_to_the_nearest_or_the_future() -> None:
    like = torch.zeros(1)
    assert relative_positions(3, 4, width=8, causal=True, like=like).shape == (7, 8)
    assert relative_positions(3, 4, width=8, causal=False, like=like).shape == (10, 8)
    here = relative_positions(3, 4, width=8, causal=True, like=like)[-1]
    assert here.tolist() == [0.0] * 4 + [1.0] * 4


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        XLShape(width=10, layers=1, heads=3, inner=4)
