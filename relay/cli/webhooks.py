"""`relay webhooks`: show and change the webhooks at OneStock."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.cli.choices import chosen_event_type
from relay.cli.documents import json_option, print_json
from relay.cli.onestock_site import connected, newest_key, print_table, receiver_url
from relay.cli.tables import say
from relay.cli.webhook_rotation import rotate_key
from relay.errors import ConfigurationError
from relay.settings.webhooks import WebhookSettings

if TYPE_CHECKING:
    from relay.onestock import OneStock
    from relay.onestock.declared import WebhookDifference

WEBHOOK = "{id, status, event_types, url, http_method}"
STATUSES = "[{id, status}]"


@click.group(
    epilog=("\b\nExamples:\n  relay webhooks list\n  relay webhooks sync webhooks.yaml\n  relay webhooks rotate-key")
)
def webhooks() -> None:
    """List, make, enable, pause and watch the webhooks at OneStock, and change their hash key.

    Needs ONESTOCK_API_URL, ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD, and most commands
    ONESTOCK_WEBHOOK_URL, the receiver's URL without an event type.
    """


@webhooks.command(name="list")
@json_option(f"[{WEBHOOK}]")
def list_(*, as_json: bool) -> None:
    """Show a table of all webhooks of the site."""
    with connected() as (onestock, settings):
        found = onestock.list_webhooks()
    if as_json:
        print_json([webhook.as_json() for webhook in found])
        return
    print_table(found, settings)


@webhooks.command()
@click.argument("id_", metavar="ID")
@json_option(WEBHOOK)
def show(*, id_: str, as_json: bool) -> None:
    """Show one webhook."""
    with connected() as (onestock, _):
        webhook = onestock.get_webhook(id_)
    if as_json:
        print_json(webhook.as_json())
        return
    for name, value in webhook.as_json().items():
        say(f"{name:<14}{', '.join(value) if isinstance(value, list) else value}", indent=14)


@webhooks.command()
@click.argument("event_types", metavar="EVENT_TYPE...", nargs=-1, required=True)
@click.option("--status", type=click.Choice(["enabled", "paused"]), default="enabled", show_default=True)
@click.option("--as-it-is", is_flag=True, help="Do not ask about an event type that resembles a known one.")
@json_option("[{id, event_type, url, status}]")
def create(*, event_types: Sequence[str], status: str, as_it_is: bool, as_json: bool) -> None:
    """Make one webhook for each event type, with the URL that names it and the newest of ONESTOCK_HASH_KEYS."""
    from relay.onestock.declared import Declaration, DeclaredWebhook, url_for

    event_types = event_types if as_it_is else [chosen_event_type(event_type) for event_type in event_types]
    Declaration(webhooks=tuple(DeclaredWebhook(event_type=event_type) for event_type in event_types))
    made = []
    with connected() as (onestock, settings):
        base, key = receiver_url(settings), newest_key(settings)
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
        print_json(made)


@webhooks.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option(STATUSES)
def enable(*, ids: Sequence[str], as_json: bool) -> None:
    """Let webhooks send again, also the ones that OneStock has disabled."""
    _set_status(ids, "enabled", as_json=as_json)
    say(
        "OneStock dropped the events of a disabled webhook. Publish them: relay reconcile --since TIME",
        err=True,
    )


@webhooks.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option(STATUSES)
def pause(*, ids: Sequence[str], as_json: bool) -> None:
    """Let OneStock store the messages of webhooks, for a week at most."""
    _set_status(ids, "paused", as_json=as_json)


@webhooks.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only show the difference; exit status 1 if there is one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option("{differences: [{event_type, url, webhook_id, found_status, target_status}], done}")
def sync(*, file: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Make OneStock match a declared list; show the difference first, and delete nothing.

    FILE is YAML: `webhooks:` with a list of event types, or of `{event_type: ..., status: paused}`.
    """
    from relay.onestock.declared import Declaration, differences_from

    declaration = Declaration.read(file.read_text(), name=str(file))
    with connected() as (onestock, settings):
        base = receiver_url(settings)
        ours = [webhook for webhook in onestock.list_webhooks() if settings.is_ours(webhook.url)]
        differences = differences_from(declaration, ours, base=base)
        for difference in differences:
            say(str(difference), err=as_json)
        to_remove = [difference for difference in differences if difference.target_status is not None]
        if to_remove and not (dry_run or yes):
            click.confirm(f"Do {len(to_remove)} of them?", abort=True, err=True)
        done = [] if dry_run else to_remove
        for difference in done:
            _remove(difference, onestock, settings)
    if done or not to_remove:
        click.echo(f"{len(done)} done" if done else "OneStock matches", err=as_json)
    if as_json:
        print_json({"differences": [asdict(difference) for difference in differences], "done": len(done)})
    sys.exit(1 if dry_run and to_remove else 0)


@webhooks.command()
@json_option("[{id, status, event_types, url, http_method, is_fine, told}]")
def watch(*, as_json: bool) -> None:
    """Check our webhooks as the watchdog does; exit status 1 if a person has to act.

    Enables disabled webhooks if ONESTOCK_REENABLE_WEBHOOKS=true. It tells since when events may be missing if it can
    read the watchdog's memory: IDEMPOTENCY_STORE=firestore and GOOGLE_CLOUD_PROJECT.
    """
    from relay.onestock.watchdog import Watchdog, text_of
    from relay.stores.chosen import sightings_in

    with connected() as (onestock, settings):
        watchdog = Watchdog(onestock, sightings_in(os.environ), settings, now=lambda: datetime.now(UTC))
        checks = watchdog.check()
    if as_json:
        shown = [{**check.webhook.as_json(), "is_fine": check.is_fine, "told": text_of(check)} for check in checks]
        print_json(shown)
    else:
        for check in checks:
            say(text_of(check))
    if not checks:
        say(watchdog.none_text, err=True)
    sys.exit(0 if checks and all(check.is_fine for check in checks) else 1)


def _set_status(ids: Sequence[str], status: str, *, as_json: bool) -> None:
    with connected() as (onestock, _):
        for id_ in ids:
            onestock.set_webhook_status(id_, status)
            say(f"{id_} is {status}", err=as_json)
    if as_json:
        print_json([{"id": id_, "status": status} for id_ in ids])


def _remove(difference: "WebhookDifference", onestock: "OneStock", settings: WebhookSettings) -> None:
    status = str(difference.target_status)
    if difference.webhook_id is not None:
        onestock.set_webhook_status(difference.webhook_id, status)
        return
    onestock.create_webhook(difference.event_type, difference.url, hash_key=newest_key(settings), status=status)


webhooks.add_command(rotate_key)
