"""How a call ended. Sources: "Status codes and their use in gRPC", "HTTP to gRPC status code mapping" (gRPC)."""

from enum import IntEnum


class Status(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def of(cls, text: str) -> "Status":
        """Return the status that `grpc-status` names; UNKNOWN for what is none."""
        return _OF_GRPC.get(text, cls.UNKNOWN)

    @classmethod
    def of_http(cls, text: str) -> "Status":
        """Return what an HTTP status stands for that came without a gRPC status, from something on the way."""
        return _OF_HTTP.get(text, cls.UNKNOWN)


_OF_GRPC = {str(status.value): status for status in Status}
_OF_HTTP = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    "429": Status.UNAVAILABLE,
    "502": Status.UNAVAILABLE,
    "503": Status.UNAVAILABLE,
    "504": Status.UNAVAILABLE,
}


class RpcError(Exception):
    """The server refused, or broke the call off."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(f"{status.name}: {message}" if message else status.name)
        self.status = status


class ConnectionLost(OSError):
    """The connection ended before the answer, or did not take the call. The server may have done what was asked."""
