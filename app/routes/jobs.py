"""`/jobs`: read, wait for, follow, list and cancel."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from app import schemas
from app.bodies import invalid, reply
from app.openapi import EVENTS, errors
from app.routes.shared import job_reply, known_query, lectern_of, waiting_time
from app.security import tenant_of
from app.streams import JobEvents, streamed

router = APIRouter(tags=["jobs"], dependencies=[Depends(known_query)])


@router.get("/jobs", summary="List jobs", response_model=schemas.JobsReply, responses=errors(422))
async def list_jobs(
    request: Request, limit: Annotated[int, Query(ge=1, le=1_000)] = 100, cursor: str | None = None
) -> Response:
    """A page of jobs, oldest first."""
    lectern, tenant = lectern_of(request), tenant_of(request)

    def read() -> schemas.JobsReply:
        try:
            found, more = lectern.store.jobs(tenant, limit=limit, cursor=cursor)
        except ValueError as error:
            raise invalid([{"loc": ["cursor"], "msg": "not a cursor of this service"}]) from error
        return schemas.JobsReply(jobs=[job_reply(each) for each in found], next_cursor=more)

    return reply(await lectern.desk.aside(read))


@router.get(
    "/jobs/{job_id}", summary="Read or wait for a job", response_model=schemas.JobReply, responses=errors(404, 422)
)
async def read_job(
    request: Request,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=3_600, description="seconds to wait until it is over")] = 0,
) -> Response:
    """A job as it is when it is over, or when the time is."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    seconds = waiting_time(wait, 0, lectern.settings.max_wait)
    return reply(job_reply(await lectern.jobs.settled(tenant, job_id, timeout=seconds)))


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=Response,
    responses={
        200: {
            "description": "events: `progress` for each new state, then `done` with the job",
            "content": EVENTS,
        },
        204: {"description": "`Last-Event-ID` names the last event that there is: nothing comes after it"},
        **errors(404, 422),
    },
)
async def follow_job(
    request: Request,
    job_id: str,
    last_event_id: Annotated[str | None, Header(description="the id of the last event that was seen")] = None,
) -> Response:
    """A job's states as server-sent events until it is over; after a reconnection, from where the client was."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    job = await lectern.desk.aside(lambda: lectern.store.job(tenant, job_id))
    events = JobEvents(lectern.jobs, job, seen=last_event_id, show=job_reply, heartbeat=lectern.settings.heartbeat)
    if events.finished:
        events.close()
        return Response(status_code=204)  # which tells a browser to stop coming back
    return await streamed(events)


@router.delete(
    "/jobs/{job_id}", summary="Cancel a job", response_model=schemas.JobReply, responses=errors(404, 422, 507)
)
async def cancel_job(request: Request, job_id: str) -> Response:
    """Cancel a job: at once while it is queued, after its current slice while it runs; one that is over stays."""
    lectern, tenant = lectern_of(request), tenant_of(request)
    return reply(job_reply(await lectern.desk.aside(lambda: lectern.jobs.cancel(tenant, job_id))))
