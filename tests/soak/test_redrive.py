"""Ten thousand dead letters go back to the topic within a minute, though each publish takes as long as a real one."""

from pathlib import Path

import pytest

from tests.support import many_dead_letters
from tests.support.parts import PubSub
from tests.system.conftest import pubsub, settings, worker_port

__all__ = ["pubsub", "settings", "worker_port"]

COUNT = 10_000
PUBLISH_SECONDS = 0.015
LIMIT_SECONDS = 60
MEMORY_LIMIT_BYTES = 50_000_000

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


def test_ten_thousand_dead_letters_are_redriven_within_a_minute(
    pubsub: PubSub,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    many_dead_letters.put(pubsub, COUNT)

    measured = many_dead_letters.redrive(pubsub, settings, tmp_path, publish_seconds=PUBLISH_SECONDS)

    print(
        f"\n{COUNT} dead letters: {measured.seconds:.1f} s in all, "
        f"{measured.seconds_of_publishing:.1f} s of publishing; "
        f"memory {measured.memory_before_bytes / 1e6:.0f} MB before, {measured.memory_after_bytes / 1e6:.0f} MB after"
    )
    assert measured.exit_status == 0, measured.output[-2_000:]
    assert measured.published == {f"M-{n}": [f"M-{n}-0", f"M-{n}-1"] for n in range(COUNT // 2)}
    assert measured.seconds < LIMIT_SECONDS
    assert measured.memory_after_bytes - measured.memory_before_bytes < MEMORY_LIMIT_BYTES
