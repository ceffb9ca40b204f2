"""What goes over the wire is what google-cloud-pubsub would send and read."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.pubsub_v1 import PublishRequest, PublishResponse, PubsubMessage
from hypothesis import given
from hypothesis import strategies as st

from relay.pubsub.publish_rpc import publish_rpc, wire_types

REQUEST, MESSAGE, RESPONSE = wire_types()
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(data=st.binary(max_size=50), attributes=st.dictionaries(TEXT, TEXT, max_size=5), ordering_key=TEXT)
def test_googles_client_reads_what_we_send(data: bytes, attributes: dict[str, str], ordering_key: str) -> None:
    ours = REQUEST(topic="t", messages=[MESSAGE(data=data, attributes=attributes, ordering_key=ordering_key)] * 2)

    read = PublishRequest.deserialize(ours.SerializeToString())

    expected = PubsubMessage(data=data, attributes=attributes, ordering_key=ordering_key)
    assert read == PublishRequest(topic="t", messages=[expected, expected])


@given(message_ids=st.lists(TEXT))
def test_we_read_what_pubsub_answers(message_ids: list[str]) -> None:
    read = RESPONSE.FromString(PublishResponse.serialize(PublishResponse(message_ids=message_ids)))

    assert list(read.message_ids) == message_ids


def test_without_an_emulator_the_channel_has_the_environments_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "receiver@test-relay.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": "http://127.0.0.1:1/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)

    publish = publish_rpc("projects/p/topics/t")

    assert callable(publish)
