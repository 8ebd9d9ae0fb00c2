"""Plain text and Markdown: the stored text is what was sent; encodings; headings."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retriever.errors import LimitExceeded, NoText, ParsingError, UnsupportedFormat
from retriever.parsing import Limits, normalize, parse, parse_text

CHINESE = "北京大学创办于1898年，初名京师大学堂，是中国第一所国立综合性大学。" * 3
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。"
WESTERN = "Café “smart quotes” — naïve résumé’s façade. It’s about €5 per coffee; señor Müller said “Grüße”. "
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (WESTERN, "utf-8"),
        (WESTERN, "utf-8-sig"),
        (WESTERN, "utf-16"),
        (WESTERN, "utf-16-le"),
        (WESTERN, "utf-16-be"),
        (WESTERN, "utf-32"),
        (WESTERN, "cp1252"),
        ("Temperature 20°C and £5. ", "cp1252"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-16"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
    ],
)
def test_text_in_any_usual_encoding_is_read_as_it_was_written(text, encoding):
    assert parse(text.encode(encoding), filename="a.txt").text == text


def test_the_encoding_that_the_media_type_names_is_believed():
    assert (
        parse("žluťoučký kůň".encode("iso8859-2"), media_type="text/plain; charset=iso-8859-2").text == "žluťoučký kůň"
    )


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "a.jsonl", "a.srt", "a.html"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252", "gb18030"])
def test_every_kind_of_text_may_be_in_any_encoding(name, encoding):
    words = CHINESE if encoding == "gb18030" else WESTERN.strip()
    text = {
        "a.py": f'TEXT = "{words}"\n',
        "a.jsonl": f'{{"text": "{words}"}}\n',
        "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\n{words}\n",
        "a.html": f"<p>{words}</p>",
    }.get(name, words)
    document = parse(text.encode(encoding), filename=name)
    assert words in document.text
    assert "\ufeff" not in document.text


def test_a_few_broken_bytes_in_utf8_do_not_make_it_another_encoding():
    document = parse(CHINESE.encode()[:-1], filename="cut.txt")
    assert document.text == CHINESE[:-1] + "\ufffd"
    assert "U+FFFD" in document.warnings[0]


def test_plain_text_is_kept_character_for_character():
    sent = "  One\r\n\r\ntwo\tthree e\u0301 \u200f\U0001f600\r\n "
    assert parse(sent.encode()).text == sent
    assert parse_text(sent).text == sent


@given(st.text(alphabet=st.characters(codec=None)))
@settings(max_examples=100, deadline=None)
@example("a\0b\ud800c\udfff")
def test_normalization_keeps_every_offset_and_leaves_nothing_unstorable(text):
    stored = normalize(text)
    assert len(stored) == len(text)
    assert "\0" not in stored
    stored.encode("utf-8")
    assert all(a == b or b == "\ufffd" for a, b in zip(text, stored, strict=True))
    assert normalize(stored) == stored


@pytest.mark.parametrize("name", ["a.xyz", "table.csv", "run.log", "data.json", "notes", "README"])
def test_any_text_is_accepted_whatever_its_extension(name):
    assert parse(b"x = 1\n", filename=name, media_type="application/octet-stream").media_type == "text/plain"


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", "\ufeff \n".encode(), "\u3000\u2003".encode()])
def test_a_file_of_white_space_has_no_text(data):
    with pytest.raises(NoText):
        parse(data, filename="a.txt")


def test_more_characters_than_the_limit_are_refused():
    with pytest.raises(LimitExceeded, match="1,000"):
        parse(b"word " * 300, limits=Limits(characters=1000))


NAMED = [f"a.{end}" for end in ("txt", "md", "html", "pdf", "docx", "epub", "py", "ts", "jsonl", "vtt", "srt", "bin")]


@given(
    st.one_of(
        st.binary(max_size=400), st.builds(bytes.__add__, st.sampled_from([b"%PDF-1.4", b"PK\3\4"]), st.binary())
    ),
    st.sampled_from([None, "a", *NAMED]),
)
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_are_parsed_or_refused_on_purpose(data, filename):
    try:
        document = parse(data, filename=filename)
    except ParsingError:
        return
    assert document.text.strip()
    document.text.encode("utf-8")
    assert _tile(document)


def _tile(document):
    ends = [section.end for section in document.sections]
    starts = [section.start for section in document.sections]
    return starts == [0, *ends[:-1]] and ends[-1] == len(document.text) and all(map(int.__lt__, starts, ends))


BOOK = """The Title

CONTENTS

CHAPTER I. Loomings.

CHAPTER II. The Carpet-Bag.

CHAPTER III. The Spouter-Inn.



CHAPTER I. Loomings.

