"""One call to OneStock's API: the token, the repeats, the budget, and what an answer means.

Source: "Calls to OneStock's API" in docs/onestock.md. The token goes into the JSON body of every call, also of a GET. A
call that is answered 429 or 5xx is repeated after 1, 2, 4 ... 60 s. After a 401 the token has expired: log in again.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import tenacity
from pydantic import SecretStr
from pydantic_core import from_json

from relay.errors import (
    OneStockError,
    OneStockLoginRefused,
    OneStockNotFound,
    OneStockRefused,
    OneStockUnavailable,
    OneStockUnreachable,
    OneStockUnreadable,
)
from relay.onestock.http import NEVER, Answer, Exchange, NoAnswer, NoConnection
from relay.settings.onestock import OneStockSettings

LONGEST_PAUSE_SECONDS = 60
SECONDS_BETWEEN_REFUSED_LOGINS = 60  # A wrong password must not lock the account when many events ask for a token.
MAX_SHOWN = 200

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "onestock-relay"}
_DOCUMENTED_PAUSES = tenacity.wait_exponential(multiplier=1, max=LONGEST_PAUSE_SECONDS)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to OneStock."""

    method: str
    path: str
    """Without the base URL, with the version: `/v2/orders/ORD-1`."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the body beside site and token."""
    is_repeatable: bool = True
    """Whether two of these calls do the same as one."""
    secrets: tuple[SecretStr, ...] = ()
    """Values in `content` that an error must not show if the answer repeats them."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Api:
    """Makes calls with a token that any number of threads share."""

    def __init__(
        self,
        settings: OneStockSettings,
        exchange: Exchange,
        *,
        first_contact_seconds: float = NEVER,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is the clock of the deadline of `exchange`; `now` gives Unix seconds.

        Until OneStock has answered once, a call without a connection is repeated for `first_contact_seconds` only:
        a person who waits has mistyped the URL, or has no network.
        """
        self._settings = settings
        self._exchange = exchange
        self._first_contact_seconds = first_contact_seconds
        self._has_answered = False
        self._clock = clock
        self._sleep = sleep
        self._now = now
        self._login = _Login(self._ask_for_token, clock=clock)

    def call(self, call: Call) -> Any:
        """Return the JSON of the answer, within `budget_seconds` for login and repeats together.

        Raises OneStockError: OneStockUnavailable and OneStockUnreadable after the repeats that the budget allows,
        OneStockRefused and its subclasses at once.
        """
        started = self._clock()
        deadline = started + self._settings.budget_seconds
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _may_repeat(call, error)),
            wait=_pause,
            stop=lambda state: self._clock() + state.upcoming_sleep >= self._last_attempt_at(state, started, deadline),
            sleep=self._sleep,
            before_sleep=_log_repeat,
            reraise=True,
        )
        try:
            return retrying(self._call_once, call, deadline)
        except OneStockError as error:
            error.attempts = max(1, retrying.statistics.get("attempt_number", 1))
            raise

    def _last_attempt_at(self, state: tenacity.RetryCallState, started: float, deadline: float) -> float:
        error = state.outcome.exception() if state.outcome else None
        if self._has_answered or not isinstance(error, OneStockUnreachable):
            return deadline
        return min(deadline, started + self._first_contact_seconds)

    def _call_once(self, call: Call, deadline: float) -> Any:
        token = self._login.token(deadline, call)
        answer = self._send(call, deadline, token=token)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            token = self._login.renewed(token, deadline, call)
            answer = self._send(call, deadline, token=token)
        return self._content_of(answer, call, secrets=(*call.secrets, token, self._settings.password))

    def _ask_for_token(self, deadline: float) -> SecretStr:
        settings = self._settings
        login = Call(
            method="POST",
            path=path_of(settings, "login", "login"),
            content={"user_id": settings.user_id, "password": settings.password.get_secret_value()},
            secrets=(settings.password,),
        )
        answer = self._send(login, deadline, token=None)
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise OneStockLoginRefused(
                str(login),
                f"{_shown(answer, login.secrets)}; check ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD",
                status=answer.status,
                request_id=_request_id_of(answer, login.secrets),
            )
        content = self._content_of(answer, login, secrets=login.secrets)
        token = content.get("token") if isinstance(content, dict) else None
        if not isinstance(token, str) or not token:
            raise OneStockUnreadable(str(login), f"{answer.status} without a token", status=answer.status)
        return SecretStr(token)

    def _send(self, call: Call, deadline: float, *, token: SecretStr | None) -> Answer:
        content = {"site_id": self._settings.site_id, **call.content}
        if token is not None:
            content["token"] = token.get_secret_value()
        method, headers = call.method, _HEADERS
        if method == "GET" and self._settings.get == "override":
            method, headers = "POST", {**_HEADERS, "X-HTTP-Method-Override": "GET"}
        started = self._clock()
        until = min(started + self._settings.answer_seconds, deadline)
        try:
            answer = self._exchange(
                method,
                self._settings.url + call.path,
                headers=headers,
                body=json.dumps(content).encode(),
                deadline=until,
            )
        except NoConnection as error:
            where = f"no connection to {self._settings.url} (ONESTOCK_API_URL)"
            raise OneStockUnreachable(str(call), f"{where}: {error.why}", may_have_happened=False) from error
        except NoAnswer as error:
            raise OneStockUnavailable(
                str(call),
                f"{error}, after {self._clock() - started:.1f} s",
                may_have_happened=error.may_have_arrived,
            ) from error
        self._has_answered = True
        return answer

    def _content_of(self, answer: Answer, call: Call, *, secrets: tuple[SecretStr, ...]) -> Any:
        shown, request_id = _shown(answer, secrets), _request_id_of(answer, secrets)
        status = answer.status
        if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise OneStockUnavailable(
                str(call),
                shown,
                status=status,
                request_id=request_id,
                may_have_happened=status != HTTPStatus.TOO_MANY_REQUESTS,
                retry_after_seconds=answer.retry_after_seconds(self._now()),
            )
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            kind = _REFUSALS.get(status, OneStockRefused)
            raise kind(str(call), shown, status=status, request_id=request_id)
        try:
            return from_json(answer.body, allow_inf_nan=False) if answer.body.strip() else {}
        except ValueError as error:
            # The error does not show the body: it may be a part of an order with its customer.
            kind_of = answer.headers.get("content-type", "no content type")[:MAX_SHOWN]
            came_back = f"{status}, but not JSON ({kind_of}, {len(answer.body)} bytes)"
            raise OneStockUnreadable(str(call), came_back, status=status, request_id=request_id) from error


