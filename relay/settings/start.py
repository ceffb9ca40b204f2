"""The settings of a service at its start: wrong ones stop it before gunicorn starts anything."""

import sys
from collections.abc import Mapping

from relay.errors import ConfigurationError
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings

_SETTINGS: dict[str, type[ReceiverSettings | WorkerSettings]] = {"receiver": ReceiverSettings, "worker": WorkerSettings}


def settings_or_stop(service: str, environ: Mapping[str, str]) -> ReceiverSettings | WorkerSettings:
    """Return the settings of `service` (receiver or worker) in `environ`.

    If any is missing or wrong, print one line that names each, and end the process with status 2.
    """
    try:
        return _SETTINGS[service].from_environ(environ)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
