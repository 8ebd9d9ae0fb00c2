"""Any sentence-transformers model as the encoder, when a setting names one; nothing else imports that library.

W width
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.encoder import MiniLMEncoder
from model.errors import UnsupportedModel, WeightsMissing


class NamedEncoder:
    """A sentence-transformers model with its own pooling and prompts; vectors are unit rows."""

    def __init__(self, name: str) -> None:
        """Loads a folder, with no connection made, or a hub's model, which is downloaded once. Safetensors alone.

        Raises WeightsMissing where there is none, UnsupportedModel where its vectors have no fixed length.
        """
        from sentence_transformers import SentenceTransformer

        folder = Path(name)
        try:
            self._model = SentenceTransformer(
                name, device="cpu", local_files_only=folder.is_dir(), model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError) as error:
            raise WeightsMissing(f"no encoder '{name}': neither a folder nor a model that can be fetched") from error
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise UnsupportedModel(f"the vectors of '{name}' have no fixed length")
        self._dimension = int(dimension)
        digest = hashlib.sha256()
        for parameter in self._model.state_dict().values():
            digest.update(parameter.detach().float().contiguous().numpy().tobytes())
        self._version = f"{folder.name}@{digest.hexdigest()[:12]}"

    @property
    def version(self) -> str:
        """Name and hash of the weights: vectors of different versions never mix."""
        return self._version

    @property
    def dimension(self) -> int:
        """W, the length of a vector."""
        return self._dimension

    @property
    def longest(self) -> int:
        """Word pieces of a text, without special tokens, up to which it is read whole."""
        special = self._model.tokenizer.num_special_tokens_to_add()
        return int(self._model.max_seq_length or self._model.tokenizer.model_max_length) - int(special)

    def count_word_pieces(self, texts: Sequence[str], /) -> list[int]:
        """Word pieces of each text, without special tokens."""
        encoded = self._model.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(ids) for ids in encoded]

    def encode_passages(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit vectors [N, W], a row a text."""
        return self._unit(self._model.encode_document(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Unit vectors [N, W]; with the model's prompt for queries, where it has one."""
        return self._unit(self._model.encode_query(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def _unit(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(vectors, dtype=np.float32).reshape(-1, self._dimension)


def load_encoder(name: str | None) -> MiniLMEncoder | NamedEncoder:
    """The encoder of a setting: None is the packaged MiniLM. Raises as the two do."""
    return MiniLMEncoder.load() if name is None else NamedEncoder(name)
