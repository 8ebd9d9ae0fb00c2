"""Questions and summaries as work that a request begins and a job may finish: in and out as JSON."""

from collections.abc import Mapping
from typing import Any

from app import telemetry
from app.answering import Answering
from app.jobs import Attached, Context, Handler
from app.schemas import AskRequest, SummarizeRequest
from app.summarizing import Summarizing
from retriever.store import Job


class Tasks:
    """The work behind `/ask` and `/summarize`, the same for a request and for a job."""

    def __init__(self, answering: Answering, summarizing: Summarizing) -> None:
        self._answering = answering
        self._summarizing = summarizing

    def handlers(self) -> dict[str, Handler]:
        """Kind of job -> handler, for jobs that a restart cut off from the request that began them."""
        return {"ask": self._ask_job, "summarize": self._summarize_job}

    def ask(self, tenant: str, request: AskRequest, attached: Attached) -> Mapping[str, Any]:
        """The reply to one question or to a list."""
        identifier = {"request_id": telemetry.request_id.get()}
        if request.question is not None:
            return self._answering.ask(tenant, request).model_copy(update=identifier).model_dump(mode="json")
        many = self._answering.ask_many(tenant, request, progress=attached.progress)
        answers = [answer.model_copy(update=identifier) for answer in many.answers]
        return many.model_copy(update={"answers": answers, **identifier}).model_dump(mode="json")

    def summarize(self, tenant: str, request: SummarizeRequest, attached: Attached) -> Mapping[str, Any]:
        """The reply to a request for a summary."""
        reply = self._summarizing.summarize(tenant, request, progress=attached.progress)
        return reply.model_copy(update={"request_id": telemetry.request_id.get()}).model_dump(mode="json")

    def _ask_job(self, job: Job, context: Context) -> Mapping[str, Any]:
        return self.ask(job.tenant, AskRequest.model_validate(job.payload), Attached(context))

    def _summarize_job(self, job: Job, context: Context) -> Mapping[str, Any]:
        return self.summarize(job.tenant, SummarizeRequest.model_validate(job.payload), Attached(context))
