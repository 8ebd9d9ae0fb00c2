"""What a query says of the sentences of a text, and what the reader says of them."""

import numpy as np
import pytest

from app.asked import READ, STRETCH_WORDS, query_of
from app.lines import Line
from app.salience_mining import lines_of_text
from model.sentence_table import Query
from model.types import Reading, ReadSpan
from tests.fakes import HashingEncoder, OverlapReader

MILL = "The mill stands in Leith by the sea. It was built in the year 1871 by Ada Crane. It ground oats for the town."
TALK = "Ada: Who has the money? I have none of it.\nBen: The council paid 900 euros. Ask them for more.\nAda: I will."


class Recording(OverlapReader):
    """Remembers what it was given to read."""

    def __init__(self) -> None:
        self.passages: list[str] = []

    def read(self, question, passages, *, target_error=None, answers=5):  # type: ignore[no-untyped-def]
        self.passages = list(passages)
        return super().read(question, passages, target_error=target_error, answers=answers)


def ask(question: str, lines: list[Line], reader: OverlapReader | None = None) -> Query:
    encoder = HashingEncoder()
    vectors = encoder.encode_passages([line.text for line in lines])
    return query_of(encoder, reader, question, lines, vectors)


def test_a_sentence_shares_words_with_the_query() -> None:
    assert ask("Where is the mill?", lines_of_text(MILL)).overlap.argmax() == 0


def test_the_sentence_that_the_answer_stands_in_is_told_from_its_neighbours() -> None:
    query = ask("Who built it in 1871?", lines_of_text(MILL), OverlapReader())
    assert query.answer.argmax() == 1
    assert query.answer[1] > 0
    assert query.answer[0] == query.answer[2] == 0
    assert len(set(query.relevance.tolist())) == 1, "they were read together"
    assert 0 < query.relevance[0] < 1


def test_an_answer_over_two_sentences_is_in_both() -> None:
    class Both(OverlapReader):
        def read(self, question, passages, *, target_error=None, answers=5):  # type: ignore[no-untyped-def]
            span = ReadSpan(passage=0, start=10, end=50, probability=0.9, confidence=0.7)
            return Reading(spans=(span,), answerable=True, confidence=0.7, relevance=(float("-inf"),), null=0.1)

    query = ask("Where?", lines_of_text(MILL), Both())
    assert query.answer.tolist() == pytest.approx([0.7, 0.7, 0.0], abs=1e-6)
    assert query.relevance.max() < 1e-6


def test_turns_are_read_with_their_speakers_and_answers_found_behind_them() -> None:
    reader = Recording()
    query = ask("What did the council pay?", lines_of_text(TALK), reader)
    assert reader.passages == [TALK.replace("\n", " ").removesuffix(" Ada: I will.")], "but what cannot be chosen"
    assert query.answer.argmax() == 2


def test_of_a_long_text_what_is_nearest_is_read_in_stretches_of_even_length() -> None:
    filler = " ".join(f"Line {number} of the log says that the wind came from the north." for number in range(300))
    reader = Recording()
    lines = lines_of_text(f"{filler} The council paid Ada Crane for the mill. {filler}")
    query = ask("Whom did the council pay for the mill?", lines, reader)
    assert len(reader.passages) == READ
    assert "Ada Crane" in reader.passages[0]
    sizes = [len(passage.split()) for passage in reader.passages]
    assert max(sizes) - min(sizes) <= 26
    assert STRETCH_WORDS * 0.8 < np.mean(sizes) < STRETCH_WORDS * 1.2
    assert query.answer.argmax() == 300
    assert query.near[300] == query.near.max() > 1
    assert np.count_nonzero(query.relevance) == sum(passage.count(".") for passage in reader.passages)


@pytest.mark.parametrize(("text", "reader"), [(MILL, None), ("-", OverlapReader())])
def test_nothing_is_read_without_a_reader_or_a_text(text: str, reader: OverlapReader | None) -> None:
    query = ask("Who built it?", lines_of_text(text), reader)
    assert not query.relevance.any()
    assert not query.answer.any()
