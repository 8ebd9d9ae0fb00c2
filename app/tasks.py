"""Questions and summaries as work that a request begins and a job may finish: in and out as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from app import telemetry
from app.answering import Answering
from app.finding import shown
from app.jobs import Attached, Context, Handler
from app.schemas import AskRequest, SummarizeRequest
from app.streams import Channel
from app.summarizing import Summarizing
from retriever.store import Job
from retriever.types import Hit


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
        reply = self._summarizing.summarize(tenant, request, progress=attached.progress, job=attached.job_id)
        return reply.model_copy(update={"request_id": telemetry.request_id.get()}).model_dump(mode="json")

    def stream_answers(self, tenant: str, request: AskRequest, channel: Channel) -> None:
        """`hits` and `answer` for each question in turn, then `done`."""
        identifier = {"request_id": telemetry.request_id.get()}

        def found(question: int, hits: Sequence[Hit]) -> None:
            channel.tell("hits", {"question": question, "hits": [shown(hit).model_dump(mode="json") for hit in hits]})

        for answer in self._answering.each(tenant, request, before=lambda _: channel.check(), found=found):
            channel.tell("answer", answer.model_copy(update=identifier).model_dump(mode="json"))
        channel.tell("done", identifier)

    def stream_summary(self, tenant: str, request: SummarizeRequest, channel: Channel) -> None:
        """`progress` while it reads, each `sentence`, the whole `summary`, then `done`."""
        channel.check()
        identifier = {"request_id": telemetry.request_id.get()}
        reply = self._summarizing.summarize(tenant, request, progress=channel.progress)
        for sentence in reply.sentences:
            channel.tell("sentence", sentence.model_dump(mode="json"))
        channel.tell("summary", reply.model_copy(update=identifier).model_dump(mode="json"))
        channel.tell("done", identifier)

    def _ask_job(self, job: Job, context: Context) -> Mapping[str, Any]:
        return self.ask(job.tenant, AskRequest.model_validate(job.payload), Attached(context))

    def _summarize_job(self, job: Job, context: Context) -> Mapping[str, Any]:
        return self.summarize(job.tenant, SummarizeRequest.model_validate(job.payload), Attached(context))
