"""Dialogues: which texts are one, who says what, and what stays prose."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.chunking import split
from retriever.parsing import parse, parse_text
from retriever.units import sentences_of
from tests.retriever.test_chunking import covered, words

MEETING = """Weekly meeting, 4 May

Marketing: I have read the figures twice. They are good.
Project Manager: Which ones do you mean?
Marketing: Those of April, of course.
Industrial Designer: We could use rubber for the case.
It costs less than wood does.
Project Manager: Fine. Marketing: that is for you to settle.
Marketing: I will do it on Monday.
"""


def said(document):
    """(speaker, what is said with its label) of every turn."""
    return [(turn.speaker, document.text[turn.start : turn.end]) for turn in document.turns]


def test_lines_that_begin_with_a_speaker_are_turns_and_the_text_stays_as_it_was():
    document = parse_text(MEETING)
    assert document.text == MEETING
    assert document.kind == "dialogue"
    assert [speaker for speaker, _ in said(document)] == [
        *("Marketing", "Project Manager", "Marketing"),
        *("Industrial Designer", "Project Manager", "Marketing"),
    ]
    assert said(document)[3][1] == (
        "Industrial Designer: We could use rubber for the case.\nIt costs less than wood does."
    )
    assert document.turns[0].start == MEETING.index("Marketing: I have")


@pytest.mark.parametrize(
    ("text", "speakers"),
    [
        ("Customer: My order never came.\nAgent: I am sorry to hear that.\n", ["Customer", "Agent"]),
        ("[doctor] hi , brian . how are you ?\n[patient] hi , good .\n[doctor] you too .", ["doctor", "patient"]),
        ("<alice> did you see the build fail?\n<bob> yes, it was me.\n<alice> ah, good to know.", ["alice", "bob"]),
        ("#Person1#: How was it?\n#Person2#: A long day.\n#Person1#: Then rest a bit.", ["#Person1#", "#Person2#"]),
        ("**Ann:** How was it?\n\n**Bo Li:** It was a long day.\n\n**Ann:** Then rest.\n", ["Ann", "Bo Li"]),
        ("[00:01:02] Ann: How was it?\n[00:01:09] Bo: A long day.\n[00:02:00] Ann: Then rest.", ["Ann", "Bo"]),
        ("12/03/2024, 14:03 - Ann: How was it?\n12/03/2024, 14:05 - Bo: A long day.\n12/03/2024, 14:05 - Ann: Rest.",
         ["Ann", "Bo"]),
        ("Speaker 1  0:03\nHow was it?\n\nSpeaker 2  0:10\nA long day.\nAnd a good one.\n\nSpeaker 1  1:00:12\nRest.",
         ["Speaker 1", "Speaker 2"]),
        ("Hon. Bill Morneau (Minister of Finance): Mr. Chair, it is so.\nThe Chair: Go on.\nHon. Bill Morneau: I will.",
         ["Hon. Bill Morneau", "The Chair"]),
        ("Speaker 1: One.\nSpeaker 2: Or two.\nSpeaker 3: Or three.\n" * 3, ["Speaker 1", "Speaker 2", "Speaker 3"]),
        ("甲：你今天去哪里了？\n乙：我去了图书馆。\n甲：那里人多吗？\n乙：不多。", ["甲", "乙"]),
        ("客服:您好,请问有什么可以帮您？\n客户:我的订单还没有到。\n客服:请稍等。\n客户:好的。", ["客服", "客户"]),
        (">> ANN: HOW WAS IT?\n>> BO LI: A LONG DAY.\n>> ANN: THEN REST A BIT.", ["ANN", "BO LI"]),
        (">>ANN: HOW WAS IT?\n>>BO LI: A LONG DAY.\n>>>ANN: THEN REST A BIT.", ["ANN", "BO LI"]),
        ("@ann_lee: My phone is broken.\n@AppleSupport: We are sorry.\n@ann_lee: Then help me.\n",
         ["@ann_lee", "@AppleSupport"]),
        ("Risk Manager: How was it?\nEnglish Teacher: A long day.\nRisk Manager: Then rest a bit.",
         ["Risk Manager", "English Teacher"]),
    ],
)  # fmt: skip
def test_speakers_are_known_in_every_usual_notation(text, speakers):
    document = parse_text(text)
    assert list(dict.fromkeys(turn.speaker for turn in document.turns)) == speakers
    assert "".join(part for _, part in said(document)).replace("\n", "") == text.replace("\n", "")


NOT_DIALOGUES = {
    "a letter": "Dear Sir:\n\nI write about the following: the roof, the door, and the fence. There is one thing more: "
    "the bill.\n\nP.S.: It has not been paid.\nP.P.S.: I mean it.\n",
    "e-mails": "From: Ann Lee\nTo: Bo Li\nSubject: The roof is leaking again\n\nIt rains in.\n\n"
    "From: Bo Li\nTo: Ann Lee\nSubject: Re: The roof is leaking again\n\nI will come on Monday.\n" * 4,
    "a recipe": "Prep time: 10 minutes\nServings: 4\nIngredients:\n2 eggs\nFor the sauce: butter and salt\n"
    "Step 1: Beat the eggs well.\nStep 2: Melt the butter in a pan.\nStep 3: Serve it hot.\nNote: It keeps.\n",
    "a contract": "Section 1: The Seller shall deliver the goods to the Buyer.\nSection 2: The Buyer shall pay.\n"
    "Seller: Acme Corporation of Springfield.\nBuyer: Bell & Howell of Chicago.\nArticle 3: All else is void.\n",
    "a log": "2024-05-01 10:00:00 INFO: Started the server on port 80.\n2024-05-01 10:00:01 WARNING: The disk is "
    "full.\n2024-05-01 10:00:02 INFO: Accepted a connection.\n2024-05-01 10:00:03 ERROR: The disk is full now.\n" * 5,
    "YAML": "name: Ann\nrole: engineer of the first rank.\ncity: Berlin\n---\nname: Bo\nrole: designer of things.\n"
    "city: Paris\n---\nname: Cy\nrole: manager of the whole.\ncity: Rome\n",
    "records": "Name: Ann Lee\nWork: She paints the walls of old houses.\nHome: A flat in the north of the city.\n\n"
    "Name: Bo Li\nWork: He mends the roofs of old houses.\nHome: A house by the sea, far from here.\n\n" * 4,
    "a glossary": "".join(f"Term {word}: It is what one says of a thing of that kind.\n" for word in "abcdefghijkl"),
    "definitions": "Iron: a metal that rusts.\nOak: a tree that grows slowly.\nIron: it is also a club in golf.\n"
    "Rain: water that falls.\nSnow: water that falls slowly.\nMud: what comes of both.\n",
    "opening hours": "Monday: We open at nine and close at five.\nTuesday: We open at ten and close late.\n" * 6,
    "prose": "He had one thought: to go home. She had another: to stay.\n\nThere was a third way: to wait.\n\n" * 20,
    "a table of contents": "Part one: The beginning ..... 1\nPart two: The middle ..... 30\nPart III: The end ... 9\n",
    "code": "class A:\n    x: int = 1\n    def f(self): return 1\nclass B:\n    x: int = 2\n    y: int = 2\n",
    "a short note": "Note: call the plumber.\nAnn: 555 123\nNote: pay the bill.\n",
    "key figures": "Sales: 12.5\nCosts: 11.0\nSales: 13.5\nCosts: 12.0\nSales: 14.5\nCosts: 13.0\n",
    "verses": "Gen 1:1 In the beginning God created the heaven.\nGen 1:2 And the earth was without form.\n" * 3,
    "one speaker": "Ann: I said so before.\n" * 5,
}  # fmt: skip


PAIRS = [
    *("Problem/Solution", "Problem 1/Solution 1", "Risk/Mitigation", "Myth/Fact", "Claim/Evidence", "Symptom/Cause"),
    *("Strengths/Weaknesses", "Issue/Resolution", "Requirement/Rationale", "Bug/Fix", "Goal/Result", "Feature/Benefit"),
    *(
        "English/French",
        "Added/Fixed",
        "Changed/Removed",
        "feat/fix",
        "Term/Meaning",
        "Wrong/Right",
        "@param x/@return",
    ),
    *("优点/缺点", "名称/说明"),
]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("label", ["{}: ", "- **{}:** "])
def test_two_labels_that_take_turns_but_name_nobody_are_no_speakers(pair, label):
    one, other = (label.format(name) for name in pair.split("/"))
    text = f"{one}The stones of the mill wear down.\n{other}Dress them anew before the corn comes.\n" * 3
    assert parse_text(text).turns == ()


def test_a_list_of_fields_in_chinese_without_blanks_is_no_dialogue():
    assert parse_text("姓名:张三\n地址:北京市海淀区的一条小街。\n姓名:李四\n地址:上海市的老城区。\n" * 3).turns == ()


def test_who_speaks_after_a_mark_without_a_name_is_not_the_one_before():
    turns = ">> ANN: HOW WAS IT?\n>> BO: A LONG DAY.\n" * 6
    document = parse_text(f"{turns}>> AND FOR ME.\n>> ANN: THEN REST.\n")
    assert said(document)[-2:] == [("BO", ">> BO: A LONG DAY."), ("ANN", ">> ANN: THEN REST.")]


@pytest.mark.parametrize("name", NOT_DIALOGUES)
def test_a_text_whose_colons_are_not_speakers_stays_prose(name):
    document = parse_text(NOT_DIALOGUES[name])
    assert document.turns == ()
    assert document.kind == "prose"


def test_a_play_has_its_acts_as_sections_and_nobody_says_their_headings():
    lines = "Ann: Who goes there?\n\nBo: A friend of yours.\n\nAnn: Then come in, friend.\n\nBo: I will.\n\n"
    document = parse_text(f"ACT I\n\n{lines * 3}ACT II\n\n{lines * 3}")
    assert [section.path for section in document.sections] == [("ACT I",), ("ACT II",)]
    assert {turn.speaker for turn in document.turns} == {"Ann", "Bo"}
    assert not any("ACT" in part for _, part in said(document))


def test_a_play_with_names_in_lines_of_their_own_is_prose():
    assert (
        parse_text("HAMLET.\nTo be, or not to be: that is the question.\n\nOPHELIA.\nGood my lord.\n\n" * 4).turns == ()
    )


def test_a_dialogue_in_a_page_or_in_markdown_has_its_turns_too():
    page = "<p><b>Ann:</b> How was it?</p><p><b>Bo:</b> It was a long day.</p><p><b>Ann:</b> Then rest.</p>"
    assert [turn.speaker for turn in parse(page.encode(), filename="a.html").turns] == ["Ann", "Bo", "Ann"]


def test_lines_of_spaces_take_no_longer_than_lines_of_words():
    assert parse_text(("x" + " " * 300_000 + "\n") * 10).turns == ()


NAME = st.sampled_from(["Ann", "Bo Li", "Project Manager", "Speaker 3"])
SAID = st.text(alphabet="abc .?!:\té中😀", min_size=1, max_size=80).map(lambda text: f"So {text.strip()} it is now.")


@given(st.lists(st.tuples(NAME, SAID), min_size=4, max_size=60), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_turns_of_any_dialogue_slice_back_and_no_sentence_or_passage_loses_its_speaker(turns, end, titled):
    text = ("A meeting" + end if titled else "") + end.join(f"{name}: {words}" for name, words in turns)
    document = parse_text(text)
    assert document.text == text
    for turn in document.turns:
        assert text[turn.start : turn.end].startswith(turn.speaker)
        assert text[turn.start : turn.end] == text[turn.start : turn.end].strip()
    starts = [turn.start for turn in document.turns]
    assert starts == sorted(set(starts))
    if document.turns:
        assert [turn.speaker for turn in document.turns] == [name for name, _ in turns]
        for sentence in sentences_of(document):
            assert sum(turn.start < sentence.end and sentence.start < turn.end for turn in document.turns) <= 1
    chunks = split(document, count=words, size=20, overlap=4)
    assert covered(document, chunks)


def test_passages_of_a_dialogue_are_whole_turns_where_the_sizes_allow_it():
    turn = "Ann: We looked at the thing again. It was as good as we had hoped for.\nBo Li: I am glad of it."
    document = parse_text("\n".join([turn] * 40))
    starts = {turn.start for turn in document.turns}
    chunks = split(document, count=words)
    assert len(chunks) > 3
    assert {chunk.start for chunk in chunks} <= starts


def test_the_turns_of_real_meetings_are_found(data_sets):
    rows = (data_sets / "dev" / "qmsum.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, rows):
        text = "\n".join(f"{turn['speaker']}: {turn['content']}" for turn in row["turns"])
        found = parse_text(text).turns
        assert len(found) >= 0.98 * len(row["turns"]), row["id"]


def test_articles_and_novels_are_no_dialogues(data_sets):
    for folder in ("articles", "books"):
        for path in sorted((data_sets / "dev" / folder).glob("*.txt")):
            assert parse(path.read_bytes(), filename=path.name).turns == (), path.name
