"""Texts that reproduce an event: commands that send its body again, and a test of its handler. No I/O."""

import base64
import keyword
import pprint
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relay import events
from relay.investigation.payload import Payload, json_in

FILE = "event.json"
MAX_INLINE_BYTES = 8_000
"""A longer body is a file beside the command: no terminal takes it well."""
_ARGUMENTS = frozenset({"self", "model", "captured", "event_type", "delivery_attempt"})
_NOT_OF_A_NAME = re.compile(r"\W+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """One text to copy."""

    title: str
    text: str


def reproductions(
    payload: Payload, *, event_type: str, handlers: Sequence[str], receiver_url: str, webhook_url: str
) -> list[Reproduction]:
    """Return the texts for an event; none where the log does not hold the body.

    A masked body makes another event, whose masked values may not fit the handlers. `handlers` are names,
    `webhook_url` is where the receiver takes this event type.
    """
    if not payload.is_readable:
        return []
    send = shlex.join(["relay", "send", event_type, "--as-it-is", "--url", receiver_url, "--body", FILE])
    texts = _commands(payload.body, send=send, url=shlex.quote(webhook_url))
    test = _test(payload.body, event_type, handlers)
    return [*texts, *([Reproduction(title="A pytest test, for tests/handlers/", text=test)] if test else [])]


def _commands(body: bytes, *, send: str, url: str) -> Iterator[Reproduction]:
    make = _file_made(body)
    rest = f"-H 'Content-Type: application/json' --data-binary @{FILE} {url}\n"
    yield Reproduction(title="relay send: signs with ONESTOCK_HASH_KEYS", text=f"{make}{send}\n")
    yield Reproduction(
        title="curl, signed by relay signature sign",
        text=f'{make}curl -sS -H "$(relay signature sign {FILE})" {rest}',
    )
    yield Reproduction(
        title="curl, unsigned: answered 401 unless ONESTOCK_SIGNATURE=off", text=f"{make}curl -sS {rest}"
    )


def _file_made(body: bytes) -> str:
    """Return the line that makes the file of the body, byte for byte."""
    if len(body) > MAX_INLINE_BYTES:
        return f"# {FILE}: save the body from this page under this name\n"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return f"echo {base64.b64encode(body).decode()} | base64 -d > {FILE}\n"
    return f"printf '%s' {shlex.quote(text)} > {FILE}\n"


# --- The test ---------------------------------------------------------------------------------------------------------


def _test(body: bytes, event_type: str, handlers: Sequence[str]) -> str:
    """Return a test that gives the event to each handler; empty where the body is no JSON object."""
    content = json_in(body)
    if not isinstance(content, dict):
        return ""
    model = _model_of(event_type)
    functions = [(module, function) for module, _, function in (name.rpartition(".") for name in handlers)
                 if _is_importable(module, function)]  # fmt: skip
    imports = [f"from {module} import {function}" for module, function in functions]
    calls = [f"    {function}(event)  # and what else it is given" for _, function in functions]
    fields = _fields(content, is_long=len(body) > MAX_INLINE_BYTES)
    lines = [
        *(["import json", "from pathlib import Path", ""] if len(body) > MAX_INLINE_BYTES else []),
        *imports,
        f"from relay import {model}",
        "from relay.testing import MakeEvent",
        "",
        "# The body as the log holds it: mask what is about a person before you keep it.",
        f"CONTENT = {fields}",
        "",
        "",
        f"def test_{_plain(event_type)}(make_event: MakeEvent) -> None:",
        f"    event = make_event({model}, event_type={event_type!r}, **CONTENT)",
        "",
        *(calls or ["    ...  # call the handler with the event"]),
        "",
        "    ...  # assert what it did",
    ]
    return "\n".join(lines) + "\n"


def _fields(content: dict[str, Any], *, is_long: bool) -> str:
    """Return the event's fields as Python source, without those that `make_event` takes for its own arguments."""
    if is_long:
        return f'json.loads(Path(__file__).with_name("{FILE}").read_bytes())'
    try:
        return pprint.pformat(
            {name: value for name, value in content.items() if name not in _ARGUMENTS}, width=100, sort_dicts=False
        )
    except RecursionError:
        return "{}  # The body is nested too deeply."


def _model_of(event_type: str) -> str:
    models = [value for value in vars(events).values() if isinstance(value, type) and issubclass(value, events.Event)]
    return next((model.__name__ for model in models if event_type in model.event_types), events.Event.__name__)


def _is_importable(module: str, function: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in [*module.split("."), function])


def _plain(text: str) -> str:
    return _NOT_OF_A_NAME.sub("_", text.lower()).strip("_") or "event"
