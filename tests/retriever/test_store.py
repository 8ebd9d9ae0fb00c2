"""What the store promises about documents: durable when accepted, visible when whole, gone when deleted."""

import hashlib
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, select

from retriever.errors import (
    Conflict,
    NotFound,
    Outdated,
    PreconditionFailed,
    StorageFull,
    StoreCorrupt,
    StoreNewer,
    StoreUnavailable,
)
from retriever.store import Embedded, Store, schema, version_of
from retriever.types import Turn
from tests.retriever.library import TENANT, Library, Slice, lines, paged, parsed

ONE = "The first line.\nThe second line."
TWO = "Another first line.\nAnother second line.\nAnd a third."


def begin(library: Library, text: str, **options: object) -> tuple[str, int]:
    """Send a text and begin its revision, unpublished."""
    accepted = library.send(text, **options)
    job = library.store.claim_job()
    assert job is not None
    revision = library.store.start_revision(TENANT, accepted.document.id, job.id, parsed(text), lines(text))
    return accepted.document.id, revision


def test_an_accepted_document_is_pending_and_not_readable_until_it_is_published(library: Library) -> None:
    document, revision = begin(library, ONE, title="Lines")
    pending = library.store.document(TENANT, document)
    assert (pending.status, pending.version, pending.title, pending.characters) == ("pending", None, "Lines", 0)
    assert pending.created_at == pending.updated_at
    with pytest.raises(NotFound):
        library.store.text(TENANT, document)
    library.store.publish(TENANT, document, revision)
    whole = library.store.document(TENANT, document)
    assert (whole.status, whole.version, whole.characters) == ("indexed", version_of(ONE), len(ONE))
    assert whole.passages == 2


def test_the_original_bytes_and_the_parsed_document_come_back_as_they_were(library: Library) -> None:
    accepted = library.send(ONE, filename="lines.txt")
    job = library.store.claim_job()
    assert job is not None
    whole = paged(ONE)
    library.store.start_revision(TENANT, accepted.document.id, job.id, whole, [Slice(0, 15, ("part 0",), 1)])
    library.store.publish(TENANT, accepted.document.id, 1)
    assert library.store.file(TENANT, accepted.document.id) == (ONE.encode(), "text/plain", "lines.txt")
    document, back = library.store.parsed(TENANT, accepted.document.id)
    assert back == whole
    assert (document.title, document.pages, document.warnings) == ("Paged", 2, ("a warning",))
    [(passage, _)] = library.store.visible_passages(TENANT, [document.id], encoder="none")
    assert (passage.text, passage.section, passage.page) == (ONE[:15], ("part 0",), 1)


def test_text_ranges_count_code_points_and_are_clipped(library: Library) -> None:
    text = "e\u0301 😀 北京\r\nline"
    document = library.add(text)
    assert library.store.text(TENANT, document, start=3, end=7) == ("😀 北京", 3, 7, version_of(text))
    assert library.store.text(TENANT, document, start=9, end=99)[:3] == (text[9:], 9, len(text))
    assert library.store.text(TENANT, document, start=50, end=60)[:3] == ("", len(text), len(text))


def test_a_citation_can_still_be_read_at_its_version_after_the_document_is_replaced(library: Library) -> None:
    document = library.add(ONE)
    library.add(TWO, document_id=document)
    assert library.store.text(TENANT, document)[0] == TWO
    assert library.store.text(TENANT, document, start=4, end=9, version=version_of(ONE))[0] == "first"
    with pytest.raises(NotFound):
        library.store.text(TENANT, document, version=version_of("never"))


def test_only_the_last_versions_are_kept(tmp_path: Path) -> None:
    library = Library(tmp_path, keep_versions=2)
    document = library.add("version 0")
    for number in range(1, 5):
        library.add(f"version {number}", document_id=document)
    for number in (2, 3, 4):
        assert library.store.text(TENANT, document, version=version_of(f"version {number}"))[0] == f"version {number}"
    for number in (0, 1):
        with pytest.raises(NotFound):
            library.store.text(TENANT, document, version=version_of(f"version {number}"))
    library.close()


