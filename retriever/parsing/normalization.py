"""The one normalization of text that is kept as it was sent."""

import re

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def normalize(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD; the length and every offset stay."""
    return _UNSTORABLE.sub("\ufffd", text)
