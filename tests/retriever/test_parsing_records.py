"""WebVTT, SubRip and JSON Lines: what is said, by whom, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.errors import LimitExceeded, NoText, UnsupportedFormat
from retriever.parsing import Limits, parse

VTT = """WEBVTT - a meeting

STYLE
::cue { color: red }

NOTE nobody reads this
at all

intro
00:00:01.000 --> 00:00:04.000 align:start position:0%
<v Roger Bingham>We are in <i>New York</i> &amp; City,</v>

00:00:04.000 --> 00:00:06.000
<v Roger Bingham>the place of <00:00:05.000>places.

00:00:06.000 --> 00:00:08.000
<v.loud Neil>Are we?</v>
<v Roger Bingham>Yes.

00:00:09.000 --> 00:00:10.000
[applause]
"""
READ = """Roger Bingham: We are in New York & City, the place of places.
Neil: Are we?
Roger Bingham: Yes.

[applause]"""


def said(document):
    return [(turn.speaker, document.text[turn.start : turn.end]) for turn in document.turns]


def rows(*values, **claims):
    data = "\n".join(json.dumps(value, ensure_ascii=False) for value in values).encode()
    return parse(data, filename="a.jsonl", **claims)


def test_voices_of_webvtt_are_turns_over_all_the_cues_that_they_speak_in():
    document = parse(VTT.encode(), filename="meeting.vtt")
    assert document.text == READ
    assert document.media_type == "text/vtt"
    assert said(document) == [
        ("Roger Bingham", "Roger Bingham: We are in New York & City, the place of places."),
        ("Neil", "Neil: Are we?"),
        ("Roger Bingham", "Roger Bingham: Yes."),
    ]
    assert parse(VTT.encode()).text == READ  # known without a name
    assert parse(VTT.encode("utf-16"), filename="a.vtt").text == READ
    assert parse(VTT.replace("\n", "\r\n").encode("utf-8-sig"), media_type="text/vtt; charset=utf-8").text == READ


def srt(*cues):
    """A SubRip file of (second, text)."""
    return "\n".join(
        f"{number}\n00:00:{second:02},000 --> 00:00:{second:02},900\n{text}\n"
        for number, (second, text) in enumerate(cues, start=1)
    )


def test_subtitles_without_speakers_are_prose_whose_sentences_go_on_over_cues():
    text = srt(
        (1, "It was late,"), (2, "and <i>nobody</i>\ncame. {\\an8}"), (9, "Then they did."), (10, "- Who?\n- All.")
    )
    document = parse(text.encode(), filename="a.srt")
    assert document.text == "It was late, and nobody came.\n\nThen they did.\n\n- Who?\n\n- All."
    assert document.turns == ()


def test_labels_in_the_text_of_subtitles_are_speakers():
    text = srt(
        (1, "Ann: How was"), (2, "your day?"), (3, "Bo: Long. I had"), (4, "no lunch."), (5, "Ann: Then let us eat.")
    )
    assert said(parse(text.encode(), filename="a.srt")) == [
        ("Ann", "Ann: How was your day?"),
        ("Bo", "Bo: Long. I had no lunch."),
        ("Ann", "Ann: Then let us eat."),
    ]


@pytest.mark.parametrize("mark", [">> ", ">>", "&gt;&gt; "])
def test_names_after_the_marks_of_broadcast_captions_are_speakers(mark):
    text = srt(
        *((1, f"{mark}ANN: HOW WAS"), (2, "YOUR DAY?"), (3, f"{mark}BO: LONG. I HAD"), (4, "NO LUNCH.")),
        (5, f"{mark}ANN: THEN LET US EAT."),
    )
    for name, data in (("a.srt", text), ("a.vtt", "WEBVTT\n\n" + text.replace(",000", ".000").replace(",900", ".900"))):
        assert said(parse(data.encode(), filename=name)) == [
            ("ANN", ">> ANN: HOW WAS YOUR DAY?".replace(" ", "", mark == ">>")),
            ("BO", ">> BO: LONG. I HAD NO LUNCH.".replace(" ", "", mark == ">>")),
            ("ANN", ">> ANN: THEN LET US EAT.".replace(" ", "", mark == ">>")),
        ]


@pytest.mark.parametrize("colon", [":", "："])
def test_labels_in_chinese_captions_are_speakers_with_no_blank_behind_the_colon(colon):
    text = srt(
        (1, f"甲{colon}你今天去哪里了？"),
        (2, f"乙{colon}我去了图书馆。"),
        (3, f"甲{colon}那里人多吗？"),
        (4, f"乙{colon}不多。"),
    )
    assert [speaker for speaker, _ in said(parse(text.encode(), filename="a.srt"))] == ["甲", "乙", "甲", "乙"]


def test_what_rolling_captions_show_twice_is_read_once():
    text = srt(
        (1, "the first line of it"), (2, "the first line of it\nand a second one"), (3, "and a second one\nand a third")
    )
    assert parse(text.encode(), filename="a.srt").text == "the first line of it and a second one and a third"
    again = srt((1, "No."), (2, "No."))
    assert parse(again.encode(), filename="a.srt").text == "No. No."


@pytest.mark.parametrize("name", ["a.vtt", "a.srt", "a.jsonl", "a.ndjson"])
@pytest.mark.parametrize("data", [b"Just some text.\nAnd some more.\n", b"# Heading\n\nText", b"<p>page</p>"])
def test_text_that_claims_to_be_records_is_refused(name, data):
    with pytest.raises(UnsupportedFormat, match="claims to be"):
        parse(data, filename=name)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\n<i></i>\n"),
        ("a.vtt", b"WEBVTT\n"),
        ("a.jsonl", b'{}\n{"a": null}\n'),
    ],
)
def test_records_without_words_have_no_text(name, data):
    with pytest.raises(NoText):
        parse(data, filename=name)


def test_rows_of_speakers_are_turns():
    document = rows(
        {"speaker": "Grad E", "content": "I guess .", "start": 1.5},
        {"speaker": "Grad A", "content": "OK , we 're on .\nSo speak ."},
        {"speaker": "Grad A", "content": "Check : one 😀"},
    )
    assert document.text == "Grad E: I guess .\nGrad A: OK , we 're on .\nSo speak .\nGrad A: Check : one 😀"
    assert [speaker for speaker, _ in said(document)] == ["Grad E", "Grad A", "Grad A"]
    assert said(document)[2][1] == "Grad A: Check : one 😀"
    assert document.warnings == ("of the turns these fields were not read: start",)


def test_what_a_turn_says_besides_is_named_in_a_warning():
    document = rows(
        {"speaker": "Ann", "role": "agent", "content": "So it is.", "text": "It is so.", "body": "", "tags": []},
        {"speaker": 7, "role": "user", "value": "Is it?"},
    )
    assert document.text == "Ann: So it is.\nuser: Is it?"
    assert document.warnings == ("of the turns these fields were not read: role, speaker, text",)


def test_a_row_may_be_a_whole_conversation():
    document = rows(
        {
            "title": "First",
            "text": "A call.",
            "messages": [{"role": "user", "content": "Hi."}, {"role": "bot", "content": "Yes?"}],
        },
        {"id": 7, "turns": [{"speaker": "Ann", "content": "So it is."}]},
    )
    assert document.text == "First\n\nA call.\n\nuser: Hi.\nbot: Yes?\n\nid: 7\n\nAnn: So it is."
    assert [speaker for speaker, _ in said(document)] == ["user", "bot", "Ann"]
    assert [section.path for section in document.sections] == [("First",)]


def test_what_nobody_says_in_a_conversation_is_read_too_and_begins_no_section():
    document = rows(
        {
            "messages": [
                {"speaker": "Ann", "text": "What was it?"},
                {"text": "The price was set to 90 euros."},
                {"speaker": "Bo", "text": "So much."},
                {"title": "A note", "text": "It was paid.", "by": 7},
                "Nobody knows when.",
                {"speaker": "Ann", "text": "Good."},
                {"speaker": "Bo", "text": "Good."},
            ]
        }
    )
    assert document.text == (
        "Ann: What was it?\n\nThe price was set to 90 euros.\n\nBo: So much.\n\nA note\n\nIt was paid.\n\nby: 7\n\n"
        "Nobody knows when.\n\nAnn: Good.\nBo: Good."
    )
    assert [speaker for speaker, _ in said(document)] == ["Ann", "Bo", "Ann", "Bo"]
    assert [section.path for section in document.sections] == [()]


def test_speakers_may_be_numbers_as_recognized_speech_has_them():
    document = rows(
        {"speaker": 0, "text": "How was it?"}, {"speaker": 1, "text": "Long."}, {"speaker": 0, "text": "So."}
    )
    assert said(document) == [("0", "0: How was it?"), ("1", "1: Long."), ("0", "0: So.")]
    named = rows({"speaker": 1, "role": "doctor", "text": "How are you?"})
    assert [speaker for speaker, _ in said(named)] == ["doctor"]


@pytest.mark.parametrize("row", [{"user": 7, "item": 3, "text": "It grinds well."}, {"speaker": True, "text": "Loud."}])
def test_a_number_that_is_a_key_or_a_yes_is_nobody_who_speaks(row):
    assert rows(row).turns == ()


def test_rows_of_texts_are_paragraphs_with_their_titles_as_sections_and_their_fields_below():
    document = rows(
        {"id": 1, "title": "The quay", "author": "Ann", "text": "It is long.\nIt is old."},
        {
            "id": 2,
            "title": "The light",
            "author": "Bo",
            "text": "It turns.",
            "tags": ["a", 2],
            "at": {"lat": 1.5, "by": None},
        },
    )
    assert document.text == (
        "The quay\n\nIt is long.\nIt is old.\n\nid: 1\nauthor: Ann\n\n"
        "The light\n\nIt turns.\n\nid: 2\nauthor: Bo\ntags: a, 2\nat.lat: 1.5"
    )
    assert [section.path for section in document.sections] == [("The quay",), ("The light",)]
    assert document.turns == ()


def test_rows_of_anything_are_read_by_their_fields_and_a_bad_line_fails_alone():
    data = b'{"name": "Bolt", "price": {"eur": 1.5}}\nnot json\n[1]\n\n{"name": "Nut", "sizes": [{"mm": 3}]}\n'
    data += b'{"name": "Pin"}\n'
    document = parse(data, filename="a.jsonl")
    assert document.text == "name: Bolt\nprice.eur: 1.5\n\nname: Nut\nsizes.1.mm: 3\n\nname: Pin"
    assert document.warnings == ("no JSON object on lines 2, 3",)


def test_rows_that_nest_too_deeply_or_hold_too_much_are_refused():
    with pytest.raises(LimitExceeded, match="nests"):
        parse(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", filename="a.jsonl")
    with pytest.raises(LimitExceeded, match="characters"):
        rows(*[{"text": "x" * 100}] * 100, limits=Limits(characters=9_000))
    with pytest.raises(LimitExceeded, match="characters"):
        rows({"text": "x", "k" * 1_000: {str(i): 1 for i in range(100)}}, limits=Limits(characters=10_000))


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEY = st.sampled_from(["speaker", "content", "text", "title", "turns", "messages", "id", "a.b", ""])


@given(st.lists(st.dictionaries(KEY, VALUE, max_size=4), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_rows_of_any_shape_give_a_text_whose_turns_and_sections_slice_back(values):
    try:
        document = rows(*values)
    except (NoText, UnsupportedFormat):  # of control characters alone, which json leaves as they are
        return
    document.text.encode("utf-8")
    ends = [section.end for section in document.sections]
    assert [section.start for section in document.sections] == [0, *ends[:-1]]
    assert ends[-1] == len(document.text)
    for turn in document.turns:
        assert document.text[turn.start : turn.end].startswith(f"{turn.speaker}: ")


CUE = st.text(alphabet="ab .?<>v/&;:-\n♪中😀", max_size=40)


@given(st.lists(CUE, max_size=8))
@settings(max_examples=200, deadline=None)
def test_cues_of_any_text_are_read_or_refused_on_purpose(texts):
    lines = (f"00:00:{number:02}.000 --> 00:00:{number:02}.900\n{text}\n" for number, text in enumerate(texts))
    try:
        document = parse(("WEBVTT\n\n" + "\n".join(lines)).encode(), filename="a.vtt")
    except NoText:
        return
    assert document.text.strip()
    for turn in document.turns:
        said = document.text[turn.start : turn.end]
        assert said.startswith(turn.speaker) or said.lstrip("-> ").startswith(turn.speaker)


def test_a_voice_that_is_a_mark_names_nobody():
    document = parse(b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v ->Yes: no.\n", filename="a.vtt")
    assert (document.text.strip(), document.turns) == ("Yes: no.", ())
