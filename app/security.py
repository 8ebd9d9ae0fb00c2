"""Who is asking. Until keys exist there is one tenant; every route already goes through here."""

from fastapi import Request

from app.wiring import DEFAULT_TENANT


def tenant_of(request: Request) -> str:
    """The tenant that a request acts for."""
    return DEFAULT_TENANT
