"""Many greenlets on one connection: `python -m tests.rpc.greenlets PORT CALLS TIMEOUT KEPT` prints each call's end.

KEPT is `kept` if the connection is there before the calls.

A process of its own, since gevent replaces Python's sockets and locks.
"""

# ruff: noqa: E402 - gevent first
from gevent import monkey

monkey.patch_all()

import json
import sys
from collections.abc import Sequence

import gevent

from relay.rpc.channel import Channel, header_block
from relay.rpc.connection import Origin
from relay.rpc.status import RpcError

HEADERS = header_block([(":method", "POST"), (":scheme", "http"), (":path", "/test.Shop/Buy"), (":authority", "shop")])


def main(arguments: Sequence[str]) -> None:
    """Make all calls at once; print a JSON list of answers and names of errors, in the order of the calls."""
    port, calls, timeout_seconds = int(arguments[0]), int(arguments[1]), float(arguments[2])
    channel = Channel(Origin("127.0.0.1", port), calls_per_connection=1_000)
    if arguments[3] == "kept":
        channel.open_one(timeout_seconds=timeout_seconds)

    def call(number: int) -> str:
        try:
            return channel.call(HEADERS, str(number).encode(), timeout_seconds=timeout_seconds).decode()
        except (OSError, RpcError) as error:
            return type(error).__name__

    greenlets = [gevent.spawn(call, number) for number in range(calls)]
    gevent.joinall(greenlets)
    sys.stdout.write(json.dumps([greenlet.value for greenlet in greenlets]))


if __name__ == "__main__":
    main(sys.argv[1:])
