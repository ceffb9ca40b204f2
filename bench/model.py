"""The model on paper: what N instances on Cloud Run give, and what a million webhooks cost. Measured figures in."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.ratios import Medians
from bench.results import Results

MILLION = 1_000_000
TIB = 2**40
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What was not measured here: check each against the price lists and your region. Prices in US dollars."""

    vcpu_second: float = 0.000_024
    """Cloud Run, request-based billing, tier 1."""
    gib_second: float = 0.000_002_5
    million_requests: float = 0.40
    billed_seconds: float = 0.1
    """Cloud Run rounds an instance's time up to this."""
    vcpus: float = 1.0
    """Of an instance; taken for as quick as one core of the machine that was measured."""
    memory_gib: float = 0.5
    usable: float = 0.6
    """The share of its CPU that an instance is loaded with (Cloud Run's own target for scaling out)."""
    publish_seconds: float = 0.015
    """A publish within a region; the emulator here takes less."""
    pubsub_tib: float = 40.0
    pubsub_min_bytes: float = 1_000.0
    """Charged for each publish and each push, at least."""
    firestore_writes: float = 0.18 / 100_000
    firestore_deletes: float = 0.02 / 100_000
    writes_of_a_run: int = 2
    """A handler's run: claim and completion, and later one delete by the TTL policy."""
    logging_gib: float = 0.50

    @property
    def instance_second(self) -> float:
        """What one instance costs a second."""
        return self.vcpus * self.vcpu_second + self.memory_gib * self.gib_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the model takes from the results."""

    receiver_cpu_seconds: float
    worker_cpu_seconds: float
    receiver_log_bytes: float
    worker_log_bytes: float
    own_seconds: float
    """Of an acknowledgement: what remains of the median at one connection without the RPC."""

    @classmethod
    def of(cls, results: Results) -> "Measured":
        """Take the figures from 64 connections and one handler. Raises LookupError if they were not measured."""
        medians = Medians(results)
        own_ms = medians.of("p50_ms", "receivers", "receiver", connections=1) - medians.of(
            "p50_ms", "receivers", "bare-stub", connections=1
        )
        return cls(
            receiver_cpu_seconds=medians.of("cpu_seconds_per_1000", "receivers", "receiver", connections=64) / 1_000,
            worker_cpu_seconds=medians.of("cpu_seconds_per_1000", "pushes", "worker", connections=64) / 1_000,
            receiver_log_bytes=medians.of("log_bytes", "receivers", "receiver", connections=64),
            worker_log_bytes=medians.of("log_bytes", "pushes", "worker", connections=64),
            own_seconds=own_ms / 1_000,
        )


def webhooks_per_second(cpu_seconds: float, instances: int, assumed: Assumptions) -> float:
    """Return what `instances` take when each webhook needs `cpu_seconds`."""
    return instances * assumed.vcpus * assumed.usable / cpu_seconds


def feed_per_second(measured: Measured, assumed: Assumptions) -> float:
    """Return what one OneStock webhook gets through: it sends one message at a time. The network is left out."""
    return 1 / (measured.own_seconds + assumed.publish_seconds)


def costs(measured: Measured, assumed: Assumptions, *, is_busy: bool) -> Iterator[tuple[str, float]]:
    """Yield what a million webhooks with one handler each cost, item by item.

    `is_busy`: instances are loaded as far as `usable` says; if not, each webhook comes alone and is billed alone.
    """
    cpu = {"receiver": measured.receiver_cpu_seconds, "worker": measured.worker_cpu_seconds}
    for service, cpu_seconds in cpu.items():
        billed = cpu_seconds / assumed.vcpus / assumed.usable if is_busy else assumed.billed_seconds
        yield f"Cloud Run, {service}: instances", MILLION * billed * assumed.instance_second
        yield f"Cloud Run, {service}: requests", assumed.million_requests
    yield "Pub/Sub: publish and push", 2 * MILLION * assumed.pubsub_min_bytes * assumed.pubsub_tib / TIB
    run = assumed.writes_of_a_run * assumed.firestore_writes + assumed.firestore_deletes
    yield "Firestore: one handler's runs", MILLION * run
    log_bytes = measured.receiver_log_bytes + measured.worker_log_bytes
    yield "Cloud Logging: both services' lines", MILLION * log_bytes * assumed.logging_gib / GIB
