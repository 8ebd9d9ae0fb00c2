import pytest

from bench.adaptation import is_right


@pytest.mark.parametrize(
    ("ndcg", "recall", "promoted", "expected"),
    [
        ((2.0, 1.0, 3.0), (1.0, -0.5, 2.5), True, True),
        ((2.0, 1.0, 3.0), (-1.0, -2.0, -0.1), True, False),
        ((0.5, -0.5, 1.5), (0.1, -1.0, 1.2), False, True),
        ((2.0, 1.0, 3.0), (0.1, -1.0, 1.2), False, False),
    ],
)
def test_a_promotion_is_right_without_a_loss_and_a_refusal_without_a_gain(
    ndcg: tuple[float, float, float], recall: tuple[float, float, float], promoted: bool, expected: bool
) -> None:
    rows = {"ndcg_at_10": {"difference": list(ndcg)}, "recall_at_5": {"difference": list(recall)}}
    assert is_right(rows, promoted=promoted) is expected
