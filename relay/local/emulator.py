"""Google's Pub/Sub emulator: one that runs already, else the gcloud SDK's, else the Docker image."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import requests

from relay.errors import ConfigurationError
from relay.local.processes import Child

START_SECONDS = 60
DOCKER_IMAGE = "gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators"

_PROGRAM = "platform/pubsub-emulator/bin/cloud-pubsub-emulator"

_HOW_TO_GET_IT = (
    "No Pub/Sub emulator found: none at PUBSUB_EMULATOR_HOST, none in a gcloud SDK, no Docker engine. Get one: "
    "'gcloud components install pubsub-emulator' or 'apt-get install google-cloud-cli-pubsub-emulator' (with Java 11+)"
)


class Emulator:
    """A Pub/Sub emulator at `host` (host:port). One that was started here is stopped here; another is only used."""

    def __init__(self, host: str, child: Child | None) -> None:
        self.host = host
        self._child = child

    @classmethod
    def start(cls, *, port: int, output: Path, environ: Mapping[str, str] = os.environ) -> Self:
        """Return an emulator that answers; `output` is the file for what it prints.

        Raises ConfigurationError in one line if there is none, or if it does not start.
        """
        running = environ.get("PUBSUB_EMULATOR_HOST")
        if running:
            if not _answers(running):
                raise ConfigurationError(
                    f"PUBSUB_EMULATOR_HOST: no emulator answers at {running}; start it or unset it"
                )
            return cls(running, None)
        host = f"127.0.0.1:{port}"
        child = Child("The Pub/Sub emulator", _command(port), environ=environ, output=output)
        try:
            child.wait_until(lambda: _answers(host), within_seconds=START_SECONDS, what="it answered")
        except BaseException:
            child.stop()
            raise
        return cls(host, child)

    def freeze(self) -> None:
        """Stop the emulator's clock, as if the network to Pub/Sub were gone."""
        self._own.signal(signal.SIGSTOP)

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
            raise ConfigurationError(f"the emulator at {self.host} was not started here; unset PUBSUB_EMULATOR_HOST")
        return self._child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answers(host: str) -> bool:
    try:
        return requests.get(f"http://{host}/", timeout=1).ok
    except requests.RequestException:
        return False


def _command(port: int) -> Sequence[str]:
    program = _sdk_program()
    if program is not None:
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            raise ConfigurationError(
                "The gcloud SDK's Pub/Sub emulator needs Java 11 or newer; install it (default-jre)"
            )
        # The script becomes the Java process, so that signals reach the emulator itself.
        return [str(program), "--host=127.0.0.1", f"--port={port}"]
    if not _has_docker_engine():
        raise ConfigurationError(_HOW_TO_GET_IT)
    emulator = ["gcloud", "beta", "emulators", "pubsub", "start", f"--host-port=127.0.0.1:{port}"]
    return ["docker", "run", "--rm", "--network=host", DOCKER_IMAGE, *emulator]


def _sdk_program() -> Path | None:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return None
    beside = Path(gcloud).resolve().parent.parent / _PROGRAM
    if beside.exists():
        return beside
    asked = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, check=False
    )
    program = Path(asked.stdout.strip()) / _PROGRAM
    return program if asked.stdout.strip() and program.exists() else None


def _has_docker_engine() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
