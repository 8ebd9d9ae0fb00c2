"""Texts to the encoder's vectors, as `/v1/embeddings` gives them."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from app.bodies import invalid
from app.v1.models import check_encoder
from app.v1.schemas import Embedding, EmbeddingsReply, EmbeddingsRequest, EmbeddingUsage
from app.wiring import Lectern

MAX_PIECES = 300_000  # of all inputs together: a minute's work of two busy cores
FEW = 8  # texts that go before bulk work, as a question does


def embed(lectern: Lectern, tenant: str, request: EmbeddingsRequest) -> Mapping[str, Any]:
    """The reply to a request. Raises NotFound, Invalid, QueueFull and ShuttingDown.

    A text that is longer than the encoder reads is refused: its vector would be that of its beginning.
    """
    check_encoder(lectern, tenant, request.model)
    if request.dimensions not in (None, lectern.encoder.dimension):
        raise invalid([{"loc": ["dimensions"], "msg": f"the encoder's vectors have {lectern.encoder.dimension}"}])
    alone = isinstance(request.input, str)
    texts = [request.input] if isinstance(request.input, str) else request.input
    pieces = _pieces(lectern, texts, alone=alone)
    encoder = lectern.encoder if len(texts) <= FEW else lectern.inference.encoder("bulk")
    vectors = encoder.encode_passages(texts).astype("<f4")
    shown: list[list[float] | str]
    if request.encoding_format == "base64":
        shown = [base64.b64encode(row.tobytes()).decode() for row in vectors]
    else:
        shown = [row.tolist() for row in vectors]
    return EmbeddingsReply(
        data=[Embedding(index=index, embedding=vector) for index, vector in enumerate(shown)],
        model=lectern.encoder.version,
        usage=EmbeddingUsage(prompt_tokens=sum(pieces), total_tokens=sum(pieces)),
    ).model_dump(mode="json")


def _pieces(lectern: Lectern, texts: Sequence[str], *, alone: bool) -> list[int]:
    """Word pieces of each text. Raises Invalid for one that is too long, or too many together."""
    longest = lectern.encoder.longest
    pieces = lectern.encoder.count_word_pieces(texts)
    for number, count in enumerate(pieces):
        if count > longest:
            told = f"{count} word pieces, and the encoder reads {longest}: split it"
            raise invalid([{"loc": ["input"] if alone else ["input", number], "msg": told}])
    if sum(pieces) > MAX_PIECES:
        raise invalid([{"loc": ["input"], "msg": f"over {MAX_PIECES:,} word pieces together: send several requests"}])
    return pieces
