"""What is said of confidences, against figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation.calibration import CURVE, calibration_of, wilson


def test_confidences_that_come_true_as_stated_have_no_error():
    measured = calibration_of([0.75] * 4 + [0.25] * 4, [True] * 3 + [False] + [True] + [False] * 3)
    assert measured.ece == pytest.approx(0.0)
    assert measured.brier == pytest.approx(0.1875)  # 0.75 * 0.25
    assert measured.brier_constant == pytest.approx(0.25)


def test_a_boast_shows_as_the_gap_between_stated_and_true():
    measured = calibration_of([0.95] * 10 + [0.15] * 10, [True] * 5 + [False] * 5 + [False] * 10)
    assert measured.ece == pytest.approx(100 * (10 * 0.45 + 10 * 0.15) / 20)


def test_the_promise_is_judged_among_those_that_are_answered_under_it():
    measured = calibration_of([0.9, 0.85, 0.8, 0.79, 0.1], [True, False, True, False, False])
    assert measured.answered == pytest.approx(60.0)
    assert measured.error == pytest.approx(100 / 3)
    low, high = measured.error_interval
    assert low < 100 / 3 < high


def test_where_nothing_is_sure_enough_nothing_is_claimed():
    measured = calibration_of([0.5, 0.4], [True, False])
    assert (measured.answered, measured.error, measured.error_interval) == (0.0, None, None)


def test_risk_grows_with_the_share_that_is_answered():
    measured = calibration_of([1 - n / 100 for n in range(100)], [n < 50 for n in range(100)])
    risk = dict(zip(CURVE, measured.risk, strict=True))
    assert (risk[50], risk[75], risk[100]) == pytest.approx((0.0, 100 / 3, 50.0))


def test_equal_confidences_share_their_risk_whatever_their_order():
    for right in ([True, False, False, False], [False, False, False, True]):
        assert calibration_of([0.5] * 4, right).risk == pytest.approx([75.0] * len(CURVE))


def test_wilsons_interval_is_that_of_the_textbook():
    assert wilson(1, 10) == pytest.approx((1.79, 40.42), abs=0.01)
    assert wilson(0, 10)[0] == 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_measures_stay_in_their_range(answers):
    measured = calibration_of([each for each, _ in answers], [right for _, right in answers])
    assert 0 <= measured.ece <= 100
    assert 0 <= measured.brier <= 1
    assert all(-1e-9 <= each <= 100 + 1e-9 for each in measured.risk)
    assert measured.risk[-1] == pytest.approx(100 * np.mean([not right for _, right in answers]))
