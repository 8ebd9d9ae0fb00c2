"""Who says what: the turns of a text whose lines say who speaks.

Three ways to say it, one a document: "Name: text", "[name] text" or "<name> text", and a line with a name and a time
above the text. Prose is full of colons and so are records, so a text is a dialogue only where its labels behave as
speakers do: most lines or paragraphs begin with one, they come again and again, in no fixed order unless there are two,
and what follows them reads as something said. A text that is not sure to be one is prose.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from retriever.types import ParsedDocument, Section, Turn


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Bounded, so that a line of spaces takes no longer than another one.
_GAP = r"[ \t]{0,20}"
_SPACES = r"[ \t]{1,20}"
_CLOCK = r"(?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?(?:[ \u202f]?[AaPp]\.?[Mm]\.?)?"
_DATE = r"(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:,[ ]|[ T]))?"
_STAMP = rf"(?:[\[(]?{_DATE}{_CLOCK}[\])]?{_GAP}(?:[-–—]{_GAP})?)"
_NAME = r"[^\W_](?:[^\n:：()\[\]<>{}|=;,/\\\"“”?!*]|(?<=\w),(?= [A-Z]))"
_ASIDE = r"(?:[ \t]\((?!\d)[^\n]{1,100}?\)(?=\**[:：]))"  # of whom a name is: "(Minister of Finance)"
BEHIND_COLON = r"(?=[\s\u3040-\u30ff\u3400-\u9fff])"  # Chinese and Japanese have no blank there
_BOLD = r"(?:\*\*|__|\*|_)?"
_LABELS = (
    re.compile(
        rf"^{_GAP}{_STAMP}?(?:>{{1,3}}{_GAP}|[-–—•]{_SPACES})?{_BOLD}(?P<name>[#@]?{_NAME}{{0,47}}){_ASIDE}?"
        rf"(?:{_GAP}[\[(]?{_CLOCK}[\])]?)?{_BOLD}(?::{_BOLD}{BEHIND_COLON}|：(?:\*\*)?){_GAP}",
        re.MULTILINE,
    ),
    re.compile(rf"^{_GAP}{_STAMP}?[\[<](?P<name>{_NAME}{{0,31}})[\]>]{_SPACES}(?=\S)", re.MULTILINE),
    re.compile(
        rf"^{_GAP}(?P<name>{_NAME}{{0,47}}?)(?:{_SPACES}[-–—•|]{_SPACES}|{_SPACES}|,[ ])[\[(]?{_CLOCK}[\])]?{_GAP}\r?\n"
        rf"(?={_GAP}\S)",
        re.MULTILINE,
    ),
)
# Labels of letters, records, logs, recipes, minutes, papers and notes, which nobody speaks under.
_FIELDS = _names(
    "from to cc bcc subject re fw fwd date sent received attachments reply-to debug info information notice warn "
    "warning error err critical fatal trace exception note notes nb caution hint tip tips danger important example "
    "examples e.g i.e figure fig table step chapter section article part page clause volume act scene day week "
    "phase source sources url http https ftp link summary abstract keywords author authors title name address phone "
    "tel telephone fax mobile email e-mail website web isbn doi id type status version usage returns return params "
    "param parameters args arguments raises yields default defaults option options see todo fixme ingredients method "
    "directions instructions serves servings yield prep time duration place location venue attendees present absent "
    "apologies agenda action actions decision decisions item items minutes total price cost quantity size weight "
    "color colour rating pros cons advantages disadvantages input output expected actual before after definition "
    "theorem lemma proof remark corollary proposition signed p.s ps whereas monday tuesday wednesday thursday "
    "friday saturday sunday translation original first second third finally however level severity category tags "
    "tag priority assignee reporter accept server cookie user-agent content-type "
)
# The same where they are the whole label, with or without a number: a "Risk Manager" speaks. One of two labels that
# take turns is enough, as a dialogue has few labels that name nobody.
_WHOLE_FIELDS = _names(
    "problem problems solution solutions issue issues resolution bug bugs fix fixes feature features benefit benefits "
    "risk risks mitigation mitigations threat threats opportunity opportunities strength strengths weakness "
    "weaknesses advantage disadvantage myth myths fact facts claim claims evidence symptom symptoms cause causes "
    "effect effects consequence consequences reason reasons rationale result results outcome outcomes impact "
    "requirement requirements goal goals objective objectives finding findings observation observations "
    "recommendation recommendations conclusion conclusions hypothesis assumption assumptions context background "
    "purpose scope theory practice term meaning word sentence front back wrong incorrect bad old current proposed "
    "added changed fixed removed deprecated improved updated breaking bugfix enhancement enhancements feat docs chore "
    "refactor perf english french german spanish italian portuguese dutch latin greek russian chinese japanese "
    "korean arabic hebrew hindi polish turkish swedish "
    "姓名 名称 名稱 地址 电话 電話 邮箱 时间 時間 日期 地点 地點 主题 主題 标题 標題 作者 来源 來源 摘要 "
    "关键词 關鍵詞 说明 說明 描述 备注 備註 注意 提示 解决方案 解決方案 方案 原因 结果 結果 结论 結論 风险 風險 措施 "
    "对策 优点 優點 缺点 缺點 优势 劣势 步骤 方法 材料 价格 數量 数量 编号 类型 状态 版本 部门 职位 内容 "
    "例句 释义 解释 翻译 原文 译文 英文 中文 现象 症状 病因 误区 真相 事实 目标 背景 建议 收件人 发件人 抄送 "
)
# Roles of whom a single question and answer is a dialogue already.
_ROLES = re.compile(
    r"#?(?:speaker|person|participant)[ _]?\w{1,2}#?|doctor|dr|patient|nurse|customer|client|agent|support|advisor|"
    r"interviewer|interviewee|moderator|host|guest(?:_\w+)?|user|assistant|bot|system|teacher|student|q|a|caller|"
    r"operator|therapist",
    re.IGNORECASE,
)
_MOST_WORDS = 6
_FEWEST_TURNS = 3
_SAID = re.compile(r"[^\W\d_][”\"’')\]]*\s?[.!?…]|[。！？]|^\W*(?:[^\W\d_][\w'’.\-]*\W+){4}", re.MULTILINE)
_LOOKED_AT = 300  # characters of what is said that tell whether it was
_WORDY = 0.5  # of the turns read as something said
_COVERED = 0.5  # of the lines, or paragraphs, begin with a label
_MOST_COVERED = 0.8
_MANY = 10  # turns from which on the labels themselves tell; fewer have to make up almost all of the text
# Where somebody else speaks whose name broadcast captions don't say.
_UNNAMED = re.compile(r"\n[ \t]{0,20}>>")
_LINE = re.compile(r"\n[ \t]*(?=[^\s])[^\n]")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n[ \t]*[^\s]")


@dataclass(frozen=True, kw_only=True)
class _Label:
    """Where a line names a speaker: the label's first character, where what is said begins, and the name."""

    start: int
    said: int
    name: str


