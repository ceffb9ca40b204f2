"""`relay pause` and `resume`: stop the pushes to the worker for a while, and go on."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from relay.settings.commands import SubscriptionSettings

if TYPE_CHECKING:
    from relay.pubsub.pausing import PushSwitch

_DAY_SECONDS = 86_400


@click.command(epilog='\b\nExample:\n  relay pause --reason "the shop system is being repaired"')
@click.option("--reason", required=True, help="Why; `relay doctor` and `relay resume` show it to your colleagues.")
@click.pass_obj
def pause(switch: "PushSwitch | None", *, reason: str) -> None:
    """Stop the pushes to the worker, and lose nothing.

    The push subscription becomes a pull subscription that nobody pulls. Meanwhile OneStock still gets its 202, and
    events wait on the subscription for as long as it keeps messages, in the order of their orders. They use up no
    delivery attempts, so none becomes a dead letter. What the worker is handling at this moment goes on to its end.
    `relay resume` must come before the retention ends: an event that waits longer is lost.

    Pub/Sub may need a few minutes until the last push. You need roles/pubsub.editor, and to resume
    roles/iam.serviceAccountUser on the account that the pushes are signed with.
    """
    if not reason.strip():
        raise click.BadParameter("say why the pushes stop", param_hint="--reason")
    switch = switch or _connected()
    now = datetime.now(UTC)
    in_force = switch.pause(reason.strip(), now=now)
    kept_seconds = switch.state().retention_seconds
    click.echo(f"{'Paused' if in_force.since == now else 'Paused already'} since {_shown(in_force.since)}.")
    click.echo(f"Reason: {in_force.reason}")
    click.echo(
        f"OneStock still gets 202. Events wait for {kept_seconds / _DAY_SECONDS:g} days: resume before "
        f"{_shown(datetime.fromtimestamp(in_force.since.timestamp() + kept_seconds, UTC))}, or the oldest are lost."
    )


@click.command(epilog="\b\nExample:\n  relay resume")
@click.pass_obj
def resume(switch: "PushSwitch | None") -> None:
    """Push to the worker again, exactly as before the pause.

    The subscription gets back its endpoint, the account and audience of its tokens, and its way of wrapping messages.
    Events that waited are pushed in the order of their orders.
    """
    found = (switch or _connected()).resume()
    if found.pause is None:
        where = f"pushes to {found.endpoint}" if found.endpoint else "does not push; `relay doctor` says what to do"
        click.echo(f"Nothing is paused: the subscription {where}.")
        return
    paused = f"It was paused since {_shown(found.pause.since)}. Reason: {found.pause.reason}"
    if found.endpoint:
        click.echo(f"The subscription pushes to {found.endpoint} already, and keeps that endpoint. {paused}")
        return
    click.echo(f"Pushes to {found.pause.push_config.push_endpoint} again. {paused}")


def _connected() -> "PushSwitch":
    # Imported here, so that --help does not wait for Google's client.
    from google.pubsub_v1 import PublisherClient, SubscriberClient

    from relay.pubsub.pausing import PushSwitch

    settings = SubscriptionSettings.from_environ(os.environ)
    return PushSwitch(settings.subscription_path, subscriber=SubscriberClient(), publisher=PublisherClient())


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
