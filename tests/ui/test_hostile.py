"""Documents that want to be more than text: nothing of them runs, and nobody else is asked for anything."""

import pytest

from tests.ui.test_asking import ask

TITLE = "<img src=x onerror=hacked()><script>hacked()</script>"
HOSTILE = """# <img src="https://evil.example/a.png" onerror="hacked()">

<script>hacked()</script><svg onload="hacked()"><a xlink:href="javascript:hacked()">x</a></svg>
</div></mark></section></main></body></html>
<iframe srcdoc="<script>parent.hacked()</script>"></iframe>
<style>@import "https://evil.example/b.css"; body { display: none }</style>
<link rel="stylesheet" href="//evil.example/c.css"><meta http-equiv="refresh" content="0;url=https://evil.example/">
[a link](javascript:hacked()) ![a picture](https://evil.example/d.png) <https://evil.example/e>

## <b onmouseover="hacked()">Rent</b> {{constructor.constructor('hacked()')()}} ${hacked()}

The yearly rent of the mill is <img src=https://evil.example/f.png onerror=hacked()> silver and barley.
"""


@pytest.fixture(scope="module")
def document(service, add):
    made = add(HOSTILE, name="hostile.md", collection="hostile")
    assert service.client.patch(f"/documents/{made['id']}", json={"title": TITLE}).status_code == 200
    return made


def test_a_document_full_of_markup_script_and_links_runs_nothing_wherever_it_is_shown(open_page, document):
    page = open_page(collection="hostile")
    page.evaluate(
        "() => { window.hacked = () => { window.wasHacked = true; };"
        " document.addEventListener('securitypolicyviolation', (event) => { window.violated = event.blockedURI; }); }"
    )
    answer = ask(page, "What is the yearly rent of the mill?")
    assert "<img" in answer.locator(".citations").inner_text()
    answer.locator(".citations a").first.click()
    page.locator("#text mark.current").wait_for()
    assert page.locator("#text").evaluate("box => box.textContent") == HOSTILE
    assert page.locator("#reader-title").inner_text() == TITLE
    page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Words, or what it is about").fill("yearly rent")
    page.keyboard.press("Enter")
    page.locator("#hits .card").first.wait_for()
    page.get_by_role("link", name="Summarize", exact=True).click()
    page.get_by_role("button", name="Summarize", exact=True).click()
    page.locator("#summary .sentence").first.wait_for()
    page.locator("#summary .strip").wait_for()
    page.get_by_role("button", name=f"Delete {TITLE}").click()
    assert page.locator("#delete-name").inner_text() == TITLE
    page.keyboard.press("Escape")
    made_of_text = "img, iframe, script:not([src]), style, meta[http-equiv], [onerror], [onmouseover], #text a"
    assert page.locator(made_of_text).count() == 0
    assert page.evaluate("[window.wasHacked, window.violated, location.pathname]") == [None, None, "/"]


def test_the_browser_itself_refuses_markup_made_of_strings_and_inline_script(open_page):
    page = open_page(expected=["Content Security Policy", "TrustedHTML", "Trusted"])
    refused = page.evaluate(
        "() => { try { document.body.insertAdjacentHTML('beforeend', '<i>x</i>'); return false; }"
        " catch (error) { return error instanceof TypeError; } }"
    )
    assert refused
    page.evaluate(
        "() => { const script = document.createElement('script');"
        " script.append('window.wasHacked = true'); document.body.append(script); }"
    )
    assert page.evaluate("window.wasHacked") is None
