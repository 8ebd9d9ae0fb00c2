import numpy as np
import pytest
import torch

from model.realm import QueryAdapter
from model.training import adam
from model.training.query_map import fit_query_map


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Passages at random; a query is its passage with four directions swapped, and loud."""
    chance = np.random.default_rng(0)
    passages = unit(chance.standard_normal((200, 24)))
    queries = passages.copy()
    queries[:, :4] = -5 * passages[:, [1, 0, 3, 2]]
    return unit(queries), passages, np.arange(200)


def right(queries: np.ndarray, passages: np.ndarray) -> float:
    return float(((queries @ passages.T).argmax(1) == np.arange(len(queries))).mean())


def test_a_map_of_low_rank_learns_what_low_rank_can_express() -> None:
    queries, passages, positive = problem()
    down, up = fit_query_map(queries, passages, positive, steps=600, rank=4)
    assert (down.shape, up.shape) == ((4, 24), (24, 4))
    before, after = right(queries, passages), right(unit(queries + queries @ down.T @ up.T), passages)
    assert before < 0.5
    assert after > before + 0.3
    again = fit_query_map(queries, passages, positive, steps=600, rank=4)
    assert np.array_equal(again[0], down)
    assert np.array_equal(again[1], up)


def test_it_ends_where_it_is_told_to_and_without_a_step_changes_nothing() -> None:
    queries, passages, positive = problem()
    told: list[int] = []

    def report(step: int) -> bool:
        told.append(step)
        return step < 20

    fit_query_map(queries, passages, positive, steps=1_000, report=report)
    assert told == [0, 10, 20]
    _, up = fit_query_map(queries, passages, positive, steps=10, report=lambda step: False)
    assert not up.any()
    with pytest.raises(ValueError, match="no queries"):
        fit_query_map(queries[:0], passages, positive[:0], steps=1)


def test_its_steps_are_those_of_torchs_adamw() -> None:
    ours, theirs = QueryAdapter(8, rank=2), QueryAdapter(8, rank=2)
    torch.nn.init.normal_(ours.up.weight)
    theirs.load_state_dict(ours.state_dict())
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=adam.DECAY)
    own = adam.Adam([ours.up.weight])
    chance = torch.Generator().manual_seed(1)
    for _ in range(5):
        pull = torch.randn(8, 2, generator=chance)
        theirs.up.weight.grad = pull
        optimizer.step()
        own.step([pull], rate=0.01)
    torch.testing.assert_close(ours.up.weight, theirs.up.weight)
