"""The process that computes TextRank and LexRank, by sumy.

Both compare every sentence with every other in plain Python: a book takes them hours. The process writes an empty
line when it is ready, then reads JSON lines `{"system", "sentences"}` and writes JSON lines `{"ranking", "seconds"}`.

sumy asks NLTK for data that has to be downloaded; it gets a tokenizer of ours instead. Stemmer and stop words are its
own.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


class _Words:
    """The part of sumy's tokenizer that its summarizers use."""

    def to_words(self, sentence: str) -> tuple[str, ...]:
        return tuple(_WORD.findall(sentence.lower()))


def rank_sentences(system: Literal["textrank", "lexrank"], sentences: Sequence[str]) -> list[int]:
    """All sentence numbers, best first, by sumy's implementation with its stemmer and stop words; no cap."""
    from sumy.models.dom import ObjectDocumentModel, Paragraph, Sentence
    from sumy.nlp.stemmers import Stemmer
    from sumy.summarizers.lex_rank import LexRankSummarizer
    from sumy.summarizers.text_rank import TextRankSummarizer
    from sumy.utils import get_stop_words

    summarizer = {"textrank": TextRankSummarizer, "lexrank": LexRankSummarizer}[system](Stemmer("english"))
    summarizer.stop_words = get_stop_words("english")
    document = ObjectDocumentModel([Paragraph([Sentence(sentence, _Words()) for sentence in sentences])])
    ranking: list[int] = []

    def keep(infos: Sequence[Any]) -> Sequence[Any]:
        ranking.extend(info.order for info in infos)
        return infos

    summarizer(document, keep)
    return ranking


def _serve() -> None:
    # Sentences without any word in common make LexRank divide by zero; their order is then the document's.
    np.seterr(all="ignore")
    rank_sentences("textrank", ["A sentence to import with."])
    rank_sentences("lexrank", ["A sentence to import with."])
    sys.stdout.write("\n")
    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        ranking = rank_sentences(request["system"], request["sentences"])
        sys.stdout.write(json.dumps({"ranking": ranking, "seconds": time.perf_counter() - started}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
