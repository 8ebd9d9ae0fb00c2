"""Examples for the salience model as files: documents in sentences, and what a summary of them would take.

N sentences, D dimension of a vector, F features
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """One summary to learn from: `vectors` [N, D] and `features` [N, F] of the document, `query` [D] (zeros: none).

    `oracle` [N] is 1 at the sentences that a choice which knows the references takes; `alone` [N] is how much of the
    references each sentence has by itself. `document` is the same for all examples of one text.
    """

    id: str
    document: int
    vectors: NDArray[np.float16]
    features: NDArray[np.float16]
    query: NDArray[np.float32]
    oracle: NDArray[np.float32]
    alone: NDArray[np.float32]


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """All examples of a set in one file; the vectors of a document that several share are kept once."""
    documents: dict[int, int] = {}
    vectors: list[NDArray[np.float16]] = []
    for example in examples:
        if example.document not in documents:
            documents[example.document] = len(vectors)
            vectors.append(example.vectors)
    ids = "\n".join(example.id for example in examples).encode()
    save_file(
        {
            "ids": np.frombuffer(ids, dtype=np.uint8),
            "document": np.array([example.document for example in examples], dtype=np.int64),
            "place": np.array([documents[example.document] for example in examples], dtype=np.int64),
            "lengths": np.array([len(part) for part in vectors], dtype=np.int64),
            "vectors": np.concatenate(vectors),
            "features": np.concatenate([example.features for example in examples]),
            "query": np.stack([example.query for example in examples]),
            "oracle": np.concatenate([example.oracle for example in examples]),
            "alone": np.concatenate([example.alone for example in examples]),
        },
        path,
    )


def read_examples(path: Path) -> list[Example]:
    """All examples of a file."""
    stored = load_file(path)
    ends = np.cumsum(stored["lengths"])
    vectors = np.split(stored["vectors"], ends[:-1])
    counts = stored["lengths"][stored["place"]]
    parts = {name: np.split(stored[name], np.cumsum(counts)[:-1]) for name in ("features", "oracle", "alone")}
    ids = stored["ids"].tobytes().decode().split("\n")
    return [
        Example(
            id=ids[row],
            document=int(stored["document"][row]),
            vectors=vectors[int(stored["place"][row])],
            features=parts["features"][row],
            query=stored["query"][row],
            oracle=parts["oracle"][row],
            alone=parts["alone"][row],
        )
        for row in range(len(ids))
    ]
