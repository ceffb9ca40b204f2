"""Ctrl-C in a command that changes something: the first one ends the work in good order, the second one the command."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first SIGINT or SIGTERM in the block; the second one raises KeyboardInterrupt."""

    def interrupted(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)
        click.echo("\nStopping after what is under way", err=True)
        stop()

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
