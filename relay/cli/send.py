"""`relay send`: send a signed webhook to any receiver, and show the answer."""

import json
import os
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

import click
import requests

from relay.cli.capture import read_file
from relay.cli.choices import chosen_event_type, chosen_order
from relay.cli.keys import keys_option, signed_string_option
from relay.investigation.diagnosis import Capture
from relay.message import is_event_type
from relay.receiver.signature import HEADER, sign
from relay.settings.receiver import SignedString

ANSWER_SECONDS = 15  # As long as OneStock waits ("Webhook configuration").
_ACKNOWLEDGED, _UNAUTHORIZED = 202, 401


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


@click.command(
    epilog="\b\nExamples:\n  relay send order_state_changed\n"
    "  relay send parcel_state_changed --order ORD-1 --field parcel_id=P-1 --url https://RECEIVER\n"
    "  relay send --captured .relay/captured/*.json"
)
@click.argument("names", metavar="EVENT_TYPE | FILE...", nargs=-1, required=True)
@click.option("--captured", "is_captured", is_flag=True, help="Send what is in these files of `relay capture`.")
@click.option("--url", envvar="RECEIVER_URL", show_envvar=True, default="http://127.0.0.1:8080", show_default=True)
@keys_option
@signed_string_option
@click.option("--order", "order_id", help="The order's id; one that exists at OneStock, else an invented one.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="A further field, or another value.")
@click.option("--body", type=click.File("rb"), help="Send this file's bytes instead.")
@click.option("--as-it-is", is_flag=True, help="Do not ask about an event type that resembles a known one.")
@click.option("--duplicate", is_flag=True, help="Send it twice, as OneStock does after a lost acknowledgement.")
@click.option("--bad-signature", is_flag=True, help="Sign with another key: the answer must be 401.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def send(  # noqa: PLR0913 - one for each option
    *, names: tuple[str, ...], is_captured: bool, url: str, keys: tuple[bytes, ...], signed_string: SignedString,
    order_id: str | None, fields: tuple[str, ...], body: BinaryIO | None, as_it_is: bool, duplicate: bool,
    bad_signature: bool, as_json: bool,
) -> None:  # fmt: skip
    """Send one signed webhook of EVENT_TYPE to a receiver, and print its answer and how long it took.

    With --captured, send the webhook in each FILE, one after another, signed anew with the hash key given here.

    Exit status 1 if an answer is not the one that OneStock needs: 202, or 401 for a bad signature.
    """
    if is_captured and (order_id or fields or body):
        raise click.UsageError("--captured sends what the files hold: leave out --order, --field and --body.")
    if is_captured:
        webhooks = [read_file(name) for name in names]
    elif len(names) == 1:
        webhooks = [_made(names[0], order_id, fields, body, as_it_is=as_it_is)]
    else:
        raise click.UsageError("Name one event type; files need --captured.")
    signed_with = (secrets.token_bytes(32),) if bad_signature else keys
    answers: list[ReceiverAnswer] = []
    for webhook in webhooks:
        target = f"{url.rstrip('/')}/webhooks/onestock/{quote(webhook.event_type, safe='')}".rstrip("/")
        times = range(2 if duplicate else 1)
        got = [post(target, webhook.body, keys=signed_with, signed_string=signed_string) for _ in times]
        answers += got
        if not as_json:
            click.echo(f"{webhook.event_type} to {target}: {webhook.body[:200].decode(errors='replace')}")
            click.echo("\n".join(answer.shown for answer in got))
    if as_json:
        click.echo(json.dumps([asdict(answer) for answer in answers], indent=2))
    wanted = _UNAUTHORIZED if bad_signature else _ACKNOWLEDGED
    if any(answer.status != wanted for answer in answers):
        click.echo(f"OneStock needs a {wanted} here.", err=True)
        sys.exit(1)


def _made(
    event_type: str, order_id: str | None, fields: tuple[str, ...], body: BinaryIO | None, *, as_it_is: bool
) -> Capture:
    if not is_event_type(event_type):
        raise click.UsageError("An event type has 1 to 128 characters, none of them a slash.")
    event_type = event_type if as_it_is else chosen_event_type(event_type)
    content = body.read() if body else _invented(event_type, chosen_order(order_id, os.environ), fields)
    return Capture(headers=(), body=content, event_type=event_type)


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
        status, text = None, type(error).__name__
    return ReceiverAnswer(status=status, latency_ms=round((time.monotonic() - started) * 1000, 1), text=text)


def _invented(event_type: str, order_id: str, fields: tuple[str, ...]) -> bytes:
    content: dict[str, Any] = {"order_id": order_id, "date": int(time.time())}
    if event_type == "parcel_state_changed":
        content["parcel_id"] = f"{content['order_id']}-P1"
    content |= {"old_state": "placed", "new_state": "picking"}
    for field in fields:
        name, is_field, value = field.partition("=")
        if not is_field or not name:
            raise click.UsageError(f"{field!r} is no field; write NAME=VALUE.")
        content[name] = value
    return json.dumps(content).encode()
