"""`relay webhooks rotate-key`: a new hash key without a refused message."""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path

import click

from relay import moments
from relay.cli import tables
from relay.cli.documents import json_option, print_json
from relay.cli.onestock_site import connected, newest_key, print_table, receiver_url
from relay.errors import ConfigurationError

PROBE_EVENT_TYPE = "relay_key_probe"


@click.command(name="rotate-key")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), default=Path("webhook-rotation.json"),
              show_default=True, help="The file in which it notes its progress, so that it can go on.")  # fmt: skip
@click.option("--overlap", default=600.0, show_default=True, help="For how many seconds both webhooks send: longer "
              "than the old one needs for its queue, which OneStock shows to nobody.")  # fmt: skip
@click.option("--probe/--no-probe", default=True, show_default=True, help="Ask the receiver first, with a signed event "
              f"of the type {PROBE_EVENT_TYPE}, whether it knows the new key.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option("{rotated: [{old, new, url}], reconcile_since}")
def rotate_key(*, journal: Path, overlap: float, probe: bool, yes: bool, as_json: bool) -> None:
    """Change the hash key of our webhooks without a refused message.

    First put the new key in front of ONESTOCK_HASH_KEYS and deploy the receiver with both; then run this with the same
    ONESTOCK_HASH_KEYS. It makes a second webhook with the new key beside each webhook, and disables the old one after
    the overlap. Then take the old key out and deploy again. If it is interrupted, run it again: it goes on.
    """
    from relay.onestock.rotation import Rotation

    say = partial(tables.say, err=as_json)
    with connected() as (onestock, settings):
        base, key = receiver_url(settings), newest_key(settings)
        if len(settings.hash_keys) == 1:
            raise ConfigurationError("ONESTOCK_HASH_KEYS: put the new key in front of the old one, comma separated")
        if probe:
            _check_receiver_knows(base, key.get_secret_value())
        since = moments.as_option(datetime.now(UTC) - timedelta(hours=1))
        rotation = Rotation(onestock, journal, say=say)
        old = rotation.old_ones([webhook for webhook in onestock.list_webhooks() if settings.is_ours(webhook.url)])
        if not old:
            raise ConfigurationError(f"No webhook that sends leads to {base}; see: webhooks list")
        print_table(old, settings, err=as_json)
        if not yes:
            click.confirm(f"Make a successor for each of these {len(old)}, then disable them?", abort=True, err=True)
        rotation.run(old, key=key, overlap_seconds=overlap)
    journal.unlink(missing_ok=True)
    say("Done. Take the old key out of ONESTOCK_HASH_KEYS now, and deploy the receiver.")
    say("If the old webhooks had more events waiting than they could send in the overlap, publish these: "
        f"relay reconcile --since {since}")  # fmt: skip
    if as_json:
        rotated = [{"old": one.id, "new": rotation.successors[one.id], "url": one.url} for one in old]
        print_json({"rotated": rotated, "reconcile_since": since})


def _check_receiver_knows(base: str, key: str) -> None:
    """Raise ConfigurationError unless the receiver accepts an event that is signed with the new key only."""
    import requests

    from relay.local.simulator import send
    from relay.onestock.declared import url_for

    body = json.dumps({"date": int(time.time()), "about": "a rotation of the hash key"}).encode()
    try:
        with requests.Session() as session:
            status = send(session, url_for(base, PROBE_EVENT_TYPE), body, keys=(key.encode(),)).status_code
    except requests.RequestException as error:
        raise ConfigurationError(f"The receiver at {base} does not answer: {type(error).__name__}") from error
    if status != HTTPStatus.ACCEPTED:
        raise ConfigurationError(
            f"The receiver at {base} answers {status} to the new key: deploy it with both in ONESTOCK_HASH_KEYS first"
        )
