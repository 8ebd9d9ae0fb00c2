"""Asking on the page: the answer, how sure it is, and its place in the document."""

import re

import pytest

from tests.ui.conftest import added
from tests.ui.texts import EMOJI, HARBOUR


@pytest.fixture
def add(shipped):
    return lambda text, **where: added(shipped, text, **where)


@pytest.fixture
def open_page(open_page, shipped):
    return lambda **shown: open_page(url=shipped.url, **shown)


def ask(page, question):
    before = page.locator("#answers > li").count()
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    page.locator(f"#answers:has(> li:nth-child({before + 1}))").wait_for()
    answer = page.locator("#answers > li").first
    assert answer.locator("h3").inner_text() == question
    return answer


def test_an_answer_comes_with_its_confidence_in_words_and_number_and_its_sentence(open_page, add):
    add(HARBOUR, name="harbour.md", collection="asking")
    page = open_page(collection="asking")
    answer = ask(page, "How long may a visiting boat stay?")
    assert answer.locator(".answer").inner_text() == "three nights"
    assert re.fullmatch(r"\d+% sure · [a-z ]+", answer.locator(".confidence").inner_text().strip())
    card = answer.locator(".citations a").first
    assert card.locator("mark").inner_text() == "three nights"
    assert "Harbour rules of Gull Point · Berths" in card.inner_text()
    assert re.fullmatch(r"Answered, \d+% sure\.", page.locator("#ask-state").text_content())


def test_what_the_documents_do_not_say_is_said_plainly(open_page, add):
    add(HARBOUR, name="harbour.md", collection="none")
    page = open_page(collection="none")
    answer = ask(page, "Who is the harbour master?")
    assert answer.locator(".answer").inner_text() == "The documents don’t say."
    assert re.fullmatch(r"\d+% sure that they don’t", answer.locator(".confidence").inner_text().strip())
    assert "The documents don’t say" in page.locator("#ask-state").text_content()


def test_the_mark_in_the_document_is_the_quote_also_after_emoji_and_chinese(open_page, add):
    document = add(EMOJI, name="harbour.md", collection="emoji")
    page = open_page(collection="emoji")
    answer = ask(page, "How long may a visiting boat stay?")
    answer.locator(".citations a").first.click()
    mark = page.locator("#text mark.current")
    mark.wait_for()
    assert mark.text_content() == "three nights"
    before = mark.evaluate(
        "mark => { const range = document.createRange(); range.setStart(document.getElementById('text'), 0);"
        " range.setEndBefore(mark); return range.toString(); }"
    )
    assert before == EMOJI[: EMOJI.index("three nights")]
    start = EMOJI.index("three nights")
    assert f"start={start}&end={start + 12}" in page.url
    assert document["id"] in page.url
    assert f"characters {start} to {start + 12}" in page.locator("#reader-place").inner_text()
    assert page.evaluate("document.activeElement.textContent") == "three nights"


def test_the_ticked_documents_alone_are_asked(open_page, add):
    add(HARBOUR, name="harbour.md", collection="ticked")
    add("The mill stands at Stony Ford. Its rent is silver.", name="mill.txt", collection="ticked")
    page = open_page(collection="ticked")
    page.get_by_label("Ask mill").check()
    assert page.locator("#scope option:checked").inner_text() == "the 1 ticked document"
    assert ask(page, "How long may a visiting boat stay?").locator(".answer").inner_text() != "three nights"
    page.get_by_label("Ask mill").uncheck()
    assert "all of “ticked” (2 documents)" in page.locator("#scope option:checked").inner_text()
    assert ask(page, "How long may a visiting boat stay?").locator(".answer").inner_text() == "three nights"


def test_a_collection_without_documents_answers_that_it_does_not_know(open_page):
    page = open_page()
    page.get_by_text("Nothing is here yet").wait_for()
    answer = ask(page, "How long may a visiting boat stay?")
    assert answer.locator(".answer").inner_text() == "The documents don’t say."


def test_a_service_that_is_gone_is_told_in_a_sentence(open_page):
    page = open_page(expected=["ERR_FAILED"])
    page.route("**/ask", lambda route: route.abort())
    page.get_by_label("Your question").fill("Why?")
    page.keyboard.press("Enter")
    page.get_by_text("The service cannot be reached.").wait_for()
