"""A OneStock for the local run and the tests: it signs, sends, waits, retries, pauses and disables.

Behaviour after "Webhook configuration" (OneStock): one message at a time for each webhook; only a 202 within 15 s
is an acknowledgement; retries after 30, 60, 120, 240, 480 and 840 s; an alert after the third failed attempt; the
webhook is disabled when the last retry fails, and then stores nothing more.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import requests

from relay import signature
from relay.signature import SignedString

RETRY_INTERVALS_SECONDS = (30, 60, 120, 240, 480, 840)
ANSWER_SECONDS = 15
ALERT_AFTER_ATTEMPTS = 3
ACKNOWLEDGED = 202


class Status(StrEnum):
    """The status of a webhook at OneStock."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to deliver a message: its status is None where no answer came."""

    event_type: str
    body: bytes
    number: int
    status: int | None
    answer: str
    latency_seconds: float
    webhook_status: Status

    @property
    def is_acknowledged(self) -> bool:
        """Whether OneStock counts the message as delivered."""
        return self.status == ACKNOWLEDGED


def send(
    session: requests.Session,
    url: str,
    body: bytes,
    *,
    keys: tuple[bytes, ...],
    signed_string: SignedString = SignedString.TIMESTAMP_BODY,
) -> requests.Response:
    """Send one signed message and return the answer. Raises RequestException if none comes in 15 s."""
    header = signature.sign(body, keys=keys, timestamp=int(time.time()), signed_string=signed_string)
    headers = {signature.HEADER: header, "Content-Type": "application/json"}
    return session.post(url, data=body, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False)


class Webhook:
    """One webhook: a queue for one event type, and the thread that sends its messages one after another."""

    def __init__(
        self,
        event_type: str,
        url: str,
        *,
        keys: tuple[bytes, ...],
        report: Callable[[Attempt], None],
        time_scale: float = 1.0,
    ) -> None:
        """`time_scale` shortens the retry intervals; `report` is called after each attempt, from the thread."""
        self.event_type = event_type
        self.status = Status.ENABLED
        self.alerts = 0
        self.dropped = 0
        self._url = url
        self._keys = keys
        self._report = report
        self._time_scale = time_scale
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name=f"webhook {event_type}", daemon=True)
        self._thread.start()

    def put(self, body: bytes) -> None:
        """Queue a message; a disabled webhook drops it."""
        with self._changed:
            if self.status is Status.DISABLED:
                self.dropped += 1
                return
            self._queue.append(body)
            self._changed.notify()

    @property
    def is_idle(self) -> bool:
        """Whether no message waits or is under way."""
        with self._changed:
            return not self._queue

    def close(self) -> None:
        """Stop sending; an attempt under way ends first."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def _deliver(self) -> None:
        with requests.Session() as session:
            while (body := self._next()) is not None:
                is_delivered = self._deliver_one(session, body)
                with self._changed:
                    if is_delivered or self._closing.is_set():
                        self._queue.popleft()
                        continue
                    self.status = Status.DISABLED
                    self.dropped += len(self._queue)
                    self._queue.clear()

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing.is_set())
            return None if self._closing.is_set() else self._queue[0]

    def _deliver_one(self, session: requests.Session, body: bytes) -> bool:
        for number, pause_seconds in enumerate((0, *RETRY_INTERVALS_SECONDS), start=1):
            if self._closing.wait(pause_seconds * self._time_scale):
                return False
            if self._attempt(session, body, number):
                self.status = Status.ENABLED
                return True
            self.status = Status.PAUSED
            self.alerts += number == ALERT_AFTER_ATTEMPTS
        return False

    def _attempt(self, session: requests.Session, body: bytes, number: int) -> bool:
        started = time.monotonic()
        status: int | None = None
        try:
            response = send(session, self._url, body, keys=self._keys)
            status, answer = response.status_code, response.text
        except requests.RequestException as error:
            answer = type(error).__name__
        attempt = Attempt(
            event_type=self.event_type,
            body=body,
            number=number,
            status=status,
            answer=answer,
            latency_seconds=time.monotonic() - started,
            webhook_status=self.status,
        )
        self._report(attempt)
        return attempt.is_acknowledged
