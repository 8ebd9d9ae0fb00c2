"""Documents in: chosen, dropped and pasted; watched, listed, filtered, deleted; what went wrong is told in words."""

import pytest

from tests.retriever.pdfs import pdf
from tests.ui.texts import HARBOUR, long_text

# Keeps what is said of each document on its way, so that nothing depends on how fast a test looks.
WATCH = """() => {
    window.told = [];
    const arrivals = document.getElementById("arrivals");
    new MutationObserver(() => {
        for (const row of arrivals.children) {
            window.told.push([row.querySelector(".faint").textContent, row.querySelector("progress")?.value ?? null]);
        }
    }).observe(arrivals, { childList: true, subtree: true, characterData: true, attributes: true });
}"""
DROP = """async ([name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    const send = (type) => document.body.dispatchEvent(
        new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    send("dragenter");
    const curtain = !document.getElementById("curtain").hidden;
    send("dragover");
    send("drop");
    return [curtain, document.getElementById("curtain").hidden];
}"""


def file(name, content):
    return {"name": name, "mimeType": "", "buffer": content if isinstance(content, bytes) else content.encode()}


def choose(page, *files):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files…").click()
    chooser.value.set_files(list(files))


def test_a_chosen_file_is_watched_until_it_is_indexed_and_then_stands_in_the_list(open_page):
    page = open_page(collection="chosen")
    page.evaluate(WATCH)
    choose(page, file("long.md", long_text(520)))
    page.get_by_role("link", name="Chapter 1").wait_for()
    assert page.locator("#arrivals li").count() == 0
    assert "long.md is indexed." in page.locator("#told").inner_text()
    told = page.evaluate("window.told")
    steps = [part for text, part in told if text.startswith("being indexed: ")]
    assert steps
    assert steps == sorted(steps)
    assert any(text == "being sent" for text, _ in told)
    row = page.locator("#documents li")
    assert "Markdown" in row.inner_text()
    assert page.locator("#scope option:checked").inner_text() == "all of “chosen” (1 document)"


def test_files_are_dropped_anywhere_on_the_page(open_page):
    page = open_page(collection="dropped")
    assert page.evaluate(DROP, ["harbour.md", HARBOUR]) == [True, True]
    page.get_by_role("link", name="Harbour rules of Gull Point").wait_for()


def test_a_text_is_pasted_where_nothing_else_takes_it_and_gets_a_title(open_page):
    page = open_page(collection="pasted")
    page.get_by_text("Nothing is here yet").wait_for()
    page.evaluate(
        "text => { const data = new DataTransfer(); data.setData('text/plain', text);"
        " document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); }",
        HARBOUR,
    )
    dialog = page.get_by_role("dialog", name="Add a text")
    assert dialog.get_by_label("Text", exact=True).input_value() == HARBOUR
    dialog.get_by_label("Title").fill("From the clipboard 🐦")
    dialog.get_by_role("button", name="Add it").click()
    page.get_by_role("link", name="From the clipboard 🐦").wait_for()


def test_the_same_file_again_is_said_to_be_there_already(open_page, add):
    add(HARBOUR, name="same.md", collection="same")
    page = open_page(collection="same")
    choose(page, file("same.md", HARBOUR))
    page.get_by_text("same.md was there already.").wait_for()
    assert page.locator("#documents li").count() == 1


def test_a_file_that_cannot_be_read_is_told_in_a_sentence_and_leaves_nothing(open_page, service):
    page = open_page(collection="broken")
    choose(page, file("scan.pdf", pdf([[], []])), file("program.exe", b"MZ\x00\x01\x02" * 99))
    alerts = page.get_by_role("alert")
    alerts.nth(1).wait_for()
    for text in alerts.locator(".faint").all_inner_texts():
        assert text[0].isupper()
        assert len(text.split()) > 3
    page.get_by_role("button", name="Dismiss scan.pdf").click()
    assert alerts.count() == 1
    left = service.client.get("/documents", params={"limit": 1000}).json()["documents"]
    assert [each for each in left if each["status"] == "failed"] == []


def test_warnings_of_a_document_can_be_read(open_page):
    page = open_page(collection="warned")
    choose(page, file("half.pdf", pdf([["The mill stands at Stony Ford."], []])))
    page.get_by_text("1 warning").click()
    page.get_by_role("listitem").get_by_text("no text on page 2", exact=True).wait_for()
    assert "PDF · 2 pages" in page.locator("#documents > li").inner_text()


def test_a_collection_is_chosen_and_a_new_one_begun(open_page, add):
    add(HARBOUR, name="one.md", collection="first-one")
    page = open_page()
    page.get_by_label("Collection").select_option("first-one")
    page.get_by_role("link", name="Harbour rules of Gull Point").wait_for()
    page.get_by_label("Collection").select_option(label="a new one…")
    page.get_by_label("Its name").fill("no slash/")
    page.keyboard.press("Enter")
    page.get_by_text("A name has letters, digits").wait_for()
    page.get_by_label("Its name").fill("brand-new")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing is here yet").wait_for()
    assert "collection=brand-new" in page.url
    page.go_back()
    page.get_by_role("link", name="Harbour rules of Gull Point").wait_for()


def test_a_document_is_deleted_only_when_that_is_meant(open_page, add, service):
    document = add(HARBOUR, name="gone.md", collection="deleted")
    page = open_page(collection="deleted", doc=document["id"])
    page.locator("#text").get_by_text("Visiting boats").wait_for()
    delete = page.get_by_role("button", name="Delete Harbour rules of Gull Point")
    delete.click()
    page.get_by_role("button", name="Keep it").click()
    assert page.evaluate("document.activeElement.title") == "Delete"
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Nothing is here yet").wait_for()
    page.locator("#reader").wait_for(state="hidden")
    assert service.client.get(f"/documents/{document['id']}").status_code == 404


@pytest.mark.parametrize("status", [413, 502])
def test_a_refusal_of_a_gateway_is_told_too(open_page, status):
    page = open_page(collection="gateway", expected=[str(status)])
    page.route("**/documents?wait=0", lambda route: route.fulfill(status=status, body="<html>Bad</html>"))
    choose(page, file("a.txt", "The mill."))
    page.get_by_role("alert").get_by_text(f"answered with status {status}").wait_for()