class _Login:
    """The token. One thread logs in while the other threads wait."""

    def __init__(self, ask: Callable[[float], SecretStr], *, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._token: SecretStr | None = None
        self._refusal: OneStockLoginRefused | None = None
        self._refused_until = 0.0

    def token(self, deadline: float, call: Call) -> SecretStr:
        """Return the token we have, or log in."""
        return self._token or self.renewed(None, deadline, call)

    def renewed(self, ended: SecretStr | None, deadline: float, call: Call) -> SecretStr:
        """Return a token other than `ended`: the one that another thread got, or the one of a new login."""
        if not self._lock.acquire(timeout=max(0, deadline - self._clock())):
            raise OneStockUnavailable(
                str(call), "another thread was still logging in at the deadline", may_have_happened=False
            )
        try:
            if self._token is None or self._token is ended:
                self._token = None
                self._token = self._log_in(deadline)
            return self._token
        finally:
            self._lock.release()

    def _log_in(self, deadline: float) -> SecretStr:
        if self._refusal is not None and self._clock() < self._refused_until:
            refusal = self._refusal
            raise OneStockLoginRefused(
                refusal.asked, refusal.came_back, status=refusal.status, request_id=refusal.request_id
            )
        try:
            return self._ask(deadline)
        except OneStockLoginRefused as error:
            self._refusal, self._refused_until = error, self._clock() + SECONDS_BETWEEN_REFUSED_LOGINS
            raise


_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_REFUSALS: Mapping[int, type[OneStockRefused]] = {
    HTTPStatus.UNAUTHORIZED: OneStockLoginRefused,
    HTTPStatus.NOT_FOUND: OneStockNotFound,
}


def path_of(settings: OneStockSettings, name: str, path: str) -> str:
    """Return the path of the call `name` (a key of ONESTOCK_API_VERSIONS) with its version in front."""
    version = settings.versions[name]
    return f"/{version}/{path}" if version else f"/{path}"


def _may_repeat(call: Call, error: BaseException) -> bool:
    if not isinstance(error, OneStockError) or not error.is_worth_retrying:
        return False
    return call.is_repeatable or (isinstance(error, OneStockUnavailable) and not error.may_have_happened)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_for = error.retry_after_seconds if isinstance(error, OneStockUnavailable) else None
    return _DOCUMENTED_PAUSES(state) if asked_for is None else asked_for


def _log_repeat(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info("%s; asked again in %g s", error, state.upcoming_sleep)


def _shown(answer: Answer, secrets: tuple[SecretStr, ...]) -> str:
    """Return the status and the error text of the body in one bounded line, without the secrets."""
    try:
        content = from_json(answer.body)
    except ValueError:
        said = answer.body.decode(errors="replace")
    else:
        fields = content if isinstance(content, dict) else {}
        said = ": ".join(str(fields[name]) for name in ("error", "message") if fields.get(name))
    return f"{answer.status} {' '.join(_without(said, secrets).split())[:MAX_SHOWN]}".rstrip()


def _request_id_of(answer: Answer, secrets: tuple[SecretStr, ...]) -> str | None:
    request_id = answer.headers.get("request-id")
    return None if request_id is None else _without(request_id, secrets)[:MAX_SHOWN]


def _without(text: str, secrets: tuple[SecretStr, ...]) -> str:
    for secret in secrets:
        value = secret.get_secret_value()
        for written in (value, json.dumps(value)[1:-1]):
            text = text.replace(written, "***")
    return text
