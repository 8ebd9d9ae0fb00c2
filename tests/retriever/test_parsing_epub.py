"""EPUB: the order of reading, the book's own contents as sections, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.errors import LimitExceeded, NoText, UnreadableFile, UnsupportedFormat
from retriever.parsing import Limits, parse
from tests.retriever.epubs import epub, nav, ncx, page

ONE = page('<h1>Chapter <i>One</i></h1><p>It was a dark night.</p><span epub:type="pagebreak" id="p2">2</span>')
TWO = page('<section><h2 id="start">II</h2><p>It rained.<a id="x"/> It &amp; more.</p></section><script src="a.js"/>')
PART = page('<div id="part"><p>Part the First</p></div>')
CONTENTS = nav(
    '<li><a href="part.xhtml">Part the First</a><ol><li><a href="one.xhtml">Chapter One</a></li>'
    '<li><a href="sub/two%20b.xhtml#start">The Rain</a></li></ol></li>'
)
CHAPTERS = {"part.xhtml": PART, "one.xhtml": ONE, "sub/two b.xhtml": TWO}
READ = "Part the First\n\nChapter One\n\nIt was a dark night.\n\nII\n\nIt rained. It & more."


def book(chapters=CHAPTERS, **options):
    return parse(epub(chapters, **options), filename="book.epub")


def test_a_book_reads_in_the_order_of_its_spine_with_its_contents_as_sections():
    document = book(contents=CONTENTS)
    assert document.text == READ
    assert document.title == "The Book"
    assert document.media_type == "application/epub+zip"
    assert [section.path for section in document.sections] == [
        ("Part the First", "Chapter One"),
        ("Part the First", "The Rain"),
    ]
    assert READ[document.sections[1].start :].startswith("II\n\nIt rained")
    assert document.warnings == ()
    turned = book(contents=CONTENTS, spine=["sub/two b.xhtml", "one.xhtml", "part.xhtml"])
    assert turned.text.startswith("II\n\nIt rained. It & more.\n\nChapter One")


def test_a_book_is_known_without_a_name_and_by_its_media_type():
    assert parse(epub(CHAPTERS)).text == READ
    assert parse(epub(CHAPTERS), media_type="application/epub+zip").text == READ


def test_the_contents_of_an_older_book_are_read_too():
    points = (
        '<navPoint id="a"><navLabel><text>Part the First</text></navLabel><content src="part.xhtml"/>'
        '<navPoint id="b"><navLabel><text>Chapter  One</text></navLabel><content src="one.xhtml"/></navPoint>'
        '<navPoint id="c"><navLabel><text>The Rain</text></navLabel><content src="sub/two%20b.xhtml#start"/></navPoint>'
        "</navPoint>"
    )
    document = book(contents=ncx(points))
    assert [section.path[-1] for section in document.sections] == ["Chapter One", "The Rain"]
    assert document.text == READ


def test_without_contents_the_headings_of_the_chapters_are_sections():
    document = book({"one.xhtml": ONE, "two.xhtml": TWO}, title=None)
    assert [section.path for section in document.sections] == [("Chapter One",), ("Chapter One", "II")]
    assert document.title == "Chapter One"


def test_contents_that_are_broken_or_point_nowhere_cost_no_text():
    document = book(contents=nav('<li><a href="gone.xhtml">Gone</a></li><li><a href="one.xhtml#gone">One</a></li>'))
    assert document.text == READ
    named = book(contents=nav('<li><a href="one.xhtml">One&nbsp;&hellip;</a></li><li><a href="part.xhtml">P</a></li>'))
    assert ("One …",) in [section.path for section in named.sections]
    broken = book(contents=nav("<li><b></li>"))
    assert broken.text == READ
    assert "table of contents is broken" in broken.warnings[0]
    assert [section.path[-1] for section in broken.sections if section.path] == ["Chapter One", "II"]


def test_two_entries_for_one_place_make_one_section():
    entries = '<li><a href="one.xhtml">One</a></li><li><a href="one.xhtml">Again</a></li>'
    document = book({"one.xhtml": ONE}, contents=nav(entries))
    assert [section.path for section in document.sections] == [("Again",)]


def test_a_chapter_that_is_missing_is_a_warning_and_the_rest_is_read():
    data = epub(CHAPTERS).replace(b"OEBPS/one.xhtml", b"OEBPS/was.xhtml")
    document = parse(data, filename="book.epub")
    assert document.text.startswith("Part the First\n\nII")
    assert document.warnings == ("the book lacks 1 of its chapters' files",)


LOCK = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:e="http://www.w3.org/2001/04/xmlenc#">'
    '<e:EncryptedData><e:EncryptionMethod Algorithm="{}"/><e:CipherData><e:CipherReference URI="OEBPS/{}"/>'
    "</e:CipherData></e:EncryptedData></encryption>"
)


def test_a_book_that_is_locked_is_unreadable_but_hidden_fonts_lock_nothing():
    drm = LOCK.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "one.xhtml")
    with pytest.raises(UnreadableFile, match="DRM"):
        book(more={"META-INF/encryption.xml": drm})
    fonts = LOCK.format("http://www.idpf.org/2008/embedding", "font.otf")
    assert book(more={"META-INF/encryption.xml": fonts}).text == READ


ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"META-INF/container.xml": f"{ENTITIES}<x>&b;</x>"}, LimitExceeded, "entities"),
        ({"OEBPS/book.opf": f"{ENTITIES}<package>&b;</package>"}, LimitExceeded, "entities"),
        ({"OEBPS/nav.xhtml": f"{ENTITIES}<html>&b;</html>"}, LimitExceeded, "entities"),
        ({"META-INF/container.xml": "<x/>"}, UnreadableFile, "package document"),
        ({"OEBPS/book.opf": "<package"}, UnreadableFile, "broken XML"),
        ({"OEBPS/one.xhtml": page("<div>" * 2_000)}, LimitExceeded, "nest"),
        ({"OEBPS/one.xhtml": page("<p>word</p>" * 1_000)}, LimitExceeded, "characters"),
        ({"OEBPS/one.xhtml": b"\0" * 3_000_000}, LimitExceeded, "expands more than"),
    ],
)
def test_a_book_that_is_broken_or_a_bomb_is_refused(more, error, match):
    with pytest.raises(error, match=match):
        parse(epub(CHAPTERS, contents=CONTENTS, more=more), filename="book.epub", limits=Limits(characters=3_000))


def test_a_book_of_pictures_has_no_text():
    with pytest.raises(NoText):
        book({"one.xhtml": page('<img src="a.jpg"/>')})


def test_what_only_claims_to_be_a_book_is_refused():
    for data in (b"just text", b"PK\x03\x04....", b"%PDF-1.4 ..."):
        with pytest.raises(UnsupportedFormat, match="claims to be an EPUB"):
            parse(data, filename="a.epub")
    with pytest.raises(UnsupportedFormat, match="holds an EPUB"):
        parse(epub(CHAPTERS), filename="a.docx")


NAMES = ["one.xhtml", "one.xhtml#a", "one.xhtml#b", "two.xhtml", "two.xhtml#a", "three.xhtml"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["One", "Two", "é中😀"])), max_size=6),
    st.lists(st.sampled_from(["<p>Text 😀.</p>", '<h2 id="a">One</h2>', '<p id="b"/>', "<br/>", "é中"]), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_the_sections_of_any_book_tile_its_text(entries, parts):
    contents = nav("".join(f'<li><a href="{name}">{title}</a></li>' for name, title in entries))
    body = "".join(parts)
    document = book({"one.xhtml": page(body + "<p>End.</p>"), "two.xhtml": page(body)}, contents=contents)
    ends = [section.end for section in document.sections]
    starts = [section.start for section in document.sections]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == len(document.text)
    assert all(map(int.__lt__, starts, ends))
