"""`lectern mcp`: the tools for a program that starts this command and speaks MCP over its standard input and output."""

import argparse
from typing import TYPE_CHECKING, Any

from app.cli.support import DONE, async_client_of, service_of, settings_of

if TYPE_CHECKING:
    from app.local import Make
    from app.tools.workers import Worker
    from lectern import AsyncClient


def add_command(command: Any, *parents: argparse.ArgumentParser) -> None:
    """Add it to the parser of `lectern`; `command` is how it adds one, a parent brings `--data`, `--url`, `--key`."""
    command("mcp", _mcp, "offer tools to a program that speaks MCP, over standard input and output", *parents)


def _mcp(arguments: argparse.Namespace, make: "Make | None") -> int:
    import asyncio

    from app import telemetry

    telemetry.configure("warning")  # to standard error; standard output is the protocol's
    url = service_of(arguments)
    if url is not None:
        asyncio.run(_remote(async_client_of(arguments, url)))
        return DONE
    from app import local
    from app.security import ANYBODY
    from app.tools.own import OwnWorker
    from app.wiring import build

    with local.opened(settings_of(arguments), make=make or build) as lectern:
        asyncio.run(_serve(OwnWorker(lectern, ANYBODY)))
    return DONE


async def _remote(client: "AsyncClient") -> None:
    from app.tools.remote import RemoteWorker

    async with client:
        await _serve(RemoteWorker(client))


async def _serve(worker: "Worker") -> None:
    """Serve until the program at the other end closes standard input."""
    from mcp.server.stdio import stdio_server

    from app.tools.server import make_server

    server = make_server(lambda _: worker)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
