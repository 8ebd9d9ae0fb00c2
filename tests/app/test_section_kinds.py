"""What headings say about the sections under them."""

from dataclasses import replace

import pytest

from app.lines import Line, lines_of, table_of
from app.section_kinds import ABSTRACT_WORDS, kind_of
from app.sources import SourceText
from model.sentence_table import SectionKind, static_features
from retriever.parsing import parse_text
from retriever.parsing.dialogue import find_turns
from tests.fakes import HashingEncoder


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Abstract", SectionKind.ABSTRACT),
        ("ABSTRACT:", SectionKind.ABSTRACT),
        ("Executive summary", SectionKind.ABSTRACT),
        ("摘要", SectionKind.ABSTRACT),
        ("1 Introduction", SectionKind.INTRODUCTION),
        ("I. Introduction", SectionKind.INTRODUCTION),
        ("7 Conclusions and Future Work", SectionKind.CONCLUSION),
        ("5.2. Summary and outlook", SectionKind.CONCLUSION),
        ("References", SectionKind.APPARATUS),
        ("Appendix A: Proofs", SectionKind.APPARATUS),
        ("8 Acknowledgements", SectionKind.APPARATUS),
        ("参考文献", SectionKind.APPARATUS),
        ("Abstract syntax trees", SectionKind.OTHER),
        ("Summary of the war", SectionKind.OTHER),
        ("Index of prices", SectionKind.OTHER),
        ("Notes on the state of Virginia", SectionKind.OTHER),
        ("Contents", SectionKind.APPARATUS),
        ("3 Experiments", SectionKind.OTHER),
        ("A", SectionKind.OTHER),
        ("", SectionKind.OTHER),
    ],
)
def test_a_heading_says_what_its_section_is_for(heading: str, kind: SectionKind) -> None:
    assert kind_of([heading]) == kind


def test_what_stands_below_an_appendix_belongs_to_it() -> None:
    assert kind_of(["Appendix B", "Introduction"]) == SectionKind.APPARATUS
    assert kind_of([]) == SectionKind.OTHER


def lines(text: str) -> list[Line]:
    document = parse_text(text, media_type="text/markdown")
    return lines_of(0, SourceText(document_id=None, title=None, version="", document=document))


def test_sentences_know_what_their_section_is_for() -> None:
    found = lines(
        "# Abstract\n\nWe measure the tides of a small bay for a year.\n\n"
        "# Method\n\nA gauge was read on every hour of every day.\n\n"
        "# References\n\nSmith wrote about the tides of another bay in 1990."
    )
    assert [line.kind for line in found] == [SectionKind.ABSTRACT, SectionKind.OTHER, SectionKind.APPARATUS]
    features = static_features(table_of(found, HashingEncoder().encode_passages([line.text for line in found])))
    assert len(set(map(tuple, features.tolist()))) == 3


def test_an_abstract_whose_end_is_not_marked_ends_by_itself() -> None:
    found = lines(
        "# Abstract\n\n" + " ".join(f"In year {at} we measured the tides of a small bay." for at in range(100))
    )
    kinds = [line.kind for line in found]
    assert kinds[0] == SectionKind.ABSTRACT
    assert kinds[-1] == SectionKind.OTHER
    assert sum(line.words for line in found if line.kind == SectionKind.ABSTRACT) <= ABSTRACT_WORDS + 20


def plain(text: str) -> list[Line]:
    return lines_of(0, SourceText(document_id=None, title=None, version="", document=parse_text(text)))


ABOUT = " ".join(f"In year {at} we measured the tides of a small bay." for at in range(10))
METHOD = " ".join(f"On day {at} a gauge was read on every hour." for at in range(80))


def test_of_a_section_that_goes_on_after_its_abstract_that_is_the_first_paragraph() -> None:
    found = lines(f"# Abstract\n\n{ABOUT}\n\n{METHOD}\n\n# References\n\nSmith wrote about the tides of a bay.")
    assert [line.text for line in found if line.kind == SectionKind.ABSTRACT] == [line.text for line in found[:10]]
    assert found[9].text == "In year 9 we measured the tides of a small bay."


def test_a_text_without_other_headings_has_an_abstract_if_it_begins_with_the_word() -> None:
    found = plain(f"Abstract\n\n{ABOUT}\n\n{METHOD}")
    assert [line.text for line in found if line.kind == SectionKind.ABSTRACT] == [line.text for line in found[:10]]
    assert not any(line.kind == SectionKind.ABSTRACT for line in plain(f"{ABOUT}\n\n{METHOD}"))


def test_a_first_paragraph_that_says_what_the_paper_does_is_its_abstract() -> None:
    about = "This paper describes how we measured the tides of a small bay. " + ABOUT
    found = plain(f"{about}\n\n{METHOD}")
    assert [line.text for line in found if line.kind == SectionKind.ABSTRACT] == [line.text for line in found[:11]]
    assert not any(line.kind == SectionKind.ABSTRACT for line in plain(f"This paper is short.\n\n{METHOD}"))
    text = "\n".join(f"{name}: {about}" for name in ("Ann", "Bo", "Ann", "Bo"))
    document = replace(parse_text(text), turns=find_turns(text))
    spoken = lines_of(0, SourceText(document_id=None, title=None, version="", document=document))
    assert spoken[0].speaker == "Ann"
    assert not any(line.kind == SectionKind.ABSTRACT for line in spoken)


def test_a_sentence_of_the_words_that_the_document_is_full_of_is_central() -> None:
    found = lines(
        "The harbour of the town is deep. Ships come to the harbour of the town from far away. "
        "The harbour of the town was built long ago. Bananas ripen quickly under glass."
    )
    central = table_of(found, HashingEncoder().encode_passages([line.text for line in found])).central
    assert central.argmin() == 3
    assert central.min() > 0
    assert central.max() <= 1