def test_readers_see_the_old_version_until_the_new_one_is_whole(library: Library) -> None:
    document = library.add(ONE, title="old", metadata={"v": 1})
    _, revision = begin(library, TWO, document_id=document, title="new", metadata={"v": 2})
    before = library.store.document(TENANT, document)
    assert (before.title, before.version, before.metadata) == ("old", version_of(ONE), {"v": 1})
    assert before.status == "indexed"
    assert library.store.file(TENANT, document)[0] == ONE.encode()
    old = [passage.text for passage, _ in library.store.visible_passages(TENANT, [document], encoder="none")]
    library.store.publish(TENANT, document, revision)
    after = library.store.document(TENANT, document)
    assert (after.title, after.version, after.metadata) == ("new", version_of(TWO), {"v": 2})
    new = [passage.text for passage, _ in library.store.visible_passages(TENANT, [document], encoder="none")]
    assert (old, new) == (ONE.splitlines(), TWO.splitlines())


def test_the_last_replacement_accepted_wins_whichever_is_published_last(library: Library) -> None:
    document = library.add("the original")
    older = library.send(ONE, document_id=document)
    newer = library.send(TWO, document_id=document)
    first, second = library.store.claim_job(), library.store.claim_job()
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == (older.job_id, newer.job_id)
    library.work(second)
    seq = library.work(first)
    assert library.store.text(TENANT, document)[0] == TWO
    assert seq == library.store.last_seq(TENANT, "default")
    with pytest.raises(NotFound):  # it was never visible, so nothing can cite it
        library.store.text(TENANT, document, version=version_of(ONE))


def test_publishing_twice_is_harmless(library: Library) -> None:
    document, revision = begin(library, ONE)
    assert library.store.publish(TENANT, document, revision) == library.store.publish(TENANT, document, revision)


def test_the_same_bytes_again_are_the_same_document_with_title_and_metadata_as_sent_now(library: Library) -> None:
    first = library.send(ONE, title="one", metadata={"a": 1}, filename="a.txt")
    again = library.send(ONE, title="uno", metadata={"b": 2})
    assert (again.document.id, again.duplicate, again.created) == (first.document.id, True, False)
    assert again.job_id == first.job_id  # still pending: there is something to wait for
    library.work()
    indexed = library.store.document(TENANT, first.document.id)
    assert (indexed.title, indexed.metadata) == ("uno", {"b": 2})
    third = library.send(ONE)
    assert (third.document.id, third.job_id, third.document.title) == (first.document.id, None, "a.txt")
    assert library.send(ONE, collection="other").created
    assert library.send(ONE, document_id="mine").document.id == "mine"
    assert library.send(ONE, deduplicate=False).created


def test_the_same_bytes_are_tried_again_after_they_failed(library: Library) -> None:
    first = library.send(ONE)
    job = library.store.claim_job()
    assert job is not None
    library.store.fail_job(TENANT, job.id, {"code": "unreadable"})
    assert library.store.document(TENANT, first.document.id).status == "failed"
    again = library.send(ONE)
    assert (again.document.id, again.document.status, again.duplicate) == (first.document.id, "pending", False)
    library.work()
    assert library.store.document(TENANT, first.document.id).status == "indexed"


def test_a_failed_replacement_leaves_the_old_version(library: Library) -> None:
    document = library.add(ONE)
    accepted = library.send(TWO, document_id=document)
    job = library.store.claim_job()
    assert job is not None
    assert accepted.job_id == job.id
    library.store.fail_document(TENANT, document, job.id)
    assert library.store.document(TENANT, document).status == "indexed"
    assert library.store.text(TENANT, document)[0] == ONE
    assert library.send(ONE).document.id == document  # its bytes are known again
    with pytest.raises(NotFound):
        library.store.start_revision(TENANT, document, job.id, parsed(TWO), lines(TWO))


def test_if_match_must_name_the_visible_version(library: Library) -> None:
    document = library.add(ONE)
    for wrong in (version_of(TWO), "nonsense"):
        with pytest.raises(PreconditionFailed):
            library.send(TWO, document_id=document, if_match=wrong)
        with pytest.raises(PreconditionFailed):
            library.store.update_document(TENANT, document, title="new", if_match=wrong)
        with pytest.raises(PreconditionFailed):
            library.store.delete_document(TENANT, document, if_match=wrong)
    with pytest.raises(PreconditionFailed):
        library.send(TWO, document_id="never", if_match=version_of(ONE))
    library.send(TWO, document_id=document, if_match=version_of(ONE))
    with pytest.raises(Conflict):  # else two writers who read the same version would both believe that they won
        library.send("three", document_id=document, if_match=version_of(ONE))
    library.work()
    library.store.delete_document(TENANT, document, if_match=version_of(TWO))


