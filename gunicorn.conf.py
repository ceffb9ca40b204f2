"""gunicorn's settings for both services: `gunicorn 'main:receiver()'` and `gunicorn 'main:worker()'`."""

import gc
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from relay.errors import ConfigurationError

# Until all is imported: imports leave next to no garbage, and looking for it takes a tenth of a cold start.
gc.disable()

IS_RECEIVER = "main:receiver()" in sys.argv

# Checked before gunicorn starts anything: a wrong setting is one line on stderr. Each service loads its own only.
try:
    if IS_RECEIVER:
        from relay.settings.receiver import ReceiverSettings

        ReceiverSettings.from_environ(os.environ)
    else:
        from relay.settings.destinations import DestinationSettings
        from relay.settings.webhooks import WatchdogSettings
        from relay.settings.worker import WorkerSettings

        worker = WorkerSettings.from_environ(os.environ)
        budget = worker.handler_budget_seconds
        if (api := WatchdogSettings.if_set(os.environ)) is not None:
            api.check_fits(handler_budget_seconds=budget)
        destinations = DestinationSettings.from_environ(os.environ)
        destinations.check_fits(handler_budget_seconds=budget, has_onestock=api is not None)
except ConfigurationError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None

bind = f"{os.environ.get('BIND_HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}"

# One process holds one Pub/Sub channel and, in the worker, the memory store; Cloud Run scales by instances.
# WEB_CONCURRENCY, which gunicorn reads itself, changes it.
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# The receiver only waits for Pub/Sub: greenlets do that with the least CPU. Handlers may be any code, also code that
# blocks where gevent cannot see it: the worker keeps to threads.
worker_class = "gevent" if IS_RECEIVER else "gthread"
worker_connections = 1_000
threads = int(os.environ.get("WORKER_THREADS", "16"))

# Cloud Run stops the container 10 s after SIGTERM; a worker process needs about one second of that to end.
graceful_timeout = 8
timeout = 60
keepalive = 75

# An unwrapped push sends the attributes event_id and event_type as headers, and by default gunicorn drops names with
# an underscore. The worker's caller is authenticated; the receiver keeps the default.
header_map = "drop" if IS_RECEIVER else "dangerous"

accesslog = None  # Each service writes one line for each request itself.
control_socket_disable = True


def post_worker_init(worker: Any) -> None:  # noqa: ARG001 - gunicorn passes it
    """Keep the garbage collector from looking through all that was imported: that would hold a webhook up for 40 ms."""
    gc.freeze()
    gc.enable()
