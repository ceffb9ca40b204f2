"""The Firestore emulator behind a proxy that loses answers, as networks do: what was written stays written."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc

COMMIT = "/google.firestore.v1.Firestore/Commit"


@dataclass
class FirestoreProxy(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Forwards every call; the next commits end as `commits_to_spoil` says, first one first."""

    upstream: grpc.Channel
    host: str = ""
    commits_to_spoil: list[Callable[[Callable[[], bytes], grpc.ServicerContext], bytes]] = field(default_factory=list)
    is_silent: bool = False
    """Whether no call is forwarded or answered."""
    calls: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def abort_applied(self, times: int = 1) -> None:
        """Apply the next commits and answer ABORTED."""

        def spoil(forward: Callable[[], bytes], context: grpc.ServicerContext) -> bytes:
            forward()
            refuse(context, grpc.StatusCode.ABORTED)

        self.commits_to_spoil += [spoil] * times

    def abort(self, times: int = 1) -> None:
        """Answer ABORTED to the next commits, and do not apply them."""
        self.commits_to_spoil += [lambda _, context: refuse(context, grpc.StatusCode.ABORTED)] * times

    def lose_answer(self, *, then_silent: bool = False) -> None:
        """Apply the next commit and never answer; with `then_silent`, nor any other call."""

        def spoil(forward: Callable[[], bytes], context: grpc.ServicerContext) -> bytes:
            forward()
            self.is_silent = then_silent
            self.hang(context)

        self.commits_to_spoil.append(spoil)

    def hang(self, context: grpc.ServicerContext) -> NoReturn:
        """Answer nothing until the client has given up."""
        while context.is_active() and not self.closing.wait(0.05):
            continue
        refuse(context, grpc.StatusCode.CANCELLED)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method
        self.calls.append(method)
        if method == COMMIT:
            return grpc.unary_unary_rpc_method_handler(self._commit)
        return grpc.unary_stream_rpc_method_handler(lambda request, context: self._stream(method, request, context))

    def _commit(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if self.is_silent:
            self.hang(context)

        def forward() -> bytes:
            answer: bytes = self._forwarded(context, self.upstream.unary_unary(COMMIT), request)
            return answer

        if self.commits_to_spoil:
            return self.commits_to_spoil.pop(0)(forward, context)
        return forward()

    def _stream(self, method: str, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        if self.is_silent:
            self.hang(context)
        yield from self._forwarded(context, lambda *a, **k: list(self.upstream.unary_stream(method)(*a, **k)), request)

    def _forwarded(self, context: grpc.ServicerContext, call: Callable[..., Any], request: bytes) -> Any:
        metadata = [pair for pair in context.invocation_metadata() if not pair.key.startswith(("user-agent", "grpc-"))]
        try:
            return call(request, metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            refuse(context, error.code(), error.details())


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, details: str = "invented") -> NoReturn:
    """End the call with this status."""
    context.abort(code, details)
    raise AssertionError("abort raises")


@contextmanager
def firestore_proxy(emulator_host: str) -> Iterator[FirestoreProxy]:
    """Run a proxy before the emulator; a client finds it by FIRESTORE_EMULATOR_HOST."""
    with grpc.insecure_channel(emulator_host) as upstream:
        proxy = FirestoreProxy(upstream)
        server = grpc.server(ThreadPoolExecutor(16), handlers=[proxy])
        proxy.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            server.stop(1).wait()
