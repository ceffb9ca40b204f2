"""Reads the services' lines from Cloud Logging, page by page, with Google's client."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from relay.errors import ConfigurationError, LogUnreadable
from relay.investigation.entries import Entry, trace_id_of
from relay.investigation.search import CANONICAL, LineFilter, of_events

if TYPE_CHECKING:
    from google.cloud.logging import Client

PAGE_SIZE = 1_000  # Cloud Logging's maximum. A project may read 60 pages a minute.
FIRST_SLICE = timedelta(minutes=1)
MAX_EVENTS_IN_FILTER = 200  # Of 64 digits each; Cloud Logging takes a filter of 20,000 characters.
PAUSES_SECONDS = (10, 20, 40)  # After "quota exceeded"; together they outlast the minute that the quota counts.


def connected_client(project: str | None) -> "Client":
    """Return Google's client for the log of `project`, or of the project that the client finds in the environment.

    Obeys gcloud's own variables CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING and CLOUDSDK_AUTH_DISABLE_CREDENTIALS.
    Raises DefaultCredentialsError or OSError if there are no credentials, or no project.
    """
    # Imported here, so that reading a file does not wait for it.
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.logging import Client

    options: dict[str, Any] = {}
    endpoint = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", "").rstrip("/")
    if endpoint:
        options |= {"client_options": {"api_endpoint": endpoint}, "_use_grpc": False}
    if os.environ.get("CLOUDSDK_AUTH_DISABLE_CREDENTIALS") == "1":
        options["credentials"] = AnonymousCredentials()
    return Client(project=project or None, **options)


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

        Raises ConfigurationError as `connected_client` does.
        """
        from google.auth.exceptions import DefaultCredentialsError

        try:
            return cls(connected_client(project))
        except (DefaultCredentialsError, OSError) as error:
            if not project:
                raise ConfigurationError(
                    "No local run goes on in this folder (make run). Name files of log lines with --lines, or a "
                    "project with --project or GOOGLE_CLOUD_PROJECT"
                ) from error
            raise ConfigurationError(
                f"Cloud Logging of the project {project} cannot be read: {str(error).rstrip('.')}. Log in: gcloud auth "
                "application-default login"
            ) from error

    def __str__(self) -> str:
        return f"Cloud Logging of the project {self._client.project}"

    def entries(self, about: str, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        """Yield the entries that fit the filter `about`, oldest first. Raises LogUnreadable.

        When the quota is exceeded, waits and goes on after the last entry that was read.
        """
        from google.api_core.exceptions import GoogleAPICallError, TooManyRequests
        from google.auth.exceptions import GoogleAuthError

        pauses = iter(self._pauses)
        if until is not None:
            about = f'{about} AND timestamp<"{until.isoformat()}"'
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

    def slices(self, since: datetime) -> list[tuple[datetime, datetime | None]]:
        """Return slices of the time since then, the newest first: a minute, and then each twice as long."""
        found: list[tuple[datetime, datetime | None]] = []
        end, length = None, FIRST_SLICE
        start = datetime.now(UTC)
        while start > since:
            start = max(since, start - length)
            found.append((start, end))
            end, length = start, length * 2
        return found

    def lines(self, wanted: LineFilter, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        """Yield the webhook and delivery lines of a time range that are meant. Raises LogUnreadable."""
        return self.entries(" AND ".join([CANONICAL, *wanted.conditions()]), since=since, until=until)

    def lines_of_events(self, wanted: LineFilter, *, since: datetime, until: datetime | None) -> Iterator[Entry]:
        """Yield all canonical lines from `since` on of the events that have one that is meant before `until`.

        Lines about no event come if they are meant. Raises LogUnreadable.
        """
        ids: dict[str, None] = {}
        for entry in self.lines(wanted, since=since, until=until):
            if entry.event_id:
                ids[entry.event_id] = None
            else:
                yield entry
        named = list(ids)
        for start in range(0, len(named), MAX_EVENTS_IN_FILTER):
            some = of_events(named[start : start + MAX_EVENTS_IN_FILTER])
            yield from self.entries(f"{CANONICAL} AND {some}", since=since)

    def all_lines(self, wanted: LineFilter, *, since: datetime, until: datetime | None = None) -> Iterator[Entry]:
        """Yield every line that is meant, what handlers have logged included. Raises LogUnreadable."""
        return self.entries(" AND ".join(wanted.conditions()), since=since, until=until)

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
    severity, trace_id = found.severity or "DEFAULT", trace_id_of(found.trace)
    return Entry(time=time, fields=fields, labels=found.labels or {}, severity=severity, trace_id=trace_id)
