"""Summaries and searches on the page: sentences with their places, the coverage strip, passages with their ranks."""

import re

import pytest

from tests.ui.texts import HARBOUR, long_text

LONG = "The preface says 🐦 little.\n\n" + long_text(120)


def summarize(page, sentences):
    page.get_by_label("Length").select_option("sentences")
    page.get_by_label("How many").fill(str(sentences))
    page.get_by_role("button", name="Summarize", exact=True).click()
    page.locator("#summary .strip").wait_for()


@pytest.fixture(scope="module")
def document(add):
    return add(LONG, name="long.md", collection="summary")


def test_each_sentence_and_each_tick_of_the_strip_leads_to_its_place(open_page, document):
    page = open_page(collection="summary", view="summarize")
    summarize(page, 5)
    sentences, ticks = page.locator("#summary .sentence"), page.locator("#summary .tick")
    assert sentences.count() == ticks.count() == 5
    assert re.match(
        rf"5 sentences, from all {len(LONG):,} characters, in ", page.locator("#summary-state").inner_text()
    )
    for link, index in ((sentences, 1), (ticks, 4)):
        text = sentences.nth(index).inner_text()
        link.nth(index).click()
        page.wait_for_function(
            "text => document.querySelector('#text mark.current')?.textContent.replace(/\\s+/g, ' ').trim() === text",
            arg=text,
        )
        start = int(re.search(r"start=(\d+)", page.url).group(1))
        where = ticks.nth(index).evaluate("tick => parseFloat(tick.style.insetBlockStart)")
        assert where == pytest.approx(100 * start / len(LONG), abs=0.01)
    assert page.locator("#text mark.also").count() + page.locator("#text mark.current").count() >= 1


def test_the_strip_shows_the_sections_and_a_list_has_them_for_those_who_do_not_see_it(open_page, document):
    page = open_page(collection="summary", view="summarize")
    summarize(page, 3)
    assert page.locator("#summary .band").count() == 13
    page.get_by_text(re.compile(r"From \d+ of 13 sections")).click()
    entry = page.locator("#summary details a").first
    title = entry.inner_text()
    entry.click()
    page.locator("#text .piece").first.wait_for()
    assert page.locator("#reader-place").inner_text() in (title, "")


def test_a_sentence_and_its_tick_show_each_other(open_page, document):
    page = open_page(collection="summary", view="summarize")
    summarize(page, 4)
    page.locator("#summary .sentence").nth(2).focus()
    assert page.locator("#summary .tick.lit").get_attribute("data-sentence") == "2"
    page.locator("#summary .tick").last.hover()  # the last lies on top, however near the others are
    assert page.locator('#summary .sentence[data-sentence="3"].lit').count() == 1


@pytest.mark.parametrize(("form", "shape"), [("a list", "ul li .sentence"), ("one part a chapter", "h3 + p .sentence")])
def test_a_summary_comes_in_the_form_that_is_asked_for(open_page, add, form, shape):
    collection = shape.split()[0]
    add(HARBOUR, name="form.md", collection=collection)
    page = open_page(collection=collection, view="summarize")
    page.get_by_label("As", exact=True).select_option(label=form)
    summarize(page, 3)
    assert page.locator(f"#summary .sentences {shape}").count() == 3


def test_progress_is_shown_while_it_reads_and_sentences_as_they_come(open_page, document):
    page = open_page(collection="summary", view="summarize")
    page.evaluate(
        "() => { window.seen = []; const bar = document.getElementById('summary-progress');"
        " new MutationObserver(() => window.seen.push([bar.hidden, bar.value, bar.max,"
        " document.querySelectorAll('#summary .sentence').length, !!document.querySelector('.strip')]))"
        " .observe(document.getElementById('summarize'), { childList: true, subtree: true, attributes: true }); }"
    )
    summarize(page, 6)
    page.locator("#summary-progress").wait_for(state="hidden")
    seen = page.evaluate("window.seen")
    assert any(not hidden and 0 < value <= most for hidden, value, most, _, _ in seen if most > 1)
    assert any(count > 0 and not strip for _, _, _, count, strip in seen)


def test_a_summary_that_takes_the_place_of_one_under_way_is_not_called_stopped(open_page, document):
    page = open_page(collection="summary", view="summarize")
    page.evaluate(
        "() => { window.said = []; const state = document.getElementById('summary-state');"
        " new MutationObserver(() => window.said.push(state.textContent)).observe(state, { childList: true }); }"
    )
    page.route("**/summarize", lambda route: None, times=1)  # the first one gets no reply
    button = page.get_by_role("button", name="Summarize", exact=True)
    with page.expect_request("**/summarize"):
        button.click()
    summarize(page, 2)
    assert "Stopped." not in page.evaluate("window.said")


def test_an_open_document_alone_is_summarized_and_asked(open_page, add, document):
    add(HARBOUR, name="other.md", collection="summary")
    page = open_page(collection="summary", doc=document["id"])
    page.get_by_role("button", name="Summarize it").click()
    assert page.locator("#scope option:checked").inner_text().startswith("the open document: ")
    assert page.evaluate("document.activeElement.id") == "length"
    summarize(page, 2)
    assert f"from all {len(LONG):,} characters" in page.locator("#summary-state").inner_text()


def test_an_empty_collection_has_nothing_to_summarize(open_page):
    page = open_page(view="summarize")
    summarize(page, 2)
    assert page.locator("#summary-state").inner_text() == "There is nothing to summarize."


def test_who_asks_before_the_list_is_there_asks_the_collection_that_the_address_names(open_page, add):
    add(HARBOUR, name="quick.md", collection="quick")
    page = open_page()
    page.route("**/collections*", lambda route: None)  # no list comes
    page.evaluate("() => { location.hash = 'collection=quick&view=search'; }")
    page.get_by_label("Words, or what it is about").fill("rent")
    with page.expect_request("**/search") as sent:
        page.keyboard.press("Enter")
    assert sent.value.post_data_json["collection"] == "quick"
    assert page.locator("#scope option:checked").inner_text().startswith("all of “quick”")


def test_a_search_shows_passages_with_their_score_and_rank_by_words_and_by_meaning(open_page, add):
    add("The mill stands at Stony Ford. The rent of the mill is silver.", name="mill.txt", collection="search")
    add(HARBOUR, name="harbour.md", collection="search")
    page = open_page(collection="search", view="search")
    page.get_by_label("Words, or what it is about").fill("rent of the mill")
    page.keyboard.press("Enter")
    first = page.locator("#hits .card").first
    scores = first.locator(".scores").inner_text()
    assert re.search(r"score \d\.\d{3}", scores)
    assert "words #1" in scores
    assert "meaning #1" in scores
    page.get_by_label("By", exact=True).select_option("sparse")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("meaning –").first.wait_for()
    first.click()
    page.locator("#text mark.current", has_text="The mill stands at Stony Ford.").wait_for()
