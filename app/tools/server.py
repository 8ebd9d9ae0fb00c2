"""The tools as an MCP server, whoever does their work: listed with schemas, called, and failing in one sentence."""

import asyncio
import importlib.metadata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import BaseModel

from app import problems, schemas, telemetry
from app.bodies import invalid, scrubbed, validated
from app.errors import Cancelled
from app.tools import requests, texts
from app.tools.workers import Reply, Tell, Worker
from lectern import LecternError

INSTRUCTIONS = (
    "Lectern answers questions of documents and summarizes them. Answers and summaries are the documents' own words, "
    "and each citation names the document, its version and the characters where they stand. Where the documents do not "
    "say, it says so: do not answer from elsewhere then. Ask one question at a time, in full."
)
Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool: what it takes and gives, and its reply as text. `writes`: it changes what is kept."""

    title: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    show: Callable[[Mapping[str, Any]], str]
    writes: bool = False


TOOLS: Mapping[str, Tool] = {
    "ask": Tool(
        title="Ask a question",
        description="Answer a question from the documents, with the places where the answer stands; `answer` is null "
        "where they do not say. About one `text`, some `documents` (ids) or a `collection`; else the default one.",
        takes=requests.Ask,
        gives=schemas.AskReply,
        show=texts.answer,
    ),
    "summarize": Tool(
        title="Summarize",
        description="Summarize a `text`, a `document`, several `documents` together or a `collection` by their own "
        "sentences, each with its place. All of it is read, however long.",
        takes=requests.Summarize,
        gives=schemas.SummarizeReply,
        show=texts.summary,
    ),
    "search": Tool(
        title="Search passages",
        description="Find the passages nearest to a query, best first: to read around an answer, or where `ask` finds "
        "none.",
        takes=requests.Search,
        gives=schemas.SearchReply,
        show=texts.hits,
    ),
    "add_document": Tool(
        title="Add a document",
        description="Keep a text as a document that can be asked, summarized and searched. The same text in the same "
        "collection is one document.",
        takes=requests.AddDocument,
        gives=schemas.DocumentReply,
        show=texts.document,
        writes=True,
    ),
    "list_documents": Tool(
        title="List documents",
        description="The documents that there are, oldest first, with their ids, titles and metadata.",
        takes=requests.ListDocuments,
        gives=schemas.DocumentsReply,
        show=texts.documents,
    ),
}


def make_server(worker_of: Callable[[Context], Worker]) -> Server[Any]:
    """The MCP server of the tools; `worker_of` says who works for a request."""

    async def on_list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[described(name, tool) for name, tool in TOOLS.items()])

    async def on_call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            tool, arguments = _call(params)
            work = getattr(worker_of(context), params.name)
            reply = await _with_progress(context, lambda tell: work(arguments, tell))
        except Exception as error:  # noqa: BLE001 - whatever it is, the model gets a sentence and the log its place
            return _failed(error)
        return types.CallToolResult(content=[_text(tool.show(reply))], structured_content=reply)

    return Server(
        "lectern",
        version=importlib.metadata.version("lectern"),
        title="Lectern",
        instructions=INSTRUCTIONS,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


def described(name: str, tool: Tool) -> types.Tool:
    """A tool as clients list it."""
    return types.Tool(
        name=name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.takes.model_json_schema(),
        output_schema=tool.gives.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(
            read_only_hint=not tool.writes, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def _call(params: types.CallToolRequestParams) -> tuple[Tool, BaseModel]:
    """The tool that is called, and its arguments. Raises Invalid."""
    tool = TOOLS.get(params.name)
    if tool is None:
        raise invalid([{"loc": ["name"], "msg": f"there is no such tool: there are {', '.join(TOOLS)}"}])
    return tool, validated(tool.takes, scrubbed(params.arguments or {}))


async def _with_progress(context: Context, work: Callable[[Tell], Awaitable[Reply]]) -> Reply:
    """The result of work, its progress sent on as it grows; once the client has cancelled, the work stops."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[tuple[int, int | None, str | None] | None] = asyncio.Queue()
    over = False

    def tell(done: int, total: int | None, unit: str | None) -> None:
        if over:
            raise Cancelled("the client is gone")
        loop.call_soon_threadsafe(told.put_nowait, (done, total, unit))

    async def forward() -> None:
        last = 0
        while (progress := await told.get()) is not None:
            done, total, unit = progress
            if done > last:  # as the protocol wants it
                last = done
                await context.session.report_progress(done, total, unit)

    forwarding = asyncio.create_task(forward())
    try:
        reply = await work(tell)
        loop.call_soon(told.put_nowait, None)  # after all that was told before
        await forwarding
        return reply
    finally:
        over = True
        forwarding.cancel()


def _failed(error: Exception) -> types.CallToolResult:
    """An error as the result of a tool: one sentence with the code, and nothing of where it happened."""
    if isinstance(error, LecternError):
        told = str(error)
    else:
        problem = problems.problem_of(error, request_id=telemetry.request_id.get())
        if problem["status"] >= 500:
            telemetry.log("tool failed", level=40, error=error)
        named = f"{problem['code']}, request {problem['request_id']}" if problem["request_id"] else problem["code"]
        told = f"{problem['detail']} ({named})"
    return types.CallToolResult(content=[_text(" ".join(told.split()))], is_error=True)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)
