"""The commands. A person's mistake is one line on stderr."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from deploy import plan
from deploy.errors import DeployError, WrongUse
from deploy.gcloud import Gcloud
from deploy.installation import Installation
from deploy.resources import Change, Item
from deploy.services import Services
from deploy.smoke import smoke
from deploy.wanted import AFTERWARDS, GROUPS

ROOT = Path(__file__).parents[1]
ROLES = ("receiver", "worker")


@click.group(epilog="Example: GOOGLE_CLOUD_PROJECT=my-project python -m deploy install")
def deploy() -> None:
    """Bring the relay to Google Cloud. Names and sizes are environment variables: python -m deploy settings."""


@deploy.command()
def settings() -> None:
    """Show each setting, its default and what it is for."""
    for name, declared in Installation.variables().items():
        click.echo(f"{name}={declared.default}\n    {declared.metadata['what']}")


@deploy.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(GROUPS)))
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
def apply(groups: tuple[str, ...], *, dry_run: bool) -> None:
    """Make everything beside the two services as declared, or only GROUPS. Twice changes nothing."""
    installation, gcloud = _start()
    applied = _apply(installation, gcloud, groups or tuple(GROUPS), dry_run=dry_run)
    click.echo(f"{applied} changes" + (" to make" if dry_run else ""))


@deploy.command()
def install() -> None:
    """Apply everything, then build and deploy both services in Cloud Build: the whole way, in one command."""
    installation, gcloud = _start()
    _apply(installation, gcloud, tuple(GROUPS), dry_run=False)
    chosen = "|".join(f"_{name}={value}" for name, value in installation.chosen().items())
    substitutions = (f"--substitutions=^|^{chosen}",) if chosen else ()
    where = f"--region={installation.region}"
    gcloud.show(("builds", "submit", str(ROOT), f"--config={ROOT / 'cloudbuild.yaml'}", where, *substitutions))
    url = Services(installation, gcloud).url("receiver")
    key = f"gcloud secrets versions access latest --secret={installation.hash_keys_secret}"
    click.echo(f"OneStock's webhooks go to {url}/webhooks/onestock/EVENT_TYPE, with the hash key of: {key}")


@deploy.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--image", required=True, help="NAME@sha256:DIGEST")
def service(role: str, image: str) -> None:
    """Deploy an image as the receiver or the worker, without traffic."""
    installation, gcloud = _start()
    Services(installation, gcloud).deploy(role, image)
    click.echo(f"{role}: deployed; promote gives it the traffic")


@deploy.command("smoke")
def smoke_test() -> None:
    """Call the receiver that was deployed and not promoted yet."""
    installation, gcloud = _start()
    refuses_unsigned = installation.onestock_signature == "required"
    smoke(Services(installation, gcloud).candidate_url("receiver"), refuses_unsigned=refuses_unsigned)
    click.echo("receiver: healthy" + (", and refuses an unsigned webhook" if refuses_unsigned else ""))


@deploy.command()
@click.argument("role", type=click.Choice(ROLES))
def promote(role: str) -> None:
    """Give all traffic to what was deployed last."""
    installation, gcloud = _start()
    click.echo(f"{role}: {Services(installation, gcloud).promote(role)} serves")


@deploy.command()
@click.argument("role", type=click.Choice(ROLES))
def rollback(role: str) -> None:
    """Give all traffic back to the revision that served before."""
    installation, gcloud = _start()
    click.echo(f"{role}: {Services(installation, gcloud).rollback(role)} serves again")


@deploy.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
def teardown(*, yes: bool, dry_run: bool) -> None:
    """Delete both services and everything that apply has made, with all events, dead letters and keys."""
    installation, gcloud = _start()
    wanted = plan.removals(gcloud, _everything(installation))
    wanted = [*Services(installation, gcloud).removals(), *wanted]
    for change in wanted:
        _say(change)
    if dry_run or not wanted:
        click.echo(f"{len(wanted)} changes to make" if wanted else "nothing to delete")
        return
    if not yes:
        click.confirm(f"Do this to {installation.project}?", abort=True)
    plan.carry_out(gcloud, wanted, say=lambda change: click.echo(change.what))
    click.echo("APIs stay on: others may use them.")


def main() -> None:
    """Run the command that the arguments name; exit status 1 for a failure, 2 for wrong use or settings."""
    try:
        deploy()
    except DeployError as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, WrongUse) else 1)


def _start() -> tuple[Installation, Gcloud]:
    installation = Installation.from_environ(os.environ)
    gcloud = Gcloud(installation.project)
    if not installation.project_number:
        number = str(gcloud.read(("projects", "describe", installation.project))["projectNumber"])
        installation = dataclasses.replace(installation, project_number=number)
    return installation, gcloud


def _apply(installation: Installation, gcloud: Gcloud, groups: Sequence[str], *, dry_run: bool) -> int:
    """Return how many changes there were."""
    stages = [[item for name in groups for item in GROUPS[name](installation)]]
    if "watch" in groups:
        stages.append(list(AFTERWARDS(installation)))
    count = 0
    for stage in stages:
        wanted = plan.changes(gcloud, stage)
        count += len(wanted)
        if dry_run:
            for change in wanted:
                _say(change)
        else:
            plan.carry_out(gcloud, wanted, say=_say)
    return count


def _everything(installation: Installation) -> list[Item]:
    return [item for group in GROUPS.values() for item in group(installation)] + list(AFTERWARDS(installation))


def _say(change: Change) -> None:
    click.echo(f"{change.what}\n    gcloud {shlex.join(change.command)}")
