import math

import pytest
import torch

from app.evaluation.errors import EvaluationError
from app.evaluation.perplexity import evaluate_perplexity, plot_perplexity
from model.encoder import load_tokenizer
from model.language_model import LanguageModel
from model.transformer_xl import XLShape


class Uniform(LanguageModel):
    """Foresees nothing: every word piece is as probable as any other."""

    def __init__(self):
        super().__init__(XLShape(width=16, layers=1, heads=1, inner=8), torch.zeros(100, 4))

    def forward(self, tokens, targets, memory=(), **_):
        return torch.full(targets.shape, math.log(30_522)), memory


def test_a_model_that_foresees_nothing_is_as_perplexed_as_its_vocabulary_is_large(tmp_path):
    text = "The mill stands in Leith. " * 30
    (tmp_path / "a.txt").write_text(text)
    measured = evaluate_perplexity(Uniform(), tmp_path, memories=[0, 64])
    assert list(measured) == [0, 64]
    pieces = len(load_tokenizer().encode(text, add_special_tokens=False).ids)
    assert (measured[0].tokens, measured[0].words) == (pieces, 150)
    assert measured[0].token == pytest.approx(30_522, rel=1e-4)
    assert measured[0].word == pytest.approx(math.exp(math.log(30_522) * pieces / 150), rel=1e-4)
    plot_perplexity({"a": measured}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_path_without_text_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="holds no text"):
        evaluate_perplexity(Uniform(), tmp_path, memories=[0])
    with pytest.raises(EvaluationError, match="cannot read"):
        evaluate_perplexity(Uniform(), tmp_path / "none.txt", memories=[0])
