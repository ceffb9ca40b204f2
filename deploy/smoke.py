"""Tries what was deployed before the receiver gets the traffic: the candidate's answers, and the way of one event.

The attribute `smoke` makes the worker handle the event by itself: it reaches no handler of the customer.
"""

import hashlib
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from deploy.errors import DeployError
from deploy.gcloud import Command, Gcloud
from deploy.installation import Installation
from deploy.wanted.pubsub import TOPICS_LISTED, pause_marker

EVENT_TYPE = "relay_smoke"
WAIT_SECONDS = 60
EVENT_WAIT_SECONDS = 300  # A grant just made, a cold start, a repeated delivery, and the log's own delay.
_PAUSE_SECONDS = 5
_ACCEPTED, _UNAUTHORIZED = 200, 401

Sleep = Callable[[float], None]


def try_receiver(url: str, *, refuses_unsigned: bool, sleep: Sleep = time.sleep) -> None:
    """Demand that the receiver is healthy and, if it should, refuses an unsigned webhook.

    One that records would publish it, so it is not asked. A new address needs some seconds until it is known
    everywhere. Raises DeployError.
    """
    health = _status(f"{url}/health", None)
    for _ in range(WAIT_SECONDS):
        if health == _ACCEPTED:
            break
        sleep(1)
        health = _status(f"{url}/health", None)
    if health != _ACCEPTED:
        raise DeployError(f"{url}/health answered {health} instead of 200 for {WAIT_SECONDS} s; not promoted")
    if not refuses_unsigned:
        return
    unsigned = _status(f"{url}/webhooks/onestock/smoke_test", b"{}")
    if unsigned != _UNAUTHORIZED:
        raise DeployError(f"{url} answered {unsigned} instead of 401 to an unsigned webhook; not promoted")


def try_event(
    gcloud: Gcloud, installation: Installation, *, within_seconds: int = EVENT_WAIT_SECONDS, sleep: Sleep = time.sleep
) -> str:
    """Publish one event, wait until the worker's log says that it was handled, and return what came of it.

    The event takes the way of every other: topic, subscription, worker, store. So a wrong audience or a missing grant
    shows here. Raises DeployError.
    """
    topics = gcloud.read(TOPICS_LISTED) or []
    if any(topic["name"].endswith(f"/{pause_marker(installation)}") for topic in topics):
        return "pushes are paused, so no event was tried; after `relay resume`: python -m deploy smoke"
    body = json.dumps({"topic": EVENT_TYPE, "smoke_id": uuid.uuid4().hex})
    event_id = hashlib.sha256(f"{EVENT_TYPE}\n{body}".encode()).hexdigest()
    gcloud.change(_publish(installation, body, event_id))
    seen = "the worker wrote no line about it"
    for _ in range(within_seconds // _PAUSE_SECONDS + 1):
        outcomes = _outcomes(gcloud.read(_lines(installation, event_id)) or [])
        if "handled" in outcomes:
            return f"handled event {event_id}"
        if outcomes:
            seen = f"the worker's outcome was {', '.join(sorted(outcomes))}"
        sleep(_PAUSE_SECONDS)
    raise DeployError(
        f"event {event_id} of the type {EVENT_TYPE} was not handled within {within_seconds} s: {seen}; the receiver "
        "is not promoted. See: relay doctor. The worker's revision before: python -m deploy rollback worker"
    )


def _publish(installation: Installation, body: str, event_id: str) -> Command:
    received_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    attributes = f"smoke=true,event_type={EVENT_TYPE},event_id={event_id},received_at={received_at}"
    topic = installation.pubsub_topic
    return ("pubsub", "topics", "publish", topic, f"--message={body}", f"--attribute={attributes}")


def _lines(installation: Installation, event_id: str) -> Command:
    wanted = (
        f'resource.type="cloud_run_revision" AND resource.labels.service_name="{installation.worker_service}"'
        f' AND jsonPayload.line="delivery" AND jsonPayload.event_id="{event_id}"'
    )
    return ("logging", "read", wanted, "--freshness=1h", "--limit=20")


def _outcomes(entries: list[dict[str, Any]]) -> set[str]:
    return {str(entry.get("jsonPayload", {}).get("outcome")) for entry in entries}


def _status(url: str, body: bytes | None) -> int | str:
    try:
        with urllib.request.urlopen(url, data=body, timeout=10) as response:  # noqa: S310 - the URL is Cloud Run's
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return f"nothing ({error})"
