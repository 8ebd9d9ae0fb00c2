"""ROUGE and BLEU of summaries, by the published packages (`rouge-score`, `sacrebleu`), and the greedy oracle.

ROUGE is F1 with the Porter stemmer; sentences are parted by newlines, as rougeLsum needs; the score of a document is
the mean over its references. A text with Han characters or kana has each of them as a token, since the package's own
tokenizer drops everything but a-z and 0-9. BLEU is over the whole set with all references.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from app.evaluation.budget import LOWER, UPPER
from app.evaluation.squad import has_cjk

ROUGE_TYPES = ("rouge1", "rouge2", "rougeLsum")

_CJK_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """F1 of the three kinds, between 0 and 1, the mean over references."""

    rouge1: float
    rouge2: float
    rougeLsum: float


class _CharacterTokenizer:
    def tokenize(self, text: str) -> list[str]:
        return _CJK_TOKEN.findall(text.lower())


def make_tokenizer(text: str) -> Any:
    """The tokenizer for texts in the script of this one; `tokenize(text)` gives its tokens."""
    if has_cjk(text):
        return _CharacterTokenizer()
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True)


def rouge(summary: Sequence[str], references: Sequence[Sequence[str]]) -> Rouge:
    """ROUGE of a summary against references, all as lists of sentences."""
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer = make_tokenizer(" ".join(references[0]))
    scorer = RougeScorer(list(ROUGE_TYPES), tokenizer=tokenizer)
    scores = [scorer.score("\n".join(reference), "\n".join(summary)) for reference in references]
    means = {name: sum(score[name].fmeasure for score in scores) / len(scores) for name in ROUGE_TYPES}
    return Rouge(**means)


def corpus_bleu(summaries: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU (0 to 100) of all summaries of a set; each has one reference or more, not all the same number."""
    import sacrebleu

    most = max(len(row) for row in references)
    # None stands for "this one has no such reference"; sacrebleu's annotations do not say so, its documentation does.
    streams: list[Any] = [[row[place] if place < len(row) else None for row in references] for place in range(most)]
    tokenize = "zh" if has_cjk(references[0][0]) else "13a"
    return float(sacrebleu.corpus_bleu(list(summaries), streams, tokenize=tokenize).score)


def oracle_ranking(
    sentences: Sequence[str],
    references: Sequence[Sequence[str]],
    words: Sequence[int],
    budget: int,
    *,
    only_chosen: bool = False,
) -> list[int]:
    """The greedy oracle under a budget: each step takes the sentence that raises mean ROUGE-1 + ROUGE-2 F1 the most.

    It sees the references, so it shows what selecting whole sentences can reach (Nallapati et al. 2017). It goes on to
    the budget even where the score no longer rises, as every other system must. Bigrams are counted within sentences.

    Returns all sentence numbers: those that it takes, in the order of taking, then the rest in the document's order,
    which is left out with `only_chosen`.
    """
    tokenizer = make_tokenizer(" ".join(references[0]))
    targets = [_Target([tokenizer.tokenize(sentence) for sentence in reference]) for reference in references]
    cjk = has_cjk(" ".join(references[0]))
    grams = [_grams_of(sentence, cjk) for sentence in sentences]
    left = set(range(len(sentences)))
    chosen: list[int] = []
    total = 0
    while total < LOWER * budget:
        allowed = [place for place in left if total + words[place] <= UPPER * budget]
        if not allowed:
            break
        best = max(allowed, key=lambda place: (sum(target.score_with(grams[place]) for target in targets), -place))
        for target in targets:
            target.take(grams[best])
        left.remove(best)
        chosen.append(best)
        total += words[best]
    return chosen if only_chosen else chosen + sorted(left)


def individual_scores(sentences: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Mean ROUGE-1 plus ROUGE-2 F1 over the references of each sentence as if it were the whole summary."""
    tokenizer = make_tokenizer(" ".join(references[0]))
    targets = [_Target([tokenizer.tokenize(sentence) for sentence in reference]) for reference in references]
    cjk = has_cjk(" ".join(references[0]))
    grams = [_grams_of(sentence, cjk) for sentence in sentences]
    return [sum(target.score_with(gram) for target in targets) / len(targets) for gram in grams]


_Grams = tuple["Counter[str]", "Counter[tuple[str, str]]"]


class _Target:
    """One reference: what of its unigrams and bigrams the summary has not covered yet, and the score so far."""

    def __init__(self, sentences: Sequence[Sequence[str]]) -> None:
        parts = [_grams(sentence) for sentence in sentences]
        self._left: list[Counter[Any]] = [Counter(), Counter()]
        for part in parts:
            for order in (0, 1):
                self._left[order].update(part[order])
        self._sizes = [sum(left.values()) for left in self._left]
        self._covered = [0, 0]
        self._taken = [0, 0]

    def score_with(self, grams: _Grams) -> float:
        """ROUGE-1 plus ROUGE-2 F1 of the summary with one sentence more."""
        score = 0.0
        for order in (0, 1):
            covered = self._covered[order] + self._gain(order, grams[order])
            length = self._taken[order] + grams[order].total() + self._sizes[order]
            score += 2 * covered / length if length else 0.0
        return score

    def take(self, grams: _Grams) -> None:
        """The sentence is now in the summary."""
        for order in (0, 1):
            self._covered[order] += self._gain(order, grams[order])
            self._taken[order] += grams[order].total()
            self._left[order] -= grams[order]

    def _gain(self, order: int, grams: "Counter[Any]") -> int:
        left = self._left[order]
        return sum(min(count, left[gram]) for gram, count in grams.items() if gram in left)


@lru_cache(maxsize=20_000)
def _grams_of(sentence: str, cjk: bool) -> _Grams:
    """Of a sentence of a document: stemming takes most of the time, and many rows are about one document."""
    return _grams(make_tokenizer("字" if cjk else "").tokenize(sentence))


def _grams(tokens: Sequence[str]) -> _Grams:
    return Counter(tokens), Counter(pairwise(tokens))
