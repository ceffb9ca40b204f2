"""gunicorn's settings for both services: `gunicorn 'main:receiver()'` and `gunicorn 'main:worker()'`."""

import gc
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from relay.settings.start import settings_or_stop

IS_RECEIVER = "main:receiver()" in sys.argv

# Before gunicorn starts anything, so that a wrong setting is one line on stderr and nothing else.
settings = settings_or_stop("receiver" if IS_RECEIVER else "worker", os.environ)

bind = f"{os.environ.get('BIND_HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}"

# One process holds one connection to Pub/Sub and, in the worker, the memory store; Cloud Run scales by instances.
# WEB_CONCURRENCY, which gunicorn reads itself, changes it.
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# A thread answers one request at a time and waits for Pub/Sub, or for a handler, meanwhile. The receiver has more
# threads than webhooks that may be under way (MAX_WAITING_PUBLISHES), the worker more than Cloud Run sends it at once:
# the others answer /health and refuse what is too much.
worker_class = "gthread"
threads = settings.threads
worker_connections = 1_000

# Cloud Run stops the container 10 s after SIGTERM; a worker process needs about one second of that to end.
graceful_timeout = 8
timeout = 60
keepalive = 75

# An unwrapped push sends the attributes event_id and event_type as headers, and by default gunicorn drops names with
# an underscore. The worker's caller is authenticated; the receiver keeps the default.
header_map = "drop" if IS_RECEIVER else "dangerous"

accesslog = None  # Each service writes one line for each request itself.
control_socket_disable = True


def post_fork(_arbiter: object, _worker: object) -> None:
    """Import without Python's garbage collector: its searches through all that is imported take 10 % of a start."""
    gc.disable()


def post_worker_init(_worker: object) -> None:
    """Collect again, but search only what requests leave behind: what was imported stays."""
    gc.freeze()
    gc.enable()
