"""Plain text: the stored text is the decoded text itself; chapter headings are found where they are plain to see."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from retriever.parsing.outline import Heading, sections_of
from retriever.types import ParsedDocument

MEDIA_TYPE = "text/plain"

_ROMAN = r"(?=[IVXLCM])M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:I[XV]|V?I{0,3})"
_ORDINAL = (
    r"(?i:(?:the\s+)?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|last)"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|twenty)"
)
_OUTER = "(?:BOOK|Book|PART|Part|VOLUME|Volume)"
_INNER = (
    "(?:CHAPTER|Chapter|ADVENTURE|Adventure|CANTO|Canto|STAVE|Stave|ACT|Act|SCENE|Scene|SECTION|Section|ARTICLE|Article"
    "|APPENDIX|Appendix|LETTER|Letter|SCHEDULE|Schedule|ANNEX|Annex|LECTURE|Lecture)"
)
_NAMED = (
    "(?:PREFACE|Preface|FOREWORD|Foreword|PROLOGUE|Prologue|EPILOGUE|Epilogue|INTRODUCTION|Introduction|CONCLUSIONS?"
    "|Conclusions?|ABSTRACT|Abstract|REFERENCES|References|BIBLIOGRAPHY|Bibliography|GLOSSARY|Glossary|APPENDIX|Appendix"
    "|INDEX|Index|ACKNOWLEDGE?MENTS|Acknowledge?ments|ETYMOLOGY|Etymology)"
)
_CHINESE_NUMBER = r"[\d〇零一二三四五六七八九十百千]{1,7}"
_AFTER = r"(?:[.:]|\s*[-–—]+|(?=\s)|$)"  # what may stand between a number and a title
# A heading's first line: at most a few columns in, and short. The groups tell which kind it is.
_HEADING = re.compile(
    rf"^[ \t\u3000]{{0,8}}(?:(?P<outer>{_OUTER}\s+(?:{_ROMAN}|\d{{1,3}}|{_ORDINAL})\b{_AFTER}.*)"
    rf"|(?P<inner>{_INNER}\s+(?:{_ROMAN}|\d{{1,3}}|[A-Z]|{_ORDINAL})\b{_AFTER}.*)"
    rf"|(?P<roman>{_ROMAN}(?:\.[ \t]+\S.*|\.?))"
    rf"|(?P<number>\d{{1,2}}(?:\.\d{{1,3}}){{0,5}}\.?[ \t]{{1,4}}[^\W\d_].*)"
    rf"|(?P<named>{_NAMED}[.:]?)"
    r"|(?P<chinese>第" + _CHINESE_NUMBER + r"[章回节節卷部篇].*))[ \t]*\r?$",
    re.MULTILINE,
)
_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_TITLE_BELOW = re.compile(r"\s*([^\r\n]{2,80})\r?\n[ \t]*\r?\n")
_LEADERS = re.compile(r"\.{3,}|(?:\s\.){3,}|\s{3,}\d+\s*$|\t\d+\s*$")
_LONGEST = 120
_ENDS_SENTENCE = re.compile(r"""[,;]$|[a-z][.?!]["'”’]?$""")
# The heading of a Chinese chapter that stands between lines of text: its number stands apart, and it is no sentence.
_CHINESE_LINE = re.compile(
    rf"第({_CHINESE_NUMBER})([章回节節卷部篇])(?:(?=[\s:：.．、·])[^\n]{{0,40}}(?<![。，、；：…,;]))?"
)
_GUTENBERG_END = re.compile(r"^\*\*\* ?END OF TH(?:E|IS) PROJECT GUTENBERG", re.MULTILINE)
# More headings than this without text between them are a table of contents.
_MOST_TOGETHER = 2
_HEADING_ONLY = 80
_KINDS = ("outer", "inner", "chinese", "roman", "number", "named")  # outermost first; a named one always is outermost
# A heading this near the start that comes again, with no more text under it than this and no sentence in that, is of
# the table of contents.
_CONTENTS_END = 40_000
_CONTENTS_TEXT = 2_000
_PROSE = re.compile(r"""[a-z][.!?]["'”’]?(?:\s|$)|[。！？]""")


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A block of one or two lines that looks like a heading. `depth` is how many parts its section number has.

    A `loose` one has no blank lines around it: a Chinese chapter's, which is one only if others are in order with it.
    """

    start: int
    end: int
    kind: str
    depth: int
    title: str
    loose: bool = False


def parse_plain(text: str) -> ParsedDocument:
    """A document of a normalized plain text."""
    headings = find_headings(text)
    return ParsedDocument(text=text, media_type=MEDIA_TYPE, title=None, sections=sections_of(text, headings))


def find_headings(text: str) -> list[Heading]:
    """The chapter headings of a text, without those of a table of contents; none where there are fewer than two.

    A heading stands alone between blank lines and says that it is one: "CHAPTER I. Loomings", "Book the Second",
    "IV.", "3.2.1 General Syntax". A numbered line counts only where its numbers go on as a document's do, so that a
    list is not a row of sections, and a Chinese one without blank lines only where most chapters follow the one before.
    """
    text = text[: end_of_book(text)]
    candidates = _in_sequence(_without_contents(text, _candidates(text)))
    if len(candidates) < 2:
        return []
    ranks = sorted({_rank(candidate) for candidate in candidates if candidate.kind != "named"})
    return [
        Heading(
            start=candidate.start,
            end=candidate.end,
            level=1 if candidate.kind == "named" else ranks.index(_rank(candidate)) + 1,
            title=candidate.title,
        )
        for candidate in candidates
    ]


def end_of_book(text: str) -> int:
    """Where the licence of Project Gutenberg begins that stands behind a book; the length of any other text."""
    ends = [match.start() for match in _GUTENBERG_END.finditer(text)]
    return ends[-1] if ends else len(text)  # the last: several books may be in one file


def _rank(candidate: _Candidate) -> tuple[int, int]:
    return _KINDS.index(candidate.kind), candidate.depth


def _candidates(text: str) -> list[_Candidate]:
    found = []
    for match in _HEADING.finditer(text):
        line = match.group().strip()
        kind = match.lastgroup or ""
        if len(line) > _LONGEST or _LEADERS.search(line):
            continue
        start, end = match.start(), _block_end(text, match.end()) if _blank_before(text, match.start()) else None
        alone = _CHINESE_LINE.fullmatch(line) if end != match.end() else None
        loose = alone is not None and (end is None or alone.end(2) < len(line))  # a bare number may have a title below
        if loose:
            end = match.end()
        if end is None:
            continue
        title = " ".join(text[start:end].split())
        number, _, rest = title.partition(" ")
        if kind == "roman" and rest and not (rest.isupper() or rest.istitle() or not _ENDS_SENTENCE.search(rest)):
            continue
        if kind == "number" and (_ENDS_SENTENCE.search(rest) or (rest[0].islower() and "." not in number)):
            continue
        if kind in ("outer", "inner") and _ENDS_SENTENCE.search(title) and title[-1] in ",;":
            continue
        depth = number.strip(".").count(".") + 1 if kind == "number" else 0
        if kind in ("outer", "inner", "roman") and _is_bare(title):
            title, end = _with_title(text, title, end)
        found.append(_Candidate(start=start, end=end, kind=kind, depth=depth, title=title, loose=loose))
    return found


def _is_bare(title: str) -> bool:
    """Whether a heading is a number alone: "CHAPTER IV", "IV."."""
    return len(title.split()) <= 2


def _with_title(text: str, title: str, end: int) -> tuple[str, int]:
    """Takes in the title that stands alone in capitals under a bare chapter number."""
    match = _TITLE_BELOW.match(text, end)
    if match is None or not match.group(1).isupper() or _HEADING.match(match.group(1)):
        return title, end
    return f"{title} {match.group(1).strip()}", match.end(1)


def _blank_before(text: str, start: int) -> bool:
    before = text[max(0, start - 200) : start]
    return start == 0 or not before.strip() or before.rstrip(" \t\r\n\f").count("\n") < before.count("\n") - 1


def _block_end(text: str, end: int) -> int | None:
    """Where the block ends whose first line ends at `end`: with that line or the next one; None if it goes on."""
    for _ in range(2):
        line_end = text.find("\n", end + 1)
        following = text[end + 1 : line_end if line_end >= 0 else len(text)].strip()
        if not following:
            return end
        if len(following) > _LONGEST or line_end < 0:
            return None
        end = line_end
    return None


def _without_contents(text: str, candidates: list[_Candidate]) -> list[_Candidate]:
    """Drops runs of headings with nothing between them, and near the start those whose titles come again."""
    kept: list[_Candidate] = []
    run: list[_Candidate] = []
    early = [candidate for candidate in candidates if candidate.start < _CONTENTS_END]
    again = _last_again(early, candidates)
    for number, candidate in enumerate(candidates):
        last = number + 1 == len(candidates)
        body = text[candidate.end : len(text) if last else candidates[number + 1].start].strip()
        if number < len(early) and again[number] > number and len(body) < _CONTENTS_TEXT and not _PROSE.search(body):
            run = []
            continue
        run.append(candidate)
        if len(body) < _HEADING_ONLY and not last:
            continue
        # The last of a long run has text under it: it is the chapter right after the contents.
        kept.extend(run if len(run) <= _MOST_TOGETHER else run[-1:])
        run = []
    return kept


def _last_again(early: list[_Candidate], candidates: list[_Candidate]) -> list[int]:
    """For each of the first headings, the place of the last one that is of the same chapter, which may be itself.

    That is: of the same kind, with the same words, or the words of one and a title after them. By tables instead of
    pairs, whose number grows with the square of the headings.
    """
    whole = {_words(each): 0 for each in early}
    begun = {words[:length]: 0 for words in whole for length in range(1, len(words) + 1)}
    for number, candidate in enumerate(candidates):
        words = _words(candidate)
        if words in begun:  # an early one has these words, and maybe a title after them
            begun[words] = number
        for length in range(1, len(words) + 1):
            if words[:length] in whole:
                whole[words[:length]] = number
            if words[:length] not in begun:
                break  # no early one goes on like this
    return [
        max(whole[words], *(begun[words[:length]] for length in range(1, len(words) + 1)))
        for words in map(_words, early)
    ]


def _words(candidate: _Candidate) -> tuple[str, ...]:
    """The kind of a heading and its words."""
    return (candidate.kind, *re.findall(r"\w+", candidate.title.casefold()))


def _in_sequence(candidates: list[_Candidate]) -> list[_Candidate]:
    """Drops numbered lines whose number does not follow from the ones before, and all of them if few are left."""
    kept: list[_Candidate] = []
    last: list[int] = []
    for candidate in _with_chapters_named_by_number(candidates):
        if candidate.kind != "number":
            kept.append(candidate)
            continue
        number = [int(part) for part in candidate.title.split(" ")[0].strip(".").split(".")]
        if _follows(number, last):
            last = number
            kept.append(candidate)
    numbered = [candidate for candidate in kept if candidate.kind == "number"]
    if len(numbered) < 3:
        kept = [candidate for candidate in kept if candidate.kind != "number"]
    return kept if _chinese_in_order(kept) else [candidate for candidate in kept if not candidate.loose]


def _chinese_in_order(candidates: list[_Candidate]) -> bool:
    """Whether most Chinese headings count on from the one before, or begin anew: page headers and mentions don't."""
    last: dict[str, int] = {}  # by what is counted, chapters or volumes
    counted = on = 0
    for match in (_CHINESE_LINE.match(each.title) for each in candidates if each.kind == "chinese"):
        if match is not None:
            number, unit = _chinese(match.group(1)), match.group(2)
            if unit in last and not number == 1 < last[unit]:
                counted, on = counted + 1, on + (number == last[unit] + 1)
            last[unit] = number
    return on > 0 and 2 * on >= counted


