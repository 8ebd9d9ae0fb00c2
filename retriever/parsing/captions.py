"""WebVTT and SubRip: what is said, in order, without times and positions.

Cues are read by webvtt-py; who speaks is what their voice tags (`<v Ann>`) or, in their absence, labels in their text
say. A sentence goes on over the cues that it is spread over, and what rolling captions show twice is read once.
"""

import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

from retriever.errors import NoText, UnsupportedFormat
from retriever.parsing.dialogue import BEHIND_COLON, with_turns
from retriever.parsing.limits import Limits
from retriever.parsing.outline import sections_of
from retriever.parsing.transcript import Said, written
from retriever.types import ParsedDocument

MEDIA_TYPES = {"vtt": "text/vtt", "srt": "application/x-subrip"}

_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]{1,100})>")
_NAME = re.compile(r"[^\W_]")  # a dash names nobody
_TAG = re.compile(r"<[^<>]{0,100}>|\{\\[^{}]{0,100}\}")  # also SubStation's overrides, which SubRip files carry
_NEW_SPEAKER = re.compile(r"^(?:-|–|—|>>)\s*(?=\S)")
_LABELLED = re.compile(r"^(?:\[[^\[\]\n]{1,30}\]|[^\W\d_][^\n:：]{0,40}(?::(?:$|" + BEHIND_COLON + r")|：))")
_PAUSE = 2.0  # seconds between cues from which on a paragraph ends, where a sentence has ended
_SAID_AGAIN = 20  # characters up to which the same cue again is somebody who says so again
_ENDED = re.compile(r"""[.!?…。！？♪]["'”’)\]]*$""")


@dataclass(frozen=True, kw_only=True)
class _Cue:
    """What one voice says in a cue, by lines."""

    start: float
    end: float
    voice: str | None
    lines: tuple[str, ...]


def parse_captions(text: str, *, kind: str, limits: Limits) -> ParsedDocument:
    """The document of a decoded `vtt` or `srt` file. Raises UnsupportedFormat, NoText, LimitExceeded."""
    try:
        captions = webvtt.from_buffer(io.StringIO(text), format=kind).captions
    except (MalformedFileError, MalformedCaptionError) as error:
        name = "WebVTT" if kind == "vtt" else "SubRip"
        raise UnsupportedFormat(f"the file claims to be {name}, but holds plain text") from error
    cues = list(_without_repeats(part for caption in captions for part in _voices(caption)))
    if not cues:
        raise NoText("the captions have no text")
    voiced = any(cue.voice for cue in cues)
    said, turns, headings = written(_spoken(cues) if voiced else _paragraphs(cues), limits=limits, joining=True)
    document = ParsedDocument(
        text=said,
        media_type=MEDIA_TYPES[kind],
        title=None,
        sections=sections_of(said, headings),
        turns=tuple(turns),
    )
    return with_turns(document)


def _voices(caption: webvtt.Caption) -> Iterator[_Cue]:
    """The parts of a cue by who says them: one cue may have several voices, and one voice several lines."""
    parts = _VOICE.split(caption.raw_text)  # text, name, text, name, text ...
    for voice, raw in zip([None, *parts[1::2]], parts[::2], strict=True):
        lines = (" ".join(html.unescape(_TAG.sub("", line)).split()) for line in raw.split("\n"))
        name = " ".join(html.unescape(voice or "").split())
        kept = tuple(line for line in lines if line)
        if kept:
            said_by = name if _NAME.search(name) else None
            yield _Cue(start=caption.start_in_seconds, end=caption.end_in_seconds, voice=said_by, lines=kept)


def _without_repeats(cues: Iterator[_Cue]) -> Iterator[_Cue]:
    """The cues without the lines that the cue before showed already, as captions that roll up do."""
    before: Sequence[str] = ()
    for cue in cues:
        lines = cue.lines
        overlap = next((n for n in range(min(len(before), len(lines)), 0, -1) if before[-n:] == lines[:n]), 0)
        before = lines
        # A short line may well be said twice: "No."
        if overlap and (len(lines) > overlap or len(" ".join(lines)) > _SAID_AGAIN):
            lines = lines[overlap:]
        if lines:
            yield _Cue(start=cue.start, end=cue.end, voice=cue.voice, lines=lines)


def _spoken(cues: Sequence[_Cue]) -> Iterator[Said]:
    for cue in cues:
        yield Said(text=" ".join(cue.lines), speaker=cue.voice)


def _paragraphs(cues: Sequence[_Cue]) -> Iterator[Said]:
    """The lines of cues without voices, joined up to a label, a dash that means another speaker, or a pause."""
    joined: list[str] = []
    end = cues[0].start
    for cue in cues:
        for place, line in enumerate(cue.lines):
            paused = place == 0 and cue.start - end >= _PAUSE and joined and _ENDED.search(joined[-1])
            if joined and (paused or _LABELLED.match(line) or _NEW_SPEAKER.match(line)):
                yield Said(text=" ".join(joined))
                joined = []
            joined.append(line)
        end = cue.end
    if joined:
        yield Said(text=" ".join(joined))
