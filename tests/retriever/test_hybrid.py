"""What a search returns: the right passages, scored exactly on both sides, of one snapshot and one tenant."""

import threading

import pytest

from retriever.bm25 import bm25
from retriever.errors import NotFound
from retriever.hybrid import HybridRetriever
from retriever.terms import terms
from retriever.tuning import Mix
from retriever.types import Passage
from tests.retriever.library import TENANT, Library

ANIMALS = "the cat sat on the mat\nthe dog ate the bone\na bird sang in the tree\na fish swam in the sea"


def inline(texts: list[str]) -> list[Passage]:
    return [
        Passage(key=key, id=str(key), document_id=None, version="v", ordinal=key, start=0, end=len(text), text=text)
        for key, text in enumerate(texts)
    ]


def test_the_mix_is_the_weighted_sum_of_scaled_bm25_and_cosine(library: Library) -> None:
    library.add(ANIMALS)
    texts = ANIMALS.splitlines()
    query = "where did the cat sit on the mat"
    by_words = bm25(terms(query), [terms(text) for text in texts])
    by_meaning = library.encoder.encode_passages(texts) @ library.encoder.encode_queries([query])[0]
    for weight in (0.0, 0.3, 0.5, 1.0):
        retriever = HybridRetriever(library.store, library.indexes, library.encoder, mix=Mix(weight=weight))
        hits = {hit.passage.text: hit for hit in retriever.search(TENANT, query, k=4)}
        assert set(hits) == set(texts)
        for place, text in enumerate(texts):
            expected = weight * by_words[place] / by_words.max() + (1 - weight) * by_meaning[place]
            assert hits[text].score == pytest.approx(expected, abs=1e-3)  # vectors are kept in half precision
            assert hits[text].scores["sparse"] == pytest.approx(by_words[place], rel=1e-5)
            assert hits[text].scores["dense"] == pytest.approx(by_meaning[place], abs=1e-3)


def test_hits_come_best_first_with_their_ranks_on_each_side(library: Library) -> None:
    library.add(ANIMALS, title="Animals")
    hits = library.retriever.search(TENANT, "the dog and the bone", k=4)
    assert hits[0].passage.text == "the dog ate the bone"
    assert hits[0].ranks == {"sparse": 1, "dense": 1}
    assert hits[0].title == "Animals"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert library.found("the dog and the bone", k=1) == ["the dog ate the bone"]
    assert sorted(hit.ranks["dense"] for hit in hits) == [1, 2, 3, 4]


def test_each_mode_gives_its_own_side_alone(library: Library) -> None:
    library.add(ANIMALS)
    sparse = library.retriever.search(TENANT, "bird tree", mode="sparse", k=9)
    assert [hit.passage.text for hit in sparse] == ["a bird sang in the tree"]
    assert sparse[0].score == sparse[0].scores["sparse"] > 1
    dense = library.retriever.search(TENANT, "bird tree", mode="dense", k=9)
    assert len(dense) == 4
    assert dense[0].score == dense[0].scores["dense"] <= 1
    assert set(dense[0].ranks) == {"dense"}


def test_a_candidate_of_one_side_is_scored_exactly_by_the_other(library: Library) -> None:
    library.add("\n".join(["needle in hay"] + [f"hay stack {number}" for number in range(30)]))
    retriever = HybridRetriever(library.store, library.indexes, library.encoder, pool=2)
    for hit in retriever.search(TENANT, "needle stack 7", k=2):
        assert set(hit.scores) == {"sparse", "dense"}
        assert hit.scores["dense"] != 0


def test_passages_that_are_gone_do_not_take_the_places_of_those_that_are_there(library: Library) -> None:
    kept = library.add("cat number kept")
    gone = library.add("\n".join(f"cat number {n}" for n in range(50)))
    library.store.delete_document(TENANT, gone)  # and the indexes have not heard of it
    retriever = HybridRetriever(library.store, library.indexes, library.encoder, pool=3)
    assert [hit.passage.document_id for hit in retriever.search(TENANT, "cat number 7", k=3)] == [kept]


def test_a_search_can_be_kept_to_documents_collections_and_metadata(library: Library) -> None:
    a = library.add("cat one", metadata={"year": 2019})
    b = library.add("cat two", metadata={"year": 2021})
    c = library.add("cat three", metadata={"year": 2022}, collection="papers")
    assert set(library.found("cat")) == {"cat one", "cat two"}
    assert library.found("cat", collection="papers") == ["cat three"]
    assert library.found("cat", documents=[a]) == ["cat one"]
    assert set(library.found("cat", documents=[a, c, "unknown"])) == {"cat one", "cat three"}
    recent = {"year": {"gte": 2020}}
    assert library.found("cat", filters=recent) == ["cat two"]
    assert set(library.found("cat", documents=[a, b, c], filters=recent)) == {"cat two", "cat three"}
    assert library.found("cat", collection="papers", documents=[b]) == []
    assert library.found("cat", filters={"year": 1900}) == []
    assert library.found("cat", documents=[]) == []


