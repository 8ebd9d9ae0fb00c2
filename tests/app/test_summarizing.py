"""Summaries of real texts, with the real encoder and a real store."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.choosing import default_sentences
from app.dialogues import is_support
from app.errors import Cancelled, NoGenerator
from app.lines import NoShelf, encode_lines
from app.parts import chapter_depth
from app.prose import count_words, one_line, summarizable
from app.salience_mining import lines_of_text
from app.schemas import Length, SummarizeReply, SummarizeRequest
from app.sources import SourceText
from app.summarizing import Summarizing, join_sentences, summarize_texts
from model.encoder import MiniLMEncoder
from model.sentence_table import Floats, Query, SentenceTable, Turn, at_once
from model.summarizer import CentralitySalience
from retriever.chunking import split
from retriever.parsing import parse, parse_text
from retriever.sentences import split_sentences
from retriever.store import Store
from tests.fakes import OverlapReader

LIGHTHOUSE = (
    "The lighthouse at Gull Point was built in 1871 to guide grain ships into the harbour. "
    "Its lamp burned whale oil for nine years before the town could afford gas. "
    "Keepers lived in two small rooms under the lantern with their families. "
    "A storm in 1902 broke the seaward windows and flooded the lower stair. "
    "The town council paid for the repairs with a tax on every barrel that was landed. "
    "Electric light came in 1924, and the last keeper left the following spring. "
    "Today the tower is a museum that is open from May to October. "
    "Visitors climb 132 steps to see the restored lamp and the keepers' logbooks.\n"
)
ORCHARD = (
    "Apple trees need cold winters to set fruit well. "
    "Most orchards plant two varieties so that the blossoms can pollinate each other. "
    "Pruning in late winter lets light reach the inner branches. "
    "Aphids are kept in check by ladybirds and by lacewings. "
    "Fruit for storage is picked a week before it is fully ripe. "
    "Cellars are held just above freezing and kept damp.\n"
)
MANUAL = f"# Handbook\n\n## The lighthouse\n\n{LIGHTHOUSE}\n## The orchard\n\n{ORCHARD}"


@pytest.fixture(scope="module")
def encoder() -> MiniLMEncoder:
    return MiniLMEncoder.load()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield store
    store.close()


@pytest.fixture
def summarizing(store: Store, encoder: MiniLMEncoder) -> Summarizing:
    return Summarizing(store, encoder)


def quiet(done: int, total: int, unit: str) -> None:
    """Progress that nobody looks at."""


def put(store: Store, encoder: MiniLMEncoder, text: str, *, title: str) -> str:
    accepted = store.accept(
        "default",
        collection="default",
        data=text.encode(),
        filename=None,
        media_type="text/markdown",
        title=title,
        metadata={},
        deduplicate=False,
    )
    parsed = parse_text(text, media_type="text/markdown")
    chunks = split(parsed, count=encoder.count_word_pieces)
    assert accepted.job_id is not None
    revision = store.start_revision("default", accepted.document.id, accepted.job_id, parsed, chunks)
    store.publish("default", accepted.document.id, revision)
    return accepted.document.id


def replace(store: Store, encoder: MiniLMEncoder, document: str, text: str) -> None:
    accepted = store.accept(
        "default",
        document_id=document,
        collection="default",
        data=text.encode(),
        filename=None,
        media_type="text/markdown",
        title="Log",
        metadata={},
        deduplicate=False,
    )
    parsed = parse_text(text, media_type="text/markdown")
    assert accepted.job_id is not None
    chunks = split(parsed, count=encoder.count_word_pieces)
    revision = store.start_revision("default", document, accepted.job_id, parsed, chunks)
    store.publish("default", document, revision)


def summarize(summarizing: Summarizing, text: str, **fields: object) -> SummarizeReply:
    request = SummarizeRequest.model_validate({"text": text, **fields})
    reply = summarizing.summarize("default", request, progress=quiet)
    for sentence in reply.sentences:
        citation = sentence.citation
        assert text[citation.start : citation.end] == citation.quote
        assert sentence.text == one_line(citation.quote)
    assert [s.citation.start for s in reply.sentences] == sorted(s.citation.start for s in reply.sentences)
    assert reply.coverage.characters_read == reply.coverage.characters_total == len(text)
    assert sum(section.sentences for section in reply.coverage.sections) == len(reply.sentences)
    return reply


def test_a_summary_is_made_of_sentences_of_the_text_in_their_order(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, LIGHTHOUSE, length={"sentences": 3})
    assert len(reply.sentences) == 3
    assert reply.summary == " ".join(sentence.text for sentence in reply.sentences)
    assert reply.sentences[0].text.startswith("The lighthouse at Gull Point")
    assert all(0 < sentence.salience < 1 for sentence in reply.sentences)
    assert all(sentence.citation.document_id is None and sentence.speaker is None for sentence in reply.sentences)
    assert reply.model.summarizer == "centrality"


def test_a_budget_of_words_is_met_within_a_tenth(summarizing: Summarizing) -> None:
    for words in (30, 45, 60):
        reply = summarize(summarizing, LIGHTHOUSE + ORCHARD, length={"words": words})
        assert 0.9 * words <= count_words(reply.summary) <= 1.1 * words


def test_a_ratio_is_a_share_of_the_words(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, LIGHTHOUSE + ORCHARD, length={"ratio": 0.4})
    share = count_words(reply.summary) / count_words(LIGHTHOUSE + ORCHARD)
    assert share == pytest.approx(0.4, abs=0.05)
    everything = summarize(summarizing, LIGHTHOUSE, length={"ratio": 1})
    assert everything.summary == LIGHTHOUSE.strip()


def test_the_default_length_grows_slowly_with_the_text(summarizing: Summarizing) -> None:
    assert [default_sentences(words) for words in (0, 20, 100, 300, 1_000, 5_000)] == [1, 1, 1, 3, 6, 10]
    assert default_sentences(200_000) == 18
    assert default_sentences(10**9) == 20
    assert len(summarize(summarizing, LIGHTHOUSE).sentences) == default_sentences(count_words(LIGHTHOUSE))


def test_a_query_decides_what_the_summary_is_about(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, LIGHTHOUSE + ORCHARD, query="insects that eat pests", length={"sentences": 1})
    assert "ladybirds" in reply.summary
    by_word = summarize(summarizing, LIGHTHOUSE + ORCHARD, query="barrel", length={"sentences": 1})
    assert "barrel" in by_word.summary


def test_bullets_have_a_line_a_sentence(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, LIGHTHOUSE, format="bullets", length={"sentences": 2})
    assert reply.summary.splitlines() == [f"- {sentence.text}" for sentence in reply.sentences]


def test_by_sections_every_chapter_has_a_part_and_the_budget_is_shared(
    summarizing: Summarizing, store: Store, encoder: MiniLMEncoder
) -> None:
    document = put(store, encoder, MANUAL, title="Handbook")
    request = SummarizeRequest(document=document, format="sections", length=Length(sentences=5))
    reply = summarizing.summarize("default", request, progress=quiet)
    assert [part.title for part in reply.parts] == ["The lighthouse", "The orchard"]
    assert [index for part in reply.parts for index in part.sentences] == [0, 1, 2, 3, 4]
    assert [len(part.sentences) for part in reply.parts] == [3, 2]
    assert reply.parts[1].summary == join_sentences([s.text for s in reply.sentences[3:]])
    assert {sentence.citation.section for sentence in reply.sentences[:3]} == {"The lighthouse"}
    assert all(sentence.citation.document_id == document for sentence in reply.sentences)
    text, _, _, version = store.text("default", document)
    assert all(
        text[s.citation.start : s.citation.end] == s.citation.quote and s.citation.version == version
        for s in reply.sentences
    )
    assert sum(section.sentences for section in reply.coverage.sections) == 5


def test_a_text_without_headings_summarized_by_sections_is_one_part(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, LIGHTHOUSE, format="sections", length={"words": 40})
    assert len(reply.parts) == 1
    assert reply.parts[0].title is None
    assert reply.summary == reply.parts[0].summary


def test_parts_are_the_deepest_headings_that_still_read_as_an_overview() -> None:
    chapters = {("Book", f"Chapter {n}", f"Scene {m}") for n in range(20) for m in range(9)}
    assert chapter_depth(chapters) == 2
    assert chapter_depth({("Title", "One"), ("Title", "Two")}) == 2
    assert chapter_depth({(f"Article {n}", "Text") for n in range(300)}) == 1
    assert chapter_depth({("Title", f"Article {n}") for n in range(300)}) == 2
    assert chapter_depth({("Title",)}) == 1
    assert chapter_depth(set()) == 0


def test_documents_together_say_nothing_twice(summarizing: Summarizing, store: Store, encoder: MiniLMEncoder) -> None:
    one = put(store, encoder, LIGHTHOUSE, title="One")
    two = put(store, encoder, LIGHTHOUSE + ORCHARD, title="Two")
    request = SummarizeRequest(documents=[one, two], length=Length(sentences=20))
    reply = summarizing.summarize("default", request, progress=quiet)
    said = [sentence.text for sentence in reply.sentences]
    assert len(said) == len(set(said)) == 14
    assert {sentence.citation.document_id for sentence in reply.sentences} == {one, two}
    assert {section.document_id for section in reply.coverage.sections} == {one, two}
    assert "\n\n" in reply.summary


def test_an_empty_collection_has_an_empty_summary(summarizing: Summarizing) -> None:
    reply = summarizing.summarize("default", SummarizeRequest(), progress=quiet)
    assert reply.summary == ""
    assert reply.sentences == []
    assert reply.coverage.characters_total == 0


def test_progress_counts_sentences_up_to_all_of_them(summarizing: Summarizing) -> None:
    text = " ".join(f"The surveyor measured field number {n} and wrote down its {n} corners." for n in range(300))
    reports: list[tuple[int, int, str]] = []
    request = SummarizeRequest(text=text, length=Length(sentences=2))
    summarizing.summarize("default", request, progress=lambda *report: reports.append(report))
    assert list(dict.fromkeys(done for done, _, _ in reports)) == [0, 128, 256, 300]
    assert {(total, unit) for _, total, unit in reports} == {(300, "sentences")}


def test_what_progress_raises_stops_the_work(summarizing: Summarizing) -> None:
    def cancel(done: int, total: int, unit: str) -> None:
        raise Cancelled("the job was cancelled")

    with pytest.raises(Cancelled):
        summarizing.summarize("default", SummarizeRequest(text=LIGHTHOUSE), progress=cancel)


def test_an_abstractive_summary_needs_a_generator(summarizing: Summarizing) -> None:
    with pytest.raises(NoGenerator):
        summarizing.summarize("default", SummarizeRequest(text=LIGHTHOUSE, mode="abstractive"), progress=quiet)


def test_chinese_is_summarized_by_its_sentences_and_counted_by_characters(summarizing: Summarizing) -> None:
    text = (
        "灯塔建于一八七一年，为运粮船指引进港的航道。灯塔的灯烧了九年鲸油。"
        "看守人和家人住在灯室下面的两间小屋里。今天这座塔是一座博物馆。"
    )
    reply = summarize(summarizing, text, length={"sentences": 2})
    assert reply.summary == "".join(sentence.text for sentence in reply.sentences)
    assert count_words("灯塔 abc, 二") == 4


def kept(text: str, *, media_type: str = "text/plain") -> list[str]:
    document = parse_text(text, media_type=media_type)
    sentences = split_sentences(document.text)
    return [
        one_line(document.text[sentence.start : sentence.end])
        for sentence, good in zip(sentences, summarizable(document, sentences), strict=True)
        if good
    ]


def test_headings_page_numbers_contents_and_fragments_never_stand_in_a_summary() -> None:
    text = (
        "THE KEEPER OF GULL POINT\n\nContents\n\n"
        "Chapter 1. The Tower ............ 3\n\nChapter 2. The Storm      17\n\n"
        "Chapter 1. The Tower\n\nThe tower stood alone on the point.\nIts lamp could be seen for\nnineteen miles.\n\n"
        "- 4 -\n\nThe keeper climbed the stair each evening.\n\nYes.\n\n12.5 | 14.1 | 19.0 | 22.8\n\n"
        "This eBook is offered by Project Gutenberg to everyone who wants it.\n\n"
        "Nobody in the town had ever seen him asleep.\n"
    )
    assert kept(text) == [
        "The tower stood alone on the point.",
        "Its lamp could be seen for nineteen miles.",
        "The keeper climbed the stair each evening.",
        "Nobody in the town had ever seen him asleep.",
    ]


def test_a_heading_that_looks_like_a_sentence_is_known_by_its_section() -> None:
    text = "# Why does the lamp turn at all?\n\nThe lamp turns so that ships can tell it from a star.\n"
    assert kept(text, media_type="text/markdown") == ["The lamp turns so that ships can tell it from a star."]


@pytest.mark.parametrize("book", [LIGHTHOUSE, "a list of things\n\nand of others\n"])
def test_the_licence_behind_a_gutenberg_book_is_not_summarized(book: str) -> None:
    text = f"{book}\n*** END OF THE PROJECT GUTENBERG EBOOK GULLS ***\n\n{ORCHARD}"
    document = parse_text(text)
    sentences = split_sentences(text)
    good = summarizable(document, sentences)
    assert len(good) == len(sentences)
    assert {text[s.start : s.end] for s, passed in zip(sentences, good, strict=True) if passed}
    assert not any(passed for s, passed in zip(sentences, good, strict=True) if s.start >= text.index("***"))


def test_running_headers_are_left_out_and_a_repeated_sentence_counts_once() -> None:
    page = "Report of the Harbour Board for 1902.\n\n"
    text = page + "\n\n".join(f"The board met in room {n} and heard the engineer.\n\n{page}" for n in range(4))
    text += "The dues were raised again. The dues were raised again."
    assert kept(text) == [
        *(f"The board met in room {n} and heard the engineer." for n in range(4)),
        "The dues were raised again.",
    ]


def test_a_torn_sentence_may_stand_in_a_summary_if_it_is_of_an_abstract() -> None:
    whole = "\n\n".join(f"The tide of day {day} was measured at noon." for day in range(12))
    torn = "show that the tides of the bay follow the moon"
    assert torn in kept(f"# Abstract\n\nWe measured tides.\n\n{torn}\n\n# Method\n\n{whole}")
    assert torn not in kept(f"# Results\n\nWe measured tides.\n\n{torn}\n\n# Method\n\n{whole}")


def test_a_text_without_punctuation_still_has_sentences_to_choose_from() -> None:
    assert kept("milk and honey from the market\n\ntwo loaves of rye bread\n\nsalt") == [
        "milk and honey from the market",
        "two loaves of rye bread",
    ]
    assert kept("salt") == ["salt"]
    assert kept("---") == []


def test_the_sentences_of_a_dialogue_carry_who_says_them_beside_what_is_said(summarizing: Summarizing) -> None:
    turns = [f"{name}: {said}." for name, said in zip(("Ann", "Bo") * 7, ORCHARD.split(". ") * 2, strict=False)]
    request = SummarizeRequest(text="\n".join(turns), length=Length(sentences=4))
    reply = summarizing.summarize("t", request, progress=quiet)
    assert len(reply.sentences) == 4
    for sentence in reply.sentences:
        assert sentence.speaker == sentence.citation.speaker
        assert f"{sentence.speaker}: {sentence.text}" in turns
    prose = summarizing.summarize("t", SummarizeRequest(text=LIGHTHOUSE), progress=quiet)
    assert {sentence.speaker for sentence in prose.sentences} == {None}


def test_a_dialogue_that_is_taken_for_prose_names_nobody_for_what_two_say(summarizing: Summarizing) -> None:
    turns = "\n".join(["Ann: I want to leave the mill this year,", "Bo: but I do not want to pay for the move."] * 4)
    request = SummarizeRequest(text=turns, length=Length(sentences=1), kind="prose")
    [sentence] = summarizing.summarize("t", request, progress=quiet).sentences
    assert "Bo:" in sentence.text
    assert sentence.speaker is sentence.citation.speaker is None


def test_two_turns_are_a_dialogue_where_the_request_says_so(summarizing: Summarizing) -> None:
    turns = "Amanda: Shall we plant the apple trees by the wall?\nJerry: By the fence, the wall has no sun at noon."
    for kind, speakers in (("auto", {None}), ("dialogue", {"Amanda", "Jerry"})):
        request = SummarizeRequest.model_validate({"text": turns, "length": {"sentences": 2}, "kind": kind})
        reply = summarizing.summarize("t", request, progress=quiet)
        assert {sentence.speaker for sentence in reply.sentences} == speakers


def test_a_budget_of_words_is_met_by_what_a_dialogue_s_summary_shows(summarizing: Summarizing) -> None:
    said = ORCHARD.removesuffix(".\n").split(". ") * 2
    turns = "\n".join(f"{('Customer', 'Support Agent')[n % 2]}: So {n}, {each}." for n, each in enumerate(said))
    for words in (30, 60):
        request = SummarizeRequest(text=turns, length=Length(words=words))
        summary = summarizing.summarize("t", request, progress=quiet).summary
        assert 0.9 * words <= len(summary.split()) <= 1.1 * words


class Counting:
    """An encoder that counts what it encodes."""

    def __init__(self, encoder: MiniLMEncoder) -> None:
        self._encoder = encoder
        self.version, self.dimension, self.encoded = encoder.version, encoder.dimension, 0
        self.longest, self.count_word_pieces = encoder.longest, encoder.count_word_pieces

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        self.encoded += len(texts)
        return self._encoder.encode_passages(texts)

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        return self._encoder.encode_queries(texts)


LONG = "\n\n".join(
    f"## Chapter {chapter}\n\n"
    + " ".join(f"The keeper of tower {chapter} wrote line {line} of the log before noon." for line in range(40))
    for chapter in range(6)
)


def test_a_document_that_was_summarized_is_not_encoded_again_and_of_an_edited_one_only_what_changed(
    store: Store, encoder: MiniLMEncoder
) -> None:
    counting = Counting(encoder)
    summarizing = Summarizing(store, counting)
    document = put(store, encoder, LONG, title="Log")

    def ask() -> SummarizeReply:
        return summarizing.summarize("default", SummarizeRequest(document=document), progress=quiet)

    first = ask()
    assert counting.encoded >= 240
    counting.encoded = 0
    assert ask().summary == first.summary
    assert counting.encoded == 0
    edited = LONG.replace("tower 3 wrote line 7", "tower 3 burnt line 7")
    replace(store, encoder, document, edited)
    ask()
    assert 0 < counting.encoded <= 41, "the changed chapter alone"


def test_an_edit_that_moves_everything_behind_it_costs_the_blocks_around_it_alone(
    store: Store, encoder: MiniLMEncoder
) -> None:
    counting = Counting(encoder)
    summarizing = Summarizing(store, counting)
    small = "\n\n".join(
        f"## Note {note}\n\n"
        + " ".join(f"On day {day} of note {note} the keeper wrote a line of the log." for day in range(5))
        for note in range(120)
    )
    document = put(store, encoder, small, title="Notes")
    request = SummarizeRequest(document=document)
    summarizing.summarize("default", request, progress=quiet)
    assert counting.encoded >= 600
    for edited in (
        small.replace("## Note 1\n\n", "## Note 1\n\nA ship came. It brought oil for the lamp. It left at noon. "),
        "## Before\n\nThe tower was built by hand.\n\n" + small,
        small[small.index("## Note 1\n") :],
    ):
        counting.encoded = 0
        replace(store, encoder, document, edited)
        summarizing.summarize("default", request, progress=quiet)
        assert 0 < counting.encoded <= 128


def test_of_a_sentence_longer_than_the_encoder_reads_the_end_counts_too(encoder: MiniLMEncoder) -> None:
    long = " ".join(f"договор {number} о поставке" for number in range(25))
    assert len(long) <= 600
    assert encoder.count_word_pieces([long])[0] > encoder.longest
    vectors = [
        encode_lines(encoder, NoShelf(), [None], lines_of_text(f"{long} {end}."), quiet)[0].astype(np.float32)
        for end in ("и штраф за просрочку", "the ship came in at noon")
    ]
    assert vectors[0] @ vectors[1] < 0.999
    assert abs(np.linalg.norm(vectors[0]) - 1) < 0.01


def test_a_document_that_is_deleted_while_its_collection_is_summarized_fails_nothing(
    store: Store, encoder: MiniLMEncoder
) -> None:
    put(store, encoder, LIGHTHOUSE, title="Kept")
    gone = put(store, encoder, LONG, title="Gone")
    deleted: list[str] = []

    def delete(done: int, total: int, unit: str) -> None:
        if total and not deleted:
            store.delete_document("default", gone)
            deleted.append(gone)

    request = SummarizeRequest(collection="default", length=Length(sentences=4))
    reply = Summarizing(store, encoder).summarize("default", request, progress=delete)
    assert deleted
    assert len(reply.sentences) == 4


def test_what_is_cut_out_of_a_document_is_not_kept_with_its_vectors(store: Store, encoder: MiniLMEncoder) -> None:
    counting = Counting(encoder)
    summarizing = Summarizing(store, counting)
    document = put(store, encoder, LONG, title="Log")
    request = SummarizeRequest(document=document)
    summarizing.summarize("default", request, progress=quiet)
    counting.encoded = 0
    replace(store, encoder, document, LONG[: LONG.index("## Chapter 5")])
    summarizing.summarize("default", request, progress=quiet)
    assert counting.encoded == 0
    replace(store, encoder, document, LONG)
    summarizing.summarize("default", request, progress=quiet)
    assert 40 <= counting.encoded <= 41


class StoppedInTheMiddle(Exception):
    pass


def test_a_summary_that_was_cut_short_goes_on_where_it_was(store: Store, encoder: MiniLMEncoder) -> None:
    counting = Counting(encoder)
    summarizing = Summarizing(store, counting)
    request = SummarizeRequest(document=put(store, encoder, LONG, title="Log"))

    def stop(done: int, total: int, unit: str) -> None:
        if done > total / 2:
            raise StoppedInTheMiddle

    with pytest.raises(StoppedInTheMiddle):
        summarizing.summarize("default", request, progress=stop)
    before = counting.encoded
    counting.encoded = 0
    seen: list[int] = []
    summarizing.summarize("default", request, progress=lambda done, total, unit: seen.append(done))
    assert before > 0
    assert counting.encoded <= seen[-1] - before
    assert seen == sorted(seen)


def test_a_job_for_an_inline_text_goes_on_where_it_was_after_a_kill(store: Store, encoder: MiniLMEncoder) -> None:
    counting = Counting(encoder)
    summarizing = Summarizing(store, counting)
    request = SummarizeRequest(text=LONG)
    job_id = store.create_job("default", "summarize", request.model_dump(mode="json")).id
    store.claim_job()
    taken_over = False

    def stop(done: int, total: int, unit: str) -> None:
        nonlocal taken_over
        taken_over = done > total / 4
        if done > total / 2:
            raise StoppedInTheMiddle

    with pytest.raises(StoppedInTheMiddle):
        summarizing.summarize("default", request, progress=stop, job=lambda: job_id if taken_over else None)
    before, counting.encoded = counting.encoded, 0
    whole = summarizing.summarize("default", request, progress=quiet, job=lambda: job_id)
    again, counting.encoded = counting.encoded, 0
    store.finish_job("default", job_id, {})
    assert summarizing.summarize("default", request, progress=quiet, job=lambda: job_id).summary == whole.summary
    assert before > 0
    assert again + before == counting.encoded, "and nothing is kept once the job is over"


SUPPORT = """Customer: My phone does not charge since the update, and it gets warm in the evening.
Agent: Hello and thank you for writing to us about your phone today.
Customer: It is the blue model that I bought in May of this year.
Agent: Please hold the side button for ten seconds and then plug the cable in again.
Customer: I have held the button now, and the screen shows a small battery.
Agent: Then update the system once more from the settings while it is plugged in.
Customer: That helped, it charges again and stays cool, thank you very much.
"""


def test_a_support_dialogue_has_the_problem_the_steps_and_the_outcome(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, SUPPORT, format="sections", length={"sentences": 3})
    assert [part.title for part in reply.parts] == ["Problem", "Steps", "Outcome"]
    speakers = [sentence.speaker for sentence in reply.sentences]
    assert speakers[0] == "Customer"
    assert reply.sentences[-1].citation.start >= SUPPORT.index("Agent: Then update")
    assert (
        SUPPORT.index("Agent: Please hold") <= reply.sentences[1].citation.start < SUPPORT.index("Agent: Then update")
    )


def test_a_support_dialogue_in_chapters_keeps_them_but_a_title_is_no_chapter(
    summarizing: Summarizing, store: Store, encoder: MiniLMEncoder
) -> None:
    def titles(text: str) -> list[str | None]:
        document = put(store, encoder, text, title="Calls")
        request = SummarizeRequest(document=document, format="sections")
        reply = summarizing.summarize("default", request, progress=quiet)
        return [part.title for part in reply.parts or ()]

    assert titles(f"# Morning\n\n{SUPPORT}\n# Evening\n\n{SUPPORT.replace('phone', 'lamp')}") == ["Morning", "Evening"]
    assert titles(f"# A call\n\n{SUPPORT}") == ["Problem", "Steps", "Outcome"]


@pytest.mark.parametrize(
    "helper",
    [
        *(
            "Agent",
            "agent 2",
            "Agent (Mia)",
            "#Agent#",
            "Support Agent",
            "Customer Service Representative",
            "Tech Support",
        ),
        *("Virtual Assistant", "Call Center Operator", "Help Desk", "helpdesk", "CSR", "Advisor A", "The Technician"),
    ],
)
def test_a_label_that_is_a_role_of_support_names_a_helper(helper: str) -> None:
    assert is_support({"Customer", helper})


@pytest.mark.parametrize(
    "name",
    [
        *("Assistant Secretary Lee", "Special Agent Dale Cooper", "Special Agent", "Staff Sergeant Hill"),
        *("Representative Diaz", "Agent Smith", "Real Estate Agent", "Support Act"),
    ],
)
def test_a_name_that_only_holds_such_a_word_is_no_helper(name: str) -> None:
    assert not is_support({"Senator Warren", name})


def test_code_is_outlined_by_files_with_its_definitions(store: Store, encoder: MiniLMEncoder) -> None:
    code = (
        '"""Grinds corn into flour."""\n\n\ndef grind(corn):\n    """Turn corn into flour."""\n    return corn\n\n\n'
        + "def _helper():\n    return 1\n"
    )
    document = parse(code.encode(), filename="mill.py")
    source = SourceText(document_id=None, title="mill.py", version="v", document=document)
    request = SummarizeRequest(text="-", length=Length(sentences=2), format="sections")
    reply = summarize_texts([source], request, encoder=encoder, progress=quiet)
    quotes = [sentence.citation.quote for sentence in reply.sentences]
    assert quotes == ['"""Grinds corn into flour."""', 'def grind(corn):\n    """Turn corn into flour."""']
    assert [part.title for part in reply.parts] == ["mill.py"]
    assert reply.sentences[1].citation.section == "grind"
    assert reply.coverage.characters_read == len(code)


class Told(CentralitySalience):
    """Remembers how many sentences it was told of, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[int] = []

    def score(self, table: SentenceTable, query: Query | None = None, *, turn: Turn = at_once) -> Floats:
        self.tables.append(len(table))
        return super().score(table, query, turn=turn)


