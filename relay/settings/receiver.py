"""What the receiver reads."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BeforeValidator, Field, SecretStr, model_validator

from relay.settings.base import ResourceName, ServiceSettings, split_commas

MAX_RECORDING = timedelta(days=14)


class SignatureMode(StrEnum):
    """What the receiver does about signatures."""

    REQUIRED = "required"
    RECORD = "record"
    OFF = "off"


class SignedString(StrEnum):
    """What OneStock signs. Which of the two is right is open until a captured request settles it."""

    TIMESTAMP_BODY = "timestamp.body"
    TIMESTAMP = "timestamp"


class ReceiverSettings(ServiceSettings):
    """What the receiver reads."""

    topic: ResourceName = Field(alias="PUBSUB_TOPIC", description="The topic that the events are published to.")
    hash_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(split_commas)] = Field(
        default=(),
        alias="ONESTOCK_HASH_KEYS",
        description="The hash keys of your OneStock webhooks, newest first, comma separated.",
    )
    signature: SignatureMode = Field(
        default=SignatureMode.REQUIRED,
        alias="ONESTOCK_SIGNATURE",
        description="required; record, which accepts everything and logs header and body of each webhook "
        "(docs/signature.md); or off to try things locally (refused on Cloud Run).",
    )
    record_until: AwareDatetime | None = Field(
        default=None,
        alias="ONESTOCK_RECORD_UNTIL",
        description="When record ends and required begins, such as 2026-12-01T00:00:00Z; at most 14 days ahead. Needed "
        "on Cloud Run.",
    )
    signed_string: SignedString = Field(
        default=SignedString.TIMESTAMP_BODY,
        alias="ONESTOCK_SIGNED_STRING",
        description="What OneStock signs: timestamp.body, or timestamp alone (which leaves the body unproven).",
    )
    signature_tolerance_seconds: float = Field(
        default=21_600,
        alias="ONESTOCK_SIGNATURE_TOLERANCE",
        ge=0,
        allow_inf_nan=False,
        description="How old a signature may be, in seconds. Retries run for half an hour, so keep it well above that.",
    )
    publish_budget_seconds: float = Field(
        default=10,
        alias="PUBLISH_BUDGET_SECONDS",
        gt=0,
        le=14,
        description="How long a webhook may wait for Pub/Sub, in seconds; then 503. OneStock waits 15.",
    )
    max_waiting_publishes: int = Field(
        default=80,
        alias="MAX_WAITING_PUBLISHES",
        ge=1,
        description="How many webhooks may be under way at once; more are answered 503 at once. Below "
        "RECEIVER_THREADS, so that threads are left to answer those and /health.",
    )
    max_bytes_under_way: int = Field(
        default=60_000_000,
        alias="MAX_BYTES_UNDER_WAY",
        ge=1_000,
        description="How many bytes of bodies may be under way at once in one process; what does not fit is answered "
        "503 at once. A body takes up to four times its size of memory.",
    )
    threads: int = Field(
        default=96,
        alias="RECEIVER_THREADS",
        ge=2,
        description="How many requests the receiver answers at once.",
    )

    @model_validator(mode="after")
    def _signature_is_checked(self) -> Self:
        if self.signature is SignatureMode.OFF and self.is_on_cloud_run:
            raise ValueError("ONESTOCK_SIGNATURE: off is refused on Cloud Run; set it to required")
        if self.signature is not SignatureMode.OFF and not self.hash_keys:
            raise ValueError(
                "ONESTOCK_HASH_KEYS: missing; set it, newest first, or set ONESTOCK_SIGNATURE=off to try things locally"
            )
        return self

    @model_validator(mode="after")
    def _threads_are_left(self) -> Self:
        if self.threads <= self.max_waiting_publishes:
            raise ValueError(
                f"RECEIVER_THREADS ({self.threads}): must be above MAX_WAITING_PUBLISHES "
                f"({self.max_waiting_publishes}); else nothing answers /health while Pub/Sub is slow"
            )
        return self

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        # A body that comes in chunks takes buffers beside itself.
        if self.max_bytes_under_way < 2 * self.max_body_bytes:
            raise ValueError("MAX_BYTES_UNDER_WAY: below twice MAX_BODY_BYTES, so that the largest webhook may not fit")
        return self

    @model_validator(mode="after")
    def _recording_ends(self) -> Self:
        # A time that has passed is no mistake: the check is then required. An instance that would refuse to start would
        # stop the feed, also where every signature is right.
        if self.signature is not SignatureMode.RECORD:
            return self
        if self.record_until is None and self.is_on_cloud_run:
            raise ValueError("ONESTOCK_RECORD_UNTIL: missing; record accepts webhooks from anybody, say until when")
        if self.record_until is not None and self.record_until - datetime.now(UTC) > MAX_RECORDING:
            raise ValueError(
                f"ONESTOCK_RECORD_UNTIL: more than {MAX_RECORDING.days} days ahead; choose an earlier time"
            )
        return self

    @property
    def topic_path(self) -> str:
        """The topic's full name, `projects/PROJECT/topics/TOPIC`."""
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def hash_key_bytes(self) -> tuple[bytes, ...]:
        """The keys as HMAC takes them, newest first."""
        return tuple(key.get_secret_value().encode() for key in self.hash_keys)
