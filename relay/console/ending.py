"""The end of the console's process: Ctrl-C stops redrives as it stops the command's, and the log says what was done."""

import logging
import os
import signal
import sys
from collections.abc import Iterable
from typing import NoReturn

from relay.console.redrives import Redrives
from relay.pubsub.redrive import PUBLISH_BUDGET_SECONDS

STOP_SECONDS = PUBLISH_BUDGET_SECONDS + 10
_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def end_at_a_signal() -> None:
    """End the server at the first SIGINT, SIGQUIT or SIGTERM; a further SIGINT ends the process at once.

    Call it in the main thread of gunicorn's worker, after gunicorn has set its own handlers: those would wait for the
    live pages, which never end.
    """

    def interrupted(*_: object) -> NoReturn:
        # After Ctrl-C, gunicorn's other process sends us a signal, too.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))
        sys.exit(0)

    for number in _SIGNALS:
        signal.signal(number, interrupted)


def end_process(consoles: Iterable[Redrives]) -> None:
    """Stop the jobs, wait until they have logged what they have done, and end the process without its other threads."""
    for redrives in consoles:
        redrives.stop_all()
        redrives.join(within_seconds=STOP_SECONDS)
    logging.shutdown()
    sys.stdout.flush()
    # The interpreter would wait for the threads of the live pages, which never end.
    os._exit(0)
