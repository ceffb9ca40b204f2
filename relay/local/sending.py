"""Sends one signed webhook to any receiver, as OneStock does."""

import time
from dataclasses import dataclass
from urllib.parse import quote

import requests

from relay.receiver.signature import HEADER, sign
from relay.settings.receiver import SignedString

ANSWER_SECONDS = 15  # As long as OneStock waits ("Webhook configuration").


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverAnswer:
    """A receiver's answer to one webhook."""

    status: int | None
    """None if no answer came."""
    latency_ms: float
    text: str

    @property
    def shown(self) -> str:
        """One line for a person."""
        return f"{self.status or 'no answer'} in {self.latency_ms:.1f} ms: {self.text}"


def webhook_url(receiver_url: str, event_type: str) -> str:
    """Return where a receiver takes the webhooks of an event type; an empty one leaves it to the body."""
    return f"{receiver_url.rstrip('/')}/webhooks/onestock/{quote(event_type, safe='')}".rstrip("/")


def post(url: str, body: bytes, *, keys: tuple[bytes, ...], signed_string: SignedString) -> ReceiverAnswer:
    """Send one signed webhook. If the receiver does not answer, the answer has no status."""
    headers = {
        HEADER: sign(body, keys=keys, timestamp=int(time.time()), signed_string=signed_string),
        "Content-Type": "application/json",
    }
    started = time.monotonic()
    try:
        response = requests.post(url, data=body, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False)
        status, text = response.status_code, response.text.strip()[:500]
    except requests.RequestException as error:
        status, text = None, _text_of(error)
    return ReceiverAnswer(status=status, latency_ms=round((time.monotonic() - started) * 1000, 1), text=text)


def _text_of(error: requests.RequestException) -> str:
    if "Failed to resolve" in str(error):
        return "unknown host: is the URL right?"
    is_refused = "Connection refused" in str(error)
    return "connection refused: does the receiver run there?" if is_refused else type(error).__name__
