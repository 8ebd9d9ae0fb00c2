"""The indexes follow the store: nothing acknowledged is missing from them, whatever happened to their files."""

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retriever import indexes as module
from retriever.dense import DenseIndex
from retriever.errors import NotFound, StorageFull, StoreUnavailable
from retriever.indexes import Indexes
from retriever.sparse import SparseIndex
from retriever.store import Embedded
from retriever.tuning import ASSET, VECTORS
from tests.fakes import HashingEncoder
from tests.retriever.library import TENANT, Library, lines, parsed

TEXT = "alpha beta\ngamma delta\nepsilon zeta"


def both(library: Library, word: str, **options: object) -> tuple[list[str], list[str]]:
    """What each side alone finds; the dense side's nearest only."""
    sparse = library.found(word, mode="sparse", **options)
    return sparse, library.found(word, mode="dense", **(options | {"k": 1}))


def begun(library: Library, text: str) -> tuple[str, int]:
    """Take the next ingest up to where only the publishing is left: (document, revision)."""
    job = library.store.claim_job()
    assert job is not None
    document = str(job.payload["document_id"])
    revision = library.store.start_revision(TENANT, document, job.id, parsed(text), lines(text))
    library.encode(TENANT, document, revision)
    return document, revision


def folders(library: Library) -> list[Path]:
    return [path for path in (library.folder / "indexes").iterdir() if path.is_dir()]


def test_a_published_document_is_found_by_both_sides_and_a_deleted_one_by_none(library: Library) -> None:
    document = library.add(TEXT)
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    library.store.delete_document(TENANT, document)
    assert both(library, "gamma") == ([], [])  # at once, before the indexes know
    sparse, dense = library.indexes.of(TENANT, "default")
    assert (sparse.passages, dense.passages) == (3, 3)
    library.indexes.refresh(TENANT, "default")
    assert (sparse.passages, dense.passages) == (0, 0)


def test_a_replacement_is_found_from_the_moment_that_it_is_visible(library: Library) -> None:
    document = library.add("old words here")
    library.send("new words here", document_id=document)
    found: list[list[str]] = []
    publish = library.store.publish

    def publish_and_look(tenant: str, document_id: str, revision: int, **rest: Any) -> int:
        found.append(library.found("words"))
        seq = publish(tenant, document_id, revision)
        found.append(library.found("words"))
        return seq

    library.store.publish = publish_and_look  # type: ignore[method-assign]
    library.work()
    assert found == [["old words here"], ["new words here"]]
    sparse, dense = library.indexes.of(TENANT, "default")
    assert (sparse.passages, dense.passages) == (1, 1)  # and the old one is gone from the indexes


def test_what_was_staged_and_never_published_is_not_found_and_goes_with_the_next_change(tmp_path: Path) -> None:
    library = Library(tmp_path)
    document = library.add("old words")
    library.send("new words", document_id=document)
    document, revision = begun(library, "new words")
    library.indexes._stage(TENANT, "default", document, revision)
    assert library.indexes.of(TENANT, "default")[0].passages == 2
    library.crash()
    library = Library(tmp_path)
    assert library.found("words") == ["old words"]
    library.store.requeue_running()
    library.work()
    assert library.found("words") == ["new words"]
    sparse, dense = library.indexes.of(TENANT, "default")
    assert (sparse.passages, dense.passages) == (1, 1)
    library.send("newer words", document_id=document)
    document, revision = begun(library, "newer words")
    library.indexes._stage(TENANT, "default", document, revision)
    library.store.fail_job(TENANT, library.store.jobs(TENANT, limit=9)[0][-1].id, {})
    library.indexes.refresh(TENANT, "default")
    assert library.found("words") == ["new words"]
    assert library.indexes.of(TENANT, "default")[0].passages == 1
    library.close()


