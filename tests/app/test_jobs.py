import queue
import threading

import pytest

from app import jobs as module
from app.errors import ShuttingDown
from app.jobs import Attached, Jobs
from retriever.errors import NoText, NotFound, StorageFull, StoreUnavailable
from retriever.store import Store

T = "default"


class Steps:
    """A handler that stops at each step until it is let on, and remembers what it did."""

    def __init__(self) -> None:
        self.at_step = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.done: list[int] = []

    def __call__(self, job, context):
        for step in range(len(self.done), 3):
            self.at_step.release()
            assert self.go.acquire(timeout=10)
            self.done.append(step)
            context.progress(step + 1, 3, "steps")
        return {"steps": self.done}


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def runner(store):
    runners = []

    def make(handlers, **options):
        runners.append(Jobs(store, handlers, **options))
        runners[-1].start()
        return runners[-1]

    yield make
    for each in runners:
        each.close()


def test_a_job_runs_and_its_result_can_be_waited_for(runner):
    jobs = runner({"add": lambda job, context: {"sum": sum(job.payload["numbers"])}})
    job = jobs.submit(T, "add", {"numbers": [1, 2, 3]})
    done = jobs.wait(T, job.id, timeout=10)
    assert (done.status, done.result) == ("succeeded", {"sum": 6})


def test_an_error_becomes_the_jobs_problem_and_the_next_job_runs(runner):
    def handler(job, context):
        if job.payload["bad"]:
            raise NoText("it holds no text")
        return {}

    jobs = runner({"parse": handler}, workers=1)
    bad, good = jobs.submit(T, "parse", {"bad": True}), jobs.submit(T, "parse", {"bad": False})
    problem = jobs.wait(T, bad.id, timeout=10).problem
    assert (problem["status"], problem["code"], problem["detail"]) == (422, "no_text", "it holds no text")
    assert jobs.wait(T, good.id, timeout=10).status == "succeeded"


def test_a_job_waits_for_room_on_the_disk_and_goes_on(runner, monkeypatch):
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.001)
    tried = []

    def handler(job, context):
        tried.append(job.id)
        if len(tried) < 4:
            raise StorageFull("no space is left") if len(tried) % 2 else StoreUnavailable("it is locked")
        return {"tried": len(tried)}

    jobs = runner({"write": handler})
    done = jobs.wait(T, jobs.submit(T, "write", {}).id, timeout=10)
    assert (done.status, done.result) == ("succeeded", {"tried": 4})


def test_a_job_that_waits_for_room_can_be_cancelled_and_does_not_hold_up_a_stop(runner, monkeypatch):
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.001)
    tried, seen = queue.Queue(), set()

    def handler(job, context):
        tried.put(job.id)
        raise StorageFull("no space is left")

    jobs = runner({"write": handler}, workers=2)
    job, other = jobs.submit(T, "write", {}), jobs.submit(T, "write", {})
    while seen < {job.id, other.id}:
        seen.add(tried.get(timeout=10))
    jobs.cancel(T, job.id)
    assert jobs.wait(T, job.id, timeout=10).status == "cancelled"
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 1_000)
    jobs.close()
    assert jobs.store.job(T, other.id).status == "running"  # the next start queues it again


def test_the_end_of_a_job_waits_for_room_too(runner, store, monkeypatch):
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.001)
    finish, tried = store.finish_job, []

    def full_at_first(*arguments):
        tried.append(1)
        if len(tried) < 3:
            raise StorageFull("no space is left")
        finish(*arguments)

    monkeypatch.setattr(store, "finish_job", full_at_first)
    ran = []
    jobs = runner({"write": lambda job, context: ran.append(1) or {"done": True}})
    assert jobs.wait(T, jobs.submit(T, "write", {}).id, timeout=10).result == {"done": True}
    assert (len(ran), len(tried)) == (1, 3)


