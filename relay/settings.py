"""The settings of the services and the commands, from environment variables. The only reader of the environment.

Each field's alias is the variable, its description is what the README and `.env.example` say of it.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from relay.errors import ConfigurationError
from relay.signature import SignedString

_RESOURCE_NAME = re.compile(r"[A-Za-z][\w.~+%-]{2,254}", re.ASCII)


class LogContent(StrEnum):
    """How much of a webhook's body the receiver's log line holds."""

    FULL = "full"
    REDACTED = "redacted"
    OFF = "off"


class PushAuth(StrEnum):
    """Who may push to the worker."""

    OIDC = "oidc"
    IAM = "iam"
    OFF = "off"


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _resource_name(value: Any) -> Any:
    """Accept both `orders` and `projects/my-project/topics/orders`; the short name is what is kept."""
    name = value.rpartition("/")[2] if isinstance(value, str) else value
    if isinstance(name, str) and not _RESOURCE_NAME.fullmatch(name):
        raise ValueError("is not a Pub/Sub name: 3 to 255 letters, digits and -._~+%, a letter first")
    return name


ResourceName = Annotated[str, BeforeValidator(_resource_name)]


class _Settings(BaseModel):
    """What everybody reads who speaks to Pub/Sub."""

    # hide_input: a validation error would otherwise print the value, which may be a secret.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    project: str = Field(
        alias="GOOGLE_CLOUD_PROJECT",
        min_length=1,
        description="The Google Cloud project that holds topic and services.",
    )
    emulator_host: str | None = Field(
        default=None,
        alias="PUBSUB_EMULATOR_HOST",
        description="host:port of a Pub/Sub emulator; leave it out on Google Cloud.",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`; an empty variable counts as missing.

        Raises ConfigurationError with one line that names every variable that is missing or wrong.
        """
        try:
            return cls.model_validate({name: value for name, value in environ.items() if value.strip()})
        except ValidationError as error:
            raise ConfigurationError(_problems_of(error)) from None


class _ServiceSettings(_Settings):
    """What both services read."""

    log_content: LogContent = Field(
        default=LogContent.FULL,
        alias="LOG_CONTENT",
        description="How much of each webhook's body is logged: full, redacted (values that may be about a person "
        "are masked) or off.",
    )
    max_body_bytes: int = Field(
        default=20_000_000,
        alias="MAX_BODY_BYTES",
        ge=1_000,
        le=32_000_000,
        description="The largest webhook that is accepted, in bytes; above it 413. Cloud Run's own limit is 32 MiB.",
    )
    cloud_run_service: str | None = Field(
        default=None,
        alias="K_SERVICE",
        description="Set by Cloud Run. The switches that turn a check off are then refused.",
    )

    @property
    def is_on_cloud_run(self) -> bool:
        """Whether Cloud Run started this process."""
        return self.cloud_run_service is not None