def test_an_ingest_that_is_done_again_after_its_publishing_costs_no_passage_at_the_next_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DenseIndex.__init__.__kwdefaults__, "seal", 3)
    library = Library(tmp_path)
    document = library.add("old words")
    library.send("new words\nnewer words", document_id=document)
    document, revision = begun(library, "new words\nnewer words")
    library.indexes.publish(TENANT, document, revision)
    library.add("other words\nmore words\nmost words")  # now all of it is in files
    library.indexes.publish(TENANT, document, revision)  # as the job does that was not told to be over
    dense = library.indexes.of(TENANT, "default")[1]
    while dense.maintain():
        pass
    library.crash()
    library = Library(tmp_path)
    for mode in ("sparse", "dense"):
        found = sorted(library.found("words", mode=mode))
        assert found == ["more words", "most words", "new words", "newer words", "other words"]
    library.close()


def test_a_document_that_one_upload_moves_while_the_next_is_published_is_found_where_it_is_alone(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = library.add("first words")
    for text in ("second words", "third words"):
        library.send(text, document_id=document, collection="other")
    (_, second), (_, third) = begun(library, "second words"), begun(library, "third words")
    look = library.store.document

    def look_and_be_overtaken(tenant: str, document_id: str, **rest: Any) -> Any:
        seen = look(tenant, document_id, **rest)
        monkeypatch.undo()
        library.indexes.publish(TENANT, document, second)
        return seen

    monkeypatch.setattr(library.store, "document", look_and_be_overtaken)
    library.indexes.publish(TENANT, document, third)
    found = [library.found("words", mode="sparse", collection=name) for name in ("default", "other")]
    assert found == [[], ["third words"]]


def test_an_upload_that_was_overtaken_takes_nothing_from_the_one_that_overtook_it(library: Library) -> None:
    document = library.add("first words")
    library.send("second words", document_id=document)
    library.send("third words", document_id=document)
    (_, second), (_, third) = begun(library, "second words"), begun(library, "third words")
    library.indexes.publish(TENANT, document, third)
    found: list[list[str]] = []
    publish = library.store.publish

    def publish_and_look(tenant: str, document_id: str, revision: int, **rest: Any) -> int:
        found.append(library.found("words", mode="sparse"))
        return publish(tenant, document_id, revision, **rest)

    library.store.publish = publish_and_look  # type: ignore[method-assign]
    library.indexes.publish(TENANT, document, second)
    assert [*found, library.found("words", mode="sparse")] == [["third words"]] * 2
    assert library.indexes.of(TENANT, "default")[0].passages == 1


@pytest.mark.parametrize("lost", ["nothing", "sparse", "dense", "both", "everything"])
def test_what_the_indexes_lack_is_caught_up_at_the_next_start(tmp_path: Path, lost: str) -> None:
    library = Library(tmp_path)
    library.add(TEXT)
    library.send("eta theta")
    document, revision = begun(library, "eta theta")
    library.store.publish(TENANT, document, revision)  # and then, before the indexes hear of it:
    library.crash()
    [folder] = folders(library)
    for part in {"sparse": ["sparse"], "dense": ["dense-*"], "both": ["sparse", "dense-*"]}.get(lost, []):
        [path] = folder.glob(f"1/{part}")
        shutil.rmtree(path)
    if lost == "everything":
        shutil.rmtree(library.folder / "indexes")
    library = Library(tmp_path)
    assert library.indexes.catch_up() == 1
    assert both(library, "theta") == (["eta theta"], ["eta theta"])
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    library.close()


@pytest.mark.parametrize("how", ["flipped", "cut", "missing", "no segments"])
def test_a_broken_sparse_index_is_built_anew_with_a_warning(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tmp_path)
    library.add(TEXT)
    library.close()
    [folder] = folders(library)
    file = next((folder / "1" / "sparse").glob("*.idx"))
    whole = file.read_bytes()
    if how == "flipped":
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif how == "cut":
        file.write_bytes(whole[:-10])
    elif how == "missing":
        file.unlink()
    else:
        meta = folder / "1" / "sparse" / "meta.json"
        before = meta.read_text()
        start = before.index('"segments": [') + len('"segments": [')
        end = before.index("],", start)
        meta.write_text(before[:start] + before[end:])
    with caplog.at_level(logging.WARNING):
        library = Library(tmp_path)
        assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    assert "anew" in caplog.text
    library.close()


def test_a_broken_dense_index_is_built_anew_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(DenseIndex.__init__.__kwdefaults__, "seal", 2)
    library = Library(tmp_path)
    library.add(TEXT)
    library.close()
    [folder] = folders(library)
    [file] = folder.glob("1/dense-*/*.block")
    file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        library = Library(tmp_path)
        assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    assert "checksum" in caplog.text
    library.close()


def test_indexes_of_another_store_are_not_used(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add(TEXT)
    library.close()
    for file in tmp_path.glob("store.db*"):
        file.unlink()
    library = Library(tmp_path)
    library.add("something else")
    assert both(library, "gamma")[0] == []
    library.close()


def test_indexes_ahead_of_a_restored_store_are_built_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    library = Library(tmp_path)
    library.add("kept words")
    library.close()
    shutil.copy(tmp_path / "store.db", tmp_path / "backup.db")
    library = Library(tmp_path)
    library.add("lost words")
    library.close()
    shutil.copy(tmp_path / "backup.db", tmp_path / "store.db")
    with caplog.at_level(logging.WARNING):
        library = Library(tmp_path)
        assert library.found("words", mode="sparse") == ["kept words"]
        assert library.indexes.of(TENANT, "default")[0].passages == 1
    assert "ahead" in caplog.text
    library.close()


def test_reindexing_gives_the_same_results_while_searches_and_writes_go_on(library: Library) -> None:
    for number in range(5):
        library.add(f"{TEXT}\nnumber {number}")
    before = both(library, "gamma")
    outdated = library.indexes.of(TENANT, "default")
    stop, failures, searched = threading.Event(), [], []

    def search() -> None:
        while not stop.wait(0.001):
            found = both(library, "gamma")
            searched.append(found)
            if found != before:
                failures.append(found)

    thread = threading.Thread(target=search)
    thread.start()
    for number in range(2):
        library.indexes.reindex(TENANT)
        library.add(f"something new {number}")
    stop.set()
    thread.join()
    assert failures == []
    assert searched
    assert library.indexes.of(TENANT, "default")[0] is not outdated[0]
    assert both(library, "new")[0] == ["something new 0", "something new 1"]
    [folder] = folders(library)
    assert sorted(path.name for path in folder.iterdir()) == ["3", "current"]
    with pytest.raises(NotFound):
        library.indexes.reindex(TENANT, "unknown")
    library.indexes.reindex("globex")


def test_a_rebuild_that_a_crash_cut_short_leaves_the_old_index_in_use(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add(TEXT)
    library.crash()
    [folder] = folders(library)
    (folder / "2" / "sparse").mkdir(parents=True)
    library = Library(tmp_path)
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    assert not (folder / "2").exists()
    library.close()


def test_a_deleted_collection_leaves_no_files_even_after_a_crash(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add(TEXT, collection="papers")
    library.add(TEXT)
    library.store.delete_collection(TENANT, "papers")
    library.indexes.drop(TENANT, "papers")
    assert len(folders(library)) == 1
    library.store.delete_collection(TENANT, "default")
    library.crash()
    library = Library(tmp_path)
    assert folders(library) == []
    library.add("new", collection="papers")
    assert library.found("gamma", collection="papers", mode="sparse") == []
    library.indexes.drop(TENANT, "papers")
    assert library.found("new", collection="papers") == ["new"]  # the store has it still
    library.close()


def test_callers_that_wait_for_each_other_share_a_commit(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.add("first")
    for number in range(6):
        library.send(f"waiting {number}")
        library.store.publish(TENANT, *begun(library, f"waiting {number}"))
    commits: list[int] = []
    commit = SparseIndex.commit
    monkeypatch.setattr(SparseIndex, "commit", lambda index: (commits.append(1), commit(index))[1])
    threads = [threading.Thread(target=library.indexes.refresh, args=(TENANT, "default")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(commits) == 1
    assert len(library.found("waiting", mode="sparse")) == 6


def test_a_full_disk_fails_the_refresh_and_the_next_one_makes_up_for_it(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add("first words")

    def full(_: SparseIndex) -> None:
        raise ValueError("An IO error occurred: 'No space left on device (os error 28)'")

    with monkeypatch.context() as patch:
        patch.setattr(SparseIndex, "commit", full)
        with pytest.raises(StorageFull):
            library.add("second words")
    assert library.found("words", mode="sparse") == ["first words"]
    library.add("third words")
    assert set(library.found("words", mode="sparse")) == {"first words", "second words", "third words"}


@pytest.mark.parametrize(
    "said",
    [
        "An IO error occurred: 'Input/output error (os error 5)'",
        "An error occurred in a thread: 'An index writer was killed: a worker thread encountered an error (io::Error)'",
    ],
)
def test_an_input_or_output_error_fails_the_refresh_and_the_next_one_makes_up_for_it(
    library: Library, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    library.add("first words")

    def broken(_: SparseIndex) -> None:
        raise ValueError(said)

    with monkeypatch.context() as patch:
        patch.setattr(SparseIndex, "commit", broken)
        with pytest.raises(StoreUnavailable, match="the indexes cannot be written now"):
            library.add("second words")
    assert library.found("words", mode="sparse") == ["first words"]
    library.add("third words")
    assert set(library.found("words", mode="sparse")) == {"first words", "second words", "third words"}


def test_a_rebuild_that_finds_no_room_leaves_the_index_in_use_and_no_half_one(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(TEXT)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "replace_file", full)
        with pytest.raises(OSError, match="No space left"):
            library.indexes.reindex(TENANT)
    [folder] = folders(library)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "current"]
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    library.indexes.reindex(TENANT)
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])


def test_a_second_process_on_the_same_folder_is_refused(library: Library) -> None:
    with pytest.raises(StoreUnavailable, match="another Lectern uses"):
        Indexes(library.folder / "indexes", library.store, encoder="e", dimension=4)


def test_two_encoders_stand_side_by_side(tmp_path: Path) -> None:
    library = Library(tmp_path)
    document = library.add(TEXT)
    library.close()
    library = Library(tmp_path, encoder=HashingEncoder(dimension=16, version="hashing@2"))
    assert both(library, "gamma") == (["gamma delta"], [])  # no vectors of the new one yet
    batch = library.store.unencoded(TENANT, document, 1, encoder="hashing@2", limit=9)
    vectors = library.encoder.encode_passages([text for _, text in batch])
    library.store.put_vectors("hashing@2", [key for key, _ in batch], vectors)
    library.indexes.reindex(TENANT)
    assert both(library, "gamma") == (["gamma delta"], ["gamma delta"])
    library.close()


def test_passages_too_many_for_one_batch_are_all_indexed(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASSAGES_A_BATCH", 2)
    monkeypatch.setattr(module, "DOCUMENTS_A_COMMIT", 2)
    for number in range(3):
        library.add("\n".join(f"word{number} line{line}" for line in range(5)))
    library.indexes.reindex(TENANT)
    sparse, dense = library.indexes.of(TENANT, "default")
    assert (sparse.passages, dense.passages) == (15, 15)
    query = library.encoder.encode_queries(["word1 line3"])[0]
    assert np.isclose(dense.search(query, 1)[0].score, 1, atol=1e-3)


def test_the_index_of_a_collection_that_never_was_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound):
        library.indexes.of(TENANT, "unknown")
    assert library.indexes.refresh(TENANT, "unknown") == 0


OWN_VERSION = "hashing@1~0123456789ab"  # an encoder of the collection's own


def learn(library: Library) -> None:
    """Give the collection an encoder of its own in the store, with vectors of all that is visible."""
    number = library.store.collection_number(TENANT, "default")
    assert number is not None
    ids = library.store.matching(TENANT, collection="default")
    shown = [each for each, _ in library.store.visible_passages(TENANT, ids, encoder="hashing@1")]
    vectors = library.encoder.encode_passages([passage.text for passage in shown])
    embedded = Embedded(encoder=OWN_VERSION, keys=[passage.key for passage in shown], vectors=vectors)
    metadata = {VECTORS: [OWN_VERSION]}
    assert library.store.put_learned(TENANT, "default", number, ASSET, b"", metadata=metadata, embedded=embedded) == []


def encode_own(library: Library, document: str, revision: int) -> None:
    keys, texts = zip(*library.store.unencoded(TENANT, document, revision, encoder=OWN_VERSION, limit=99), strict=True)
    library.store.put_vectors(OWN_VERSION, keys, library.encoder.encode_passages(texts))


def nearest(library: Library, text: str) -> list[str]:
    """What is found by the collection's own encoder."""
    index = library.indexes.own(TENANT, "default", OWN_VERSION)
    assert index is not None
    found = index.search(library.encoder.encode_queries([text])[0], 9)
    shown = library.store.resolve(TENANT, {each.key for each in found})
    return [shown[each.key][0].text for each in found if each.key in shown]


def test_an_index_of_a_collections_own_encoder_follows_it_and_is_built_again_after_a_crash(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("first words\nmore words")
    learn(library)
    library.indexes.keep_own(TENANT, "default")
    assert sorted(nearest(library, "words")) == ["first words", "more words"]
    library.send("other words")
    document, revision = begun(library, "other words")
    encode_own(library, document, revision)
    library.indexes.publish(TENANT, document, revision)
    for _ in range(2):
        assert sorted(nearest(library, "words")) == ["first words", "more words", "other words"]
        library.crash()
        library = Library(tmp_path)
    library.indexes.reindex(TENANT)
    assert sorted(nearest(library, "words")) == ["first words", "more words", "other words"]
    library.store.put_asset(TENANT, "default", ASSET, b"forgotten")
    library.indexes.keep_own(TENANT, "default")
    assert library.indexes.own(TENANT, "default", OWN_VERSION) is None
    assert list(library.folder.rglob("own-*")) == []
    assert sorted(library.found("words", mode="dense")) == ["first words", "more words", "other words"]
    library.close()


def test_a_replacement_is_found_by_an_encoder_that_the_collection_got_just_before_it(library: Library) -> None:
    document = library.add("first words")
    library.send("second words", document_id=document)
    _, revision = begun(library, "second words")
    encode_own(library, document, revision)
    learn(library)  # which the indexes have not been told of yet
    publish, found = library.store.publish, []

    def publish_and_look(tenant: str, document_id: str, revision: int, **rest: Any) -> int:
        seq = publish(tenant, document_id, revision, **rest)
        found.append(nearest(library, "words"))
        return seq

    library.store.publish = publish_and_look  # type: ignore[method-assign]
    library.indexes.publish(TENANT, document, revision)
    assert [*found, nearest(library, "words")] == [["second words"]] * 2
    assert library.found("words", mode="dense") == library.found("words", mode="sparse") == ["second words"]


def test_a_replacement_that_was_staged_before_the_collection_got_its_encoder_is_in_its_index(library: Library) -> None:
    document = library.add("first words")
    library.send("second words", document_id=document)
    _, revision = begun(library, "second words")
    encode_own(library, document, revision)
    publish = library.store.publish

    def learn_and_publish(*arguments: Any, **rest: Any) -> int:
        learn(library)
        library.indexes.keep_own(TENANT, "default")
        return publish(*arguments, **rest)

    library.store.publish = learn_and_publish  # type: ignore[method-assign]
    library.indexes.publish(TENANT, document, revision)
    assert nearest(library, "words") == ["second words"]
    assert library.found("words", mode="dense") == library.found("words", mode="sparse") == ["second words"]


def test_an_encoder_that_a_collection_got_while_its_indexes_were_rebuilt_has_its_index(library: Library) -> None:
    library.add("first words")
    apply, rebuilt = library.indexes._apply, []

    def apply_and_learn(pair: Any) -> None:
        apply(pair)
        if pair.folder.name == "2" and not rebuilt:
            rebuilt.append(pair)
            learn(library)
            library.indexes.keep_own(TENANT, "default")
            library.add("second words")

    library.indexes._apply = apply_and_learn  # type: ignore[method-assign]
    library.indexes.reindex(TENANT, "default")
    assert rebuilt
    assert nearest(library, "words") == ["first words"]
    assert sorted(library.found("words", mode="dense")) == ["first words", "second words"]
