"""Cloud Build, as far as a build deploys: its steps run on the sources that gcloud uploaded, and on nothing else."""

import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.serving import Reply

_OPERATION = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"
_NEEDS_A_BUILDER_OR_AN_HOUR = {"test", "build"}
# The client, as far as a step needs it: what is pushed has a digest under the name that it was pushed by.
_DOCKER = """#!/bin/sh
for last; do :; done
[ "$1" != inspect ] || printf '%s@sha256:%064d\\n' "${last%:*}" "${BUILD_ID#build-}"
"""


@dataclass
class CloudBuild:
    """The builds of one project; `environ` is what makes gcloud call this Google."""

    folder: Path = Path()
    environ: Callable[[Path], dict[str, str]] = lambda _: {}
    uploads: dict[str, bytes] = field(default_factory=dict)
    builds: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What each step that ran printed."""
    _threads: list[threading.Thread] = field(default_factory=list)

    def upload(self, bucket: str, name: str, multipart: bytes) -> Reply:
        """Keep an object uploaded to a bucket: the second part of a body in MIME."""
        boundary = multipart.split(b"\n", 1)[0].rstrip(b"\r")
        content = multipart.split(boundary)[2].split(b"\n\n", 1)[1].removesuffix(b"\n")
        self.uploads[name] = content
        return Reply({"name": name, "size": str(len(content)), "generation": "1", "bucket": bucket})

    def submit(self, wanted: Mapping[str, Any], project: str, number: str) -> Reply:
        """Take a build and start it; one without sources has nothing to do."""
        id_ = f"build-{len(self.builds) + 1}"
        status = "WORKING" if "source" in wanted else "SUCCESS"
        build = {**wanted, "id": id_, "projectId": project, "status": status, "createTime": "2026-11-24T10:00:00Z"}
        self.builds[id_] = build
        if "source" in wanted:
            known = {"PROJECT_ID": project, "PROJECT_NUMBER": number, "BUILD_ID": id_}
            thread = threading.Thread(target=self._run, args=(build, {**known, **build.get("substitutions", {})}))
            self._threads.append(thread)
            thread.start()
        return Reply({"name": f"operations/{id_}", "metadata": {"@type": _OPERATION, "build": build}})

    def stop(self) -> None:
        """Wait until no build runs."""
        for thread in self._threads:
            thread.join()

    def _run(self, build: dict[str, Any], substitutions: dict[str, str]) -> None:
        sources = self.folder / build["id"]
        with tarfile.open(fileobj=io.BytesIO(self.uploads[build["source"]["storageSource"]["object"]])) as uploaded:
            uploaded.extractall(sources, filter="data")
        is_success = self.run(build["steps"], sources, substitutions)
        build["status"] = "SUCCESS" if is_success else "FAILURE"

    def run(self, steps: list[dict[str, Any]], sources: Path, substitutions: Mapping[str, str]) -> bool:
        """Run steps until one fails, and return whether none did."""
        if not (sources / ".deploy-venv").exists():
            (sources / ".deploy-venv").symlink_to(sys.prefix)
        docker = self.folder / "bin" / "docker"
        docker.parent.mkdir(exist_ok=True)
        docker.write_text(_DOCKER)
        docker.chmod(0o755)
        # Steps see their substitutions and gcloud's own settings; nothing of the person who submitted the build.
        person = {"GOOGLE_CLOUD_PROJECT", "PROJECT_NUMBER"}
        given = {name: value for name, value in self.environ(self.folder).items() if name not in person}
        environ = {**given, **substitutions, "PATH": f"{docker.parent}:{given['PATH']}"}
        return all(
            self._step(step, sources, environ) for step in steps if step["id"] not in _NEEDS_A_BUILDER_OR_AN_HOUR
        )

    def _step(self, step: dict[str, Any], sources: Path, environ: dict[str, str]) -> bool:
        script = ["bash", "-euc", step["script"]]
        ended = subprocess.run(script, cwd=sources, env=environ, capture_output=True, text=True, check=False)
        self.said.append(f"{step['id']}: {ended.stdout}{ended.stderr}")
        return ended.returncode == 0
