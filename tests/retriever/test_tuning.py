"""What a collection learns about how it is searched: the formula, its file, and that it is used for that one alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from retriever.dense import DenseIndex
from retriever.errors import StoreCorrupt
from retriever.hybrid import HybridRetriever
from retriever.tuning import Evidence, Mix, QueryMap, Tuning, TuningState, parts_of
from tests.retriever.library import TENANT, Library

PLACES = {1: ("a", 0), 2: ("a", 1), 3: ("a", 2), 4: ("a", 5), 5: ("b", 0)}
SPARSE = {1: 2.0, 2: 8.0, 5: 4.0}
DENSE = {1: 0.3, 2: 0.1, 3: 0.2, 4: 0.6, 5: 0.7}


def mixed(places, sparse, dense, mix):  # type: ignore[no-untyped-def]
    keys = list(places)
    bm25, cosine = (np.array([side.get(key, 0.0) for key in keys]) for side in (sparse, dense))
    none = np.zeros(len(keys))
    own = Evidence(bm25=bm25, cosine=cosine, near=none, joined=none).mixed(mix)
    return dict(zip(keys, parts_of([places[key] for key in keys], own).mixed(mix).tolist(), strict=True))


def learned(width: int = 64, *, seed: int = 0, encoder: str = "hashing@1", mix: Mix | None = None) -> Tuning:
    chance = np.random.default_rng(seed)
    down, up = chance.standard_normal((4, width)), chance.standard_normal((width, 4))
    linear = QueryMap(down=down.astype(np.float32), up=up.astype(np.float32))
    return Tuning(encoder=encoder, mix=mix or Mix(), map=linear, facts={"seconds": 3.5})


def test_a_passage_gains_by_its_neighbours_and_by_its_document() -> None:
    own = {key: 0.4 * SPARSE.get(key, 0.0) / 8.0 + 0.6 * DENSE[key] for key in PLACES}
    assert mixed(PLACES, SPARSE, DENSE, Mix(weight=0.4)) == pytest.approx(own)
    found = mixed(PLACES, SPARSE, DENSE, Mix(weight=0.4, nearby=0.5, whole=0.25))
    near = {1: own[2], 2: own[2], 3: own[2], 4: own[4], 5: own[5]}
    best = {"a": max(own[1], own[2], own[3], own[4]), "b": own[5]}
    for key, (document, _) in PLACES.items():
        assert found[key] == pytest.approx(own[key] + 0.5 * near[key] + 0.25 * best[document])


def test_a_passage_gains_by_how_closely_it_says_the_query_as_do_those_around_it() -> None:
    none, near, joined = np.zeros(3), np.array([0.0, 0.25, 1.0]), np.array([0.0, 0.25, 0.0])
    evidence = Evidence(bm25=none, cosine=none, near=near, joined=joined)
    own = evidence.mixed(Mix(near=0.4, joined=0.8))
    assert own == pytest.approx([0.0, 0.15, 0.4]), "a quarter of the query counts as an eighth of the whole"
    assert parts_of([("a", 0), ("a", 1), ("b", 0)], own).mixed(Mix(whole=1.0)) == pytest.approx([0.15, 0.3, 0.8])
    assert evidence.mixed(Mix()) == pytest.approx([0.0, 0.0, 0.0])


def test_the_best_passage_is_never_overtaken_by_one_beside_it() -> None:
    chance = np.random.default_rng(1)
    for _ in range(50):
        dense = {key: float(chance.random()) for key in range(12)}
        places = {key: ("a", key) for key in dense}
        found = mixed(places, {}, dense, Mix(weight=0.0, nearby=2.0, whole=1.0))
        assert max(found, key=lambda key: found[key]) == max(dense, key=lambda key: dense[key])


def test_what_was_learned_is_read_back_as_it_was_written() -> None:
    first, second = learned(seed=1), learned(seed=2, mix=Mix(weight=0.3, nearby=1.0, near=0.5))
    state = TuningState().promoted(first).promoted(second)
    again = TuningState.from_bytes(state.to_bytes())
    assert again.current is not None
    assert again.previous is not None
    assert (again.current.version, again.previous.version) == (second.version, first.version)
    assert again.current.facts == {"seconds": 3.5}
    vector = np.eye(64, dtype=np.float32)[3]
    assert np.array_equal(again.current.map(vector), second.map(vector))  # type: ignore[misc]
    assert TuningState.from_bytes(TuningState().to_bytes()) == TuningState()
    for broken in (b"", b"x" * 50, state.to_bytes()[:-9], state.to_bytes()[9:]):
        with pytest.raises(StoreCorrupt):
            TuningState.from_bytes(broken)


def test_layers_of_the_encoder_are_read_back_and_name_the_vectors_that_are_searched() -> None:
    chance = np.random.default_rng(3)
    layers = {name: chance.standard_normal((3, 2)).astype(np.float16) for name in ("0.query.weight", "1.up.bias")}
    tuning = Tuning(encoder="hashing@1", mix=Mix(), layers=layers)
    assert tuning.vectors.startswith("hashing@1~")
    assert tuning.version.startswith(f"{tuning.vectors}+")
    mapped = Tuning(encoder="hashing@1", mix=Mix(), layers=layers, map=learned().map)
    state = TuningState().promoted(tuning).promoted(mapped)
    again = TuningState.from_bytes(state.to_bytes())
    assert again.current is not None
    assert again.current.layers is not None
    assert again.current.version == mapped.version
    assert all(np.array_equal(again.current.layers[name], layer) for name, layer in layers.items())
    assert list(again.own) == [tuning.vectors]
    other = Tuning(encoder="hashing@1", mix=Mix(), layers={**layers, "1.up.bias": layers["1.up.bias"] + 1})
    assert other.vectors != tuning.vectors
    assert set(again.promoted(other).own) == {tuning.vectors, other.vectors}
    assert list(TuningState().promoted(learned()).own) == []


def test_a_rollback_brings_back_what_was_before_and_only_once() -> None:
    first, second = learned(seed=1), learned(seed=2)
    state = TuningState().promoted(first)
    assert state.rolled_back() == TuningState()
    state = state.promoted(second)
    assert state.rolled_back().current is first
    assert not state.rolled_back().revertible


def test_versions_differ_with_anything_that_was_learned() -> None:
    versions = {learned(seed=1).version, learned(seed=2).version, learned(seed=1, mix=Mix(weight=0.2)).version}
    versions |= {learned(seed=1, encoder="other@1").version, Tuning(encoder="hashing@1", mix=Mix()).version}
    assert len(versions) == 5
    assert learned(seed=1).version == learned(seed=1).version


def test_a_collection_is_searched_by_what_it_has_learned_and_the_others_are_not(library: Library) -> None:
    text = "the cat sat on the mat\\nthe dog ate the bone\\na bird sang in the tree".replace("\\n", "\n")
    for name in ("pets", "zoo"):
        library.add(text, collection=name, deduplicate=False)
    encoder = library.encoder
    cat, bird = encoder.encode_passages(["the cat sat on the mat", "a bird sang in the tree"])
    # A map that turns what asks for the cat into what asks for the bird.
    linear = QueryMap(down=9 * cat[None], up=bird[:, None])
    tuning = Tuning(encoder=encoder.version, mix=Mix(weight=0.0), map=linear)
    retriever = HybridRetriever(
        library.store,
        library.indexes,
        encoder,
        mix=Mix(),  # the same words side by side would weigh more than what the map says
        tuning_of=lambda tenant, name: tuning if (tenant, name) == (TENANT, "pets") else None,
    )
    query = "the cat sat on the mat"
    for mode in ("dense", "hybrid"):
        pets = retriever.search(TENANT, query, collection="pets", mode=mode, k=1)[0]
        zoo = retriever.search(TENANT, query, collection="zoo", mode=mode, k=1)[0]
        assert (pets.passage.text, pets.retriever) == ("a bird sang in the tree", tuning.version)
        assert (zoo.passage.text, zoo.retriever) == (query, encoder.version)
    both = [hit.passage.document_id for hit in library.retriever.search(TENANT, query, collection="pets", k=1)]
    both += [hit.passage.document_id for hit in library.retriever.search(TENANT, query, collection="zoo", k=1)]
    found = retriever.search(TENANT, query, documents=[str(each) for each in both], k=2)
    assert {hit.passage.text for hit in found} == {query, "a bird sang in the tree"}
    assert found[0].retriever == f"{encoder.version} {tuning.version}"


def test_queries_go_through_layers_of_their_own_and_passages_do_not(library: Library) -> None:
    library.add("the cat sat on the mat\nthe dog ate the bone\na bird sang in the tree")
    encoder = library.encoder

    class Turned:
        """Takes every query for one about the bird."""

        version = "turned@1"

        def encode_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
            return encoder.encode_passages(["a bird sang in the tree"] * len(texts))

    def retriever(tuning: Tuning | None = None) -> HybridRetriever:
        return HybridRetriever(
            library.store, library.indexes, encoder, mix=Mix(weight=0.1), asking=Turned(), tuning_of=lambda *_: tuning
        )

    found = retriever().search(TENANT, "where is the cat", mode="dense", k=1)[0]
    assert (found.passage.text, found.retriever) == ("a bird sang in the tree", f"{encoder.version}+turned@1")
    assert retriever().version(TENANT, "default") == found.retriever
    inline = [replace(found.passage, key=key, text=text) for key, text in enumerate(["the cat", "a bird in the tree"])]
    alone = retriever().search_passages(inline, "where is the cat", mode="dense", k=1)[0]
    assert (alone.passage.text, alone.retriever) == ("a bird in the tree", found.retriever)
    # A map goes on from the vectors of queries that it was fitted to, and from no others.
    (cat, bird) = encoder.encode_passages(["the cat sat on the mat", "a bird sang in the tree"])
    back = QueryMap(down=9 * bird[None], up=cat[:, None])
    for asked, expected in (("turned@1", "the cat sat on the mat"), ("", "a bird sang in the tree")):
        tuning = Tuning(encoder=encoder.version, mix=Mix(), map=back, queries=asked)
        hit = retriever(tuning).search(TENANT, "?", mode="dense", k=1)[0]
        assert hit.passage.text == expected
        assert retriever().fits(tuning) is (asked == "turned@1")
    assert not retriever().fits(Tuning(encoder=encoder.version, mix=Mix(weight=0.9)))  # judged with other vectors
    assert retriever().fits(Tuning(encoder=encoder.version, mix=Mix(), queries="turned@1"))


def test_what_was_learned_for_another_encoders_vectors_is_not_used(library: Library) -> None:
    library.add("the cat sat on the mat")
    retriever = HybridRetriever(
        library.store, library.indexes, library.encoder, tuning_of=lambda *_: learned(encoder="another@1")
    )
    assert retriever.search(TENANT, "cat", k=1)[0].retriever == library.encoder.version


def test_neighbours_of_the_best_become_candidates_though_neither_side_found_them(library: Library) -> None:
    lines = ["the keeper of the lighthouse was Ann", "she left in spring"] + [f"filler {n} text" for n in range(9)]
    library.add("\n".join(lines))
    for other in range(5):
        library.add("\n".join(f"other {other} line {n} lighthouse" for n in range(4)))
    mix = Mix(weight=0.9, nearby=1.0)
    retriever = HybridRetriever(library.store, library.indexes, library.encoder, pool=2, mix=mix)
    hits = retriever.search(TENANT, "keeper Ann", k=3)
    assert [hit.passage.text for hit in hits[:2]] == lines[:2]
    assert hits[1].ranks == {}
    vector = library.encoder.encode_queries(["keeper Ann"])[0]
    dense: DenseIndex = library.indexes.of(TENANT, "default")[1]
    assert hits[1].scores["dense"] == pytest.approx(dense.score(vector, [hits[1].passage.key])[hits[1].passage.key])


def test_a_neighbour_in_another_version_or_document_is_none(library: Library) -> None:
    first = library.add("keeper Ann of the lighthouse")
    library.add("an unrelated line right behind it by key")
    mix = Mix(weight=0.9, nearby=1.0)
    retriever = HybridRetriever(library.store, library.indexes, library.encoder, pool=1, mix=mix)
    found = retriever.candidates(TENANT, "keeper Ann", collection="default", tuning=None)
    assert {found.shown[key][0].document_id for key in found.keys} == {first}


def test_the_candidates_can_be_ranked_by_another_mix_as_a_search_would(library: Library) -> None:
    library.add("the cat sat on the mat\nthe dog ate the bone\na bird sang in the tree\na fish swam in the sea")
    mix = Mix(weight=0.2, nearby=0.5, whole=0.5)
    tuned = Tuning(encoder=library.encoder.version, mix=mix)
    retriever = HybridRetriever(library.store, library.indexes, library.encoder, tuning_of=lambda *_: tuned)
    query = "the bird in the tree and the bone"
    found = library.retriever.candidates(TENANT, query, collection="default", tuning=None)
    keys = [hit.passage.key for hit in retriever.search(TENANT, query, k=4)]
    assert library.retriever.ranking(found, mix, k=4) == keys
