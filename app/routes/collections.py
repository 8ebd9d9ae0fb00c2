"""`/collections`: list, read, create or describe, delete; adapt, and take that back."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from app import schemas
from app.adapting import KIND
from app.bodies import invalid, location, media_type_of, read_json, reply
from app.openapi import errors, json_body
from app.routes.shared import accepted, known_query, lectern_of
from app.security import tenant_of
from retriever.store import Collection, Job

router = APIRouter(tags=["collections"], dependencies=[Depends(known_query)])
NewName = Annotated[str, Path(pattern=r"^\w[\w.\-]{0,127}$")]


@router.get("/collections", summary="List collections", response_model=schemas.CollectionsReply, responses=errors(422))
async def list_collections(
    request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100, cursor: str | None = None
) -> Response:
    """A page of collections with their counts, by name; `default` is always there."""
    lectern, tenant = lectern_of(request), tenant_of(request)

    def read() -> schemas.CollectionsReply:
        try:
            found, more = lectern.store.collection_page(tenant, limit=limit, cursor=cursor)
        except ValueError as error:
            raise invalid([{"loc": ["cursor"], "msg": "not a cursor of this service"}]) from error
        return schemas.CollectionsReply(collections=[_reply(each) for each in found], next_cursor=more)

    return reply(await lectern.desk.aside(read))


@router.get(
    "/collections/{name}",
    summary="Read a collection",
    response_model=schemas.CollectionReply,
    responses=errors(404, 422),
)
async def read_collection(request: Request, name: str) -> Response:
    """One collection with its counts."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(_reply(await lectern.desk.aside(lambda: lectern.store.collection(tenant, name))))


@router.put(
    "/collections/{name}",
    summary="Create or describe a collection",
    response_model=schemas.CollectionReply,
    responses={201: {"model": schemas.CollectionReply, "description": "Created"}, **errors(400, 413, 415, 422, 507)},
    openapi_extra=json_body(schemas.CollectionRequest, required=False),
)
async def put_collection(request: Request, name: NewName) -> Response:
    """Create a collection, or replace the metadata of one; a body is not needed."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    body = schemas.CollectionRequest()
    if media_type_of(request) or await request.body():
        body = await read_json(request, schemas.CollectionRequest)
    found, created = await lectern.desk.aside(
        lambda: lectern.store.put_collection(tenant, name, metadata=body.metadata)
    )
    headers = {"Location": location(request, f"/collections/{name}")} if created and name.isascii() else {}
    return reply(_reply(found), status=201 if created else 200, headers=headers)


@router.delete("/collections/{name}", summary="Delete a collection", status_code=204, responses=errors(404, 422, 507))
async def delete_collection(request: Request, name: str) -> Response:
    """Purge a collection with all its documents; `default` is emptied and stays."""
    lectern, tenant = lectern_of(request), tenant_of(request)

    def purge() -> None:
        lectern.store.delete_collection(tenant, name)
        lectern.jobs.changed()
        lectern.indexes.drop(tenant, name)

    await lectern.desk.aside(purge)
    return Response(status_code=204)


@router.post(
    "/collections/{name}/adapt",
    summary="Adapt a collection's retriever",
    status_code=202,
    response_model=schemas.JobAcceptedReply,
    responses=errors(400, 404, 413, 415, 422),
    openapi_extra=json_body(schemas.AdaptRequest, required=False),
)
async def adapt_collection(request: Request, name: str) -> Response:
    """Train, judge, and promote only what is better beyond chance; the job's result is an `AdaptResult`."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    body = schemas.AdaptRequest()
    if media_type_of(request) or await request.body():
        body = await read_json(request, schemas.AdaptRequest)

    def submit() -> Job:
        lectern.store.collection(tenant, name)  # raises NotFound
        return lectern.jobs.submit(tenant, KIND, {"collection": name, **body.model_dump(mode="json")})

    return accepted(request, await lectern.desk.aside(submit))


@router.post(
    "/collections/{name}/adapt/rollback",
    summary="Take the last adaptation back",
    response_model=schemas.RollbackReply,
    responses=errors(404, 409, 422, 507),
)
async def roll_back_collection(request: Request, name: str) -> Response:
    """Search by what was before the last promotion again."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(await lectern.desk.aside(lambda: lectern.adapting.rollback(tenant, name)))


def _reply(collection: Collection) -> schemas.CollectionReply:
    return schemas.CollectionReply(
        name=collection.name,
        documents=collection.documents,
        passages=collection.passages,
        characters=collection.characters,
        created_at=collection.created_at,
        metadata=dict(collection.metadata),
    )
