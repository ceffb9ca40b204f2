"""One webhook at the simulated OneStock: its queue, its retries, its status, and the alerts."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import requests

from relay.local.simulator.times import SimulatedTime
from relay.receiver import signature
from relay.settings.receiver import SignedString

ACKNOWLEDGED = 202
LIVE_KEYS = 3
_WEEK_SECONDS = 7 * 86_400


class Status(StrEnum):
    """The status of a webhook at OneStock."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


class AlertKind(StrEnum):
    """The reason of an e-mail or SMS."""

    ON_FAILURE = "on_failure"
    ON_FAILURE_RECOVERED = "on_failure_recovered"
    ON_DEACTIVATION = "on_deactivation"


@dataclass(frozen=True, slots=True)
class Alert:
    """One e-mail or SMS that OneStock sends to people."""

    kind: AlertKind
    webhook_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How OneStock delivers: the site's configuration, and an answer to each open question. Seconds are simulated."""

    retry_intervals_seconds: Sequence[float] = (30, 60, 120, 240, 480, 840)
    alert_after_attempts: int = 3
    kept_seconds: float = _WEEK_SECONDS
    answer_seconds: float = 15
    """How long an answer may take, in real seconds: the receiver is a real one."""
    keeps_queue_when_disabled: bool = False
    """Open: whether the messages that wait when a webhook is disabled are sent once it is enabled again, or lost."""
    signs_retries_anew: bool = True
    """Open: whether a repeat has a timestamp of its own, or that of the first attempt."""
    separator: str = ","
    """OneStock's documentation has both "," and "."."""
    signed_string: SignedString = SignedString.TIMESTAMP_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to deliver a message; `status` is None if no answer came."""

    webhook_id: str
    event_type: str
    body: bytes
    number: int
    status: int | None
    answer: str
    latency_seconds: float
    webhook_status: Status
    """The webhook's status after this attempt."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether OneStock counts the message as delivered."""
        return self.status == ACKNOWLEDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMessage:
    """A message that waits in a webhook's queue."""

    event_type: str
    body: bytes
    stored_at: float
    signed_at: int | None = None


def send(
    session: requests.Session,
    url: str,
    body: bytes,
    *,
    keys: Sequence[bytes],
    signed_string: SignedString = SignedString.TIMESTAMP_BODY,
    separator: str = ",",
    signed_at: int | None = None,
    answer_seconds: float = 15,
) -> requests.Response:
    """Send one signed message and return the answer. Raises RequestException if none comes in time."""
    timestamp = int(time.time()) if signed_at is None else signed_at
    header = signature.sign(body, keys=keys, timestamp=timestamp, signed_string=signed_string, separator=separator)
    headers = {signature.HEADER: header, "Content-Type": "application/json"}
    return session.post(url, data=body, headers=headers, timeout=answer_seconds, allow_redirects=False)


