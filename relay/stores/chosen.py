"""The stores that the settings choose. A store's client is imported only where it is chosen."""

from collections.abc import Mapping

from relay.errors import ConfigurationError
from relay.settings.worker import WorkerSettings
from relay.stores import Store
from relay.stores.sightings import Sightings


def store_of(settings: WorkerSettings) -> Store:
    """Return the idempotency store. Raises ConfigurationError if its client is not installed."""
    if settings.idempotency_store == "memory":
        from relay.stores.memory import MemoryStore

        return MemoryStore(dateless_window_seconds=settings.dateless_window_seconds)
    try:
        from relay.stores.firestore import FirestoreStore
    except ImportError as error:
        raise ConfigurationError(
            f"IDEMPOTENCY_STORE: firestore needs its client ({error}): pip install -r requirements-firestore.txt"
        ) from error
    return FirestoreStore(
        project=settings.project,
        database=settings.firestore_database,
        dateless_window_seconds=settings.dateless_window_seconds,
    )


def sightings_of(settings: WorkerSettings) -> Sightings:
    """Return where the watchdog remembers since when a webhook is as it is."""
    return _sightings(settings.idempotency_store, project=settings.project, database=settings.firestore_database)


def sightings_in(environ: Mapping[str, str]) -> Sightings:
    """Return the watchdog's memory for a command, which has not all of the worker's settings; empty if unreachable."""
    return _sightings(
        environ.get("IDEMPOTENCY_STORE", ""),
        project=environ.get("GOOGLE_CLOUD_PROJECT", ""),
        database=environ.get("FIRESTORE_DATABASE") or "(default)",
    )


def _sightings(store: str, *, project: str, database: str) -> Sightings:
    if store != "firestore":
        from relay.stores.sightings import MemorySightings

        return MemorySightings()
    from relay.stores.firestore_sightings import FirestoreSightings

    return FirestoreSightings(project=project, database=database)
