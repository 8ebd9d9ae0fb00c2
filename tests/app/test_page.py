"""The page's files as they are sent: what may run in it, how long they are kept, and that none is from elsewhere."""

import re

import pytest

from app.page import load_page
from tests.app.served import ROOT
from tests.app.test_documents_api import assert_problem

UI = ROOT / "app" / "ui"
FILES = sorted(path.name for path in UI.iterdir() if path.name != "index.html")


def test_the_page_may_run_its_own_files_alone_and_stand_in_no_frame(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(each.partition(" ")[::2] for each in page.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_kept_for_ever_under_its_release_and_never_guessed_at(client, name):
    reply = client.get(f"/ui/{load_page().release}/{name}")
    assert reply.content == (UI / name).read_bytes()
    assert reply.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    assert "immutable" in reply.headers["cache-control"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"/ui/{load_page().release}/{name}", headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_itself_is_asked_for_anew_and_sent_only_if_it_has_changed(client):
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"If-None-Match": f'"other", W/{page.headers["etag"]}'}).status_code == 304
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["ui/0123456789abcdef/main.js", "ui/{release}/index.html", "ui/{release}/..%2fpage.py", "ui/{release}/none.js"],
)
def test_nothing_else_is_served_there(client, path):
    assert_problem(client.get("/" + path.format(release=load_page().release)), 404, "not_found")


def test_every_file_that_is_named_is_there_and_every_file_that_is_there_is_named():
    page = (UI / "index.html").read_text()
    named = set(re.findall(r'"ui/([\w.]+)"', page))
    for name in FILES:
        named |= set(re.findall(r'from "\./([\w.]+)"', (UI / name).read_text()))
    assert named == set(FILES)


@pytest.mark.parametrize("name", ["index.html", *FILES])
def test_no_file_makes_markup_of_strings_styles_inline_or_names_another_host(name):
    text = (UI / name).read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|\bstyle=|\bon\w+=\""
    )
    assert not re.search(forbidden, text)
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_an_outline_has_the_sections_and_pages_of_any_version(client):
    text = "Preface 🐦\n\n# One\n\nFirst.\n\n## Two\n\nSecond."
    made = client.post("/documents", json={"text": text, "media_type": "text/markdown"}).json()
    outline = client.get(f"/documents/{made['id']}/outline")
    assert outline.headers["etag"] == f'"{made["version"]}"'
    body = outline.json()
    assert (body["version"], body["characters"], body["pages"]) == (made["version"], len(text), [])
    assert [(each["title"], each["depth"], text[each["start"] : each["end"]]) for each in body["sections"]] == [
        (None, 0, "Preface 🐦\n\n"),
        ("One", 1, "# One\n\nFirst.\n\n"),
        ("Two", 2, "## Two\n\nSecond."),
    ]
    client.put(f"/documents/{made['id']}", json={"text": "Other."})
    assert client.get(f"/documents/{made['id']}/outline").json()["characters"] == 6
    assert client.get(f"/documents/{made['id']}/outline", params={"version": made["version"]}).json() == body
    assert_problem(client.get(f"/documents/{made['id']}/outline?version=sha256:0"), 404, "not_found")
