import json

import numpy as np

from app.evaluation.rouge import individual_scores, oracle_ranking
from app.evaluation.sets import SummaryRow, read_summaries
from app.lines import lines_of, table_of
from app.salience_mining import VectorCache, example_of, lines_of_text
from app.sources import SourceText
from model.sentence_table import ASKED, STATIC
from retriever.types import ParsedDocument, Section
from tests.fakes import HashingEncoder, OverlapReader

TALK = """Ada: We should mend the mill this spring. Who has the money?
Ben: The council has set aside 900 euros for the mill.
Ada: Then the roof comes first, and after that the wheel."""


class Encoder(HashingEncoder):
    def __init__(self) -> None:
        super().__init__(dimension=384)


def test_an_example_marks_what_a_summary_would_take(tmp_path):
    row = SummaryRow(id="r", text=TALK, query="Who pays?", references=("The council set aside 900 euros.",), words=10)
    cache = VectorCache(Encoder(), tmp_path / "vectors.npz")
    lines = lines_of_text(TALK)
    cache.encode([line.text for line in lines], lambda _: None)
    example = example_of(row, lines, cache, Encoder(), OverlapReader())
    wanted = next(place for place, line in enumerate(lines) if "900" in line.text)
    assert example.oracle.tolist() == [float(place == wanted) for place in range(len(lines))]
    assert int(example.alone.argmax()) == wanted
    assert example.features.shape == (len(lines), STATIC + ASKED)
    assert np.linalg.norm(example.query) > 0.99


def test_vectors_are_kept_between_runs_and_not_made_again(tmp_path):
    encoder = Encoder()
    cache = VectorCache(encoder, tmp_path / "vectors.npz")
    cache.encode(["one", "two", "one"], lambda _: None)
    assert encoder.encoded == 2
    cache.save()
    again = VectorCache(encoder, tmp_path / "vectors.npz")
    again.encode(["two", "one"], lambda _: None)
    assert encoder.encoded == 2
    np.testing.assert_array_equal(again(["two", "one"]), cache(["two", "one"]))


def test_a_transcript_s_sentences_know_their_speaker_and_turn_and_are_read_without_the_name():
    lines = lines_of_text(TALK)
    assert [line.speaker for line in lines] == ["Ada", "Ada", "Ben", "Ada"]
    assert lines[0].text == "We should mend the mill this spring."
    assert TALK[lines[0].start : lines[0].end] == lines[0].text
    assert [line.turn_words for line in lines] == [11, 11, 10, 10]
    assert [line.first for line in lines] == [True, False, True, True]
    table = table_of(lines, np.zeros((4, 8), dtype=np.float16))
    assert table.speaker.tolist() == [0, 0, 1, 0]
    assert table.asks.tolist() == [False, True, False, False]
    assert table.counts.tolist() == [False, False, True, False]


def test_sections_and_paragraphs_are_told_apart_and_prose_has_no_speakers():
    text = "One\n\nThe mill stands in Leith. It is very old indeed.\n\nTwo\n\nThe note says this: it was mended in May."
    cut = text.index("Two")
    sections = (Section(path=("One",), start=0, end=cut), Section(path=("Two",), start=cut, end=len(text)))
    document = ParsedDocument(text=text, media_type="text/plain", title=None, sections=sections)
    lines = lines_of(0, SourceText(document_id=None, title=None, version="", document=document))
    assert [line.speaker for line in lines] == [None, None, None]
    assert [line.first for line in lines] == [True, False, True]
    assert [line.section for line in lines] == [0, 0, 1]


def test_a_sentence_s_own_score_is_that_of_a_summary_of_it_alone():
    references = [["The mill was mended in spring."]]
    sentences = ["The mill was mended in spring.", "The tower fell.", "Nothing."]
    alone = individual_scores(sentences, references)
    assert alone[0] == 2.0
    assert alone[0] > alone[1] > alone[2] == 0.0
    assert oracle_ranking(sentences, references, [6, 3, 1], 6, only_chosen=True) == [0]


def test_what_a_query_is_about_has_the_oracle_and_half_counts_elsewhere(tmp_path):
    turns = [
        {"speaker": "Ada", "content": "The council has set aside 900 euros for the old mill."},
        {"speaker": "Ben", "content": " "},
        {"speaker": "Ben", "content": "The council has money for the mill, we should hear."},
        {"speaker": "Ada", "content": "Then the roof of it comes first, and after that the wheel."},
    ]
    row = {"turns": turns, "query": "Who pays?", "references": ["The council set aside 900 euros."], "words": 12}
    whole, about = tmp_path / "whole.jsonl", tmp_path / "about.jsonl"
    whole.write_text(json.dumps(row))
    about.write_text(json.dumps({**row, "relevant": [["2", "3"]]}))
    (plain,), (ranged,) = read_summaries(whole), read_summaries(about)
    assert plain.relevant == ()
    assert [ranged.text[start:end].split(":")[0] for start, end in ranged.relevant] == ["Ben"]
    assert ranged.text[slice(*ranged.relevant[0])].endswith("after that the wheel.")
    cache = VectorCache(Encoder(), tmp_path / "vectors.npz")
    lines = lines_of_text(plain.text)
    cache.encode([line.text for line in lines], lambda _: None)
    one, same, other = (
        example_of(row, lines, cache, Encoder(), OverlapReader(), by_relevance=by)
        for row, by in ((plain, True), (ranged, False), (ranged, True))
    )
    np.testing.assert_array_equal(same.oracle, one.oracle)
    assert one.oracle.tolist() == [1.0, 0.0, 0.0]
    assert other.oracle.tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(other.alone, one.alone * [0.5, 1.0, 1.0])
