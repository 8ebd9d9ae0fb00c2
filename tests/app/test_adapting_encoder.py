"""Adapting a collection's encoder: passages are embedded anew, and each is found before, after and meanwhile."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import adapting, encoder_trial
from app.main import create_app
from app.settings import Settings
from app.wiring import Lectern, build
from retriever.store.backup import back_up, restore, store_file
from tests.app.callers import bearing, new_key
from tests.app.test_adapting import ASKED, TOWNS, adapt, fill, found, questions, search
from tests.fakes import HashingEncoder, OverlapReader

BASE = "hashing@1"
ONE = 'a lantern from "Zzyzx" hangs in the gatehouse'


class Fixed:
    """An encoder whose layers cannot be learned, as those that a setting names."""

    def __init__(self) -> None:
        self._inner = HashingEncoder()
        self.version, self.dimension, self.longest = self._inner.version, self._inner.dimension, self._inner.longest
        self.encode_passages, self.encode_queries = self._inner.encode_passages, self._inner.encode_queries
        self.count_word_pieces = self._inner.count_word_pieces


def make(settings: Settings) -> Lectern:
    return build(settings, encoder=HashingEncoder(), reader=OverlapReader())


def lectern_of(client: TestClient) -> Lectern:
    found: Lectern = client.app.state.lectern  # type: ignore[attr-defined]
    return found


def vectors(client: TestClient) -> Counter[str]:
    """How many vectors of each version the store has."""
    with sqlite3.connect(store_file(lectern_of(client).settings.store_url)) as connection:
        return Counter(dict(connection.execute("SELECT encoder, count(*) FROM vectors GROUP BY encoder").fetchall()))


def folders(client: TestClient) -> list[str]:
    """The indexes of vectors that are a collection's own."""
    return [path.name for path in lectern_of(client).settings.index_dir.rglob("own-*")]


def put(client: TestClient, name: str, text: str, collection: str = "towns") -> None:
    body = {"text": text, "collection": collection}
    sent = client.put(f"/documents/{name}", json=body, params={"wait": 60})
    assert sent.status_code in (200, 201), sent.json()
    ended = client.get(f"/jobs/{sent.json()['job']}", params={"wait": 60}).json() if sent.json().get("job") else {}
    assert ended.get("status", "succeeded") == "succeeded"


def dense(client: TestClient, query: str, **fields: Any) -> dict[str, Any]:
    body = {"query": query, "collection": "towns", "top_k": 1, "mode": "dense", **fields}
    reply: dict[str, Any] = client.post("/search", json=body).json()
    return reply


@dataclass(frozen=True)
class Adapted:
    client: TestClient
    result: dict[str, Any]
    before: float

    @property
    def own(self) -> str:
        """The version of the encoder that is the collection's own."""
        return str(self.result["retriever"]["after"]).split("+")[0]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapted]:
    """A service with a collection whose encoder was adapted by its users' questions; tests leave it as it is."""
    with TestClient(create_app(Settings(data_dir=tmp_path_factory.mktemp("kept")), make=make)) as client:
        fill(client)
        before = found(client)
        job = adapt(client, mode="full", questions=questions())
        assert job["status"] == "succeeded", job
        yield Adapted(client, job["result"], before)


@pytest.fixture
def adapted(kept: Adapted, tmp_path: Path) -> Iterator[Adapted]:
    """A copy of it, by a backup, that a test may change."""
    file = tmp_path / "backup.zip"
    back_up(store_file(lectern_of(kept.client).settings.store_url), file, made_by="test")
    restore(file, tmp_path / "data" / "lectern.sqlite3", replace=False)
    with TestClient(create_app(Settings(data_dir=tmp_path / "data"), make=make)) as client:
        yield replace(kept, client=client)


def test_the_encoder_is_learned_and_promoted_where_it_is_better_beyond_chance(kept: Adapted) -> None:
    result = kept.result
    assert result["promoted"], result
    assert result["mode"] == "full"
    assert (result["mix"]["encoder"], result["mix"]["map"]) == (True, False)
    assert result["questions"]["learned"] > 40
    assert result["ndcg_at_10"]["difference"]["low"] > 0
    assert kept.own.startswith(f"{BASE}~")
    assert kept.before < 0.5
    assert found(kept.client) > kept.before + 0.2
    assert search(kept.client, "Ashham quay")["model"]["retriever"] == result["retriever"]["after"]
    assert vectors(kept.client)[BASE] == vectors(kept.client)[kept.own] == 8 * len(TOWNS)


