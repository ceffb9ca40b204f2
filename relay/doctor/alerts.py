"""Checks of the alerts: do the relay's alert policies exist, and do they tell anybody. No I/O."""

from collections.abc import Iterator

from relay.doctor import commands
from relay.doctor.facts import AlertPolicy, Facts, NotificationChannel
from relay.doctor.findings import Finding, bad, good, judged, unknown
from relay.settings.doctor import DoctorSettings

POLICY_PREFIX = "OneStock - "  # The display names in deploy/monitoring/alerts begin with it.
CHANNEL = "OneStock relay"  # The display name of the channel that deploy/ creates.
_YOUR_ADDRESS = "YOUR-ADDRESS"


def check(facts: Facts) -> Iterator[Finding]:
    """Yield the findings."""
    check_name = "alerts"
    if isinstance(facts.channels, tuple):
        channels = facts.channels
        yield judged(
            check_name, facts.alert_policies, lambda found: _alerts(found, channels, facts.settings), name="the alerts"
        )
        return
    yield judged(check_name, facts.channels, lambda _: unknown(check_name, ""), name="the notification channels")


def _alerts(
    policies: tuple[AlertPolicy, ...], channels: tuple[NotificationChannel, ...], settings: DoctorSettings
) -> Finding:
    check_name = "alerts"
    ours = [policy for policy in policies if policy.display_name.startswith(POLICY_PREFIX)]
    address = next((found.labels.get("email_address") for found in channels if found.display_name == CHANNEL), None)
    command = commands.apply_watch(settings.project, address or _YOUR_ADDRESS)
    if not ours:
        return bad(check_name, f"no alert policy begins with {POLICY_PREFIX!r}: nobody learns of an outage", command)
    working = {channel.name for channel in channels if channel.enabled}
    silent = [policy.display_name for policy in ours if not working & set(policy.notification_channels)]
    if silent:
        text = f"{len(silent)} of {len(ours)} alert policies tell nobody: {silent[0].removeprefix(POLICY_PREFIX)}, ..."
        return bad(check_name, text, command)
    disabled = [policy.display_name for policy in ours if not policy.enabled]
    if disabled:
        return bad(check_name, f"disabled: {', '.join(disabled)}", command)
    return good(check_name, f"{len(ours)} alert policies tell somebody")
