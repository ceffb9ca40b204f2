"""A push request as a delivery: the standard envelope, or an unwrapped payload with metadata. No I/O.

Source: "Push subscriptions" and "Payload unwrapping" (Google Cloud Pub/Sub documentation).
"""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from relay import moments
from relay.errors import EnvelopeError
from relay.events import Delivery
from relay.message import Attribute, Message

MESSAGE_ID_HEADER = "x-goog-pubsub-message-id"
_PUBLISH_TIME_HEADER = "x-goog-pubsub-publish-time"
# The documentation names the first, the emulator sends the second.
_ORDERING_KEY_HEADERS = ("x-goog-pubsub-ordering-key", "x-goog-ordering-key")


def _decoded(value: Any) -> Any:
    """Decode strictly: pydantic's own Base64Bytes leaves out the characters that are not base64."""
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


class _PushedMessage(BaseModel):
    # Pub/Sub sends each of these names in both spellings.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    data: Annotated[bytes, BeforeValidator(_decoded)] = b""
    attributes: dict[str, str] = Field(default_factory=dict)
    message_id: str = Field(min_length=1, validation_alias=AliasChoices("messageId", "message_id"))
    published_at: datetime | None = Field(default=None, validation_alias=AliasChoices("publishTime", "publish_time"))
    ordering_key: str = Field(default="", validation_alias=AliasChoices("orderingKey", "ordering_key"))


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    message: _PushedMessage
    subscription: str = Field(min_length=1)
    delivery_attempt: int | None = Field(default=None, ge=1, alias="deliveryAttempt")


def read(headers: Mapping[str, str], body: bytes, *, max_body_bytes: int, now: datetime) -> Delivery:
    """Return the delivery in a push request.

    `headers` has lower-case names; `now` stands in where the publish time is missing.
    `max_body_bytes` bounds what a compressed body may become. Raises EnvelopeError if this is no push.
    """
    if headers.get(MESSAGE_ID_HEADER):
        return _read_unwrapped(headers, body, max_body_bytes=max_body_bytes, now=now)
    try:
        envelope = _Envelope.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "body"
        raise EnvelopeError(
            f"not a Pub/Sub push: {place}: {problem['msg']}. If the subscription unwraps payloads, "
            "it must also write the metadata (--push-no-wrapper-write-metadata)"
        ) from None
    pushed = envelope.message
    message = Message(data=pushed.data, attributes=pushed.attributes, ordering_key=pushed.ordering_key)
    return message.to_delivery(
        message_id=pushed.message_id,
        published_at=moments.in_utc(pushed.published_at or now),
        delivery_attempt=envelope.delivery_attempt,
        max_body_bytes=max_body_bytes,
    )


def _read_unwrapped(headers: Mapping[str, str], body: bytes, *, max_body_bytes: int, now: datetime) -> Delivery:
    # WSGI shows a header named event_id as event-id.
    attributes = {name.value: value for name in Attribute if (value := headers.get(name.replace("_", "-")))}
    if Attribute.EVENT_ID not in attributes:
        raise EnvelopeError(
            "unwrapped push without the attribute event_id: a proxy drops headers with an underscore; "
            "use a wrapped push subscription (--clear-push-no-wrapper-config)"
        )
    ordering_key = next((headers[name] for name in _ORDERING_KEY_HEADERS if headers.get(name)), "")
    message = Message(data=body, attributes=attributes, ordering_key=ordering_key)
    return message.to_delivery(
        message_id=headers[MESSAGE_ID_HEADER],
        published_at=moments.from_text(headers.get(_PUBLISH_TIME_HEADER)) or now,
        delivery_attempt=None,
        max_body_bytes=max_body_bytes,
    )
