from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.finding import LONGEST_PIECE, Finder
from retriever.types import Hit, Passage
from tests.fakes import HashingEncoder

TEXT = " ".join(f"word{n}." for n in range(400))
finder = Finder(None, None, HashingEncoder().count_word_pieces)  # type: ignore[arg-type]


def hit(start: int, end: int, *, key: int, document: str = "d", text: str = TEXT) -> Hit:
    passage = Passage(
        key=key,
        id=f"p{key}",
        document_id=document,
        version="v",
        ordinal=key,
        start=start,
        end=end,
        text=text[start:end],
    )
    return Hit(passage=passage, title="t", score=1.0 / (key + 1))


def test_overlapping_hits_become_one_piece():
    pieces = finder.pieces([hit(40, 100, key=0), hit(0, 60, key=1), hit(300, 320, key=2)])
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 100), (300, 320)]
    assert [one.passage.id for one in pieces[0].hits] == ["p0", "p1"]


def test_hits_of_different_documents_are_never_joined():
    pieces = finder.pieces([hit(0, 60, key=0), hit(40, 100, key=1, document="e")])
    assert len(pieces) == 2


def test_a_join_that_would_be_too_long_starts_the_later_hit_where_the_earlier_ends():
    pieces = finder.pieces([hit(0, 1800, key=0), hit(1700, 3000, key=1)])
    assert [piece.start for piece in pieces] == [0, 1800]
    assert all(finder._count([piece.text])[0] <= LONGEST_PIECE for piece in pieces)


def test_a_hit_inside_another_adds_nothing_to_read():
    pieces = finder.pieces([hit(0, 100, key=0), hit(20, 60, key=1)])
    assert [(piece.start, piece.end, len(piece.hits)) for piece in pieces] == [(0, 100, 2)]


@given(
    text=st.text(min_size=60, max_size=300),
    ranges=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 80)), min_size=1, max_size=8),
)
def test_pieces_slice_back_never_overlap_and_cover_the_hits(text, ranges):
    hits = []
    for start, length in ranges:
        piece = text[start : start + length]
        if piece.strip():
            begin = start + len(piece) - len(piece.lstrip())
            hits.append(hit(begin, begin + len(piece.strip()), key=len(hits), text=text))
    pieces = finder.pieces(hits)
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    ordered = sorted(pieces, key=lambda piece: piece.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))
    covered = {at for piece in pieces for at in range(piece.start, piece.end)}
    for each in hits:
        missing = set(range(each.passage.start, each.passage.end)) - covered
        assert all(text[at].isspace() for at in missing)
