"""The topology is declared once, and everybody who creates or checks it takes it from there."""

import subprocess
import sys
from pathlib import Path

from deploy.installation import Installation
from relay import topology
from relay.settings.doctor import DoctorSettings
from relay.topology import Topology

ROOT = Path(__file__).parents[1]
A_DAY_SECONDS = 86_400


def test_deployment_doctor_and_local_run_use_the_same_names() -> None:
    local = Topology(project="p", push_endpoint="")
    doctor = DoctorSettings.from_environ({"GOOGLE_CLOUD_PROJECT": "p"})
    deployed = Installation(project="p", project_number="1")

    assert (
        (local.topic, local.subscription, local.dead_letter_topic, local.dead_letter_subscription)
        == (doctor.topic, doctor.subscription, doctor.dead_letter_topic, doctor.dead_letter_subscription)
        == (
            deployed.pubsub_topic,
            deployed.pubsub_subscription,
            deployed.pubsub_dead_letter_topic,
            deployed.pubsub_dead_letter_subscription,
        )
    )


def test_completed_runs_are_remembered_for_longer_than_an_event_can_come_back() -> None:
    waits_then_becomes_a_dead_letter = topology.SUBSCRIPTION_RETENTION_SECONDS
    kept_as_a_dead_letter = max(topology.DEAD_LETTER_RETENTION_SECONDS, topology.DEAD_LETTER_TOPIC_RETENTION_SECONDS)
    waits_again = topology.SUBSCRIPTION_RETENTION_SECONDS

    longest = waits_then_becomes_a_dead_letter + kept_as_a_dead_letter + waits_again
    assert longest < topology.COMPLETED_RUNS_ARE_REMEMBERED_SECONDS == 46 * A_DAY_SECONDS


def test_the_declaration_costs_a_service_no_import_of_google() -> None:
    code = "import sys, relay.topology; print([name for name in sys.modules if name.startswith('google')])"

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"
