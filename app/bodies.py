"""Request bodies in, replies out: strict JSON, one multipart file, problems for everything else."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.errors import Invalid, Malformed, UnsupportedMediaType
from app.middleware import encode
from app.problems import field_errors
from app.schemas import DocumentFields, DocumentUpload
from retriever.store import Receipt

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 64  # nesting of a request's JSON: far more than the contract has, far less than hurts
MAX_VALUES = 100_000  # lists, objects and items of a request's JSON: each takes up to 20 times its bytes in memory
LARGE_BODY = 262_144  # bytes from which parsing would hold up other requests: it goes to a thread
MAX_NAME = 255
MAX_LINES = 10_000  # of a batch: its result has to stay readable
LINE_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A document as it was sent. `filename` is None where it came as JSON, `collection` where none was named."""

    data: bytes
    filename: str | None
    media_type: str | None
    title: str | None
    collection: str | None
    metadata: Mapping[str, Any]


async def read_json(request: Request, model: type[M]) -> M:
    """The body as a `model`. Raises UnsupportedMediaType, Malformed and Invalid; none repeats what was sent."""
    if media_type_of(request) != "application/json":
        raise UnsupportedMediaType("send JSON with Content-Type: application/json")
    body = await body_of(request)
    if len(body) > LARGE_BODY:
        return await run_in_threadpool(lambda: validated(model, parse_json(body)))
    return validated(model, parse_json(body))


async def read_upload(request: Request) -> Upload:
    """A document as JSON or as a multipart form with one `file`."""
    kind = media_type_of(request)
    if kind == "application/json":
        body = await read_json(request, DocumentUpload)
        return Upload(
            data=await run_in_threadpool(body.text.encode, "utf-8"),
            filename=None,
            media_type=body.media_type,
            title=body.title or None,
            collection=body.collection,
            metadata=body.metadata,
        )
    if kind == "multipart/form-data":
        return await _read_form(request)
    raise UnsupportedMediaType("send the document as application/json or as multipart/form-data with a field 'file'")


async def read_lines(request: Request) -> tuple[list[tuple[int, bytes]], str]:
    """The lines of a body of JSON Lines that hold anything, as (number from 1, bytes), and the SHA-256 of the body.

    Raises UnsupportedMediaType, Malformed, and Invalid for none or too many.
    """
    if media_type_of(request) not in LINE_TYPES:
        raise UnsupportedMediaType("send one JSON document a line with Content-Type: application/x-ndjson")
    lines: list[tuple[int, bytes]] = []
    digest, number, rest = hashlib.sha256(), 0, bytearray()
    try:
        async for chunk in request.stream():
            digest.update(chunk)
            first, *others = chunk.split(b"\n")
            rest += first
            for part in others:
                number += 1
                _add_line(lines, number, rest)
                rest = bytearray(part)
    except ClientDisconnect as error:
        raise Malformed("the body ended early") from error
    _add_line(lines, number + 1, rest)
    if not lines:
        raise invalid([{"loc": [], "msg": "give at least one document, a line each"}])
    return lines, digest.hexdigest()


def _add_line(lines: list[tuple[int, bytes]], number: int, line: bytes | bytearray) -> None:
    if not line.strip():
        return
    if len(lines) == MAX_LINES:
        raise invalid([{"loc": [], "msg": f"a batch has at most {MAX_LINES:,} documents: send several"}])
    lines.append((number, bytes(line)))


def receipt_of(key: str | None, *, scope: str, fingerprint: str) -> Receipt | None:
    """The receipt of a request with an `Idempotency-Key`."""
    return None if key is None else Receipt(scope=scope, key=key, fingerprint=fingerprint)


