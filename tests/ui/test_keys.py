"""A service with keys: the page asks for one, sends it, keeps it in the tab, and forgets it."""

import time
from contextlib import closing

import pytest

from retriever.store import Store
from tests.app.callers import new_key
from tests.app.served import Server
from tests.ui.texts import HARBOUR


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A service with keys: (server, a key that may write, a key that may only read)."""
    data = tmp_path_factory.mktemp("guarded")
    with closing(Store(f"sqlite:///{data / 'lectern.sqlite3'}")) as store:
        keys = new_key(store), new_key(store, scopes="read")
    server = Server(data)
    yield server, *keys
    server.stop()


def give(page, key):
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Go on").click()


def test_a_key_is_asked_for_sent_with_everything_kept_in_the_tab_and_forgotten(open_page, guarded):
    server, key, _ = guarded
    page = open_page(url=server.url, expected=["401"])
    dialog = page.get_by_role("dialog", name="A key, please")
    dialog.wait_for()
    give(page, "lk_wrong_key")
    page.get_by_text("This key does not work: it is wrong, revoked or expired.").wait_for()
    give(page, f" {key} ")
    dialog.wait_for(state="hidden")
    page.get_by_text("Nothing is here yet").wait_for()
    page.locator("#files").set_input_files({"name": "h.md", "mimeType": "text/markdown", "buffer": HARBOUR.encode()})
    page.get_by_role("link", name="Harbour rules of Gull Point").click()
    page.locator("#text").get_by_text("Visiting boats").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "h.md"
    assert download.value.path().read_text() == HARBOUR
    page.reload()
    page.locator("#text").get_by_text("Visiting boats").wait_for()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]
    assert key not in page.url
    assert key not in page.content()
    page.get_by_role("button", name="Forget the key").click()
    dialog.wait_for()
    assert page.evaluate("sessionStorage.length") == 0


def test_without_a_key_the_page_says_so_and_asks_again_when_told_to(open_page, guarded):
    server, key, _ = guarded
    page = open_page(url=server.url, expected=["401"])
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.locator("#shelf-state").get_by_text("This service asks for a key.").wait_for()
    page.get_by_role("button", name="Try again").click()
    give(page, key)
    page.locator("#documents, #shelf-state:not(:empty)").first.wait_for()
    page.get_by_role("button", name="Forget the key").wait_for()


def test_a_key_that_may_only_read_is_told_what_it_lacks(open_page, guarded):
    server, key, reading = guarded
    text = {"text": f"The mill stands at Stony Ford. {time.time()}"}
    assert server.client.post("/documents", json=text, headers={"Authorization": f"Bearer {key}"}).status_code == 201
    page = open_page(url=server.url, expected=["401", "403"])
    give(page, reading)
    page.locator("#documents li").first.wait_for()
    page.locator("#files").set_input_files({"name": "h.md", "mimeType": "text/markdown", "buffer": HARBOUR.encode()})
    page.get_by_text("This needs a key with the scope 'write'.").wait_for()
