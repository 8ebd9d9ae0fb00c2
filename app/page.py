"""The page for people: the files of `app/ui`, each under its hash, and the headers that they go out with.

Nothing is built: what is there is what is sent. The page names its files by a digest of all of them, so that a browser
keeps them for ever and yet never mixes two releases.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

INDEX = "index.html"
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing from elsewhere, no markup made of strings (trusted types), no frame around it, no form that goes anywhere.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file as it is sent; `etag` is of its content, in quotes."""

    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page and the files that it names; `release` is a digest of them all."""

    release: str
    index: Asset
    files: Mapping[str, Asset]


@cache
def load_page() -> Page:
    """The page as it is installed, read once."""
    folder = resources.files("app") / "ui"
    contents = {each.name: each.read_bytes() for each in sorted(folder.iterdir(), key=lambda each: each.name)}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    release = digest.hexdigest()[:16]
    index = contents.pop(INDEX).replace(b'"ui/', f'"ui/{release}/'.encode())
    files = {name: _asset(name, content) for name, content in contents.items()}
    return Page(release=release, index=_asset(INDEX, index), files=files)


def _asset(name: str, content: bytes) -> Asset:
    suffix = name[name.rindex(".") :]
    return Asset(content=content, media_type=MEDIA_TYPES[suffix], etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"')
