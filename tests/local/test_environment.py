"""`.env` and `.relay/local.env`: what is in them reaches whom it should, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relay.cli.environment import use_local_run
from relay.errors import ConfigurationError
from relay.local.environment import LOCAL_ENV, announced, read, running
from relay.local.installation import names_of, services_environ
from relay.topology import local_topology

NAMES = names_of(local_topology(push_endpoint="http://127.0.0.1:8081/pubsub/push"), emulator_host="127.0.0.1:8085")
SIMULATED = {"ONESTOCK_API_URL": "http://127.0.0.1:1", "ONESTOCK_PASSWORD": "test", "REFUND_URL": "http://127.0.0.1:2"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".relay").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A = b # kept", "b # kept"),
        ("A='b c'", "b c"),
        ('A="b"', "b"),
        ("A=h1=whsec_x h2=whsec_y", "h1=whsec_x h2=whsec_y"),
        ("A=", ""),
    ],
)
def test_a_line_of_the_file_is_a_variable(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / ".env").write_text(f"# invented\n\n{line}\n")

    assert read(tmp_path / ".env") == {"A": value}


def test_a_line_that_is_no_variable_is_told_with_its_number(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=b\nnonsense\n")

    with pytest.raises(ConfigurationError, match=r"\.env:2: write NAME=VALUE"):
        read(tmp_path / ".env")


def test_a_command_uses_the_local_run_of_its_folder_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ: dict[str, str] = {"PATH": "/bin"}

    with announced(folder, NAMES):
        use_local_run([], environ, folder=folder / "deeper")

    assert environ["PUBSUB_TOPIC"] == "onestock-events"
    assert capsys.readouterr().err == "Against the local run (.relay/local.env)\n"


def test_a_shell_that_names_another_installation_is_obeyed_wholly(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "shop-production"}

    with announced(folder, NAMES):
        use_local_run([], environ, folder=folder)

    assert environ == {"GOOGLE_CLOUD_PROJECT": "shop-production"}
    assert "since GOOGLE_CLOUD_PROJECT is set" in capsys.readouterr().err


def test_the_file_of_a_run_that_was_killed_counts_for_nothing(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (folder / LOCAL_ENV).write_text(f"PUBSUB_TOPIC=onestock-events\nRELAY_LOCAL_PID={ended.pid}\n")

    assert running(folder) == {}


def test_nobody_else_may_read_the_file_and_it_ends_with_the_run(folder: Path) -> None:
    with announced(folder, NAMES) as file:
        assert file.stat().st_mode & 0o077 == 0
        assert running(folder)["RELAY_LOCAL_PID"] == str(os.getpid())

    assert not file.exists()


def test_what_the_developer_chooses_wins_over_what_is_simulated_but_not_over_the_local_installation() -> None:
    chosen = {
        "ONESTOCK_API_URL": "https://api.example.com",
        "GOOGLE_CLOUD_PROJECT": "shop-production",
        "IDEMPOTENCY_STORE": "firestore",
        "SHOP_URL": "https://shop.example.com",
        "REFUND_STATES": "",
        "PORT": "9",
    }

    environ = services_environ(NAMES, chosen=chosen, simulated=SIMULATED)

    assert (environ["ONESTOCK_API_URL"], environ["SHOP_URL"]) == ("https://api.example.com", "https://shop.example.com")
    assert (environ["GOOGLE_CLOUD_PROJECT"], environ["IDEMPOTENCY_STORE"]) == ("local-relay", "memory")
    assert environ["REFUND_URL"] == SIMULATED["REFUND_URL"]
    assert not environ.keys() & {"ONESTOCK_PASSWORD", "REFUND_STATES", "PORT"}
