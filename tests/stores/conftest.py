"""A store of each kind, for what every store promises. A store is added by giving `bench` a parameter."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from relay.local.emulator import Emulator
from relay.stores import Claim, ClaimRequest, Completion, Sequence, Store
from relay.stores.firestore import FirestoreStore
from relay.stores.memory import MemoryStore

LEASE_SECONDS = 10
RETENTION_SECONDS = 100
WINDOW_SECONDS = 50
START = 1_735_689_600.0


class PassingTime:
    """Time that stands still, so that a slow machine ends no lease, and jumps when a test lets it pass."""

    def __init__(self) -> None:
        self._jumps: list[tuple[datetime, float]] = []

    def passes(self, seconds: float) -> None:
        self._jumps.append((datetime.now(UTC), seconds))

    def at(self, moment: datetime) -> float:
        """Return when it was, in Unix seconds, at what the clock on the wall calls `moment`."""
        return START + sum(seconds for since, seconds in self._jumps if since <= moment)

    def now(self) -> float:
        return self.at(datetime.now(UTC))


@dataclass
class Bench:
    """A store, time that passes when the test says so, and keys that no other test uses."""

    store: Store
    time: "PassingTime"
    unique: str = field(default_factory=lambda: uuid.uuid4().hex)

    def passes(self, seconds: float) -> None:
        self.time.passes(seconds)

    def request(self, event: str = "e1") -> ClaimRequest:
        return ClaimRequest(key=f"{self.unique}-{event}/handler", lease_seconds=LEASE_SECONDS)

    def of_order(self, event: str, moment: float) -> ClaimRequest:
        return replace(self.request(event), sequence=Sequence(f"latest/{self.unique}/handler", moment))

    def of_change(self, event: str, *seconds: int, is_synthetic: bool = False) -> ClaimRequest:
        """Return the request of an event that tells of a change in one of these seconds."""
        return replace(
            self.request(event),
            event_id=event,
            change_keys=tuple(f"{self.unique}-picked-{second}/handler" for second in seconds),
            is_synthetic=is_synthetic,
        )

    def held(self, request: ClaimRequest | None = None) -> Claim:
        got = self.store.claim(request or self.request())
        assert isinstance(got, Claim)
        return got

    def complete(self, claim: Claim, completion: Completion = Completion.HANDLED) -> None:
        self.store.complete(claim, completion, retention_seconds=RETENTION_SECONDS)


def memory(passing: PassingTime) -> Store:
    return MemoryStore(dateless_window_seconds=WINDOW_SECONDS, clock=passing.now)


def firestore(passing: PassingTime) -> Store:
    return FirestoreStore(
        project="test-relay",
        database="(default)",
        dateless_window_seconds=WINDOW_SECONDS,
        clock=passing.now,
        lease_clock=passing.at,
    )


@pytest.fixture(params=[memory, firestore], ids=["memory", "firestore"])
def bench(request: pytest.FixtureRequest, firestore_emulator: Emulator) -> Bench:
    assert firestore_emulator.host
    passing = PassingTime()
    return Bench(request.param(passing), passing)
