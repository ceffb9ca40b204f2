"""cloudbuild.yaml is what Cloud Build understands, and says what deploy/ reads."""

import re
from typing import Any

import yaml
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf.json_format import ParseDict

from deploy.cli import build_command
from deploy.installation import Installation
from relay.local.services import ROOT
from tests.deployment.conftest import Deployer

BUILD: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in BUILD["steps"]}


def test_gcloud_sends_the_whole_file_as_a_build(deployer: Deployer) -> None:
    ended = deployer.gcloud(
        "builds", "submit", "--no-source", "--async", "--config=cloudbuild.yaml", "--region=europe-west1"
    )

    assert ended.returncode == 0, ended.stderr
    sent = next(call.body for call in deployer.cloud.calls if call.path.endswith("/builds"))
    assert sent.pop("timeout") == BUILD["timeout"]
    assert sent == {key: value for key, value in BUILD.items() if key != "timeout"}


def test_gcloud_shows_the_log_of_the_build_that_install_submits(deployer: Deployer) -> None:
    installation = Installation.from_environ({"GOOGLE_CLOUD_PROJECT": "my-project", "PROJECT_NUMBER": "1"})
    source = {str(ROOT): "--no-source"}
    words = [source.get(word, word) for word in build_command(installation) if "--gcs-source" not in word]

    ended = deployer.gcloud(*words)

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("Created [")
    assert "only displays logs from Cloud Storage" not in ended.stderr


def test_gcloud_refuses_a_key_that_it_does_not_know(deployer: Deployer) -> None:
    wrong = deployer.home / "cloudbuild.yaml"
    wrong.write_text((ROOT / "cloudbuild.yaml").read_text() + "retries: 3\n")

    ended = deployer.gcloud("builds", "submit", "--no-source", "--async", f"--config={wrong}")

    assert ended.returncode == 1
    assert "retries" in ended.stderr


def test_it_is_a_build_for_the_api_too() -> None:
    parsed = ParseDict(BUILD, Build.pb(Build()))

    assert [step.id for step in parsed.steps] == list(STEPS)


def test_no_command_of_deploy_is_an_alpha_command() -> None:
    words = "".join(path.read_text() for path in (ROOT / "deploy").rglob("*.py"))

    assert '"alpha"' not in words


def test_it_knows_nothing_of_the_installation_but_the_project() -> None:
    used = set(re.findall(r"\$\{?(_?[A-Z][A-Z_]+)", yaml.safe_dump(BUILD)))

    assert "substitutions" not in BUILD
    assert used == {"PROJECT_ID", "BUILD_ID"}


def test_nothing_is_deployed_that_was_not_tested() -> None:
    order = list(STEPS)

    assert set(STEPS["name"]["waitFor"]) == {"test", "build"}
    assert all("waitFor" not in STEPS[step] for step in order[order.index("name") + 1 :])
    assert order[order.index("name") + 1 :] == [
        "push",
        "apply",
        "deploy-worker",
        "promote-worker",
        "deploy-receiver",
        "smoke",
        "promote-receiver",
    ]


def test_no_step_holds_a_script_that_no_linter_sees() -> None:
    scripts = [step["script"] for step in STEPS.values() if "script" in step]

    assert scripts
    assert all(len(script.splitlines()) <= 5 for script in scripts)


def test_what_is_uploaded_is_what_the_build_needs_and_nothing_private(deployer: Deployer) -> None:
    uploaded = set(deployer.gcloud("meta", "list-files-for-upload", str(ROOT)).stdout.split())

    assert {"Dockerfile", "Makefile", "main.py", "tests/deployment/conftest.py", ".ci/run"} <= uploaded
    assert not {path for path in uploaded if path.startswith((".venv/", ".git/")) or path in {".env", ".git"}}
