"""A declared list of webhooks, and what OneStock lacks of it. No I/O: text and webhooks in, steps out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from relay.errors import ConfigurationError
from relay.message import is_event_type
from relay.onestock.models import Webhook, WebhookStatus


class DeclaredWebhook(BaseModel):
    """One event type that is wanted, and in which status."""

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
    """What a file declares: `webhooks:`, a list of event types, or of `{event_type, status}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhooks: tuple[DeclaredWebhook, ...] = Field(min_length=1)

    @field_validator("webhooks", mode="before")
    @classmethod
    def _names_alone_will_do(cls, value: Any) -> Any:
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
        """Return what a YAML file declares. Raises ConfigurationError, one line that names file and place."""
        try:
            return cls.model_validate(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{name}: is not YAML: {' '.join(str(error).split())}") from error
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in problem["loc"]) or "file"
            raise ConfigurationError(f"{name}: {place}: {problem['msg'].removeprefix('Value error, ')}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One difference between what is declared and what OneStock has."""

    event_type: str
    url: str
    wanted: WebhookStatus | None
    """The status it gets; None where nothing is done and somebody should look."""
    webhook_id: str | None = None
    """None for one that does not exist yet."""
    found: str = "missing"

    def __str__(self) -> str:
        if self.wanted is None:
            return f"left      {self.event_type}: {self.webhook_id} ({self.found}) is not declared"
        if self.webhook_id is None:
            return f"create    {self.event_type} ({self.wanted}) -> {self.url}"
        return f"change    {self.event_type}: {self.webhook_id} from {self.found} to {self.wanted}"


def url_for(base: str, event_type: str) -> str:
    """Return the URL of an event type's webhook: nothing in a message names its type, so the URL does."""
    return f"{base.rstrip('/')}/{event_type}"


def difference(declaration: Declaration, ours: Iterable[Webhook], *, base: str) -> list[Step]:
    """Return the steps that make OneStock match. Nothing is ever deleted: what is not declared is only told.

    `ours` are the webhooks that lead to our receiver, `base` is its URL without an event type.
    """
    left = list(ours)
    steps = []
    for declared in declaration.webhooks:
        url = url_for(base, declared.event_type)
        fitting = [webhook for webhook in left if webhook.url == url and declared.event_type in webhook.event_types]
        left = [webhook for webhook in left if webhook not in fitting]
        steps += _steps_for(declared, url, fitting)
    undeclared = [
        Step(
            event_type=", ".join(webhook.event_types),
            url=webhook.url,
            wanted=None,
            webhook_id=webhook.id,
            found=webhook.status,
        )
        for webhook in left
        if not webhook.is_disabled
    ]
    return steps + undeclared


def _steps_for(declared: DeclaredWebhook, url: str, fitting: Sequence[Webhook]) -> list[Step]:
    """Return what is to be done for one: of several (after a key rotation) only the one that serves is changed."""
    if any(webhook.status == declared.status for webhook in fitting):
        return []
    step = Step(event_type=declared.event_type, url=url, wanted=declared.status)
    if not fitting:
        return [step]
    latest = fitting[-1]
    return [Step(event_type=step.event_type, url=url, wanted=step.wanted, webhook_id=latest.id, found=latest.status)]
