"""Citations over hundreds of replies: texts of every kind, documents replaced and deleted while they are asked."""

import json
import random
import threading
from dataclasses import replace

import pytest

from app.answering import MAX_CITATIONS
from app.errors import CitationBroken
from app.finding import Finder
from app.schemas import AskRequest
from app.settings import Settings
from app.wiring import build
from retriever.errors import Conflict, NotFound
from tests.fakes import HashingEncoder, OverlapReader

T = "default"
THINGS = ["pump", "filter", "café", "naïve 👩‍👩‍👧 valve", "泵", "過濾器", "صمام", "e\u0301cran", "Straße"]
ENDS = ["\r\n", "\n", " ", "\r\n\r\n", "\n\n", "\u2028", "\t"]


def strange_text(seed: int, sentences: int = 60) -> tuple[str, list[str]]:
    """A text with every kind of line end and script, and questions that some of its sentences answer."""
    dice = random.Random(seed)
    parts, questions = ["\ufeff" if seed % 3 == 0 else ""], []
    for n in range(sentences):
        thing, place = dice.choice(THINGS), f"plant {seed}-{n}"
        parts.append(f"The {thing} of {place} costs {dice.randrange(1000)} 元{dice.choice('.!。')}{dice.choice(ENDS)}")
        questions.append(f"What does the {thing} of {place} cost?")
    return "".join(parts), dice.sample(questions, 12)


def accept(lectern, text, document_id=None, collection="default"):
    accepted = lectern.store.accept(
        T,
        collection=collection,
        data=text.encode(),
        filename=None,
        media_type="text/plain",
        title=None,
        metadata={},
        document_id=document_id,
        deduplicate=False,
    )
    lectern.jobs.changed()
    return accepted


def add(lectern, text, document_id=None, collection="default"):
    accepted = accept(lectern, text, document_id, collection)
    assert lectern.jobs.wait(T, accepted.job_id, timeout=120).status == "succeeded"
    return accepted.document.id


def checked(text_of, reply) -> int:
    """Asserts that every citation of a reply holds; returns how many there were."""
    citations = [*reply.citations, *(each.citation for each in reply.alternatives)]
    for citation in citations:
        text = text_of(citation)
        assert text[citation.start : citation.end] == citation.quote
        assert citation.quote in citation.context
        assert citation.context in text
    if reply.answer is not None:
        assert reply.citations[0].quote == reply.answer
    assert all(each.citation.quote == each.answer for each in reply.alternatives)
    return len(citations)


def test_every_citation_of_hundreds_of_replies_slices_back_to_its_quote(lectern):
    asked = []
    for seed in range(6):
        text, questions = strange_text(seed)
        asked += [(add(lectern, text), text, question) for question in questions]
    held = 0
    for n, (document, text, question) in enumerate(asked):
        for source in ({"documents": [document]}, {}, *([{"text": text}] if n % 4 == 0 else [])):
            reply = lectern.answering.ask(T, AskRequest(question=question, alternatives=3, **source))
            held += checked(
                lambda it, inline=text: (
                    inline if it.document_id is None else lectern.store.text(T, it.document_id, version=it.version)[0]
                ),
                reply,
            )
    assert held > 300


def test_answers_hold_at_their_version_while_documents_are_replaced_and_deleted(lectern):
    versions = [strange_text(seed, 25) for seed in range(4)]
    add(lectern, versions[0][0], "changing")
    add(lectern, versions[1][0], "staying")
    stop = threading.Event()

    def change():
        try:
            for n in range(1, 9):
                add(lectern, versions[n % 4][0], "changing")
                if n == 5:
                    lectern.store.delete_document(T, "changing")
        finally:
            stop.set()

    changing = threading.Thread(target=change)
    changing.start()
    held = asked = 0
    while not stop.is_set() or asked < 20:
        question = versions[asked % 4][1][asked % 12]
        asked += 1
        reply = lectern.answering.ask(T, AskRequest(question=question, alternatives=2))
        known = {version for version, _ in versions}
        for citation in [*reply.citations, *(each.citation for each in reply.alternatives)]:
            assert any(text[citation.start : citation.end] == citation.quote for text in known)
            held += 1
    changing.join()
    assert held


def test_the_same_answer_in_other_relevant_passages_is_cited_too(lectern):
    filler = " ".join(f"Nothing of note happened on day {n} of that year." for n in range(60))
    text = "\n\n".join(f"# Part {n}\n\nThe pump of the plant is made by Howell. {filler}" for n in range(9))
    add(lectern, text)
    reply = lectern.answering.ask(T, AskRequest(question="Who is the pump of the plant made by?", top_k=20))
    assert reply.answer == "Howell"
    assert len(reply.citations) == MAX_CITATIONS
    assert len({citation.start for citation in reply.citations}) == MAX_CITATIONS
    checked(lambda _: text, reply)


