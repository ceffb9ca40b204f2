"""`relay doctor`: is everything set up as it must be, and if not, which command mends it."""

import os
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from relay.cli.documents import print_json
from relay.cli.tables import say, wrapped
from relay.local.display import width_of

if TYPE_CHECKING:
    from relay.doctor.cloud import Cloud
    from relay.doctor.findings import Finding

_COLOURS = {"good": "green", "bad": "red", "unknown": "yellow"}


@click.command(epilog=("\b\nExamples:\n  GOOGLE_CLOUD_PROJECT=my-project relay doctor\n  relay doctor --json | jq"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@click.option("--strict", is_flag=True, help="Count an unknown as a problem.")
@click.pass_obj
def doctor(cloud: "Cloud | None", *, as_json: bool, strict: bool) -> None:
    """Check a running relay: topics, subscriptions, grants, both services, the store, the alerts and the clocks.

    Prints a line for each check, and under a bad one the commands that mend it. It changes nothing. With
    PUBSUB_EMULATOR_HOST it looks at an emulator and takes the services' settings from this shell; otherwise it looks at
    Google Cloud with your credentials and takes the settings from the revisions that have the traffic. `unknown` means
    that your account may not read something, or that an emulator does not have it. Exit status: 0 nothing is bad, 1
    something is bad, 2 wrong use. In the folder of a local run it looks at that run.
    """
    # Imported here, so that --help does not wait for Google's clients.
    from relay.doctor.examination import examined
    from relay.doctor.findings import Verdict
    from relay.doctor.local_run import LEFT_OUT, is_local_run
    from relay.settings.doctor import DoctorSettings

    findings = examined(os.environ, cloud)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
        if is_local_run(DoctorSettings.from_environ(os.environ), os.environ):
            say(LEFT_OUT)
    problems = {Verdict.BAD, Verdict.UNKNOWN} if strict else {Verdict.BAD}
    sys.exit(1 if any(finding.verdict in problems for finding in findings) else 0)


def _print(findings: "list[Finding]") -> None:
    width = max(len(finding.check) for finding in findings)
    printed: set[str] = set()
    for finding in findings:
        line = f"{finding.verdict:<7}  {finding.check:<{width}}  {finding.text}"
        shown = wrapped(line, width=width_of(sys.stdout), indent=9 + width + 2)
        verdict = click.style(finding.verdict, fg=_COLOURS[finding.verdict])
        click.echo(f"{verdict}{shown.removeprefix(finding.verdict)}")
        for command in finding.commands:
            # A command that mends two faults is run once.
            click.echo(f"{'':9}{'(as above)' if command in printed else f'$ {command}'}")
            printed.add(command)
    counts = Counter(finding.verdict for finding in findings)
    click.echo("; ".join(f"{count} {verdict}" for verdict, count in counts.items()))
