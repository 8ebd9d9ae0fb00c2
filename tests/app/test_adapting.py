"""Adapting a collection: promoted only where it is better beyond chance, swapped whole, kept, and taken back."""

import random
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app import cli
from app.adaptation_sets import GIVEN, Given, make_questions
from app.adapted import ASSET
from app.adapting import _best, _decided, _verdict
from app.main import create_app
from app.settings import Settings
from retriever.tuning import Mix
from retriever.types import Passage
from tests.app.served import Server
from tests.fakes import HashingEncoder

WORDS = ["wharf", "cellar", "barn", "mill", "tower", "chapel", "forge", "dairy"]
ASKED = ["quay", "vault", "shed", "grinder", "spire", "church", "smithy", "creamery"]  # what people call them
BUDGET = 600  # seconds, of which a run takes a few: what it learns and promotes must not go by the machine's speed
TOWNS = [f"{a}{b}" for a in ("Ash", "Elm", "Oak", "Fir", "Yew") for b in ("ham", "ton", "by", "wick", "ford", "ley")]


def town(name: str) -> str:
    """A document of a section, and so a passage, for each building."""
    return "\n\n".join(f"# Part {at}\n\n{name} has its {word}, known as {word}{name}." for at, word in enumerate(WORDS))


def questions() -> list[dict[str, str]]:
    made = [
        {"question": f"{name} {asked}", "answer": f"{word}{name}"}
        for name in TOWNS
        for word, asked in zip(WORDS, ASKED, strict=True)
    ]
    random.Random(0).shuffle(made)
    return made


def fill(client, collection: str = "towns") -> None:  # type: ignore[no-untyped-def]
    """A document for each town, under a name of its own: which of them judge goes by their names."""
    for name in TOWNS:
        body = {"text": town(name), "title": name, "collection": collection, "media_type": "text/markdown"}
        sent = client.put(f"/documents/{name}-of-{collection}", json=body, params={"wait": 60})
        assert sent.json()["status"] == "indexed", sent.text


def adapt(client, collection: str = "towns", **fields):  # type: ignore[no-untyped-def]
    sent = client.post(f"/collections/{collection}/adapt", json={"budget_seconds": BUDGET, **fields})
    assert sent.status_code == 202, sent.json()
    assert sent.headers["Location"].endswith(f"/jobs/{sent.json()['job']}")
    return ended(client, sent.json()["job"])


def ended(client, job: str):  # type: ignore[no-untyped-def]
    """A job that is over."""
    for _ in range(200):  # waits of less than a client's timeout, of more than any budget together
        found = client.get(f"/jobs/{job}", params={"wait": 20}).json()
        if found["status"] not in ("queued", "running"):
            return found
    raise AssertionError(f"the job does not end: {found}")


def search(client, query: str, collection: str = "towns"):  # type: ignore[no-untyped-def]
    return client.post("/search", json={"query": query, "collection": collection, "top_k": 1}).json()


def found(client) -> float:  # type: ignore[no-untyped-def]
    """The share of questions whose first hit holds the answer."""
    asked = questions()[:40]
    return sum(one["answer"] in search(client, one["question"])["hits"][0]["text"] for one in asked) / len(asked)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A service with a collection that was adapted by its users' questions, its result, and what was found before."""
    from app.wiring import build
    from tests.fakes import OverlapReader

    def make(settings: Settings):  # type: ignore[no-untyped-def]
        return build(settings, encoder=HashingEncoder(), reader=OverlapReader())

    settings = Settings(data_dir=tmp_path_factory.mktemp("adapted"))
    with TestClient(create_app(settings, make=make)) as client:
        fill(client)
        before = found(client)
        job = adapt(client, questions=questions())
        assert job["status"] == "succeeded", job
        yield client, job["result"], before, settings, make


