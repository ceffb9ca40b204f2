"""What the tests of your handlers may ask for: see relay/testing.py."""

from relay.testing import make_event, simulated_onestock

__all__ = ["make_event", "simulated_onestock"]
