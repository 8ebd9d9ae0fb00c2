"""The durable queue: every job is run by one runner at a time, in turn, and none is lost."""

import threading

import pytest

from retriever.errors import NotFound, StoreError
from retriever.store import Store
from tests.retriever.library import TENANT, Library


def test_a_job_goes_from_queued_to_succeeded_with_its_progress_and_result(library: Library) -> None:
    store = library.store
    job = store.create_job(TENANT, "summarize", {"document": "a"})
    assert (job.status, job.done, job.total, job.payload) == ("queued", 0, None, {"document": "a"})
    claimed = store.claim_job()
    assert claimed is not None
    assert (claimed.id, claimed.status) == (job.id, "running")
    assert store.job_progress(TENANT, job.id, done=3, total=7, unit="sentences")
    now = store.job(TENANT, job.id)
    assert (now.done, now.total, now.unit) == (3, 7, "sentences")
    store.finish_job(TENANT, job.id, {"summary": "short"})
    over = store.job(TENANT, job.id)
    assert (over.status, over.result, over.problem) == ("succeeded", {"summary": "short"}, None)
    assert over.updated_at > over.created_at
    assert store.claim_job() is None


def test_a_job_that_is_over_stays_as_it_is(library: Library) -> None:
    store = library.store
    job = store.create_job(TENANT, "work", {})
    store.claim_job()
    store.fail_job(TENANT, job.id, {"code": "limits"})
    store.finish_job(TENANT, job.id, {"late": True})
    store.mark_cancelled(TENANT, job.id)
    assert not store.job_progress(TENANT, job.id, done=1, total=1, unit=None)
    over = store.cancel_job(TENANT, job.id)
    assert (over.status, over.problem, over.result) == ("failed", {"code": "limits"}, None)


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_when_its_runner_stops(library: Library) -> None:
    store = library.store
    running, queued = store.create_job(TENANT, "work", {}), store.create_job(TENANT, "work", {})
    store.claim_job()
    assert store.cancel_job(TENANT, queued.id).status == "cancelled"
    flagged = store.cancel_job(TENANT, running.id)
    assert (flagged.status, flagged.cancelling) == ("running", True)
    assert not store.job_progress(TENANT, running.id, done=1, total=2, unit=None)
    store.mark_cancelled(TENANT, running.id)
    assert store.job(TENANT, running.id).status == "cancelled"
    assert store.claim_job() is None


def test_cancelling_an_ingest_leaves_the_version_that_stands_or_a_failed_document(library: Library) -> None:
    store = library.store
    fresh = library.send("never read")
    assert fresh.job_id is not None
    store.cancel_job(TENANT, fresh.job_id)
    assert store.document(TENANT, fresh.document.id).status == "failed"
    document = library.add("one")
    second = library.send("two", document_id=document)
    job = store.claim_job()
    assert job is not None
    store.cancel_job(TENANT, str(second.job_id))
    store.mark_cancelled(TENANT, job.id)
    assert store.text(TENANT, document)[0] == "one"
    assert store.document(TENANT, document).status == "indexed"
    with pytest.raises(NotFound):
        store.resume_revision(TENANT, document, job.id)


def test_tenants_take_turns_however_many_jobs_one_of_them_has(library: Library) -> None:
    store = library.store
    for number in range(5):
        store.create_job("busy", "work", {"n": number})
    for tenant in ("calm", "quiet"):
        for number in range(2):
            store.create_job(tenant, "work", {"n": number})
    order = []
    while (job := store.claim_job()) is not None:
        order.append((job.tenant, job.payload["n"]))
    assert order[:6] == [("busy", 0), ("calm", 0), ("quiet", 0), ("busy", 1), ("calm", 1), ("quiet", 1)]
    assert order[6:] == [("busy", 2), ("busy", 3), ("busy", 4)]


def test_a_runner_can_claim_only_the_kinds_that_it_runs(library: Library) -> None:
    library.store.create_job(TENANT, "slow", {})
    library.store.create_job(TENANT, "quick", {})
    job = library.store.claim_job(kinds=["quick"])
    assert job is not None
    assert job.kind == "quick"
    assert library.store.claim_job(kinds=["quick"]) is None


def test_two_runners_never_get_the_same_job(library: Library) -> None:
    for number in range(30):
        library.store.create_job(f"tenant {number % 3}", "work", {})
    claimed: list[str] = []

    def run() -> None:
        while (job := library.store.claim_job()) is not None:
            claimed.append(job.id)

    runners = [threading.Thread(target=run) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert len(claimed) == 30
    assert len(set(claimed)) == 30


def test_two_processes_never_get_the_same_job_nor_an_error(library: Library) -> None:
    other = Store(f"sqlite:///{library.folder / 'store.db'}")  # shares no lock with the first, as another process
    for _ in range(20):
        library.store.create_job(TENANT, "work", {})
    claimed: list[str] = []
    failures: list[StoreError] = []

    def run(store: Store) -> None:
        try:
            while (job := store.claim_job()) is not None:
                claimed.append(job.id)
        except StoreError as error:
            failures.append(error)

    runners = [threading.Thread(target=run, args=(store,)) for store in (library.store, other)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    other.close()
    assert failures == []
    assert sorted(claimed) == sorted(set(claimed))
    assert len(claimed) == 20


def test_what_was_running_is_queued_again_at_the_next_start_unless_it_was_to_be_cancelled(library: Library) -> None:
    store = library.store
    jobs = [store.create_job(TENANT, "work", {}) for _ in range(3)]
    store.claim_job()
    store.claim_job()
    store.job_progress(TENANT, jobs[0].id, done=4, total=9, unit="pages")
    store.cancel_job(TENANT, jobs[1].id)
    assert store.requeue_running() == 1
    assert [store.job(TENANT, job.id).status for job in jobs] == ["queued", "cancelled", "queued"]
    again = store.claim_job()
    assert again is not None
    assert (again.id, again.done) == (jobs[0].id, 4)


def test_jobs_are_listed_in_pages(library: Library) -> None:
    ids = [library.store.create_job(TENANT, "work", {}).id for _ in range(5)]
    first, cursor = library.store.jobs(TENANT, limit=3)
    rest, end = library.store.jobs(TENANT, limit=3, cursor=cursor)
    assert [job.id for job in first + rest] == ids
    assert end is None


def test_an_unknown_job_is_not_found(library: Library) -> None:
    for step in (library.store.job, library.store.cancel_job, library.store.mark_cancelled):
        with pytest.raises(NotFound):
            step(TENANT, "unknown")
