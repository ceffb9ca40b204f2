"""The topics and subscriptions as relay/topology.toml declares them for the local run, the tests and the deployment."""

import tomllib
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "relay/topology.toml"

DECLARED: dict[str, dict[str, Any]] = tomllib.loads(_FILE.read_text())
