"""The options that say how a webhook is signed. No command prints the keys."""

from pathlib import Path
from typing import Any

import click

from relay.errors import ConfigurationError
from relay.local import environment
from relay.settings.receiver import SignedString


class _Keys(click.ParamType[tuple[bytes, ...]]):
    """Hash keys, comma separated; becomes a tuple of bytes."""

    name = "keys"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[bytes, ...]:
        """Return the keys as bytes, as HMAC takes them."""
        if isinstance(value, tuple):
            return value
        keys = tuple(part.strip().encode() for part in str(value).split(",") if part.strip())
        if not keys:
            self.fail("holds no key", param, ctx)
        return keys


def _needed(_: click.Context, __: click.Parameter, keys: tuple[bytes, ...] | None) -> tuple[bytes, ...]:
    if keys is not None:
        return keys
    if environment.running(Path.cwd()):
        # The line before this one has said which variable names another receiver than the run's.
        raise ConfigurationError("Name the receiver's hash key: --key or ONESTOCK_HASH_KEYS")
    raise ConfigurationError(
        "No local run goes on in this folder (make run). For another receiver, name its hash key: --key or "
        "ONESTOCK_HASH_KEYS"
    )


def _signed_string(_: click.Context, __: click.Parameter, value: str) -> SignedString:
    return SignedString(value)


keys_option = click.option(
    "--key",
    "keys",
    envvar="ONESTOCK_HASH_KEYS",
    show_envvar=True,
    type=_Keys(),
    callback=_needed,
    help="The hash keys, newest first, comma separated. Prefer the environment: others can see a command's options.",
)

signed_string_option = click.option(
    "--signed-string",
    envvar="ONESTOCK_SIGNED_STRING",
    show_envvar=True,
    type=click.Choice([choice.value for choice in SignedString]),
    callback=_signed_string,
    default=SignedString.TIMESTAMP_BODY.value,
    show_default=True,
    help="The text that OneStock signs.",
)
