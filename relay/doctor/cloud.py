"""Reads Google's REST APIs. It tells a resource that does not exist from one that the caller may not read."""

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol

import requests
from google.auth.exceptions import GoogleAuthError

from relay.doctor.findings import Absent, Unreadable
from relay.errors import ConfigurationError
from relay.pubsub.calls import unreachable

ANSWER_SECONDS = 10
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GOOGLE = {
    "pubsub": "https://pubsub.googleapis.com/v1",
    "run": "https://run.googleapis.com/v2",
    "secretmanager": "https://secretmanager.googleapis.com/v1",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com/v3",
    "firestore": "https://firestore.googleapis.com/v1",
    "monitoring": "https://monitoring.googleapis.com/v3",
}

_NAMES = {
    "run": "Cloud Run",
    "cloudresourcemanager": "projects",
    "firestore": "Firestore (set FIRESTORE_EMULATOR_HOST)",
    "monitoring": "Cloud Monitoring",
}


class Session(Protocol):
    """The part of `requests.Session` that we use; Google's session adds the credentials."""

    def request(self, method: str, url: str, *, json: Any = None, timeout: float = 0) -> requests.Response:
        """Send a request."""
        ...


class Cloud:
    """Reads Google's APIs. An API without a URL (on an emulator) cannot be read."""

    def __init__(
        self,
        session: Session,
        urls: Mapping[str, str],
        *,
        stranger: requests.Session | None = None,
        now: Callable[[], float] = time.time,
        emulator_host: str | None = None,
    ) -> None:
        """`stranger` has no credentials; `now` is this machine's clock, in Unix seconds.

        `emulator_host` is the Pub/Sub emulator's, None on Google Cloud.
        """
        self._session = session
        self._stranger = stranger or requests.Session()
        self._urls = urls
        self._now = now
        self._emulator_host = emulator_host
        self.skews_seconds: dict[str, float] = {}
        """How far the clock of each host is ahead of ours, from its last answer; 0 as far as its whole seconds tell."""
        self.outages: dict[str, Unreadable] = {}
        """The APIs that cannot be reached, which are not asked again: each question would wait as long."""

    def get(self, api: str, path: str) -> dict[str, Any] | Absent | Unreadable:
        """Return the resource at `path` of an API."""
        return self._read("GET", api, path, None)

    def policy(self, api: str, path: str) -> dict[str, Any] | Absent | Unreadable:
        """Return the IAM policy of the resource at `path`."""
        method = "POST" if api == "cloudresourcemanager" else "GET"
        return self._read(method, api, f"{path}:getIamPolicy", {} if method == "POST" else None)

    def status_of(self, url: str) -> int | Unreadable:
        """Return the status that `url` answers to a caller without credentials."""
        try:
            answer = self._stranger.get(url, timeout=ANSWER_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            return _outage(url, error)
        self._note_clock(url, answer)
        return answer.status_code

    def _read(self, method: str, api: str, path: str, body: Any) -> dict[str, Any] | Absent | Unreadable:
        if api not in self._urls:
            return Unreadable(f"an emulator has no {_NAMES.get(api, api)}")
        if api in self.outages:
            return self.outages[api]
        url = f"{self._urls[api]}/{path}"
        try:
            answer = self._session.request(method, url, json=body, timeout=ANSWER_SECONDS)
        except (requests.RequestException, GoogleAuthError) as error:
            return self.outages.setdefault(api, self._outage_of(api, error))
        self._note_clock(url, answer)
        return _resource_in(answer, api, url)

    def _outage_of(self, api: str, error: Exception) -> Unreadable:
        if api == "pubsub":
            return Unreadable(unreachable(self._emulator_host, type(error).__name__), is_outage=True)
        return _outage("/".join(self._urls[api].split("/")[:3]), error)

    def _note_clock(self, url: str, answer: requests.Response) -> None:
        if "Date" in answer.headers:
            host = url.split("/")[2]
            ahead_seconds = parsedate_to_datetime(answer.headers["Date"]).timestamp() - self._now()
            # A Date has whole seconds: the host's clock is up to a second further.
            self.skews_seconds[host] = ahead_seconds if ahead_seconds > 0 else min(0.0, ahead_seconds + 1)


def connected(emulator_host: str | None, firestore_emulator_host: str | None) -> Cloud:
    """Return Google's APIs with this machine's credentials, or the emulators' APIs without any.

    Raises ConfigurationError if this machine has no credentials.
    """
    if emulator_host:
        urls = {"pubsub": f"http://{emulator_host}/v1"}
        if firestore_emulator_host:
            urls["firestore"] = f"http://{firestore_emulator_host}/v1"
        return Cloud(requests.Session(), urls, emulator_host=emulator_host)
    # Imported here, so that --help does not wait for it.
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError as error:
        raise ConfigurationError(
            f"No Google credentials: {error}. Log in: gcloud auth application-default login; or set "
            "PUBSUB_EMULATOR_HOST to look at an emulator"
        ) from error
    return Cloud(AuthorizedSession(credentials), GOOGLE)


def _resource_in(answer: requests.Response, api: str, url: str) -> dict[str, Any] | Absent | Unreadable:
    try:
        content = answer.json()
    except requests.JSONDecodeError as error:
        return _outage(url, error)
    if answer.ok and isinstance(content, dict):
        return content
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return Absent()
    if answer.status_code == HTTPStatus.NOT_IMPLEMENTED:
        return Unreadable("an emulator has no grants")
    problem = content.get("error", {}).get("message", "") if isinstance(content, dict) else ""
    return Unreadable(f"{api} answered {answer.status_code} {problem}".replace("\n", " ").strip())


def _outage(url: str, error: Exception) -> Unreadable:
    return Unreadable(f"{url.split('?', maxsplit=1)[0]} does not answer: {type(error).__name__}", is_outage=True)
