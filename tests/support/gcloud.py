"""The real gcloud: alone with its own linter, or with an API's address changed."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path


def environ_at(home: Path, **overrides: str) -> dict[str, str]:
    """Return what gcloud runs with: its own files under `home`, no credentials, and `PUBSUB=http://...` as its API."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        **warmth(),
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": url for api, url in overrides.items()},
    }


def warmth() -> dict[str, str]:
    """Return what starts gcloud quickly, if the test's folder asks for that (tests/support/warm_gcloud.py)."""
    return {name: value for name, value in os.environ.items() if name.startswith(("CLOUDSDK_PYTHON", "TEST_WARM_"))}


def complaints(commands: Iterable[str], home: Path) -> list[str]:
    """Return what gcloud's linter says about commands that it does not know, or their flags."""
    # Only the shell knows what stands in $(...), and what is piped into a command.
    shown = [re.sub(r"\$\(.*?\)", "1", command.rpartition(" | ")[2]) for command in commands]
    file = home / "commands.json"
    file.write_text(json.dumps([{"command_string": command} for command in shown]))
    linter = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    linted = subprocess.run(linter, env=environ_at(home), capture_output=True, text=True, check=True)
    verdicts = json.loads(linted.stdout)
    assert {verdict["command_string"] for verdict in verdicts} == set(shown)
    return [
        f"{verdict['command_string']}: {verdict['error_message']}" for verdict in verdicts if not verdict["success"]
    ]
