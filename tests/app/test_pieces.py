from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.pieces import LONGEST_PIECE, Piece, join_hits
from retriever.types import Hit, Passage
from tests.fakes import HashingEncoder

TEXT = " ".join(f"word{n}." for n in range(600))
count = HashingEncoder().count_word_pieces


def join(hits: list[Hit], text: str = TEXT) -> list[Piece]:
    return join_hits(hits, count=count, between=lambda _, start, end: text[start:end])


def hit(
    start: int,
    end: int,
    *,
    key: int,
    document: str = "d",
    text: str = TEXT,
    ordinal: int | None = None,
    section: tuple[str, ...] = (),
) -> Hit:
    passage = Passage(
        key=key,
        id=f"p{key}",
        document_id=document,
        version="v",
        ordinal=10 * key if ordinal is None else ordinal,
        section=section,
        start=start,
        end=end,
        text=text[start:end],
    )
    return Hit(passage=passage, title="t", score=1.0 / (key + 1))


def test_overlapping_hits_become_one_piece():
    pieces = join([hit(40, 100, key=0), hit(0, 60, key=1), hit(300, 320, key=2)])
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 100), (300, 320)]
    assert [one.passage.id for one in pieces[0].hits] == ["p0", "p1"]


def test_hits_of_different_documents_are_never_joined():
    pieces = join([hit(0, 60, key=0), hit(40, 100, key=1, document="e")])
    assert len(pieces) == 2


def test_a_join_that_would_be_too_long_starts_the_later_hit_where_the_earlier_ends():
    pieces = join([hit(0, 2600, key=0), hit(2500, 4300, key=1)])
    assert [piece.start for piece in pieces] == [0, 2600]
    assert all(count([piece.text])[0] <= LONGEST_PIECE for piece in pieces)


def test_a_hit_inside_another_adds_nothing_to_read():
    pieces = join([hit(0, 100, key=0), hit(20, 60, key=1)])
    assert [(piece.start, piece.end, len(piece.hits)) for piece in pieces] == [(0, 100, 2)]


def test_passages_that_follow_each_other_in_a_section_are_read_as_one_with_what_is_between_them():
    first, second = hit(0, 60, key=1, ordinal=4), hit(63, 100, key=0, ordinal=5)
    (piece,) = join([second, first])
    assert (piece.start, piece.end, piece.text) == (0, 100, TEXT[0:100])
    assert [one.passage.id for one in piece.hits] == ["p0", "p1"]
    assert len(join([first, hit(63, 100, key=0, ordinal=6)])) == 2
    assert len(join([first, hit(63, 100, key=0, ordinal=5, section=("Other",))])) == 2
    assert len(join([hit(0, 2600, key=0, ordinal=4), hit(2603, 4300, key=1, ordinal=5)])) == 2


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
    pieces = join(hits, text)
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    ordered = sorted(pieces, key=lambda piece: piece.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))
    covered = {at for piece in pieces for at in range(piece.start, piece.end)}
    for each in hits:
        missing = set(range(each.passage.start, each.passage.end)) - covered
        assert all(text[at].isspace() for at in missing)
