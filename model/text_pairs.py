"""Questions and passages as a checkpoint's own tokenizer has them: its special tokens, and exact offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from model.errors import UnsupportedModel
from model.network import MAX_QUESTION_PIECES, Pieces


@dataclass(frozen=True, kw_only=True)
class Template:
    """The special tokens around a question and a passage, and the segments of the two.

    `before` question `between` passage `after`; those between are in the question's segment, as in BERT.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, int]

    @property
    def size(self) -> int:
        """How many special tokens a pair has."""
        return len(self.before) + len(self.between) + len(self.after)


class PairTokenizer:
    """A tokenizer of word pieces or of byte-level pairs, as what the readers ask of one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Takes the tokenizer over: it neither cuts nor pads any more. Raises UnsupportedModel without pairs."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.template = _template(tokenizer)
        self.line_end: tuple[int, ...] = tuple(tokenizer.encode("\n", add_special_tokens=False).ids)

    def question(self, text: str) -> list[int]:
        """A question without special tokens, cut at MAX_QUESTION_PIECES."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids[:MAX_QUESTION_PIECES]

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """Each text in pieces. A piece that is white space alone has an empty range: no answer begins or ends there."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            Pieces(ids=encoding.ids, offsets=[_without_space(text, *offsets) for offsets in encoding.offsets])
            for text, encoding in zip(texts, encodings, strict=True)
        ]


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    """A range without the white space at its ends: a byte-level piece begins with the space before its word."""
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    return start, max(start, end - len(inside) + len(inside.rstrip()))


def _template(tokenizer: Tokenizer) -> Template:
    """Read off a pair that the tokenizer puts together itself."""
    pair = tokenizer.encode("a", "b")
    sides, ids, segments = pair.sequence_ids, pair.ids, pair.type_ids
    if None not in sides or 0 not in sides or 1 not in sides:
        raise UnsupportedModel("the tokenizer puts no special tokens around a question and a passage")
    last = len(sides) - 1
    question, passage = sides.index(0), sides.index(1)
    question_end, passage_end = last - sides[::-1].index(0) + 1, last - sides[::-1].index(1) + 1
    return Template(
        before=tuple(ids[:question]),
        between=tuple(ids[question_end:passage]),
        after=tuple(ids[passage_end:]),
        segments=(segments[question], segments[passage]),
    )
