"""Perplexity of the language model with memories of several lengths: what a longer context is worth.

Every text is read in segments of the same length, with up to so many positions of what came before as memory; 0 means
that a segment knows nothing of the one before. Perplexity is normalized by word pieces, and by words as white space
parts them, which makes tokenizers comparable.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.evaluation.errors import EvaluationError
from app.evaluation.output import rounded
from app.evaluation.progress import Progress, ProgressCallback, ignore_progress
from app.evaluation.sets import sample
from app.prose import count_words
from model.encoder import load_tokenizer
from model.network import SEP

if TYPE_CHECKING:
    from model.language_model import LanguageModel

SEGMENT = 128


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """exp of the mean -log p by word piece and by word, over `tokens` word pieces and `words` words."""

    token: float
    word: float
    tokens: int
    words: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The object of one memory in `lectern eval perplexity --json`."""
        return {
            "token_perplexity": rounded(self.token, 3),
            "word_perplexity": rounded(self.word, 3),
            "tokens": self.tokens,
            "words": self.words,
        }


def evaluate_perplexity(
    model: "LanguageModel",
    path: Path,
    *,
    memories: Sequence[int],
    segment: int = SEGMENT,
    limit: int | None = None,
    seed: int = 13,
    progress: ProgressCallback | None = None,
) -> dict[int, Perplexity]:
    """Perplexity for each length of memory, over a text file or the .txt files of a folder: all, or `limit` by chance.

    Raises EvaluationError for a path without texts.
    """
    from model.language_model import read_likelihood

    texts = sample(_texts(path), limit, seed=seed)
    tokenizer = load_tokenizer()
    encoded = [[SEP, *encoding.ids] for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    words = sum(map(count_words, texts))
    show, done, whole = progress or ignore_progress, 0, len(memories) * len(texts)
    measured: dict[int, Perplexity] = {}
    for memory in memories:
        nats, tokens = 0.0, 0
        for text in encoded:
            found = read_likelihood(model, text, segment=segment, memory_length=memory)
            nats, tokens, done = nats + found.nats, tokens + found.tokens, done + 1
            show(Progress(done=done, total=whole, unit="texts", elapsed_s=0.0))
        measured[memory] = Perplexity(
            token=math.exp(nats / tokens), word=math.exp(nats / words), tokens=tokens, words=words
        )
    return measured


def plot_perplexity(measured: Mapping[str, Mapping[int, Perplexity]], path: Path) -> None:
    """Draws the perplexity by word of each set over the memory into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot(xlabel="memory, word pieces", ylabel="perplexity by word")
    for name, by_memory in measured.items():
        axes.plot(list(by_memory), [one.word for one in by_memory.values()], marker="o", label=name)
    axes.legend()
    figure.savefig(path, dpi=120)


def _texts(path: Path) -> list[str]:
    try:
        paths = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        texts = [one.read_text(encoding="utf-8") for one in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read {path}: {error}") from error
    if not any(text.strip() for text in texts):
        raise EvaluationError(f"{path} holds no text: name a text file, or a folder of .txt files")
    return [text for text in texts if text.strip()]
