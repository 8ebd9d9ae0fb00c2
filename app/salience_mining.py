"""Makes training examples for the salience model: documents as the service reads them, with what a summary would take.

`python -m app.salience_mining --set FILE... --out FOLDER` takes rows as `lectern eval summaries` does, and writes for
each file `NAME.safetensors`, which model/training/salience.py reads, split by document into train and validation.
Sentences are encoded once, however many rows and files hold them.
"""

import argparse
import hashlib
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.asked import query_of
from app.evaluation.progress import Progress, ProgressCallback, ProgressLine
from app.evaluation.rouge import individual_scores, oracle_ranking
from app.evaluation.sets import SummaryRow, read_summaries
from app.evaluation.summaries import sentences_of
from app.inference import Reader
from app.lines import Line, lines_of, table_of
from app.sources import SourceText
from model.encoder import MiniLMEncoder
from model.reader import LongformerReader
from model.sentence_table import asked_features, static_features
from model.training.salience_examples import Example, write_examples
from retriever.parsing import parse_text

BATCH = 2_048
MOST_SENTENCES = 3_000  # of a training document
ELSEWHERE = 0.5
HASHING = 2_654_435_761  # Knuth's multiplier: an order of documents in which those held out are still a tenth


class VectorCache:
    """Vectors of sentences in half precision, encoded once; kept in a file between runs."""

    def __init__(self, encoder: MiniLMEncoder, path: Path) -> None:
        self._encoder, self._path = encoder, path
        self._rows: dict[bytes, NDArray[np.float16]] = {}
        if path.exists():
            stored = np.load(path, allow_pickle=False)
            self._rows = dict(zip((key.tobytes() for key in stored["keys"]), stored["vectors"], strict=True))

    def encode(self, texts: Sequence[str], progress: ProgressCallback) -> None:
        """Encode those that are not known yet, many at once."""
        keyed = {_key(text): text for text in texts}
        waiting = [(key, text) for key, text in keyed.items() if key not in self._rows]
        started = time.perf_counter()
        for at in range(0, len(waiting), BATCH):
            part = waiting[at : at + BATCH]
            vectors = self._encoder.encode_passages([text for _, text in part]).astype(np.float16)
            self._rows.update(zip((key for key, _ in part), vectors, strict=True))
            elapsed = time.perf_counter() - started
            progress(Progress(done=at + len(part), total=len(waiting), unit="sentences", elapsed_s=elapsed))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Unit rows [N, D] of texts that were encoded."""
        return np.stack([self._rows[_key(text)] for text in texts])

    def save(self) -> None:
        """Write all vectors."""
        keys = np.frombuffer(b"".join(self._rows), dtype=np.uint8).reshape(-1, 16)
        fresh = self._path.with_suffix(".new.npz")
        np.savez(fresh, keys=keys, vectors=np.stack(list(self._rows.values())))
        fresh.replace(self._path)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def example_of(
    row: SummaryRow,
    lines: Sequence[Line],
    cache: VectorCache,
    encoder: MiniLMEncoder,
    reader: Reader,
    *,
    by_relevance: bool = False,
) -> Example:
    """What the model is given for a row, and what it should find salient: two views of the references.

    `oracle` marks the sentences that a greedy choice by ROUGE takes under the row's budget; `alone` is each sentence's
    own ROUGE-1 plus ROUGE-2. With `by_relevance`, where the set says what the query is about, the choice is made there,
    and what a sentence elsewhere has counts for ELSEWHERE of it: it uses the same words for something else.
    """
    table = table_of(lines, cache([line.text for line in lines]))
    query = None if row.query is None else query_of(encoder, reader, row.query, lines, table.vectors)
    references = [sentences_of(reference) for reference in row.references]
    texts, words = [line.text for line in lines], [line.words for line in lines]
    relevant = row.relevant if by_relevance else ()
    about = np.array([any(start <= line.start < end for start, end in relevant) for line in lines], dtype=np.bool_)
    places = np.flatnonzero(about) if about.any() else np.arange(len(lines))
    chosen = oracle_ranking(
        [texts[place] for place in places],
        references,
        [words[place] for place in places],
        row.words,
        only_chosen=True,
    )
    oracle = np.zeros(len(lines), dtype=np.float32)
    oracle[places[chosen]] = 1.0
    alone = np.array(individual_scores(texts, references), dtype=np.float32)
    if about.any():
        alone[~about] *= ELSEWHERE
    features = np.concatenate([static_features(table), asked_features(table, query)], axis=1)
    return Example(
        id=row.id,
        document=zlib.crc32(row.text.encode()),
        vectors=np.asarray(table.vectors, dtype=np.float16),
        features=features.astype(np.float16),
        query=np.zeros(384, dtype=np.float32) if query is None else query.vector,
        oracle=oracle,
        alone=alone,
    )


def some_documents(rows: Sequence[SummaryRow], most: int | None) -> list[SummaryRow]:
    """The rows of so many documents, in an order that their texts decide: two sets take the same ones."""
    hashes = sorted({zlib.crc32(row.text.encode()) for row in rows}, key=lambda one: one * HASHING % 2**32)[:most]
    kept = set(hashes)
    return [row for row in rows if zlib.crc32(row.text.encode()) in kept]


def lines_of_text(text: str) -> list[Line]:
    """The lines of one text."""
    return lines_of(0, SourceText(document_id=None, title=None, version="", document=parse_text(text)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path, nargs="+", required=True, help="rows of `lectern eval summaries`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--by-relevance", action="store_true", help="labels where the set says what a query is about alone"
    )
    parser.add_argument("--documents", type=int, help="of each set at most, by chance; without it, all")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    encoder, reader = MiniLMEncoder.load(), LongformerReader.load()
    cache = VectorCache(encoder, options.out / "vectors.npz")
    for path in options.set:
        print(path.stem, file=sys.stderr)  # noqa: T201
        show = ProgressLine()
        rows = some_documents(read_summaries(path), options.documents)
        lines = {text: lines_of_text(text) for text in dict.fromkeys(row.text for row in rows)}
        cache.encode([line.text for found in lines.values() for line in found], show)
        examples = [
            example_of(row, lines[row.text], cache, encoder, reader, by_relevance=options.by_relevance)
            for row in rows
            if 1 < len(lines[row.text]) <= MOST_SENTENCES
        ]
        cache.save()
        write_examples(options.out / f"{path.stem}.safetensors", examples)


if __name__ == "__main__":
    main()
