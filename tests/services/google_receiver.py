"""The receiver as it starts on Google Cloud, but that Google's front end is at GOOGLE_PORT of this machine.

`main.receiver` with credentials and TLS; only where the connection goes is changed, and whom it trusts.
"""

import os
from typing import TYPE_CHECKING

import certifi

import main
from relay.pubsub import publish_rpc

if TYPE_CHECKING:
    from flask import Flask


def receiver() -> "Flask":
    """Make the app."""
    publish_rpc.HOST, publish_rpc.PORT = "localhost", int(os.environ["GOOGLE_PORT"])
    certifi.where = lambda: os.environ["GOOGLE_CERTIFICATE"]
    return main.receiver()
