"""`relay pause` and `resume`: stop the pushes to the worker for a while, and go on."""

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from relay import moments
from relay.cli.documents import json_option, print_json
from relay.settings.commands import SubscriptionSettings

if TYPE_CHECKING:
    from relay.pubsub.pausing import PushSwitch

_DAY_SECONDS = 86_400


@click.command(epilog='\b\nExample:\n  relay pause --reason "the shop system is being repaired"')
@click.option("--reason", required=True, help="Why; `relay doctor` and `relay resume` show it to your colleagues.")
@json_option("{paused_since, reason, lost_from, is_new}")
@click.pass_obj
def pause(switch: "PushSwitch | None", *, reason: str, as_json: bool) -> None:
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
    lost_from, is_new = in_force.since + timedelta(seconds=kept_seconds), in_force.since == now
    if as_json:
        shown = {"paused_since": in_force.since.isoformat(), "reason": in_force.reason}
        print_json({**shown, "lost_from": lost_from.isoformat(), "is_new": is_new})
        return
    click.echo(f"{'Paused' if is_new else 'Paused already'} since {moments.shown(in_force.since)}.")
    click.echo(f"Reason: {in_force.reason}")
    click.echo(
        f"OneStock still gets 202. Events wait for {kept_seconds / _DAY_SECONDS:g} days: resume before "
        f"{moments.shown(lost_from)}, or the oldest are lost."
    )


@click.command(epilog="\b\nExample:\n  relay resume")
@json_option("{endpoint, paused_since, reason}; the last two are null if nothing was paused")
@click.pass_obj
def resume(switch: "PushSwitch | None", *, as_json: bool) -> None:
    """Push to the worker again, exactly as before the pause.

    The subscription gets back its endpoint, the account and audience of its tokens, and its way of wrapping messages.
    Events that waited are pushed in the order of their orders.
    """
    found = (switch or _connected()).resume()
    if as_json:
        pause = found.pause
        endpoint = found.endpoint or (pause.push_config.push_endpoint if pause else "")
        since = {"paused_since": pause and pause.since.isoformat(), "reason": pause and pause.reason}
        print_json({"endpoint": endpoint, **since})
        return
    if found.pause is None:
        where = f"pushes to {found.endpoint}" if found.endpoint else "does not push; `relay doctor` says what to do"
        click.echo(f"Nothing is paused: the subscription {where}.")
        return
    paused = f"It was paused since {moments.shown(found.pause.since)}. Reason: {found.pause.reason}"
    if found.endpoint:
        click.echo(f"The subscription pushes to {found.endpoint} already, and keeps that endpoint. {paused}")
        return
    click.echo(f"Pushes to {found.pause.push_config.push_endpoint} again. {paused}")


def _connected() -> "PushSwitch":
    # Imported here, so that --help does not wait for Google's client.
    from relay.pubsub.pausing import PushSwitch

    return PushSwitch.connected(SubscriptionSettings.from_environ(os.environ).subscription_path)
