"""Writes entries to Cloud Logging with Google's client, for what others must be able to see."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from relay.errors import LogUnwritable
from relay.investigation.cloud_logging import connected_client

if TYPE_CHECKING:
    from google.cloud.logging import Client

LOG_NAME = "relay-console"
MAX_ENTRIES_IN_A_REQUEST = 500  # Cloud Logging takes 10 MB in a request; an entry here has 2 KB at most, and its ids.


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEntry:
    """One structured entry."""

    fields: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)


class CloudEntries:
    """The console's log in one project."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    @classmethod
    def connected(cls, project: str) -> Self:
        """Return the log in `project`. Raises LogUnwritable if there are no credentials."""
        from google.auth.exceptions import DefaultCredentialsError

        try:
            return cls(connected_client(project))
        except (DefaultCredentialsError, OSError) as error:
            raise LogUnwritable(f"Cloud Logging cannot be written: {' '.join(str(error).split())}") from error

    def __str__(self) -> str:
        return f"Cloud Logging of the project {self._client.project}, log {LOG_NAME}"

    def write(self, entries: Iterable[CloudEntry]) -> None:
        """Write all of them. Raises LogUnwritable; then some may be written, those before the refused ones."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.logging import Resource

        # Without a resource, the client asks the metadata server which machine this is.
        resource = Resource(type="global", labels={"project_id": self._client.project})
        log = self._client.logger(LOG_NAME, resource=resource)
        left = iter(entries)
        while some := list(islice(left, MAX_ENTRIES_IN_A_REQUEST)):
            batch = log.batch()
            for entry in some:
                batch.log_struct(dict(entry.fields), labels=dict(entry.labels), severity="NOTICE", resource=resource)
            try:
                batch.commit(partial_success=False)
            except (GoogleAPICallError, GoogleAuthError, OSError) as error:
                raise LogUnwritable(f"{self} does not take an entry: {' '.join(str(error).split())}") from error
