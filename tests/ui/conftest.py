"""One headless Chromium for all tests of the page, and two services: as it ships, and with fakes for what is not asked.

They live as long as this package's tests: Playwright keeps an event loop in the thread while it runs.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import pytest

from tests.app.served import ROOT, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TIMEOUT_MS = 15_000
PREFIX = "/tools/lectern"


@pytest.fixture(scope="package")
def browser() -> Iterator:  # type: ignore[type-arg]
    """Debian's Chromium, without a window; nothing is downloaded."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with fakes for models, which takes in a long text at once; a gateway may serve it under `PREFIX`."""
    server = Server(tmp_path_factory.mktemp("ui"), root_path=PREFIX)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it ships, with its models."""
    if not (ROOT / "model" / "weights").is_dir():
        pytest.skip("no weights in model/weights")
    server = Server(tmp_path_factory.mktemp("ui"), module="app.main")
    yield server
    server.stop()


@dataclass
class Seen:
    """What a page did that it should not do; empty at the end of each test."""

    wrong: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()  # parts of what a test provokes on purpose

    def left(self) -> list[str]:
        return [each for each in self.wrong if not any(part in each for part in self.expected)]


def watched(context, url: str) -> tuple:  # type: ignore[no-untyped-def, type-arg]
    """A page of a context, and what it does wrong: errors, dialogs, and requests to anywhere but `url`'s host."""
    seen = Seen()
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.on("pageerror", lambda error: seen.wrong.append(str(error)))

    def console(message) -> None:  # type: ignore[no-untyped-def]
        if message.type in ("error", "warning"):
            seen.wrong.append(message.text)

    def dialog(shown) -> None:  # type: ignore[no-untyped-def]
        seen.wrong.append(f"dialog: {shown.message}")
        shown.dismiss()

    def request(sent) -> None:  # type: ignore[no-untyped-def]
        if urlsplit(sent.url).scheme in ("http", "https") and urlsplit(sent.url).netloc != urlsplit(url).netloc:
            seen.wrong.append(f"request to {sent.url}")

    page.on("console", console)
    page.on("dialog", dialog)
    page.on("request", request)
    return page, seen


@pytest.fixture
def open_page(browser, service) -> Iterator:  # type: ignore[no-untyped-def, type-arg]
    """Opens the page in a context of its own; at the end no page may have done anything wrong."""
    opened = []

    def open_(*, url: str | None = None, width: int = 1440, height: int = 900, expected=(), options=None, **shown):  # type: ignore[no-untyped-def]
        at = url or service.url
        context = browser.new_context(viewport={"width": width, "height": height}, **(options or {}))
        page, seen = watched(context, at)
        seen.expected = tuple(expected)
        opened.append((context, seen))
        page.goto(f"{at}/" + (f"#{urlencode(shown)}" if shown else ""))
        return page

    yield open_
    for context, _ in opened:
        context.close()
    assert [seen.left() for _, seen in opened] == [[]] * len(opened)


def added(server: Server, text: str, *, name: str, collection: str) -> dict:  # type: ignore[type-arg]
    """A document as the API shows it, indexed."""
    files = {"file": (name, text.encode())}
    reply = server.client.post("/documents?wait=60", files=files, data={"collection": collection})
    assert reply.status_code == 201, reply.text
    return reply.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="package")
def add(service):  # type: ignore[no-untyped-def]
    """Adds a document to the service with fakes."""
    return lambda text, **where: added(service, text, **where)
