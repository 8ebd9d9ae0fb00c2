"""What schemathesis has to be told of this service, loaded by it as SCHEMATHESIS_HOOKS."""

import re
import secrets

import schemathesis

KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Each request under a key of its own: the same key with other content is refused, as it should be."""
    for name, value in list((case.headers or {}).items()):
        if name.lower() == "idempotency-key" and isinstance(value, str) and KEY.fullmatch(value):
            case.headers[name] = secrets.token_hex(8)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Lines as they are; what is no string is no lines."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""
