"""The same parts as those of the services' tests, but for the services."""

from tests.system.conftest import pubsub, settings, worker_port

__all__ = ["pubsub", "settings", "worker_port"]
