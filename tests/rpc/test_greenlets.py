"""Greenlets share a connection: each has its own answer, whoever reads it."""

import json
import random
import subprocess
import sys
from collections import Counter

from relay.local.services import ROOT
from relay.rpc import http2
from relay.rpc.connection import Origin
from tests.fakes.http2_server import Peer, Request, answer, serving

CALLS = 200


def call_at_once(origin: Origin, *, timeout_seconds: float = 10, over: str = "new") -> list[str]:
    """Return what became of each call: its answer, or its error's name."""
    arguments = [str(origin.port), str(CALLS), str(timeout_seconds), over]
    command = [sys.executable, "-m", "tests.rpc.greenlets", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    outcomes: list[str] = json.loads(ended.stdout)
    return outcomes


def all_requests(peer: Peer) -> list[Request]:
    return [peer.request() for _ in range(CALLS)]


def own_answers(requests: list[Request]) -> list[bytes]:
    """Return each request's answer, in a scrambled order."""
    scrambled = random.Random(1).sample(requests, len(requests))
    return [answer(request.stream_id, b"answer to " + request.message) for request in scrambled]


def test_each_call_has_its_own_answer_in_whatever_order_they_come() -> None:
    def script(peer: Peer) -> None:
        wire = b"".join(own_answers(all_requests(peer)))
        for start in range(0, len(wire), 777):  # Frames are cut anywhere.
            peer.send(wire[start : start + 777])
        peer.frame_of(http2.RST_STREAM)

    with serving(script) as origin:
        outcomes = call_at_once(origin)

    assert outcomes == [f"answer to {number}" for number in range(CALLS)]


def test_calls_that_are_never_answered_end_in_time_and_hold_up_nobody() -> None:
    def script(peer: Peer) -> None:
        requests = all_requests(peer)
        answered = [request for request in requests if int(request.message) % 2]
        for frames in own_answers(answered):
            peer.send(frames)
        for _ in range(CALLS - len(answered)):
            peer.frame_of(http2.RST_STREAM)

    with serving(script) as origin:
        outcomes = call_at_once(origin, timeout_seconds=2)

    assert outcomes == [f"answer to {number}" if number % 2 else "TimeoutError" for number in range(CALLS)]


def test_when_the_connection_breaks_every_call_that_waits_is_told() -> None:
    def script(peer: Peer) -> None:
        for frames in own_answers(all_requests(peer))[: CALLS // 2]:
            peer.send(frames)

    with serving(script) as origin:
        outcomes = Counter("answered" if text.startswith("answer") else text for text in call_at_once(origin))

    assert outcomes == {"answered": CALLS // 2, "ConnectionLost": CALLS - CALLS // 2}


def test_when_a_kept_connection_breaks_all_that_wait_go_on_over_one_new_one() -> None:
    def answer_one_and_break(peer: Peer) -> None:
        first = all_requests(peer)[0]
        peer.answer(first, b"answer to " + first.message)

    def answer_the_others(peer: Peer) -> None:
        for request in [peer.request() for _ in range(CALLS - 1)]:
            peer.answer(request, b"answer to " + request.message)
        peer.frame()

    with serving(answer_one_and_break, answer_the_others) as origin:
        outcomes = call_at_once(origin, over="kept")

    assert outcomes == [f"answer to {number}" for number in range(CALLS)]