def test_a_change_of_title_or_metadata_is_carried_by_the_replacement_under_way(library: Library) -> None:
    document = library.add(ONE, title="old")
    library.send(TWO, document_id=document, title="sent")
    changed = library.store.update_document(TENANT, document, title="patched")
    assert (changed.title, changed.version) == ("patched", version_of(ONE))
    library.work()
    assert library.store.document(TENANT, document).title == "patched"
    assert library.store.update_document(TENANT, document, metadata={"x": 1}).metadata == {"x": 1}
    assert library.store.document(TENANT, document).title == "patched"


def test_deleting_purges_every_table_and_leaves_a_change(library: Library) -> None:
    document = library.add(ONE)
    library.add(TWO, document_id=document)
    pending = library.send("three", document_id=document)
    assert pending.job_id is not None
    seq = library.store.last_seq(TENANT, "default")
    library.store.delete_document(TENANT, document)
    with library.store._db.read() as connection:
        for table in ("documents", "revisions", "files", "texts", "passages", "vectors"):
            assert connection.execute(select(schema.metadata.tables[table])).all() == [], table
    assert library.store.job(TENANT, pending.job_id).status == "cancelled"
    [change] = library.store.changes(TENANT, "default", after=seq)
    assert change.document_id == document
    with pytest.raises(NotFound):
        library.store.document(TENANT, document)
    with pytest.raises(NotFound):
        library.store.delete_document(TENANT, document)


def test_a_document_deleted_while_it_is_ingested_does_not_come_back(library: Library) -> None:
    document, revision = begin(library, ONE)
    batch = library.store.unencoded(TENANT, document, revision, encoder="e", limit=9)
    library.store.delete_document(TENANT, document)
    library.store.put_vectors("e", [key for key, _ in batch], np.ones((2, 4), dtype=np.float32))
    for step in (
        lambda: library.store.publish(TENANT, document, revision),
        lambda: library.store.unencoded(TENANT, document, revision, encoder="e", limit=9),
    ):
        with pytest.raises(NotFound):
            step()
    with library.store._db.read() as connection:
        assert connection.execute(select(schema.vectors)).all() == []


def test_vectors_come_back_in_half_precision_and_only_for_their_encoder(library: Library) -> None:
    document, revision = begin(library, ONE)
    vectors = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    keys = [key for key, _ in library.store.unencoded(TENANT, document, revision, encoder="a", limit=9)]
    library.store.put_vectors("a", keys[1:], vectors[1:])
    assert [k for k, _ in library.store.unencoded(TENANT, document, revision, encoder="a", limit=9)] == keys[:1]
    assert [t for _, t in library.store.unencoded(TENANT, document, revision, encoder="b", limit=9)] == ONE.splitlines()
    library.store.put_vectors("a", keys, vectors)
    library.store.publish(TENANT, document, revision)
    found = [vector for _, vector in library.store.visible_passages(TENANT, [document], encoder="a")]
    np.testing.assert_allclose(np.stack([each for each in found if each is not None]), vectors, rtol=1e-3)
    assert [vector for _, vector in library.store.visible_passages(TENANT, [document], encoder="b")] == [None, None]
    with pytest.raises(ValueError, match="1 keys, but 2 vectors"):
        library.store.put_vectors("a", keys[:1], vectors)


def test_pages_of_a_listing_hold_every_document_once_while_others_come_and_go(library: Library) -> None:
    ids = [library.send(f"text {number}").document.id for number in range(7)]
    first, cursor = library.store.documents(TENANT, limit=3)
    library.store.delete_document(TENANT, first[-1].id)  # the cursor stands after a row that is gone
    library.send("text 7", collection="other")
    rest, end = library.store.documents(TENANT, collection="default", limit=9, cursor=cursor)
    assert [each.id for each in first + rest] == ids
    assert end is None
    assert library.store.documents(TENANT, limit=7)[1] is None
    for bad in ("", "x", "bm90IGpzb24", "WzEsMl0", "é"):
        with pytest.raises(ValueError, match="not a cursor"):
            library.store.documents(TENANT, limit=3, cursor=bad)


def test_collections_count_what_is_visible(library: Library) -> None:
    assert [each.name for each in library.store.collections(TENANT)] == ["default"]
    library.add(ONE, collection="papers")
    library.send(TWO, collection="papers")
    [papers] = [each for each in library.store.collections(TENANT) if each.name == "papers"]
    assert (papers.documents, papers.passages, papers.characters) == (1, 2, len(ONE))
    made, created = library.store.put_collection(TENANT, "papers", metadata={"owner": "me"})
    assert (made.metadata, created) == ({"owner": "me"}, False)
    assert library.store.put_collection(TENANT, "empty", metadata={})[1]
    assert library.store.collection(TENANT, "default").documents == 0
    with pytest.raises(NotFound):
        library.store.collection(TENANT, "unknown")


