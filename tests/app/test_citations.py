import pytest

from app.citations import cite, page_at, speaker_at
from app.errors import CitationBroken
from app.sources import SourceText
from retriever.parsing import parse_text
from retriever.types import Page, ParsedDocument, Section

TEXT = "Intro 😀 text.\r\n\r\nSupply\r\nThe pump is 泵. It was made by Bell & Howell in 1962. It works."
AT = TEXT.index("Bell")


def source(**more) -> SourceText:
    sections = (
        Section(path=(), start=0, end=TEXT.index("Supply")),
        Section(path=("Parts", "Supply"), start=TEXT.index("Supply"), end=len(TEXT)),
    )
    document = ParsedDocument(text=TEXT, media_type="text/plain", title=None, sections=sections, **more)
    return SourceText(document_id="d", title="Pumps", version="sha256:x", document=document)


def test_a_citation_has_quote_sentence_and_section():
    found = cite(source(), AT, AT + 13, quote="Bell & Howell", passage_id="p", score=1.0)
    assert TEXT[found.start : found.end] == found.quote == "Bell & Howell"
    assert found.context == "It was made by Bell & Howell in 1962."
    assert (found.section, found.page) == ("Supply", None)


def test_the_page_is_that_of_the_quote_not_of_its_passage():
    pages = (Page(number=1, start=0, end=40), Page(number=2, start=41, end=len(TEXT)))
    found = cite(source(pages=pages), AT, AT + 4, quote="Bell", passage_id="p", score=1.0, within=(0, len(TEXT)))
    assert found.page == 2
    assert page_at(source(pages=pages).document, 0) == 1


def test_a_quote_over_two_sentences_has_both_as_its_context():
    start = TEXT.index("泵")
    found = cite(source(), start, AT + 4, quote=TEXT[start : AT + 4], passage_id=None, score=0.0)
    assert found.context == "The pump is 泵. It was made by Bell & Howell in 1962."


@pytest.mark.parametrize(
    ("start", "end", "quote"), [(AT, AT + 4, "Ball"), (AT, AT, ""), (AT, 10_000, "Bell"), (-4, 4, "x")]
)
def test_a_citation_that_does_not_slice_back_is_never_made(start, end, quote):
    with pytest.raises(CitationBroken):
        cite(source(), start, end, quote=quote, passage_id=None, score=0.0)


def test_a_citation_of_a_dialogue_names_its_speaker_wherever_in_the_turn_it_stands():
    text = (
        "Minutes\n\nAnn: We met. "
        + "Then we talked of other things. " * 60
        + "We left at six.\nBo: So we did.\nAnn: Yes."
    )
    document = parse_text(text)
    told = SourceText(document_id="d", title="Minutes", version="sha256:x", document=document)
    start = text.index("at six")
    found = cite(told, start, start + 6, quote="at six", passage_id=None, score=0.0)
    assert (found.speaker, found.context) == ("Ann", "We left at six.")
    assert speaker_at(document, text.index("So we did")) == "Bo"
    assert speaker_at(document, 0) is None
    assert speaker_at(document, text.index("\nBo")) is None
    assert speaker_at(source().document, 0) is None
