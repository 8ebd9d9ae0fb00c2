"""The scores against values computed by hand, and against the published scripts' behaviour at their edges."""

import math

import numpy as np
import pytest

from app.evaluation.ranking import ndcg_at, recall_at, reciprocal_rank_at
from app.evaluation.squad import (
    holds_answer,
    longest_common_run,
    mixed_segmentation,
    normalize,
    scorer_for,
)
from app.evaluation.statistics import auroc, best_threshold_score, bootstrap, paired_bootstrap, percentile

ENGLISH, ENGLISH_2, CHINESE = scorer_for("squad1"), scorer_for("squad2"), scorer_for("cmrc")


def test_normalization_drops_case_punctuation_and_articles_but_not_letters_of_words():
    assert normalize("The  Bell & Howell, an A.B.C. theater!") == "bell howell abc theater"
    assert normalize("Ångström—é") == "ångström—é"
    assert normalize("a") == ""


def test_f1_counts_common_words_with_their_multiplicity_and_takes_the_best_gold():
    # "1 2 2" against "2 2 3": two words in common of three on either side.
    assert ENGLISH.f1("one two two", ["two two three"]) == pytest.approx(2 / 3)
    # Against the second gold: 1 in common, precision 1/2, recall 1.
    assert ENGLISH.f1("in 1973", ["october", "1973"]) == pytest.approx(2 / 3)
    assert ENGLISH.f1("October", ["1973"]) == 0.0


def test_an_exact_match_ignores_what_normalization_drops():
    assert ENGLISH.exact("the Normans.", ["Normans"]) == 1.0
    assert ENGLISH.exact("Norman", ["Normans"]) == 0.0


def test_the_two_scripts_differ_where_nothing_is_left_of_an_answer():
    assert (ENGLISH.exact("the", ["."]), ENGLISH.f1("the", ["."])) == (1.0, 0.0)
    assert ENGLISH.golds(["1973", "."]) == ("1973", ".")
    assert ENGLISH_2.golds(["1973", "."]) == ("1973",)
    assert ENGLISH_2.golds(["."]) == ENGLISH_2.golds([]) == ("",)


def test_an_unanswerable_question_scores_only_for_silence():
    golds = ENGLISH_2.golds([])
    assert (ENGLISH_2.exact("", golds), ENGLISH_2.f1("", golds)) == (1.0, 1.0)
    assert (ENGLISH_2.exact("1973", golds), ENGLISH_2.f1("1973", golds)) == (0.0, 0.0)
    assert ENGLISH_2.f1("", ["1973"]) == 0.0


def test_chinese_is_scored_by_characters_in_one_run():
    assert mixed_segmentation("光荣和ω-Force，2006年3.5") == ["光", "荣", "和", "ωforce2006", "年", "3.5"]
    # Five characters against three, three of them in one run: precision 3/5, recall 1.
    assert CHINESE.f1("在中国北京", ["国北京"]) == pytest.approx(2 * 0.6 / 1.6)
    # The same characters out of order do not make a run: only one character of three counts.
    assert CHINESE.f1("京北国", ["国北京"]) == pytest.approx(1 / 3)
    assert CHINESE.exact("《战国》，", ["战国"]) == 1.0
    assert CHINESE.f1("", CHINESE.golds([])) == 1.0


def test_the_longest_common_run_is_contiguous():
    assert longest_common_run("abcxdef", "abcydef") == 3
    assert longest_common_run("", "abc") == 0


@pytest.mark.parametrize(
    ("passage", "answer", "held"),
    [
        ("The 1973–74 stock market crash", "1973", True),
        ("focus groups", "us", False),
        ("born in the U.S., he", "U.S.", True),
        ("a well-known man", "known man", True),
        ("in October of 1973", "October 1973", False),
        ("光荣和ω-force合作开发", "ω-force", True),
        ("国北京", "北京国", False),
        ("anything", "the", False),
    ],
)
def test_a_passage_holds_an_answer_as_whole_tokens_in_one_run(passage: str, answer: str, held: bool):
    assert holds_answer(passage, [answer]) is held


