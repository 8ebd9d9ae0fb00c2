"""What the reader is trained to minimise.

B batch, N passages, C tokens a passage
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network import Logits
from model.training.groups import Batch


def span_loss(logits: Logits, spans: Tensor) -> Tensor:
    """Mean over the batch of -log of the summed probability of all answer places; of null where there is none.

    `spans` rows are (group, passage, first, last). One softmax spans all passages of a group and null:
    Clark and Gardner 2018, section 3.2; summed over places as in their section 3.1.
    """
    answer, null = answer_log_likelihood(logits, spans)
    return -torch.where(answer.isneginf(), null, answer).mean()


def apart(logits: Logits, spans: Tensor, real: Tensor) -> tuple[Logits, Tensor]:
    """Every real passage as a group of its own, with the null of its question, and the spans of those groups.

    `real` [B, N] marks the passages that are no padding. Under `span_loss` each passage then has a softmax of its own:
    what a reader that is trained on pairs learns from.
    """
    count = logits.start.shape[1]
    rows = real.flatten().nonzero()[:, 0]
    place = torch.full((real.numel(),), -1, dtype=torch.long, device=real.device)
    place[rows] = torch.arange(len(rows), device=real.device)
    group, passage, first, last = spans.unbind(-1)
    alone = Logits(
        start=logits.start.flatten(0, 1)[rows, None],
        end=logits.end.flatten(0, 1)[rows, None],
        null_start=logits.null_start[rows // count],
        null_end=logits.null_end[rows // count],
        relevance=logits.relevance.flatten()[rows, None],
    )
    return alone, torch.stack([place[group * count + passage], torch.zeros_like(passage), first, last], dim=-1)


def answer_log_likelihood(logits: Logits, spans: Tensor) -> tuple[Tensor, Tensor]:
    """log of the summed probability of all answer places [B], -inf without any, and of null [B]; `spans` as above.

    No gradient comes from a group without a place, and none is not a number.
    """
    start, end, null = logits.log_probabilities()
    group, passage, first, last = spans.unbind(-1)
    place = start[group, passage, first] + end[group, passage, last]
    batch = null.shape[0]
    answered = torch.zeros(batch, dtype=torch.bool, device=null.device).index_fill(0, group, True)
    highest = torch.full((batch,), float("-inf"), device=null.device).scatter_reduce(0, group, place.detach(), "amax")
    shift = torch.where(answered, highest, torch.zeros_like(highest))
    total = torch.zeros(batch, device=null.device).index_add(0, group, (place - shift[group]).exp())
    answer = shift + torch.where(answered, total, torch.ones_like(total)).log()
    return torch.where(answered, answer, torch.full_like(answer, float("-inf"))), null


def distillation_loss(logits: Logits, teachers: Sequence[Logits], groups: Tensor) -> Tensor:
    """Cross-entropy of the start and of the end, null among them, with the mean of the teachers' probabilities.

    The mean over the `groups` [G], numbers in the batch, that are learned from teachers; 0 without any.
    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", at a temperature of 1.
    """
    with torch.no_grad():
        wanted = torch.stack([_log_chances(teacher).exp() for teacher in teachers]).mean(0)
    chances = _log_chances(logits)
    lost = -(wanted * chances.masked_fill(chances.isneginf(), 0.0)).sum(-1).mean(0)
    return lost[groups].sum() / max(1, len(groups))


def _log_chances(logits: Logits) -> Tensor:
    """Log-probabilities [2, B, N * C + 1] of where an answer starts and where it ends, null last."""
    start = torch.cat([logits.start.flatten(1), logits.null_start[:, None]], dim=1)
    end = torch.cat([logits.end.flatten(1), logits.null_end[:, None]], dim=1)
    return torch.stack([start, end]).log_softmax(-1)


def relevance_loss(logits: Logits, batch: Batch) -> Tensor:
    """Mean binary cross-entropy of the relevance head over the real passages of a batch."""
    real = batch.layout.mask.any(-1)
    return F.binary_cross_entropy_with_logits(logits.relevance[real], batch.relevant[real])
