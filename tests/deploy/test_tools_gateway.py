"""Other people's clients, and large files, through the shipped gateway: a real nginx in front of a real service."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import OpenAI

from tests.app.served import Server
from tests.deploy.test_gateway import NGINX, Gateway

TEXT = "The mill stands at Stony Ford. The yearly rent of the mill is silver."
QUESTION = "What is the yearly rent of the mill?"
ASKED = [{"role": "user", "content": QUESTION}]

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = Server(tmp_path_factory.mktemp("data"))
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), server.url.removeprefix("http://"))
    assert gateway.client.post("/documents", json={"text": TEXT, "title": "Deed"}).status_code == 201
    yield gateway
    gateway.close()
    server.stop()


def test_openais_client_is_answered_whole_and_streamed(gateway: Gateway) -> None:
    plain = httpx2.Client(trust_env=False, timeout=30)
    with OpenAI(base_url=f"{gateway.client.base_url}/v1", api_key="none", max_retries=0, http_client=plain) as client:
        whole = client.chat.completions.create(model="lectern/default", messages=ASKED)  # type: ignore[arg-type]
        assert whole.choices[0].message.content == "silver"
        link = whole.choices[0].message.annotations[0].url_citation.url  # type: ignore[index, union-attr]
        assert link.startswith(str(gateway.client.base_url))
        chunks = list(client.chat.completions.create(model="lectern/default", messages=ASKED, stream=True))  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "silver"
    assert gateway.client.get(link).json()["text"] == "silver"


def test_the_tools_of_mcp_are_called(gateway: Gateway) -> None:
    async def talk() -> object:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=30) as http,
            Client(streamable_http_client(f"{gateway.client.base_url}/mcp", http_client=http)) as client,
        ):
            return (await client.call_tool("ask", {"question": QUESTION})).structured_content

    found = asyncio.run(talk())
    assert isinstance(found, dict)
    assert found["answer"] == "silver"


def test_a_file_of_thirty_megabytes_goes_in_and_comes_out_unchanged(gateway: Gateway) -> None:
    page = b"The keeper of the light wrote in his book that nothing had happened.\n"
    data = (b"%09d " % 7 + page) * (30_000_000 // (len(page) + 10))
    sent = gateway.client.post("/documents?wait=0", files={"file": ("log.txt", data, "text/plain")})
    assert sent.status_code == 202
    assert gateway.client.get(f"/documents/{sent.json()['id']}/file").content == data
    gateway.client.delete(f"/jobs/{sent.json()['job']}")
