"""Sends one signed request to a destination, and says what the answer means for the event."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import SecretStr

from relay.destinations.envelope import signed_headers
from relay.onestock.http import Answer, Exchange, NoAnswer
from relay.registry import Reject, Retry

LONGEST_PAUSE_SECONDS = 3_600  # A wrong Retry-After must not silence us for days.
MAX_SHOWN = 200

_HEADERS = {"Content-Type": "application/json", "User-Agent": "onestock-relay"}
_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where one kind of thing is handed over."""

    name: str
    """What logs and errors call it; the URL may hold a secret."""
    url: str
    secrets: tuple[SecretStr, ...]

    @property
    def host(self) -> str:
        """The host, with its port."""
        return urlsplit(self.url).netloc


class Sender:
    """Sends to destinations; safe for any number of threads."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        budget_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`budget_seconds` bounds one request as a whole; `clock` is that of the exchange's deadline."""
        self._exchange = exchange
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._closed_until: dict[str, float] = {}

    def send(
        self, destination: Destination, body: bytes, *, webhook_id: str, check_claim: Callable[[float], None]
    ) -> int:
        """Return the status with which the destination took it.

        `check_claim` is called right before the request leaves, with the seconds that the request may take; what it
        raises keeps the request back. A worker that is frozen after that sends nothing either: the deadline is over.

        Raises Retry for 429, 5xx, no answer, and what nobody foresaw; Reject for any other 4xx. While a destination's
        Retry-After lasts, nothing is sent to its host: Retry at once.
        """
        self._check_open(destination)
        headers = signed_headers(body, webhook_id=webhook_id, secrets=destination.secrets, timestamp=self._now())
        deadline = self._clock() + self._budget_seconds
        check_claim(self._budget_seconds)
        try:
            answer = self._exchange(
                "POST", destination.url, headers={**_HEADERS, **headers}, body=body, deadline=deadline
            )
        except NoAnswer as error:
            raise Retry(f"{_shown(destination)} gave no answer: {error}") from error
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer.status
        text = f"{_shown(destination)} answered {answer.status}{_text_of(answer)}"
        if (
            HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
            and answer.status not in _TRANSIENT
        ):
            raise Reject(text)
        self._heed_retry_after(destination, answer)
        raise Retry(text)

    def _check_open(self, destination: Destination) -> None:
        """Raise Retry while the destination's host has asked not to be called."""
        with self._lock:
            left = self._closed_until.get(destination.host, 0.0) - self._clock()
        if left > 0:
            raise Retry(f"{_shown(destination)} asked for a pause, of which {left:.0f} s are left")

    def _heed_retry_after(self, destination: Destination, answer: Answer) -> None:
        seconds = answer.retry_after_seconds(self._now().timestamp())
        if seconds:
            with self._lock:
                self._closed_until[destination.host] = self._clock() + min(seconds, LONGEST_PAUSE_SECONDS)


def _shown(destination: Destination) -> str:
    return f"the {destination.name} destination {destination.host}"


def _text_of(answer: Answer) -> str:
    text = " ".join(answer.body[: 4 * MAX_SHOWN].decode(errors="replace").split())[:MAX_SHOWN]
    return f": {text}" if text and text.isprintable() else ""
