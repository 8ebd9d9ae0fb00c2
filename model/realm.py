"""The retriever as a latent variable of the reader: REALM's marginal likelihood, for a reader that extracts spans.

    p(y|x) = sum over z of p(y|z,x) p(z|x)        z: the top-k passages, and a null document     Guu et al. 2020, eq. 1
    p(z|x) = softmax over z of q(x) . d(z) / temperature                                         their section 3.2

p(y|z,x) is what the reader makes of passage z alone: the summed probability of all places of y in it, 0 where y does
not stand in it. The null document stands for "no passage helped". A reader that extracts cannot read y off nothing, so
p(y|null,x) is the chance of guessing: one of all spans of the same passages, up to a length, at random. It has no
parameters; the retriever's score of the null document is learned.

B questions, K passages each, W width, R rank
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST_SPAN = 30  # tokens of a span that a guess may take: as long as the reader's own answers


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """log p(y|x) [B], log p(y|null,x) [B], and p(z|x), p(z|x,y) [B, 1 + K] with the null document first.

    The posterior has no gradient: it is what the passages turned out to be worth.
    """

    log_likelihood: Tensor
    null: Tensor
    prior: Tensor
    posterior: Tensor

    @property
    def loss(self) -> Tensor:
        """Mean of -log p(y|x)."""
        return -self.log_likelihood.mean()

    @property
    def utility(self) -> Tensor:
        """What retrieval is worth [B]: log p(y|x) - log p(y|null,x), in nats.

        Where passages help nothing it is log p(null|x), below 0: what it costs to have looked.
        """
        return (self.log_likelihood - self.null).detach()


def retrieval_log_probabilities(
    queries: Tensor, passages: Tensor, null: Tensor, *, mask: Tensor, temperature: float
) -> Tensor:
    """log p(z|x) [B, 1 + K], the null document first; -inf where `mask` [B, K] is false: there is no passage.

    `queries` [B, W] and `passages` [B, K, W] are vectors, `null` a score (a scalar) on the inner products' scale.
    """
    scores = inner_products(queries[:, None], passages)[:, 0]
    scores = torch.cat([null.expand(len(scores), 1), scores.masked_fill(~mask, float("-inf"))], dim=1)
    return (scores / temperature).log_softmax(-1)


def inner_products(queries: Tensor, passages: Tensor) -> Tensor:
    """[..., B, W] and [..., P, W] -> [..., B, P], in full precision: a temperature enlarges differences."""
    with torch.autocast(queries.device.type, enabled=False):
        return queries @ passages.transpose(-2, -1)


def marginal(retrieval: Tensor, reading: Tensor, null: Tensor) -> Marginal:
    """The sum over passages and the null document, in logs.

    `retrieval` is log p(z|x) [B, 1 + K], `reading` log p(y|z,x) [B, K], -inf where y does not stand in z, and `null`
    log p(y|null,x) [B], which is finite, so that the sum is.
    """
    joint = retrieval + torch.cat([null[:, None], reading], dim=1)
    total = joint.logsumexp(-1)
    return Marginal(
        log_likelihood=total,
        null=null,
        prior=retrieval.detach().exp(),
        posterior=(joint - total[:, None]).detach().exp(),
    )


def guess_log_likelihood(lengths: Tensor, places: Tensor, *, longest: int = LONGEST_SPAN) -> Tensor:
    """log p(y|null,x) [B]: the chance that a random span of the passages reads y.

    `lengths` [B, K] are the passages' tokens, 0 where there is none, `places` [B] how often y stands in them. Where it
    stands in none it counts as if it stood there once: the chance stays above zero, and is that of the same passages.
    """
    longer = lengths.clamp(min=longest)
    spans = torch.where(
        lengths < longest, lengths * (lengths + 1) / 2, longer * longest - longest * (longest - 1) / 2
    ).sum(-1)
    return (places.clamp(min=1) / spans.clamp(min=1)).log()


def contrastive_loss(scores: Tensor, positive: Tensor, *, temperature: float) -> Tensor:
    """Mean of -log of the share that a query's positive passages have in the softmax over all passages of the batch.

    `scores` [B, P] are inner products, `positive` [B, P] is true for the passages that answer; every row has one.
    In-batch negatives as in Karpukhin et al. 2020, section 3.2; several positives are summed.
    """
    logits = scores / temperature
    return (logits.logsumexp(-1) - logits.masked_fill(~positive, float("-inf")).logsumexp(-1)).mean()


def distillation_loss(scores: Tensor, relevance: Tensor, *, mask: Tensor, temperature: float) -> Tensor:
    """Mean KL divergence from the reader's softmax over K passages to the retriever's: the reader teaches.

    `scores` are inner products and `relevance` the reader's logits, both [B, K]; `mask` is false where there is none.
    Izacard and Grave 2021, equation 3.
    """
    closed = float("-inf")
    wanted = relevance.masked_fill(~mask, closed).log_softmax(-1).detach()
    ours = (scores / temperature).masked_fill(~mask, closed).log_softmax(-1)
    terms = wanted.exp() * (wanted - ours)
    return torch.where(mask, terms, torch.zeros_like(terms)).sum(-1).mean()


class QueryAdapter(nn.Module):
    """A low-rank residual map on query vectors: q' = unit(q + U D q). Passages keep their vectors, so their index.

    It starts as the identity. R = 16 adds 12,288 numbers to an encoder of width 384.
    """

    def __init__(self, width: int, *, rank: int = 16) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.normal_(self.down.weight, std=1 / math.sqrt(width))
        nn.init.zeros_(self.up.weight)

    def forward(self, queries: Tensor) -> Tensor:
        """[..., W] -> unit vectors [..., W]."""
        adapted: Tensor = F.normalize(queries + self.up(self.down(queries)), dim=-1)
        return adapted