def test_deleting_a_collection_purges_its_documents_and_ends_their_jobs(library: Library) -> None:
    document = library.add(ONE, collection="papers")
    kept = library.add(ONE)
    pending = library.send(TWO, collection="papers")
    assert pending.job_id is not None
    number = library.store.collection_number(TENANT, "papers")
    library.store.delete_collection(TENANT, "papers")
    assert library.store.job(TENANT, pending.job_id).status == "cancelled"
    assert [each.id for each in library.store.documents(TENANT, limit=9)[0]] == [kept]
    with pytest.raises(NotFound):
        library.store.document(TENANT, document)
    with pytest.raises(NotFound):
        library.store.delete_collection(TENANT, "papers")
    library.add(ONE, collection="papers")
    assert library.store.collection_number(TENANT, "papers") != number
    library.store.delete_collection(TENANT, "default")
    assert library.store.collection(TENANT, "default").documents == 0


def test_a_replacement_can_move_a_document_to_another_collection(library: Library) -> None:
    document = library.add(ONE)
    library.add(TWO, document_id=document, collection="papers")
    assert library.store.collection(TENANT, "default").documents == 0
    assert library.store.collection(TENANT, "papers").documents == 1
    assert library.store.changes(TENANT, "default", after=0)[-1].document_id == document
    assert library.found("line", collection="default") == []
    assert len(library.found("line", collection="papers")) == 3


def test_only_passages_of_visible_versions_are_resolved(library: Library) -> None:
    document = library.add(ONE)
    old = [passage.key for passage, _ in library.store.visible_passages(TENANT, [document], encoder="none")]
    assert set(library.store.resolve(TENANT, old)) == set(old)
    begin(library, TWO, document_id=document, title="new")
    everything = range(1, 50)
    assert set(library.store.resolve(TENANT, everything)) == set(old)
    library.store.publish(TENANT, document, 2)
    found = library.store.resolve(TENANT, everything)
    assert [passage.text for passage, _ in found.values()] == TWO.splitlines()
    assert {title for _, title in found.values()} == {"new"}
    assert library.store.resolve(TENANT, []) == {}


def test_no_method_shows_or_changes_another_tenants_things(library: Library) -> None:
    document = library.add(ONE, collection="papers", title="mine")
    pending = library.send(TWO, document_id=document, collection="papers")
    assert pending.job_id is not None
    store, other = library.store, "globex"
    keys = [passage.key for passage, _ in store.visible_passages(TENANT, [document], encoder="none")]
    refused = [
        lambda: store.document(other, document),
        lambda: store.update_document(other, document, title="stolen"),
        lambda: store.delete_document(other, document),
        lambda: store.text(other, document),
        lambda: store.text(other, document, version=version_of(ONE)),
        lambda: store.parsed(other, document),
        lambda: store.file(other, document),
        lambda: store.file(other, document, job_id=pending.job_id),
        lambda: store.collection(other, "papers"),
        lambda: store.delete_collection(other, "papers"),
        lambda: store.start_revision(other, document, str(pending.job_id), parsed(TWO), lines(TWO)),
        lambda: store.resume_revision(other, document, str(pending.job_id)),
        lambda: store.unencoded(other, document, 1, encoder="none", limit=9),
        lambda: store.publish(other, document, 1),
        lambda: store.job(other, str(pending.job_id)),
        lambda: store.cancel_job(other, str(pending.job_id)),
        lambda: store.finish_job(other, str(pending.job_id), {}),
        lambda: store.fail_job(other, str(pending.job_id), {}),
        lambda: store.mark_cancelled(other, str(pending.job_id)),
    ]
    for step in refused:
        with pytest.raises(NotFound):
            step()
    store.fail_document(other, document, pending.job_id)
    assert not store.job_progress(other, pending.job_id, done=1, total=2, unit="passages")
    assert store.documents(other, limit=9) == ([], None)
    assert store.jobs(other, limit=9) == ([], None)
    assert [each.name for each in store.collections(other)] == ["default"]
    assert store.resolve(other, keys) == {}
    assert store.matching(other) == []
    assert store.collections_of(other, [document]) == {}
    assert store.changes(other, "papers", after=0) == []
    assert store.last_seq(other, "papers") == 0
    assert store.collection_number(other, "papers") is None
    assert list(store.visible_passages(other, [document], encoder="none")) == []
    assert list(store.revision_passages(other, document, 1, encoder="none")) == []
    assert store.visible_revisions(other, [document], collection="papers") == {}
    assert library.send(ONE, tenant=other, collection="papers").created
    assert library.send(ONE, tenant=other, document_id=document).created  # an id is its tenant's own
    assert store.document(TENANT, document).title == "mine"
    assert store.job(TENANT, pending.job_id).status == "queued"