class ReceiverSettings(_ServiceSettings):
    """What the receiver reads."""

    topic: ResourceName = Field(alias="PUBSUB_TOPIC", description="The topic that the events are published to.")
    hash_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(_split)] = Field(
        default=(),
        alias="ONESTOCK_HASH_KEYS",
        description="The hash keys of your OneStock webhooks, newest first, comma separated.",
    )
    signature: Literal["required", "off"] = Field(
        default="required",
        alias="ONESTOCK_SIGNATURE",
        description="required, or off to try things locally (refused on Cloud Run).",
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
        default=1_000,
        alias="MAX_WAITING_PUBLISHES",
        ge=1,
        description="How many webhooks may wait for Pub/Sub at once; more are answered 503 at once.",
    )

    @model_validator(mode="after")
    def _signature_is_checked(self) -> Self:
        if self.signature == "off" and self.is_on_cloud_run:
            raise ValueError("ONESTOCK_SIGNATURE: off is refused on Cloud Run; set it to required")
        if self.signature == "required" and not self.hash_keys:
            raise ValueError(
                "ONESTOCK_HASH_KEYS: missing; set it, newest first, or set ONESTOCK_SIGNATURE=off to try things locally"
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


class WorkerSettings(_ServiceSettings):
    """What the worker reads."""

    dead_letter_topic: ResourceName = Field(
        alias="PUBSUB_DEAD_LETTER_TOPIC", description="The topic that rejected and unreadable events are copied to."
    )
    push_auth: PushAuth = Field(
        alias="PUSH_AUTH",
        description="Who checks that a push comes from your subscription: oidc (the worker), iam (Cloud Run's invoker "
        "check) or off (nobody; refused on Cloud Run).",
    )
    push_audience: str | None = Field(
        default=None, alias="PUSH_AUDIENCE", description="The audience of the push subscription's tokens; for oidc."
    )
    push_service_account: str | None = Field(
        default=None,
        alias="PUSH_SERVICE_ACCOUNT",
        description="The e-mail of the service account that the push subscription signs with; for oidc.",
    )
    push_certificates_url: str = Field(
        default="https://www.googleapis.com/oauth2/v1/certs",
        alias="PUSH_CERTIFICATES_URL",
        description="Where the token issuer publishes its certificates. Only tests change it (refused on Cloud Run).",
    )
    handlers_package: str = Field(
        default="handlers",
        alias="HANDLERS_PACKAGE",
        pattern=r"^[A-Za-z_][\w.]*$",
        description="The Python package whose modules hold the handlers.",
    )
    idempotency_store: Literal["memory", "firestore"] = Field(
        default="memory",
        alias="IDEMPOTENCY_STORE",
        description="Where handled events are remembered: memory (one worker process, forgotten at its end) or "
        "firestore (needs requirements-firestore.txt).",
    )
    firestore_emulator_host: str | None = Field(
        default=None,
        alias="FIRESTORE_EMULATOR_HOST",
        description="host:port of a Firestore emulator; leave it out on Google Cloud.",
    )
    firestore_database: str = Field(
        default="(default)",
        alias="FIRESTORE_DATABASE",
        min_length=1,
        description="The Firestore database, in Native mode.",
    )
    handler_budget_seconds: float = Field(
        default=60,
        alias="HANDLER_BUDGET_SECONDS",
        gt=0,
        description="How long one handler may take for one event, in seconds; then the delivery is nacked.",
    )
    ack_deadline_seconds: float = Field(
        default=600,
        alias="ACK_DEADLINE_SECONDS",
        ge=10,
        le=600,
        description="The push subscription's ack deadline, in seconds: how long Pub/Sub waits for the worker.",
    )
    lease_seconds: float = Field(
        default=660,
        alias="LEASE_SECONDS",
        gt=0,
        description="How long a claim on a handler run holds if the worker dies, in seconds.",
    )
    retention_seconds: float = Field(
        default=8 * 86_400,
        alias="RETENTION_SECONDS",
        gt=0,
        description="How long a handled event is remembered, in seconds; longer than Pub/Sub keeps a message (7 days).",
    )
    dateless_window_seconds: float = Field(
        default=3_600,
        alias="DATELESS_WINDOW_SECONDS",
        ge=1_800,
        description="Two equal events without a date are two if they arrive further apart than this, in seconds. "
        "OneStock repeats one event for half an hour.",
    )

    @model_validator(mode="after")
    def _push_is_checked(self) -> Self:
        if self.push_auth is PushAuth.OFF and self.is_on_cloud_run:
            raise ValueError("PUSH_AUTH: off is refused on Cloud Run; set it to oidc or iam")
        if self.push_auth is PushAuth.OIDC and not (self.push_audience and self.push_service_account):
            raise ValueError("PUSH_AUTH: oidc needs PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNT; set both")
        default_url = type(self).model_fields["push_certificates_url"].default
        if self.is_on_cloud_run and self.push_certificates_url != default_url:
            raise ValueError("PUSH_CERTIFICATES_URL: only tests may change it; unset it on Cloud Run")
        return self

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if not self.handler_budget_seconds < self.ack_deadline_seconds:
            raise ValueError(
                "HANDLER_BUDGET_SECONDS must be below ACK_DEADLINE_SECONDS; else Pub/Sub repeats what still runs"
            )
        if not self.ack_deadline_seconds < self.lease_seconds:
            raise ValueError(
                "LEASE_SECONDS must be above ACK_DEADLINE_SECONDS; else a claim ends while its delivery runs"
            )
        return self

    @property
    def dead_letter_topic_path(self) -> str:
        """The dead-letter topic's full name, `projects/PROJECT/topics/TOPIC`."""
        return f"projects/{self.project}/topics/{self.dead_letter_topic}"


class ToolSettings(_Settings):
    """What the commands for people on call read."""

    topic: ResourceName = Field(alias="PUBSUB_TOPIC", description="The topic that events go back to.")
    dead_letter_subscription: ResourceName = Field(
        alias="PUBSUB_DEAD_LETTER_SUBSCRIPTION",
        description="The pull subscription that keeps the dead letters.",
    )

    @property
    def topic_path(self) -> str:
        """The topic's full name, `projects/PROJECT/topics/TOPIC`."""
        return f"projects/{self.project}/topics/{self.topic}"

    @property
    def dead_letter_subscription_path(self) -> str:
        """The subscription's full name, `projects/PROJECT/subscriptions/SUBSCRIPTION`."""
        return f"projects/{self.project}/subscriptions/{self.dead_letter_subscription}"


def _problems_of(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    texts = []
    for problem in problems:
        text = problem["msg"].removeprefix("Value error, ")
        variable = ".".join(str(part) for part in problem["loc"][:1])
        texts.append(f"{variable}: {text}" if variable else text)
    return "; ".join(texts)
