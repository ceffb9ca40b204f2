"""A declared list of webhooks, and how OneStock's differ from it. No I/O: text and webhooks in, differences out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from relay.errors import ConfigurationError
from relay.message import is_event_type
from relay.onestock.models import RegisteredWebhook, WebhookStatus


class DeclaredWebhook(BaseModel):
    """An event type that OneStock shall have a webhook for, and the webhook's status."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_type: str
    status: WebhookStatus = WebhookStatus.ENABLED

    @field_validator("event_type")
    @classmethod
    def _is_an_event_type(cls, value: str) -> str:
        if not is_event_type(value):
            raise ValueError("is no event type (1 to 128 characters, no slash)")
        return value


class Declaration(BaseModel):
    """The content of a file: `webhooks:` with a list of event types, or of `{event_type, status}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhooks: tuple[DeclaredWebhook, ...] = Field(min_length=1)

    @field_validator("webhooks", mode="before")
    @classmethod
    def _accept_names_alone(cls, value: Any) -> Any:
        return (
            [{"event_type": item} if isinstance(item, str) else item for item in value]
            if isinstance(value, list)
            else value
        )

    @field_validator("webhooks")
    @classmethod
    def _once_each(cls, value: tuple[DeclaredWebhook, ...]) -> tuple[DeclaredWebhook, ...]:
        types = [webhook.event_type for webhook in value]
        doubled = sorted({event_type for event_type in types if types.count(event_type) > 1})
        if doubled:
            raise ValueError(f"declared twice: {', '.join(doubled)}")
        return value

    @classmethod
    def read(cls, text: str, *, name: str) -> Self:
        """Return the declaration in a YAML file. Raises ConfigurationError, one line that names file and place."""
        try:
            return cls.model_validate(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{name}: is not YAML: {' '.join(str(error).split())}") from error
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in problem["loc"]) or "file"
            raise ConfigurationError(f"{name}: {place}: {problem['msg'].removeprefix('Value error, ')}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDifference:
    """One difference between the declaration and OneStock, and the status that removes it."""

    event_type: str
    url: str
    target_status: WebhookStatus | None
    """The status that the webhook gets; None for a webhook that is not declared, which a person has to look at."""
    webhook_id: str | None = None
    """None for a webhook that does not exist yet."""
    found_status: str = "missing"

    def __str__(self) -> str:
        if self.target_status is None:
            return f"left      {self.event_type}: {self.webhook_id} ({self.found_status}) is not declared"
        if self.webhook_id is None:
            return f"create    {self.event_type} ({self.target_status}) -> {self.url}"
        return f"change    {self.event_type}: {self.webhook_id} from {self.found_status} to {self.target_status}"


def url_for(base: str, event_type: str) -> str:
    """Return the URL of an event type's webhook. The URL names the event type, because no message does."""
    return f"{base.rstrip('/')}/{event_type}"


def differences_from(
    declaration: Declaration, ours: Iterable[RegisteredWebhook], *, base: str
) -> list[WebhookDifference]:
    """Return how OneStock differs from the declaration. A webhook that is not declared is reported, never deleted.

    `ours` are the webhooks that lead to our receiver, `base` is its URL without an event type.
    """
    left = list(ours)
    differences = []
    for declared in declaration.webhooks:
        url = url_for(base, declared.event_type)
        fitting = [webhook for webhook in left if webhook.url == url and declared.event_type in webhook.event_types]
        left = [webhook for webhook in left if webhook not in fitting]
        differences += _differences_of(declared, url, fitting)
    undeclared = [
        WebhookDifference(
            event_type=", ".join(webhook.event_types),
            url=webhook.url,
            target_status=None,
            webhook_id=webhook.id,
            found_status=webhook.status,
        )
        for webhook in left
        if not webhook.is_disabled
    ]
    return differences + undeclared


def _differences_of(
    declared: DeclaredWebhook, url: str, fitting: Sequence[RegisteredWebhook]
) -> list[WebhookDifference]:
    """Return the difference of one declared webhook, if there is one.

    After a key rotation several webhooks fit; then the status of the latest counts, because it has the newest key.
    """
    if any(webhook.status == declared.status for webhook in fitting):
        return []
    missing = WebhookDifference(event_type=declared.event_type, url=url, target_status=declared.status)
    if not fitting:
        return [missing]
    return [replace(missing, webhook_id=fitting[-1].id, found_status=fitting[-1].status)]