def test_a_backup_has_the_encoder_and_its_vectors_and_a_reindex_builds_its_index_anew(
    kept: Adapted, adapted: Adapted
) -> None:
    client, asked = adapted.client, questions()[0]["question"]
    expected = [hit["text"] for hit in dense(kept.client, asked, top_k=5)["hits"]]
    for _ in range(2):
        reply = dense(client, asked, top_k=5)
        assert reply["model"]["retriever"] == adapted.result["retriever"]["after"]
        assert [hit["text"] for hit in reply["hits"]] == expected
        lectern_of(client).indexes.reindex("default", "towns")
    assert len(folders(client)) == 1


def test_other_collections_and_searches_of_several_go_by_the_encoder_that_all_share(adapted: Adapted) -> None:
    client = adapted.client
    put(client, "lamp", ONE, "other")
    assert search(client, "gatehouse lantern", "other")["model"]["retriever"] == BASE
    town = client.get("/documents", params={"collection": "towns", "limit": 1}).json()["documents"][0]
    one = dense(client, f"{town['title']} wharf", collection=None, documents=[town["id"]])
    assert one["model"]["retriever"] == adapted.result["retriever"]["after"]
    both = dense(client, "gatehouse lantern", collection=None, documents=[town["id"], "lamp"], top_k=20)
    assert both["model"]["retriever"] == BASE
    assert both["hits"][0]["document_id"] == "lamp"
    assert {hit["document_id"] for hit in both["hits"]} == {town["id"], "lamp"}


def test_what_is_added_or_replaced_later_is_found_by_both_and_a_rollback_is_at_once(adapted: Adapted) -> None:
    client = adapted.client
    put(client, "lamp", "an old sentence that nobody looks for")
    put(client, "lamp", ONE)
    assert vectors(client)[BASE] == vectors(client)[adapted.own] == 8 * len(TOWNS) + 1
    hit = dense(client, ONE)["hits"][0]
    assert hit["document_id"] == "lamp"
    rolled = client.post("/collections/towns/adapt/rollback")
    assert rolled.json() == {"collection": "towns", "retriever": BASE}
    again = dense(client, ONE)
    assert (again["hits"][0]["document_id"], again["model"]["retriever"]) == ("lamp", BASE)
    assert vectors(client) == {BASE: 8 * len(TOWNS) + 1}
    assert folders(client) == []
    assert client.post("/collections/towns/adapt/rollback").status_code == 409


def test_a_document_that_is_replaced_all_the_time_is_never_without_a_version_that_is_found(adapted: Adapted) -> None:
    client, missed, stop = adapted.client, [], threading.Event()
    put(client, "lamp", ONE)

    def look() -> None:
        while not stop.is_set():
            # What is learned may put another passage before it: which one is first is not what this is about.
            body = {"query": ONE, "collection": "towns", "mode": "dense", "top_k": 50}
            hits = client.post("/search", json=body).json()["hits"]
            if [hit["document_id"] for hit in hits].count("lamp") != 1:
                missed.append(hits)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(8):
        put(client, "lamp", f"{ONE} {number}")
        if number == 4:
            client.post("/collections/towns/adapt/rollback")
    stop.set()
    for thread in threads:
        thread.join()
    assert missed == []