def with_turns(document: ParsedDocument, *, certain: bool = False) -> ParsedDocument:
    """The document with the turns that its lines name; itself where it is no dialogue, is code or has them already.

    Where it is `certain` to be one, every label that may name somebody does.
    """
    if document.kind != "prose":
        return document
    turns = find_turns(document.text, certain=certain)
    return replace(document, turns=tuple(_cut_at(turns, document.sections))) if turns else document


def find_turns(text: str, *, certain: bool = False) -> tuple[Turn, ...]:
    """The turns of a dialogue; none of any other text. A text that is `certain` to be one needs only a label."""
    for pattern in _LABELS:
        labels = [_label(match) for match in pattern.finditer(text)]
        spoken = [label for label in labels if _may_name(label.name)] if certain else _spoken(text, labels)
        if spoken:
            return tuple(
                Turn(speaker=label.name, start=label.start, end=label.start + len(text[label.start : end].rstrip()))
                for label, end in _with_ends(text, spoken)
            )
    return ()


def said_from(text: str, turn: Turn) -> int:
    """Where what a turn says begins, behind the label that names who speaks."""
    own = text[turn.start : turn.end]
    for pattern in _LABELS:
        match = pattern.match(own)
        if match is not None and " ".join(match.group("name").split()) == turn.speaker:
            return turn.start + match.end()
    return turn.start


