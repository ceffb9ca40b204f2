"""Reading a request's body from a WSGI environment, bounded, for both services."""

from wsgiref.types import WSGIEnvironment

from relay.errors import BodyIncomplete, BodyTooLarge


def read_body(environ: WSGIEnvironment, *, max_bytes: int) -> bytes:
    """Return the whole body.

    Raises BodyTooLarge if it has more than `max_bytes`, before reading it where it says how long it is, and
    BodyIncomplete if the sender hangs up before its end.
    """
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_bytes:
        raise BodyTooLarge(f"the body has {length} bytes, {max_bytes} are allowed (MAX_BODY_BYTES)")
    try:
        # One byte more than allowed: a chunked body that exceeds must be seen to do so.
        body: bytes = environ["wsgi.input"].read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise BodyIncomplete(f"the body broke off: {type(error).__name__}") from error
    if len(body) > max_bytes:
        raise BodyTooLarge(f"the body has more than the {max_bytes} bytes that are allowed (MAX_BODY_BYTES)")
    if len(body) < length:
        raise BodyIncomplete(f"the body broke off after {len(body)} of {length} bytes")
    return body
