"""What ends a benchmark early."""


class BenchError(Exception):
    """The figures would be worth nothing: an answer failed, or an acknowledged message is missing."""
