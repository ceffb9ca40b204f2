"""An assistant: the official MCP client, which starts `relay mcp` as a child and speaks to it over standard input."""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp_types import TextContent, Tool

from relay.local.services import ROOT


@dataclass(frozen=True)
class Answer:
    """What a tool answered."""

    is_error: bool
    text: str

    @property
    def content(self) -> dict[str, Any]:
        """Return the JSON. Fails with the text if it is an error."""
        assert not self.is_error, self.text
        content: dict[str, Any] = json.loads(self.text)
        return content


@dataclass(frozen=True)
class Assistant:
    """A session with the server; `log` is what it has written to standard error."""

    session: ClientSession
    portal: BlockingPortal
    log: Path

    def ask(self, tool: str, /, **arguments: Any) -> Answer:
        """Call a tool."""
        result = self.portal.call(self.session.call_tool, tool, arguments)
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        return Answer(is_error=bool(result.is_error), text="\n".join(texts))

    def tools(self) -> list[Tool]:
        """Return the tools that the server lists."""
        return self.portal.call(self.session.list_tools).tools


@contextmanager
def assistant(*options: str, log: Path) -> Iterator[Assistant]:
    """Start `relay mcp` with these options, as an assistant does: with little of the environment."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "relay", "mcp", *options],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        cwd=log.parent,
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_session(command, log)) as session:
        yield Assistant(session, portal, log)


@asynccontextmanager
async def _session(command: StdioServerParameters, log: Path) -> AsyncIterator[ClientSession]:
    with log.open("w") as errors:
        async with stdio_client(command, errlog=errors) as (read, write), ClientSession(read, write) as session:
            with anyio.fail_after(60):
                await session.initialize()
            yield session
