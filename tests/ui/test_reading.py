"""The open document: a window onto a long text, its place in the address, and its versions."""

import re
import textwrap

import pytest

from tests.ui.texts import HARBOUR, long_text

LONG = long_text(900)


@pytest.fixture(scope="module")
def long_document(add):
    return add(LONG, name="long.txt", collection="reading")


def place(document, text, quote):
    start = text.index(quote)
    return {"doc": document["id"], "start": start, "end": start + len(quote), "version": document["version"]}


def seen(page):
    """What is in the window: its text, with page breaks left out."""
    return page.locator("#text").evaluate("box => box.textContent")


def at_rest(page):
    """The window's text when no more of it is being read."""
    page.wait_for_load_state("networkidle")
    return seen(page)


def test_a_link_opens_a_place_far_into_a_long_text_and_little_of_the_text_is_on_the_page(open_page, long_document):
    quote = "paragraph 700 of the long text 🦜"
    page = open_page(collection="reading", **place(long_document, LONG, quote))
    mark = page.locator("#text mark.current")
    mark.wait_for()
    assert mark.text_content() == quote
    box, found = page.locator("#text").bounding_box(), mark.bounding_box()
    assert box["y"] <= found["y"] <= box["y"] + box["height"]
    shown = at_rest(page)
    assert shown in LONG
    assert len(shown) < 60_000 < len(LONG) / 5


def test_scrolling_reads_on_drops_what_is_far_and_what_is_seen_is_the_text_without_a_gap(open_page, long_document):
    page = open_page(collection="reading", **place(long_document, LONG, "paragraph 450 of"))
    page.locator("#text mark.current").wait_for()
    box = page.locator("#text")
    for step in (1, -1):
        for _ in range(20):
            box.evaluate("(box, step) => box.scrollBy(0, 2 * step * box.clientHeight)", step)
            page.evaluate("() => new Promise(requestAnimationFrame)")
            page.wait_for_load_state("networkidle")
        shown = at_rest(page)
        assert shown in LONG
        assert len(shown) < 45_000
        assert ("paragraph 450 of" in shown) == (step < 0)


def test_a_piece_that_comes_above_does_not_move_what_is_read(open_page, long_document):
    page = open_page(collection="reading", **place(long_document, LONG, "paragraph 450 of"))
    mark = page.locator("#text mark.current")
    mark.wait_for()
    at_rest(page)
    box = page.locator("#text")
    length = len(seen(page))
    where = mark.evaluate("mark => mark.getBoundingClientRect().top + document.getElementById('text').scrollTop")
    top = box.evaluate("box => { box.scrollTop = 40; return box.scrollTop; }")
    before = mark.evaluate("mark => mark.getBoundingClientRect().top")
    assert before == pytest.approx(where - top, abs=2)
    page.wait_for_function("length => document.getElementById('text').textContent.length > length + 3000", arg=length)
    assert mark.evaluate("mark => mark.getBoundingClientRect().top") == pytest.approx(before, abs=40)


def test_the_slider_and_the_contents_lead_anywhere(open_page, long_document):
    page = open_page(collection="reading", doc=long_document["id"])
    page.get_by_label("Place in the document").fill(str(LONG.index("paragraph 800 of")))
    page.get_by_text("paragraph 800 of").wait_for()
    page.locator("#position-shown", has_text=re.compile("8[89]%")).wait_for()


def test_the_slider_is_offered_once_the_length_of_the_document_is_known(open_page, long_document):
    page = open_page(collection="reading")
    held = []
    page.route("**/outline*", lambda route: held.append(route))
    with page.expect_request("**/outline*"):
        page.evaluate("id => { location.hash = `doc=${id}`; }", long_document["id"])
    slider = page.get_by_label("Place in the document")
    page.locator("#reader").wait_for()
    assert not slider.is_visible()
    held[0].continue_()
    slider.wait_for()
    assert int(slider.get_attribute("max")) == len(LONG)


def test_contents_are_the_headings(open_page, add):
    document = add(HARBOUR, name="rules.md", collection="contents")
    page = open_page(collection="contents", doc=document["id"])
    contents = page.get_by_label("Contents")
    contents.select_option(label="\u2003Fuel")
    page.wait_for_url(f"**start={HARBOUR.index('## Fuel')}*")
    assert page.locator("#reader-place").inner_text() == "Fuel"


