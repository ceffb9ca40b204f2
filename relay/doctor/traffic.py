"""Checks of which revision of a service has the traffic. No I/O."""

from collections.abc import Iterator

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Service
from relay.doctor.findings import Finding, bad, good, judged, unknown
from relay.settings.doctor import DoctorSettings


def check(facts: Facts) -> Iterator[Finding]:
    """Yield the findings."""
    settings = facts.settings
    yield _judged("receiver's traffic", facts.receiver, settings.receiver_service, settings)
    yield _judged("worker's traffic", facts.worker, settings.worker_service, settings)


def _judged(check: str, service: Service | Missing, name: str, settings: DoctorSettings) -> Finding:
    return judged(check, service, lambda found: _traffic(check, found, name, settings), name=name)


def _traffic(check: str, service: Service, name: str, settings: DoctorSettings) -> Finding:
    serving = service.serving
    if serving is None:
        return unknown(check, "there is no Cloud Run on this machine")
    if not serving.is_pinned:
        return good(check, f"{serving.revision} has it, and the next deployment will")
    split = f" and {serving.shares - 1} other revisions" if serving.shares > 1 else ""
    text = f"pinned to {serving.revision}{split}: later deployments and settings get no traffic"
    if serving.latest != serving.revision:
        text = f"{text}. {serving.latest} is newer: after a rollback deploy a good revision before you run this"
    return bad(check, text, commands.of_service(settings, name, service).send_traffic_to_latest())
