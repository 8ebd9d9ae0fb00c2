"""The dense index finds what brute force finds, survives a restart, and notices what was broken."""

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retriever import dense
from retriever.block import Block, merged
from retriever.dense import DenseIndex
from retriever.durable import unsealed
from retriever.errors import IndexCorrupt
from retriever.sparse import ALL_KEYS

D = 32
Vectors = NDArray[np.float32]


def unit(count: int, *, seed: int = 0) -> Vectors:
    """Clustered unit vectors [count, D], as float16 holds them."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((20, D))
    rows = centres[chance.integers(20, size=count)] + 0.7 * chance.standard_normal((count, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def entries(count: int, *, first: int = 1, documents: int = 10) -> list[tuple[int, str]]:
    return [(key, f"d{key % documents}") for key in range(first, first + count)]


def brute_force(vectors: dict[int, Vectors], query: Vectors, k: int) -> list[int]:
    return sorted(vectors, key=lambda key: (-float(vectors[key] @ query), key))[:k]


def add(index: DenseIndex, seq: int, rows: list[tuple[int, str]], vectors: Vectors) -> None:
    index.apply(seq, {}, rows, vectors)
    index.commit()


NONE = np.zeros((0, D), dtype=np.float32)


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_search_agrees_with_brute_force_through_adds_and_deletes(tmp_path: Path, batch: int) -> None:
    index = DenseIndex(tmp_path, D, seal=64)
    rows, vectors = entries(500), unit(500)
    for first in range(0, 500, batch):
        add(index, first, rows[first : first + batch], vectors[first : first + batch])
        if first % 100 == 0:
            index.maintain()
    index.apply(500, {"d3": ALL_KEYS, "d4": range(250), "unknown": ALL_KEYS}, (), NONE)
    index.commit()
    alive = {key: v for (key, d), v in zip(rows, vectors, strict=True) if d != "d3" and not (d == "d4" and key < 250)}
    inside = {key: v for key, v in alive.items() if key % 10 in (1, 4)}
    assert index.passages == len(alive)
    for query in unit(10, seed=1):
        found = index.search(query, 20)
        assert [each.key for each in found] == brute_force(alive, query, 20)
        np.testing.assert_allclose(
            [each.score for each in found], [alive[each.key] @ query for each in found], atol=1e-5
        )
        within = index.search(query, 20, documents=["d1", "d3", "d4", "unknown"])
        assert [each.key for each in within] == brute_force(inside, query, 20)
    while index.maintain():
        pass
    assert [each.key for each in index.search(unit(1)[0], 500)] == brute_force(alive, unit(1)[0], 500)


def test_a_wide_restriction_is_as_exact_as_a_narrow_one() -> None:
    rows, vectors = entries(6_000, documents=2), unit(6_000)
    index = DenseIndex(None, D)
    add(index, 1, rows, vectors)
    odd = {key: vector for (key, _), vector in zip(rows, vectors, strict=True) if key % 2}
    query = unit(1, seed=2)[0]
    assert [each.key for each in index.search(query, 50, documents=["d1"])] == brute_force(odd, query, 50)


def test_scores_of_given_keys_are_exact_and_leave_out_the_deleted() -> None:
    index = DenseIndex(None, D)
    vectors = unit(30)
    add(index, 1, entries(30), vectors)
    index.apply(2, {"d3": ALL_KEYS}, (), NONE)
    index.commit()
    query = unit(1, seed=3)[0]
    scores = index.score(query, [1, 2, 3, 99])
    assert set(scores) == {1, 2}
    assert scores[2] == pytest.approx(float(vectors[1] @ query), abs=1e-6)
    assert index.score(query, []) == {}


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = DenseIndex(tmp_path, D)
    assert index.search(unit(1)[0], 5) == []
    assert index.search(unit(1)[0], 5, documents=["d1"]) == []
    assert index.score(unit(1)[0], [1]) == {}
    assert not index.maintain()
    add(index, 1, entries(3), unit(3))
    index.apply(2, {f"d{n}": ALL_KEYS for n in range(10)}, (), NONE)
    index.commit()
    assert index.search(unit(1)[0], 5) == []
    assert index.search(unit(1)[0], 0) == []


def test_searches_see_a_change_only_once_it_is_committed() -> None:
    index = DenseIndex(None, D)
    index.apply(1, {}, entries(3), unit(3))
    assert (index.applied, index.passages, index.search(unit(1)[0], 5)) == (0, 0, [])
    index.commit()
    assert (index.applied, index.passages) == (1, 3)


def test_a_merge_shows_nothing_that_is_applied_and_not_committed(tmp_path: Path) -> None:
    rows, vectors = entries(40, documents=2), unit(40)
    index = DenseIndex(tmp_path, D, seal=10)
    for first in (0, 10):
        add(index, first, rows[first : first + 10], vectors[first : first + 10])
    index.apply(30, {"d0": ALL_KEYS}, rows[20:], vectors[20:])
    assert index.maintain()
    assert (index.applied, index.passages) == (10, 20)
    index.commit()
    assert (index.applied, index.passages) == (30, 30)


def test_after_a_restart_the_files_hold_all_up_to_their_sequence_number(tmp_path: Path) -> None:
    index = DenseIndex(tmp_path, D, seal=50)
    rows, vectors = entries(120), unit(120)
    for first in range(0, 120, 20):
        add(index, first + 20, rows[first : first + 20], vectors[first : first + 20])
    index = DenseIndex(tmp_path, D, seal=50)
    assert (index.applied, index.passages) == (120, 120)  # sealed at 60 and at 120
    add(index, 130, entries(5, first=121), unit(5))
    index.apply(131, {"d7": ALL_KEYS}, (), NONE)
    index.commit()
    index = DenseIndex(tmp_path, D, seal=50)
    assert (index.applied, index.passages) == (120, 120)  # what came after comes from the store again
    index.apply(131, {"d7": ALL_KEYS}, (), NONE)
    add(index, 180, entries(50, first=121), unit(50))
    index = DenseIndex(tmp_path, D, seal=50)
    assert (index.applied, index.passages) == (180, 158)  # deletes of sealed vectors are kept too


def test_files_are_merged_so_that_few_are_left_and_the_deleted_go(tmp_path: Path) -> None:
    index = DenseIndex(tmp_path, D, seal=10)
    rows, vectors = entries(200), unit(200)
    for first in range(0, 200, 10):
        add(index, first + 10, rows[first : first + 10], vectors[first : first + 10])
        while index.maintain():
            pass
    assert len(list(tmp_path.glob("*.block"))) <= 5
    everything = {key: vector for (key, _), vector in zip(rows, vectors, strict=True)}
    query = unit(1, seed=4)[0]
    assert [each.key for each in index.search(query, 30)] == brute_force(everything, query, 30)
    index.apply(201, {f"d{n}": ALL_KEYS for n in range(10)}, (), NONE)
    index.commit()
    while index.maintain():
        pass
    assert list(tmp_path.glob("*.block")) == []
    assert DenseIndex(tmp_path, D).passages == 0


def test_what_is_deleted_while_files_are_merged_stays_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = DenseIndex(tmp_path, D, seal=10)
    for first in (0, 10):
        add(index, first, entries(10, first=first + 1), unit(10))

    def merged_meanwhile(blocks: list[Block]) -> Block:
        joined = merged(blocks)
        monkeypatch.setattr(dense, "merged", merged)
        index.apply(30, {"d5": ALL_KEYS}, (), NONE)
        add(index, 31, entries(10, first=31, documents=1), unit(10))
        return joined

    monkeypatch.setattr(dense, "merged", merged_meanwhile)
    assert index.maintain()
    assert index.passages == 28
    again = DenseIndex(tmp_path, D, seal=10)
    assert (again.applied, again.passages) == (31, 28)
    assert not {5, 15} & {each.key for each in again.search(unit(1)[0], 50)}


def test_what_is_applied_again_after_a_restart_survives_the_next_merge(tmp_path: Path) -> None:
    rows, vectors = entries(20, documents=2), unit(20)
    index = DenseIndex(tmp_path, D, seal=20)
    add(index, 1, rows, vectors)
    index = DenseIndex(tmp_path, D, seal=20)
    for seq in (2, 3):  # each change deletes its documents first: their keys are dead in one file, alive in the next
        index.apply(0, {"d0": ALL_KEYS, "d1": ALL_KEYS}, (), NONE)
        add(index, seq, rows, vectors)
    while index.maintain():
        pass
    assert (index.applied, index.passages) == (3, 20)
    again = DenseIndex(tmp_path, D)
    assert (again.applied, again.passages) == (3, 20)


def test_a_file_that_is_written_while_merged_ones_are_removed_is_not_removed_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = DenseIndex(tmp_path, D, seal=10)
    rows, vectors = entries(30), unit(30)
    for first in (0, 10):
        add(index, first, rows[first : first + 10], vectors[first : first + 10])
    written, swept = threading.Event(), threading.Event()
    write, sweep = dense._write_manifest, dense._sweep

    def write_late(*arguments: Any) -> None:
        if threading.current_thread() is commit:
            written.set()  # the file is there, its name is not in the manifest
            swept.wait(10)
        write(*arguments)

    def sweep_meanwhile(*arguments: Any) -> None:
        commit.start()
        written.wait(0.2)
        sweep(*arguments)
        swept.set()

    commit = threading.Thread(target=add, args=(index, 30, rows[20:], vectors[20:]))
    monkeypatch.setattr(dense, "_write_manifest", write_late)
    monkeypatch.setattr(dense, "_sweep", sweep_meanwhile)
    assert index.maintain()
    commit.join()
    monkeypatch.undo()
    assert DenseIndex(tmp_path, D).passages == 30


def test_a_write_that_a_crash_cut_short_leaves_no_trace(tmp_path: Path) -> None:
    index = DenseIndex(tmp_path, D, seal=10)
    add(index, 1, entries(10), unit(10))
    (tmp_path / "0123.block").write_bytes(b"half a blo")
    (tmp_path / "manifest.json.tmp").write_bytes(b"{")
    assert DenseIndex(tmp_path, D).passages == 10
    assert len(list(tmp_path.iterdir())) == 2


def test_every_file_is_held_to_its_checksum(tmp_path: Path) -> None:
    index = DenseIndex(tmp_path, D, seal=10)
    add(index, 1, entries(10), unit(10))
    for file in list(tmp_path.iterdir()):
        whole = file.read_bytes()
        middle = len(whole) // 2
        for broken in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
            file.write_bytes(broken)
            with pytest.raises(IndexCorrupt):
                DenseIndex(tmp_path, D)
        file.write_bytes(whole)
    with pytest.raises(IndexCorrupt, match="dimension"):
        DenseIndex(tmp_path, D + 1)
    next(tmp_path.glob("*.block")).unlink()
    with pytest.raises(IndexCorrupt):
        DenseIndex(tmp_path, D)


def test_a_disk_that_is_full_costs_nothing_but_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    index = DenseIndex(tmp_path, D, seal=10)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(dense, "replace_file", full)
        add(index, 1, entries(10), unit(10))
    assert "No space left" in caplog.text
    assert (index.applied, index.passages) == (1, 10)
    index.commit()
    assert unsealed((tmp_path / "manifest.json").read_bytes())["applied"] == 1


def test_large_blocks_find_nearly_all_and_score_exactly() -> None:
    vectors = unit(3_000)
    block = Block.of(entries(3_000), vectors, exact_limit=1_000)
    again = Block.read(block.to_bytes(), file="x", sha256="y")
    everything = {key: vector for (key, _), vector in zip(entries(3_000), vectors, strict=True)}
    hits = 0
    for noise, near in zip(unit(20, seed=5), vectors[::150], strict=True):
        query = (near + noise) / np.linalg.norm(near + noise)
        found = dict(again.search(query, 50, None))
        hits += len(set(found) & set(brute_force(everything, query, 50)))
        for key, score in found.items():
            assert score == pytest.approx(float(everything[key] @ query), abs=1e-5)
        narrow = {key for key, _ in again.search(query, 10, ["d3"])}
        assert narrow == set(brute_force({k: v for k, v in everything.items() if k % 10 == 3}, query, 10))
    assert hits / (20 * 50) > 0.95
    assert again.without({"d3": ALL_KEYS}).alive == 2_700
    dead = {key for key, _ in again.without({"d3": ALL_KEYS}).search(unit(1)[0], 1_000, None) if key % 10 == 3}
    assert dead == set()
    assert merged([again.without({"d3": ALL_KEYS})]).alive == 2_700


def test_vectors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="3 entries need vectors of 32"):
        DenseIndex(None, D).apply(1, {}, entries(3), unit(2))
