"""One call of a command to Pub/Sub: how long it may take, and its failure in one line that says what to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from google.api_core.exceptions import (
    Aborted,
    DeadlineExceeded,
    GoogleAPICallError,
    NotFound,
    PermissionDenied,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient

from relay.errors import PubSubError

# By default Google's client repeats a call for up to 600 s, and says nothing meanwhile: a person waits for a command.
RETRY = Retry(if_exception_type(ServiceUnavailable, Aborted), initial=0.1, maximum=1.0, timeout=6)
CALL_SECONDS = 20  # All attempts together, where nothing answers.

_NO_TOKEN = "Getting metadata from plugin failed"  # noqa: S105 - gRPC's words where google-auth raises
_LOG_IN = "log in: gcloud auth application-default login"


@contextmanager
def pubsub_errors(thing: str) -> Iterator[None]:
    """Turn what Google's client raises about `thing` (a resource's name) into PubSubError, one line."""
    try:
        yield
    except (GoogleAPICallError, RetryError, GoogleAuthError) as error:
        cause = error.cause if isinstance(error, RetryError) and error.cause else error
        raise PubSubError(f"{thing}: {_text_of(cause)}".replace("\n", " ")) from error


def check_topic(topic_path: str) -> None:
    """Raise PubSubError unless Pub/Sub answers and has the topic: a publish would be repeated for its whole budget."""
    # Whoever may only publish is refused here, which is an answer too.
    with pubsub_errors(topic_path), suppress(PermissionDenied):
        PublisherClient().get_topic(request={"topic": topic_path}, retry=RETRY, timeout=CALL_SECONDS)


def unreachable(emulator_host: str | None, why: str) -> str:
    """Return what did not answer, which variable names it, and what to do. `why` is the library's word for it."""
    if emulator_host:
        return (
            f"the Pub/Sub emulator at {emulator_host} does not answer ({why}): start it, or unset PUBSUB_EMULATOR_HOST"
        )
    return f"Pub/Sub does not answer ({why}): can this machine reach Google? For an emulator, set PUBSUB_EMULATOR_HOST"


def _text_of(error: BaseException) -> str:
    raw = f"{type(error).__name__}: {error}"
    match error:
        case GoogleAuthError():
            why = str(error).rstrip(".")
            return f"no Google Cloud credentials ({why}); {_LOG_IN}; for an emulator, set PUBSUB_EMULATOR_HOST"
        case ServiceUnavailable() if _NO_TOKEN in error.message:
            return f"{error.message}; {_LOG_IN}"
        case ServiceUnavailable() | DeadlineExceeded():
            # gRPC names each layer before the reason: "failed to connect to all addresses; ...: Connection refused".
            why = error.message.rpartition(": ")[2].rstrip("]")
            return unreachable(os.environ.get("PUBSUB_EMULATOR_HOST"), why)
        case NotFound():
            return f"{error.message}; `relay doctor` names what is missing"
    return raw
