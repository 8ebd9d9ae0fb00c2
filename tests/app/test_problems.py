import pytest

from app import errors as app_errors
from app import problems
from model import errors as model_errors
from retriever import errors as retriever_errors

# API.md's table: what an error may mean to a client.
CONTRACT = {
    (400, "malformed"),
    (422, "invalid"),
    (413, "too_large"),
    (415, "unsupported"),
    (422, "unreadable"),
    (422, "no_text"),
    (422, "limits"),
    (404, "not_found"),
    (405, "method"),
    (412, "precondition"),
    (409, "conflict"),
    (401, "unauthenticated"),
    (403, "forbidden"),
    (429, "rate_limited"),
    (503, "busy"),
    (507, "storage"),
    (503, "storage"),
    (500, "internal"),
}


def tree(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(each for child in root.__subclasses__() for each in tree(child))]


ROOTS = (app_errors.AppError, retriever_errors.RetrieverError, model_errors.ModelError)


def own(root: type[Exception]) -> list[type[Exception]]:
    return [kind for kind in tree(root) if kind.__module__ == root.__module__]


@pytest.mark.parametrize("kind", [kind for root in ROOTS for kind in own(root)])
def test_every_error_of_the_three_trees_has_a_meaning_of_its_own(kind):
    assert kind in problems.MEANINGS


@pytest.mark.parametrize("root", ROOTS)
def test_every_error_stands_in_its_modules_drawing(root):
    drawing = __import__(root.__module__, fromlist=["x"]).__doc__
    for kind in own(root):
        assert kind.__name__ in drawing


def test_every_meaning_is_one_of_the_contract():
    assert {(meaning.status, meaning.code) for meaning in problems.MEANINGS.values()} <= CONTRACT


def test_an_error_of_no_tree_is_internal_and_its_message_stays_inside():
    found = problems.problem_of(RuntimeError("the secret text"), request_id="r")
    assert (found["status"], found["code"], found["request_id"]) == (500, "internal", "r")
    assert "secret" not in str(found)


@pytest.mark.parametrize("kind", [kind for kind, meaning in problems.MEANINGS.items() if meaning.opaque])
def test_the_message_of_an_opaque_error_stays_inside(kind):
    error = kind({"detail": "secret"}) if kind is app_errors.JobFailed else kind("secret")
    assert "secret" not in str(problems.problem_of(error))


def test_busy_says_when_to_try_again():
    assert problems.headers_of(app_errors.QueueFull("full", retry_after=7)) == {"Retry-After": "7"}
    assert problems.headers_of(retriever_errors.StoreUnavailable("gone")) == {"Retry-After": "5"}
    assert problems.headers_of(retriever_errors.NotFound("gone")) == {}


def test_a_failed_jobs_problem_is_the_replys_with_the_requests_own_id():
    job = problems.problem_of(retriever_errors.NoText("only pictures"), request_id="of the job")
    found = problems.problem_of(app_errors.JobFailed(job), request_id="mine")
    assert found == {**job, "request_id": "mine"}


def test_field_errors_keep_places_and_messages_and_drop_what_was_sent():
    errors = [
        {"loc": ("filters", "Condition", "gte"), "msg": "Value error, bad", "input": "secret", "ctx": {"a": "secret"}},
        {"loc": ("a secret field!",), "msg": "Extra inputs are not permitted"},
        {"loc": ("questions", 3), "msg": "too long"},
    ]
    assert problems.field_errors(errors) == [
        {"loc": ["filters", "gte"], "msg": "bad"},
        {"loc": ["?"], "msg": "Extra inputs are not permitted"},
        {"loc": ["questions", 3], "msg": "too long"},
    ]
