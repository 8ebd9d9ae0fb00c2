"""Keys for tests: made in a store, and clients that carry them."""

from typing import Any

from app.keys import Terms, mint
from retriever.store import Store


def new_key(store: Store, tenant: str = "default", *, scopes: str = "read,write", **terms: Any) -> str:
    """Make a key in the store; the secret."""
    minted = mint(Terms(tenant=tenant, scopes=scopes.split(","), **terms))
    store.add_key(minted.key)
    return minted.secret


def bearing(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}
