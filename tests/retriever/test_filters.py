"""What passes a filter on metadata."""

from typing import Any

import pytest

from retriever.filters import check_filters, matches
from tests.retriever.library import TENANT, Library

METADATA = {"year": 2021, "lang": "en", "tags": ["law", "tax"], "draft": False, "date": "2021-05-01", "none": None}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"year": 2021}, True),
        ({"year": 2021.0}, True),
        ({"year": "2021"}, False),
        ({"year": True}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"none": None}, True),
        ({"unknown": None}, False),
        ({"lang": ["de", "en"]}, True),
        ({"lang": ["de"]}, False),
        ({"tags": "tax"}, True),
        ({"tags": ["art", "law"]}, True),
        ({"tags": "art"}, False),
        ({"year": {"gte": 2021, "lt": 2022}}, True),
        ({"year": {"gt": 2021}}, False),
        ({"year": {"lte": 2020}}, False),
        ({"date": {"gte": "2021-01-01", "lt": "2022-01-01"}}, True),
        ({"date": {"gte": 2021}}, False),
        ({"unknown": {"gte": 0}}, False),
        ({"none": {"gte": 0}}, False),
        ({"lang": {"in": ["en", "fr"]}}, True),
        ({"year": {"exists": True}, "unknown": {"exists": False}}, True),
        ({"year": {"exists": False}}, False),
        ({"year": 2021, "lang": "de"}, False),
    ],
)
def test_a_filter_passes_exactly_what_it_says(filters: dict[str, Any], expected: bool) -> None:
    check_filters(filters)
    assert matches(METADATA, filters) is expected


@pytest.mark.parametrize(
    "filters",
    [{"a": {}}, {"a": {"near": 1}}, {"a": {"in": 1}}, {"a": {"exists": "yes"}}, {"a": {"gte": None}}, {"a": [[1]]}],
)
def test_a_filter_that_could_not_be_meant_is_refused_by_name(filters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="filter 'a'"):
        check_filters(filters)


def test_matching_documents_are_those_inside_every_restriction(library: Library) -> None:
    a = library.add("one", metadata={"year": 2019})
    b = library.add("two", metadata={"year": 2021})
    c = library.add("three", metadata={"year": 2022}, collection="papers")
    library.send("four", metadata={"year": 2021})  # not visible yet
    recent = {"year": {"gte": 2020}}
    assert set(library.store.matching(TENANT)) == {a, b, c}
    assert set(library.store.matching(TENANT, filters=recent)) == {b, c}
    assert library.store.matching(TENANT, collection="papers", filters=recent) == [c]
    assert library.store.matching(TENANT, documents=[a, b, "unknown"], filters=recent) == [b]
    assert library.store.matching(TENANT, documents=[]) == []
