"""`make run`: OneStock, receiver, Pub/Sub, worker and the customer's system; one line for each step, until Ctrl-C."""

import base64
import contextlib
import os
import re
import secrets
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from relay.errors import ConfigurationError
from relay.local import demo, environment, log_lines
from relay.local.broker import Broker
from relay.local.console import Console
from relay.local.control import Control
from relay.local.customer import CustomerSystem, Received
from relay.local.display import Terminal
from relay.local.following import Services, Watch
from relay.local.given_up import GivenUpLog
from relay.local.installation import RETRY_SCALE, services_environ
from relay.local.processes import free_port, is_taken
from relay.local.reloading import ReloadingWorker, folder_of
from relay.local.run_memory import RunMemory
from relay.local.scenarios import Stage
from relay.local.services import start_service
from relay.local.simulator import Attempt, Schedule, Simulator
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings
from relay.stores.memory import MemoryStore

SCHEDULE = Schedule(retry_intervals_seconds=[RETRY_SCALE * seconds for seconds in Schedule().retry_intervals_seconds])
# What commands need of the services' settings: the beginnings of the names.
_ANNOUNCED = (
    "GOOGLE_CLOUD_PROJECT",
    "PUBSUB_",
    "PUSH_AUTH",
    "ONESTOCK_",
    "HANDLERS_PACKAGE",
    "IDEMPOTENCY_STORE",
    "FIRESTORE_",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the command's options say."""

    receiver_port: int
    worker_port: int
    emulator_port: int
    console_port: int
    events_per_second: float
    """0 sends nothing by itself."""
    events: int
    """How many to send; 0 goes on until Ctrl-C."""
    delivery_attempts: int
    is_quiet: bool = False


class LocalRun:
    """One run in `folder`, which may hold `.env` and gets `.relay/`."""

    def __init__(self, wishes: Wishes, *, folder: Path) -> None:
        self._wishes = wishes
        self._folder = folder
        self._terminal = Terminal(is_quiet=wishes.is_quiet)
        self._stopping = threading.Event()

    def run(self) -> int:
        """Run until Ctrl-C, or until the events are sent and handled; return the exit status.

        Raises ConfigurationError in one line for a port that is taken, a missing emulator, a receiver that fails.
        """
        environ = {**environment.read(self._folder / environment.DOT_ENV), **os.environ}
        self._check(environ)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stopping.set())
        logs = environment.new_logs(self._folder)
        self._terminal.say("starting", f"the Pub/Sub emulator, the receiver and the worker; their logs: {logs}")
        reader = log_lines.LogReader(
            max_delivery_attempts=self._wishes.delivery_attempts, package=environ.get("HANDLERS_PACKAGE", "handlers")
        )
        with contextlib.ExitStack() as parts:
            watch = self._started(parts, environ, reader, logs)
            if not self._stopping.is_set():
                watch.until(self._stopping, events=self._wishes.events)
            self._terminal.say("stopping", "everything")
        self._terminal.say("stopped", f"{log_lines.counted(reader.outcomes)}. The logs stay: {logs}")
        return 0

    def _check(self, environ: Mapping[str, str]) -> None:
        """Raise ConfigurationError for what would keep the run from starting."""
        other = environment.running(self._folder)
        if other:
            raise ConfigurationError(
                f"A local run goes on in this folder already (process {other[environment.PID]}): stop it first"
            )
        folder_of(environ.get("HANDLERS_PACKAGE") or "handlers")
        wishes = self._wishes
        wanted = {
            "RECEIVER_PORT": wishes.receiver_port,
            "WORKER_PORT": wishes.worker_port,
            "CONSOLE_PORT": wishes.console_port,
        }
        if not environ.get("PUBSUB_EMULATOR_HOST"):
            wanted["EMULATOR_PORT"] = wishes.emulator_port
        taken = {name: port for name, port in wanted.items() if is_taken(port)}
        if taken:
            raise ConfigurationError(
                f"Ports are taken: {', '.join(f'{name}={port}' for name, port in taken.items())}. Stop what uses them, "
                f"or choose others: make run {' '.join(f'{name}={free_port()}' for name in taken)}"
            )

    def _check_settings(self, environ: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """Raise ConfigurationError for a wrong setting of a service, in one line that says where it was set."""
        for wanted in (ReceiverSettings, WorkerSettings):
            try:
                wanted.from_environ(settings)
            except ConfigurationError as error:
                named = [name for name in environ if re.search(rf"\b{re.escape(name)}\b", str(error))]
                places = [
                    f"{environment.shown(name, environ[name])} is set in "
                    f"{'the shell' if name in os.environ else environment.DOT_ENV}"
                    for name in named
                ]
                raise ConfigurationError("; ".join([str(error), *places])) from error

    def _started(
        self, parts: contextlib.ExitStack, environ: Mapping[str, str], reader: log_lines.LogReader, logs: Path
    ) -> Watch:
        wishes = self._wishes
        onestock = parts.enter_context(Simulator.start(schedule=SCHEDULE, report=self._show_attempt))
        broker = Broker.started(
            parts,
            environ=environ,
            emulator_port=wishes.emulator_port,
            push_port=wishes.worker_port,
            delivery_attempts=wishes.delivery_attempts,
            gave_up=GivenUpLog(logs / "given_up.log").write,
            terminal=self._terminal,
            output=logs / "emulator.log",
        )
        simulated = {**onestock.environ, **self._customer(parts)}
        settings = services_environ(broker.names, chosen=environ, simulated=simulated)
        self._check_settings(environ, settings)
        services = self._start_services(parts, broker, settings, logs)
        stage = self._stage(onestock, broker, settings)
        control = Control(stage, broker.gate, broker.events)
        control_url = parts.enter_context(control.open())
        self._announce(parts, settings, control_url=control_url, logs=logs, broken=services.worker.broken)
        self._feed(parts, stage)
        return Watch(self._terminal, reader, gate=broker.gate, stage=stage, services=services, logs=logs)

    def _start_services(
        self, parts: contextlib.ExitStack, broker: Broker, settings: Mapping[str, str], logs: Path
    ) -> Services:
        """Start the worker and, beside it, the receiver."""
        wanted = WorkerSettings.from_environ(settings)
        memory = None
        if wanted.idempotency_store == "memory":
            store = MemoryStore(dateless_window_seconds=wanted.dateless_window_seconds)
            memory = RunMemory(store)
        worker = ReloadingWorker(
            broker.gate, self._terminal, settings=settings, output=logs / "worker.log", memory=memory
        )
        port, output = self._wishes.receiver_port, logs / "receiver.log"
        with ThreadPoolExecutor() as pool:
            starting = pool.submit(start_service, "receiver", port=port, settings=settings, output=output)
            try:
                parts.enter_context(worker.running())
            finally:
                receiver = parts.enter_context(starting.result())
        return Services(receiver, worker)

    def _stage(self, onestock: Simulator, broker: Broker, settings: Mapping[str, str]) -> Stage:
        stage = Stage(
            site=onestock.site,
            webhooks_url=f"http://127.0.0.1:{self._wishes.receiver_port}/webhooks/onestock",
            keys=tuple(key.strip().encode() for key in settings["ONESTOCK_HASH_KEYS"].split(",") if key.strip()),
            emulator=broker.emulator,
        )
        for event_type in demo.EVENT_TYPES:
            stage.webhook(event_type)
        return stage

    def _announce(
        self,
        parts: contextlib.ExitStack,
        settings: Mapping[str, str],
        *,
        control_url: str,
        logs: Path,
        broken: str | None,
    ) -> None:
        """Write what commands need against this run, and say what there is to do."""
        variables = {name: value for name, value in settings.items() if name.startswith(_ANNOUNCED)}
        variables |= {
            "RECEIVER_URL": f"http://127.0.0.1:{self._wishes.receiver_port}",
            "WORKER_URL": f"http://127.0.0.1:{self._wishes.worker_port}",
            environment.CONTROL_URL: control_url,
            environment.LINES: os.pathsep.join(str(logs / f"{name}.log") for name in environment.LOG_NAMES),
        }
        parts.enter_context(environment.announced(self._folder, variables))
        say = self._terminal.say
        waiting = f"; no handler runs until {broken} is mended, and events wait" if broken else ""
        say("ready", f"OneStock -> {variables['RECEIVER_URL']} -> Pub/Sub -> worker -> the customer's system{waiting}")
        say("try", "in another terminal: relay trigger list, relay send order_state_changed, relay dead-letters list")
        say("", f"Commands in this folder work against this run: {environment.LOCAL_ENV}")
        say("", "A saved file in handlers/ is loaded at once. Ctrl-C stops everything")
        console = Console.started(self._wishes.console_port, variables, output=logs / "console.log")
        say("console", parts.enter_context(console).url)

    def _feed(self, parts: contextlib.ExitStack, stage: Stage) -> None:
        """Let OneStock send invented events until it is time to stop."""
        rate, events = self._wishes.events_per_second, self._wishes.events

        def feed() -> None:
            for number, step in enumerate(demo.steps(), start=1):
                step(stage.site)
                if number == events or self._stopping.wait(1 / rate):
                    break

        # Before the services stop: OneStock would take that for failed attempts.
        parts.callback(stage.site.close)
        if rate > 0:
            feeder = threading.Thread(target=feed, daemon=True)
            feeder.start()
            parts.callback(feeder.join)
        parts.callback(self._stopping.set)

    def _customer(self, parts: contextlib.ExitStack) -> dict[str, str]:
        """Start the customer's system, and return the worker's settings for handing over to it."""
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        url = parts.enter_context(CustomerSystem(secret, report=self._show_hand_over).running())
        return {"REFUND_URL": f"{url}/refunds", "SHIPMENT_URL": f"{url}/shipments", "DESTINATION_SECRETS": secret}

    def _show_hand_over(self, received: Received) -> None:
        self._terminal.show(log_lines.hand_over_shown(received))

    def _show_attempt(self, attempt: Attempt) -> None:
        for shown in log_lines.attempt_shown(attempt):
            self._terminal.show(shown)
