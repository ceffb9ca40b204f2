"""Reads the services' lines from Cloud Logging, page by page, with Google's client."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from relay.errors import ConfigurationError, LogUnreadable
from relay.investigation.entries import Entry

if TYPE_CHECKING:
    from google.cloud.logging import Client

PAGE_SIZE = 1_000  # Cloud Logging's maximum. A project may read 60 pages a minute.
PAUSES_SECONDS = (10, 20, 40)  # After "quota exceeded"; together they outlast the minute that the quota counts.


class CloudLog:
    """The log of one project."""

    def __init__(
        self,
        client: "Client",
        *,
        sleep: Callable[[float], None] = time.sleep,
        pauses: tuple[float, ...] = PAUSES_SECONDS,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._pauses = pauses

    @classmethod
    def connected(cls, project: str | None) -> Self:
        """Return the log of `project`, or of the project that Google's client finds in the environment.

        Obeys gcloud's own variables CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING and CLOUDSDK_AUTH_DISABLE_CREDENTIALS.
        Raises ConfigurationError if there are no credentials, or no project.
        """
        # Imported here, so that reading a file does not wait for it.
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud.logging import Client

        options: dict[str, Any] = {}
        endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", "").rstrip("/")
        if endpoint:
            options |= {"client_options": {"api_endpoint": endpoint}, "_use_grpc": False}
        if os.environ.get("CLOUDSDK_AUTH_DISABLE_CREDENTIALS") == "1":
            options["credentials"] = AnonymousCredentials()
        try:
            return cls(Client(project=project or None, **options))
        except (DefaultCredentialsError, OSError) as error:
            raise ConfigurationError(
                f"Cloud Logging cannot be read: {str(error).rstrip('.')}. Log in (gcloud auth application-default "
                "login), set GOOGLE_CLOUD_PROJECT, or name a file of log lines with --lines"
            ) from error

    def __str__(self) -> str:
        return f"Cloud Logging of the project {self._client.project}"

    def entries(self, about: str, *, since: datetime) -> Iterator[Entry]:
        """Yield the entries that fit the filter `about`, oldest first. Raises LogUnreadable.

        When the quota is exceeded, waits and goes on after the last entry that was read.
        """
        from google.api_core.exceptions import GoogleAPICallError, TooManyRequests
        from google.auth.exceptions import GoogleAuthError

        pauses = iter(self._pauses)
        position = _Position(since)
        while True:
            try:
                yield from self._pages(about, position)
            except TooManyRequests as error:
                pause = next(pauses, None)
                if pause is None:
                    raise LogUnreadable(f"{self}: {error.message}. Wait a minute, or name a shorter range") from error
                self._sleep(pause)
            except (GoogleAPICallError, GoogleAuthError, OSError) as error:
                raise LogUnreadable(f"{self} cannot be read: {' '.join(str(error).split())}") from error
            else:
                return

    def _pages(self, about: str, position: "_Position") -> Iterator[Entry]:
        filter_ = f'{about} AND timestamp>="{position.time.isoformat()}"'
        for found in self._client.list_entries(filter_=filter_, order_by="timestamp asc", page_size=PAGE_SIZE):
            if position.is_new(found):
                yield _entry_of(found)


class _Position:
    """How far the log was read: a time, and which entries of this time were read."""

    def __init__(self, time: datetime) -> None:
        self.time = time
        self._ids: set[str] = set()

    def is_new(self, found: Any) -> bool:
        """Return whether an entry was not read before, and remember it."""
        if found.timestamp > self.time:
            self.time, self._ids = found.timestamp, set()
        if found.insert_id is not None and found.insert_id in self._ids:
            return False
        self._ids.add(found.insert_id)
        return True


def _entry_of(found: Any) -> Entry:
    fields = found.payload if isinstance(found.payload, dict) else {"message": str(found.payload)}
    time = found.timestamp.astimezone(UTC)
    return Entry(time=time, fields=fields, labels=found.labels or {}, severity=found.severity or "DEFAULT")
