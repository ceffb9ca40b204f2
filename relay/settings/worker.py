"""What the worker reads."""

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from relay.settings.base import HostAndPort, ResourceName, ServiceSettings
from relay.settings.destinations import DestinationSettings
from relay.settings.webhooks import WatchdogSettings
from relay.topology import COMPLETED_RUNS_ARE_REMEMBERED_SECONDS


class PushAuth(StrEnum):
    """Who may push to the worker."""

    OIDC = "oidc"
    IAM = "iam"
    OFF = "off"


class WorkerSettings(ServiceSettings):
    """What the worker reads, with what its parts read."""

    onestock: WatchdogSettings | None = None
    """OneStock's API and the webhooks there; None where ONESTOCK_API_URL is unset."""
    destinations: DestinationSettings

    dead_letter_topic: ResourceName = Field(
        alias="PUBSUB_DEAD_LETTER_TOPIC", description="The topic that rejected and unreadable events are copied to."
    )
    push_auth: PushAuth = Field(
        alias="PUSH_AUTH",
        description="Who verifies that a push comes from your subscription: iam (Cloud Run's invoker check; the worker "
        "compares what the token claims), oidc (the worker, anywhere else) or off (nobody; refused on Cloud Run).",
    )
    push_audience: str | None = Field(
        default=None, alias="PUSH_AUDIENCE", description="The audience of the push subscription's tokens."
    )
    push_service_account: str | None = Field(
        default=None,
        alias="PUSH_SERVICE_ACCOUNT",
        description="The e-mail of the service account that the push subscription's tokens name.",
    )
    watchdog_service_account: str | None = Field(
        default=None,
        alias="WATCHDOG_SERVICE_ACCOUNT",
        description="The e-mail of the service account with which Cloud Scheduler calls the watchdog, with the "
        "audience PUSH_AUDIENCE; PUSH_SERVICE_ACCOUNT if unset.",
    )
    push_certificates_url: str = Field(
        default="https://www.googleapis.com/oauth2/v1/certs",
        alias="PUSH_CERTIFICATES_URL",
        description="Where the token issuer publishes its certificates. Only tests change it (refused on Cloud Run).",
    )
    threads: int = Field(
        default=24,
        alias="WORKER_THREADS",
        ge=2,
        description="How many requests the worker answers at once; more than Cloud Run sends it, so that one is left "
        "for /health.",
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
    firestore_emulator_host: HostAndPort | None = Field(
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
    max_overdue_runs: int = Field(
        default=32,
        alias="MAX_OVERDUE_RUNS",
        ge=1,
        description="How many handler runs may go on after their budget. From then on deliveries are nacked without a "
        "run, and /health fails, so that the platform replaces the instance.",
    )
    retention_seconds: float = Field(
        default=COMPLETED_RUNS_ARE_REMEMBERED_SECONDS,
        alias="RETENTION_SECONDS",
        ge=COMPLETED_RUNS_ARE_REMEMBERED_SECONDS,
        description="How long a handled event is remembered, in seconds; at least 46 days: 7 on the topic, 31 as a "
        "dead letter, 7 on the topic again after a redrive, and a day's margin.",
    )
    dateless_window_seconds: float = Field(
        default=3_600,
        alias="DATELESS_WINDOW_SECONDS",
        ge=1_800,
        description="Two equal events without a date are two if they arrive further apart than this, in seconds. "
        "OneStock repeats one event for half an hour.",
    )

    date_tolerance_seconds: int = Field(
        default=2,
        alias="RECONCILE_DATE_TOLERANCE_SECONDS",
        ge=0,
        le=60,
        description="How far a change's date in OneStock's history may be from the date in its event, in seconds, for "
        "`relay reconcile` to take both for the same change.",
    )

    @model_validator(mode="before")
    @classmethod
    def _give_each_part_its_variables(cls, variables: Any) -> Any:
        onestock = variables if variables.get("ONESTOCK_API_URL") else None
        return {**variables, "onestock": onestock, "destinations": variables}

    @model_validator(mode="after")
    def _push_is_checked(self) -> Self:
        if self.push_auth is PushAuth.OFF and self.is_on_cloud_run:
            raise ValueError("PUSH_AUTH: off is refused on Cloud Run; set it to oidc or iam")
        names_pusher = self.push_audience and self.push_service_account
        if self.push_auth is not PushAuth.OFF and not names_pusher:
            raise ValueError(f"PUSH_AUTH: {self.push_auth} needs PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNT; set both")
        if self.push_auth is PushAuth.IAM and not self.is_on_cloud_run:
            raise ValueError("PUSH_AUTH: iam relies on Cloud Run, which verifies the caller; set it to oidc elsewhere")
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

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        budget_seconds = self.handler_budget_seconds
        if self.onestock is not None:
            self.onestock.check_fits(handler_budget_seconds=budget_seconds)
        self.destinations.check_fits(
            handler_budget_seconds=budget_seconds,
            has_onestock=self.onestock is not None,
            is_on_cloud_run=self.is_on_cloud_run,
        )
        return self

    @property
    def dead_letter_topic_path(self) -> str:
        """The dead-letter topic's full name, `projects/PROJECT/topics/TOPIC`."""
        return f"projects/{self.project}/topics/{self.dead_letter_topic}"
