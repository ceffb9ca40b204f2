"""Cloud Logging's entries.list over HTTP: it answers with the entries that it was given, and keeps the requests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.serving import serving


@dataclass
class CloudLogging:
    entries: list[dict[str, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["CloudLogging"]:
        with serving(self._answer) as self.url:
            yield self

    def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        self.requests.append({"path": path, **json.loads(body)})
        return {"entries": self.entries}
