"""Pub/Sub for the local run: the emulator, its topics, the gate before the worker, and who publishes."""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from relay.events import Delivery
from relay.local.display import Terminal
from relay.local.emulator import PUBSUB, Emulator
from relay.local.installation import names_of
from relay.local.pauses import PauseWatch
from relay.local.pushes import PushGate
from relay.pubsub import provisioning, publisher
from relay.pubsub.pausing import PushSwitch
from relay.pubsub.publisher import Publisher
from relay.settings.commands import TopicSettings
from relay.topology import local_topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """What runs: `names` are the variables by which services and commands find it."""

    emulator: Emulator
    gate: PushGate
    events: Publisher
    names: Mapping[str, str]

    @classmethod
    def started(
        cls,
        parts: contextlib.ExitStack,
        *,
        environ: Mapping[str, str],
        emulator_port: int,
        push_port: int,
        delivery_attempts: int,
        gave_up: Callable[[Delivery], None],
        terminal: Terminal,
        output: Path,
    ) -> Self:
        """Start it; `parts` ends it. Raises ConfigurationError in one line if there is no emulator."""
        emulator = parts.enter_context(Emulator.start(PUBSUB, port=emulator_port, output=output, environ=environ))
        # Google's client reads it from the environment of its process.
        os.environ["PUBSUB_EMULATOR_HOST"] = emulator.host
        wanted = local_topology(push_endpoint=f"http://127.0.0.1:{push_port}/pubsub/push")
        provisioning.create(wanted)
        names = names_of(wanted, emulator_host=emulator.host)
        settings = TopicSettings.from_environ(names)
        gate = PushGate(
            dead_letters=publisher.connected(wanted.dead_letter_topic_path, settings),
            subscription=wanted.subscription,
            max_delivery_attempts=delivery_attempts,
            gave_up=gave_up,
        )
        parts.enter_context(gate.open(push_port))
        switch = PushSwitch.connected(wanted.subscription_path)
        parts.enter_context(PauseWatch(switch, gate, terminal).running())
        return cls(emulator=emulator, gate=gate, events=publisher.connected(wanted.topic_path, settings), names=names)
