import numpy as np
import pytest

from retriever.errors import NotFound
from tests.retriever.library import TENANT, Library

ONE, TWO = b"1" * 16, b"2" * 16


def block(rows: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float16)


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path)
    yield library
    library.close()


@pytest.fixture
def shelf(library):
    return library.store


@pytest.fixture
def document(library):
    return library.add("alpha beta")


def test_blocks_come_back_as_they_were_kept_and_a_later_one_takes_the_place_of_an_earlier(shelf, document):
    shelf.put_sentence_blocks(TENANT, document, encoder="e@1", blocks={ONE: block(3, seed=0), TWO: block(1, seed=1)})
    shelf.put_sentence_blocks(TENANT, document, encoder="e@1", blocks={ONE: block(2, seed=2)})
    found = shelf.sentence_blocks(TENANT, document, encoder="e@1", digests=[ONE, TWO, b"3" * 16])
    assert set(found) == {ONE, TWO}
    np.testing.assert_array_equal(found[ONE], block(2, seed=2))
    np.testing.assert_array_equal(found[TWO], block(1, seed=1))
    assert shelf.sentence_blocks(TENANT, document, encoder="e@2", digests=[ONE]) == {}


def test_only_what_is_to_be_kept_stays_and_blocks_of_other_encoders_go(shelf, document):
    for encoder in ("e@1", "e@2"):
        shelf.put_sentence_blocks(
            TENANT, document, encoder=encoder, blocks={ONE: block(1, seed=0), TWO: block(1, seed=1)}
        )
    shelf.keep_sentence_blocks(TENANT, document, encoder="e@2", digests=[TWO])
    assert set(shelf.sentence_blocks(TENANT, document, encoder="e@2", digests=[ONE, TWO])) == {TWO}
    assert shelf.sentence_blocks(TENANT, document, encoder="e@1", digests=[ONE, TWO]) == {}


def test_blocks_are_a_tenant_s_own_and_go_with_their_document(shelf, document):
    shelf.put_sentence_blocks(TENANT, document, encoder="e@1", blocks={ONE: block(1, seed=0)})
    with pytest.raises(NotFound):
        shelf.sentence_blocks("somebody else", document, encoder="e@1", digests=[ONE])
    shelf.delete_document(TENANT, document)
    with pytest.raises(NotFound):
        shelf.put_sentence_blocks(TENANT, document, encoder="e@1", blocks={ONE: block(1, seed=0)})


def test_blocks_of_a_job_are_kept_while_it_is_under_way_and_by_its_tenant_alone(shelf):
    job = shelf.create_job(TENANT, "summarize", {}).id
    shelf.put_job_blocks(TENANT, job, encoder="e@1", blocks={ONE: block(3, seed=0)})
    shelf.put_job_blocks(TENANT, job, encoder="e@1", blocks={ONE: block(2, seed=2), TWO: block(1, seed=1)})
    found = shelf.job_blocks(TENANT, job, encoder="e@1", digests=[ONE, TWO])
    np.testing.assert_array_equal(found[ONE], block(2, seed=2))
    np.testing.assert_array_equal(found[TWO], block(1, seed=1))
    assert shelf.job_blocks(TENANT, job, encoder="e@2", digests=[ONE]) == {}
    with pytest.raises(NotFound):
        shelf.job_blocks("somebody else", job, encoder="e@1", digests=[ONE])


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_nothing_is_kept_of_a_job_that_is_over(shelf, end):
    job = shelf.create_job(TENANT, "summarize", {}).id
    shelf.put_job_blocks(TENANT, job, encoder="e@1", blocks={ONE: block(1, seed=0)})
    if end == "cancelled":
        shelf.cancel_job(TENANT, job)
    else:
        shelf.claim_job()
        over = shelf.finish_job if end == "succeeded" else shelf.fail_job
        over(TENANT, job, {})
    shelf.put_job_blocks(TENANT, job, encoder="e@1", blocks={TWO: block(1, seed=1)})
    assert shelf.job_blocks(TENANT, job, encoder="e@1", digests=[ONE, TWO]) == {}
