"""The secrets, who may read them, and their first values. The build sees which versions there are, not the values."""

import os
import secrets
from collections.abc import Callable

from deploy.errors import WrongUse
from deploy.installation import Installation
from deploy.resources import FirstValue, Grant, Item, Resource


def items(installation: Installation) -> list[Item]:
    """Return the declared items."""
    declared = _secret(installation, installation.hash_keys_secret, reader="receiver", value=_hash_keys)
    if installation.calls_onestock:
        declared += _secret(installation, installation.password_secret, reader="worker", value=_password)
    if installation.destinations_secret:
        declared += _secret(installation, installation.destinations_secret, reader="worker", value=_destinations)
    return declared


def _secret(installation: Installation, name: str, *, reader: str, value: Callable[[], str]) -> list[Item]:
    secret = Resource(
        what=f"secret {name}",
        api="secretmanager.googleapis.com",
        listed_by=("secrets", "list"),
        identity={"name": name},
        # In the region: organisations that say where data may lie refuse automatic replication.
        create=("secrets", "create", name, "--replication-policy=user-managed", f"--locations={installation.region}"),
        delete=("secrets", "delete", name),
    )
    readers = {reader: "roles/secretmanager.secretAccessor", "build": "roles/secretmanager.viewer"}
    grants = (
        Grant(
            group=("secrets",),
            name=name,
            on=secret,
            member=f"serviceAccount:{installation.account(account)}",
            role=role,
        )
        for account, role in readers.items()
    )
    return [secret, FirstValue(secret=secret, name=name, value=value), *grants]


def _hash_keys() -> str:
    """Return the keys that OneStock's webhooks have already, else a new one for the webhooks to be made with."""
    return os.environ.get("ONESTOCK_HASH_KEYS") or secrets.token_urlsafe(32)


def _password() -> str:
    return _brought("ONESTOCK_PASSWORD")


def _destinations() -> str:
    return _brought("DESTINATION_SECRETS")


def _brought(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise WrongUse(f"{variable}: missing; set it for the first run, which puts it into the secret")
    return value