def test_what_was_accepted_is_there_after_a_crash_and_the_ingest_goes_on_where_it_was(tmp_path: Path) -> None:
    library = Library(tmp_path)
    accepted = library.send("\n".join(f"line {number}" for number in range(10)))
    document, store = accepted.document.id, library.store
    for step in ("accepted", "claimed", "begun", "half encoded", "encoded", "published"):
        library.crash()
        library = Library(tmp_path, encoder=library.encoder)
        store = library.store
        store.requeue_running()
        job = store.claim_job()
        assert job is not None
        assert job.id == accepted.job_id, step
        revision = store.resume_revision(TENANT, document, job.id)
        assert (revision is None) == (step in ("accepted", "claimed"))
        if step == "claimed":
            text = store.file(TENANT, document, job_id=job.id)[0].decode()
            store.start_revision(TENANT, document, job.id, parsed(text), lines(text))
        elif step == "begun":
            batch = store.unencoded(TENANT, document, 1, encoder=library.encoder.version, limit=4)
            vectors = library.encoder.encode_passages([text for _, text in batch])
            store.put_vectors(library.encoder.version, [key for key, _ in batch], vectors)
        elif step == "half encoded":
            library.encode(TENANT, document, 1)
            assert library.encoder.encoded == 10  # none a second time
        elif step == "encoded":
            assert library.found("line") == []
            store.publish(TENANT, document, 1)
        elif step == "published":
            assert len(library.found("line")) == 10  # the indexes have caught up
            library.work(job)
    assert store.document(TENANT, document).status == "indexed"
    library.close()


def test_writers_and_readers_at_once_see_whole_documents_only(library: Library) -> None:
    document = library.add("\n".join(["round 0"] * 5))
    stop, seen, failures = threading.Event(), set(), []

    def read() -> None:
        while not stop.wait(0.001):
            try:
                text = {p.text for p, _ in library.store.visible_passages(TENANT, [document], encoder="none")}
                shown = library.store.text(TENANT, document)[0].splitlines()
                seen.add((len(text), len(set(shown)), len(shown)))
            except Exception as error:  # noqa: BLE001 - a thread's failure has to reach the test
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 9):
        library.add("\n".join([f"round {number}"] * 5), document_id=document)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert seen == {(1, 1, 5)}


def test_concurrent_uploads_of_the_same_bytes_make_one_document(library: Library) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(library.send(ONE).document.id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_reader_is_not_held_up_by_a_writer(library: Library) -> None:
    document = library.add(ONE)
    with library.store._db.write():
        assert library.store.text(TENANT, document)[0] == ONE


def test_a_commit_is_on_the_disk_and_foreign_keys_hold(library: Library) -> None:
    with library.store._db.write() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_full_disk_is_reported_and_leaves_nothing_half_written(library: Library) -> None:
    document = library.add(ONE)
    with library.store._db.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    limit = f"PRAGMA max_page_count = {pages}"
    library.store._db._engine.dispose()
    event.listen(library.store._db._engine, "connect", lambda raw, _: raw.execute(limit))
    with pytest.raises(StorageFull):
        library.send("x" * 1_000_000, document_id=document)
    assert library.store.text(TENANT, document)[0] == ONE
    assert [job.status for job in library.store.jobs(TENANT, limit=9)[0]] == ["succeeded"]


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreUnavailable):
        Store(f"sqlite:///{tmp_path / 'garbage.db'}")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        Store(f"sqlite:///{tmp_path / 'file' / 'store.db'}")
    with pytest.raises(ValueError, match="give sqlite:///PATH"):
        Store("sqlite://")


