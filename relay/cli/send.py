"""`relay send`: send a signed webhook to any receiver, and show the answer."""

import json
import os
import secrets
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from relay.cli.capture import read_file
from relay.cli.choices import chosen_event_type, chosen_order
from relay.cli.keys import keys_option, signed_string_option
from relay.cli.tables import wrapped
from relay.investigation.diagnosis import Capture
from relay.local.display import width_of
from relay.local.sending import ReceiverAnswer, post, webhook_url
from relay.message import is_event_type
from relay.settings.receiver import SignedString

_ACKNOWLEDGED, _UNAUTHORIZED = 202, 401


def _with_scheme(_: click.Context, __: click.Parameter, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"{url} is no URL: write http:// or https:// before it.")
    return url


@click.command(
    epilog="\b\nExamples:\n  relay send order_state_changed\n"
    "  relay send parcel_state_changed --order ORD-1 --field parcel_id=P-1 --url https://RECEIVER\n"
    "  relay send --captured .relay/captured/*.json"
)
@click.argument("names", metavar="EVENT_TYPE | FILE...", nargs=-1, required=True)
@click.option("--captured", "is_captured", is_flag=True, help="Send what is in these files of `relay capture`.")
@click.option("--url", envvar="RECEIVER_URL", show_envvar=True, default="http://127.0.0.1:8080", show_default=True,
              callback=_with_scheme, help="Where the receiver is, without /webhooks/onestock.")  # fmt: skip
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
    if body and (order_id or fields):
        raise click.UsageError("--body sends what the file holds: leave out --order and --field.")
    if is_captured:
        webhooks = [read_file(name) for name in names]
    elif len(names) == 1:
        webhooks = [_made(names[0], order_id, fields, body, as_it_is=as_it_is)]
    else:
        raise click.UsageError("Name one event type; files need --captured.")
    signed_with = (secrets.token_bytes(32),) if bad_signature else keys
    answers: list[ReceiverAnswer] = []
    for webhook in webhooks:
        target = webhook_url(url, webhook.event_type)
        times = range(2 if duplicate else 1)
        got = [post(target, webhook.body, keys=signed_with, signed_string=signed_string) for _ in times]
        answers += got
        if not as_json:
            _print(f"{webhook.event_type} to {target}: {webhook.body[:200].decode(errors='replace')}")
            for answer in got:
                _print(answer.shown)
    if as_json:
        click.echo(json.dumps([asdict(answer) for answer in answers], indent=2))
    wanted = _UNAUTHORIZED if bad_signature else _ACKNOWLEDGED
    if any(answer.status != wanted for answer in answers):
        click.echo(f"OneStock needs a {wanted} here.", err=True)
        sys.exit(1)


def _print(text: str) -> None:
    click.echo(wrapped(text, width=width_of(sys.stdout), indent=2))


def _made(
    event_type: str, order_id: str | None, fields: tuple[str, ...], body: BinaryIO | None, *, as_it_is: bool
) -> Capture:
    if not as_it_is and (os.sep in event_type or event_type.endswith(".json") or Path(event_type).is_file()):
        raise click.UsageError(
            f"{event_type} looks like a file: relay send --captured {event_type}, or relay send EVENT_TYPE --body "
            f"{event_type}"
        )
    if not is_event_type(event_type):
        raise click.UsageError("An event type has 1 to 128 characters, none of them a slash.")
    event_type = event_type if as_it_is else chosen_event_type(event_type)
    content = body.read() if body else _invented(event_type, chosen_order(order_id, os.environ), fields)
    return Capture(headers=(), body=content, event_type=event_type)


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
