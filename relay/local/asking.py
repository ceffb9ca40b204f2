"""Asks the local run that goes on to do something; `relay.local.control` answers."""

from collections.abc import Mapping
from typing import Any

import requests

from relay.errors import ConfigurationError, RelayError
from relay.local.environment import CONTROL_URL

ANSWER_SECONDS = 60  # An outage is played in real time.


def asked(environ: Mapping[str, str], call: str, content: Mapping[str, str]) -> Any:
    """Return what the run answers. Raises RelayError in the run's words, ConfigurationError where none goes on."""
    url = environ.get(CONTROL_URL)
    if not url:
        raise ConfigurationError("No local run goes on in this folder. Start one in another terminal: make run")
    try:
        answer = requests.post(f"{url}/{call}", json=dict(content), timeout=ANSWER_SECONDS)
        said = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise ConfigurationError(
            f"The local run does not answer at {url} ({type(error).__name__}); stop it and start again: make run"
        ) from error
    if not answer.ok:
        raise RelayError(said["problem"])
    return said
