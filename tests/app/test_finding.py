from dataclasses import dataclass

from app.finding import Finder, Findings
from retriever.types import Hit, Passage

ENTRY = "History size" + " ." * 40 + " 91 "
PROSE = "The shell keeps a history of 500 lines."


@dataclass
class InOrder:
    """A retriever that ranks inline passages as they stand."""

    def search_passages(self, passages, query, *, mode="hybrid", k):
        return [Hit(passage=passage, title="", score=1.0) for passage in passages[:k]]


def found(*texts: str, k: int) -> list[str]:
    passages = tuple(
        Passage(
            key=n, id=str(n), document_id=None, version="", ordinal=n, start=100 * n, end=100 * n + len(text), text=text
        )
        for n, text in enumerate(texts)
    )
    finder = Finder(store=None, retriever=InOrder(), reader=None, count=lambda texts: list(map(len, texts)))
    findings = Findings(tenant="t", stored=None, inline=None, passages=passages)
    return [hit.passage.text for hit in finder.find_to_read(findings, "What is the history size?", k=k)]


def test_an_index_of_pages_gives_way_to_what_says_something():
    assert found(ENTRY, PROSE, ENTRY, PROSE, PROSE, k=2) == [PROSE, PROSE]
    assert found(ENTRY, PROSE, k=2) == [PROSE]


def test_where_there_is_nothing_but_an_index_it_is_read():
    assert found(ENTRY, ENTRY, k=2) == [ENTRY, ENTRY]
    assert found(ENTRY, ENTRY, ENTRY, k=2) == [ENTRY, ENTRY]


def test_an_ellipsis_in_prose_makes_no_index_of_it():
    told = "He waited . . . and waited . . . until the bell rang."
    assert found(told, PROSE, k=2) == [told, PROSE]