def test_an_unexpected_errors_message_is_not_in_the_problem(runner):
    def handler(job, context):
        raise RuntimeError("text of a document")

    jobs = runner({"odd": handler})
    problem = jobs.wait(T, jobs.submit(T, "odd", {}).id, timeout=10).problem
    assert problem["code"] == "internal"
    assert "text of a document" not in str(problem)


def test_a_running_job_is_cancelled_at_its_next_report(runner):
    steps = Steps()
    jobs = runner({"steps": steps})
    job = jobs.submit(T, "steps", {})
    assert steps.at_step.acquire(timeout=10)
    assert jobs.cancel(T, job.id).status == "running"
    steps.go.release(3)
    assert jobs.wait(T, job.id, timeout=10).status == "cancelled"


def test_a_queued_job_is_cancelled_at_once(runner):
    steps = Steps()
    jobs = runner({"steps": steps}, workers=1)
    first = jobs.submit(T, "steps", {})
    assert steps.at_step.acquire(timeout=10)
    second = jobs.submit(T, "steps", {})
    assert jobs.cancel(T, second.id).status == "cancelled"
    steps.go.release(3)
    assert jobs.wait(T, first.id, timeout=10).status == "succeeded"


def test_a_job_that_a_shutdown_interrupts_goes_on_where_it_was_at_the_next_start(store):
    steps = Steps()
    jobs = Jobs(store, {"steps": steps})
    jobs.start()
    job = jobs.submit(T, "steps", {})
    assert steps.at_step.acquire(timeout=10)
    closing = threading.Thread(target=jobs.close)
    closing.start()
    while not jobs.stopping:
        pass
    steps.go.release()
    closing.join(10)
    assert store.job(T, job.id).status == "running"

    again = Jobs(store, {"steps": steps})
    assert again.start() == 1
    steps.go.release(3)
    assert again.wait(T, job.id, timeout=10).result == {"steps": [0, 1, 2]}
    again.close()


def test_jobs_wait_for_nothing_after_a_shutdown(runner):
    jobs = runner({"add": lambda job, context: {}})
    jobs.close()
    with pytest.raises(ShuttingDown):
        jobs.submit(T, "add", {})


def test_waiting_ends_when_the_time_does(runner):
    steps = Steps()
    jobs = runner({"steps": steps})
    job = jobs.submit(T, "steps", {})
    assert jobs.wait(T, job.id, timeout=0.01).status in ("queued", "running")
    steps.go.release(3)


def test_a_job_takes_over_what_a_request_began(runner):
    jobs = runner({"ask": lambda job, context: {"from": "the handler"}})
    attached = Attached()
    job = jobs.submit(T, "ask", {}, attached=attached)
    attached.future.set_result({"from": "the request"})
    assert jobs.wait(T, job.id, timeout=10).result == {"from": "the request"}
    assert jobs.wait(T, jobs.submit(T, "ask", {}).id, timeout=10).result == {"from": "the handler"}


def test_a_job_of_a_deleted_document_that_was_cancelled_is_cancelled_not_failed(runner):
    entered, go = threading.Event(), threading.Event()

    def handler(job, context):
        entered.set()
        assert go.wait(10)
        raise NotFound("its document is gone")

    jobs = runner({"ingest-like": handler})
    job = jobs.submit(T, "ingest-like", {})
    assert entered.wait(10)
    jobs.cancel(T, job.id)
    go.set()
    assert jobs.wait(T, job.id, timeout=10).status == "cancelled"


def test_jobs_run_side_by_side(runner):
    meeting = threading.Barrier(2)
    jobs = runner({"meet": lambda job, context: {"order": meeting.wait(10)}}, workers=2)
    pair = [jobs.submit(T, "meet", {}) for _ in range(2)]
    assert {jobs.wait(T, job.id, timeout=10).result["order"] for job in pair} == {0, 1}


def test_an_unknown_kind_and_an_unknown_job_are_refused(runner):
    jobs = runner({})
    with pytest.raises(ValueError, match="no handler"):
        jobs.submit(T, "unknown", {})
    with pytest.raises(NotFound):
        jobs.wait(T, "unknown", timeout=0)
