"""Whose Google account acts: what the credentials of the environment say, else gcloud."""

import os
import subprocess
from dataclasses import dataclass

import google.auth
import google.auth.transport.requests
from google.auth.exceptions import GoogleAuthError

GCLOUD_SECONDS = 20
_UNRESOLVED = "default"  # What credentials of a machine say until their first token.


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who acts, and how that is known."""

    name: str
    source: str


def google_account() -> Account:
    """Return the account that Google will see; one that nobody can tell is named so."""
    email = "" if os.environ.get("CLOUDSDK_AUTH_DISABLE_CREDENTIALS") == "1" else _email_of_credentials()
    if email:
        return Account(name=email, source="application default credentials")
    email = _email_of_gcloud()
    if email:
        # The credentials of a person hold no e-mail address; gcloud's login is most likely the same person's.
        return Account(name=email, source="gcloud config get account")
    return Account(name="unknown", source="neither the credentials nor gcloud name an account")


def _email_of_credentials() -> str:
    try:
        credentials, _ = google.auth.default()
        if getattr(credentials, "service_account_email", "") == _UNRESOLVED:
            credentials.refresh(google.auth.transport.requests.Request())
    except (GoogleAuthError, OSError):
        return ""
    names = (getattr(credentials, name, "") for name in ("account", "service_account_email"))
    return next((str(name) for name in names if name and name != _UNRESOLVED), "")


def _email_of_gcloud() -> str:
    command = ["gcloud", "config", "get", "account"]
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=GCLOUD_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""
