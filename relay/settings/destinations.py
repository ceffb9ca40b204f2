"""What the worker's own handlers read: where they hand over refunds, shipments and events, and by which rules."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from relay.message import is_event_type
from relay.settings.base import FromEnviron, http_url_parts, split_commas
from relay.topology import COMPLETED_RUNS_ARE_REMEMBERED_SECONDS

EVERY_OTHER = "*"
SECRET_PREFIX = "whsec_"  # noqa: S105 - marks a secret, and is none
SECRET_BYTES = range(24, 65)  # "Standard Webhooks", on symmetric secrets: 24 to 64 bytes.
_ANY_HOST = ""


def _checked_url(value: str) -> str:
    parts = http_url_parts(value, example="https://shop.example.com/onestock")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("must hold neither a user, nor a password, nor a fragment")
    return value


Url = Annotated[str, AfterValidator(_checked_url)]


def _split_forwards(value: Any) -> Any:
    """Turn `EVENT_TYPE=URL EVENT_TYPE=URL` into a mapping."""
    if not isinstance(value, str):
        return value
    forwards: dict[str, str] = {}
    for part in value.split():
        event_type, equals, url = part.partition("=")
        if not equals or not is_event_type(event_type):
            raise ValueError("write EVENT_TYPE=URL, separated by spaces; * stands for every other event type")
        if event_type in forwards:
            raise ValueError(f"{event_type} stands there twice; an event type has one destination")
        forwards[event_type] = url
    return forwards


def _split_secrets(value: Any) -> Any:
    """Turn `whsec_... HOST=whsec_...` into the secrets of each host, in their order."""
    if not isinstance(value, str):
        return value
    secrets: dict[str, tuple[SecretStr, ...]] = {}
    for part in value.split():
        host, _, secret = (_ANY_HOST, "", part) if part.startswith(SECRET_PREFIX) else part.partition("=")
        if not _is_secret(secret):
            raise ValueError(
                "holds something else than whsec_ and 24 to 64 bytes in base64, or HOST=whsec_..., separated by spaces"
            )
        secrets[host.lower()] = (*secrets.get(host.lower(), ()), SecretStr(secret))
    return secrets


def _is_secret(text: str) -> bool:
    try:
        decoded = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(SECRET_PREFIX) and len(decoded) in SECRET_BYTES


class DestinationSettings(FromEnviron):
    """What the worker's own handlers read. Without a URL they hand over nothing."""

    refund_url: Url | None = Field(
        default=None,
        alias="REFUND_URL",
        description="Where each refund is handed over (docs/destinations.md); needs ONESTOCK_API_URL.",
    )
    shipment_url: Url | None = Field(
        default=None,
        alias="SHIPMENT_URL",
        description="Where each shipment is handed over; needs ONESTOCK_API_URL.",
    )
    forward_urls: Annotated[Mapping[str, Url], BeforeValidator(_split_forwards)] = Field(
        default_factory=dict,
        alias="FORWARD_URLS",
        description="Where the events themselves go: EVENT_TYPE=URL, separated by spaces; * is every other type.",
    )
    secrets: Annotated[Mapping[str, tuple[SecretStr, ...]], BeforeValidator(_split_secrets)] = Field(
        default_factory=dict,
        alias="DESTINATION_SECRETS",
        description="What is handed over is signed with these (Standard Webhooks): whsec_... for all hosts, or "
        "HOST=whsec_..., separated by spaces. Of several for one host all sign, so that one can be replaced.",
    )
    refund_states: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        default=("removed", "out_of_stock", "issue"),
        alias="REFUND_STATES",
        description="The states of line item groups in which their pieces are refunded, comma separated.",
    )
    shipment_states: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        default=(),
        alias="SHIPMENT_STATES",
        description="The states in which a parcel with tracking is a shipment, comma separated; unset, in every state.",
    )
    index_range_end: Literal["included", "excluded"] = Field(
        default="included",
        alias="ONESTOCK_INDEX_RANGE_END",
        description="Whether the last index of an index range belongs to it: included ({from: 0, to: 1} is two pieces) "
        "or excluded. OneStock does not document it; a wrong value refunds nothing and says so in the dead letters.",
    )
    refund_wait_seconds: float = Field(
        default=900,
        alias="REFUND_WAIT_SECONDS",
        ge=0,
        description="How long after its receipt an event is retried while OneStock does not say for certain which "
        "pieces to refund, in seconds; then it goes to the dead letters. Later events of the order wait meanwhile.",
    )
    budget_seconds: float = Field(
        default=10,
        alias="DESTINATION_BUDGET_SECONDS",
        gt=0,
        description="How long handing over one thing may take, from connecting to the answer's last byte, in seconds.",
    )
    effect_retention_seconds: float = Field(
        default=400 * 86_400,
        alias="EFFECT_RETENTION_SECONDS",
        ge=COMPLETED_RUNS_ARE_REMEMBERED_SECONDS,
        description="How long the worker remembers that it handed over a refund or a shipment, in seconds; longer than "
        "an order can still change.",
    )

    @model_validator(mode="after")
    def _all_are_signed(self) -> Self:
        for variable, url in self._urls():
            if not self.secrets_for(url):
                host = urlsplit(url).hostname
                raise ValueError(f"DESTINATION_SECRETS: holds none for {host} ({variable}); add {host}=whsec_...")
        return self

    def secrets_for(self, url: str) -> tuple[SecretStr, ...]:
        """Return the secrets that sign what goes to `url`, in their order."""
        return self.secrets.get(urlsplit(url).hostname or "", self.secrets.get(_ANY_HOST, ()))

    def check_fits(self, *, handler_budget_seconds: float, has_onestock: bool, is_on_cloud_run: bool) -> None:
        """Raise ValueError if a hand-over may outlast a handler, or lacks OneStock's API, or is not encrypted."""
        for variable, url in self._urls():
            if is_on_cloud_run and not url.startswith("https://"):
                raise ValueError(f"{variable}: must be https on Cloud Run")
        if (self.refund_url or self.shipment_url) and not has_onestock:
            raise ValueError(
                "REFUND_URL and SHIPMENT_URL: orders are fetched from OneStock's API; set ONESTOCK_API_URL, too"
            )
        if any(self._urls()) and self.budget_seconds >= handler_budget_seconds:
            raise ValueError(
                f"DESTINATION_BUDGET_SECONDS ({self.budget_seconds:g}) must be below HANDLER_BUDGET_SECONDS "
                f"({handler_budget_seconds:g}); else a handler is stopped in the middle of a hand-over"
            )

    def _urls(self) -> Iterator[tuple[str, str]]:
        named = {"REFUND_URL": self.refund_url, "SHIPMENT_URL": self.shipment_url}
        yield from ((name, url) for name, url in named.items() if url)
        yield from (("FORWARD_URLS", url) for url in self.forward_urls.values())
