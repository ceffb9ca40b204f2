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
_NEEDS_DOCKER_OR_AN_HOUR = {"test", "build"}


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
        """Take a build and start it, if it has sources."""
        id_ = f"build-{len(self.builds) + 1}"
        build = {**wanted, "id": id_, "projectId": project, "status": "WORKING", "createTime": "2026-11-24T10:00:00Z"}
        self.builds[id_] = build
        if "source" in wanted:
            known = {"PROJECT_ID": project, "PROJECT_NUMBER": number, "BUILD_ID": id_}
            thread = threading.Thread(target=self._run, args=(build, {**known, **build["substitutions"]}))
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
        (sources / ".deploy-venv").symlink_to(sys.prefix)
        # Steps see their substitutions and gcloud's own settings; nothing of the person who submitted the build.
        person = {"GOOGLE_CLOUD_PROJECT", "PROJECT_NUMBER"}
        given = {name: value for name, value in self.environ(self.folder).items() if name not in person}
        statuses = (
            self._step(step, sources, {**given, **substitutions})
            for step in build["steps"]
            if step["id"] not in _NEEDS_DOCKER_OR_AN_HOUR
        )
        build["status"] = "SUCCESS" if all(statuses) else "FAILURE"

    def _step(self, step: dict[str, Any], sources: Path, environ: dict[str, str]) -> bool:
        if step["id"] == "push":
            (sources / "image").write_text(f"relay@sha256:{len(self.builds):064x}\n")
            return True
        script = ["bash", "-euc", step["script"]]
        ended = subprocess.run(script, cwd=sources, env=environ, capture_output=True, text=True, check=False)
        self.said.append(f"{step['id']}: {ended.stdout}{ended.stderr}")
        return ended.returncode == 0
