"""`python -m relay doctor`: is everything set up as it must be, and which command mends what is not."""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from relay.doctor.findings import Finding

_COLOURS = {"good": "green", "bad": "red", "cannot be told here": "yellow"}


@click.command(
    epilog="Examples: GOOGLE_CLOUD_PROJECT=my-project python -m relay doctor   python -m relay doctor --json | jq"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--strict", is_flag=True, help="Count what cannot be told here as a problem.")
def doctor(*, as_json: bool, strict: bool) -> None:
    """Check topics, subscriptions, grants, the services' settings, the store and the clocks of a running relay.

    A line for each check, and the commands that mend what is bad. It changes nothing. With PUBSUB_EMULATOR_HOST it
    looks at an emulator, and the services' settings are those of this shell; else at Google Cloud under your account,
    and the settings are those of the Cloud Run services. Exit status: 0 all good, 1 a problem, 2 wrong use.
    """
    # Imported here, so that --help does not wait for Google's clients.
    from relay.doctor.cloud import connected
    from relay.doctor.examination import examine
    from relay.doctor.findings import Verdict
    from relay.settings.doctor import DoctorSettings

    settings = DoctorSettings.from_environ(os.environ)
    cloud = connected(settings.emulator_host, settings.firestore_emulator_host)
    findings = examine(cloud, settings, os.environ)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    problems = {Verdict.BAD, Verdict.UNKNOWN} if strict else {Verdict.BAD}
    sys.exit(1 if any(finding.verdict in problems for finding in findings) else 0)


def _print(findings: "list[Finding]") -> None:
    width = max(len(finding.check) for finding in findings)
    printed: set[str] = set()
    for finding in findings:
        verdict = click.style(f"{finding.verdict:<19}", fg=_COLOURS[finding.verdict])
        click.echo(f"{verdict}  {finding.check:<{width}}  {finding.text}")
        for command in finding.mend:
            # What mends two things is run once.
            click.echo(f"{'':21}{'(as above)' if command in printed else f'$ {command}'}")
            printed.add(command)
    counts = Counter(finding.verdict for finding in findings)
    click.echo("; ".join(f"{count} {verdict}" for verdict, count in counts.items()))
