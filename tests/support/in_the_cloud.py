"""What lies in the cloud of a test after a deployment, as tests compare it."""

from typing import Any

from google.pubsub_v1 import PublisherClient, SubscriberClient

from tests.support.google_cloud import GoogleCloud

Described = dict[str, dict[str, Any]]


def described(cloud: GoogleCloud) -> Described:
    """Return what the emulator has in the project: topics and subscriptions by their short names."""
    project = f"projects/{cloud.project}"
    topics = PublisherClient().list_topics(project=project, timeout=10)
    subscriptions = SubscriberClient().list_subscriptions(project=project, timeout=10)
    return {each.name.rpartition("/")[2]: type(each).to_dict(each) for each in (*topics, *subscriptions)}


def grants(cloud: GoogleCloud, where: str) -> set[tuple[str, str, str]]:
    """Return a policy's grants as (member, role, condition); `where` is the end of the path of what it is on."""
    policy = next(policy for (_, path), policy in cloud.policies.items() if path.endswith(where))
    given = {
        (member, binding["role"], binding.get("condition", {}).get("expression", ""))
        for binding in policy.get("bindings", [])
        for member in binding["members"]
    }
    return {(m.replace(cloud.project, "PROJECT"), role, c.replace(cloud.project, "PROJECT")) for m, role, c in given}


def held(cloud: GoogleCloud, api: str, kind: str) -> list[dict[str, Any]]:
    """Return what an API holds of one kind."""
    return [value for (of, path), value in cloud.held.items() if of == api and path.split("/")[-2] == kind]


def without_names(described_resource: dict[str, Any]) -> dict[str, Any]:
    """Drop what differs from the local run: names, topics, the push endpoint's identity, and the regions."""
    kept = {
        key: value
        for key, value in described_resource.items()
        if key not in {"name", "topic", "push_config", "message_storage_policy"}
    }
    if kept.get("dead_letter_policy"):
        kept["dead_letter_policy"] = {"attempts": kept["dead_letter_policy"]["max_delivery_attempts"]}
    return kept
