from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.like_names import LikeNames
from model.encoder import MiniLMEncoder


def test_names_of_people_come_before_those_of_places_for_a_person() -> None:
    alike = LikeNames(MiniLMEncoder.load().encode_queries)
    others = ["Norway", "Robert Miller", "Lake Geneva"]
    assert alike("John Smith", others)[0] == "Robert Miller"
    assert alike("Sweden", others)[0] == "Norway"


def test_each_name_is_encoded_once_and_none_is_needed_for_nothing() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.extend(texts)
        return np.eye(8, dtype=np.float32)[[len(text) for text in texts]]

    alike = LikeNames(encode)
    assert alike("abc", []) == []
    assert alike("abc", ["d", "efg"]) == ["efg", "d"]
    assert alike("efg", ["abc", "d"]) == ["abc", "d"]
    assert sorted(asked) == ["abc", "d", "efg"]
