"""Stops the start of a service whose settings are wrong, before gunicorn starts anything."""

import sys
from collections.abc import Mapping

from relay.errors import ConfigurationError
from relay.settings.base import FromEnviron
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings

_SETTINGS: dict[str, type[FromEnviron]] = {"receiver": ReceiverSettings, "worker": WorkerSettings}


def stop_unless_valid(service: str, environ: Mapping[str, str]) -> None:
    """Return if the settings of `service` (receiver or worker) are valid.

    Else print one line that names every variable that is missing or wrong, and end the process with status 2.
    """
    try:
        _SETTINGS[service].from_environ(environ)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
