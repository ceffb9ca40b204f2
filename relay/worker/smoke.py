"""The built-in handler for a deployment's smoke event, which shows that the way from the topic to the store works.

A deployment publishes a message with the attributes `event_type=relay_smoke` and `smoke=true` and waits for its
delivery line with the outcome `handled`: topic, subscription, token, worker and store have then all done their part.
No handler of the customer's runs, `@on("*")` included.

Only somebody who may publish to the topic can set the attribute `smoke`: the receiver copies nothing from a request
into the attributes. A signed webhook with the event type `relay_smoke` is therefore an ordinary event, which reaches
the customer's handlers, since no event that OneStock sends may be taken for handled without them.
"""

from relay.events import Delivery, Event
from relay.registry import Handler, Registry

SMOKE_EVENT_TYPE = "relay_smoke"


def handlers_for(delivery: Delivery, registry: Registry) -> tuple[Handler, ...]:
    """Return the handlers to run for a delivery: the built-in one alone for a smoke event."""
    return (HANDLER,) if delivery.is_smoke else registry.for_event_type(delivery.event_type)


def _handle(_: Event) -> None:
    """Do nothing: that the worker claims and completes the run is what the smoke event shows."""


HANDLER = Handler(
    name="relay.smoke", event_types=(SMOKE_EVENT_TYPE,), model=Event, run=_handle, location="relay/worker/smoke.py"
)