def test_an_empty_default_collection_finds_nothing_and_an_unknown_one_is_not_found(library: Library) -> None:
    assert library.found("anything") == []
    assert library.found("anything", filters={"a": 1}) == []
    for filters in (None, {"a": 1}):
        with pytest.raises(NotFound):
            library.found("anything", collection="unknown", filters=filters)


def test_a_query_without_a_word_still_finds_by_meaning(library: Library) -> None:
    library.add(ANIMALS)
    assert len(library.found("?!")) == 4
    assert library.found("?!", mode="sparse") == []
    assert library.found("cat", k=0) == []


def test_tenants_never_find_each_others_passages(library: Library) -> None:
    mine = library.add("the secret of acme")
    theirs = library.add("the secret of globex", tenant="globex")
    assert library.found("secret") == ["the secret of acme"]
    assert library.found("secret", tenant="globex") == ["the secret of globex"]
    assert library.found("secret", documents=[theirs]) == []
    assert library.found("secret", tenant="globex", documents=[mine]) == []
    assert library.found("secret", tenant="initech") == []


def test_an_inline_text_is_scored_as_a_collection_of_its_own(library: Library) -> None:
    library.add(ANIMALS)
    for mode in ("hybrid", "sparse", "dense"):
        stored = library.retriever.search(TENANT, "the bird in the tree", mode=mode, k=9)
        there = library.retriever.search_passages(inline(ANIMALS.splitlines()), "the bird in the tree", mode=mode, k=9)
        assert [hit.passage.text for hit in there] == [hit.passage.text for hit in stored]
        assert [hit.score for hit in there] == pytest.approx([hit.score for hit in stored], abs=1e-3)
        assert [hit.ranks for hit in there] == [hit.ranks for hit in stored]
    assert library.retriever.search_passages([], "cat", k=3) == []


def test_chinese_is_found_by_words_inside_it(library: Library) -> None:
    library.add("他在北京大学学习物理。\n上海的天气很好。\n我喜欢喝绿茶。")
    assert library.found("北京大学", k=1) == ["他在北京大学学习物理。"]
    assert library.found("绿茶", mode="sparse") == ["我喜欢喝绿茶。"]


def test_of_passages_with_the_same_words_the_one_that_says_them_as_the_query_does_comes_first(library: Library) -> None:
    apart = "the bank of a river has a house with a red roof and the north has another such bank for every new pilot"
    library.add(f"{apart}\nthe north bank for a pilot of the new red house has such a roof and every river another")
    found = library.found("the north bank", k=2)
    assert found[0].startswith("the north bank")
    swapped = library.found("a river has a house with a red roof", k=2)
    assert swapped[0] == apart


def test_words_weigh_as_rarely_as_they_stand_in_all_collections_that_are_searched(library: Library) -> None:
    rare = library.add("common filler words here\nrare and seldom in a passage with common", collection="one")
    usual = library.add("\n".join(f"common filler {n}" for n in range(20)), collection="two")
    hits = library.retriever.search(TENANT, "seldom common", documents=[rare, usual], k=30)
    assert hits[0].passage.text == "rare and seldom in a passage with common"
    assert library.indexes.of(TENANT, "two")[0].holding(["common", "seldom", "7"]) == (
        20,
        {"common": 20, "seldom": 0, "7": 1},
    )


def test_equal_scores_are_ordered_by_key(library: Library) -> None:
    library.add("same words\nsame words\nsame words")
    for mode in ("hybrid", "sparse", "dense"):
        hits = library.retriever.search(TENANT, "same words", mode=mode, k=3)
        assert [hit.passage.ordinal for hit in hits] == [0, 1, 2]


def test_parts_that_make_no_sense_are_refused(library: Library) -> None:
    below = [{name: -0.1} for name in ("weight", "nearby", "whole", "near", "joined")]
    for wrong in ({"weight": 1.5}, *below):
        with pytest.raises(ValueError, match="weight must be"):
            Mix(**wrong)
    with pytest.raises(ValueError, match="pool must be"):
        HybridRetriever(library.store, library.indexes, library.encoder, pool=0)


def test_searches_during_writes_see_one_version_of_each_document_whole(library: Library) -> None:
    ids = [library.add("\n".join(f"round 0 line {n}" for n in range(4)), deduplicate=False) for _ in range(2)]
    stop, wrong, searches = threading.Event(), [], []

    def search() -> None:
        while not stop.wait(0.001):
            rounds: dict[str, list[str]] = {}
            for hit in library.retriever.search(TENANT, "round line", k=50):
                rounds.setdefault(str(hit.passage.document_id), []).append(hit.passage.text.split()[1])
            searches.append(1)
            if sorted(rounds) != sorted(ids) or any(len(set(each)) != 1 or len(each) != 4 for each in rounds.values()):
                wrong.append(rounds)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        for document in ids:
            library.add("\n".join(f"round {number} line {n}" for n in range(4)), document_id=document)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(searches) > 5
