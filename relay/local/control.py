"""What `relay trigger` and `relay rerun` ask of the run that goes on: HTTP on loopback, JSON both ways."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from relay.errors import ConfigurationError, PublishError, RelayError
from relay.local.pushes import PushGate
from relay.local.scenarios import SCENARIOS, Stage
from relay.local.serving import serving
from relay.pubsub.publisher import Publisher

PUBLISH_BUDGET_SECONDS = 10


class Control:
    """Does what commands ask of the local run."""

    def __init__(self, stage: Stage, gate: PushGate, events: Publisher) -> None:
        self._stage = stage
        self._gate = gate
        self._events = events

    def trigger(self, scenario: str) -> dict[str, Any]:
        """Play a scenario, and return what happened (`steps`) and to which order (`order_id`, the last one).

        Raises ConfigurationError for an unknown scenario.
        """
        play = SCENARIOS.get(scenario)
        if play is None:
            raise ConfigurationError(f"There is no scenario {scenario!r}")
        self._stage.latest_order = None
        return {"steps": list(play(self._stage)), "order_id": self._stage.latest_order}

    def rerun(self, event_id: str) -> str:
        """Publish an event that was delivered once more, for all its handlers, and return its whole id.

        Raises ConfigurationError if none of the latest events that were delivered has an id that begins so,
        PublishError.
        """
        pushed = self._gate.pushed(event_id)
        if pushed is None:
            raise ConfigurationError(
                f"No event whose id begins with {event_id} is among the latest that this run has delivered. An event "
                "that was not delivered yet runs its handlers when it is"
            )
        message = pushed.message.replayed(pushed.delivery, generation=int(datetime.now(UTC).timestamp()))
        self._events.publish(message, budget_seconds=PUBLISH_BUDGET_SECONDS)
        return pushed.delivery.event_id

    @contextmanager
    def open(self) -> Iterator[str]:
        """Answer on 127.0.0.1 while the block runs, and give the URL."""
        with serving(_handler_of(self)) as url:
            yield url


def _handler_of(control: Control) -> type[BaseHTTPRequestHandler]:
    answers: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "/trigger": lambda content: control.trigger(content["scenario"]),
        "/rerun": lambda content: {"event_id": control.rerun(content["event_id"])},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # A page in a browser cannot send this type to another origin without asking first.
            is_ours = self.headers.get("Content-Type") == "application/json" and self.path in answers
            if not is_ours:
                self._reply(HTTPStatus.NOT_FOUND, {"problem": "there is no such call"})
                return
            try:
                self._reply(HTTPStatus.OK, answers[self.path](json.loads(body)))
            except PublishError as error:
                self._reply(HTTPStatus.SERVICE_UNAVAILABLE, {"problem": str(error)})
            except RelayError as error:
                self._reply(HTTPStatus.BAD_REQUEST, {"problem": str(error)})

        def _reply(self, status: HTTPStatus, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
