"""An index that another process makes anew: swapped whole, while searches and training go on, whatever kills it."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from app import refreshing
from app.errors import RefreshFailed
from app.refreshing import Refresher, refresh
from model.encoder import load_tokenizer
from model.network import ReaderNetwork
from model.towers import name_of, save_towers, starting_towers
from model.training.realm import Example, RealmModel, Recipe, train
from retriever.errors import IndexCorrupt
from retriever.versions import VersionedIndex
from tests.app.refreshed import DIES_AFTER, TINY, WAITS_FOR, tiny_towers

CORPUS = {key: f"the {name} mill is in town {key}" for key, name in enumerate(["oak", "elm", "ash", "fir"] * 5)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in CORPUS.items()))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    return tmp_path


def refresher_of(place: Path, towers) -> Refresher:  # type: ignore[no-untyped-def]
    return Refresher(
        towers, corpus=place / "corpus.jsonl", index=place / "index", work=place / "work", module="tests.app.refreshed"
    )


def changed(towers, *, by: float = 0.5):  # type: ignore[no-untyped-def]
    torch.manual_seed(9)
    with torch.no_grad():
        for parameter in towers.transformer.blocks.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return towers


def vectors_of(towers) -> np.ndarray:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        vectors: np.ndarray = towers.passages(list(CORPUS.values())).numpy()
    return vectors


def held(index: VersionedIndex) -> np.ndarray:
    return index.vectors(np.array(list(CORPUS)))


def test_another_process_makes_the_next_version_and_it_takes_over_whole(place: Path) -> None:
    towers = tiny_towers()
    refresh(towers, CORPUS, place / "index", encoder="tiny", step=0)
    index = VersionedIndex(place / "index")
    assert held(index) == pytest.approx(vectors_of(towers), abs=2e-3)
    refresher = refresher_of(place, changed(towers))
    refresher(7)
    assert not index.reload()
    refresher.wait(60)
    assert index.step == 0  # what a reader has, it keeps until it asks
    assert index.reload()
    assert index.step == 7
    assert held(index) == pytest.approx(vectors_of(towers), abs=2e-3)
    query = held(index)[[3]]
    assert index.search(query, 4)[0][0] == 3
    assert list(index.search(query, 30)[0][20:]) == [-1] * 10
    assert not index.vectors(np.array([99])).any()


def test_a_kill_in_the_middle_leaves_the_old_in_use_and_the_next_run_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = tiny_towers()
    refresh(towers, CORPUS, place / "index", encoder="tiny", step=0)
    before = held(VersionedIndex(place / "index"))
    refresher = refresher_of(place, changed(towers))
    monkeypatch.setenv(DIES_AFTER, "3")  # of five shards
    refresher(1)
    with pytest.raises(RefreshFailed, match="-9"):
        refresher.wait(60)
    index = VersionedIndex(place / "index")
    assert index.step == 0
    assert np.array_equal(held(index), before)
    (draft,) = (place / "index").glob("draft-*")
    assert len(list(draft.glob("*.npz"))) == 3
    monkeypatch.setenv(DIES_AFTER, "2")  # enough for what is left, and for no more
    refresher(1)
    refresher.wait(60)
    assert index.reload()
    assert index.step == 1
    assert held(index) == pytest.approx(vectors_of(towers), abs=2e-3)
    assert not list((place / "index").glob("draft-*"))


def test_training_and_searches_go_on_while_a_refresh_is_under_way(
    place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    towers = tiny_towers()
    refresh(towers, CORPUS, place / "index", encoder="tiny", step=0)
    index = VersionedIndex(place / "index")
    gate = place / "gate"
    os.mkfifo(gate)
    monkeypatch.setenv(WAITS_FOR, str(gate))  # the refresh embeds nothing before we say so
    refresher = refresher_of(place, towers)
    model = RealmModel(towers, ReaderNetwork(TINY, own_global=False), load_tokenizer())
    examples = [Example(id=str(key), question="oak mill", answer="town") for key in range(4)]
    recipe = Recipe(out=place / "run", steps=6, batch=2, k=3, refresh_every=2, save_every=1, learning_rate=1e-3)
    train(recipe, model, examples=examples, corpus=CORPUS, index=index, refresh=refresher)
    assert refresher._process is not None
    request.addfinalizer(refresher._process.kill)
    assert refresher.begun == [2]  # the calls at 4 and 6 found it under way
    assert not refresher.over()
    points = json.loads((recipe.out / "progress.json").read_text())["curve"]
    assert [point["stale"] for point in points] == [1, 2, 3, 4, 5, 6]

    wrong: list[object] = []
    stop = threading.Event()

    def search() -> None:
        own = VersionedIndex(place / "index")
        while not stop.is_set():
            own.reload()
            version = own.version
            if len(version.keys) != len(CORPUS) or own.search(held(own)[[5]], 1)[0][0] not in CORPUS:
                wrong.append(version)

    threads = [threading.Thread(target=search, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.open("wb").close()
    refresher.wait(60)
    monkeypatch.delenv(WAITS_FOR)
    later = Recipe(**{**vars(recipe), "steps": 8, "refresh_every": 100})
    train(later, model, examples=examples, corpus=CORPUS, index=index, refresh=refresher)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    points = json.loads((recipe.out / "progress.json").read_text())["curve"]
    assert [point["stale"] for point in points[6:]] == [5, 6]  # of step 2


def test_a_version_that_is_damaged_is_known(place: Path) -> None:
    refresh(tiny_towers(), CORPUS, place / "index", encoder="tiny", step=0)
    shard = next((place / "index" / "1").glob("*.npz"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IndexCorrupt, match="does not match"):
        VersionedIndex(place / "index")
    (place / "index" / "current").write_bytes(b"2")
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        VersionedIndex(place / "index")
    with pytest.raises(IndexCorrupt, match="publish one first"):
        VersionedIndex(place / "nowhere")


def test_versions_that_nobody_can_be_reading_any_more_are_removed(place: Path) -> None:
    for step in range(4):
        refresh(tiny_towers(), CORPUS, place / "index", encoder="tiny", step=step)
    assert sorted(each.name for each in (place / "index").iterdir()) == ["3", "4", "current"]


def test_an_older_step_does_not_take_the_place_of_a_newer_one(place: Path) -> None:
    towers = tiny_towers()
    newer = refresh(towers, CORPUS, place / "index", encoder="newer", step=9)
    before = held(VersionedIndex(place / "index"))
    assert refresh(changed(towers), CORPUS, place / "index", encoder="older", step=4) == newer
    index = VersionedIndex(place / "index")
    assert index.step == 9
    assert np.array_equal(held(index), before)
    assert not list((place / "index").glob("draft-*"))


def test_shards_of_other_towers_are_not_gone_on_with_though_they_come_from_the_same_folder(place: Path) -> None:
    (place / "towers").mkdir()
    towers = tiny_towers()
    names = []
    for by in (0.0, 0.5):
        save_towers(changed(towers, by=by), place / "towers")
        names.append(name_of(place / "towers"))
    assert names[0] != names[1]
    assert name_of(None) == "MiniLM"


def test_a_refresh_whose_training_is_gone_ends_and_changes_nothing(place: Path) -> None:
    towers = tiny_towers()
    refresh(towers, CORPUS, place / "index", encoder="tiny", step=0)
    with pytest.raises(SystemExit, match="is gone"):
        refresh(towers, CORPUS, place / "index", encoder="tiny", step=1, orphaned=lambda: True)
    assert VersionedIndex(place / "index").step == 0


def test_the_command_embeds_with_the_towers_that_are_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towers = starting_towers(mode="full", trained="all", rank=4, init=None)
    with torch.no_grad():
        next(towers.transformer.blocks.parameters()).add_(0.05)
    save_towers(towers, place)
    options = {"towers": place, "corpus": place / "corpus.jsonl", "index": place / "index", "step": 5, "rank": 4}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    monkeypatch.setattr("sys.argv", ["refreshing", *given])
    refreshing.main()
    index = VersionedIndex(place / "index")
    assert (index.step, index.version.encoder) == (5, name_of(place))
    assert held(index) == pytest.approx(vectors_of(towers), abs=2e-3)
