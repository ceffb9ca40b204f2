"""`relay webhooks`: show and change the webhooks at OneStock."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from relay.cli.tables import table
from relay.errors import ConfigurationError
from relay.settings.webhooks import WebhookSettings

if TYPE_CHECKING:
    from relay.onestock import OneStock, RegisteredWebhook
    from relay.onestock.declared import WebhookDifference

PROBE_EVENT_TYPE = "relay_key_probe"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    epilog=("\b\nExamples:\n  relay webhooks list\n  relay webhooks sync webhooks.yaml\n  relay webhooks rotate-key")
)
def webhooks() -> None:
    """List, make, enable, pause and watch the webhooks at OneStock, and change their hash key.

    Needs ONESTOCK_API_URL, ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD, and most commands
    ONESTOCK_WEBHOOK_URL, the receiver's URL without an event type.
    """


@webhooks.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show a table of all webhooks of the site."""
    with _connected() as (onestock, settings):
        found = onestock.list_webhooks()
    if as_json:
        click.echo(json.dumps([_as_json(webhook) for webhook in found], indent=2))
        return
    _print_table(found, settings)


@webhooks.command()
@click.argument("id_", metavar="ID")
@json_option
def show(*, id_: str, as_json: bool) -> None:
    """Show one webhook."""
    with _connected() as (onestock, _):
        webhook = onestock.get_webhook(id_)
    if as_json:
        click.echo(json.dumps(_as_json(webhook), indent=2))
        return
    for name, value in _as_json(webhook).items():
        click.echo(f"{name:<14}{', '.join(value) if isinstance(value, list) else value}")


@webhooks.command()
@click.argument("event_types", metavar="EVENT_TYPE...", nargs=-1, required=True)
@click.option("--status", type=click.Choice(["enabled", "paused"]), default="enabled", show_default=True)
@json_option
def create(*, event_types: Sequence[str], status: str, as_json: bool) -> None:
    """Make one webhook for each event type, with the URL that names it and the newest of ONESTOCK_HASH_KEYS."""
    from relay.onestock.declared import Declaration, DeclaredWebhook, url_for

    Declaration(webhooks=tuple(DeclaredWebhook(event_type=event_type) for event_type in event_types))
    made = []
    with _connected() as (onestock, settings):
        base, key = _base(settings), _newest_key(settings)
        taken = {webhook.url for webhook in onestock.list_webhooks() if not webhook.is_disabled}
        for event_type in event_types:
            url = url_for(base, event_type)
            if url in taken:
                raise ConfigurationError(f"{event_type}: a webhook leads to {url} already; see: webhooks list")
            id_ = onestock.create_webhook(event_type, url, hash_key=key, status=status)
            made.append({"id": id_, "event_type": event_type, "url": url, "status": status})
            if not as_json:
                click.echo(f"created {id_ or ''} {event_type} -> {url}")
    if as_json:
        click.echo(json.dumps(made, indent=2))


@webhooks.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def enable(*, ids: Sequence[str]) -> None:
    """Let webhooks send again, also the ones that OneStock has disabled."""
    _set_status(ids, "enabled")
    click.echo(
        "OneStock dropped the events of a disabled webhook. Publish them: relay reconcile --since TIME",
        err=True,
    )


@webhooks.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def pause(*, ids: Sequence[str]) -> None:
    """Let OneStock store the messages of webhooks, for a week at most."""
    _set_status(ids, "paused")


@webhooks.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show the difference; exit status 1 if there is one.")
@yes_option
def sync(*, file: Path, dry_run: bool, yes: bool) -> None:
    """Make OneStock match a declared list; show the difference first, and delete nothing.

    FILE is YAML: `webhooks:` with a list of event types, or of `{event_type: ..., status: paused}`.
    """
    from relay.onestock.declared import Declaration, differences_from

    declaration = Declaration.read(file.read_text(), name=str(file))
    with _connected() as (onestock, settings):
        base = _base(settings)
        ours = [webhook for webhook in onestock.list_webhooks() if settings.is_ours(webhook.url)]
        differences = differences_from(declaration, ours, base=base)
        for difference in differences:
            click.echo(difference)
        to_remove = [difference for difference in differences if difference.target_status is not None]
        if not to_remove:
            click.echo("OneStock matches")
            return
        if dry_run:
            sys.exit(1)
        if not yes:
            click.confirm(f"Do {len(to_remove)} of them?", abort=True, err=True)
        for difference in to_remove:
            _remove(difference, onestock, settings)
        click.echo(f"{len(to_remove)} done")


@webhooks.command(name="rotate-key")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), default=Path("webhook-rotation.json"),
              show_default=True, help="The file in which it notes its progress, so that it can go on.")  # fmt: skip
@click.option("--overlap", default=600.0, show_default=True, help="For how many seconds both webhooks send: longer "
              "than the old one needs for its queue, which OneStock shows to nobody.")  # fmt: skip
@click.option("--probe/--no-probe", default=True, show_default=True, help="Ask the receiver first, with a signed event "
              f"of the type {PROBE_EVENT_TYPE}, whether it knows the new key.")  # fmt: skip
