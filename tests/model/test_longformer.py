import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.attention import attend, global_attention, local_attention, visibility
from model.flexible import window_attention, window_mask
from model.layers import Block, Shape, drop
from model.longformer import GlobalBlock, Layout, Longformer
from model.network import document_layout

TINY = Shape(vocabulary=50, positions=64, width=16, layers=2, heads=2, inner=32)


def random_masks(*, batch: int, globals_: int, blocks: int, length: int, padded: bool) -> tuple[Tensor, Tensor]:
    global_mask = torch.ones(batch, globals_, dtype=torch.bool)
    mask = torch.ones(batch, blocks, length, dtype=torch.bool)
    if padded:
        mask[0, 0, length // 2 :] = False
        mask[-1, -1, 1:] = False
        if globals_ > 1:
            global_mask[0, -1] = False
    return mask, global_mask


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("reach", [None, 1, 5, 7])
@pytest.mark.parametrize("globals_", [0, 1, 4])
@pytest.mark.parametrize("blocks", [1, 2, 5])
@pytest.mark.parametrize("at_once", [1, 1500, 10**6])  # a block, two blocks, all of them
def test_chunked_attention_equals_the_masked_reference_forward_and_backward(
    padded: bool, reach: int | None, globals_: int, blocks: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.attention.SCORES_AT_ONCE", at_once)
    torch.manual_seed(0)
    batch, heads, length, head = 2, 2, 7, 4
    mask, global_mask = random_masks(batch=batch, globals_=globals_, blocks=blocks, length=length, padded=padded)
    inputs = [torch.randn(batch, heads, globals_ + blocks * length, head, requires_grad=True) for _ in range(3)]
    pattern = visibility(mask=mask, global_mask=global_mask, reach=reach)
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=pattern[:, None])

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        near = x[:, :, globals_:].unflatten(2, (blocks, length)).transpose(1, 2)
        return x[:, :, :globals_], near

    (gq, q), (gk, k), (gv, v) = (parts(x) for x in inputs)
    local = local_attention(q, k, v, global_key=gk, global_value=gv, mask=mask, global_mask=global_mask, reach=reach)
    everything = torch.cat([global_mask, mask.flatten(1)], dim=1)
    gathered = global_attention(gq, inputs[1], inputs[2], mask=everything)
    actual = torch.cat([gathered, local.transpose(1, 2).flatten(2, 3)], dim=2)

    real = everything[:, None, :, None]
    torch.testing.assert_close(actual.where(real, 0), expected.where(real, 0))
    weights = torch.randn_like(expected) * real
    wanted = torch.autograd.grad((expected.where(real, 0) * weights).sum(), inputs)
    found = torch.autograd.grad((actual.where(real, 0) * weights).sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("globals_", [0, 1, 4])
@pytest.mark.parametrize("reach", [1, 7])
def test_flex_attention_equals_the_chunks(padded: bool, globals_: int, reach: int) -> None:
    torch.manual_seed(0)
    batch, heads, blocks, length, head = 2, 2, 5, 7, 16
    mask, global_mask = random_masks(batch=batch, globals_=globals_, blocks=blocks, length=length, padded=padded)
    query, key, value = (torch.randn(batch, blocks, heads, length, head) for _ in range(3))
    far = {name: torch.randn(batch, heads, globals_, head) for name in ("global_key", "global_value")}
    expected = local_attention(query, key, value, **far, mask=mask, global_mask=global_mask, reach=reach)
    seen = window_mask(mask=mask, global_mask=global_mask, reach=reach)
    actual = window_attention(query, key, value, **far, seen=seen)
    real = mask[:, :, None, :, None]
    torch.testing.assert_close(actual.where(real, 0), expected.where(real, 0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU: the compiled kernel needs one")
def test_a_window_on_a_gpu_gives_what_it_gives_on_a_cpu_forward_and_backward() -> None:
    torch.manual_seed(0)
    shape = Shape(vocabulary=50, positions=600, width=64, layers=2, heads=2, inner=64)
    model = Longformer(shape, own_global=True)
    text = torch.randint(1, 50, (331,)).tolist()
    layout = document_layout([([3, 4, 5], text), ([6], text[:90])], reach=[32, 64])
    expected, _ = model(layout)
    (wanted,) = torch.autograd.grad(expected.square().sum(), model.blocks[0].query.weight)
    there = model.cuda()
    actual, _ = there(Layout(**{name: x.cuda() if isinstance(x, Tensor) else x for name, x in vars(layout).items()}))
    (found,) = torch.autograd.grad(actual.square().sum(), there.blocks[0].query.weight)
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-2, atol=1e-2)


def test_attention_in_bf16_is_the_fused_kernel_s_within_rounding_forward_and_backward() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(3, 2, length, 8) for length in (9, 11, 11)]
    visible = torch.rand(3, 1, 1, 11) > 0.3
    weights = torch.randn(3, 2, 9, 8)

    def run(dtype: torch.dtype) -> list[Tensor]:
        parts = [part.to(dtype).requires_grad_() for part in inputs]
        gathered = attend(*parts, visible=visible)
        return [gathered, *torch.autograd.grad((gathered * weights.to(dtype)).sum(), parts)]

    for one, other in zip(run(torch.bfloat16), run(torch.float32), strict=True):
        torch.testing.assert_close(one.float(), other, atol=0.05, rtol=0.05)


def test_in_bf16_a_row_that_sees_nothing_stays_finite() -> None:
    x = torch.randn(1, 1, 3, 4, dtype=torch.bfloat16, requires_grad=True)
    gathered = attend(x, x, x, visible=torch.zeros(1, 1, 1, 3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(gathered.sum(), x)
    assert gathered.isfinite().all()
    assert gradient.isfinite().all()


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    torch.manual_seed(0)
    x = torch.ones(400, 500, requires_grad=True)
    dropped = drop(x, 0.1)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    dropped = dropped.detach()
    assert torch.equal(gradient, dropped)
    assert float((dropped == 0).float().mean()) == pytest.approx(26 / 256, abs=0.003)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.005)
    assert drop(x, 0.0) is x


def test_the_inner_layer_is_the_same_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = Block(TINY), torch.randn(3, 5, TINY.width)
    with torch.inference_mode():
        expected = block.feed_forward(x, x)
        for numbers in (1, 4 * TINY.inner, 15 * TINY.inner):
            monkeypatch.setattr("model.layers.INNER_AT_ONCE", numbers)
            torch.testing.assert_close(block.feed_forward(x, x), expected)


def test_a_window_wider_than_a_block_is_refused_with_both_numbers() -> None:
    x = torch.zeros(1, 2, 1, 4, 8)
    far = torch.zeros(1, 1, 1, 8)
    with pytest.raises(ValueError, match="reach is 5, blocks hold 4"):
        local_attention(
            x,
            x,
            x,
            global_key=far,
            global_value=far,
            mask=torch.ones(1, 2, 4, dtype=torch.bool),
            global_mask=torch.ones(1, 1, dtype=torch.bool),
            reach=5,
        )


def layout_of(question: list[int], passages: list[list[int]]) -> Layout:
    longest = max(map(len, passages))
    blocks = torch.zeros(1, len(passages), longest, dtype=torch.long)
    mask = torch.zeros(1, len(passages), longest, dtype=torch.bool)
    for row, passage in enumerate(passages):
        blocks[0, row, : len(passage)] = torch.tensor(passage)
        mask[0, row, : len(passage)] = True
    return Layout(
        question=torch.tensor([question]),
        question_mask=torch.ones(1, len(question), dtype=torch.bool),
        blocks=blocks,
        mask=mask,
        positions=(len(question) + torch.arange(longest)).expand(1, len(passages), -1) * mask,
    )


@pytest.mark.parametrize("own_global", [False, True])
def test_the_order_of_passages_and_their_padding_do_not_change_what_is_read(own_global: bool) -> None:
    torch.manual_seed(1)
    model = Longformer(TINY, own_global=own_global).eval()
    passages = [[5, 6, 7], [8, 9, 10, 11, 12], [13]]
    with torch.inference_mode():
        question, blocks = model(layout_of([1, 2, 3], passages))
        again, swapped = model(layout_of([1, 2, 3], [passages[1], passages[2], passages[0]]))
        padded_question, _ = model(layout_of([1, 2, 3], [*passages, [7] * 20]))
    torch.testing.assert_close(again, question)
    torch.testing.assert_close(swapped[0, 2, :3], blocks[0, 0, :3])
    assert not torch.allclose(padded_question, question), "a further passage must be seen by the question"


def test_a_batch_reads_each_row_as_if_it_were_alone() -> None:
    torch.manual_seed(2)
    model = Longformer(TINY, own_global=True).eval()
    first, second = layout_of([1, 2], [[3, 4, 5], [6]]), layout_of([7, 8, 9, 10], [[11, 12], [13, 14, 15, 16]])

    def stack(one: Tensor, other: Tensor) -> Tensor:
        sizes = [max(a, b) for a, b in zip(one.shape, other.shape, strict=True)]
        return torch.cat([_grow(x, sizes) for x in (one, other)])

    both = Layout(
        question=stack(first.question, second.question),
        question_mask=stack(first.question_mask, second.question_mask),
        blocks=stack(first.blocks, second.blocks),
        mask=stack(first.mask, second.mask),
        positions=stack(first.positions, second.positions),
    )
    with torch.inference_mode():
        question, blocks = model(both)
        alone_question, alone_blocks = model(second)
    torch.testing.assert_close(question[1, :4], alone_question[0])
    torch.testing.assert_close(blocks[1, :2, :4], alone_blocks[0])


def _grow(x: Tensor, sizes: list[int]) -> Tensor:
    grown = x.new_zeros([1, *sizes[1:]])
    grown[tuple(slice(0, n) for n in x.shape)] = x
    return grown


def test_global_projections_start_as_copies_and_then_change_nothing() -> None:
    torch.manual_seed(3)
    own = Longformer(TINY, own_global=True).eval()
    for block in own.blocks:
        assert isinstance(block, GlobalBlock)
        block.copy_projections()
    shared = Longformer(TINY, own_global=False).eval()
    shared.load_state_dict({name: x for name, x in own.state_dict().items() if "_global" not in name})
    layout = layout_of([1, 2, 3], [[4, 5, 6], [7, 8]])
    with torch.inference_mode():
        for one, other in zip(own(layout), shared(layout), strict=True):
            torch.testing.assert_close(one, other)
