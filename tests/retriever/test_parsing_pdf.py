"""PDF: paragraphs, pages, bookmarks, refusals."""

import threading

import pytest

from retriever.errors import LimitExceeded, NoText, UnreadableFile
from retriever.parsing import Limits, parse
from tests.retriever.pdfs import pdf

REPORT = [
    [
        "# Annual report",
        "",
        "The company sold more bicycles this year than in any year before, because the",
        "weather was good and petrol was dear. It expects to sell more of them in the com-",
        "ing year as well.",
        "",
        "A second paragraph begins after a gap and ends at the foot of the page with a sen-",
    ],
    [
        "tence that goes on over it.",
        "",
        "# Outlook",
        "",
        "The outlook is well-known to be good; a well-",
        "known bank says so too.",
    ],
]


def test_lines_of_a_paragraph_are_joined_and_hyphens_of_line_ends_go():
    text = parse(pdf(REPORT), filename="report.pdf").text
    assert (
        "because the weather was good and petrol was dear. It expects to sell more of them in the coming year" in text
    )
    assert "as well.\n\nA second paragraph begins" in text


def test_a_hyphen_that_the_document_writes_elsewhere_stays():
    assert "a well-known bank says" in parse(pdf(REPORT)).text


def test_each_page_is_a_range_of_the_text_and_a_paragraph_may_cross_them():
    document = parse(pdf(REPORT))
    first, second = document.pages
    assert [page.number for page in document.pages] == [1, 2]
    assert document.text[first.start : first.end].startswith("Annual report")
    assert document.text[second.start : second.end].startswith("tence that goes on")
    assert document.text[first.end : second.start] == "\n"
    assert first.end < second.start
    assert second.end == len(document.text)


def test_bookmarks_become_sections_that_tile_the_text():
    outline = [(1, "Annual report", 0), (1, "Outlook", 1)]
    document = parse(pdf(REPORT, outline=outline, title="Report 2020"))
    assert document.title == "Report 2020"
    assert [section.path for section in document.sections] == [("Annual report",), ("Outlook",)]
    outlook = document.sections[1]
    assert document.text[outlook.start : outlook.end].startswith("Outlook\n\nThe outlook")
    assert document.sections[0].start == 0
    assert document.sections[0].end == outlook.start


def test_without_bookmarks_lines_in_larger_type_are_headings():
    document = parse(pdf(REPORT))
    assert [section.path for section in document.sections] == [("Annual report",), ("Outlook",)]
    assert document.title == "Annual report"
    slides = [[f"# {word}", "", f"# with large words {i}"] for i, word in enumerate(["One", "Two"])] + [["small print"]]
    assert [section.path for section in parse(pdf(slides)).sections] == [()]


def test_the_title_is_what_the_first_page_shows_largest_and_never_a_bookmark():
    assert parse(pdf(REPORT, outline=[(1, "Outlook", 1)])).title == "Annual report"
    assert parse(pdf([["Some plain text."], ["More of it."]], outline=[(1, "Outlook", 1)])).title is None


def test_nested_bookmarks_give_paths():
    pages = [["# One", "", "Text of one."], ["# Two", "", "Text of two."], ["# Three", "", "Text of three."]]
    document = parse(pdf(pages, outline=[(1, "One", 0), (2, "Two", 1), (1, "Three", 2)]))
    assert [section.path for section in document.sections] == [("One",), ("One", "Two"), ("Three",)]


def test_a_running_head_and_page_numbers_are_left_out_but_once():
    pages = [
        [
            "Acme handbook",
            "",
            f"Page text number {word} is about one thing,",
            "and goes on for a while.",
            "",
            str(number),
        ]
        for number, word in enumerate(["one", "two", "three", "four", "five"], start=7)
    ]
    text = parse(pdf(pages)).text
    assert text.count("Acme handbook") == 1
    assert "11" not in text
    assert text.count("Page text number") == 5


def test_a_page_without_text_is_an_empty_range_and_a_warning():
    document = parse(pdf([["Some text."], [], ["More text."]]))
    assert document.pages[1].start == document.pages[1].end
    assert document.warnings == ("no text on page 2",)


def test_a_pdf_without_any_text_names_its_pages():
    with pytest.raises(NoText, match="3 pages"):
        parse(pdf([[], [], []]))


def test_an_encrypted_pdf_is_unreadable_and_says_so():
    with pytest.raises(UnreadableFile, match="encrypted"):
        parse(pdf(REPORT, password=b"secret"))
    assert "bicycles" in parse(pdf(REPORT, password=b"")).text  # encrypted, and open to everyone


def test_a_broken_or_cut_pdf_is_unreadable():
    whole = pdf(REPORT)
    for data in (b"%PDF-1.4\n" + b"garbage " * 50, whole[:60]):
        with pytest.raises(UnreadableFile):
            parse(data, filename="a.pdf")


def test_more_pages_or_characters_than_the_limit_are_refused():
    with pytest.raises(LimitExceeded, match="2 pages"):
        parse(pdf(REPORT), limits=Limits(pages=1))
    with pytest.raises(LimitExceeded, match="characters"):
        parse(pdf(REPORT), limits=Limits(characters=100))


def test_threads_may_parse_pdfs_at_once():
    data = pdf(REPORT * 5)
    expected = parse(data)
    results = []
    threads = [threading.Thread(target=lambda: results.append(parse(data) == expected)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
