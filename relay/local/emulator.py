"""Google's emulators: one that runs already, else the gcloud SDK's, else the Docker image."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import requests

from relay.errors import ConfigurationError
from relay.local.processes import Child

START_SECONDS = 60
DOCKER_IMAGE = "gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A Google Cloud product that has an emulator."""

    name: str
    command: str
    """Its name among `gcloud beta emulators`."""
    variable: str
    """The environment variable by which Google's client finds the emulator."""
    program: str
    """The emulator's path in the SDK; it takes --host and --port."""
    arguments: tuple[str, ...] = ()


PUBSUB = Product(
    name="Pub/Sub",
    command="pubsub",
    variable="PUBSUB_EMULATOR_HOST",
    program="platform/pubsub-emulator/bin/cloud-pubsub-emulator",
)
FIRESTORE = Product(
    name="Firestore",
    command="firestore",
    variable="FIRESTORE_EMULATOR_HOST",
    program="platform/cloud-firestore-emulator/cloud_firestore_emulator",
    arguments=("start",),
)


class Emulator:
    """An emulator at `host` (host:port). `stop` ends one that `start` has started, and leaves another alone."""

    def __init__(self, product: Product, host: str, child: Child | None) -> None:
        self.host = host
        self._product = product
        self._child = child

    @classmethod
    def start(cls, product: Product, *, port: int, output: Path, environ: Mapping[str, str] = os.environ) -> Self:
        """Return an emulator that answers; `output` is the file for what it prints.

        Raises ConfigurationError in one line if there is none, or if it does not start.
        """
        running = environ.get(product.variable)
        if running:
            if not _answers(running):
                raise ConfigurationError(f"{product.variable}: no emulator answers at {running}; start it or unset it")
            return cls(product, running, None)
        host = f"127.0.0.1:{port}"
        child = Child(f"The {product.name} emulator", _command(product, port), environ=environ, output=output)
        try:
            child.wait_until(lambda: _answers(host), within_seconds=START_SECONDS, what="it answered")
        except BaseException:
            child.stop()
            raise
        return cls(product, host, child)

    @property
    def exit_status(self) -> int | None:
        """The exit status; None while it runs, and where it was not started here."""
        return None if self._child is None else self._child.exit_status

    def freeze(self) -> None:
        """Suspend the emulator, as if the network to Google were gone; return once it does not answer."""
        self._own.signal(signal.SIGSTOP)
        while _answers(self.host, timeout_seconds=0.2):
            continue

    def thaw(self) -> None:
        """Let a frozen emulator go on."""
        self._own.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the emulator if it was started here."""
        if self._child is not None:
            self._child.stop()

    @property
    def _own(self) -> Child:
        if self._child is None:
            raise ConfigurationError(
                f"the emulator at {self.host} was not started here; unset {self._product.variable}"
            )
        return self._child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(host: str, *, timeout_seconds: float = 1) -> bool:
    try:
        return requests.get(f"http://{host}/", timeout=timeout_seconds).ok
    except requests.RequestException:
        return False


def _command(product: Product, port: int) -> Sequence[str]:
    program = _sdk_program(product)
    if program is not None:
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            raise ConfigurationError(
                f"The gcloud SDK's {product.name} emulator needs Java 11 or newer; install it (default-jre)"
            )
        return [str(program), *product.arguments, "--host=127.0.0.1", f"--port={port}"]
    if not _has_docker_engine():
        package = f"google-cloud-cli-{product.command}-emulator"
        raise ConfigurationError(
            f"No {product.name} emulator found: none at {product.variable}, none in a gcloud SDK, no Docker engine. "
            f"Get one: 'gcloud components install {_component(product)}' or 'apt-get install {package}' (with Java 11+)"
        )
    emulator = ["gcloud", "beta", "emulators", product.command, "start", f"--host-port=127.0.0.1:{port}"]
    return ["docker", "run", "--rm", "--network=host", DOCKER_IMAGE, *emulator]


def _component(product: Product) -> str:
    return Path(product.program).parts[1]


def _sdk_program(product: Product) -> Path | None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    beside = Path(gcloud).resolve().parent.parent / product.program
    if beside.exists():
        return beside
    asked = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, check=False
    )
    program = Path(asked.stdout.strip()) / product.program
    return program if asked.stdout.strip() and program.exists() else None


def _has_docker_engine() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