class WebhookQueue:
    """One webhook: a queue, and the thread that sends its messages one after another."""

    def __init__(
        self,
        *,
        id_: str,
        url: str,
        event_types: Sequence[str],
        keys: Sequence[bytes],
        status: Status = Status.ENABLED,
        schedule: Schedule = Schedule(),
        time: SimulatedTime,
        report: Callable[[Attempt], None] = lambda _: None,
    ) -> None:
        """`keys` sign every message, the newest first; `report` is called after each attempt, from the thread."""
        self.id = id_
        self.url = url
        self.event_types = tuple(event_types)
        self.keys = tuple(keys)[:LIVE_KEYS]
        self.alerts: list[Alert] = []
        self.lost: list[QueuedMessage] = []
        """The messages that are never sent: they came while the webhook was disabled, or waited for over a week."""
        self._status = status
        self._is_set_by_hand = status is not Status.ENABLED
        self._failures = 0
        self._due = 0.0
        self._schedule = schedule
        self._time = time
        self._report = report
        self._queue: deque[QueuedMessage] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._is_closing = False
        self._thread = threading.Thread(target=self._deliver, name=f"webhook {id_}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """`paused` also while a message is being retried."""
        with self._changed:
            return self._status

    @property
    def waiting(self) -> int:
        """How many messages wait or are being sent."""
        with self._changed:
            self._forget_what_is_too_old()
            return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether no message waits or is being sent."""
        return self.waiting == 0

    def put(self, event_type: str, body: bytes) -> None:
        """Queue a message; a disabled webhook loses it."""
        with self._changed:
            message = QueuedMessage(event_type=event_type, body=body, stored_at=self._time.now())
            if self._status is Status.DISABLED:
                self.lost.append(message)
                return
            self._queue.append(message)
            self._changed.notify()

    def set_status(self, status: Status) -> None:
        """Set the status, as a person or a call does. Once enabled, the queue is sent at once, as by first attempts."""
        with self._changed:
            self._status = status
            self._is_set_by_hand = status is not Status.ENABLED
            self._failures, self._due = 0, 0.0
            if status is Status.DISABLED:
                self._lose_queue()
            self._changed.notify()

    def rotate_key(self, key: bytes) -> None:
        """Sign with a new key too: it becomes h0, and the key that was h2 is dropped."""
        with self._changed:
            self.keys = (key, *self.keys)[:LIVE_KEYS]

    def close(self) -> None:
        """Stop sending, after the attempt that is being made."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _deliver(self) -> None:
        with requests.Session() as session:
            while (message := self._next()) is not None:
                self._report(self._attempt(session, message))

    def _next(self) -> QueuedMessage | None:
        """Return the first message of the queue when it is due; None when the webhook is closed."""
        with self._changed:
            while not self._is_closing:
                self._forget_what_is_too_old()
                may_send = self._status is not Status.DISABLED and not self._is_set_by_hand
                left = self._due - time.monotonic()
                if self._queue and may_send and left <= 0:
                    return self._queue[0]
                self._changed.wait(left if self._queue and may_send else None)
            return None

    def _attempt(self, session: requests.Session, message: QueuedMessage) -> Attempt:
        started = time.monotonic()
        signed_at = int(time.time()) if message.signed_at is None else message.signed_at
        status, answer = self._answer(session, message.body, signed_at)
        latency_seconds = time.monotonic() - started
        with self._changed:
            number = self._failures + 1
            if self._queue and self._queue[0] is message:
                self._settle(message, is_acknowledged=status == ACKNOWLEDGED, signed_at=signed_at)
            return Attempt(
                webhook_id=self.id,
                event_type=message.event_type,
                body=message.body,
                number=number,
                status=status,
                answer=answer,
                latency_seconds=latency_seconds,
                webhook_status=self._status,
            )

    def _answer(self, session: requests.Session, body: bytes, signed_at: int) -> tuple[int | None, str]:
        """Return status and text of the receiver's answer; None and the error's name if there is none."""
        try:
            response = send(
                session,
                self.url,
                body,
                keys=self.keys,
                signed_string=self._schedule.signed_string,
                separator=self._schedule.separator,
                signed_at=signed_at,
                answer_seconds=self._schedule.answer_seconds,
            )
        except requests.RequestException as error:
            return None, type(error).__name__
        return response.status_code, response.text

    def _settle(self, message: QueuedMessage, *, is_acknowledged: bool, signed_at: int) -> None:
        schedule = self._schedule
        if is_acknowledged:
            self._queue.popleft()
            if self._failures >= schedule.alert_after_attempts:
                self._alert(AlertKind.ON_FAILURE_RECOVERED)
            self._failures = 0
            self._status = self._status if self._is_set_by_hand else Status.ENABLED
            return
        self._failures += 1
        if not schedule.signs_retries_anew:
            self._queue[0] = replace(message, signed_at=signed_at)
        if self._failures == schedule.alert_after_attempts:
            self._alert(AlertKind.ON_FAILURE)
        if self._failures > len(schedule.retry_intervals_seconds):
            self._status, self._is_set_by_hand, self._failures = Status.DISABLED, True, 0
            self._lose_queue()
            self._alert(AlertKind.ON_DEACTIVATION)
            return
        self._status = self._status if self._is_set_by_hand else Status.PAUSED
        interval_seconds = schedule.retry_intervals_seconds[self._failures - 1]
        self._due = time.monotonic() + self._time.real_seconds(interval_seconds)

    def _lose_queue(self) -> None:
        if not self._schedule.keeps_queue_when_disabled:
            self.lost.extend(self._queue)
            self._queue.clear()

    def _forget_what_is_too_old(self) -> None:
        while self._queue and self._queue[0].stored_at + self._schedule.kept_seconds < self._time.now():
            self.lost.append(self._queue.popleft())
            self._failures = 0

    def _alert(self, kind: AlertKind) -> None:
        self.alerts.append(Alert(kind, self.id))
