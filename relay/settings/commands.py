"""What the commands for people on call read."""

from pydantic import Field

from relay import topology
from relay.settings.base import PubSubSettings, ResourceName

LOCAL_RUN_URL = "RELAY_LOCAL_URL"
"""The variable of `.relay/local.env` that is there while a local run goes on: where the run takes calls."""


class TopicSettings(PubSubSettings):
    """What the commands that publish read."""

    topic: ResourceName = Field(alias="PUBSUB_TOPIC", description="The topic that events go back to.")

    @property
    def topic_path(self) -> str:
        """The topic's full name, `projects/PROJECT/topics/TOPIC`."""
        return topology.topic_path(self.project, self.topic)


class SubscriptionSettings(PubSubSettings):
    """What the commands read that look at the push subscription."""

    subscription: ResourceName = Field(
        default=topology.DEFAULT_SUBSCRIPTION,
        alias="PUBSUB_SUBSCRIPTION",
        description="The subscription that pushes the events to the worker.",
    )

    @property
    def subscription_path(self) -> str:
        """The subscription's full name, `projects/PROJECT/subscriptions/SUBSCRIPTION`."""
        return topology.subscription_path(self.project, self.subscription)


class ToolSettings(TopicSettings):
    """What the commands for people on call read."""

    dead_letter_subscription: ResourceName = Field(
        alias="PUBSUB_DEAD_LETTER_SUBSCRIPTION",
        description="The pull subscription that keeps the dead letters.",
    )

    @property
    def dead_letter_subscription_path(self) -> str:
        """The subscription's full name, `projects/PROJECT/subscriptions/SUBSCRIPTION`."""
        return topology.subscription_path(self.project, self.dead_letter_subscription)