def test_a_book_is_summarized_in_two_levels_and_cited_as_ever(
    store: Store, encoder: MiniLMEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    salience = Told()
    summarizing = Summarizing(store, encoder, salience)
    request = SummarizeRequest(document=put(store, encoder, LONG, title="Log"), length=Length(sentences=6))
    summarizing.summarize("default", request, progress=quiet)
    assert salience.tables == [240]
    monkeypatch.setattr("app.summarizing.BOOK_WORDS", 1_000)
    book = summarizing.summarize("default", request, progress=quiet)
    first, second = salience.tables[1:]
    assert first == 240
    assert 6 < second <= 8 * 6
    starts = [sentence.citation.start for sentence in book.sentences]
    assert len(starts) == 6
    assert starts == sorted(starts)
    text = parse_text(LONG, media_type="text/markdown").text
    assert all(text[it.citation.start : it.citation.end] == it.citation.quote for it in book.sentences)
    summarizing.summarize("default", request.model_copy(update={"query": "noon"}), progress=quiet)
    assert salience.tables[3:] == [240], "what is asked for is looked for in all of it"


def test_with_a_query_the_sentence_that_the_reader_answers_from_is_there(encoder: MiniLMEncoder) -> None:
    sources = [
        SourceText(document_id=None, title=None, version=title, document=parse_text(text))
        for title, text in (("lighthouse", LIGHTHOUSE), ("orchard", ORCHARD))
    ]
    request = SummarizeRequest(text="-", query="What are aphids kept in check by?", length=Length(sentences=1))
    reply = summarize_texts(sources, request, encoder=encoder, reader=OverlapReader(), progress=quiet)
    assert reply.summary == "Aphids are kept in check by ladybirds and by lacewings."
    assert reply.model.reader == OverlapReader.name
    assert "read" in reply.timings_ms
    plain = summarize_texts(
        sources, SummarizeRequest(text="-"), encoder=encoder, reader=OverlapReader(), progress=quiet
    )
    assert plain.model.reader is None, "without a query nothing is read"


def test_a_text_that_was_not_parsed_as_code_is_read_whole_whatever_it_is_taken_for(summarizing: Summarizing) -> None:
    reply = summarize(summarizing, "# The note\n\n" + ORCHARD, kind="code", length={"sentences": 3})
    assert len(reply.sentences) == 3
    assert any("orchards" in sentence.text for sentence in reply.sentences)


@pytest.mark.parametrize("label", ["Ada: ", "[Ada] ", "**Ada:** ", "10:02 Ada: ", "Ada 10:02\n"])
def test_labels_are_no_part_of_what_is_said(label: str) -> None:
    other = label.replace("Ada", "Ben")
    turns = "\n".join(
        f"{label}We should mend the mill in the year {year}.\n{other}Then let us ask councillor {year}."
        for year in range(9)
    )
    lines = lines_of_text(turns)
    said = [f"We should mend the mill in the year {year}." for year in range(9)]
    assert [line.text for line in lines if line.speaker == "Ada"] == said
    assert {line.turn_words for line in lines} == {9, 6}
