"""BM25 over passages for as long as something is made from them: an index in a folder that is gone afterwards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from retriever.sparse import SparseIndex
from retriever.types import Passage

Search = Callable[[str, int, Sequence[str] | None], list[int]]
"""(query, how many, documents to look in) -> keys of passages, best first."""


@contextmanager
def sparse_index(passages: Sequence[Passage]) -> Iterator[SparseIndex]:
    """BM25 over all passages, in an index that is gone afterwards."""
    with TemporaryDirectory() as folder:
        index = SparseIndex(Path(folder))
        index.apply(1, {}, passages)
        index.commit()
        yield index
        index.close()


@contextmanager
def sparse_search(passages: Sequence[Passage]) -> Iterator[Search]:
    """The keys that such an index finds."""
    with sparse_index(passages) as index:

        def search(query: str, k: int, documents: Sequence[str] | None) -> list[int]:
            return [scored.key for scored in index.search(query, k, documents=documents)]

        yield search
