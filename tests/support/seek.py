"""The Pub/Sub emulator with a seek: everything else goes through to it, as it comes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.pubsub_v1 import SeekRequest

SEEK = "/google.pubsub.v1.Subscriber/Seek"


@dataclass
class PubSubWithSeek(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """A gRPC proxy; `on_seek` does what the seek would: it brings the retained messages back."""

    emulator_host: str
    on_seek: Callable[[], None] = lambda: None
    seeks: list[SeekRequest] = field(default_factory=list)
    host: str = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        forward = self._channel.unary_unary(method)

        def serve(request: bytes, context: grpc.ServicerContext) -> bytes:
            if method == SEEK:
                self.seeks.append(SeekRequest.deserialize(request))
                self.on_seek()
                return b""
            try:
                answer: bytes = forward(request, timeout=context.time_remaining(), metadata=_routing(context))
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
                raise
            return answer

        return grpc.unary_unary_rpc_method_handler(serve)

    @contextmanager
    def running(self) -> Iterator["PubSubWithSeek"]:
        server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        with grpc.insecure_channel(self.emulator_host) as self._channel:
            server.start()
            try:
                yield self
            finally:
                server.stop(grace=None).wait()


def _routing(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    return [(key, value) for key, value in context.invocation_metadata() if key == "x-goog-request-params"]
