"""Every error that the relay raises.

    RelayError
    |- ConfigurationError       the operator set something wrong: one line on stderr, exit status 2
    |  |- SettingMissing        an environment variable is not set
    |  |- HandlerError          a handler could never run; found when the worker starts
    |  `- CaptureError          a file holds no captured webhook
    |- SignatureError           the webhook is not proven to be OneStock's: 401
    |- BodyTooLarge             the webhook has more bytes than MAX_BODY_BYTES: 413
    |- BodyIncomplete           the sender hung up in the middle of a body: 400
    |- Overloaded               too many webhooks, or too many bytes of them, are under way: 503
    |- MessageTooLarge          the webhook does not fit into one Pub/Sub message: 413
    |- PublishError             Pub/Sub did not confirm the message: 503, the sender tries again
    |- PubSubError              Pub/Sub did not do what a command asked for: one line, exit status 1
    |- LogUnreadable            the services' log lines cannot be read: one line, exit status 1
    |- LogUnwritable            Cloud Logging does not take an entry: others could not see an action of the console
    |- ActionRefused            the console may not do what its reader asks for: 400, 403 or 409
    |- PlanRefused              the reader of the console has chosen no dead letters, or too many: 400
    |- DeadLetterIdRefused      an id given to a command names no dead letter, or several: one line, exit status 1
    |- EnvelopeError            the request is not a push from Pub/Sub: 400
    |- AuthenticationError      the caller is not our push subscription: 401 or 403
    |- UnreadableContent        no handler can ever read this event: it goes to quarantine
    |- StoreError               the idempotency store cannot answer: 503, no handler ran
    |- NotRecorded              a handler ran, but the idempotency store does not know it: 503
    |- OneStockError            a call to OneStock's API failed; in a handler: 503 unless the handler catches it
    |  |- OneStockUnavailable   no answer, too many requests, or OneStock's own error: later may help
    |  |  `- OneStockUnreachable   no connection to ONESTOCK_API_URL
    |  |- OneStockUnreadable    the answer is not what is documented
    |  `- OneStockRefused       OneStock will not do this
    |     |- OneStockNotFound      there is no such thing
    |     `- OneStockLoginRefused  site, user or password is wrong
    `- ClaimLost                our lease ended and another delivery took over: write nothing

`Retry` and `Reject` are not here: handlers raise them (relay.registry).
"""


class RelayError(Exception):
    """Base of all errors of the relay; its text is one line that a person can act on."""


class ConfigurationError(RelayError):
    """The operator can mend it: a setting, or the environment that the service was started in."""


class SettingMissing(ConfigurationError):
    """The operator can mend it: the text names each variable that is not set."""


class HandlerError(ConfigurationError):
    """The author of a handler can mend it: the text names file, line, function and what to do."""


class CaptureError(ConfigurationError):
    """Whoever captured the request can mend it: a file holds no captured webhook, or cannot be used."""


class SignatureError(RelayError):
    """The webhook is not proven to come from OneStock. The reason is for our log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BodyTooLarge(RelayError):
    """The sender has to send less, or the operator to raise MAX_BODY_BYTES."""


class BodyIncomplete(RelayError):
    """The sender broke off; it has no answer and sends the webhook again."""


class Overloaded(RelayError):
    """The receiver holds as much as it may; the sender sends the webhook again."""


class MessageTooLarge(RelayError):
    """The sender has to send less: even compressed, the body exceeds what one Pub/Sub message holds."""


class PublishError(RelayError):
    """Pub/Sub did not confirm in time, or refused. The event may still have been stored: the sender repeats it."""


class PubSubError(RelayError):
    """Whoever runs the command can mend it, or try again: Pub/Sub did not do what was asked."""


class LogUnreadable(RelayError):
    """Whoever runs the command can mend it, or try again: the services' log lines cannot be read."""


class LogUnwritable(RelayError):
    """Whoever runs the command can mend it, or try again: Cloud Logging does not take an entry."""


class ActionRefused(RelayError):
    """The reader of the console may not do this, or did not say why; nothing was changed. `status` is the answer."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class PlanRefused(RelayError):
    """The reader of the console can mend it: no dead letters are chosen, or too many for one plan."""


class DeadLetterIdRefused(RelayError):
    """Whoever runs the command can mend it: the id names no dead letter, or several. The text lists the candidates."""


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


class NotRecorded(RelayError):
    """The work is done, but the store was silent until the claim's end; the next delivery does it once more."""


class ClaimLost(RelayError):
    """Our lease on a handler run ended and another delivery took it over; only that one may write."""


class OneStockError(RelayError):
    """A call to OneStock's API failed. The text says what was asked, what came back and the Request-Id, no secret.

    `status` is None where no answer came. `is_worth_retrying` says whether the same call may succeed later.
    """

    is_worth_retrying = False

    def __init__(self, asked: str, came_back: str, *, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(asked, came_back)
        self.asked = asked
        self.came_back = came_back
        self.status = status
        self.request_id = request_id
        self.attempts = 1

    def __str__(self) -> str:
        text = f"OneStock, {self.asked}: {self.came_back}"
        if self.request_id:
            text += f" (Request-Id {self.request_id})"
        return f"{text}, after {self.attempts} attempts" if self.attempts > 1 else text


class OneStockUnavailable(OneStockError):
    """OneStock can mend it, or time: no answer within the budget, 429, or a 5xx."""

    is_worth_retrying = True

    def __init__(
        self,
        asked: str,
        came_back: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        may_have_happened: bool = True,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(asked, came_back, status=status, request_id=request_id)
        self.may_have_happened = may_have_happened
        """Whether OneStock may have done what was asked all the same."""
        self.retry_after_seconds = retry_after_seconds
        """How long OneStock asks us to wait."""


class OneStockUnreachable(OneStockUnavailable):
    """The operator can mend it, or time: nobody takes the connection at ONESTOCK_API_URL."""

    def __str__(self) -> str:
        return f"{super().__str__()}; is the URL right, can this machine reach it?"


class OneStockUnreadable(OneStockError):
    """The answer is not JSON, or not of the shape that is documented: something on the way, or a changed API."""

    is_worth_retrying = True


class OneStockRefused(OneStockError):
    """Whoever asked can mend it: OneStock answered 4xx. The same call will be refused again."""


class OneStockNotFound(OneStockRefused):
    """There is no order, parcel or webhook of this id."""


class OneStockLoginRefused(OneStockRefused):
    """The operator can mend it: ONESTOCK_SITE_ID, ONESTOCK_USER_ID or ONESTOCK_PASSWORD is wrong."""
