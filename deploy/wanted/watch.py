"""What is in ../monitoring, applied as it is but for the installation's names, and who is told."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.gcloud import API, Command
from deploy.installation import Installation
from deploy.resources import NAME, Change, Found, Item, Resource, agrees

_FILES = Path(__file__).parent.parent / "monitoring"
_API = "monitoring.googleapis.com"
_METRICS: Command = ("logging", "metrics")
_KNOWN_AFTER_SECONDS = 600  # How long Cloud Monitoring may need to know a log-based metric that was just made.
_CHANNELS: Command = ("beta", "monitoring", "channels")
_DASHBOARDS: Command = ("monitoring", "dashboards")
_NAMED = ("receiver_service", "worker_service", "pubsub_subscription", "pubsub_dead_letter_subscription")


def items(installation: Installation) -> list[Item]:
    """Return the declared items but for the policies."""
    metrics = [_metric(path.stem, read(path, installation)) for path in sorted(_FILES.glob("metrics/*.yaml"))]
    dashboard = _dashboard(read(_FILES / "dashboard.json", installation))
    channel = _channel(installation)
    return [*metrics, dashboard, *([channel] if channel else [])]


def policies(installation: Installation) -> list[Item]:
    """Return the alert policies; they refer to what `items` makes, to the channel by the name that Google gave."""
    channel = _channel(installation)
    files = sorted(_FILES.glob("alerts/*.yaml"))
    named = tuple(installation.alert_channels.split())
    return [
        AlertPolicy(installation.project, content=read(path, installation), channel=channel, named=named)
        for path in files
    ]


def read(path: Path, installation: Installation) -> dict[str, Any]:
    """Return a file of ../monitoring with the names that this installation uses."""
    text = path.read_text()
    for setting in _NAMED:
        default = next(each.default for each in dataclasses.fields(Installation) if each.name == setting)
        text = re.sub(rf"(?<![\w-]){default}(?![\w-])", getattr(installation, setting), text)
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _metric(name: str, content: Mapping[str, Any]) -> Resource:
    return Resource(
        what=f"log-based metric {name}",
        api="logging.googleapis.com",
        listed_by=(*_METRICS, "list"),
        identity={"name": name},
        settings=content,
        create=(*_METRICS, "create", name, "--config-from-file=-"),
        update=(*_METRICS, "update", name, "--config-from-file=-"),
        delete=(*_METRICS, "delete", name),
        stdin=json.dumps(content),
    )


def _dashboard(content: Mapping[str, Any]) -> Resource:
    return Resource(
        what=f"dashboard {content['displayName']}",
        api=_API,
        listed_by=(*_DASHBOARDS, "list"),
        identity={"displayName": content["displayName"]},
        settings=content,
        create=(*_DASHBOARDS, "create", "--config-from-file=-"),
        update=(*_DASHBOARDS, "update", NAME, "--config-from-file=-"),
        delete=(*_DASHBOARDS, "delete", NAME),
        stdin=json.dumps(content),
    )


def _channel(installation: Installation) -> Resource | None:
    email = installation.alert_email
    if not email:
        return None
    what = "OneStock relay"
    return Resource(
        what=f"notification channel to {email}",
        api=_API,
        listed_by=(*_CHANNELS, "list"),
        identity={"displayName": what},
        settings={"type": "email", "labels": {"email_address": email}},
        create=(
            *(*_CHANNELS, "create", f"--display-name={what}", "--type=email"),
            f"--channel-labels=email_address={email}",
        ),
        update=(*_CHANNELS, "update", NAME, f"--update-channel-labels=email_address={email}"),
        delete=(*_CHANNELS, "delete", NAME),
    )


@dataclass(frozen=True, slots=True)
class AlertPolicy(Item):
    """A policy, and the channels that it tells beside those that somebody has given it.

    Policies are changed one after another, as Cloud Monitoring demands. Only fields that are wrong are sent: a PATCH
    replaces everything that its mask does not leave out, channels included.
    """

    project: str
    content: Mapping[str, Any]
    channel: Resource | None
    named: tuple[str, ...] = ()

    @property
    def _listed_by(self) -> Command:
        return (API, "GET", "monitoring", f"v3/projects/{self.project}/alertPolicies?pageSize=1000")

    def lookups(self, found: Found) -> Iterator[Command]:
        """See `Item`."""
        if found.has_api(_API):
            yield self._listed_by
        if self.channel is not None:
            yield from self.channel.lookups(found)

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        existing = self._existing(found)
        told = list(existing.get("notificationChannels", ())) if existing else []
        wanted = {**self.content, "notificationChannels": told + [one for one in self._told(found) if one not in told]}
        if existing is None:
            yield self._change("create", "POST", f"projects/{self.project}/alertPolicies", wanted)
            return
        wrong = {key: value for key, value in wanted.items() if not agrees(value, existing.get(key))}
        if wrong:
            path = f"{existing['name']}?updateMask={','.join(wrong)}"
            yield self._change(f"update {', '.join(wrong)} of", "PATCH", path, wrong)

    def removals(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        existing = self._existing(found)
        if existing is not None:
            yield self._change("delete", "DELETE", existing["name"], {})

    def _existing(self, found: Found) -> dict[str, Any] | None:
        name = self.content["displayName"]
        return next((row for row in found.rows(self._listed_by) if row["displayName"] == name), None)

    def _told(self, found: Found) -> list[str]:
        channel = self.channel.existing(found) if self.channel is not None else None
        return [*([channel["name"]] if channel else []), *self.named]

    def _change(self, verb: str, method: str, path: str, body: Mapping[str, Any]) -> Change:
        return Change(
            what=f"{verb} alert policy {self.content['displayName']}",
            command=(API, method, "monitoring", f"v3/{path}"),
            stdin=json.dumps(body) if body else "",
            patience_seconds=_KNOWN_AFTER_SECONDS,
        )
