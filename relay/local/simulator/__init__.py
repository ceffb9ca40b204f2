"""A simulated OneStock: it has orders, sends signed webhooks, repeats, alerts, disables, and answers API calls.

    with Simulator.start(time_scale=0.001) as onestock:
        onestock.site.create_webhook("order_state_changed", url_of_the_receiver, keys=[b"a test key"])
        onestock.site.place_order("ORD-1", items={"SKU-1": 2})
        onestock.site.move_order("ORD-1", "packed")
        worker_settings |= onestock.environ

It behaves as docs/onestock.md says; its tests cite the facts. What is open there is a parameter (`Schedule`,
`ApiOptions`).
"""

from relay.local.simulator.api import ApiOptions
from relay.local.simulator.server import Simulator
from relay.local.simulator.site import Site
from relay.local.simulator.times import SimulatedTime
from relay.local.simulator.webhooks import Alert, AlertKind, Attempt, Schedule, Status, WebhookQueue, send

__all__ = [
    "Alert",
    "AlertKind",
    "ApiOptions",
    "Attempt",
    "Schedule",
    "SimulatedTime",
    "Simulator",
    "Site",
    "Status",
    "WebhookQueue",
    "send",
]
