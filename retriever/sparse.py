"""The sparse index: BM25 over the terms of passages, kept by tantivy on disk; derived from the store.

A commit is durable and carries, in a file beside it, the sequence number of the last change applied. That file is
written after the commit, so it may lag behind and never runs ahead; applying a change again is harmless, since every
change deletes the passages of its document first.
"""

import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tantivy
from tantivy import Occur, Query

from retriever.errors import IndexCorrupt
from retriever.sparse_files import APPLIED, META, checked, sweep, write_applied
from retriever.terms import query_terms, terms
from retriever.types import Passage

logger = logging.getLogger(__name__)

ALL_KEYS = range(1 << 62)  # of a document that is removed whole
HEAP_BYTES = 15_000_000  # the smallest that tantivy takes; a larger one only makes larger first segments


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A passage's key and its score in one index."""

    key: int
    score: float


class SparseIndex:
    """BM25 over passages of one collection. One writer at a time; searches see the last commit, whole."""

    def __init__(self, path: Path) -> None:
        """Open the index in this folder, or make it. Raises IndexCorrupt when it cannot be trusted."""
        self._path = path
        self._lock = threading.Lock()
        self._writer: Any = None
        self._applied = self._seen = _known(path)
        path.mkdir(parents=True, exist_ok=True)
        sweep(path)
        self._schema = _schema()
        try:
            self._index = tantivy.Index(self._schema, path=str(path))
            # Without this every index has a thread that looks at its folder twice a second.
            self._index.config_reader(reload_policy="manual", num_warmers=0)
            whitespace = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
            self._index.register_tokenizer("terms", whitespace)
            self._index.reload()
            self._searcher = self._index.searcher()
        except (ValueError, OSError) as error:
            raise IndexCorrupt(f"the sparse index in {path.name!r} cannot be opened") from error

    @property
    def applied(self) -> int:
        """The sequence number up to which searches see all changes."""
        return self._applied

    @property
    def passages(self) -> int:
        """How many passages searches see."""
        return int(self._searcher.num_docs)

    @property
    def deleted_share(self) -> float:
        """Deleted passages that still count in the statistics, as a share of all; merges and rebuilds drop them."""
        meta = json.loads((self._path / META).read_bytes())
        total = sum(segment["max_doc"] for segment in meta["segments"])
        return 1 - self.passages / total if total else 0.0

    def apply(self, seq: int, removed: Mapping[str, range], passages: Iterable[Passage]) -> None:
        """Take out the removed documents' passages (those with keys in the range), then add these.

        Searches see it after `commit`.
        """
        with self._lock:
            writer = self._open_writer()
            for document, keys in removed.items():
                if keys == ALL_KEYS:
                    writer.delete_documents_by_term("document", document)
                else:
                    writer.delete_documents_by_query(self._of_document(document, keys))
            for passage in passages:
                entry = tantivy.Document()
                entry.add_unsigned("key", passage.key)
                entry.add_text("document", passage.document_id or "")
                entry.add_text("body", " ".join(terms(passage.text)))
                writer.add_document(entry)
            self._seen = max(self._seen, seq)

    def commit(self) -> None:
        """Make what was applied durable, and visible to searches that begin now."""
        with self._lock:
            if self._writer is not None:
                self._writer.commit()
            write_applied(self._path, self._seen)
            self._index.reload()
            self._searcher = self._index.searcher()
            self._applied = self._seen

    def search(self, query: str, k: int, *, documents: Collection[str] | None = None) -> list[Scored]:
        """The best k passages that share a term with the query, of these documents if given; ties by key."""
        words = self._words(query)
        if words is None or k < 1 or (documents is not None and not documents):
            return []
        if documents is not None:
            words = self._within(words, "document", sorted(documents))
        return self._ranked(words, k)

    def score(self, query: str, keys: Collection[int]) -> dict[int, float]:
        """The exact score of each key; 0 for one that shares no term with the query, or is not in the index."""
        scores = dict.fromkeys(keys, 0.0)
        words = self._words(query)
        if words is not None and keys:
            found = self._ranked(self._within(words, "key", sorted(keys)), len(keys))
            scores.update((each.key, each.score) for each in found)
        return scores

    def holding(self, words: Collection[str]) -> tuple[int, dict[str, int]]:
        """How many passages there are, and how many of them hold each term; what is deleted counts until a merge."""
        searcher = self._searcher
        return searcher.num_docs, {word: searcher.doc_freq("body", word) for word in words}

    def close(self) -> None:
        """Stop the writer and its merges; the index is not used after that."""
        with self._lock:
            if self._writer is not None:
                self._writer.wait_merging_threads()
                self._writer = None

    def reopen(self) -> None:
        """After an error: forget what was applied and not committed; it has to be applied again."""
        with self._lock:
            writer, self._writer, self._seen = self._writer, None, self._applied
            if writer is not None:
                with contextlib.suppress(ValueError):  # that one of its threads has died is why this is called
                    writer.wait_merging_threads()
                del writer  # lets go of its lock
            sweep(self._path)

    def _open_writer(self) -> Any:
        if self._writer is None:
            try:
                self._writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
            except ValueError as error:
                raise IndexCorrupt(f"the sparse index in {self._path.name!r} cannot be written to") from error
        return self._writer

    def _words(self, query: str) -> Query | None:
        found = query_terms(query)
        if not found:
            return None
        # A term of the query counts as often as it stands there, as in Lucene and rank-bm25.
        words = [(Occur.Should, Query.term_query(self._schema, "body", term, "freq")) for term in found]
        return Query.boolean_query(words)

    def _of_document(self, document: str, keys: range) -> Query:
        mine = Query.term_query(self._schema, "document", document, "basic")
        kind = tantivy.FieldType.Unsigned
        inside = Query.range_query(self._schema, "key", kind, keys.start, keys.stop, include_upper=False)
        return Query.boolean_query([(Occur.Must, mine), (Occur.Must, inside)])

    def _within(self, words: Query, field: str, values: Sequence[str] | Sequence[int]) -> Query:
        # A filter that adds nothing: statistics stay those of the whole collection.
        inside = Query.const_score_query(Query.term_set_query(self._schema, field, list(values)), 0.0)
        return Query.boolean_query([(Occur.Must, words), (Occur.Must, inside)])

    def _ranked(self, query: Query, k: int) -> list[Scored]:
        searcher = self._searcher  # the commit that this search sees, whatever comes meanwhile
        hits = searcher.search(query, k, count=False).hits
        keys = searcher.fast_field_values("key", [address for _, address in hits])
        found = [Scored(key=int(key), score=float(hit[0])) for key, hit in zip(keys, hits, strict=True)]
        return sorted(found, key=lambda each: (-each.score, each.key))


def _schema() -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("key", indexed=True, fast=True)
    builder.add_text_field("document", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("body", tokenizer_name="terms", index_option="freq")
    return builder.build()


def _known(path: Path) -> int:
    """The last change that an index on disk has, 0 for none. Raises IndexCorrupt for a file that is not as written."""
    if not (path / META).exists():
        if path.exists():
            if (path / APPLIED).exists():
                raise IndexCorrupt(f"the sparse index in {path.name!r} has lost its {META}")
            shutil.rmtree(path)  # a folder that was begun and never held a commit
        return 0
    return checked(path)
