"""The commands. A person's mistake is one line on stderr."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from deploy import installation as kept
from deploy import keys, plan, smoke
from deploy.errors import DeployError, WrongUse
from deploy.gcloud import API, Command, Gcloud
from deploy.installation import Installation
from deploy.resources import ENABLED_APIS, Change, Item
from deploy.services import Services
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
    if not dry_run:
        _keep(installation)
    applied = _apply(installation, gcloud, groups or tuple(GROUPS), dry_run=dry_run)
    click.echo(f"{applied} changes" + (" to make" if dry_run else ""))


@deploy.command()
def install() -> None:
    """Apply everything, then build and deploy both services in Cloud Build: the whole way, in one command."""
    installation, gcloud = _start(is_first=True)
    installation = with_somebody_to_tell(installation)
    _keep(installation)
    _apply(installation, gcloud, tuple(GROUPS), dry_run=False)
    gcloud.submit(build_command(installation))
    at_load_balancer = installation.is_behind_a_load_balancer
    url = "https://YOUR-LOAD-BALANCER" if at_load_balancer else Services(installation, gcloud).url("receiver")
    key = f"gcloud secrets versions access latest --secret={installation.hash_keys_secret}"
    click.echo(f"OneStock's webhooks go to {url}/webhooks/onestock/EVENT_TYPE, with the hash key of: {key}")


@deploy.command()
def image() -> None:
    """Print the image's name, without tag or digest."""
    click.echo(_start()[0].image)


@deploy.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--image", required=True, help="NAME@sha256:DIGEST")
def service(role: str, image: str) -> None:
    """Deploy an image as the receiver or the worker, without traffic."""
    installation, gcloud = _start()
    Services(installation, gcloud).deploy(role, image)
    click.echo(f"{role}: deployed; promote gives it the traffic")


@deploy.command("smoke")
@click.option("--within", default=smoke.EVENT_WAIT_SECONDS, show_default=True, help="Seconds to wait for the worker.")
def smoke_test(*, within: int) -> None:
    """Call the receiver that was deployed and not promoted yet, and send one event the whole way to the worker."""
    installation, gcloud = _start()
    _try_receiver(installation, gcloud)
    click.echo(f"worker: {smoke.try_event(gcloud, installation, within_seconds=within)}")


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
@click.argument("role", type=click.Choice(ROLES))
def restart(role: str) -> None:
    """Replace every instance: the image that serves is deployed anew, with the settings and secrets of today."""
    installation, gcloud = _start()
    _restart(installation, gcloud, role)


@deploy.command()
@click.option("--finish", is_flag=True, help="Leave only the newest key, after the webhooks sign with it.")
def rotate_key(*, finish: bool) -> None:
    """Put a new hash key in service beside the one of today, without a build.

    ONESTOCK_HASH_KEYS=NEW,OLD sets the keys; otherwise this command makes the new one.
    """
    installation, gcloud = _start()
    keys.add_version(gcloud, installation.hash_keys_secret, given=os.environ.get("ONESTOCK_HASH_KEYS"), finish=finish)
    _restart(installation, gcloud, "receiver")
    click.echo(
        f"The keys, newest first: gcloud secrets versions access latest --secret={installation.hash_keys_secret}"
    )
    if not finish:
        click.echo("Next: relay webhooks rotate-key, then python -m deploy rotate-key --finish")


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


def _start(*, is_first: bool = False) -> tuple[Installation, Gcloud]:
    """Return what was chosen for the project; at the first installation nothing is kept yet."""
    project = kept.project_of(os.environ)
    file = kept.kept_file(project)
    # A grant that `install` made may be younger than the build that it has submitted.
    gcloud = Gcloud(project, is_fresh="BUILD_ID" in os.environ)
    installation = Installation.from_environ(os.environ, kept.read_kept(file) if file.exists() else {})
    if not installation.project_number:
        number = str(gcloud.read(("projects", "describe", project))["projectNumber"])
        installation = dataclasses.replace(installation, project_number=number)
    if not file.exists() and not (is_first and not _is_installed(installation, gcloud)):
        raise WrongUse(
            f"{file}: missing; it keeps what was chosen for {project}. Take it from the checkout that installed the "
            "relay, or write it (python -m deploy settings explains each; an empty file takes every default)"
        )
    return installation, gcloud


def _is_installed(installation: Installation, gcloud: Gcloud) -> bool:
    enabled = gcloud.read(ENABLED_APIS) or []
    has_services = any(row["config"]["name"] == "run.googleapis.com" for row in enabled)
    return has_services and Services(installation, gcloud).exists("receiver")


def with_somebody_to_tell(installation: Installation) -> Installation:
    """Ask for an address or a channel where nobody is told of an alert, and return the installation with it."""
    if installation.alert_email or installation.alert_channels:
        return installation
    click.echo("Who is told when an alert fires? An e-mail address, a channel's name, or nothing: ", nl=False)
    told = sys.stdin.readline().strip()
    if not told:
        click.secho(
            "\nWARNING: NOBODY IS TOLD WHEN AN ALERT FIRES. OneStock disables a webhook that fails and drops its "
            "events; set ALERT_EMAIL or ALERT_CHANNELS and run this again.",
            fg="red",
            bold=True,
            err=True,
        )
    setting = "alert_channels" if "/notificationChannels/" in told else "alert_email"
    return dataclasses.replace(installation, **{setting: told})


def _keep(installation: Installation) -> None:
    file = kept.kept_file(installation.project)
    if kept.keep(installation, file):
        click.echo(f"{file} keeps what was chosen; commit it")


def build_command(installation: Installation) -> Command:
    """Return the command that submits the build, which reads every setting from the kept file."""
    return (
        # Only beta shows a log that Cloud Logging holds.
        *("beta", "builds", "submit", str(ROOT), f"--config={ROOT / 'cloudbuild.yaml'}"),
        f"--region={installation.region}",
        f"--gcs-source-staging-dir=gs://{installation.bucket}/source",
    )


def _restart(installation: Installation, gcloud: Gcloud, role: str) -> None:
    services = Services(installation, gcloud)
    services.deploy(role, services.serving_image(role))
    if role == "receiver":
        _try_receiver(installation, gcloud)
    click.echo(f"{role}: {services.promote(role)} serves")


def _try_receiver(installation: Installation, gcloud: Gcloud) -> None:
    if installation.is_behind_a_load_balancer:
        click.echo(
            f"receiver: not called, since RECEIVER_INGRESS={installation.receiver_ingress} lets nobody in at the "
            "candidate's own address; Cloud Run has found it healthy"
        )
        return
    url = Services(installation, gcloud).candidate_url("receiver")
    smoke.try_receiver(url, refuses_unsigned=installation.onestock_signature == "required")
    click.echo("receiver: answers as it must")


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
    command = change.command
    words = " ".join(command[1:]) if command[0] == API else f"gcloud {shlex.join(command)}"
    click.echo(f"{change.what}\n    {words}")
