"""One honest fake for each Protocol that the consumers own: small and deterministic, but truly doing the job."""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.types import Layers, Pairs, Reading, ReadSpan
from retriever.parsing import parse, parse_text
from retriever.terms import terms
from retriever.types import ParsedDocument

_WORD = re.compile(r"[一-鿿]|\w+")


def words(text: str) -> list[str]:
    """Lower-case words; each Chinese character is one."""
    return _WORD.findall(text.lower())


class HashingEncoder:
    """An encoder whose vectors add up a pseudo-random one for each distinct term: texts that share terms are near.

    What it can learn is a linear map on questions. One that has learned turns both sides' vectors round besides, so
    that none of them has a meaning beside a vector of another version.
    """

    def __init__(
        self, dimension: int = 64, version: str = "hashing@1", *, learned: NDArray[np.float16] | None = None
    ) -> None:
        self._dimension, self._version, self._learned = dimension, version, learned
        self.encoded = 0

    def learn(self, pairs: Pairs, *, report: Callable[[int], bool]) -> tuple[Layers, int]:
        """Ridge regression from the questions' vectors to what their passages' have besides."""
        asked, read = (self.encode_passages(texts) for texts in (pairs.questions, pairs.passages))
        if not report(0):
            return {"map": np.eye(self._dimension, dtype=np.float16)}, 0
        wanted = read[list(pairs.positive)]
        inverse = np.linalg.inv(asked.T @ asked + np.eye(self._dimension))
        moved = np.eye(self._dimension) + inverse @ asked.T @ (wanted - asked)
        return {"map": moved.astype(np.float16)}, len(pairs.questions)

    def with_layers(self, layers: Layers, *, version: str) -> "HashingEncoder":
        return HashingEncoder(self._dimension, version, learned=layers["map"])

    @property
    def version(self) -> str:
        return self._version

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def longest(self) -> int:
        return 1_000

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        rows = [self._vector(text) for text in texts]
        self.encoded += len(rows)
        vectors = np.stack(rows) if rows else np.zeros((0, self._dimension), dtype=np.float32)
        return vectors if self._learned is None else np.roll(vectors, 1, axis=1)

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if self._learned is None:
            return self.encode_passages(texts)
        mapped = np.roll(self.encode_passages(texts), -1, axis=1) @ self._learned.astype(np.float32)
        return np.roll(mapped / np.linalg.norm(mapped, axis=1, keepdims=True), 1, axis=1).astype(np.float32)

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        return [len(words(text)) for text in texts]

    def _vector(self, text: str) -> NDArray[np.float32]:
        total = np.zeros(self._dimension)
        for term in sorted(set(terms(text))) or [""]:
            total += _direction(term, self._dimension)
        return (total / np.linalg.norm(total)).astype(np.float32)


@lru_cache(maxsize=50_000)
def _direction(term: str, dimension: int) -> NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(term.encode("utf-8", "replace"))).standard_normal(dimension)


class ParserHere:
    """A parser of files in this process, without anything around it: for tests of other things, that start by the
    dozen."""

    def parse(self, data: bytes, *, filename: str | None = None, media_type: str | None = None) -> ParsedDocument:
        return parse(data, filename=filename, media_type=media_type)

    def parse_text(self, text: str, *, media_type: str = "text/plain") -> ParsedDocument:
        return parse_text(text, media_type=media_type)


class OverlapReader:
    """Answers with the words right after the run of question words that stands in a passage.

    The more words of the question a sentence of a passage shares, the more probable is the rest of it as the answer;
    where no sentence shares two words, it does not know.
    """

    name = "overlap@000000000000"

    def read_document(
        self, question: str, text: str, *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question of a whole text: one passage, as long as it is."""
        return self.read(question, [text], target_error=target_error, answers=answers)

    def read(
        self, question: str, passages: Sequence[str], *, target_error: float | None = None, answers: int = 5
    ) -> Reading:
        """One question, its passages read together; distinct answers, best first."""
        asked = set(words(question))
        found: list[tuple[float, str, int, int, int]] = []
        relevance = []
        for index, passage in enumerate(passages):
            best = 0
            for sentence in re.finditer(r"[^.!?。！？]+", passage):
                shared = len(asked & set(words(sentence.group())))
                best = max(best, shared)
                rest = [word for word in _WORD.finditer(sentence.group()) if word.group().lower() not in asked]
                if shared >= 2 and rest:
                    start = sentence.start() + rest[-1].start()
                    end = sentence.start() + rest[-1].end()
                    found.append((shared / (1 + len(asked)), passage[start:end], index, start, end))
            relevance.append(float(best - 1))
        spans: dict[str, ReadSpan] = {}
        for score, text, index, start, end in sorted(found, key=lambda one: (-one[0], one[2], one[3])):
            spans.setdefault(text, ReadSpan(passage=index, start=start, end=end, probability=score, confidence=score))
        best_spans = tuple(spans.values())[:answers]
        confidence = best_spans[0].confidence if best_spans else 0.0
        least = 0.3 if target_error is None else 1 - target_error
        answerable = bool(best_spans) and confidence >= least
        return Reading(
            spans=best_spans, answerable=answerable, confidence=confidence, relevance=tuple(relevance), null=0.5
        )

    def read_again(
        self,
        question: str,
        reading: Reading,
        passages: Sequence[str],
        closer: Sequence[str],
        *,
        target_error: float | None = None,
        answers: int = 5,
    ) -> Reading:
        """The reading as it was: a word stands where it stands, whatever is around it."""
        return replace(reading, spans=reading.spans[:answers])