class SecondThoughts(OverlapReader):
    """Prefers what it first found second, once it has read again around what it found first."""

    def __init__(self) -> None:
        self.share = 0.4  # of the answers together that the best one has at first
        self.again: list[list[str]] = []

    def read(self, question, passages, **options):  # type: ignore[no-untyped-def]
        reading = super().read(question, passages, **options)
        return replace(reading, null=0.5, spans=tuple(replace(it, probability=self.share / 2) for it in reading.spans))

    def read_again(self, question, reading, passages, closer, *, target_error=None, answers=5):  # type: ignore[no-untyped-def]
        self.again.append(list(closer))
        return replace(reading, spans=reading.spans[1 : answers + 1])


def test_around_an_answer_that_is_likelier_than_others_but_not_surely_is_read_again(tmp_path):
    reader = SecondThoughts()
    filler = " ".join(f"Nothing of note happened on day {n} of that year." for n in range(60))
    makers = ["Howell", "Ironside", "Jessop"]
    paragraphs = [f"The pump of plant {n} is made by {maker}. {filler}" for n, maker in enumerate(makers)]
    lectern = build(Settings(data_dir=tmp_path / "data"), encoder=HashingEncoder(), reader=reader)
    lectern.jobs.start()
    try:
        add(lectern, text := "\n\n".join(paragraphs))
        question = "Who is the pump of plant 0 made by?"
        reply = lectern.answering.ask(T, AskRequest(question=question, alternatives=1))
        ((passage, *_),) = reader.again
        assert "made by Howell" in passage
        assert passage in text
        assert reply.answer in makers[1:], "what it says after that is what counts"
        assert len(reply.alternatives) == 1
        checked(lambda _: text, reply)
        alone = lectern.answering.ask(T, AskRequest(question=question, text=paragraphs[0][:200]))
        assert alone.answer == "Howell"
        assert len(reader.again) == 1, "a passage that was alone the first time is not read again"
        reader.share = 0.6
        assert lectern.answering.ask(T, AskRequest(question=question)).answer == "Howell"
        assert len(reader.again) == 1, "what is likelier than all else together would stay so"
    finally:
        lectern.close()


def test_a_document_deleted_between_search_and_citation_is_searched_again(lectern, monkeypatch):
    text, questions = strange_text(1)
    first, second = add(lectern, text), add(lectern, text.replace("\ufeff", ""))
    real, deleted = Finder.find, []

    def find(self, findings, query, **options):
        hits = real(self, findings, query, **options)
        if not deleted:
            deleted.append(hits[0].passage.document_id)
            lectern.store.delete_document(T, deleted[0])
        return hits

    monkeypatch.setattr(Finder, "find", find)
    reply = lectern.answering.ask(T, AskRequest(question=questions[0]))
    left = ({first, second} - set(deleted)).pop()
    assert {citation.document_id for citation in reply.citations} == {left}


def test_documents_that_change_again_and_again_are_a_conflict_not_a_wrong_citation(lectern, monkeypatch):
    text, questions = strange_text(2)
    add(lectern, text)

    def gone(*_, **__):
        raise NotFound("no text")

    monkeypatch.setattr(lectern.store, "parsed", gone)
    with pytest.raises(Conflict):
        lectern.answering.ask(T, AskRequest(question=questions[0]))


def test_a_stored_text_that_is_not_what_was_read_withholds_the_reply(lectern, monkeypatch):
    text, questions = strange_text(2)
    add(lectern, text)
    real = lectern.store.parsed

    def other(*arguments, **options):
        document, parsed = real(*arguments, **options)
        return document, type(parsed)(**{**vars(parsed), "text": "x" + parsed.text})

    monkeypatch.setattr(lectern.store, "parsed", other)
    with pytest.raises(CitationBroken):
        lectern.answering.ask(T, AskRequest(question=questions[0]))


def test_the_models_that_ship_answer_with_citations_that_hold(tmp_path, real_encoder, real_reader, data_sets):
    lectern = build(Settings(data_dir=tmp_path / "data"), encoder=real_encoder, reader=real_reader)
    lectern.jobs.start()
    held = right = 0
    sets = [("squad1.json", "\r\n\r\n"), ("xquad-zh.json", "\n")]
    for name, between in sets:
        article = json.loads((data_sets / "dev" / name).read_text(encoding="utf-8"))["data"][0]
        paragraphs = article["paragraphs"][:5]
        text = "😀" + between.join(paragraph["context"] for paragraph in paragraphs)
        document = add(lectern, text)
        for paragraph in paragraphs:
            for question in paragraph["qas"][:2]:
                ask = AskRequest(question=question["question"], documents=[document], alternatives=1)
                reply = lectern.answering.ask(T, ask)
                held += checked(lambda _, text=text: text, reply)
                best = reply.answer or (reply.alternatives[0].answer if reply.alternatives else "")
                right += any(answer["text"] in best or best in answer["text"] for answer in question["answers"] if best)
    lectern.close()
    assert held >= 20
    assert right >= 7
