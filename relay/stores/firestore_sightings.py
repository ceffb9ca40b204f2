"""Sightings in Firestore: shared by all workers and commands, and kept when they end."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore import Client, DocumentReference

from relay.errors import StoreError
from relay.stores.sightings import Sighting

COLLECTION = "onestock_relay_webhooks"
RPC_TIMEOUT_SECONDS = 5


class FirestoreSightings:
    """Implements `relay.stores.sightings.Sightings`."""

    def __init__(self, *, project: str, database: str) -> None:
        self._client = Client(project=project, database=database)

    def get(self, webhook_id: str) -> Sighting:
        """See `Sightings.get`."""
        with _store_errors():
            fields = self._at(webhook_id).get(timeout=RPC_TIMEOUT_SECONDS).to_dict() or {}
        return Sighting(enabled_at=fields.get("enabled_at"), is_down=bool(fields.get("is_down")))

    def put(self, webhook_id: str, sighting: Sighting) -> None:
        """See `Sightings.put`."""
        with _store_errors():
            self._at(webhook_id).set({"webhook_id": webhook_id, **asdict(sighting)}, timeout=RPC_TIMEOUT_SECONDS)

    def _at(self, webhook_id: str) -> DocumentReference:
        # Hashed, since any id may come from OneStock, and not any is one for Firestore.
        return self._client.collection(COLLECTION).document(hashlib.sha256(webhook_id.encode()).hexdigest())


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError) as error:
        raise StoreError(f"Firestore does not answer: {type(error).__name__}: {error}") from error