def _chinese(numeral: str) -> int:
    """The value of a number in Chinese or other digits: 一百零五, 一〇五, 105."""
    value = digits = 0
    for each in map(int, map(unicodedata.numeric, numeral)):
        if each >= 10:
            value, digits = value + (digits or 1) * each, 0
        else:
            digits = 10 * digits + each
    return value + digits


def _with_chapters_named_by_number(candidates: list[_Candidate]) -> Iterator[_Candidate]:
    """Where "ADVENTURE VI. ..." is followed by "VII. ...", that is the next adventure, not a part of the sixth."""
    chapter = part = 0
    for candidate in candidates:
        words = candidate.title.replace(".", " ").replace(":", " ").split()
        if candidate.kind == "inner":
            chapter, part = _roman(words[1]), 0
        elif candidate.kind == "roman":
            number = _roman(words[0])
            if number == chapter + 1 and number != part + 1 and chapter:
                candidate, chapter, part = replace(candidate, kind="inner"), number, 0
            else:
                part = number
        yield candidate


def _roman(numeral: str) -> int:
    """The value of a Roman numeral, 0 of anything else."""
    values = [_DIGITS.get(character, 0) for character in numeral]
    if not all(values):
        return 0
    return sum(-value if value < max(values[i:]) else value for i, value in enumerate(values))


def _follows(number: list[int], last: list[int]) -> bool:
    """Whether a section number may come after another: one deeper begins at 0 or 1; else the last part went up."""
    if not last:
        return number in ([0], [1]) or number == [1, 1]
    if len(number) > len(last):
        return number[: len(last)] == last and all(part <= 1 for part in number[len(last) :])
    return number[:-1] == last[: len(number) - 1] and 0 < number[-1] - last[len(number) - 1] <= 2
