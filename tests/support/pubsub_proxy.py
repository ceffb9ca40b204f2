"""The Pub/Sub emulator behind a proxy that answers as the real Pub/Sub does where the emulator does not, or fails."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

GET_SUBSCRIPTION = "/google.pubsub.v1.Subscriber/GetSubscription"
PULL = "/google.pubsub.v1.Subscriber/Pull"
ACKNOWLEDGE = "/google.pubsub.v1.Subscriber/Acknowledge"
MODIFY_ACK_DEADLINE = "/google.pubsub.v1.Subscriber/ModifyAckDeadline"
SEEK = "/google.pubsub.v1.Subscriber/Seek"
GET_TOPIC = "/google.pubsub.v1.Publisher/GetTopic"
PUBLISH = "/google.pubsub.v1.Publisher/Publish"

Forward = Callable[[bytes], bytes]


class Refused(Exception):
    """The proxy answers with this status instead of the emulator."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class PubSubProxy(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Forwards each call to the emulator, unless `answers` has a function for its method.

    Such a function gets the request and a function that forwards it; it returns the response, or raises Refused.
    """

    emulator_host: str
    answers: dict[str, Callable[[bytes, Forward], bytes]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    """How many calls of each method have ended."""
    host: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        call = self._channel.unary_unary(method)

        def serve(request: bytes, context: grpc.ServicerContext) -> bytes:
            def forward(request: bytes) -> bytes:
                answer: bytes = call(request, timeout=context.time_remaining(), metadata=_routing(context))
                return answer

            try:
                answer = self.answers[method](request, forward) if method in self.answers else forward(request)
            except Refused as error:
                context.abort(error.code, "refused by the proxy")
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            finally:
                with self.lock:
                    self.calls[method] += 1
            return answer

        return grpc.unary_unary_rpc_method_handler(serve)

    @contextmanager
    def running(self) -> Iterator["PubSubProxy"]:
        server = grpc.server(ThreadPoolExecutor(40), handlers=[self])
        self.host = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        with grpc.insecure_channel(self.emulator_host) as self._channel:
            server.start()
            try:
                yield self
            finally:
                server.stop(grace=None).wait()


def _routing(context: grpc.ServicerContext) -> list[tuple[str, str]]:
    return [(key, value) for key, value in context.invocation_metadata() if key == "x-goog-request-params"]