def test_what_users_ask_is_learned_and_promoted_where_it_is_better_beyond_chance(adapted) -> None:  # type: ignore[no-untyped-def]
    client, result, before, _, _ = adapted
    assert result["promoted"], result
    assert result["mix"]["map"]
    assert result["questions"]["unusable"] == 0
    assert result["kinds"][GIVEN]["questions"] >= 40
    for measure in (result["ndcg_at_10"], result["recall_at_5"]):
        assert measure["before"]["low"] <= measure["before"]["mean"] <= measure["before"]["high"]
        assert measure["difference"]["mean"] == pytest.approx(
            measure["after"]["mean"] - measure["before"]["mean"], abs=0.02
        )
    assert result["ndcg_at_10"]["difference"]["low"] > 0
    assert result["seconds"] > 0
    assert result["peak_memory_mb"] > 10
    assert before < 0.5
    assert found(client) > before + 0.2


def test_replies_name_the_retriever_that_they_went_by(adapted) -> None:  # type: ignore[no-untyped-def]
    client, result, _, _, _ = adapted
    versions = result["retriever"]
    assert versions["before"] == "hashing@1"
    assert versions["after"].startswith("hashing@1+")
    assert search(client, "Ashham quay")["model"]["retriever"] == versions["after"]
    asked = client.post("/ask", json={"question": "What is Ashham known for?", "collection": "towns"}).json()
    assert asked["model"]["retriever"] == versions["after"]
    client.post("/documents", json={"text": "Another collection altogether.", "collection": "other"})
    assert search(client, "another", "other")["model"]["retriever"] == "hashing@1"


def test_searches_go_on_while_the_old_is_taken_back_and_a_restart_keeps_what_there_is(tmp_path: Path, adapted) -> None:  # type: ignore[no-untyped-def]
    client, result, before, settings, make = adapted
    lectern = client.app.state.lectern
    versions, wrong = set(), []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            reply = client.post("/search", json={"query": "Elmby vault", "collection": "towns", "top_k": 3})
            if reply.status_code != 200 or len(reply.json()["hits"]) != 3:
                wrong.append(reply.json())
            versions.add(reply.json()["model"]["retriever"])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    tuning = lectern.adapting._tunings.state("default", "towns").current
    number = lectern.store.collection_number("default", "towns")
    for _ in range(10):
        rolled = client.post("/collections/towns/adapt/rollback")
        assert rolled.json() == {"collection": "towns", "retriever": "hashing@1"}
        lectern.adapting._tunings.promote("default", "towns", number, tuning)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert versions, "searches went on meanwhile"
    assert versions <= {"hashing@1", result["retriever"]["after"]}

    with TestClient(create_app(settings.model_copy(update={"data_dir": _copy(lectern, tmp_path)}), make=make)) as again:
        assert search(again, "Ashham quay")["model"]["retriever"] == result["retriever"]["after"]
        assert found(again) > before + 0.2
        assert again.post("/collections/towns/adapt/rollback").status_code == 200
        assert search(again, "Ashham quay")["model"]["retriever"] == "hashing@1"
        refused = again.post("/collections/towns/adapt/rollback")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def _copy(lectern, folder: Path) -> Path:  # type: ignore[no-untyped-def]
    """A backup of the store, restored into a folder: what was learned is part of it."""
    from retriever.store.backup import back_up, restore, store_file

    back_up(store_file(lectern.settings.store_url), folder / "backup.zip", made_by="test")
    restore(folder / "backup.zip", folder / "data" / "lectern.sqlite3", replace=False)
    return folder / "data"


def test_where_nothing_is_better_beyond_chance_the_old_stays(client: TestClient) -> None:
    fill(client)
    job = adapt(client, questions=[{**one, "question": one["answer"]} for one in questions()])
    assert job["status"] == "succeeded"
    assert not job["result"]["promoted"]
    assert job["result"]["reason"]
    assert job["result"]["ndcg_at_10"] is not None, job
    assert search(client, "Ashham quay")["model"]["retriever"] == "hashing@1"
    assert client.app.state.lectern.store.assets("default", "towns") == []  # type: ignore[attr-defined]
    assert client.post("/collections/towns/adapt/rollback").status_code == 409