@yes_option
def rotate_key(*, journal: Path, overlap: float, probe: bool, yes: bool) -> None:
    """Change the hash key of our webhooks without a refused message.

    First put the new key in front of ONESTOCK_HASH_KEYS and deploy the receiver with both; then run this with the same
    ONESTOCK_HASH_KEYS. It makes a second webhook with the new key beside each webhook, and disables the old one after
    the overlap. Then take the old key out and deploy again. If it is interrupted, run it again: it goes on.
    """
    from relay.onestock.rotation import Rotation

    with _connected() as (onestock, settings):
        base, key = _base(settings), _newest_key(settings)
        if len(settings.hash_keys) == 1:
            raise ConfigurationError("ONESTOCK_HASH_KEYS: put the new key in front of the old one, comma separated")
        if probe:
            _check_receiver_knows(base, key.get_secret_value())
        began_at = datetime.now(UTC)
        rotation = Rotation(onestock, journal, say=click.echo)
        ours = [webhook for webhook in onestock.list_webhooks() if settings.is_ours(webhook.url)]
        old = rotation.old_ones(ours)
        if not old:
            raise ConfigurationError(f"No webhook that sends leads to {base}; see: webhooks list")
        _print_table(old, settings)
        if not yes:
            click.confirm(f"Make a successor for each of these {len(old)}, then disable them?", abort=True, err=True)
        rotation.run(old, key=key, overlap_seconds=overlap)
    journal.unlink(missing_ok=True)
    click.echo("Done. Take the old key out of ONESTOCK_HASH_KEYS now, and deploy the receiver.")
    click.echo(
        "If the old webhooks had more events waiting than they could send in the overlap, publish these: "
        f"relay reconcile --since {began_at - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    )


@webhooks.command()
@json_option
def watch(*, as_json: bool) -> None:
    """Check our webhooks as the watchdog does; exit status 1 if a person has to act.

    Enables disabled webhooks if ONESTOCK_REENABLE_WEBHOOKS=true. It tells since when events may be missing if it can
    read the watchdog's memory: IDEMPOTENCY_STORE=firestore and GOOGLE_CLOUD_PROJECT.
    """
    from relay.onestock.watchdog import Watchdog, text_of

    with _connected() as (onestock, settings):
        watchdog = Watchdog(onestock, _sightings(), settings, now=lambda: datetime.now(UTC))
        checks = watchdog.check()
    if as_json:
        shown = [{**_as_json(check.webhook), "is_fine": check.is_fine, "told": text_of(check)} for check in checks]
        click.echo(json.dumps(shown, indent=2))
    else:
        for check in checks:
            click.echo(text_of(check))
    if not checks:
        click.echo(watchdog.none_text, err=True)
    sys.exit(0 if checks and all(check.is_fine for check in checks) else 1)


@contextmanager
def _connected() -> "Iterator[tuple[OneStock, WebhookSettings]]":
    from relay.onestock import OneStock

    settings = WebhookSettings.from_environ(os.environ)
    onestock = OneStock.connected(settings)
    try:
        yield onestock, settings
    finally:
        onestock.close()


def _set_status(ids: Sequence[str], status: str) -> None:
    with _connected() as (onestock, _):
        for id_ in ids:
            onestock.set_webhook_status(id_, status)
            click.echo(f"{id_} is {status}")


def _remove(difference: "WebhookDifference", onestock: "OneStock", settings: WebhookSettings) -> None:
    status = str(difference.target_status)
    if difference.webhook_id is not None:
        onestock.set_webhook_status(difference.webhook_id, status)
        return
    onestock.create_webhook(difference.event_type, difference.url, hash_key=_newest_key(settings), status=status)


def _base(settings: WebhookSettings) -> str:
    if settings.webhook_url is None:
        raise ConfigurationError("ONESTOCK_WEBHOOK_URL: missing; set it to https://RECEIVER/webhooks/onestock")
    return settings.webhook_url


def _newest_key(settings: WebhookSettings) -> Any:
    if not settings.hash_keys:
        raise ConfigurationError("ONESTOCK_HASH_KEYS: missing; the first is the one that new webhooks sign with")
    return settings.hash_keys[0]


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


def _sightings() -> Any:
    if os.environ.get("IDEMPOTENCY_STORE") != "firestore":
        from relay.stores.sightings import MemorySightings

        return MemorySightings()
    from relay.stores.firestore_sightings import FirestoreSightings

    database = os.environ.get("FIRESTORE_DATABASE") or "(default)"
    return FirestoreSightings(project=os.environ.get("GOOGLE_CLOUD_PROJECT", ""), database=database)


def _print_table(found: "Sequence[RegisteredWebhook]", settings: WebhookSettings) -> None:
    rows = [
        {
            "id": webhook.id,
            "status": webhook.status,
            "event types": ", ".join(webhook.event_types),
            "url": webhook.url,
            "ours": "yes" if settings.is_ours(webhook.url) else "no",
        }
        for webhook in found
    ]
    click.echo(table(rows) if rows else "No webhooks")


def _as_json(webhook: "RegisteredWebhook") -> dict[str, Any]:
    """Return the fields that may be shown. OneStock's answer may hold the hash key, which may not."""
    return {
        "id": webhook.id,
        "status": webhook.status,
        "event_types": list(webhook.event_types),
        "url": webhook.url,
        "http_method": webhook.http_method,
    }
