"""What is in ../monitoring, applied as it is but for the installation's names, and who is told."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.gcloud import Command
from deploy.installation import Installation
from deploy.resources import NAME, Change, Found, Item, Resource

_FILES = Path(__file__).parent.parent / "monitoring"
_API = "monitoring.googleapis.com"
_METRICS: Command = ("logging", "metrics")
_POLICIES: Command = ("alpha", "monitoring", "policies")
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
    return [AlertPolicy(content=read(path, installation), channel=channel) for path in files]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """A policy, and the channel that it tells."""

    content: Mapping[str, Any]
    channel: Resource | None

    def lookups(self, found: Found) -> Iterator[Command]:
        """See `Item`."""
        if self.channel is not None:
            yield from self.channel.lookups(found)
        yield from self._telling(found).lookups(found)

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        yield from self._telling(found).changes(found)

    def removals(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        yield from self._telling(found).removals(found)

    def _telling(self, found: Found) -> Resource:
        channel = self.channel.existing(found) if self.channel is not None else None
        content = {**self.content, "notificationChannels": [channel["name"]] if channel else []}
        return Resource(
            what=f"alert policy {content['displayName']}",
            api=_API,
            listed_by=(*_POLICIES, "list"),
            identity={"displayName": content["displayName"]},
            settings=content,
            create=(*_POLICIES, "create", "--policy-from-file=-"),
            update=(*_POLICIES, "update", NAME, "--policy-from-file=-"),
            delete=(*_POLICIES, "delete", NAME),
            stdin=json.dumps(content),
        )