def test_a_collection_of_too_little_is_left_as_it_is_and_says_so(client: TestClient) -> None:
    client.post("/documents", json={"text": "One line only.", "collection": "small"})
    for name in ("small", "default"):
        result = adapt(client, name)["result"]
        assert not result["promoted"]
        assert result["reason"].startswith("too little to judge by")
        assert result["ndcg_at_10"] is None


def test_requests_that_make_no_sense_are_refused(client: TestClient) -> None:
    client.post("/documents", json={"text": "One line only.", "collection": "small"})

    def refused(name: str, body: object) -> tuple[int, str]:
        reply = client.post(f"/collections/{name}/adapt", json=body)
        return reply.status_code, reply.json()["code"]

    assert refused("small", {"budget_seconds": 0}) == (422, "invalid")
    assert refused("small", {"questions": [{"question": "Why?"}]}) == (422, "invalid")
    assert refused("small", {"mode": "half"}) == (422, "invalid")
    assert refused("small", {"patience": 1}) == (422, "invalid")
    assert refused("nowhere", {}) == (404, "not_found")
    assert client.post("/collections/nowhere/adapt/rollback").status_code == 404
    assert client.post("/collections/small/adapt").status_code == 202  # a body is not needed


def test_a_second_adaptation_of_the_same_collection_does_not_run_beside_the_first(client: TestClient) -> None:
    fill(client)
    adapting = client.app.state.lectern.adapting  # type: ignore[attr-defined]
    number = client.app.state.lectern.store.collection_number("default", "towns")  # type: ignore[attr-defined]
    with adapting._alone(number):
        job = adapt(client)
    assert (job["status"], job["problem"]["code"]) == ("failed", "conflict")


def test_a_cancelled_adaptation_leaves_the_old_in_place(client: TestClient) -> None:
    fill(client)
    begun, go_on = threading.Event(), threading.Event()
    fit = "model.training.query_map.fit_query_map"
    import model.training.query_map as module

    whole = module.fit_query_map

    def slow(*args, **rest):  # type: ignore[no-untyped-def]
        begun.set()
        assert go_on.wait(60)
        return whole(*args, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, slow)
        sent = client.post("/collections/towns/adapt", json={"questions": questions(), "budget_seconds": BUDGET}).json()
        assert begun.wait(60)
        client.delete(f"/jobs/{sent['job']}")
        go_on.set()
        job = ended(client, sent["job"])
    assert job["status"] == "cancelled"
    assert client.app.state.lectern.store.assets("default", "towns") == []  # type: ignore[attr-defined]
    assert search(client, "Ashham quay")["model"]["retriever"] == "hashing@1"


def test_a_kill_in_the_middle_leaves_the_old_in_place_and_the_job_goes_on_at_the_next_start(tmp_path: Path) -> None:
    server = Server(tmp_path)
    fill(server.client)
    body = {"questions": questions(), "budget_seconds": BUDGET}
    job = server.client.post("/collections/towns/adapt", json=body).json()["job"]
    while server.client.get(f"/jobs/{job}").json()["status"] == "queued":
        pass
    server.stop(signal.SIGKILL)
    server = Server(tmp_path)
    try:
        assert search(server.client, "Ashham quay")["model"]["retriever"] == "hashing@1"
        over = ended(server.client, job)
        assert over["status"] == "succeeded"
        assert over["result"]["promoted"]
        after = over["result"]["retriever"]["after"]
        assert search(server.client, "Ashham quay")["model"]["retriever"] == after
    finally:
        server.stop()


