"""What the commands about webhooks share: the connection to OneStock, our URL and key, and the table."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from relay.cli.tables import table
from relay.errors import ConfigurationError
from relay.settings.webhooks import WebhookSettings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from relay.onestock import OneStock, RegisteredWebhook

FIRST_CONTACT_SECONDS = 3  # Two attempts: a person waits, and a mistyped URL stays mistyped.


@contextmanager
def connected() -> "Iterator[tuple[OneStock, WebhookSettings]]":
    """Give a client while the block runs, and the settings that it was made of. Raises ConfigurationError."""
    from relay.onestock import OneStock

    settings = WebhookSettings.from_environ(os.environ)
    with closing(OneStock.connected(settings, first_contact_seconds=FIRST_CONTACT_SECONDS)) as onestock:
        yield onestock, settings


def receiver_url(settings: WebhookSettings) -> str:
    """Return the receiver's URL without an event type. Raises ConfigurationError."""
    if settings.webhook_url is None:
        raise ConfigurationError("ONESTOCK_WEBHOOK_URL: missing; set it to https://RECEIVER/webhooks/onestock")
    return settings.webhook_url


def newest_key(settings: WebhookSettings) -> "SecretStr":
    """Return the hash key that new webhooks sign with. Raises ConfigurationError."""
    if not settings.hash_keys:
        raise ConfigurationError("ONESTOCK_HASH_KEYS: missing; the first is the one that new webhooks sign with")
    return settings.hash_keys[0]


def print_table(found: "Sequence[RegisteredWebhook]", settings: WebhookSettings, *, err: bool = False) -> None:
    """Print a row for each webhook."""
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
    click.echo(table(rows) if rows else "No webhooks", err=err)
