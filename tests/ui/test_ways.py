"""Ways to use the page: by keyboard alone, by ear, on a narrow screen, in the dark, and behind a gateway's prefix."""

import re
from collections.abc import Iterator

import pytest

from tests.deploy.test_gateway import NGINX, Gateway
from tests.ui.conftest import PREFIX
from tests.ui.test_adding import choose, file
from tests.ui.texts import HARBOUR

NARROW = {"width": 320, "height": 640}

# Every control with its name, as assistive technology is told it.
NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, select, textarea, summary, [role], dialog")]
    .filter((each) => each.checkVisibility() && !each.closest("[aria-hidden=true]"))
    .filter((each) => !(each.getAttribute("aria-label") || each.getAttribute("aria-labelledby")
        || each.labels?.length || each.textContent.trim()))
    .map((each) => each.outerHTML)"""

# The contrast of every text with what is behind it, as WCAG counts it; those under 4.5.
FAINT = """() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const color = parse(getComputedStyle(each).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility()
        && !each.disabled && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return texts.filter((each) => {
        const [a, b] = [light(parse(getComputedStyle(each).color)), light(behind(each))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5;
    }).map((each) => each.outerHTML.slice(0, 200));
}"""


@pytest.fixture(scope="module")
def document(add):
    return add(HARBOUR, name="ways.md", collection="ways")


def active(page):
    return page.evaluate("[document.activeElement.id, document.activeElement.textContent.trim().slice(0, 40)]")


def tab_to(page, found):
    """Press Tab until something is focused; how often."""
    for presses in range(1, 60):
        page.keyboard.press("Tab")
        if page.evaluate(found):
            return presses
    raise AssertionError(f"Tab does not lead to {found}")


def ask(page):
    page.keyboard.type("What is the fee for boats up to ten metres?")
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()


def test_everything_is_done_by_keyboard_and_escape_leads_back(open_page, document):
    page = open_page(collection="ways")
    page.locator("#documents li").wait_for()
    page.keyboard.press("Tab")
    assert active(page)[1] == "Skip to the question"
    page.keyboard.press("Enter")
    assert active(page)[0] == "question"
    ask(page)
    tab_to(page, "document.activeElement.matches('.citations a')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.locator("#text mark.current").wait_for()
    page.wait_for_function("document.activeElement.matches('mark.current')")
    page.keyboard.press("Escape")
    page.locator("#reader").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.matches('.citations a')")
    page.keyboard.press("Shift+Tab")
    page.go_back()
    page.locator("#text mark.current").wait_for()


def test_tab_goes_round_the_whole_page_and_is_held_only_by_a_dialog(open_page, document):
    page = open_page(collection="ways", doc=document["id"])
    page.locator("#text .piece").wait_for()
    page.locator("#documents li").wait_for()
    tab_to(page, "document.activeElement.id === 'collection'")
    tab_to(page, "document.activeElement.title === 'Delete'")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.title === 'Delete'")
    assert page.locator("#documents li").count() == 1
    tab_to(page, "document.activeElement.id === 'text'")
    tab_to(page, "document.activeElement.id === 'collection'")


def test_every_control_has_a_name_and_the_page_its_landmarks(open_page, document):
    page = open_page(collection="ways", doc=document["id"], start=96, end=108)
    page.locator("#text mark.current").wait_for()
    page.get_by_label("Your question").focus()
    ask(page)
    for view in ("Summarize", "Search", "Ask"):
        page.get_by_role("link", name=view, exact=True).click()
        assert page.evaluate(NAMELESS) == []
    tree = page.locator("body").aria_snapshot()
    assert re.search(r"^- banner", tree, flags=re.MULTILINE)
    for part in (
        'heading "Lectern" [level=1]',
        'complementary "Documents"',
        "main",
        'navigation "What to do"',
        'region "Harbour rules of Gull Point"',
        'region "Text of the document"',
        'textbox "Your question"',
        'combobox "Collection"',
        'list "Answers, newest first"',
    ):
        assert part in tree, part
    assert page.locator('[role="status"]').count() == 4
    assert "Answered" in page.locator("#ask-state").text_content()
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((each) => +each.tagName[1])")
    assert levels.count(1) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_in_the_light_and_in_the_dark(open_page, document, scheme):
    page = open_page(collection="ways", doc=document["id"], start=96, end=108, options={"color_scheme": scheme})
    page.locator("#text mark.current").wait_for()
    page.get_by_label("Your question").focus()
    ask(page)
    assert page.evaluate(FAINT) == []
    back = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(back) < 200) == (scheme == "dark")
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Words, or what it is about").fill("boats")
    page.keyboard.press("Enter")
    page.locator("#hits .card").first.wait_for()
    assert page.evaluate(FAINT) == []


def test_on_a_narrow_screen_nothing_is_cut_off_and_the_document_covers_the_rest(open_page, document):
    page = open_page(collection="ways", **NARROW)
    page.get_by_label("Your question").focus()
    ask(page)

    def cut_off():
        return page.evaluate(
            "[...document.querySelectorAll('body *')].filter((each) => each.checkVisibility()"
            " && each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.hidden, .skip'))"
            ".map((each) => each.outerHTML.slice(0, 100))"
        )

    assert cut_off() == []
    toggle = page.get_by_role("button", name="Documents")
    assert page.get_by_role("link", name="Harbour rules of Gull Point", exact=True).count() == 0
    toggle.click()
    assert toggle.get_attribute("aria-expanded") == "true"
    page.locator("#documents a").wait_for()
    assert cut_off() == []
    page.locator(".citations a").first.click()
    page.locator("#text mark.current").wait_for()
    assert cut_off() == []
    reader = page.locator("#reader").bounding_box()
    assert (reader["x"], reader["y"], reader["width"], reader["height"]) == (0, 0, 320, 640)
    for _ in range(12):  # round once: what is covered has no place in it
        page.keyboard.press("Tab")
        assert page.evaluate(
            "[document.body, null].includes(document.activeElement)"
            " || !!document.activeElement.closest('#reader, [data-focus=text]')"
        )
    page.get_by_role("button", name="Close the document").click()
    page.locator("#reader").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.matches('.citations a')")


def test_an_empty_service_on_a_narrow_screen_begins_with_the_place_for_documents(open_page):
    page = open_page(**NARROW)
    page.get_by_text("Nothing is here yet").wait_for()
    assert page.get_by_role("button", name="Choose files…").is_visible()


def test_nothing_moves_for_those_who_do_not_want_it(open_page):
    moving = (
        "() => [...document.querySelectorAll('*')].filter((each) => getComputedStyle(each).animationName !== 'none'"
        " || parseFloat(getComputedStyle(each).transitionDuration) > 0).length"
    )
    assert open_page(options={"reduced_motion": "reduce"}).evaluate(moving) == 0
    assert open_page(options={"reduced_motion": "no-preference"}).evaluate(moving) > 0


@pytest.fixture(scope="module")
def prefixed(service, tmp_path_factory) -> Iterator[str]:
    """The address of the service under a prefix, as a gateway in front of it has it."""
    if NGINX is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), service.url.removeprefix("http://"), prefix=PREFIX)
    yield f"http://127.0.0.1:{gateway.port}{PREFIX}"
    gateway.close()


def test_the_page_works_under_a_gateway_s_prefix(open_page, prefixed):
    page = open_page(url=prefixed, collection="prefixed")
    choose(page, file("harbour.md", HARBOUR))
    page.get_by_role("link", name="Harbour rules of Gull Point").click()
    page.locator("#text").get_by_text("Visiting boats").wait_for()
    page.get_by_label("Your question").focus()
    ask(page)
    page.locator(".citations a").first.click()
    page.locator("#text mark.current").wait_for()
    assert page.url.startswith(f"{prefixed}/#")


def test_the_page_is_found_without_the_last_slash_of_its_prefix_too(open_page, prefixed):
    page = open_page(url=prefixed)
    page.goto(prefixed)
    page.get_by_role("heading", name="Documents").wait_for()
    assert page.url.rstrip("#") == f"{prefixed}/"