def test_a_deleted_collection_takes_what_it_learned_with_it(adapted, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    client, result, _, settings, make = adapted
    folder = _copy(client.app.state.lectern, tmp_path)
    with TestClient(create_app(settings.model_copy(update={"data_dir": folder}), make=make)) as again:
        assert search(again, "Ashham quay")["model"]["retriever"] == result["retriever"]["after"]
        again.delete("/collections/towns")
        again.post("/documents", json={"text": "Another beginning.", "collection": "towns"})
        assert search(again, "beginning")["model"]["retriever"] == "hashing@1"


def test_a_state_that_is_damaged_is_told_in_the_log_and_searched_without(adapted, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    client, _, _, settings, make = adapted
    folder = _copy(client.app.state.lectern, tmp_path)
    with TestClient(create_app(settings.model_copy(update={"data_dir": folder}), make=make)) as again:
        again.app.state.lectern.store.put_asset("default", "towns", ASSET, b"not a state")
        assert search(again, "Ashham quay")["model"]["retriever"] == "hashing@1"
        assert again.post("/collections/towns/adapt/rollback").status_code == 503


def test_the_command_line_adapts_and_takes_back(tmp_path: Path, make_lectern, capsys) -> None:  # type: ignore[no-untyped-def]
    import json

    with TestClient(create_app(Settings(data_dir=tmp_path / "data"), make=make_lectern)) as client:
        fill(client, "default")
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps(one) + "\n" for one in questions()))
    data = ["--data", str(tmp_path / "data")]
    command = ["adapt", "--budget-seconds", str(BUDGET), *data]
    assert cli.main([*command, "--questions", str(asked)], make=make_lectern) == 0
    shown = capsys.readouterr().out
    assert "promoted: nDCG@10 is higher beyond chance" in shown
    assert "recall@5" in shown
    assert cli.main([*command, "--rollback"], make=make_lectern) == 0
    assert "hashing@1 again" in capsys.readouterr().out
    assert cli.main([*command, "--rollback"], make=make_lectern) == 2
    assert "no promotion to take back" in capsys.readouterr().err
    assert cli.main([*command, "--mode", "full", "--questions", str(asked)], make=make_lectern) == 0
    assert "promoted: nDCG@10 is higher beyond chance" in capsys.readouterr().out
    said = json.dumps({"question": "Who\u2028then?", "answer": "a", "document": "b"}, ensure_ascii=False)
    for wrong in (b"{\n", "{é".encode("latin-1")):
        asked.write_bytes(said.encode() + b"\n\n" + wrong)
        assert cli.main([*command, "--questions", str(asked)], make=make_lectern) == 2
        assert "line 3: not JSON in UTF-8" in capsys.readouterr().err


def other_words(word: str) -> tuple[str, ...]:
    return {"built": ("raised",), "stands": ("remains",), "still": ("yet",)}.get(word, ())


def passages():  # type: ignore[no-untyped-def]
    encoder = HashingEncoder()
    key = 0
    for name in TOWNS:
        for ordinal, word in enumerate(WORDS):
            key += 1
            text = f"The {word} of {name} was built in {1500 + key} by Mason Number{key}. It still stands there today."
            yield (
                Passage(
                    key=key, id=str(key), document_id=name, version="v", ordinal=ordinal, start=0, end=9, text=text
                ),
                encoder.encode_passages([text])[0],
            )


def test_what_judges_is_of_other_documents_and_other_kinds_than_what_was_learned_from() -> None:
    made = make_questions(passages(), (), related=other_words, seed=1)
    documents = {passage.key: passage.document_id for passage, _ in passages()}
    parts = [
        {documents[key] for one in part for key in one.relevant} for part in ([*made.learn, *made.choose], made.judge)
    ]
    assert min(map(len, parts)) > 5
    assert not parts[0] & parts[1]
    kinds = [{one.kind for one in part} for part in (made.learn, made.choose, made.judge)]
    assert all(kinds)
    assert len(set.union(*kinds)) == sum(map(len, kinds))
    assert {one.kind for one in made.judge} == {"reworded"}, "no words recur in these passages"
    assert not {one.text for one in made.judge} & {one.text for one in [*made.learn, *made.choose]}
    again = make_questions(passages(), (), related=other_words, seed=1)
    assert (again.learn, again.judge) == (made.learn, made.judge)


