"""Every error that the relay raises.

    RelayError
    |- ConfigurationError       the operator set something wrong: one line on stderr, exit status 2
    |  |- HandlerError          a handler could never run; found when the worker starts
    |  `- CaptureError          a file holds no captured webhook
    |- SignatureError           the webhook is not proven to be OneStock's: 401
    |- BodyTooLarge             the webhook has more bytes than MAX_BODY_BYTES: 413
    |- BodyIncomplete           the sender hung up in the middle of a body: 400
    |- MessageTooLarge          the webhook does not fit into one Pub/Sub message: 413
    |- PublishError             Pub/Sub did not confirm the message: 503, the sender tries again
    |- PubSubError              Pub/Sub did not do what a command asked for: one line, exit status 1
    |- EnvelopeError            the request is not a push from Pub/Sub: 400
    |- AuthenticationError      the caller is not our push subscription: 401 or 403
    |- UnreadableContent        no handler can ever read this event: it goes to quarantine
    |- StoreError               the idempotency store cannot answer: 503, no handler ran
    `- ClaimLost                our lease ended and another delivery took over: write nothing

`Retry` and `Reject` are not here: handlers raise them (relay.registry).
"""


class RelayError(Exception):
    """Base of all errors of the relay; its text is one line that a person can act on."""


class ConfigurationError(RelayError):
    """The operator can mend it: a setting, or the environment that the service was started in."""


class HandlerError(ConfigurationError):
    """The author of a handler can mend it: the text names file, line, function and what to do."""


class CaptureError(ConfigurationError):
    """Whoever captured the request can mend it: what was given holds no webhook with its headers."""


class SignatureError(RelayError):
    """The webhook is not proven to come from OneStock. The reason is for our log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BodyTooLarge(RelayError):
    """The sender has to send less, or the operator to raise MAX_BODY_BYTES."""


class BodyIncomplete(RelayError):
    """The sender broke off; it has no answer and sends the webhook again."""


class MessageTooLarge(RelayError):
    """The sender has to send less: even compressed, the body exceeds what one Pub/Sub message holds."""


class PublishError(RelayError):
    """Pub/Sub did not confirm in time, or refused. The event may still have been stored: the sender repeats it."""


class PubSubError(RelayError):
    """Whoever runs the command can mend it, or try again: Pub/Sub did not do what was asked."""


class EnvelopeError(RelayError):
    """Whoever configured the subscription can mend it: this request is not a Pub/Sub push."""


class AuthenticationError(RelayError):
    """The caller may not push. `status` is 401 (no valid token) or 403 (a valid token of somebody else)."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class UnreadableContent(RelayError):
    """The sender can mend it: the body is not what its event type promises. Trying again cannot help."""


class StoreError(RelayError):
    """The idempotency store does not answer. Before a run this means that no handler ran."""


class ClaimLost(RelayError):
    """Our lease on a handler run ended and another delivery took it over; only that one may write."""
