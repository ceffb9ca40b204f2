"""A 202 is a promise, and every other answer is one too."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from relay.receiver.signature import sign
from relay.settings.receiver import SignedString
from tests.support.parts import HASH_KEY, OneStock, PubSub, Service, data_of, order_event
from tests.support.waiting import wait_until

HOSTILE_BODIES = {
    "not JSON": (b"this is not JSON", "not JSON"),
    "empty": (b"", "empty"),
    "5 MB of digits": (b"1" * 5_000_000, "number out of range"),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "recursion limit"),
    "NaN": (b'{"order_id": "A", "new_state": NaN}', "not JSON"),
    "invalid UTF-8": (b'{"order_id": "\xff\xfe"}', "unicode"),
}


def test_a_202_names_the_event_and_its_message(onestock: OneStock, worker: Service) -> None:
    response = onestock.send(order_event("A-1"))

    assert response.status_code == 202
    assert response.json()["message_id"]
    wait_until(lambda: response.json()["event_id"] in worker.handled())


def test_receiver_and_worker_log_one_event_under_one_trace(onestock: OneStock, worker: Service) -> None:
    event_id = onestock.send(order_event("A-1")).json()["event_id"]
    wait_until(lambda: event_id in worker.handled())

    of_event = [
        entry
        for entry in onestock.receiver.lines() + worker.lines()
        if entry["logging.googleapis.com/labels"].get("event_id") == event_id and "message" in entry
    ]

    assert len(of_event) == 4
    assert len({entry["logging.googleapis.com/trace"] for entry in of_event}) == 1


def test_a_repeated_event_is_handled_once(onestock: OneStock, worker: Service) -> None:
    event_id = onestock.send(order_event("A-1")).json()["event_id"]
    onestock.send(order_event("A-1"))

    wait_until(lambda: len(worker.canonical("delivery")) == 2)

    assert sorted(entry["outcome"] for entry in worker.canonical("delivery")) == ["duplicate", "handled"]
    assert worker.handled() == {event_id}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_a_signed_body_that_nobody_can_read_becomes_one_dead_letter(
    name: str, onestock: OneStock, worker: Service, pubsub: PubSub
) -> None:
    body, reason = HOSTILE_BODIES[name]

    response = onestock.send(body)
    wait_until(lambda: worker.canonical("delivery"))
    dead_letters = wait_until(pubsub.dead_letters)

    assert response.status_code == 202
    assert [data_of(message) for message in dead_letters] == [body]
    assert reason in dead_letters[0]["attributes"]["dead_letter_reason"]


def test_a_body_that_is_too_large_is_refused_also_in_chunks(onestock: OneStock) -> None:
    chunks = iter([b"x" * 1_000_000] * 21)

    response = requests.post(onestock.url("order_state_changed"), data=chunks, timeout=15)

    assert response.status_code == 413


def test_what_only_fits_in_gzip_arrives_whole(onestock: OneStock, worker: Service) -> None:
    body = json.dumps({"order_id": "A-1", "new_state": "x", "padding": "y" * 11_000_000}).encode()

    response = onestock.send(body)

    assert response.status_code == 202
    wait_until(lambda: response.json()["event_id"] in worker.handled())


def test_other_paths_and_methods_are_404_and_405(receiver: Service) -> None:
    base = f"http://127.0.0.1:{receiver.port}"

    answers = [
        requests.get(f"{base}/elsewhere", timeout=5).status_code,
        requests.get(f"{base}/webhooks/onestock/order_state_changed", timeout=5).status_code,
        requests.get(f"{base}/health", timeout=5).status_code,
    ]

    assert answers == [404, 405, 200]


def test_a_frozen_pubsub_is_a_503_in_time_and_loses_nothing(
    onestock: OneStock, worker: Service, pubsub: PubSub
) -> None:
    stop = threading.Event()
    answers: list[tuple[int, float, str]] = []

    def load(thread: int) -> None:
        number = 0
        while not stop.is_set():
            started = time.monotonic()
            response = onestock.send(order_event(f"F-{thread}-{number}"))
            answers.append((response.status_code, time.monotonic() - started, response.json().get("event_id", "")))
            number += 1

    with ThreadPoolExecutor(8) as pool:
        threads = [pool.submit(load, thread) for thread in range(8)]
        wait_until(lambda: len(answers) > 50, within=30)
        pubsub.emulator.freeze()
        try:
            wait_until(lambda: sum(status == 503 for status, _, _ in answers) >= 8, within=25)
        finally:
            pubsub.emulator.thaw()
        thawed_at = len(answers)
        wait_until(lambda: sum(status == 202 for status, _, _ in answers[thawed_at:]) > 50, within=30)
        stop.set()
        for thread in threads:
            thread.result()

    accepted = {event_id for status, _, event_id in answers if status == 202}
    assert {status for status, _, _ in answers} == {202, 503}
    assert max(seconds for _, seconds, _ in answers) < 12
    wait_until(lambda: accepted <= worker.handled(), within=60)


def test_sigterm_answers_every_accepted_request_and_ends(receiver: Service, pubsub: PubSub) -> None:
    pubsub.emulator.freeze()
    try:
        connections = [_send_without_reading(receiver.port, order_event(f"T-{number}")) for number in range(20)]
        # Connections are accepted in their order: once this one is answered, the others are in the receiver's hands.
        requests.get(f"http://127.0.0.1:{receiver.port}/health", timeout=5)
        receiver.child.signal(signal.SIGTERM)
        started = time.monotonic()
    finally:
        pubsub.emulator.thaw()
    answers = [_status_of(connection) for connection in connections]

    assert answers == [202] * 20
    assert receiver.child.wait(10) == 0
    assert time.monotonic() - started < 10


def test_sigterm_under_load_leaves_no_published_event_unanswered(onestock: OneStock, receiver: Service) -> None:
    answered: list[str] = []

    def load(thread: int) -> None:
        for number in range(10_000):
            try:
                response = onestock.send(order_event(f"L-{thread}-{number}"))
            except requests.ConnectionError:
                return
            answered.append(response.json()["event_id"])

    with ThreadPoolExecutor(16) as pool:
        for thread in range(16):
            pool.submit(load, thread)
        wait_until(lambda: len(answered) > 300, within=30)
        receiver.child.signal(signal.SIGTERM)
        status = receiver.child.wait(10)

    published = [entry["event_id"] for entry in receiver.canonical("webhook") if entry["status"] == 202]
    assert status == 0
    assert sorted(answered) == sorted(published)


def _send_without_reading(port: int, body: bytes) -> socket.socket:
    header = sign(body, keys=[HASH_KEY], timestamp=int(time.time()), signed_string=SignedString.TIMESTAMP_BODY)
    connection = socket.create_connection(("127.0.0.1", port), timeout=15)
    head = f"POST /webhooks/onestock/x HTTP/1.1\r\nHost: x\r\nOnestock-Signature: {header}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    return connection


def _status_of(connection: socket.socket) -> int:
    with connection, connection.makefile("rb") as answer:
        return int(answer.readline().split()[1])