def test_a_store_written_by_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.ping()
    store.close()
    raw = sqlite3.connect(tmp_path / "store.db")
    raw.execute("UPDATE meta SET value = '999' WHERE key = 'schema'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreNewer, match="999"):
        Store(f"sqlite:///{tmp_path / 'store.db'}")


def test_an_asset_is_kept_replaced_and_goes_with_its_collection(library: Library) -> None:
    library.add(ONE)
    made = library.store.put_asset(TENANT, "default", "adapter", b"first", metadata={"recall": 0.9})
    assert (made.size, made.sha256, made.metadata) == (5, hashlib.sha256(b"first").hexdigest(), {"recall": 0.9})
    library.store.put_asset(TENANT, "default", "adapter", b"second")
    library.store.put_asset(TENANT, "papers", "adapter", b"of papers")
    assert [each.name for each in library.store.assets(TENANT, "default")] == ["adapter"]
    assert library.store.asset(TENANT, "default", "adapter") == b"second"
    assert library.store.assets("globex", "default") == []
    with pytest.raises(NotFound):
        library.store.asset("globex", "default", "adapter")
    library.store.delete_collection(TENANT, "default")
    assert library.store.assets(TENANT, "default") == []
    library.store.delete_asset(TENANT, "papers", "adapter")
    for gone in ("default", "papers"):
        with pytest.raises(NotFound):
            library.store.delete_asset(TENANT, gone, "adapter")


def test_an_asset_that_is_not_as_it_was_given_is_not_handed_out(library: Library) -> None:
    library.store.put_asset(TENANT, "default", "adapter", b"weights")
    with library.store._db.write() as connection:
        connection.exec_driver_sql("UPDATE assets SET data = CAST('Weights' AS BLOB)")
    with pytest.raises(StoreCorrupt, match="does not match its checksum"):
        library.store.asset(TENANT, "default", "adapter")


def test_the_turns_of_a_dialogue_are_stored_with_its_text(library: Library) -> None:
    text = "Ann: Who goes there?\nBo: A friend."
    turns = (Turn(speaker="Ann", start=0, end=20), Turn(speaker="Bo", start=21, end=34))
    accepted = library.send(text)
    job = library.store.claim_job()
    assert job is not None
    revision = library.store.start_revision(
        TENANT, accepted.document.id, job.id, parsed(text, turns=turns), lines(text)
    )
    library.encode(TENANT, accepted.document.id, revision)
    library.indexes.publish(TENANT, accepted.document.id, revision)
    assert library.store.parsed(TENANT, accepted.document.id)[1] == parsed(text, turns=turns)


def test_what_a_collection_learned_comes_with_a_vector_for_each_visible_passage_or_not_at_all(library: Library) -> None:
    library.add("first words\nmore words")
    library.add("of another collection", collection="papers")
    number = library.store.collection_number(TENANT, "default")
    assert number is not None

    def put(keys: list[int], *, number: int = number, dropped: tuple[str, ...] = ()) -> list[tuple[int, str]]:
        embedded = Embedded(encoder="own", keys=keys, vectors=np.ones((len(keys), 64), dtype=np.float16))
        rest = {"metadata": {}, "embedded": embedded, "dropped": dropped}
        return library.store.put_learned(TENANT, "default", number, "retriever", b"learned", **rest)

    def encoded(encoder: str, collection: str = "default") -> int:
        ids = library.store.matching(TENANT, collection=collection)
        found = library.store.visible_passages(TENANT, ids, encoder=encoder)
        return sum(vector is not None for _, vector in found)

    missing = put([])
    assert [text for _, text in missing] == ["first words", "more words"]
    keys = [key for key, _ in missing]
    assert [text for _, text in put(keys[:1])] == ["more words"]
    assert encoded("own") == 0
    assert library.store.assets(TENANT, "default") == []
    assert put([*keys, 10_000]) == []  # one that was deleted meanwhile
    assert encoded("own") == 2
    assert library.store.asset(TENANT, "default", "retriever") == b"learned"
    assert put(keys, dropped=("hashing@1",)) == []
    assert (encoded("hashing@1"), encoded("own"), encoded("hashing@1", "papers")) == (0, 2, 1)
    with pytest.raises(NotFound):
        put(keys, number=number + 100)


def test_a_revision_that_was_made_for_another_asset_is_not_published(library: Library) -> None:
    document, revision = begin(library, ONE)
    asset = library.store.put_asset(TENANT, "default", "retriever", b"learned")
    for digest in (None, "0" * 64):
        with pytest.raises(Outdated):
            library.store.publish(TENANT, document, revision, made_for=("retriever", digest))
    assert library.store.document(TENANT, document).version is None
    library.store.publish(TENANT, document, revision, made_for=("retriever", asset.sha256))
    assert library.store.document(TENANT, document).version == version_of(ONE)
    assert library.store.destination(TENANT, document, revision) == "default"
    with pytest.raises(NotFound):
        library.store.destination(TENANT, document, revision + 1)