def test_auroc_is_the_chance_of_the_right_order_with_ties_at_half():
    # Pairs (positive, negative): .9>.8, .9>.1, .5<.8, .5>.1 -> 3 of 4.
    assert auroc([0.9, 0.5, 0.8, 0.1], [True, True, False, False]) == pytest.approx(0.75)
    assert auroc([0.5, 0.5], [True, False]) == pytest.approx(0.5)
    assert auroc([0.5, 0.6], [True, True]) is None


def test_auroc_agrees_with_counting_pairs():
    generator = np.random.default_rng(3)
    scores, labels = generator.integers(0, 8, 60) / 8, generator.random(60) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    assert auroc(scores.tolist(), labels.tolist()) == pytest.approx(np.mean(pairs))


def test_the_best_threshold_is_found_as_the_script_finds_it():
    # By no-answer score: a right answer (1), an unanswerable, a half-right answer, an unanswerable.
    scores, no_answer, answerable = [1.0, 0.0, 0.5, 0.0], [0.1, 0.2, 0.3, 0.4], [True, False, True, False]
    # Answer none: 2. The first: 3. Two: 2. Three: 2.5. All: 1.5.
    assert best_threshold_score(scores, no_answer, answerable) == pytest.approx(3 / 4)
    assert best_threshold_score([0.0, 0.0], [0.1, 0.2], [True, False]) == pytest.approx(1 / 2)


def test_no_threshold_parts_equal_scores():
    # Together the two bring 1 - 1: answering neither is as good, and the file's order cannot make it 2 of 2.
    assert best_threshold_score([1.0, 0.0], [0.3, 0.3], [True, False]) == pytest.approx(1 / 2)


def test_an_empty_answer_to_an_unanswerable_question_costs_nothing_at_any_threshold():
    assert best_threshold_score([1.0, 1.0], [0.3, 0.1], [False, True]) == pytest.approx(1.0)


def test_ndcg_uses_the_grade_as_gain_and_all_judged_items_as_ideal():
    relevant = {"a": 3, "b": 1, "c": 0, "d": -1}
    found = (1 / math.log2(2)) + (3 / math.log2(4))
    ideal = (3 / math.log2(2)) + (1 / math.log2(3))
    assert ndcg_at(["b", "d", "a"], relevant, 10) == pytest.approx(found / ideal)
    assert ndcg_at(["b", "d", "a"], relevant, 2) == pytest.approx(1 / ideal)
    assert ndcg_at(["x"], {"c": 0}, 10) == 0.0


def test_recall_and_reciprocal_rank_count_only_positive_grades():
    relevant = {"a": 2, "b": 1, "c": 0}
    assert recall_at(["c", "a", "x", "b"], relevant, 2) == pytest.approx(1 / 2)
    assert recall_at(["c", "a", "x", "b"], relevant, 4) == 1.0
    assert reciprocal_rank_at(["c", "x", "b"], relevant, 10) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(["c", "x", "b"], relevant, 2) == 0.0


def test_percentiles_interpolate():
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == pytest.approx(2.5)
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_bootstrap_interval_covers_the_mean_with_the_width_of_its_standard_error():
    values = np.random.default_rng(1).normal(0.3, 1.0, 400).tolist()
    interval = bootstrap(values, resamples=4000)
    expected = 1.96 * np.std(values) / 20
    assert interval.low < interval.mean < interval.high
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.1)


def test_a_paired_difference_is_significant_where_the_unpaired_one_is_lost_in_noise():
    noise = np.random.default_rng(2).normal(0, 5, 200)
    ours, theirs = (noise + 0.2 + np.random.default_rng(3).normal(0, 0.5, 200)).tolist(), noise.tolist()
    assert paired_bootstrap(ours, theirs).excludes_zero
    assert not paired_bootstrap(theirs, theirs).excludes_zero
    assert bootstrap(ours).low < 0.2 < bootstrap(ours).high
    with pytest.raises(ValueError, match="same items"):
        paired_bootstrap([1.0], [1.0, 2.0])