def test_given_questions_are_judged_on_documents_that_nothing_was_learned_from() -> None:
    given = [Given(question=f"Which year {key}?", answer=f"{1500 + key}") for key in range(120)]
    made = make_questions(passages(), given, related=other_words, seed=1)
    documents = {passage.key: passage.document_id for passage, _ in passages()}
    parts = [[one for one in part if one.kind == GIVEN] for part in (made.learn, made.choose, made.judge)]
    assert all(len(part) > 10 for part in parts)
    learned, chosen, judged = ({documents[key] for one in part for key in one.relevant} for part in parts)
    assert not (learned | chosen) & judged


def test_given_questions_count_by_where_their_answers_stand() -> None:
    given = [
        Given(question="Which year?", answer="1501"),
        Given(question="Who built it?", answer="mason number7", document="Ashham"),
        Given(question="Who built it elsewhere?", answer="Mason Number7", document="Elmby"),
        Given(question="What still stands?", answer="today"),
        Given(question="Part of a word?", answer="Mason Numb"),
    ]
    made = make_questions(passages(), given, related=other_words, seed=1)
    asked = {one.text: one.relevant for one in [*made.learn, *made.choose, *made.judge] if one.kind == GIVEN}
    assert asked == {"Which year?": {1}, "Who built it?": {7}}
    assert made.unusable == 3


def rows(kind: str, before: list[float], after: list[float]) -> list[tuple[str, list[float]]]:
    return [(kind, [b, a, b, a]) for b, a in zip(before, after, strict=True)]


def test_a_difference_that_may_be_chance_is_not_promoted() -> None:
    before = [0.5] * 100
    noisy = [0.5 + (0.31 if at % 2 else -0.29) for at in range(100)]  # one in a hundred better, give or take three
    assert _verdict(rows("question", before, noisy)) == (False, "the difference in nDCG@10 may be chance")
    surely = [0.5 + (0.41 if at % 2 else -0.19) for at in range(100)]
    assert _verdict(rows("question", before, surely)) == (True, "nDCG@10 is higher beyond chance")


def test_what_is_lower_on_one_kind_of_question_is_not_promoted_though_the_mean_is_higher() -> None:
    better = rows("topic", [0.2] * 60, [0.9] * 60)
    worse = rows("question", [0.5] * 20, [0.4] * 20)
    assert _verdict(better)[0]
    assert _verdict([*better, *worse]) == (False, "nDCG@10 is lower on questions of the kind 'question'")


def test_better_places_are_no_reason_to_find_less() -> None:
    """Recall of one question in twenty is lost, which may be chance: nothing is won for a reader either way."""
    found = [("topic", [0.2, 0.6, 1.0, 0.0 if at == 0 else 1.0]) for at in range(20)]
    assert _verdict(found) == (False, "nDCG@10 is higher, but recall@5 is lower")
    assert _verdict(found[1:])[0]


def test_a_kind_may_lose_next_to_nothing_where_all_together_gain() -> None:
    gained = rows("topic", [0.2] * 60, [0.4] * 60)
    assert _verdict([*gained, *rows("reworded", [0.8] * 60, [0.793] * 60)])[0]
    assert not _verdict([*gained, *rows("reworded", [0.8] * 60, [0.787] * 60)])[0]


def test_enough_questions_of_users_decide_alone() -> None:
    made = rows("topic", [0.2] * 60, [0.9] * 60)
    assert _verdict([*made, *rows(GIVEN, [0.5] * 39, [0.5] * 39)])[0]
    assert not _verdict([*made, *rows(GIVEN, [0.5] * 40, [0.5] * 40)])[0]
    worse = rows("topic", [0.9] * 60, [0.2] * 60)
    assert not _verdict([*worse, *rows(GIVEN, [0.2] * 39, [0.9] * 39)])[0]
    assert _verdict([*worse, *rows(GIVEN, [0.2] * 40, [0.9] * 40)])[0]


