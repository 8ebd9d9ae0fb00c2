import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app import inference as module
from app.errors import QueueFull, ShuttingDown
from app.inference import Inference
from tests.fakes import HashingEncoder, OverlapReader

TEXTS = [f"passage {n} " + "about pumps " * (n % 7) for n in range(100)]


class Gated(HashingEncoder):
    """Notes each call, and holds every one until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.calls: list[tuple[str, int]] = []

    def encode_passages(self, texts, /):
        self._note("passages", texts)
        return super().encode_passages(texts)

    def encode_queries(self, texts, /):
        self._note("queries", texts)
        return HashingEncoder.encode_passages(self, texts)

    def _note(self, kind, texts):
        self.calls.append((kind, len(texts)))
        self.entered.release()
        assert self.gate.acquire(timeout=10)


@pytest.fixture
def gated():
    encoder = Gated()
    inference = Inference(encoder, OverlapReader(), limit=4, quiet_slice=10, busy_slice=5, slice_seconds=60)
    with ThreadPoolExecutor(16) as pool:
        yield encoder, inference, pool
        encoder.gate.release(10_000)
        inference.close()


def until(condition):
    """Waits for another thread to get somewhere, without a guess at how long that takes."""
    for _ in range(10_000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("nothing happened for 10 seconds")


def test_slices_come_back_in_the_order_of_the_texts():
    inference = Inference(HashingEncoder(), OverlapReader(), quiet_slice=7)
    found = inference.encoder("bulk").encode_passages(TEXTS)
    inference.close()
    assert np.array_equal(found, HashingEncoder().encode_passages(TEXTS))


def test_a_question_goes_before_the_rest_of_a_bulk_call(gated):
    encoder, inference, pool = gated
    bulk = pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:30])
    assert encoder.entered.acquire(timeout=10)
    query = pool.submit(inference.encoder("interactive").encode_queries, ["who?"])
    until(lambda: inference.waiting == 1)
    encoder.gate.release(100)
    query.result(10)
    bulk.result(10)
    assert encoder.calls[:2] == [("passages", 10), ("queries", 1)]


def test_bulk_slices_shrink_on_a_slow_machine_so_that_a_question_waits_no_longer(monkeypatch):
    clock, sizes = [100.0], []

    class Slow(HashingEncoder):
        def encode_passages(self, texts, /):
            sizes.append(len(texts))
            clock[0] += 0.02 * len(texts)
            return super().encode_passages(texts)

        def encode_queries(self, texts, /):
            return HashingEncoder.encode_passages(self, texts)

    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    inference = Inference(Slow(), OverlapReader(), quiet_slice=10, busy_slice=8, slice_seconds=0.07)
    inference.encoder("bulk").encode_passages(TEXTS[:10])
    inference.encoder("interactive").encode_queries(["who?"])
    inference.encoder("bulk").encode_passages(TEXTS[:9])
    inference.close()
    assert sizes == [10, 3, 3, 3]


def test_bulk_slices_are_small_while_questions_come(gated):
    encoder, inference, pool = gated
    encoder.gate.release(1000)
    inference.encoder("interactive").encode_queries(["who?"])
    pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:20]).result(10)
    assert encoder.calls[1:] == [("passages", 5)] * 4


def test_two_bulk_calls_take_turns(gated):
    encoder, inference, pool = gated
    large = pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:100])
    assert encoder.entered.acquire(timeout=10)
    small = pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:1])
    until(lambda: inference.waiting == 1)
    encoder.gate.release(1000)
    small.result(10)
    large.result(10)
    assert encoder.calls[1] == ("passages", 1)


def test_questions_that_wait_together_are_encoded_together(gated):
    encoder, inference, pool = gated
    blocking = pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:1])
    assert encoder.entered.acquire(timeout=10)
    asked = [pool.submit(inference.encoder("interactive").encode_queries, [f"question {n}?"]) for n in range(4)]
    until(lambda: inference.waiting == 4)
    encoder.gate.release(100)
    blocking.result(10)
    for n, query in enumerate(asked):
        assert np.array_equal(query.result(10), HashingEncoder().encode_passages([f"question {n}?"]))
    assert encoder.calls[1] == ("queries", 4)


def test_a_full_lane_refuses_questions_and_leaves_the_other_lane_open(gated):
    encoder, inference, pool = gated
    held = [pool.submit(inference.encoder("interactive").encode_queries, ["first"])]
    assert encoder.entered.acquire(timeout=10)
    held += [pool.submit(inference.encoder("interactive").encode_queries, [f"{n}"]) for n in range(4)]
    until(lambda: inference.waiting == 4)
    with pytest.raises(QueueFull):
        inference.encoder("interactive").encode_queries(["one too many"])
    held.append(pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:1]))
    until(lambda: inference.waiting == 5)
    encoder.gate.release(100)
    for each in held:
        each.result(10)


def test_a_models_error_reaches_its_caller_and_the_queue_goes_on():
    class Broken(OverlapReader):
        def read(self, question, passages, **_):
            if question == "break":
                raise RuntimeError("broken")
            return super().read(question, passages)

    inference = Inference(HashingEncoder(), Broken())
    with pytest.raises(RuntimeError, match="broken"):
        inference.reader().read("break", ["a passage"])
    assert not inference.reader().read("what is it?", ["nothing"]).answerable
    inference.close()


def test_what_waits_at_the_end_is_refused_and_nothing_hangs(gated):
    encoder, inference, pool = gated
    running = pool.submit(inference.encoder("bulk").encode_passages, TEXTS[:30])
    assert encoder.entered.acquire(timeout=10)
    waiting = pool.submit(inference.encoder("interactive").encode_queries, ["who?"])
    until(lambda: inference.waiting == 1)
    closing = pool.submit(inference.close)
    until(lambda: inference._closing)
    encoder.gate.release(100)
    closing.result(10)
    for each in (running, waiting):
        with pytest.raises(ShuttingDown):
            each.result(10)
    with pytest.raises(ShuttingDown):
        inference.encoder("bulk").encode_passages(["late"])


def test_nothing_to_encode_is_no_call():
    encoder = HashingEncoder()
    inference = Inference(encoder, OverlapReader())
    assert inference.encoder("bulk").encode_passages([]).shape == (0, 64)
    assert inference.encoder("interactive").encode_queries([]).shape == (0, 64)
    inference.close()
    assert encoder.encoded == 0


def test_queries_of_an_encoder_that_a_collection_has_for_its_own_are_not_mixed_with_the_others(gated):
    encoder, inference, pool = gated
    other = HashingEncoder(version="other@1", learned=np.eye(64, dtype=np.float16))
    held = [pool.submit(inference.encoder("interactive").encode_queries, ["first"])]
    assert encoder.entered.acquire(timeout=10)
    own = pool.submit(inference.encoder("interactive", other).encode_queries, ["who?"])
    until(lambda: inference.waiting == 1)
    held += [pool.submit(inference.encoder("interactive").encode_queries, ["who?"]) for _ in range(2)]
    until(lambda: inference.waiting == 3)
    encoder.gate.release(10)
    np.testing.assert_array_equal(own.result(), other.encode_queries(["who?"]))
    assert [row.result().tolist() for row in held[1:]] == [HashingEncoder().encode_queries(["who?"]).tolist()] * 2
    assert inference.encoder("bulk", other).version == "other@1"