def test_a_document_whose_vectors_were_made_before_a_promotion_gets_the_others_before_it_is_visible(
    adapted: Adapted, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, lectern = adapted.client, lectern_of(adapted.client)
    tunings = lectern.adapting._tunings
    tuning = tunings.state("default", "towns").current
    assert tuning is not None
    number = lectern.store.collection_number("default", "towns")
    assert number is not None
    client.post("/collections/towns/adapt/rollback")
    put(client, "lamp", "an old sentence that nobody looks for")
    publish, tries = lectern.indexes.publish, []

    def promote_first(*arguments: Any, **rest: Any) -> int:
        if not tries:
            run = encoder_trial.Trying(lectern.store, lectern.adapting._encoders, Patient())
            encoder = lectern.adapting._encoders.of(tuning, "bulk")
            ids = lectern.store.matching("default", collection="towns")
            shown = [each for each, _ in lectern.store.visible_passages("default", ids, encoder=BASE)]
            assert tunings.promote("default", "towns", number, tuning, embedded=run._embedded(encoder, shown)) == []
        tries.append(rest["made_for"])
        return publish(*arguments, **rest)

    monkeypatch.setattr(lectern.indexes, "publish", promote_first)
    put(client, "lamp", ONE)
    assert len(tries) == 2
    assert dense(client, ONE)["hits"][0]["document_id"] == "lamp"
    assert dense(client, ONE)["model"]["retriever"] == adapted.result["retriever"]["after"]
    assert vectors(client)[BASE] == vectors(client)[adapted.own] == 8 * len(TOWNS) + 1


class Patient:
    """A budget that never ends."""

    seconds = 1e6

    def left(self, until: float, *, force: bool = False) -> bool:
        return True


def test_what_comes_while_the_encoder_is_judged_is_embedded_before_it_takes_over(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(client)
    judge = adapting.Run._judge

    def add_and_judge(run: Any, *arguments: Any) -> Any:
        put(client, "lamp", ONE)
        return judge(run, *arguments)

    monkeypatch.setattr(adapting.Run, "_judge", add_and_judge)
    result = adapt(client, mode="full", questions=questions())["result"]
    assert result["promoted"], result
    reply = dense(client, ONE)
    assert (reply["hits"][0]["document_id"], reply["model"]["retriever"]) == ("lamp", result["retriever"]["after"])
    counted = vectors(client)
    assert counted[BASE] == counted[result["retriever"]["after"].split("+")[0]] == 8 * len(TOWNS) + 1


@pytest.mark.parametrize("moment", ["trained", "judged"])
def test_a_run_that_is_cancelled_leaves_the_old_encoder_and_not_one_vector(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    fill(client)
    owner, name = {"trained": (encoder_trial.Trying, "_embedded"), "judged": (adapting.Run, "_judge")}[moment]
    whole = getattr(owner, name)

    def cancelled(*arguments: Any) -> Any:
        [job] = [each for each in client.get("/jobs?limit=500").json()["jobs"] if each["kind"] == "adapt"]
        client.delete(f"/jobs/{job['id']}")
        return whole(*arguments)

    monkeypatch.setattr(owner, name, cancelled)
    assert adapt(client, budget_seconds=60, mode="full", questions=questions())["status"] == "cancelled"
    assert search(client, "Ashham quay")["model"]["retriever"] == BASE
    assert vectors(client) == {BASE: 8 * len(TOWNS)}
    assert folders(client) == []


def test_a_map_is_fitted_on_top_of_a_learned_encoder_and_taken_back_to_it(adapted: Adapted) -> None:
    client = adapted.client
    tunings = lectern_of(client).adapting._tunings
    current = tunings.state("default", "towns").current
    assert current is not None
    number = lectern_of(client).store.collection_number("default", "towns")
    assert number is not None
    result = adapt(client, budget_seconds=3, questions=questions())["result"]
    assert result["retriever"]["before"] == adapted.result["retriever"]["after"]
    if not result["promoted"]:  # there may be nothing left to learn; what follows holds for any tuning of it
        mixed = replace(current, mix=replace(current.mix, nearby=2.0))
        assert tunings.promote("default", "towns", number, mixed) == []
    after = search(client, "Ashham quay")["model"]["retriever"]
    assert after.startswith(f"{adapted.own}+")
    assert after != adapted.result["retriever"]["after"]
    put(client, "lamp", ONE)
    client.post("/collections/towns/adapt/rollback")
    assert search(client, "Ashham quay")["model"]["retriever"] == adapted.result["retriever"]["after"]
    assert dense(client, ONE)["hits"][0]["document_id"] == "lamp"
    assert len(folders(client)) == 1


def test_a_deleted_collection_leaves_no_vector_of_its_encoder(adapted: Adapted) -> None:
    client = adapted.client
    client.delete("/collections/towns")
    assert vectors(client) == {}
    assert folders(client) == []
    put(client, "lamp", ONE)
    assert dense(client, ONE)["model"]["retriever"] == BASE


def test_an_unreadable_state_holds_up_no_document(adapted: Adapted) -> None:
    client = adapted.client
    lectern_of(client).store.put_asset("default", "towns", "retriever", b"not a state")
    put(client, "lamp", ONE)
    assert dense(client, ONE)["hits"][0]["document_id"] == "lamp"


def test_under_another_encoder_the_learned_one_rests_and_documents_come_in(adapted: Adapted) -> None:
    settings = lectern_of(adapted.client).settings
    adapted.client.__exit__(None, None, None)

    def other(settings: Settings) -> Lectern:
        return build(settings, encoder=HashingEncoder(version="hashing@2"), reader=OverlapReader())

    with TestClient(create_app(settings, make=other)) as client:
        put(client, "lamp", ONE)
        reply = dense(client, ONE)
        assert (reply["hits"][0]["document_id"], reply["model"]["retriever"]) == ("lamp", "hashing@2")
        assert vectors(client) == {BASE: 8 * len(TOWNS), adapted.own: 8 * len(TOWNS), "hashing@2": 1}
    adapted.client.__enter__()


def test_a_collection_of_the_same_name_of_another_tenant_is_searched_as_before(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path / "data"), make=make)) as client:
        lectern = lectern_of(client)
        theirs = bearing(new_key(lectern.store, tenant="globex"))
        client.headers |= bearing(new_key(lectern.store, tenant="acme"))
        fill(client)
        sent = {"text": ONE, "collection": "towns"}
        assert client.post("/documents", json=sent, headers=theirs, params={"wait": 60}).status_code in (200, 201)
        result = adapt(client, mode="full", questions=questions())["result"]
        assert result["promoted"], result
        assert search(client, "Ashham quay")["model"]["retriever"] == result["retriever"]["after"]
        body = {"query": ONE, "collection": "towns", "mode": "dense"}
        reply = client.post("/search", json=body, headers=theirs).json()
        assert reply["model"]["retriever"] == BASE
        assert [hit["text"] for hit in reply["hits"]] == [ONE]
        assert client.post("/collections/towns/adapt/rollback", headers=theirs).status_code == 409
        assert vectors(client)[result["retriever"]["after"].split("+")[0]] == 8 * len(TOWNS)


def test_what_cannot_be_done_in_the_time_or_at_all_is_the_reason_and_nothing_changes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(client)

    def reason(of: TestClient) -> str:
        result = adapt(of, mode="full", questions=questions())["result"]
        assert not result["promoted"]
        assert result["ndcg_at_10"] is None
        assert vectors(of) == {BASE: 8 * len(TOWNS)}
        return str(result["reason"])

    with monkeypatch.context() as patch:
        patch.setattr(encoder_trial, "EMBEDDING", 1e-9)
        assert reason(client).startswith("embedding 240 passages anew takes too long: it needs about ")
    with monkeypatch.context() as patch:
        patch.setattr(encoder_trial, "READY", 0.0)
        assert reason(client) == "the budget ended with 0 of 240 passages embedded anew"
    with monkeypatch.context() as patch:
        patch.setattr(encoder_trial, "MOST_EMBEDDED", 239)
        assert reason(client) == "the collection has 240 passages: at most 239 are embedded anew"

    def fixed(settings: Settings) -> Lectern:
        return build(settings, encoder=Fixed(), reader=OverlapReader())

    with TestClient(create_app(Settings(data_dir=tmp_path / "fixed"), make=fixed)) as other:
        fill(other)
        assert reason(other) == f"{BASE} cannot be trained here: only the encoder that comes with Lectern can"


def test_with_the_real_encoder_what_people_call_things_is_learned_in_seconds(
    tmp_path: Path, real_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.training.top_layers.LEARNING_RATE", 2e-4)  # seconds, not minutes

    def real(settings: Settings) -> Lectern:
        return build(settings, encoder=real_encoder, reader=OverlapReader())

    asked = questions()
    colours = dict(zip(ASKED, ("blue", "green", "red", "white", "black", "grey", "brown", "pink"), strict=True))
    for one in asked:
        town, word = one["question"].split()
        one["question"] = f"{town} {colours[word]}"
    with TestClient(create_app(Settings(data_dir=tmp_path / "data"), make=real)) as client:
        fill(client)
        job = adapt(client, mode="full", budget_seconds=3_600, questions=asked)  # none of its steps is cut short
        assert job["status"] == "succeeded", job
        result = job["result"]
        assert result["promoted"], result
        assert result["mix"]["encoder"]
        assert result["recall_at_5"]["difference"]["mean"] > 5, result
        put(client, "lamp", ONE)
        reply = dense(client, "lantern in the gatehouse")
        assert (reply["hits"][0]["document_id"], reply["model"]["retriever"]) == ("lamp", result["retriever"]["after"])
