"""The metadata server that gives a container on Cloud Run its access token; it can go silent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.serving import Reply, Request, serving_requests

ACCOUNT = {"email": "receiver@test-relay.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]}
LONGEST_SILENCE_SECONDS = 100


@dataclass
class MetadataServer:
    """Gives tokens that are valid for `lifetime_seconds`."""

    lifetime_seconds: int = 3_600
    tokens_given: int = 0
    answering: threading.Event = field(default_factory=threading.Event)
    """Cleared, the server accepts connections and requests, and answers none."""
    host: str = ""

    @contextmanager
    def running(self) -> Iterator["MetadataServer"]:
        with serving_requests(self._answer) as url:
            self.host = url.removeprefix("http://")
            try:
                yield self
            finally:
                self.answering.set()

    @property
    def environ(self) -> dict[str, str]:
        """How google-auth finds this server."""
        return {"GCE_METADATA_HOST": self.host, "GCE_METADATA_IP": self.host}

    def _answer(self, request: Request) -> Reply:
        self.answering.wait(LONGEST_SILENCE_SECONDS)
        flavor = {"Metadata-Flavor": "Google"}
        if "/token" in request.path:
            self.tokens_given += 1
            token = {
                "access_token": f"test-token-{self.tokens_given}",
                "expires_in": self.lifetime_seconds,
                "token_type": "Bearer",
            }
            return Reply(token, headers=flavor)
        return Reply(ACCOUNT if "/service-accounts/" in request.path else "test-relay", headers=flavor)
