"""What `model` may name under `/v1`: a collection of the caller's, or the encoder."""

import re
from datetime import datetime

from app.v1.schemas import Model, ModelsReply
from app.wiring import Lectern
from retriever.errors import NotFound
from retriever.store import Collection

PREFIX = "lectern"
DEFAULT = "default"
_NAME = re.compile(r"\w[\w.\-]{0,127}\Z")  # what a collection's can be: nothing else is repeated in an error


def collection_of(model: str) -> str:
    """The collection that a model's name means; `lectern` alone is `lectern/default`. Raises NotFound."""
    prefix, slash, collection = model.partition("/")
    if prefix != PREFIX or (slash and not _NAME.match(collection)):
        raise NotFound("no such model: 'lectern/' and a collection's name is one that can be asked")
    return collection or DEFAULT


def encoder_name(lectern: Lectern) -> str:
    """The encoder as a model, without the hash of its weights."""
    return lectern.encoder.version.partition("@")[0]


def check_encoder(lectern: Lectern, tenant: str, model: str) -> None:
    """Raise NotFound for what is neither the encoder nor a collection, which is searched with it."""
    if model not in (encoder_name(lectern), lectern.encoder.version):
        lectern.store.collection(tenant, collection_of(model))


def models(lectern: Lectern, tenant: str) -> ModelsReply:
    """All collections that can be asked, by name, and the encoder."""
    listed = [_of(collection) for collection in lectern.store.collections(tenant)]
    return ModelsReply(data=[*listed, Model(id=encoder_name(lectern), created=0)])


def model(lectern: Lectern, tenant: str, name: str) -> Model:
    """One of them. Raises NotFound."""
    if name == encoder_name(lectern):
        return Model(id=name, created=0)
    return _of(lectern.store.collection(tenant, collection_of(name)))


def _of(collection: Collection) -> Model:
    created = datetime.fromisoformat(collection.created_at).timestamp() if collection.created_at else 0
    return Model(id=f"{PREFIX}/{collection.name}", created=int(created))
