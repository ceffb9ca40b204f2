"""The two services: gunicorn loads `main:receiver()` or `main:worker()`. The only place where parts meet; no decisions.

Imports stand inside the functions, so that a cold start loads one service and not the other.
"""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from relay.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

# gunicorn's own code for "the app cannot be loaded": the master then stops instead of starting workers for ever.
APP_LOAD_ERROR = 4

P = ParamSpec("P")


def _stopping_on_misconfiguration(factory: "Callable[P, Flask]") -> "Callable[P, Flask]":
    @wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> "Flask":
        try:
            return factory(*args, **kwargs)
        except ConfigurationError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(APP_LOAD_ERROR) from None

    return make


@_stopping_on_misconfiguration
def receiver() -> "Flask":
    """Make the WSGI app that OneStock calls."""
    import time

    from relay import logs
    from relay.pubsub import publisher
    from relay.receiver.acceptance import announce_recording
    from relay.receiver.app import create_app
    from relay.settings.receiver import ReceiverSettings

    settings = ReceiverSettings.from_environ(os.environ)
    logs.configure(project=settings.project, service="receiver")
    announce_recording(settings, now=time.time())
    return create_app(settings, publisher=publisher.connected(settings.topic_path, settings))


@_stopping_on_misconfiguration
def worker(memory_socket: str | None = None) -> "Flask":
    """Make the WSGI app that Pub/Sub pushes to; with the local run's memory as its store where a socket is given."""
    from relay import logs
    from relay.destinations import HandOver
    from relay.onestock import OneStock
    from relay.onestock.watchdog import Watchdog
    from relay.pubsub import publisher
    from relay.pubsub.quarantine import Quarantine
    from relay.registry import Registry, imported, services_of
    from relay.settings.worker import WorkerSettings
    from relay.stores.chosen import sightings_of, store_of
    from relay.worker.app import create_app
    from relay.worker.auth import authenticator
    from relay.worker.dispatch import Dispatcher, Limits

    settings = WorkerSettings.from_environ(os.environ)
    logs.configure(project=settings.project, service="worker")
    handlers = imported(settings.handlers_package)
    if memory_socket:
        # The image's services do without multiprocessing.
        from relay.local.run_memory import connected

        store = connected(memory_socket)
    else:
        store = store_of(settings)
    onestock = OneStock.connected(settings.onestock) if settings.onestock else None
    hand_over = HandOver.connected(
        settings.destinations, store=store, lease_seconds=settings.lease_seconds, orders=onestock
    )
    registry = Registry.collect(
        handlers,
        services=[*([onestock] if onestock else []), hand_over, *services_of(handlers)],
        not_configured={OneStock: "set ONESTOCK_API_URL, ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD"},
    )
    registry.announce()
    dead_letters = publisher.connected(settings.dead_letter_topic_path, settings)
    dispatcher = Dispatcher(
        registry,
        store,
        Quarantine(dead_letters, now=lambda: datetime.now(UTC)),
        limits=Limits.of(settings),
        ack_deadline_seconds=settings.ack_deadline_seconds,
    )
    watchdog = None
    if onestock and settings.onestock:
        watchdog = Watchdog(onestock, sightings_of(settings), settings.onestock, now=lambda: datetime.now(UTC))
    return create_app(
        settings,
        authenticate=authenticator(settings, settings.push_service_account),
        authenticate_scheduler=authenticator(
            settings, settings.watchdog_service_account or settings.push_service_account
        ),
        dispatcher=dispatcher,
        watchdog=watchdog,
    )
