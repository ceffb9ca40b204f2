"""Runs `relay`, as a process of its own, from a process that has loaded its modules already.

Loading them takes most of a command's time. multiprocessing's fork server holds nothing else: arguments, environment,
folder and streams are each command's own. tests/test_relay_command.py and the README's blocks start it the usual way.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

_MODULES = ("relay.cli.app", "google.pubsub_v1", "google.cloud.logging")
_fork_server = get_context("forkserver")
_fork_server.set_forkserver_preload([__name__, *_MODULES])


def run_relay(
    arguments: Sequence[str], *, environ: Mapping[str, str], folder: Path, timeout_seconds: float, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end in `folder`. Raises TimeoutExpired, and kills it, if it takes longer."""
    with TemporaryDirectory() as kept:
        streams = [Path(kept) / name for name in ("stdin", "stdout", "stderr")]
        for stream, content in zip(streams, (stdin, "", ""), strict=True):
            stream.write_text(content)
        command = _fork_server.Process(target=_become_relay, args=(arguments, dict(environ), folder, streams))
        command.start()
        command.join(timeout_seconds)
        if command.exitcode is None:
            command.kill()
            command.join()
            raise subprocess.TimeoutExpired(["relay", *arguments], timeout_seconds)
        _, stdout, stderr = (stream.read_text() for stream in streams)
        return subprocess.CompletedProcess(["relay", *arguments], command.exitcode, stdout, stderr)


def _become_relay(arguments: Sequence[str], environ: dict[str, str], folder: Path, streams: Sequence[Path]) -> None:
    for number, stream in enumerate(streams):
        opened = os.open(stream, os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # As `python -m relay` does.
    sys.argv = ["relay", *arguments]

    from relay.cli.app import main

    main()
