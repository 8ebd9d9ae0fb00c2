"""The durable job runner: threads that take jobs from the store's queue, and those who wait for them.

A handler gets its job and a context; it reports progress between slices of its work, and is stopped there when the job
is cancelled or the service shuts down. A job that a shutdown interrupted goes on at the next start, so a handler first
looks at what it has done already.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from app import metrics, problems, telemetry, tracing
from app.errors import Cancelled, ShuttingDown, Stopping
from retriever.errors import NotFound, StorageFull, StoreCorrupt, StoreError
from retriever.store import Job, Receipt, Store

OVER = frozenset({"succeeded", "failed", "cancelled"})
ATTENTION_SECONDS = 0.5  # how often a job that waits for a request's work looks whether the service is stopping
REPORT_SECONDS = 0.5  # progress is written at most this often: each time is a transaction on the disk
STORE_RETRY_SECONDS = 2.0  # how long a worker leaves a store alone that cannot be reached, or has no room


class Context:
    """What a running job may tell and ask the runner."""

    def __init__(self, runner: "Jobs", job: Job) -> None:
        self._runner = runner
        self._job = job
        self._written = time.monotonic()

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._job.id

    def check(self) -> None:
        """Raise Stopping when the service shuts down."""
        if self._runner.stopping:
            raise Stopping("the service is stopping")

    def progress(self, done: int, total: int | None, unit: str | None, *, force: bool = False) -> None:
        """Report progress after a slice of the work. Raises Cancelled and Stopping.

        It is written now and then, with `force` now.
        """
        self.check()
        now = time.monotonic()
        if now - self._written < REPORT_SECONDS and done != total and not force:
            return
        self._written = now
        if not self._runner.store.job_progress(self._job.tenant, self._job.id, done=done, total=total, unit=unit):
            raise Cancelled("the job was cancelled")
        self._runner.changed(self._job.id)

    def run(self, job_id: str) -> Job:
        """Run another job of this tenant now, on this thread; where another thread has it, wait. Raises Stopping."""
        job = self._runner.run(self._job.tenant, job_id)
        if job.status not in OVER:
            raise Stopping("the service is stopping")
        return job


class Attached:
    """Work that a request began and a job may take over, so that nothing is computed twice.

    Its progress goes nowhere until a job has taken it over, and to that job from then on.
    """

    def __init__(self, context: Context | None = None) -> None:
        self.future: Future[Mapping[str, Any]] = Future()
        self._context = context

    def settle(self, work: "Future[Mapping[str, Any]]") -> None:
        """Pass on what became of the work, once it is over."""
        if work.cancelled():
            self.future.set_exception(ShuttingDown("the service is stopping"))
        elif (error := work.exception()) is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(work.result())

    def job_id(self) -> str | None:
        """The job that has taken the work over by now."""
        return None if self._context is None else self._context.job_id

    def progress(self, done: int, total: int | None, unit: str) -> None:
        """Report progress to the job, if there is one. Raises Cancelled and Stopping."""
        if self._context is not None:
            self._context.progress(done, total, unit)

    def take_over(self, context: Context) -> Mapping[str, Any]:
        """Wait for the result on behalf of a job. Raises what the work raises, and Stopping."""
        self._context = context
        while True:
            try:
                return self.future.result(timeout=ATTENTION_SECONDS)
            except TimeoutError:
                if self.future.done():
                    raise  # the work's own
                context.check()


T = TypeVar("T")
Handler = Callable[[Job, Context], Mapping[str, Any]]


class Listener:
    """Wakes a coroutine when a job may have changed; made by `Jobs.listen` in the coroutine's event loop."""

    def __init__(self, jobs: "Jobs", job_id: str) -> None:
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._jobs = jobs
        self.job_id = job_id

    def wake(self) -> None:
        """From any thread: look again."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.changed.set)

    def clear(self) -> None:
        """Call it before looking: what changes after that sets `changed` again."""
        self.changed.clear()

    def close(self) -> None:
        """Nobody listens here any more."""
        self._jobs.forget(self)


class Jobs:
    """Runs the store's jobs on its own threads. `start` and `close` once each."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler], *, workers: int = 4) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.store = store
        self._handlers = dict(handlers)
        # One tenant's long jobs leave a thread to the others, where there are enough.
        self._share = workers - 1 if workers > 2 else workers
        self._wake = threading.Condition()
        self._generation = 0  # grows with every change that a sleeping worker or waiter should look at
        self._stopping = False
        self._attached: dict[str, Attached] = {}  # job -> the work that a request began for it
        self._leaving = False
        self._listeners: dict[str, set[Listener]] = {}  # by job
        self._requeueing = threading.Lock()
        self._requeued: int | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{number}", daemon=True) for number in range(workers)
        ]

    @property
    def stopping(self) -> bool:
        """Whether the service is shutting down."""
        return self._stopping

    @property
    def leaving(self) -> bool:
        """Whether those who wait for jobs should go: the service is about to stop."""
        return self._leaving or self._stopping

    def dismiss(self) -> None:
        """Let go of everybody who waits for a job, so that no connection holds up a stop; the jobs go on."""
        self._leaving = True
        self.changed()

    def start(self) -> int:
        """Queue again what was running when the service last ended, and begin; returns how many went back."""
        requeued = 0
        try:
            requeued = self._requeue()
        except StorageFull as error:  # readers need not wait for room: the workers try again
            telemetry.log("interrupted jobs cannot be queued", level=30, error=error)
        for thread in self._threads:
            thread.start()
        return requeued

    def stop(self) -> None:
        """Take no more jobs, and let those that run go on to the end of their slices; does not wait for them."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def close(self) -> None:
        """Stop after the slices at hand; what is not finished goes on at the next start."""
        self.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def submit(
        self,
        tenant: str,
        kind: str,
        payload: Mapping[str, Any],
        *,
        attached: Attached | None = None,
        receipt: Receipt | None = None,
    ) -> Job:
        """Queue a job, durably. With `attached`, the job takes over that work instead of doing it itself.

        A `receipt` that is known gives the job that it was for. Raises ShuttingDown, OverQuota, KeyReused.
        """
        if kind not in self._handlers:
            raise ValueError(f"no handler for jobs of kind {kind!r}")
        with self._wake:
            if self._stopping:
                raise ShuttingDown("the service is stopping")
            job = self.store.create_job(tenant, kind, payload, receipt=receipt)
            if attached is not None and job.status == "queued":
                self._attached[job.id] = attached
        self.changed(job.id)
        return job

    def run(self, tenant: str, job_id: str) -> Job:
        """Run a job on the calling thread if it is queued, and wait until it is over or the service stops."""
        job = self.store.claim_job(only=job_id)
        if job is not None:
            self._run(job)
        return self.wait(tenant, job_id)

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Cancel a job: at once where it is queued, after its slice where it runs. Raises NotFound."""
        job = self.store.cancel_job(tenant, job_id)
        if job.status == "cancelled":
            with self._wake:
                self._attached.pop(job_id, None)  # no worker will ask for it any more
        self.changed(job_id)
        return job

    def changed(self, job_id: str | None = None) -> None:
        """Wake the workers, and those who wait for this job (without an id, for any job) to look again."""
        with self._wake:
            self._generation += 1
            self._wake.notify_all()
            self._tell(job_id)

    def listen(self, job_id: str) -> Listener:
        """Begin to listen to a job; for the event loop."""
        listener = Listener(self, job_id)
        with self._wake:
            self._listeners.setdefault(job_id, set()).add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Stop waking a listener."""
        with self._wake:
            left = self._listeners.get(listener.job_id, set())
            left.discard(listener)
            if not left:
                self._listeners.pop(listener.job_id, None)

    def _tell(self, job_id: str | None) -> None:
        heard = list(self._listeners.values()) if job_id is None else [self._listeners.get(job_id, set())]
        for listener in [each for some in heard for each in some]:
            listener.wake()

    def wait(self, tenant: str, job_id: str, *, timeout: float | None = None) -> Job:
        """Block until the job is over or the time is; the job as it is then. Raises NotFound."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._wake:
                generation = self._generation
            job = self.store.job(tenant, job_id)
            left = None if deadline is None else deadline - time.monotonic()
            if job.status in OVER or (left is not None and left <= 0) or self._stopping:
                return job
            with self._wake:
                self._wake.wait_for(lambda seen=generation: self._generation != seen or self._stopping, left)  # type: ignore[misc]

    async def settled(self, tenant: str, job_id: str, *, timeout: float) -> Job:
        """As `wait`, without holding a thread while waiting: for the event loop. With 0, the job as it is now."""
        loop, listener = asyncio.get_running_loop(), self.listen(job_id)
        deadline = loop.time() + timeout
        try:
            while True:
                listener.clear()
                job = await asyncio.to_thread(self.store.job, tenant, job_id)
                if job.status in OVER or loop.time() >= deadline or self.leaving:
                    return job
                try:
                    await asyncio.wait_for(listener.changed.wait(), deadline - loop.time())
                except TimeoutError:
                    continue
        finally:
            listener.close()

    def _work(self) -> None:
        while not self._stopping:
            with self._wake:
                seen = self._generation
            try:
                self._requeue()
                job = self.store.claim_job(kinds=sorted(self._handlers), share=self._share)
            except StoreError as error:
                telemetry.log("jobs cannot be claimed", level=40, error=error)
                self._sleep(seen=None, timeout=STORE_RETRY_SECONDS)
                continue
            if job is None:
                self._sleep(seen=seen, timeout=None)
            else:
                self._run(job)

    def _requeue(self) -> int:
        """Queue again, once and before any claim, what was running when the service last ended; how many it were."""
        with self._requeueing:
            if self._requeued is None:
                self._requeued = self.store.requeue_running()
            return self._requeued

    def _sleep(self, *, seen: int | None, timeout: float | None) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or (seen is not None and self._generation != seen), timeout)

    def _run(self, job: Job) -> None:
        started = time.monotonic()
        outcome = "failed"
        # The request that began it is over: its log lines and its result name the job.
        token = telemetry.request_id.set(job.id)
        with self._wake:
            self._tell(job.id)  # it runs now; other workers need not look for it
        try:
            with self._wake:  # `submit` holds it until the work that goes with the job is known
                attached = self._attached.pop(job.id, None)
            with tracing.job(job.kind, job.id):
                result = self._result(job, Context(self, job), attached)
            self._stored(job, lambda: self.store.finish_job(job.tenant, job.id, result))
            outcome = "succeeded"
        except (Stopping, ShuttingDown):
            outcome = "interrupted"  # still `running` in the store: the next start queues it again
        except Cancelled:
            self._end(job, None)
            outcome = "cancelled"
        except Exception as error:  # noqa: BLE001 - whatever a handler raises ends its job, not this thread
            self._end(job, error)
            if problems.meaning(error).status >= 500:
                telemetry.log("job failed", level=40, error=error, job=job.id, kind=job.kind)
        finally:
            seconds = time.monotonic() - started
            metrics.JOB_SECONDS.labels(job.kind, outcome).observe(seconds)
            telemetry.log("job over", job=job.id, kind=job.kind, outcome=outcome, ms=round(seconds * 1000))
            telemetry.request_id.reset(token)
            self.changed(job.id)

    def _result(self, job: Job, context: Context, attached: Attached | None) -> Mapping[str, Any]:
        """What the handler makes of the job. A full disk or a lost store never fails it: what was accepted is kept."""
        if attached is not None:
            return attached.take_over(context)
        return self._stored(job, lambda: self._handlers[job.kind](job, context))

    def _stored(self, job: Job, step: Callable[[], T]) -> T:
        """Do a step, again and again while the store or its disk refuses. Raises Stopping, Cancelled, StoreCorrupt."""
        while True:
            try:
                return step()
            except StoreCorrupt:
                raise  # it will not get better
            except StoreError as error:
                telemetry.log("a job waits for the store", level=30, error=error, job=job.id, kind=job.kind)
                self._sleep(seen=None, timeout=STORE_RETRY_SECONDS)
                if self._stopping:
                    raise Stopping("the service is stopping") from error
                if self._is_cancelling(job):
                    raise Cancelled("the job was cancelled") from error

    def _is_cancelling(self, job: Job) -> bool:
        try:
            return self.store.job(job.tenant, job.id).cancelling
        except StoreError:
            return False

    def _end(self, job: Job, error: BaseException | None) -> None:
        """Mark the job cancelled or failed. Where even that cannot be stored, the next start runs it again."""

        def mark() -> None:
            # What fails after a cancellation was asked for (its document may be gone) was cancelled.
            if error is None or self.store.job(job.tenant, job.id).cancelling:
                self.store.mark_cancelled(job.tenant, job.id)
            else:
                self.store.fail_job(job.tenant, job.id, problems.problem_of(error, request_id=job.id))

        try:
            self._stored(job, mark)
        except (StoreError, NotFound, Cancelled, Stopping) as failure:
            telemetry.log("the end of a job cannot be stored", level=40, error=failure, job=job.id)
