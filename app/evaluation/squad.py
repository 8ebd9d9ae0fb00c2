"""The scores of extractive question answering, as the published scripts compute them.

Two scripts of SQuAD (Rajpurkar et al. 2016, 2018) and the one of CMRC 2018 (Cui et al. 2019). They differ in details
that move a number, so a `Scorer` is made for one of them:

- `squad1`: the best exact match and the best F1 over the gold answers, bag of words after normalization. Two strings
  that normalize to nothing match exactly and have F1 0.
- `squad2`: as `squad1`, but gold answers that normalize to nothing are dropped; a question that is left with none is
  unanswerable, and its one gold answer is the empty string. An empty string against an empty one has F1 1.
- `cmrc`: Chinese. Each Han character or kana is a token, the rest is split into words; F1 is over the longest common
  *contiguous* run of tokens, and an exact match compares the strings without punctuation. Empty answers as in
  `squad2`.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Protocol

Rules = Literal["squad1", "squad2", "cmrc"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# What CMRC's script treats as punctuation, and no more (its list has a double ellipsis that no one character equals).
_CMRC_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
# CMRC calls nltk.word_tokenize on what is not Chinese; this splits words, numbers and marks alike without its data.
_WORD = re.compile(r"\d+(?:[.,]\d+)+|\w+|[^\w\s]")


def normalize(text: str) -> str:
    """Lower case, no ASCII punctuation, no a, an or the, single spaces: `normalize_answer` of the scripts."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def has_cjk(text: str) -> bool:
    """Whether a Han character or kana stands in the text."""
    return HAN_OR_KANA.search(text) is not None


def mixed_segmentation(text: str) -> list[str]:
    """A token for each Han character or kana, words otherwise; CMRC's punctuation is left out and parts nothing."""
    tokens: list[str] = []
    run: list[str] = []
    for char in text.lower().strip():
        if char in _CMRC_PUNCTUATION:
            continue
        if has_cjk(char):
            tokens += _WORD.findall("".join(run))
            run = []
            tokens.append(char)
        else:
            run.append(char)
    return tokens + _WORD.findall("".join(run))


def longest_common_run(left: Sequence[str], right: Sequence[str]) -> int:
    """The length of the longest contiguous run of tokens in both, by the usual O(n*m) table."""
    best = 0
    previous = [0] * (len(right) + 1)
    for token in left:
        current = [0] * (len(right) + 1)
        for column, other in enumerate(right, start=1):
            if token == other:
                current[column] = previous[column - 1] + 1
                best = max(best, current[column])
        previous = current
    return best


class Scorer(Protocol):
    """The rules of one published script. Both scores are between 0 and 1."""

    @property
    def rules(self) -> Rules:
        """Which script's rules these are."""

    def golds(self, answers: Sequence[str]) -> tuple[str, ...]:
        """The gold answers that count; an unanswerable question has the empty string alone."""

    def exact(self, prediction: str, golds: Sequence[str]) -> float:
        """1.0 if the prediction equals a gold answer after normalization, else 0.0."""

    def f1(self, prediction: str, golds: Sequence[str]) -> float:
        """The best token F1 over the gold answers."""


class Squad1Scorer:
    """The script of SQuAD 1.1."""

    rules: Rules = "squad1"

    def golds(self, answers: Sequence[str]) -> tuple[str, ...]:
        """All of them; the empty string where there are none (the script never meets that)."""
        return tuple(answers) or ("",)

    def exact(self, prediction: str, golds: Sequence[str]) -> float:
        """Equality of the normalized strings, the best over the gold answers."""
        return float(any(normalize(prediction) == normalize(gold) for gold in golds))

    def f1(self, prediction: str, golds: Sequence[str]) -> float:
        """Bag-of-words F1, the best over the gold answers; without a common token 0."""
        return max(_bag_f1(normalize(prediction).split(), normalize(gold).split()) for gold in golds)


class Squad2Scorer(Squad1Scorer):
    """The script of SQuAD 2.0: as 1.1, with empty answers."""

    rules: Rules = "squad2"

    def golds(self, answers: Sequence[str]) -> tuple[str, ...]:
        """Those that do not normalize to nothing, else the empty string: the question is unanswerable."""
        return tuple(answer for answer in answers if normalize(answer)) or ("",)

    def f1(self, prediction: str, golds: Sequence[str]) -> float:
        """Bag-of-words F1; where either side has no token, 1 if both have none, else 0."""
        return max(_f1_with_empty(normalize(prediction).split(), normalize(gold).split()) for gold in golds)


class CmrcScorer:
    """The script of CMRC 2018, for Chinese (and kana)."""

    rules: Rules = "cmrc"

    def golds(self, answers: Sequence[str]) -> tuple[str, ...]:
        """Those that hold a token, else the empty string: the question is unanswerable."""
        return tuple(answer for answer in answers if mixed_segmentation(answer)) or ("",)

    def exact(self, prediction: str, golds: Sequence[str]) -> float:
        """Equality of the strings in lower case without CMRC's punctuation."""
        return float(any(_without_punctuation(prediction) == _without_punctuation(gold) for gold in golds))

    def f1(self, prediction: str, golds: Sequence[str]) -> float:
        """F1 of the longest common contiguous run of tokens, the best over the gold answers."""
        return max(_run_f1(mixed_segmentation(prediction), mixed_segmentation(gold)) for gold in golds)


def scorer_for(rules: Rules) -> Scorer:
    """The scorer of one published script."""
    table: dict[Rules, Scorer] = {"squad1": Squad1Scorer(), "squad2": Squad2Scorer(), "cmrc": CmrcScorer()}
    return table[rules]


def holds_answer(passage: str, golds: Sequence[str]) -> bool:
    """Whether a gold answer stands in the passage as a contiguous run of whole tokens, both normalized.

    Tokens here are runs of letters and digits in lower case without a, an and the (each Han character or kana is one).
    Punctuation separates tokens instead of vanishing as in `normalize`, so that "1973" is found in "1973–74" and "US"
    is not found in "focus". A gold answer without any token never counts.
    """
    held = f" {' '.join(_match_tokens(passage))} "
    needles = (" ".join(_match_tokens(gold)) for gold in golds)
    return any(f" {needle} " in held for needle in needles if needle)


def _match_tokens(text: str) -> list[str]:
    spaced = HAN_OR_KANA.sub(lambda match: f" {match.group()} ", text.lower())
    return [token for token in re.findall(r"[^\W_]+", spaced) if token not in ("a", "an", "the")]


def _bag_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    common = sum((Counter(prediction) & Counter(gold)).values())
    return _harmonic(common, len(prediction), len(gold))


def _f1_with_empty(prediction: Sequence[str], gold: Sequence[str]) -> float:
    if not prediction or not gold:
        return float(not prediction and not gold)
    return _bag_f1(prediction, gold)


def _run_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    if not prediction or not gold:
        return float(not prediction and not gold)
    return _harmonic(longest_common_run(prediction, gold), len(prediction), len(gold))


def _harmonic(common: int, predicted: int, expected: int) -> float:
    if common == 0:
        return 0.0
    precision, recall = common / predicted, common / expected
    return 2 * precision * recall / (precision + recall)


def _without_punctuation(text: str) -> str:
    return "".join(char for char in text.lower().strip() if char not in _CMRC_PUNCTUATION)
