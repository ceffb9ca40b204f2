"""The secrets, who may read them, and their first values. The build sees which versions there are, not the values."""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.errors import WrongUse
from deploy.gcloud import Command
from deploy.installation import Installation
from deploy.resources import Change, Found, Grant, Item, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstValue(Item):
    """The first version of a secret; later ones are added by a person."""

    secret: Resource
    name: str
    value: Callable[[], str]

    @property
    def _versions(self) -> Command:
        return ("secrets", "versions", "list", self.name, "--filter=state=ENABLED", "--limit=1")

    def lookups(self, found: Found) -> Iterator[Command]:
        """See `Item`."""
        if self.secret.existing(found):
            yield self._versions

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        if not found.rows(self._versions):
            command = ("secrets", "versions", "add", self.name, "--data-file=-")
            yield Change(what=f"give secret {self.name} its first value", command=command, stdin=self.value())


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
    grants = (Grant.on_resource(secret, installation.member(account), role) for account, role in readers.items())
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