def fingerprint_of(upload: Upload) -> str:
    """What tells two uploads apart. Not the body itself: a form sent again has other boundaries."""
    described = [upload.filename, upload.media_type, upload.title, upload.collection, dict(upload.metadata)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(hashlib.sha256(upload.data).digest())
    return digest.hexdigest()


async def body_of(request: Request) -> bytes:
    """The whole body; its size was bounded before."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise Malformed("the body ended early") from error


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no infinity, bounded depth and size. Lone surrogates become U+FFFD, one for one.

    Raises Malformed.
    """
    try:
        _check_values(body)
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        _check_depth(value, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not valid JSON in UTF-8") from error
    return scrubbed(value) if "\\ud" in text or "\\uD" in text else value


def validated(model: type[M], value: Any) -> M:
    """The value as a `model`. Raises Invalid, naming every field that cannot be accepted."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False, include_context=False, include_input=False))
        raise invalid(errors) from None


def invalid(errors: list[dict[str, Any]]) -> Invalid:
    """The error for fields that cannot be accepted."""
    first = errors[0] if errors else {"loc": [], "msg": "not valid"}
    place = ".".join(map(str, first["loc"]))
    return Invalid(f"{place}: {first['msg']}" if place else str(first["msg"]), errors=errors)


def media_type_of(request: Request) -> str:
    """The media type of the body, without parameters; empty where none was sent."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def reply(
    body: BaseModel | Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON reply."""
    content = encode(body.model_dump(mode="json") if isinstance(body, BaseModel) else dict(body))
    return Response(content, status_code=status, media_type="application/json", headers=dict(headers or {}))


def location(request: Request, path: str) -> str:
    """A path of this service as its clients see it, behind a gateway too."""
    return str(request.scope.get("root_path", "")).rstrip("/") + path


def attachment(filename: str) -> str:
    """A Content-Disposition that downloads under this name, whatever characters are in it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%;]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


async def _read_form(request: Request) -> Upload:
    try:
        async with request.form(max_files=1, max_fields=8, max_part_size=131_072) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Invalid("file is missing", errors=[{"loc": ["file"], "msg": "Field required"}])
            fields = {name: value for name, value in form.multi_items() if name != "file"}
            if isinstance(fields.get("metadata"), str):
                fields["metadata"] = _metadata(str(fields["metadata"]))
            described = validated(DocumentFields, fields)
            data = await file.read()
            declared = (file.content_type or "").partition(";")[0].strip().lower()
            return Upload(
                data=data,
                filename=safe_name(file.filename),
                media_type=declared or None,
                title=described.title or None,
                collection=described.collection,
                metadata=described.metadata,
            )
    except MultiPartException as error:
        raise Malformed("the body is not a valid multipart form") from error
    except ClientDisconnect as error:
        raise Malformed("the body ended early") from error


def safe_name(filename: str | None) -> str:
    """A file's own name: no folders, no control characters, at most 255 characters."""
    name = _CONTROL.sub("", (filename or "").replace("\\", "/").rsplit("/", 1)[-1])
    name = _SURROGATE.sub("\ufffd", name).strip()
    stem, dot, suffix = name.rpartition(".")
    return (
        f"{stem[: 250 - len(suffix)]}{dot}{suffix}" if len(name) > 255 and len(suffix) < 32 else name[:255]
    ) or "file"


def _metadata(text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "replace"))
    except Malformed as error:
        raise Invalid("metadata: not JSON", errors=[{"loc": ["metadata"], "msg": "must be a JSON object"}]) from error


def _no_constant(_: str) -> None:
    raise ValueError("NaN and infinities are not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


def _check_values(body: bytes) -> None:
    """Refuse a body of more values than any request has, before they are made. Raises ValueError."""
    if sum(map(body.count, (b"[", b"{", b","))) <= MAX_VALUES:
        return
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # what quotes are left begin and end strings
    if bare.count(b'"') > 4 * MAX_VALUES:  # a key and a string for each value
        raise ValueError("too many strings")
    outside = b"".join(bare.split(b'"')[::2])
    if sum(map(outside.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise ValueError("too many values")


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError("nested too deeply")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(item, left - 1)


def scrubbed(value: Any) -> Any:
    """A JSON value without lone surrogates, which UTF-8 cannot hold: each becomes U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {scrubbed(key): scrubbed(item) for key, item in value.items()}
    return value