def test_back_leads_to_the_place_before_and_out_of_the_document_again(open_page, add):
    document = add(HARBOUR, name="back.md", collection="back")
    page = open_page(collection="back")
    page.get_by_role("link", name="Harbour rules of Gull Point").click()
    page.locator("#text").get_by_text("Visiting boats").wait_for()
    for quote in ("three nights", "two blasts"):
        shown = place(document, HARBOUR, quote)
        page.evaluate("to => { location.hash = to; }", "&".join(f"{key}={value}" for key, value in shown.items()))
        page.locator("#text mark.current", has_text=quote).wait_for()
    page.go_back()
    page.locator("#text mark.current", has_text="three nights").wait_for()
    page.go_back()
    page.go_back()
    page.locator("#reader").wait_for(state="hidden")


def test_the_copied_link_opens_the_same_place_for_somebody_else(open_page, add):
    document = add(HARBOUR, name="copy.md", collection="copy")
    options = {"permissions": ["clipboard-read", "clipboard-write"]}
    page = open_page(options=options, doc=document["id"], start=96, end=108)
    page.locator("#text mark.current").wait_for()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The link is copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "version=sha256" in link
    other = open_page()
    other.goto(link)
    other.locator("#text mark.current").wait_for()
    assert other.locator("#text mark.current").text_content() == HARBOUR[96:108]


def test_while_a_document_is_fetched_its_controls_are_off(open_page, add):
    first, second = (add(f"# {name}\n\nA text.", name=f"{name}.md", collection="fetched") for name in ("One", "Two"))
    page = open_page(collection="fetched", doc=first["id"])
    held = []
    # A lambda, as Playwright looks at the signature, and a built-in method has none.
    page.route(f"**/documents/{second['id']}/outline", lambda route: held.append(route))
    copying = page.get_by_role("button", name="Copy link")
    page.locator("#copy-link:enabled").wait_for()
    with page.expect_request(f"**/documents/{second['id']}/outline"):
        page.evaluate("id => { location.hash = `collection=fetched&doc=${id}`; }", second["id"])
    assert copying.is_disabled()
    held[0].continue_()
    page.locator("#copy-link:enabled").wait_for()
    page.locator("#reader-title", has_text="Two").wait_for()


def test_where_copying_is_forbidden_the_link_is_in_the_address_bar(open_page, add):
    document = add(HARBOUR, name="forbidden.md", collection="forbidden")
    page = open_page(collection="forbidden", doc=document["id"])
    refusing = "() => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    page.evaluate(f"() => {{ navigator.clipboard.writeText = {refusing}; }}")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("The link is in the address bar.").wait_for()
    page.wait_for_url("**version=sha256*")


def test_an_old_version_is_shown_as_cited_and_leads_to_the_place_in_the_current_one(open_page, add, service):
    document = add(HARBOUR, name="old.md", collection="versions")
    changed = "A new preface 🐦.\n\n" + HARBOUR
    sent = {"files": {"file": ("old.md", changed.encode())}, "data": {"collection": "versions"}}
    assert service.client.put(f"/documents/{document['id']}?wait=60", **sent).status_code == 200
    page = open_page(collection="versions", **place(document, HARBOUR, "two blasts"))
    notice = page.locator("#reader-notice")
    notice.get_by_text("This is an older version.").wait_for()
    assert page.locator("#text mark.current").text_content() == "two blasts"
    notice.get_by_role("link", name="Show this place in the current one").click()
    page.get_by_text("A new preface").wait_for()
    assert page.locator("#text mark.current").text_content() == "two blasts"
    assert f"start={changed.index('two blasts')}" in page.url
    assert notice.is_hidden()


def test_a_document_that_is_gone_is_said_to_be_gone(open_page):
    page = open_page(doc="absent", start=3, end=9, expected=["404"])
    page.get_by_text("There is no such document.").wait_for()
    page.keyboard.press("Escape")
    page.locator("#reader").wait_for(state="hidden")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_that_a_file_was_wrapped_at_flow_on_and_the_text_is_the_same(open_page, add, end):
    prose = "\n".join(textwrap.wrap("It was the whiteness of the whale that above all things appalled me. " * 20, 60))
    verse = "\n".join(["Thou fillest from the winged chalice", "The soul with every joy", "And thirsts"])
    text = f"{prose}\n\n{verse}\n".replace("\n", end)
    document = add(text, name="wrapped.txt", collection=f"flow{len(end)}")
    page = open_page(doc=document["id"])
    page.locator("#text .piece").wait_for()
    assert seen(page) == text
    assert page.locator("#text .soft").count() == prose.count("\n")
    lines = page.locator("#text .piece").evaluate(
        "piece => { const range = document.createRange(); range.selectNodeContents(piece);"
        " return new Set([...range.getClientRects()].map((each) => Math.round(each.bottom))).size; }"
    )
    assert 5 < lines < text.count("\n") - 2
    gaps = page.locator("#text .soft").evaluate_all(
        "all => all.map((each) => each.getBoundingClientRect().width).filter((each) => each > 9)"
    )
    assert gaps == []
