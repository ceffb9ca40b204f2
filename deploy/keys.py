"""The hash keys: a new version of the secret that holds them. No key is printed or becomes a word of a command."""

import base64
import secrets

from deploy.errors import DeployError
from deploy.gcloud import Gcloud


def add_version(gcloud: Gcloud, secret: str, *, given: str | None, finish: bool) -> None:
    """Add `given` as the keys, else a new key before the newest of today; with `finish` only the newest of today.

    Raises DeployError.
    """
    if finish or not given:
        current = _newest(gcloud, secret)
        given = current if finish else f"{secrets.token_urlsafe(32)},{current}"
    gcloud.change(("secrets", "versions", "add", secret, "--data-file=-"), stdin=given)


def _newest(gcloud: Gcloud, secret: str) -> str:
    version = gcloud.read(("secrets", "versions", "access", "latest", f"--secret={secret}"))
    held = base64.b64decode(version["payload"]["data"], altchars=b"-_").decode()
    newest = held.partition(",")[0].strip()
    if not newest:
        raise DeployError(f"{secret}: its newest version holds no key; set ONESTOCK_HASH_KEYS=NEW,OLD")
    return newest
