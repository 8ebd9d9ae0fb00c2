"""The settings: the only reader of the environment. Every variable is `LECTERN_` and a field's name in capitals."""

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsError
from retriever.parsing.limits import Caps, Limits

PREFIX = "LECTERN_"
# Variables of the same prefix that other parts read: the place of test data sets, and the client's server and key.
NOT_SETTINGS = frozenset({"LECTERN_DATA", "LECTERN_KEY", "LECTERN_URL"})


class Settings(BaseSettings):
    """Everything that can be set, with its default. Immutable; read once, by `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    data_dir: Path = Field(default=Path("index_data"), description="Directory of the store and the indexes.")
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the store; unset, an SQLite file in the data directory."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    root_path: str = Field(default="", description="Path under which a gateway serves this, such as `/lectern`.")
    forwarded_allow_ips: str = Field(
        default="127.0.0.1",
        description="Addresses whose `X-Forwarded-*` headers are believed, comma-separated, or `*`.",
    )
    published_on: str | None = Field(
        default=None, description="Address where a gateway publishes this service, if it is not `LECTERN_HOST`."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Let anyone in who can connect, from other machines too, as long as no key was ever made.",
    )
    requests_per_minute: int = Field(
        default=6000, ge=1, description="Requests that one key has in a minute; more answer 429."
    )
    max_documents: int | None = Field(
        default=None, ge=1, description="Documents that one tenant may have; more answer 429. Unset, no limit."
    )
    max_stored_bytes: int | None = Field(
        default=None, ge=1, description="Bytes of files that one tenant may have; more answer 429. Unset, no limit."
    )
    max_queued_jobs: int = Field(default=10_000, ge=1, description="Jobs of one tenant that may wait; more answer 429.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log level."
    )
    max_body_bytes: int = Field(
        default=50 * 1024 * 1024, ge=1024, description="Largest request body in bytes; the gateway has the same number."
    )
    max_characters: int = Field(
        default=Limits().characters, ge=1000, description="Characters that the text of one document may have."
    )
    parsers: int = Field(
        default=4, ge=1, le=64, description="Files that are parsed at the same time, each in a process of its own."
    )
    parser_memory: int = Field(
        default=Caps().memory,
        ge=64_000_000,
        description="Bytes of memory that the process may take which parses a file.",
    )
    parser_seconds: int = Field(
        default=Caps().seconds,
        ge=1,
        description="Seconds of processor time that parsing a file may take; by the clock four times as many.",
    )
    document_wait: float = Field(
        default=10.0, ge=0, le=600, description="Seconds that an upload waits to be indexed before it answers 202."
    )
    answer_wait: float = Field(
        default=30.0, ge=0, le=600, description="Seconds that a question or summary waits before it answers 202."
    )
    max_wait: float = Field(
        default=300.0,
        ge=0,
        le=3600,
        description="Longest `wait` that is honoured, in seconds; below the gateway's timeout.",
    )
    heartbeat: float = Field(
        default=10.0, gt=0, le=60, description="Seconds of silence after which a stream sends a comment."
    )
    keep_alive: int = Field(default=75, ge=1, description="Seconds that an idle connection is kept open.")
    head_timeout: float = Field(default=15.0, gt=0, description="Seconds that a client has for the head of a request.")
    body_timeout: float = Field(
        default=60.0, gt=0, description="Seconds without a byte of a body or reply before a client is dropped."
    )
    max_connections: int = Field(default=1000, ge=1, description="Clients that may be connected; more answer 503.")
    shutdown_timeout: int = Field(
        default=30, ge=1, description="Seconds that requests under way get to finish at a shutdown."
    )
    keep_versions: int = Field(default=10, ge=1, description="Versions of each document's text that stay readable.")
    job_workers: int = Field(default=4, ge=1, le=64, description="Jobs that run at the same time.")
    request_threads: int = Field(
        default=32, ge=1, le=512, description="Questions, searches and summaries worked on at once."
    )
    request_queue: int = Field(
        default=512, ge=0, description="Questions, searches and summaries that may wait for a thread; more answer 503."
    )
    inference_queue: int = Field(
        default=512, ge=1, description="Calls of the models that may wait in each lane; more answer 503."
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the models; unset, the free cores.")
    encoder: str | None = Field(
        default=None, description="A sentence-transformers model: a directory, or a hub's name; unset, MiniLM, offline."
    )
    reader: str | None = Field(
        default=None,
        description="A question-answering model: a directory, or a hub's name; unset, Lectern's own, offline.",
    )

    @property
    def store_url(self) -> str:
        """The store's URL: the one that was set, else SQLite in the data directory."""
        return self.database_url or f"sqlite:///{self.data_dir / 'lectern.sqlite3'}"

    @property
    def exposed(self) -> bool:
        """Whether others than this machine can connect: to this service, or to the gateway that publishes it."""
        return not is_loopback(self.published_on or self.host)

    @property
    def index_dir(self) -> Path:
        """Where the derived indexes live."""
        return self.data_dir / "indexes"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address; of names, only `localhost` is believed."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def variables() -> dict[str, str]:
    """Every environment variable that is a setting, with its one-line description."""
    return {PREFIX + name.upper(): field.description or "" for name, field in Settings.model_fields.items()}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings once; raises SettingsError for an unknown `LECTERN_` variable or an unusable value."""
    known = variables()
    for name in sorted(os.environ if environ is None else environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known and name.upper() not in NOT_SETTINGS:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
            raise SettingsError(f"{name} is not a setting: did you mean {nearest}?")
    try:
        if environ is None:
            return Settings()
        given = {name.upper(): value for name, value in environ.items() if value}
        fields = Settings.model_fields
        return Settings(**{n: given[PREFIX + n.upper()] for n in fields if PREFIX + n.upper() in given})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + ".".join(map(str, first["loc"])).upper().removeprefix(PREFIX)
        raise SettingsError(f"{name} cannot be used: {first['msg']}") from None
