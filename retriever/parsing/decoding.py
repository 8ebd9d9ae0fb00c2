"""Bytes -> text: which encoding a file is in, and whether it is text at all."""

import codecs
import re

import chardet

from retriever.errors import UnsupportedFormat

# Longest first: the UTF-32 little-endian mark begins with the UTF-16 one.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 64_000
# https://encoding.spec.whatwg.org/#names-and-labels
_WHATWG = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030"}
# Python's codecs for other things than documents; some take quadratic time.
_NO_DOCUMENTS = frozenset(["idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"])
# Characters that no text holds; tabs, line ends, form feeds and escapes are left out, NUL counts.
_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROL = 0.02
# Below it the detector is guessing, and what the web falls back on is the better guess: a few accents in English.
_LEAST_CONFIDENCE = 0.1


def decode(data: bytes, *, declared: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file and warnings about it; a byte order mark is dropped.

    A byte order mark decides; else the `declared` encoding if it is known and fits the bytes; else UTF-8 where the
    bytes are valid, or nearly so; else UTF-16 or UTF-32 by their zero bytes; else what chardet finds.
    Raises UnsupportedFormat where the bytes are no text.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _lenient(data[len(mark) :], marked)
    if declared and (text := _as_declared(data, declared)) is not None:
        return text, ()
    encoding = _wide(data)
    if encoding is None and (_is_utf8(data) or _nearly_utf8(data)):
        encoding = "utf-8"
    text, warnings = _lenient(data, encoding or _detected(data))
    sample = text[:_SAMPLE]
    if len(_CONTROL.findall(sample)) > _MOST_CONTROL * len(sample):
        raise UnsupportedFormat("the file is not text")
    return text, warnings


def _detected(data: bytes) -> str:
    """The encoding that chardet finds. Raises UnsupportedFormat where it finds none."""
    found = chardet.detect(data[:_SAMPLE])
    if found["encoding"] is None:
        raise UnsupportedFormat("the file is not text in any known encoding")
    if found["confidence"] < _LEAST_CONFIDENCE and _as_declared(data, "cp1252") is not None:
        return "cp1252"
    return _python_name(found["encoding"]) or "cp1252"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _python_name(encoding: str) -> str | None:
    """The codec for an encoding's name, as browsers take it: Latin-1 means Windows-1252, and so on."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return None
    return None if name in _NO_DOCUMENTS else _WHATWG.get(name, name)


def _as_declared(data: bytes, declared: str) -> str | None:
    """The text in the encoding that the file or its sender names; None where that is unknown or does not fit."""
    name = _python_name(declared)
    try:
        return data.decode(name) if name else None
    except (LookupError, UnicodeError):
        return None


def _lenient(data: bytes, encoding: str) -> tuple[str, tuple[str, ...]]:
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
        return text, (f"some bytes are not valid {encoding}; they read as U+FFFD",)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, told by where zero bytes stand in text that is partly ASCII."""
    sample = data[:_SAMPLE]
    sample = sample[: len(sample) - len(sample) % 4]
    if len(sample) < 4:
        return None
    zeros = [sample[i::4].count(0) / (len(sample) // 4) for i in range(4)]
    if min(zeros[1:]) > 0.9 and zeros[0] < 0.1:
        return "utf-32-le"
    if min(zeros[:3]) > 0.9 and zeros[3] < 0.1:
        return "utf-32-be"
    if min(zeros[1], zeros[3]) > 0.3 and max(zeros[0], zeros[2]) < 0.1:
        return "utf-16-le"
    if min(zeros[0], zeros[2]) > 0.3 and max(zeros[1], zeros[3]) < 0.1:
        return "utf-16-be"
    return None


def _nearly_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8 with a few broken ones, such as a file cut in the middle of a character."""
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    whole = sum(1 for character in text if character > "\x7f") - broken
    return whole > 20 * broken
