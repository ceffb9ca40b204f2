"""How a delivery can end, and what Pub/Sub is told."""

from enum import StrEnum
from http import HTTPStatus
from typing import assert_never


class Outcome(StrEnum):
    """How a delivery, or one handler's part of it, ended. The order is from best to worst."""

    UNHANDLED = "unhandled"
    DUPLICATE = "duplicate"
    STALE = "stale"
    HANDLED = "handled"
    QUARANTINED = "quarantined"
    BUSY = "busy"
    RETRY = "retry"
    TIMED_OUT = "timed_out"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    QUARANTINE_FAILED = "quarantine_failed"
    STORE_UNAVAILABLE = "store_unavailable"

    @property
    def status(self) -> HTTPStatus:
        """The answer to Pub/Sub: 204 is an ack, 503 a nack."""
        return _STATUS[self]


def _status_of(outcome: Outcome) -> HTTPStatus:
    match outcome:
        case Outcome.UNHANDLED | Outcome.DUPLICATE | Outcome.STALE | Outcome.HANDLED | Outcome.QUARANTINED:
            return HTTPStatus.NO_CONTENT
        case Outcome.BUSY | Outcome.RETRY | Outcome.TIMED_OUT | Outcome.FAILED:
            return HTTPStatus.SERVICE_UNAVAILABLE
        case Outcome.QUARANTINE_FAILED | Outcome.STORE_UNAVAILABLE | Outcome.OVERLOADED:
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            assert_never(outcome)


_STATUS = {outcome: _status_of(outcome) for outcome in Outcome}
