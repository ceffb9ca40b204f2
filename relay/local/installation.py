"""The names of the local installation, and the environment of its services and of the commands against it."""

from collections.abc import Mapping

from relay.topology import Topology

TEST_HASH_KEY = "test-key-of-the-local-run"
RETRY_SCALE = 0.02
"""The simulated OneStock retries for half a minute instead of half an hour; its dates are those of the real clock."""

# What start_service decides, and what would make a local service believe that it runs on Cloud Run, or forget events.
_NOT_PASSED_ON = frozenset({"PORT", "BIND_HOST", "K_SERVICE", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "PYTHONPATH"})
# Where the first of a group is set, the developer means something of his own by all of it.
_ONESTOCK = ("ONESTOCK_API_URL", "ONESTOCK_SITE_ID", "ONESTOCK_USER_ID", "ONESTOCK_PASSWORD")
_DESTINATIONS = ("REFUND_URL", "SHIPMENT_URL", "FORWARD_URLS", "DESTINATION_SECRETS")


def names_of(topology: Topology, *, emulator_host: str) -> dict[str, str]:
    """Return the variables that name the installation."""
    return {
        "GOOGLE_CLOUD_PROJECT": topology.project,
        "PUBSUB_EMULATOR_HOST": emulator_host,
        "PUBSUB_TOPIC": topology.topic,
        "PUBSUB_SUBSCRIPTION": topology.subscription,
        "PUBSUB_DEAD_LETTER_TOPIC": topology.dead_letter_topic,
        "PUBSUB_DEAD_LETTER_SUBSCRIPTION": topology.dead_letter_subscription,
    }


def services_environ(
    names: Mapping[str, str], *, chosen: Mapping[str, str], simulated: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of both services.

    `chosen` is what the shell and `.env` set: it wins over `simulated`, which offers a OneStock and a customer's
    system. The names of the local installation win over both.
    """
    wanted = {name: value for name, value in chosen.items() if value.strip() and name not in _NOT_PASSED_ON}
    offered = dict(simulated)
    if "ONESTOCK_API_URL" in wanted:
        offered = {name: value for name, value in offered.items() if name not in _ONESTOCK}
    if wanted.keys() & set(_DESTINATIONS[:3]):
        offered = {name: value for name, value in offered.items() if name not in _DESTINATIONS}
    fixed = {**names, "PUSH_AUTH": "off"}
    if "FIRESTORE_EMULATOR_HOST" not in wanted:
        fixed["IDEMPOTENCY_STORE"] = "memory"
    return {"ONESTOCK_HASH_KEYS": TEST_HASH_KEY, **offered, **wanted, **fixed}