def _label(match: re.Match[str]) -> _Label:
    whole = match.group()
    start = match.start() + len(whole) - len(whole.lstrip())
    return _Label(start=start, said=match.end(), name=" ".join(match.group("name").split()))


def _spoken(text: str, labels: Sequence[_Label]) -> list[_Label]:
    """Those of the labels that name speakers, in order; none where the text is no dialogue."""
    named = [label for label in labels if _may_name(label.name)]
    names = Counter(label.name.casefold() for label in named)
    if len(names) < 2 or len(labels) - len(named) > len(named) // 4:
        return []
    fewest = 2 if len(named) >= _MANY else 1.5  # turns a speaker has on average
    again = len(named) >= _FEWEST_TURNS and len(named) >= fewest * len(names)
    roles = all(_ROLES.fullmatch(label.name) for label in named)
    if not again and not roles:
        return []
    covered = _coverage(text, named)
    if covered < (_COVERED if len(named) >= _MANY or roles else _MOST_COVERED) or (
        not roles and _are_records(named, len(names))
    ):
        return []
    if sum(_reads_as_said(text, label, end) for label, end in _with_ends(text, named)) < _WORDY * len(named):
        return []
    # A label that comes once is one more speaker where there is hardly anything but turns.
    return [label for label in named if covered >= _MOST_COVERED or names[label.name.casefold()] > 1]


def _may_name(name: str) -> bool:
    """Whether somebody may be called that: a few words, the first in capitals, and no usual heading of a field."""
    words = name.split(" ")
    bare = name.casefold().strip(" .#-@")
    first = words[0].casefold().strip(".,#-@")
    whole = bare.rstrip(" .#0123456789")
    if (
        bare in _FIELDS
        or first in _FIELDS
        or whole in _WHOLE_FIELDS
        or len(words) > _MOST_WORDS
        or re.search(r"\.[a-z_\d]|--", name)
    ):
        return False
    if not any(map(str.isalpha, name)) or sum(word[0].islower() for word in words[1:]) > 2:
        return False
    return len(words) == 1 or not words[0][0].islower()


def _coverage(text: str, labels: Sequence[_Label]) -> float:
    """The share of lines, or of paragraphs if that is larger, that begin with a label; 0 where most comes before."""
    first = labels[0].start
    if first > len(text) // 2:
        return 0.0
    starts = {label.start for label in labels[1:]}
    shares = []
    for pattern in (_LINE, _PARAGRAPH):
        begin = [match.end() - 1 for match in pattern.finditer(text, first)]
        labelled = 1 + sum(start in starts for start in begin)
        # Where there are fewer paragraphs than labels, these are no paragraphs' beginnings.
        shares.append(labelled / max(1 + len(begin), len(labels)))
    return max(shares)


def _are_records(labels: Sequence[_Label], names: int) -> bool:
    """Whether the labels come in a fixed order, as the fields of records do and three speakers don't."""
    if names < 3 or len(labels) < 2 * names:
        return False
    following: dict[str, Counter[str]] = {}
    for label, later in pairwise(label.name.casefold() for label in labels):
        following.setdefault(label, Counter())[later] += 1
    usual = sum(max(counts.values()) for counts in following.values())
    return usual >= 0.9 * (len(labels) - 1)


def _with_ends(text: str, labels: Sequence[_Label]) -> Iterator[tuple[_Label, int]]:
    """The labels with where what is said under each ends: at the next one, or where somebody unnamed speaks."""
    for label, end in zip(labels, [label.start for label in labels[1:]] + [len(text)], strict=True):
        unnamed = _UNNAMED.search(text, label.said, end)
        yield label, unnamed.start() if unnamed else end


def _reads_as_said(text: str, label: _Label, end: int) -> bool:
    """Whether what stands after a label is a sentence, or has the words of one."""
    return _SAID.search(text[label.said : min(end, label.said + _LOOKED_AT)]) is not None


def _cut_at(turns: Sequence[Turn], sections: Sequence[Section]) -> Iterator[Turn]:
    """The turns, ended where a section begins inside one: nobody says the heading."""
    starts = [section.start for section in sections]
    for turn in turns:
        place = bisect_right(starts, turn.start)
        end = starts[place] if place < len(starts) and starts[place] < turn.end else turn.end
        yield replace(turn, end=end)
