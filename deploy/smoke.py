"""Calls a receiver that nobody else calls yet. Nothing of it is published."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable

from deploy.errors import DeployError

WAIT_SECONDS = 60
_ACCEPTED, _UNAUTHORIZED = 200, 401


def smoke(url: str, *, refuses_unsigned: bool, sleep: Callable[[float], None] = time.sleep) -> None:
    """Demand that the receiver is healthy and, if it should, refuses an unsigned webhook.

    One that records would publish it, so it is not asked. A new address needs some seconds until it is known
    everywhere. Raises DeployError.
    """
    health = _status(f"{url}/health", None)
    for _ in range(WAIT_SECONDS):
        if health == _ACCEPTED:
            break
        sleep(1)
        health = _status(f"{url}/health", None)
    if health != _ACCEPTED:
        raise DeployError(f"{url}/health answered {health} instead of 200 for {WAIT_SECONDS} s; not promoted")
    if not refuses_unsigned:
        return
    unsigned = _status(f"{url}/webhooks/onestock/smoke_test", b"{}")
    if unsigned != _UNAUTHORIZED:
        raise DeployError(f"{url} answered {unsigned} instead of 401 to an unsigned webhook; not promoted")


def _status(url: str, body: bytes | None) -> int | str:
    try:
        with urllib.request.urlopen(url, data=body, timeout=10) as response:  # noqa: S310 - the URL is Cloud Run's
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return f"nothing ({error})"