def test_what_was_learned_takes_over_only_where_it_beats_the_mix_alone_too() -> None:
    chance = random.Random(0)

    def judged(*gains: float) -> list[tuple[str, list[tuple[float, float]]]]:
        """400 questions by what is there now, and by ways that are better by so much."""
        rows = []
        for _ in range(400):
            now = chance.uniform(0.3, 0.5)
            ways = [now, *(now + gain + chance.uniform(-0.1, 0.1) for gain in gains)]
            rows.append(("question", [(each, each) for each in ways]))
        return rows

    better = "nDCG@10 is higher beyond chance"
    assert _decided(judged(), []) == (0, False, "nothing better was found than what the collection is searched by")
    assert _decided(judged(0.0), [False]) == (1, False, "the difference in nDCG@10 may be chance")
    assert _decided(judged(0.05), [False]) == (1, True, better)
    assert _decided(judged(0.05, 0.1), [False] * 2) == (2, True, better)
    assert _decided(judged(0.05, 0.05), [False] * 2) == (1, True, better), "the mix alone does as well"
    assert _decided(judged(0.0, 0.05), [False] * 2) == (2, True, better)
    assert _decided(judged(-0.05, -0.05), [False] * 2) == (
        2,
        False,
        "nDCG@10 is lower on questions of the kind 'question'",
    )


def test_the_more_ways_are_judged_the_surer_one_has_to_be() -> None:
    noise = np.random.default_rng(1).standard_normal(300)
    gains = 0.1 * (noise - noise.mean()) / noise.std() + 2.25 * 0.1 / 300**0.5  # 2.25 standard errors
    rows = [("question", [(0.4, 0.4), (0.4 + gain, 0.4 + gain), *[(0.4, 0.4)] * 3]) for gain in gains]
    assert _decided(rows, [False])[1]
    assert not _decided(rows, [False] * 4)[1]


def test_an_encoder_of_its_own_has_to_find_more_by_every_kind_of_question() -> None:
    chance = random.Random(0)

    def judged(reworded: float, topic: float) -> list[tuple[str, list[tuple[float, float]]]]:
        """Questions of two kinds by what is there now, by a mix that is better by 0.05, and by one beyond that."""
        rows = []
        for kind, gain in (("reworded", reworded), ("topic", topic)):
            for _ in range(200):
                now = chance.uniform(0.3, 0.5)
                ways = (now, now + 0.05, now + 0.05 + gain + chance.uniform(-0.1, 0.1))
                rows.append((kind, [(each, each) for each in ways]))
        return rows

    assert _decided(judged(0.1, 0.1), [False, True])[:2] == (2, True)
    assert _decided(judged(0.1, 0.0), [False, True])[:2] == (1, True), "the mix alone takes over"
    assert _decided(judged(0.1, 0.0), [False, False])[:2] == (2, True), "a mix is judged by the mean"
    alone = [(kind, [ways[1], ways[2]]) for kind, ways in judged(0.1, 0.0)]
    refused = "an encoder of its own may find no more by questions of the kind 'topic'"
    assert _decided(alone, [True]) == (1, False, refused)


def test_on_the_way_to_another_mix_each_weight_has_gone_the_same_share() -> None:
    here, there = Mix(weight=0.25, nearby=0.25, whole=0.5), Mix(weight=0.75, nearby=1.25, near=0.5)
    assert here.towards(there, 0.5) == Mix(weight=0.5, nearby=0.75, whole=0.25, near=0.25)
    assert here.towards(there, 1.0) == there
    assert here.towards(here, 0.25) == here


def test_no_mix_is_chosen_that_loses_on_a_kind_of_question_what_it_would_be_refused_for() -> None:
    def way(nearby: float, *means: float) -> dict[tuple[int, Mix], dict[str, list[float]]]:
        found = zip(("paraphrased", "joined"), means, strict=True)
        return {(0, Mix(nearby=nearby)): {kind: [mean] * 10 for kind, mean in found}}

    unchanged, mild, bold = way(0.25, 0.8, 0.4), way(1.0, 0.797, 0.45), way(3.0, 0.78, 0.5)
    now = next(iter(unchanged))
    assert _best({**unchanged, **mild, **bold}, now, 0) == (0, Mix(nearby=1.0))
    assert _best({**unchanged, **bold}, now, 0) == now
    assert _best({**unchanged, **mild}, now, 1) == now, "there is no such way"
