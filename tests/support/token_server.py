"""Google's token server on loopback, and the key file of an invented service account that asks it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.serving import Reply, Request, serving_requests


@dataclass
class TokenServer:
    """Gives test-token-1, test-token-2 and so on; each is valid for `lifetime_seconds`."""

    lifetime_seconds: int = 3_600
    status: int = 200
    asked: int = 0
    answering: threading.Event = field(default_factory=threading.Event)
    """Cleared, the server takes requests and does not answer."""
    url: str = ""

    def give(self, request: Request) -> Reply:
        assert request.path == "/token"
        self.asked += 1
        number = self.asked
        assert self.answering.wait(60)
        if self.status != 200:
            return Reply({"error": "invalid_grant", "error_description": "invented"}, self.status)
        token = {"access_token": f"test-token-{number}", "expires_in": self.lifetime_seconds, "token_type": "Bearer"}
        return Reply(token)

    @contextmanager
    def running(self) -> Iterator["TokenServer"]:
        self.answering.set()
        with serving_requests(self.give) as self.url:
            try:
                yield self
            finally:
                self.answering.set()

    def write_account(self, file: Path) -> Path:
        """Write what GOOGLE_APPLICATION_CREDENTIALS names."""
        account = {
            "type": "service_account",
            "client_email": "receiver@test-relay.iam.gserviceaccount.com",
            "private_key": _private_key(),
            "token_uri": f"{self.url}/token",
        }
        file.write_text(json.dumps(account))
        return file


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
