import time

from relay import Event, Reject, Retry, on

SLOW_SECONDS = 4.5


@on("fine")
def succeed(event: Event) -> None:
    """Do nothing."""


@on("half_fine")
def succeed_too(event: Event) -> None:
    """Do nothing."""


@on("half_fine", "failing")
def fail(event: Event) -> None:
    if not event.content.get("mended"):
        raise ValueError(f"invented: no good {event.event_type}")


@on("retried")
def ask_for_a_retry(event: Event) -> None:
    raise Retry(f"invented: {event.event_type} comes later")


@on("rejected", "rejected_in_vain")
def reject(event: Event) -> None:
    raise Reject(f"invented: {event.event_type} never works")


@on("slow")
def take_long(event: Event) -> None:
    """Take longer than the budget."""
    assert event.event_type == "slow"
    time.sleep(SLOW_SECONDS)


@on("latest", latest_only=True)
def take_the_latest(event: Event) -> None:
    """Do nothing."""
