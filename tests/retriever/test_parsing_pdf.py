"""PDF: paragraphs, pages, bookmarks, refusals."""

import threading
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_a_scan_with_stamped_page_numbers_has_no_text_and_a_stamp_alone_is_told_from_text():
    with pytest.raises(NoText, match="4 pages"):
        parse(pdf([[f"Page {number} of 4"] for number in range(1, 5)]))
    stamped = parse(pdf([["A cover."], *([["CONFIDENTIAL"]] * 4)]))
    assert stamped.text == "A cover.\n\nCONFIDENTIAL"
    assert stamped.warnings == ("no text on pages 3-5",)
    assert parse(pdf([[f"Slide {number}"] for number in range(1, 5)])).text.count("Slide") == 4


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


LEFT = [
    "The left column of the page begins",
    "here and tells of the sea, of the",
    "ships on it and of the harbour that",
    "they come from when the wind blows",
    "out of the west in the morn-",
    "ing.",
]
RIGHT = [
    "The right column goes on with the",
    "story and tells of the mountains,",
    "of the snow on them and of the val-",
    "leys where people live in winter",
    "and in summer too, all of them.",
    "It ends here.",
]
LEFT_READ = (
    "The left column of the page begins here and tells of the sea, of the ships on it and of the harbour that they "
    "come from when the wind blows out of the west in the morning."
)
RIGHT_READ = (
    "The right column goes on with the story and tells of the mountains, of the snow on them and of the valleys where "
    "people live in winter and in summer too, all of them. It ends here."
)


def column(x, lines, *, top=700):
    return [(x, top - 12 * number, line) for number, line in enumerate(lines)]


def across(*columns):
    """Columns written a line of each at a time."""
    return [piece for row in zip(*columns, strict=True) for piece in row]


@pytest.mark.parametrize(
    "page",
    [
        column(72, LEFT) + column(320, RIGHT),
        across(column(72, LEFT), column(320, RIGHT)),
        across(column(72, LEFT), column(320, RIGHT, top=697)),  # base lines a little apart
    ],
    ids=["by column", "by line", "by line, shifted"],
)
def test_columns_are_read_one_after_the_other_however_they_were_written(page):
    assert parse(pdf([page])).text == f"{LEFT_READ}\n\n{RIGHT_READ}"


def test_what_runs_over_the_columns_parts_them():
    wide = "This line runs over both of the columns and is read between what is above and what is below it."
    above = across(column(72, LEFT), column(320, RIGHT))
    below = across(column(72, LEFT, top=580), column(320, RIGHT, top=580))
    text = parse(pdf([[*above, (72, 605, wide), *below]])).text
    assert text == f"{LEFT_READ}\n\n{RIGHT_READ}\n\n{wide}\n\n{LEFT_READ}\n\n{RIGHT_READ}"


def test_three_columns_written_by_line_are_three():
    columns = [[f"{name} has words in line {n}" for n in range(5)] for name in ("One", "Two", "Six")]
    page = across(*(column(60 + 170 * place, lines) for place, lines in enumerate(columns)))
    assert parse(pdf([page])).text == "\n\n".join(" ".join(lines) for lines in columns)


def test_a_table_keeps_a_line_a_row_with_its_cells_apart():
    rows = [["Item", "Price", "In stock"], ["Hex bolt", "1.50", "300"], ["Nut", "0.75", "12"], ["Pin", "", "7"]]
    page = [
        (72 + 150 * place, 600 - 14 * number, cell) for number, row in enumerate(rows) for place, cell in enumerate(row)
    ]
    text = parse(pdf([[*column(72, LEFT), *(piece for piece in page if piece[2])]])).text
    assert text == f"{LEFT_READ}\n\nItem | Price | In stock\nHex bolt | 1.50 | 300\nNut | 0.75 | 12\nPin | 7"


def test_words_that_are_placed_one_by_one_are_a_line():
    line = "each word of this line is placed for itself"
    assert parse(pdf([[(72 + 40 * place, 700, word) for place, word in enumerate(line.split())]])).text == line


def test_heads_and_feet_of_several_lines_and_of_left_and_right_pages_are_left_out_but_once():
    pages = []
    for number, word in enumerate(["one", "two", "three", "four", "five", "six"]):
        left = number % 2 == 0
        pages.append(
            [
                (72 if left else 500, 812, str(number + 10)),
                (72, 800, "A Book about the World" if left else "Of Places"),
                *column(72, [f"Page {word} tells of a thing, and", "goes on to tell of it again."]),
                (72, 40, "Copyright 2020 Acme"),
                (72, 28, f"Page {number + 1} of 6"),
            ]
        )
    text = parse(pdf(pages)).text
    assert text.count("A Book about the World") == text.count("Of Places") == text.count("Copyright") == 1
    assert text.count("goes on to tell of it again.") == 6
    assert "of 6" not in text
    assert "15" not in text
    assert text.startswith("A Book about the World\n\nPage one")
    assert text.endswith("Copyright 2020 Acme")


def test_page_numbers_of_a_preface_are_left_out_too():
    numerals = ["iii", "iv", "v", "vi", "vii"]
    pages = [["It is said that one thing leads to another,", f"and that is so: {n}.", "", n] for n in numerals]
    assert "\n\nvi" not in parse(pdf(pages)).text
    assert parse(pdf([["mix"], ["civil"], ["x"]])).text == "mix\ncivil\nx"


def test_lines_that_pages_share_in_their_middle_stay():
    pages = [
        [f"Form {word}", "", "Name:", "Ann Lee of the north", "Place:", "Rome", "", f"It is {word}."] for word in "abcd"
    ]
    assert parse(pdf(pages)).text.count("Place:") == 4


def test_a_page_that_cannot_be_read_is_a_warning_and_the_rest_is_read():
    data = pdf([["The first page."], ["The second page."], ["The third page."]])
    first, second, *rest = data.split(b"/Type /Page /Parent")
    broken = b"/Type /Page /Parent".join([first, b"/Type /None /Parent".join([second, rest[0]]), *rest[1:]])
    document = parse(broken)
    assert document.text == "The first page.\n\nThe third page."
    assert document.warnings == ("could not read page 2",)


PLACE = st.tuples(st.integers(0, 50), st.integers(2, 80))
WIDEST = 15  # of a place's words, in its units


def apart(page):
    """Whether no words are printed over others: a glyph that is printed twice in one place is bold, and read once."""
    return all(y != other_y or abs(x - other_x) >= WIDEST for (x, y), (other_x, other_y) in combinations(page, 2))


@given(
    st.lists(st.lists(PLACE, max_size=14, unique=True).filter(apart), min_size=1, max_size=4),
    st.sampled_from(["", " and more words"]),
)
@settings(max_examples=100, deadline=None)
def test_no_word_is_lost_wherever_on_a_page_it_stands(pages, more):
    written = [
        [(10 * x, 10 * y, f"{name}x{x}y{y}z{more}") for x, y in page] for name, page in zip("abcd", pages, strict=False)
    ]
    try:
        document = parse(pdf(written))
    except NoText:
        assert not any(pages)
        return
    for lines, page in zip(written, document.pages, strict=True):
        text = document.text[page.start : page.end]
        assert text == text.strip()
        for _, _, words in lines:
            assert words.split()[0] in text
    assert [section.start for section in document.sections] == [0, *(s.end for s in document.sections[:-1])]
    assert document.sections[-1].end == len(document.text)
