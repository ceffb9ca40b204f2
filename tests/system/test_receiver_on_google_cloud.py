"""Without an emulator: credentials, TLS, one connection, under real gunicorn and gevent. Only Google is a stand-in."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.pubsub_v1 import PublishRequest, PublishResponse
from relay.pubsub.publish_rpc import METHOD

from relay.local.processes import free_port
from relay.local.services import start_service
from tests.support.grpc_server import Certificate, serving
from tests.support.parts import HASH_KEY, OneStock, Service
from tests.support.serving import Reply, Request, serving_requests

WEBHOOKS = 200


@dataclass
class Google:
    """Pub/Sub's front end and the token server: they keep what they were asked."""

    tokens_given: int = 0
    refuses_first_token: bool = False
    published: list[PublishRequest] = field(default_factory=list)
    peers: Counter[str] = field(default_factory=Counter)
    authorizations: Counter[str] = field(default_factory=Counter)

    def give_token(self, request: Request) -> Reply:
        assert request.path == "/token"
        self.tokens_given += 1
        return Reply({"access_token": f"test-token-{self.tokens_given}", "expires_in": 3_600, "token_type": "Bearer"})

    def publish(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        authorization = str(dict(context.invocation_metadata())["authorization"])
        if self.refuses_first_token and authorization == "Bearer test-token-1":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "revoked")
        self.authorizations[authorization] += 1
        self.peers[str(context.peer())] += 1
        time.sleep(0.05)  # So long a call takes: what comes meanwhile must share the connection.
        self.published.append(PublishRequest.deserialize(request))
        answer: bytes = PublishResponse.serialize(PublishResponse(message_ids=[f"id-{len(self.published)}"]))
        return answer


@pytest.fixture
def google() -> Google:
    return Google()


@pytest.fixture
def receiver(google: Google, tmp_path: Path) -> Iterator[Service]:
    certificate = Certificate.of("localhost")
    (tmp_path / "google.pem").write_bytes(certificate.certificate)
    with serving_requests(google.give_token) as url, serving(METHOD, google.publish, certificate=certificate) as origin:
        account = tmp_path / "account.json"
        account.write_text(json.dumps(service_account(token_uri=f"{url}/token")))
        settings = {
            "GOOGLE_CLOUD_PROJECT": "test-relay",
            "PUBSUB_TOPIC": "events",
            "ONESTOCK_HASH_KEYS": HASH_KEY.decode(),
            "GOOGLE_APPLICATION_CREDENTIALS": str(account),
            "GOOGLE_CERTIFICATE": str(tmp_path / "google.pem"),
            "GOOGLE_PORT": str(origin.port),
        }
        port, output = free_port(), tmp_path / "receiver.log"
        child = start_service(
            "receiver", port=port, settings=settings, output=output, app="tests.support.google_receiver:receiver()"
        )
        try:
            yield Service(child, port)
        finally:
            child.stop()


def service_account(*, token_uri: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": "receiver@test-relay.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": token_uri,
    }


def test_webhooks_are_published_over_one_tls_connection_with_one_token(receiver: Service, google: Google) -> None:
    onestock = OneStock(receiver)
    bodies = [json.dumps({"order_id": f"ORD-{number}", "date": 1}).encode() for number in range(WEBHOOKS)]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(onestock.send, bodies))

    assert {answer.status_code for answer in answers} == {202}
    assert sorted(m.data for request in google.published for m in request.messages) == sorted(bodies)
    assert {request.topic for request in google.published} == {"projects/test-relay/topics/events"}
    assert google.authorizations == {"Bearer test-token-1": WEBHOOKS}
    assert len(google.peers) == 1


def test_a_revoked_token_is_replaced_within_the_webhook(receiver: Service, google: Google) -> None:
    onestock = OneStock(receiver)
    google.refuses_first_token = True

    answer = onestock.send(b'{"order_id": "ORD-1"}')

    assert answer.status_code == 202
    assert google.authorizations == {"Bearer test-token-2": 1}
    assert "test-token" not in receiver.child.output.read_text()
