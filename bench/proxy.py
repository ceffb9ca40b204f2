"""A TCP proxy that adds a delay, as a network does: `python -m bench.proxy PORT HOST:PORT DELAY_MS`.

It adds half of the delay in each direction. Each piece of data waits for its own time, so that the many publishes on
one HTTP/2 connection are all delayed at once, and none waits for another.
"""

import asyncio
import selectors
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.local.processes import Child, free_port, is_taken
from relay.local.services import ROOT

START_SECONDS = 10
PIECE_BYTES = 65_536


@contextmanager
def delaying(target: str, *, delay_ms: int, folder: Path) -> Iterator[str]:
    """Run the proxy in a process of its own, and give its host:port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.proxy", str(port), target, str(delay_ms)]
    with Child("The proxy", command, environ={"PYTHONPATH": str(ROOT)}, output=folder / "proxy.log") as child:
        child.wait_until(lambda: is_taken(port), within_seconds=START_SECONDS, what="it listened")
        yield f"127.0.0.1:{port}"


async def serve(port: int, target: str, delay_seconds: float) -> None:
    """Join each connection to `port` with a new one to `target`; `delay_seconds` is for one direction."""
    host, _, target_port = target.partition(":")

    async def join(reader: StreamReader, writer: StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection(host, int(target_port))
        async with asyncio.TaskGroup() as both:
            both.create_task(_hand_on(reader, target_writer, delay_seconds))
            both.create_task(_hand_on(target_reader, writer, delay_seconds))

    async with await asyncio.start_server(join, "127.0.0.1", port) as server:
        await server.serve_forever()


async def _hand_on(reader: StreamReader, writer: StreamWriter, delay_seconds: float) -> None:
    """Write each piece when its time has come, and close once the sender has."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    now = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while (piece := await waiting.get())[1]:
            await asyncio.sleep(piece[0] - now())
            writer.write(piece[1])
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while data := await reader.read(PIECE_BYTES):
            waiting.put_nowait((now() + delay_seconds, data))
        waiting.put_nowait((now(), b""))


def main(port: str, target: str, delay_ms: str) -> None:
    """Serve until the process is ended."""
    # epoll waits for whole milliseconds, select for microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(int(port), target, float(delay_ms) / 2_000))


if __name__ == "__main__":
    main(*sys.argv[1:])
