"""A whole document in one sequence: how what was trained on passages reads it, and how it is made longer to be trained.

L word pieces of the document, W width
"""

from dataclasses import replace

import torch
from torch import Tensor

from model.longformer import GlobalBlock
from model.network import SEP, Logits, Pieces, ReaderNetwork, document_layout

LONGEST_DOCUMENT = 16_384  # word pieces that are read in one sequence
STRETCH = 384  # word pieces after which positions begin again: the longest passage that was trained on
REACH = 128  # tokens each side that a token sees, in every layer: the window that passages of 130 were read in


def for_documents(network: ReaderNetwork, *, positions: int, own_global: bool = False) -> ReaderNetwork:
    """The same reader with a longer table of positions, tiled, as Longformer's authors did with RoBERTa's.

    All else is shared, not copied. With `own_global` the global projections start as copies of the local ones, from
    where training can part them; until then the outputs are the same. Source: Beltagy et al. 2020, section 5.
    """
    shape = network.longformer.shape
    state = network.state_dict()
    table = state["longformer.embeddings.position.weight"]
    state["longformer.embeddings.position.weight"] = table.repeat(-(-positions // len(table)), 1)[:positions]
    has_own = any(isinstance(block, GlobalBlock) for block in network.longformer.blocks)
    if own_global and not has_own:
        for name in list(state):
            for part in ("query", "key", "value"):
                if f".{part}." in name:
                    state[name.replace(f".{part}.", f".{part}_global.")] = state[name].clone()
    with torch.device("meta"):
        longer = ReaderNetwork(type(shape)(**{**vars(shape), "positions": positions}), own_global=own_global or has_own)
    longer.load_state_dict(state, assign=True)
    return longer.requires_grad_(False).eval()


def document_logits(
    network: ReaderNetwork, question: list[int], document: Pieces, *, reach: int = REACH, stretch: int = STRETCH
) -> Logits:
    """Scores [1, 1, L] of one document behind a question with its special tokens; relevance [1, 1] its best part's.

    After every `stretch` pieces stands a [SEP], and positions begin again: so the network meets no position but those
    that passages were trained with, while the window goes on over the ends.
    """
    layers = network.longformer.shape.layers
    parts = [document.ids[at : at + stretch] for at in range(0, len(document.ids), stretch)]
    layout = document_layout([(question, [token for part in parts for token in (*part, SEP)])], reach=[reach] * layers)
    places = torch.cat([torch.arange(len(part) + 1) for part in parts]) + len(question)
    positions = torch.zeros_like(layout.positions).flatten()
    positions[: len(places)] = places
    asked, blocks = network.longformer(replace(layout, positions=positions.view_as(layout.positions)))
    read: Tensor = blocks.flatten(1, 2)[0, : len(places)]
    ends = torch.tensor([len(part) + 1 for part in parts]).cumsum(0) - 1
    written = torch.ones(len(places), dtype=torch.bool)
    written[ends] = False
    spans, null = network.span(read[written]).float(), network.span(asked[:, 0]).float()
    return Logits(
        start=spans[None, None, :, 0],
        end=spans[None, None, :, 1],
        null_start=null[:, 0],
        null_end=null[:, 1],
        relevance=network.relevance(read[ends]).float().amax()[None, None],
    )