{body}

CHAPTER II. The Carpet-Bag.

{body}

CHAPTER III. The Spouter-Inn.

{body}
"""
BODY = "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little. " * 4


def paths(document):
    return [section.path for section in document.sections]


def test_chapters_are_sections_and_the_table_of_contents_is_not():
    document = parse_text(BOOK.format(body=BODY).replace("\n", "\r\n"))
    assert paths(document) == [
        (),
        ("CHAPTER I. Loomings.",),
        ("CHAPTER II. The Carpet-Bag.",),
        ("CHAPTER III. The Spouter-Inn.",),
    ]
    assert _tile(document)
    assert document.text[document.sections[1].start :].startswith("CHAPTER I. Loomings.\r\n\r\nCall me")


def test_a_table_of_contents_in_other_words_makes_no_sections_either():
    contents = "\n\n".join(f"{number}. Of whales" for number in ("I", "II", "III", "IV"))
    text = f"{contents}\n\nCHAPTER I\n\n{BODY}\n\nCHAPTER II\n\n{BODY}\n"
    assert paths(parse_text(text)) == [(), ("CHAPTER I",), ("CHAPTER II",)]


def test_books_hold_chapters_and_a_bare_number_takes_the_title_under_it():
    text = f"BOOK ONE\n\nI.\n\nTHE EVE OF THE WAR.\n\n{BODY}\n\nII.\n\n{BODY}\n\nBOOK TWO\n\nI.\n\n{BODY}\n"
    assert paths(parse_text(text)) == [("BOOK ONE", "I. THE EVE OF THE WAR."), ("BOOK ONE", "II."), ("BOOK TWO", "I.")]


def test_numbered_headings_are_sections_where_the_numbers_go_on():
    text = (
        f"1 Introduction .......... 1\n1.1 Purpose ......... 2\n\n1 Introduction\n\n1.1 Purpose\n\n{BODY}\n\n"
        f"1.2 Scope\n\n{BODY}\n\n2 Terms\n\n{BODY}\n"
    )
    assert paths(parse_text(text))[1:] == [
        ("1 Introduction", "1.1 Purpose"),
        ("1 Introduction", "1.2 Scope"),
        ("2 Terms",),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{BODY}\n\n1. Buy milk\n\n2. Buy bread\n\n{BODY}",
        f"I went there.\n\nI.\n\n{BODY}",
        f"Chapter 3 of the book says so, and I agree with it.\n\n{BODY}",
        "Part of the plan\n\nAct now\n\n" + BODY,
        BODY * 20,
    ],
)
def test_lists_and_prose_make_no_sections(text):
    assert paths(parse_text(text)) == [()]


def test_chinese_chapters_are_sections():
    text = f"第一章 风起\n\n{CHINESE}\n\n第二章 云涌\n\n{CHINESE}\n"
    assert paths(parse_text(text)) == [("第一章 风起",), ("第二章 云涌",)]


@pytest.mark.parametrize("indent", ["", "\u3000\u3000"])
def test_chinese_chapters_need_no_blank_lines_and_may_be_indented(indent):
    text = f"风云\n作者：张三\n{indent}第九十九章 风起\n{indent}{CHINESE}\n{indent}{CHINESE}\n"
    text += f"{indent}第一百章：谁在门外？\n{indent}{CHINESE}\n{indent}第一百零一章\n{indent}{CHINESE}\n"
    assert paths(parse_text(text)) == [(), ("第九十九章 风起",), ("第一百章：谁在门外？",), ("第一百零一章",)]


def test_a_chinese_chapter_has_the_title_below_its_number_but_not_what_follows_a_title():
    text = f"第一章\n风起\n\n{CHINESE}\n\n第二章 云涌\n他走了。\n\n{CHINESE}\n"
    assert paths(parse_text(text)) == [("第一章 风起",), ("第二章 云涌",)]


def test_the_chapters_of_each_chinese_volume_begin_anew():
    chapters = f"第一章 风起\n{CHINESE}\n第二章 云涌\n{CHINESE}\n"
    text = f"第一卷 山\n{CHINESE}\n{chapters}第二卷 海\n{CHINESE}\n{chapters}"
    assert len(paths(parse_text(text))) == 6


@pytest.mark.parametrize(
    "text",
    [
        f"{CHINESE}\n第一章 说的是风。\n{CHINESE}\n第二章 说的是云。\n{CHINESE}",  # sentences
        f"{CHINESE}\n第一章所说的风\n{CHINESE}\n第二章所说的云\n{CHINESE}",  # lines that were wrapped there
        f"{CHINESE}\n第三章 风起\n{CHINESE}\n第一章 云涌\n{CHINESE}",  # in no order
        f"第一章 风起\n{CHINESE}\n第一章 风起\n{CHINESE}\n第一章 风起\n{CHINESE}\n第二章 云涌\n{CHINESE}",  # of pages
    ],
)
def test_chinese_lines_that_only_mention_chapters_make_no_sections(text):
    assert paths(parse_text(text)) == [()]


def test_the_licence_behind_the_end_of_a_gutenberg_book_has_no_chapters():
    licence = f"Section 1. General Terms\n\n{BODY}\n\nSection 2. Information\n\n{BODY}\n"
    end = "*** END OF THIS PROJECT GUTENBERG EBOOK THE WHALE ***"
    text = f"CHAPTER I\n\n{BODY}\n\nCHAPTER II\n\n{BODY}\n\n"
    assert paths(parse_text(f"{text}{end}\n\n{licence}")) == [("CHAPTER I",), ("CHAPTER II",)]
    assert len(paths(parse_text(f"{text}*** END OF PART ONE ***\n\n{licence}"))) == 4


@pytest.mark.parametrize(
    ("book", "fewest", "most", "path"),
    [
        ("A-Tale-of-Two-Cities_98.txt", 46, 52, ("Book the Second--the Golden Thread", "VII. Monseigneur in Town")),
        ("Dracula_345.txt", 27, 28, ("CHAPTER XXVII MINA HARKER'S JOURNAL",)),
        ("Moby-Dick--Or-The-Whale_2701.txt", 136, 146, ("CHAPTER 42. The Whiteness of the Whale.",)),
        ("Pride-and-Prejudice_1342.txt", 61, 68, ("Chapter 61",)),
        ("The-Adventures-of-Sherlock-Holmes_1661.txt", 14, 21, ("XII. THE ADVENTURE OF THE COPPER BEECHES",)),
        ("The-War-of-the-Worlds_36.txt", 28, 34, ("BOOK TWO THE EARTH UNDER THE MARTIANS.", "IX. WRECKAGE.")),
        ("rfc2616.txt", 150, 200, ("14 Header Field Definitions", "14.9 Cache-Control", "14.9.1 What is Cacheable")),
    ],
)
def test_the_chapters_of_real_books_are_found(data_sets, book, fewest, most, path):
    document = parse((data_sets / "dev" / "books" / book).read_bytes(), filename=book)
    assert fewest <= len(document.sections) <= most
    assert path in paths(document)
    assert _tile(document)


def test_markdown_keeps_its_source_and_its_headings_are_sections():
    source = (
        "---\ntitle: The Front\n---\nLead.\n\n# One *two* `x`\r\n\r\ntext\n\n```\n# not a heading\n```\n\n"
        "Three\n-----\nmore\n"
    )
    document = parse(source.encode(), filename="a.md")
    assert document.text == source
    assert document.title == "The Front"
    assert document.media_type == "text/markdown"
    assert paths(document) == [(), ("One two x",), ("One two x", "Three")]
    assert source[document.sections[2].start :].startswith("Three\n---")
    assert parse_text(source, media_type="text/markdown") == document


@given(st.text(alphabet="#-=`>* \n\r\tab1.\u2028\x0b\x85é", max_size=200))
@settings(max_examples=150, deadline=None)
def test_sections_of_any_markdown_tile_it_and_begin_with_their_headings(text):
    if not text.strip():
        return
    document = parse_text(text, media_type="text/markdown")
    assert document.text == text
    assert _tile(document)
    for section in document.sections[1:]:
        assert text[section.start - 1] in "\r\n"


@pytest.mark.parametrize(
    ("data", "filename", "media_type"),
    [
        (b"%PDF-1.4 ...", "a.docx", None),
        (b"%PDF-1.4 ...", "a.txt", None),
        (b"<!doctype html><p>x", "a.pdf", "application/pdf"),
        (b"just text", "a.pdf", None),
        (b"just text", "a.docx", None),
        (b"just text", None, "application/epub+zip"),
        (b"\x7fELF....", "a.c", "text/x-c"),
        (b"PK\x03\x04....", "a.jsonl", None),
        (b"just text", None, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n....", "a.txt", "text/plain"),
        (b"GIF89a...", None, None),
        (b"text", "a.png", None),
        (b"text", None, "image/png"),
        (b"PK\x03\x04....", "a.zip", None),
        (bytes(range(256)) * 20, None, None),
        (bytes(range(256)) * 20, "a.txt", "text/plain"),
        (b"\0\1\2\3" * 200, "a.txt", None),
    ],
)
def test_a_file_that_is_not_what_it_claims_or_no_document_is_refused(data, filename, media_type):
    with pytest.raises(UnsupportedFormat):
        parse(data, filename=filename, media_type=media_type)
