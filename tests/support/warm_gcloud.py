"""Starts the real gcloud in a tenth of its time: from a process that has loaded gcloud's modules already.

gcloud lets a person choose the Python that runs it. `running` offers one that hands arguments, environment, folder and
the three streams over to a server, which has a fork of itself run gcloud's own `gcloud.py`. The server is gcloud's own
Python, and has read modules only: no setting, no argument, no file of a user.
"""

import importlib
import json
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOCKET = "TEST_WARM_GCLOUD_SOCKET"
_MODULES = (
    *("googlecloudsdk.gcloud_main", "googlecloudsdk.api_lib.util.apis", "googlecloudsdk.command_lib.iam.iam_util"),
    *(
        "googlecloudsdk.calliope.cli",
        "googlecloudsdk.core.credentials.store",
        "googlecloudsdk.core.updater.update_manager",
    ),
)


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Serve until the block ends; with the yielded environment gcloud is started there."""
    with tempfile.TemporaryDirectory() as folder:  # The path of a socket must be short.
        address, python = f"{folder}/socket", Path(folder) / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {shlex.quote(__file__)} "$@"\n')
        python.chmod(0o755)
        # gcloud's start script knows its Python and where its modules are.
        environ = {**os.environ, "CLOUDSDK_PYTHON_ARGS": Path(__file__).name, _SOCKET: address}
        with subprocess.Popen(
            ["gcloud"], cwd=Path(__file__).parent, env=environ, stdout=subprocess.PIPE, start_new_session=True
        ) as server:
            try:
                if not server.stdout or server.stdout.readline() != b"ready\n":
                    raise RuntimeError("gcloud's modules could not be loaded: see stderr")
                yield {"CLOUDSDK_PYTHON": str(python), "CLOUDSDK_PYTHON_SITEPACKAGES": "1", _SOCKET: address}
            finally:
                os.killpg(server.pid, signal.SIGKILL)


def serve(script: str) -> None:
    """Run `script`, gcloud's, in a fork for each client."""
    libraries = Path(script).parent
    sys.path[:0] = [str(libraries / "third_party"), str(libraries)]
    for name in _MODULES:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.environ[_SOCKET])
        listening.listen(64)
        os.write(1, b"ready\n")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            client, _ = listening.accept()
            with client:
                if not os.fork():
                    listening.close()
                    _attend(client)


def _attend(client: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    received, streams, _, _ = socket.recv_fds(client, 1 << 16, 3)
    while not received.endswith(b"\n"):
        received += client.recv(1 << 16)
    child = os.fork()
    if not child:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _become_gcloud(**json.loads(received))
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    client.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
    os._exit(0)


def _become_gcloud(arguments: list[str], environ: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def ask() -> int:
    """Have the server run gcloud as this process was asked to, and return its exit status."""
    asked = {"arguments": sys.argv[1:], "environ": dict(os.environ), "folder": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[_SOCKET])
        socket.send_fds(server, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
        return server.recv(1)[0]


if __name__ == "__main__":
    if "CLOUDSDK_PYTHON" in os.environ:
        sys.exit(ask())
    serve(sys.argv[1])
