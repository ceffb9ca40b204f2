"""What goes over the wire: the body, its id and its signature. No I/O.

"Standard Webhooks" (specification): `webhook-id` is the same for each attempt at one thing, `webhook-timestamp` is the
attempt's, and the signature is made of both and the body.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook


def body_of(kind: str, *, timestamp: datetime, data: Mapping[str, Any] | bytes) -> bytes:
    """Return the body: `type`, `timestamp` (when it happened) and `data`; bytes are JSON, and stay as they are."""
    shown = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()
    head = json.dumps({"type": kind, "timestamp": timestamp.astimezone(UTC).isoformat()}, ensure_ascii=False)
    return head[:-1].encode() + b', "data": ' + shown + b"}"


def id_of(effect_key: str) -> str:
    """Return the webhook-id of an effect. Hashed: an id must not hold a full stop, and an order's id may."""
    return f"msg_{hashlib.sha256(effect_key.encode()).hexdigest()}"


def signed_headers(
    body: bytes, *, webhook_id: str, secrets: Sequence[SecretStr], timestamp: datetime
) -> dict[str, str]:
    """Return the three headers of the specification; each of the secrets signs, the newest first."""
    text = body.decode()
    signatures = [
        Webhook(secret.get_secret_value()).sign(msg_id=webhook_id, timestamp=timestamp, data=text) for secret in secrets
    ]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(timestamp.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
