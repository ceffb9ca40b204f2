"""Who may ask the console: only the reader who started it, in a browser on this machine. Every refusal is a log line.

A page of another site can make the reader's browser send requests to a loopback address, and a name of an attacker's
can be made to point there (DNS rebinding). So each request must name our host exactly and bring the session's cookie,
and each change must come from a page of ours ("Cross-Site Request Forgery Prevention", OWASP).
"""

import hmac
import logging
import secrets
from http import HTTPStatus

from flask import Flask, Request, Response, abort, g, render_template, request
from flask.typing import ResponseReturnValue

OPEN_PATH = "/open"
CSRF_FIELD = "csrf"
MAX_SESSIONS = 50
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: with it, a browser sends `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

logger = logging.getLogger(__name__)


class Guard:
    """The sessions of one console."""

    def __init__(self, *, port: int, token: str) -> None:
        """`token` stands in the URL that the console prints; whoever has it gets a session."""
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._token = token
        # Browsers keep cookies by host, not by port: two consoles must not take each other's.
        self._cookie = f"relay_console_{port}"
        self._sessions: list[str] = []
        self._secret = secrets.token_bytes(32)

    def protect(self, app: Flask) -> None:
        """Check each request of `app`, and give each answer the headers that browsers obey."""
        app.before_request(self._check)
        app.after_request(_with_headers)
        app.add_url_rule(OPEN_PATH, view_func=self._open)
        app.jinja_env.globals["csrf"] = self.csrf

    def csrf(self) -> str:
        """Return the token that the forms of this session carry."""
        return hmac.new(self._secret, g.session.encode(), "sha256").hexdigest()

    def _open(self) -> ResponseReturnValue:
        """Exchange the start-up token for a session."""
        if not hmac.compare_digest(request.args.get("token", "").encode(), self._token.encode()):
            _refuse(HTTPStatus.FORBIDDEN, "the start-up token is wrong", "Open the URL that the console printed.")
        session = secrets.token_urlsafe(32)
        self._sessions = [*self._sessions[-MAX_SESSIONS + 1 :], session]
        # A page and not a redirect: after a click in another site's page, a browser sends a strict cookie only with
        # what our own page asks for.
        answer = Response(render_template("opening.html"))
        answer.set_cookie(self._cookie, session, httponly=True, samesite="Strict")
        return answer

    def _check(self) -> None:
        if request.host not in self._hosts:
            _refuse(HTTPStatus.MISDIRECTED_REQUEST, "the Host is not ours", "Open the URL that the console printed.")
        if request.path == OPEN_PATH and request.method in _SAFE_METHODS:
            return
        session = self._session_of(request)
        if session is None:
            _refuse(HTTPStatus.UNAUTHORIZED, "there is no session", "Open the URL that the console printed.")
        g.session = session
        if request.method not in _SAFE_METHODS:
            self._check_change(request)

    def _session_of(self, asked: Request) -> str | None:
        cookie = asked.cookies.get(self._cookie, "").encode()
        return next((session for session in self._sessions if hmac.compare_digest(session.encode(), cookie)), None)

    def _check_change(self, asked: Request) -> None:
        """Refuse a change that does not come from a page of this session."""
        if asked.headers.get("Origin") != f"http://{asked.host}":
            _refuse(HTTPStatus.FORBIDDEN, "the Origin is not ours", "Only pages of the console may change things.")
        if asked.headers.get("Sec-Fetch-Site") != "same-origin":
            _refuse(HTTPStatus.FORBIDDEN, "Sec-Fetch-Site is not same-origin", "Use a browser that sends it.")
        if not hmac.compare_digest(asked.form.get(CSRF_FIELD, "").encode(), self.csrf().encode()):
            _refuse(HTTPStatus.FORBIDDEN, "the form's token is wrong", "Load the page again, then repeat it.")


def _refuse(status: HTTPStatus, reason: str, advice: str) -> None:
    fields = {
        "line": "console_refused",
        "status": int(status),
        "reason": reason,
        "method": request.method,
        "path": request.path,
        "host": request.headers.get("Host", "")[:200],
        "origin": request.headers.get("Origin", "")[:200],
    }
    # Without the query: the library would write it, and it may hold the start-up token.
    asked = {"requestMethod": request.method, "requestUrl": request.path, "status": int(status)}
    extra = {"json_fields": fields, "http_request": asked}
    logger.warning("Console refused %s %s: %s", request.method, request.path, reason, extra=extra)
    abort(Response(f"Refused: {reason}. {advice}\n", status, content_type="text/plain; charset=utf-8"))


def _with_headers(answer: Response) -> Response:
    answer.headers.update(_HEADERS)
    if request.endpoint != "static":
        answer.headers["Cache-Control"] = "no-store"
    return answer
