"""What `relay doctor` reads: where to look. What it looks at are the services' own settings."""

from pydantic import Field

from relay import topology
from relay.settings.base import HostAndPort, ResourceName
from relay.settings.commands import SubscriptionSettings


class DoctorSettings(SubscriptionSettings):
    """Where the relay runs. The defaults are those of deploy/."""

    topic: ResourceName = Field(
        default=topology.DEFAULT_TOPIC, alias="PUBSUB_TOPIC", description="The topic that the events are published to."
    )
    dead_letter_topic: ResourceName = Field(
        default=topology.DEFAULT_DEAD_LETTER_TOPIC,
        alias="PUBSUB_DEAD_LETTER_TOPIC",
        description="The topic that rejected and unreadable events are copied to.",
    )
    dead_letter_subscription: ResourceName = Field(
        default=topology.DEFAULT_DEAD_LETTER_SUBSCRIPTION,
        alias="PUBSUB_DEAD_LETTER_SUBSCRIPTION",
        description="The pull subscription that keeps the dead letters.",
    )
    region: str = Field(
        default="europe-west1", alias="REGION", min_length=1, description="The region of both Cloud Run services."
    )
    receiver_service: str = Field(
        default="onestock-receiver",
        alias="RECEIVER_SERVICE",
        min_length=1,
        description="The Cloud Run service that OneStock calls.",
    )
    worker_service: str = Field(
        default="onestock-worker",
        alias="WORKER_SERVICE",
        min_length=1,
        description="The Cloud Run service that Pub/Sub pushes to.",
    )
    receiver_url: str | None = Field(
        default=None,
        alias="RECEIVER_URL",
        pattern="^https?://[^/]+$",
        description="Where the receiver is called, if that is not Cloud Run's own address.",
    )
    worker_url: str | None = Field(
        default=None,
        alias="WORKER_URL",
        pattern="^https?://[^/]+$",
        description="Where the worker is called, if that is not Cloud Run's own address.",
    )
    firestore_emulator_host: HostAndPort | None = Field(
        default=None,
        alias="FIRESTORE_EMULATOR_HOST",
        description="host:port of a Firestore emulator; leave it out on Google Cloud.",
    )
