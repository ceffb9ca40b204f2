"""What the settings have in common: how they are read, and what more than one of them reads."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from relay.errors import ConfigurationError, SettingMissing

_MISSING = "missing"
_RESOURCE_NAME = re.compile(r"[A-Za-z][\w.~+%-]{2,254}", re.ASCII)


class LogContent(StrEnum):
    """How much of a webhook's body the log holds."""

    FULL = "full"
    REDACTED = "redacted"
    OFF = "off"


def split_commas(value: Any) -> Any:
    """Turn `a, b` into `("a", "b")`, for a field that holds several values."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def http_url_parts(value: str, *, example: str) -> SplitResult:
    """Return the parts of an absolute http or https URL. Raises ValueError, which shows `example`, for another text."""
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    if not port_is_valid or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"is not a URL; write it as {example}")
    return parts


def _resource_name(value: Any) -> Any:
    """Accept both `orders` and `projects/my-project/topics/orders`; the short name is what is kept."""
    name = value.rpartition("/")[2] if isinstance(value, str) else value
    if isinstance(name, str) and not _RESOURCE_NAME.fullmatch(name):
        raise ValueError("is not a Pub/Sub name: 3 to 255 letters, digits and -._~+%, a letter first")
    return name


ResourceName = Annotated[str, BeforeValidator(_resource_name)]


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or "/" in host or not re.fullmatch(r"[1-9][0-9]{0,4}", port, re.ASCII):
        raise ValueError("is not host:port; write it as 127.0.0.1:8085")
    return value


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]


class FromEnviron(BaseModel):
    """Settings that are read from environment variables."""

    # hide_input: a validation error would otherwise print the value, which may be a secret.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`; an empty variable counts as missing.

        Raises ConfigurationError with one line that names every variable that is missing or wrong; SettingMissing
        where one is missing.
        """
        try:
            return cls.model_validate({name: value for name, value in environ.items() if value.strip()})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise _error_of(problems)("; ".join(_text_of(problem) for problem in problems)) from None


class PubSubSettings(FromEnviron):
    """What every reader needs that speaks to Pub/Sub."""

    project: str = Field(
        alias="GOOGLE_CLOUD_PROJECT",
        min_length=1,
        description="The Google Cloud project that holds topic and services.",
    )
    emulator_host: HostAndPort | None = Field(
        default=None,
        alias="PUBSUB_EMULATOR_HOST",
        description="host:port of a Pub/Sub emulator; leave it out on Google Cloud.",
    )
    endpoint: str | None = Field(
        default=None,
        alias="PUBSUB_ENDPOINT",
        min_length=1,
        description="host:port that events are published to, such as europe-west1-pubsub.googleapis.com:443 to keep "
        "them in a region; unset, Google's global one.",
    )


class ServiceSettings(PubSubSettings):
    """What both services read."""

    chosen_log_content: LogContent | None = Field(
        default=None,
        alias="LOG_CONTENT",
        description="How much of each webhook's body is logged: full, redacted (values that may be about a person "
        "are masked) or off. Unset: redacted on Cloud Run, full elsewhere.",
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
    def log_content(self) -> LogContent:
        """How much of each webhook's body is logged."""
        if self.chosen_log_content is not None:
            return self.chosen_log_content
        return LogContent.REDACTED if self.is_on_cloud_run else LogContent.FULL

    @property
    def is_on_cloud_run(self) -> bool:
        """Whether Cloud Run started this process."""
        return self.cloud_run_service is not None


def _error_of(problems: Sequence[ErrorDetails]) -> type[ConfigurationError]:
    return SettingMissing if any(problem["type"] == _MISSING for problem in problems) else ConfigurationError


def _text_of(problem: ErrorDetails) -> str:
    # The variable of a nested part of the settings stands behind the part's own name.
    variable = next((str(part) for part in problem["loc"] if str(part).isupper()), "")
    if problem["type"] == _MISSING:
        return f"{variable} is not set"
    text = problem["msg"].removeprefix("Value error, ")
    return f"{variable}: {text}" if variable else text
