"""The findings about the local run, which has no Google Cloud around it and is mended by starting it again. No I/O."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from relay.doctor.findings import PUBSUB, Finding, Verdict
from relay.settings.commands import LOCAL_RUN_URL
from relay.settings.doctor import DoctorSettings

LEFT_OUT = "Left out, since a local run has none: grants, Cloud Run and alerts"
LOGS = ".relay/logs"

_OF_GOOGLE_CLOUD = frozenset(
    {
        "delivery attempts",
        "push identity",
        "push audience",
        "invoker check",
        "dead-letter publisher",
        "dead-letter subscriber",
        "receiver may publish",
        "worker may quarantine",
        "push may call worker",
        "OneStock may call receiver",
        "receiver's traffic",
        "worker's traffic",
        "receiver's time",
        "limits",
        "store's expiry",
        "alerts",
    }
)
"""The checks that say nothing where Google Cloud is missing."""


def is_local_run(settings: DoctorSettings, environ: Mapping[str, str]) -> bool:
    """Return whether what is examined is the local run that goes on in this folder."""
    return settings.emulator_host is not None and bool(environ.get(LOCAL_RUN_URL))


def of_local_run(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings that a local run can have, with the commands that mend them there."""
    for finding in findings:
        if finding.verdict is Verdict.BAD:
            yield _mended_locally(finding)
        elif finding.verdict is Verdict.GOOD or finding.check not in _OF_GOOGLE_CLOUD:
            yield finding


def _mended_locally(finding: Finding) -> Finding:
    if finding.check in ("receiver answers", "worker answers"):
        log = f"{LOGS}/{finding.check.split()[0]}.log"
        return replace(finding, text=f"{finding.text}; the terminal of the local run and {log} say why", commands=())
    if finding.check == PUBSUB:
        text = (
            f"the emulator does not answer; its log: {LOGS}/emulator.log. Unless an outage is being played, start again"
        )
        return replace(finding, text=text, commands=("make run",))
    # gcloud would change a project of this name on Google Cloud.
    if any(command.startswith("gcloud ") for command in finding.commands):
        text = f"{finding.text}; stop the local run (Ctrl-C) and start it again"
        return replace(finding, text=text, commands=("make run",))
    return finding
