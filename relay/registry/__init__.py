"""What a handler is: `@on` marks a function, the registry collects the marked ones and checks each at start."""

from relay.registry.checks import Handler
from relay.registry.discovery import imported, services_of
from relay.registry.marks import ANY_EVENT_TYPE, Reject, Retry, on
from relay.registry.registry import Registry, only_catch_all_text, suggestion_for

__all__ = [
    "ANY_EVENT_TYPE",
    "Handler",
    "Registry",
    "Reject",
    "Retry",
    "imported",
    "on",
    "only_catch_all_text",
    "services_of",
    "suggestion_for",
]
