"""What ends a benchmark early."""


class BenchError(Exception):
    """The figures would be worth nothing: an answer was missing, or a message that was acknowledged."""
