"""Keys: made, listed and revoked; who is let in, by what, and what each route asks for."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app import gate, keys
from app.cli import main as lectern
from app.errors import Exposed, Invalid
from app.keys import Terms, mint
from app.limiter import Limiter
from app.main import create_app, serve
from app.security import ROUTES
from app.settings import Settings, is_loopback
from retriever.durable import hold
from retriever.store import Store
from tests.app.callers import bearing, new_key
from tests.app.served import ROOT, Server
from tests.app.test_documents_api import assert_problem
from tests.retriever.test_migrations import built


@pytest.fixture
def store(client) -> Store:
    """The store of the running client; looks at its keys count for no time at all."""
    return client.app.state.lectern.store


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(gate, "KEY_SECONDS", 0.0)


# Making them


def test_a_key_is_256_random_bits_and_only_their_hash_is_kept(store):
    minted = mint(Terms(tenant="acme"))
    store.add_key(minted.key)
    assert len(minted.secret.rsplit("_", 1)[1]) * 5 >= 256
    assert store.key(minted.key.id).digest == hashlib.sha256(minted.secret.encode()).hexdigest()
    assert minted.secret not in repr(minted)
    assert minted.key.digest not in repr(minted)
    assert mint(Terms()).secret != mint(Terms()).secret


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""},
        {"tenant": "a/b"},
        {"tenant": "x" * 65},
        {"scopes": ()},
        {"scopes": ("read", "everything")},
        {"expires": "2001-01-01"},
        {"expires": "0d"},
        {"expires": "soon"},
        {"documents": 0},
        {"bytes": -1},
        {"requests_per_minute": 0},
    ],
)
def test_terms_that_mean_nothing_are_refused(wrong):
    with pytest.raises(Invalid):
        mint(Terms(**wrong))


def test_expiry_is_a_number_of_days_or_a_moment_in_utc():
    assert mint(Terms(expires="2999-01-01T01:00:00+01:00")).key.expires_at == "2999-01-01T00:00:00.000000Z"
    assert mint(Terms(expires="2999-01-01")).key.expires_at == "2999-01-01T00:00:00.000000Z"
    assert mint(Terms(expires="30d")).key.works


def test_a_key_is_compared_in_constant_time_also_where_there_is_none(monkeypatch):
    compared = []
    real = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    minted = mint(Terms())
    assert keys.is_secret_of(minted.secret, minted.key)
    assert not keys.is_secret_of(minted.secret[:-1] + "x", minted.key)
    assert not keys.is_secret_of(minted.secret, None)
    assert [len(a) == len(b) == 64 for a, b in compared] == [True] * 3


def test_the_command_line_makes_lists_and_revokes_keys_and_shows_a_secret_once(tmp_path, capsys):
    data = ["--data", str(tmp_path)]
    assert lectern(["keys", "create", "ci", "--tenant", "acme", "--expires", "9d", "--documents", "5", *data]) == 0
    shown = capsys.readouterr()
    secret = shown.out.strip()
    assert keys.id_of(secret)
    assert "not shown again" in shown.err
    assert lectern(["keys", "create", "--scopes", "read", "--json", *data]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["scopes"], made["tenant"], made["works"]) == (["read"], "default", True)
    assert lectern(["keys", "list", *data]) == 0
    listed = capsys.readouterr().out
    assert "acme" in listed
    assert "5 documents" in listed
    assert secret not in listed
    assert lectern(["keys", "revoke", made["id"], *data]) == 0
    assert lectern(["keys", "list", "--json", *data]) == 0
    out = capsys.readouterr().out.splitlines()[-1]
    assert [key["works"] for key in json.loads(out)] == [True, False]
    assert made["key"] not in out
    assert "digest" not in out
    assert hashlib.sha256(secret.encode()).hexdigest() not in out


@pytest.mark.parametrize(
    "argv", [["create", "--scopes", "all"], ["create", "--expires", "yesterday"], ["revoke", "nobody"]]
)
def test_what_the_command_line_cannot_do_is_told_in_one_line(tmp_path, capsys, argv):
    assert lectern(["keys", *argv, "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_keys_are_made_in_an_older_store_only_while_no_service_may_use_it(tmp_path, capsys):
    built(tmp_path / "lectern.sqlite3", 1)
    with hold(tmp_path / "lock"):
        assert lectern(["keys", "create", "--data", str(tmp_path)]) == 2
        assert "another Lectern uses" in capsys.readouterr().err
    assert lectern(["keys", "create", "--data", str(tmp_path)]) == 0


# Letting in


def command(*argv: str) -> str:
    """Run `lectern keys` in a process of its own; its output."""
    line = [sys.executable, "-c", "import sys; from app.cli import main; sys.exit(main())", "keys", *argv]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_without_any_key_a_service_on_loopback_asks_for_none(client):
    assert client.get("/documents").status_code == 200
    assert client.get("/documents", headers=bearing("anything")).status_code == 200


def test_once_a_key_was_made_every_request_needs_one_and_a_revoked_last_key_opens_nothing(client, store):
    secret = new_key(store)
    reply = client.get("/documents")
    assert_problem(reply, 401, "unauthenticated")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert client.get("/documents", headers=bearing(secret)).status_code == 200
    store.revoke_key(str(keys.id_of(secret)))
    reply = client.get("/documents", headers=bearing(secret))
    assert_problem(reply, 401, "unauthenticated")
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert_problem(client.get("/documents"), 401, "unauthenticated")


def test_keys_that_are_wrong_in_any_way_are_refused_alike(client, store):
    secret = new_key(store)
    other = mint(Terms()).secret
    swapped = secret.rsplit("_", 1)[0] + "_" + other.rsplit("_", 1)[1]
    wrong = ["", "x", "lectern_", secret[:-1], secret + "a", secret.upper(), other, swapped, "lectern_" + "é" * 9]
    told = set()
    for sent in wrong:
        reply = client.get("/documents", headers={"Authorization": f"Bearer {sent}".encode()})
        assert_problem(reply, 401, "unauthenticated")
        told.add(reply.json()["detail"])
        assert sent == "" or sent == "x" or sent not in reply.text
    assert len(told) == 2  # none sent, or one that does not work
    for scheme in (f"Basic {secret}", secret, f"Token {secret}"):
        assert client.get("/documents", headers={"Authorization": scheme}).status_code == 401
    assert client.get(f"/documents?key={secret}").status_code == 401
    assert client.get("/documents", headers={"Authorization": f"bearer {secret}"}).status_code == 200


def test_an_expired_key_does_not_work(client, store, monkeypatch):
    secret = new_key(store, expires="30d")
    assert client.get("/documents", headers=bearing(secret)).status_code == 200
    monkeypatch.setattr("retriever.store.keys.now", lambda: "2999-01-01T00:00:00.000000Z")
    assert_problem(client.get("/documents", headers=bearing(secret)), 401, "unauthenticated")


def test_a_key_does_what_its_scopes_say_and_no_more(client, store):
    read, write, admin = (new_key(store, scopes=scope) for scope in ("read", "write", "admin"))
    text = {"text": "The mill stands at Stony Ford."}
    assert client.post("/documents", json=text, headers=bearing(write)).status_code == 201
    for refused in (
        client.post("/documents", json=text, headers=bearing(read)),
        client.delete("/documents/absent", headers=bearing(read)),
        client.post("/ask", json={"question": "Where?"}, headers=bearing(write)),
        client.get("/documents", headers=bearing(write)),
        client.get("/metrics", headers=bearing(read)),
    ):
        assert_problem(refused, 403, "forbidden")
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert client.get("/documents", headers=bearing(admin)).status_code == 200
    assert client.post("/documents", json=text, headers=bearing(admin)).status_code == 200


def test_what_tells_nothing_of_any_tenant_stays_open(client, store):
    new_key(store)
    script = re.search(r'src="(ui/[^"]+)"', client.get("/").text).group(1)
    for path in ("/livez", "/readyz", "/version", "/openapi.json", "/", f"/{script}"):
        assert client.get(path).status_code in (200, 503), path


def test_a_refused_upload_is_told_so_although_its_body_was_not_read(tmp_path):
    server = Server(tmp_path)
    try:
        command("create", "--data", str(tmp_path))
        deadline = time.monotonic() + 10
        while server.client.get("/documents").status_code != 401:
            assert time.monotonic() < deadline
        reply = server.client.post("/documents", content=b"x" * 5_000_000, headers={"Content-Type": "text/plain"})
        assert (reply.status_code, reply.headers["connection"]) == (401, "close")
    finally:
        server.stop()


def test_a_key_made_and_revoked_beside_a_running_service_counts_soon(tmp_path):
    server = Server(tmp_path)

    def soon(wanted: int, headers: dict[str, str]) -> None:
        began = time.monotonic()
        while server.client.get("/documents", headers=headers).status_code != wanted:
            assert time.monotonic() - began < 10  # on a machine that is busy; another test holds the second

    try:
        assert server.client.get("/documents").status_code == 200
        made = json.loads(command("create", "--json", "--data", str(tmp_path)))
        soon(401, {})
        assert server.client.get("/documents", headers=bearing(made["key"])).status_code == 200
        command("revoke", made["id"], "--data", str(tmp_path))
        soon(401, bearing(made["key"]))
    finally:
        server.stop()


def test_a_look_at_the_store_counts_for_one_second(store, monkeypatch):
    monkeypatch.setattr(gate, "KEY_SECONDS", 1.0)
    clock = [0.0]
    ring = gate.KeyRing(clock=lambda: clock[0])
    asyncio.run(_look_after_seconds(ring, clock, store))


async def _look_after_seconds(ring: gate.KeyRing, clock: list[float], store: Store) -> None:
    assert await ring.any(store) is False
    secret = new_key(store)
    clock[0] = 0.99
    assert await ring.any(store) is False
    clock[0] = 1.0
    assert await ring.any(store) is True
    assert await ring.key(store, secret) is not None
    store.revoke_key(str(keys.id_of(secret)))
    clock[0] = 1.99
    assert await ring.key(store, secret) is not None
    clock[0] = 2.0
    assert await ring.key(store, secret) is None


# What each route asks for


def served(app) -> set[tuple[str, str]]:
    return {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or {"GET"}) - {"HEAD"}
    }


def test_every_route_of_the_app_has_a_declared_scope(client):
    declared = {(method, path) for path, methods in ROUTES.items() for method in methods}
    found = served(client.app)
    assert len(found) > 20
    assert found - declared == set(), "declare their scopes in app/security.py"
    described = client.get("/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in described.items() for method in methods} <= found


def test_a_route_without_a_declared_scope_is_not_served(client):
    router = APIRouter()
    router.add_api_route("/documents-of-all", lambda: "secret", methods=["GET"])
    router.add_api_route("/documents", lambda: "secret", methods=["DELETE"])
    client.app.include_router(router)
    assert ("GET", "/documents-of-all") in served(client.app)
    assert_problem(client.get("/documents-of-all"), 404, "not_found")
    reply = client.delete("/documents")
    assert_problem(reply, 405, "method")
    assert reply.headers["allow"] == "GET, HEAD, POST"


def test_no_route_but_the_open_ones_answers_without_a_key(client, store):
    new_key(store)
    for method, path in sorted(served(client.app)):
        if ROUTES[path][method] is not None:
            reply = client.request(method, path.replace("{", "").replace("}", ""))
            if path.startswith("/v1/"):
                assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthenticated")
            else:
                assert_problem(reply, 401, "unauthenticated")


def test_the_description_names_the_scope_and_the_refusals_of_each_route(client):
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = ROUTES[path][method.upper()]
            assert operation.get("security") == (None if scope is None else [{"key": [scope]}])
            assert {"401", "403", "429"} <= set(operation["responses"]) or scope is None


# Where it may be open


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.com", False),
        ("", False),
        ("lectern", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    "where", [{"host": "0.0.0.0"}, {"host": "127.0.0.1", "published_on": "0.0.0.0"}, {"host": "::"}]
)
def test_without_keys_it_refuses_to_start_where_others_could_connect(tmp_path, where):
    settings = Settings(data_dir=tmp_path, **where)

    def never(_: Settings):
        raise AssertionError("it began to start")

    with pytest.raises(Exposed, match=r"lectern keys create.*LECTERN_ALLOW_ANONYMOUS=true"):
        serve(settings, make=never)
    allowed = settings.model_copy(update={"allow_anonymous": True})
    with pytest.raises(AssertionError, match="it began to start"):
        serve(allowed, make=never)
    assert lectern(["keys", "create", "--data", str(tmp_path)]) == 0
    with pytest.raises(AssertionError, match="it began to start"):
        serve(settings, make=never)


def test_the_refusal_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert lectern(["serve", "--host", "0.0.0.0", "--data", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lectern: 0.0.0.0 can be reached from other machines, and there are no keys")


def test_behind_a_gateway_that_only_this_machine_reaches_it_is_open(tmp_path):
    gate.check_exposure(Settings(data_dir=tmp_path, host="0.0.0.0", published_on="127.0.0.1"))


def test_an_app_that_is_served_in_another_way_is_closed_where_others_could_connect(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", host="0.0.0.0")
    with TestClient(create_app(settings, make=make_lectern)) as client:
        assert_problem(client.get("/documents"), 401, "unauthenticated")
    open_to_all = settings.model_copy(update={"allow_anonymous": True})
    with TestClient(create_app(open_to_all, make=make_lectern)) as client:
        assert client.get("/documents").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://6.6.6.6", "http://testserver.evil.example"])
def test_a_page_of_another_site_cannot_use_a_service_without_keys(client, store, origin):
    reply = client.post("/documents", files={"file": ("a.txt", b"planted")}, headers={"Origin": origin})
    assert_problem(reply, 403, "forbidden")
    assert client.get("/documents").json()["documents"] == []
    secret = new_key(store)  # a page cannot know a key
    assert client.get("/documents", headers={"Origin": origin, **bearing(secret)}).status_code == 200


def test_a_public_name_that_points_here_cannot_use_a_service_without_keys(client):
    assert_problem(client.get("/documents", headers={"Host": "evil.example:8000"}), 403, "forbidden")
    for host in ("127.0.0.1:8000", "[::1]:8000", "localhost:8000", "lectern.localhost", "lectern:8000", "10.0.0.3"):
        assert client.get("/documents", headers={"Host": host}).status_code == 200, host
    assert client.get("/documents", headers={"Origin": "http://localhost:5173"}).status_code == 200


# How much


def test_a_bucket_gives_a_minute_s_requests_and_fills_again():
    clock = [0.0]
    limiter = Limiter(clock=lambda: clock[0])
    left = [limiter.take("a", per_minute=60).remaining for _ in range(60)]
    assert (left[0], left[-1]) == (59, 0)
    with pytest.raises(gate.AppError) as refused:
        limiter.take("a", per_minute=60)
    assert refused.value.retry_after == 1
    assert limiter.take("b", per_minute=60).remaining == 59
    clock[0] += 1.0
    assert limiter.take("a", per_minute=60).remaining == 0
    clock[0] += 3_600.0
    assert limiter.take("a", per_minute=60).remaining == 59


def test_requests_over_a_key_s_own_limit_are_429_and_say_when_to_come_back(client, store):
    slow, other = new_key(store, requests_per_minute=2), new_key(store)
    first = client.get("/documents", headers=bearing(slow))
    assert first.headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert first.headers["ratelimit"].startswith('"requests";r=1;t=')
    assert client.get("/nothing", headers=bearing(slow)).status_code == 404  # is not counted
    client.get("/documents", headers=bearing(slow))
    reply = client.get("/documents", headers=bearing(slow))
    assert_problem(reply, 429, "rate_limited")
    assert 1 <= int(reply.headers["retry-after"]) <= 30
    assert client.get("/documents", headers=bearing(other)).status_code == 200
    assert client.get("/livez").status_code == 200


def test_the_service_s_limit_counts_where_a_key_has_none_of_its_own(tmp_path, make_lectern):
    settings = Settings(data_dir=tmp_path / "data", requests_per_minute=1)
    with TestClient(create_app(settings, make=make_lectern)) as client:
        secret = new_key(client.app.state.lectern.store)
        assert client.get("/jobs", headers=bearing(secret)).status_code == 200
        assert client.get("/jobs", headers=bearing(secret)).status_code == 429
