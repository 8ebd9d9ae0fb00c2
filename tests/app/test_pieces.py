from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.pieces import LONGEST_PIECE, SHORTEST_ALONE, Piece, around, held_by, join_hits
from retriever.parsing import parse
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


def again(text: str, hits: list[Hit], answer: str, *, filename: str = "a.txt") -> list[str]:
    """What is read again of a document's only answer."""
    document = parse(text.encode(), filename=filename)
    assert document.text == text
    start = text.index(answer)
    (piece,) = join(hits, text)
    return around(document, piece, start, start + len(answer), count=count)


LONG = "The mill at Leith was built by Ada Crane in 1871. " + "It has stood above the weir ever since. " * 8
SHORT = "It burnt in 1903."


def test_an_answers_passage_and_its_whole_paragraph_are_read_again():
    text = f"{LONG.strip()}\n\n{LONG.replace('Ada', 'Bea').strip()}\n"
    cut = text.index(" It has", text.index("Bea") + 100)
    passage = hit(0, cut, key=0, text=text)
    assert again(text, [passage], "Bea") == [passage.passage.text, LONG.replace("Ada", "Bea").strip()]


def test_a_paragraph_that_says_too_little_or_too_much_alone_is_not_read_alone():
    endless = f"It was sold to Cy Crane. {LONG * 6}".strip()
    text = f"{LONG.strip()}\n\n{SHORT}\n\n{endless}\n"
    assert count([SHORT])[0] < SHORTEST_ALONE
    assert count([endless])[0] > LONGEST_PIECE
    passage = hit(0, text.index(SHORT) + 100, key=0, text=text)
    assert again(text, [passage], "1903") == [passage.passage.text]
    assert again(text, [passage], "Cy Crane") == [passage.passage.text]


def test_a_turn_is_what_a_paragraph_is_in_prose():
    turns = [f"ANN: {LONG.strip()}", f"BOB: {LONG.replace('Ada', 'Bea').strip()}", "ANN: Yes.", "BOB: No."]
    text = "\n".join(turns) + "\n"
    passage = hit(0, text.index("ANN: Yes"), key=0, text=text)
    first, turn = again(text, [passage], "Bea")
    assert first == passage.passage.text
    assert turn in turns[1]
    assert "Bea" in turn
    assert "Ada" not in turn


def test_a_paragraph_ends_with_its_section():
    text = f"# Mill\n\n{LONG.strip()}\n# Weir\n{LONG.replace('Ada', 'Bea').strip()}\n"
    passage = hit(0, text.index("# Weir"), key=0, text=text)
    document = parse(text.encode(), filename="a.md")
    piece = join([passage], document.text)[0]
    start = document.text.index("Ada")
    paragraph = around(document, piece, start, start + 3, count=count)[-1]
    assert "Bea" not in paragraph
    assert paragraph.startswith("The mill")


def test_an_answer_across_two_passages_is_read_again_with_both():
    hits = [hit(0, 60, key=0), hit(40, 100, key=1)]
    (piece,) = join(hits)
    document = parse(TEXT.encode(), filename="a.txt")
    assert held_by(piece, 70, 90).passage.id == "p1"
    assert around(document, piece, 70, 90, count=count)[0] == hits[1].passage.text
    assert around(document, piece, 20, 90, count=count)[0] == piece.text
