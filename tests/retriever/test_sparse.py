"""The sparse index scores as its formula says, finds what was committed, and notices what was broken."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from retriever.bm25 import LENGTHS, bm25
from retriever.errors import IndexCorrupt
from retriever.sparse import ALL_KEYS, SparseIndex
from retriever.terms import terms
from retriever.types import Passage

DATA = Path(os.environ.get("LECTERN_DATA", Path(__file__).parents[3] / "shared" / "data"))


def passage(key: int, text: str, document: str = "d") -> Passage:
    return Passage(key=key, id=str(key), document_id=document, version="v", ordinal=0, start=0, end=0, text=text)


def filled(path: Path, passages: list[Passage], seq: int = 1) -> SparseIndex:
    index = SparseIndex(path)
    index.apply(seq, {}, passages)
    index.commit()
    return index


def is_refused(folder: Path) -> bool:
    try:
        SparseIndex(folder).close()
    except IndexCorrupt:
        return True
    return False


def random_passages(count: int, *, seed: int = 0, longest: int = 600) -> list[Passage]:
    chance = random.Random(seed)
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(chance.choices(words, k=chance.randint(1, longest))) for _ in range(count)]
    return [passage(key, text, f"d{key % 7}") for key, text in enumerate(texts, start=1)]


def test_scores_are_those_of_the_formula(tmp_path: Path) -> None:
    passages = random_passages(300)
    index = filled(tmp_path / "sparse", passages)
    for query in ("word1", "word1 word2 word3", "word7 word7 word9 unknown"):
        reference = bm25(terms(query), [terms(each.text) for each in passages])
        scores = index.score(query, [each.key for each in passages])
        np.testing.assert_allclose([scores[each.key] for each in passages], reference, rtol=1e-5, atol=1e-5)
        found = index.search(query, 300)
        expected = sorted((-score, key) for key, score in scores.items() if score > 0)
        assert [(-each.score, each.key) for each in found] == expected
    index.close()


def test_scores_are_those_of_the_formula_again_once_deletes_are_merged(tmp_path: Path) -> None:
    passages = random_passages(160, longest=40)  # exact in the length table: a merge takes the average from there
    index = SparseIndex(tmp_path / "sparse")
    for first in range(0, 160, 20):  # eight segments: as many as tantivy merges
        removed = {"d3": ALL_KEYS} if first == 140 else {}
        index.apply(first, removed, passages[first : first + 20])
        index.commit()
    index.close()  # waits for the merge
    index = SparseIndex(tmp_path / "sparse")
    left = [each for each in passages if each.document_id != "d3" or each.key > 140]
    assert (index.passages, index.deleted_share) == (len(left), 0)
    reference = bm25(terms("word1 word2"), [terms(each.text) for each in left])
    scores = index.score("word1 word2", [each.key for each in left])
    np.testing.assert_allclose([scores[each.key] for each in left], reference, rtol=1e-5, atol=1e-5)
    index.close()


def test_the_length_table_is_exact_for_short_passages_and_within_an_eighth_for_long_ones() -> None:
    assert LENGTHS[:41].tolist() == list(range(41))
    assert LENGTHS[41:46].tolist() == [42, 44, 46, 48, 50]
    assert len(LENGTHS) == 256
    steps = np.diff(LENGTHS[40:]) / LENGTHS[40:-1]
    assert steps.max() <= 0.125


def test_a_restriction_to_documents_does_not_change_scores(tmp_path: Path) -> None:
    passages = random_passages(100)
    index = filled(tmp_path / "sparse", passages)
    everywhere = {each.key: each.score for each in index.search("word1 word2", 100)}
    inside = index.search("word1 word2", 100, documents=["d1", "d2", "unknown"])
    assert inside == [each for each in index.search("word1 word2", 100) if each.key % 7 in (1, 2)]
    assert all(everywhere[each.key] == each.score for each in inside)
    assert index.search("word1", 10, documents=[]) == []
    index.close()


def test_a_document_can_be_replaced_removed_or_cut_down_to_some_keys(tmp_path: Path) -> None:
    index = filled(tmp_path / "sparse", [passage(1, "cat", "a"), passage(2, "cat", "b"), passage(3, "cat", "a")])
    index.apply(2, {"a": ALL_KEYS}, [passage(4, "dog", "a")])
    assert {each.key for each in index.search("cat dog", 9)} == {1, 2, 3}  # not committed yet
    index.commit()
    assert {each.key for each in index.search("cat dog", 9)} == {2, 4}
    index.apply(3, {}, [passage(5, "dog", "a"), passage(6, "dog", "a")])
    index.apply(3, {"a": range(5), "b": range(5, 100)}, ())
    index.commit()
    assert {each.key for each in index.search("cat dog", 9)} == {2, 5, 6}
    assert (index.applied, index.passages) == (3, 3)
    index.close()


def test_what_was_committed_is_there_after_a_restart_and_what_was_not_is_not(tmp_path: Path) -> None:
    index = filled(tmp_path / "sparse", [passage(1, "cat")], seq=5)
    index.apply(6, {}, [passage(2, "cat")])
    index._writer = None  # as a crash leaves it
    index = SparseIndex(tmp_path / "sparse")
    assert index.applied == 5
    assert [each.key for each in index.search("cat", 9)] == [1]
    index.close()


def test_a_sequence_number_that_lags_behind_its_commit_is_harmless(tmp_path: Path) -> None:
    index = filled(tmp_path / "sparse", [passage(1, "cat")], seq=5)
    index.apply(6, {"e": ALL_KEYS}, [passage(2, "cat", "e")])
    before = (tmp_path / "sparse" / "applied.json").read_bytes()
    index.commit()
    index.close()
    (tmp_path / "sparse" / "applied.json").write_bytes(before)
    index = SparseIndex(tmp_path / "sparse")
    assert index.applied == 5
    index.apply(6, {"e": ALL_KEYS}, [passage(2, "cat", "e")])
    index.commit()
    assert [each.key for each in index.search("cat", 9)] == [1, 2]
    index.close()


def test_after_an_error_the_uncommitted_can_be_applied_again(tmp_path: Path) -> None:
    index = filled(tmp_path / "sparse", [passage(1, "cat")], seq=5)
    index.apply(6, {}, [passage(2, "cat")])
    index.reopen()
    index.apply(7, {}, [passage(3, "cat")])
    index.commit()
    assert [each.key for each in index.search("cat", 9)] == [1, 3]
    index.close()


def test_chinese_is_found_by_words_inside_it(tmp_path: Path) -> None:
    index = filled(tmp_path / "sparse", [passage(1, "他在北京大学学习物理。"), passage(2, "上海的天气很好。")])
    assert [each.key for each in index.search("大学", 9)] == [1]
    assert [each.key for each in index.search("天气", 9)] == [2]
    assert index.search("!?", 9) == []
    assert index.score("!?", [1, 2]) == {1: 0.0, 2: 0.0}
    index.close()


def test_every_file_is_held_to_its_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "sparse"
    filled(folder, random_passages(20)).close()
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        if not whole or file.name == ".managed.json":
            continue
        broken = {"cut": whole[: len(whole) // 2], "empty": b""}
        if file.suffix != ".json":  # a JSON file may survive a flipped bit in a number; its counts are checked later
            middle = len(whole) // 2
            broken["flipped"] = whole[:middle] + bytes([whole[middle] ^ 16]) + whole[middle + 1 :]
        for how, data in broken.items():
            file.write_bytes(data)
            assert is_refused(folder), f"{file.name} {how} went unnoticed"
        file.write_bytes(whole)
    for suffix in ("term", "idx", "fast", "fieldnorm", "store"):
        [file] = folder.glob(f"*.{suffix}")
        whole = file.read_bytes()
        file.unlink()
        assert is_refused(folder), f"the missing {suffix} went unnoticed"
        file.write_bytes(whole)
    SparseIndex(folder).close()


def test_recall_is_within_a_point_of_rank_bm25_on_the_same_terms(tmp_path: Path) -> None:
    squad = DATA / "dev" / "squad1.json"
    if not squad.exists():
        pytest.skip(f"no {squad}: set LECTERN_DATA to the data folder")
    paragraphs = [each for article in json.loads(squad.read_text())["data"][::4] for each in article["paragraphs"]]
    texts = [terms(each["context"]) for each in paragraphs]
    asked = [(each["qas"][0]["question"], key) for key, each in enumerate(paragraphs) if each["qas"]]
    index = filled(tmp_path / "sparse", [passage(key, each["context"]) for key, each in enumerate(paragraphs)])
    peer = BM25Okapi(texts, k1=1.2, b=0.75)
    ours = theirs = 0
    for question, key in asked:
        ours += key in [each.key for each in index.search(question, 5)]
        theirs += key in np.argsort(-peer.get_scores(terms(question)), kind="stable")[:5]
    assert len(asked) > 300
    assert ours / len(asked) > theirs / len(asked) - 0.01
    index.close()


def test_a_commit_succeeds_where_a_crash_left_the_files_that_it_is_about_to_write(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path)
    index.apply(1, {}, [passage(key, "alpha beta", f"d{key}") for key in range(1, 9)])
    index.commit()
    index.close()
    meta = json.loads((tmp_path / "meta.json").read_bytes())
    [segment] = [each["segment_id"].replace("-", "") for each in meta["segments"]]
    for stamp in range(meta["opstamp"], meta["opstamp"] + 9):
        (tmp_path / f"{segment}.{stamp}.del").write_bytes(b"half of it")
    (tmp_path / f"{'0' * 32}.idx").write_bytes(b"of a merge")
    (tmp_path / ".tmpAbCdEf").write_bytes(b"a draft")
    index = SparseIndex(tmp_path)
    index.apply(2, {"d3": ALL_KEYS}, ())
    index.commit()
    assert index.passages == 7
    index.close()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(("0" * 32, ".tmp"))]
    assert len(list(tmp_path.glob("*.del"))) == 1


def test_after_an_error_the_next_commit_meets_nothing_of_the_one_that_failed(tmp_path: Path) -> None:
    index = SparseIndex(tmp_path)
    index.apply(1, {}, [passage(key, "alpha beta", f"d{key}") for key in range(1, 9)])
    index.commit()
    meta = json.loads((tmp_path / "meta.json").read_bytes())
    [segment] = [each["segment_id"].replace("-", "") for each in meta["segments"]]
    index.apply(2, {"d3": ALL_KEYS}, ())
    for stamp in range(meta["opstamp"], meta["opstamp"] + 9):
        (tmp_path / f"{segment}.{stamp}.del").write_bytes(b"half of it")
    with pytest.raises(ValueError, match="FileAlreadyExists"):
        index.commit()
    index.reopen()
    index.apply(2, {"d3": ALL_KEYS}, ())
    index.commit()
    assert (index.passages, index.applied) == (7, 2)
    index.close()
