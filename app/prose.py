"""Which sentences of a document can stand in a summary: not headings, page furniture, tables of contents, fragments."""

import re
from collections import Counter
from collections.abc import Sequence

from app.section_kinds import abstract_ranges
from retriever.parsing.plain import end_of_book
from retriever.sentences import Sentence
from retriever.types import ParsedDocument

_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_WRAP = re.compile(r"\s+")
_UNSPACED_WRAP = re.compile(
    rf"(?<=[{_UNSPACED.pattern[1:-1]}，。、；：！？」』）])\s+(?=[{_UNSPACED.pattern[1:-1]}「『（])"
)
_END = re.compile(r"""[.!?。！？…:;；]["'”’»」』)\]）*_]*\Z""")
_CONTENTS = re.compile(r"(?:\. ?){4,}|(?:…\s?){2,}|\s\d{1,4}\Z(?<![.!?])|\[Page \d+\]")
_CHAPTER = re.compile(
    r"(?i)\W*(?:chapter|book|part|section|letter|volume|act|scene|appendix|figure|table)\s+(?:[ivxlcdm]+|\d+)\b"
)
_BOILERPLATE = re.compile(
    r"(?i)project gutenberg|gutenberg\.org|all rights reserved|copyright (?:\(c\)|©|\d)|\bisbn\b|https?://\S+\s*\Z"
)
_SPEAKER = re.compile(r"\A[^\s:][^:\n]{0,40}:\s+")
_HEADING_MARKUP = "#=*_- "

FEWEST_WORDS = 4  # of a sentence that says something
RUNNING_LINE = 3  # times that a short line stands in a document before it is taken for a header or a footer


def count_words(text: str) -> int:
    """Words are what white space parts; each Han character or kana is a word of its own."""
    return len(_UNSPACED.sub(" x ", text).split()) if not text.isascii() else len(text.split())


def one_line(text: str) -> str:
    """A sentence without its line breaks: white space becomes one blank, and none between characters of Chinese."""
    return _WRAP.sub(" ", _UNSPACED_WRAP.sub("", text)) if not text.isascii() else _WRAP.sub(" ", text)


def summarizable(document: ParsedDocument, sentences: Sequence[Sentence]) -> list[bool]:
    """For each sentence of the document whether it can stand in a summary, exact repetitions left out.

    Of an abstract fragments pass too: what is torn there by a page's columns says more than a whole sentence elsewhere.
    Where almost nothing passes, as in a list or a poem without punctuation, whatever has a few words does. None of the
    licence behind a book of Project Gutenberg ever does.
    """
    end = end_of_book(document.text)
    lines = [one_line(document.text[each.start : each.end]) for each in sentences if each.start < end]
    titles = {title.casefold() for section in document.sections for title in section.path}
    counted = Counter(line.casefold() for line in lines)
    capitals, marks = _begins_with_capitals(lines), _ends_with_marks(lines)
    abstracts = abstract_ranges(document.text, document.sections)
    passed = [
        line.strip(_HEADING_MARKUP).casefold() not in titles
        and (
            any(start <= sentence.start < end for start, end in abstracts)
            or not ((capitals and line[:1].islower()) or (marks and not _END.search(line)))
        )
        and not (counted[line.casefold()] >= RUNNING_LINE and count_words(line) < 15)
        and _is_prose(line)
        for line, sentence in zip(lines, sentences, strict=False)
    ]
    if sum(passed) <= 0.02 * len(lines):
        passed = [count_words(line) >= FEWEST_WORDS and _letters(line) > 0.4 for line in lines]
    if not any(passed):
        passed = [any(map(str.isalnum, line)) for line in lines]
    return _first_of_each(lines, passed) + [False] * (len(sentences) - len(lines))


def _is_prose(line: str) -> bool:
    said = _SPEAKER.sub("", line)
    words = count_words(said)
    if words < FEWEST_WORDS or _letters(said) < 0.6 or _BOILERPLATE.search(line):
        return False
    if not _END.search(line) and (words < 8 or _CONTENTS.search(line)):
        return False
    if _CHAPTER.match(line) and words < 15:
        return False
    return not (_CONTENTS.search(line) and words < 15) and not _shouts(said)


def _letters(line: str) -> float:
    """The share of letters, marks and blanks in a line: low in tables, formulas and page numbers."""
    return sum(character.isalpha() or character in " '’,-" for character in line) / max(1, len(line))


def _shouts(line: str) -> bool:
    cased = [character for character in line if character.lower() != character.upper()]
    return len(cased) > 0 and sum(map(str.isupper, cased)) > 0.6 * len(cased)


def _begins_with_capitals(lines: Sequence[str]) -> bool:
    """Whether sentences of this document begin with capitals, so that one which does not is a fragment."""
    upper = sum(line[:1].isupper() for line in lines)
    lower = sum(line[:1].islower() for line in lines)
    return upper > 4 * lower


def _ends_with_marks(lines: Sequence[str]) -> bool:
    """Whether sentences of this document end with a mark, so that one which does not is a heading or a table's row."""
    ended = [bool(_END.search(line)) for line in lines if count_words(line) >= 8]
    return sum(ended) > 0.8 * len(ended)


def _first_of_each(lines: Sequence[str], passed: Sequence[bool]) -> list[bool]:
    seen: set[str] = set()
    first: list[bool] = []
    for line, good in zip(lines, passed, strict=True):
        key = line.casefold()
        first.append(good and key not in seen)
        if good:
            seen.add(key)
    return first
