"""The two services: gunicorn loads `main:receiver()` or `main:worker()`. The only place where parts meet; no logic.

Imports stand inside the functions, so that a cold start loads one service and not the other.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from relay.errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

    from relay.destinations import HandOver
    from relay.onestock import OneStock
    from relay.receiver.record import Recorder
    from relay.settings.receiver import ReceiverSettings
    from relay.settings.worker import WorkerSettings
    from relay.stores import Store
    from relay.stores.sightings import Sightings
    from relay.watchdog import Watchdog
    from relay.worker.auth import Authenticate

# gunicorn's own code for "the app cannot be loaded": the master then stops instead of starting workers for ever.
APP_LOAD_ERROR = 4

P = ParamSpec("P")
R = TypeVar("R")


def _stopping_on_misconfiguration(factory: Callable[P, R]) -> Callable[P, R]:
    @wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return factory(*args, **kwargs)
        except ConfigurationError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(APP_LOAD_ERROR) from None

    return make


@_stopping_on_misconfiguration
def receiver() -> "Flask":
    """Make the WSGI app that OneStock calls."""
    from relay import log
    from relay.pubsub.publish_rpc import publish_rpc
    from relay.pubsub.publisher import GroupCommitPublisher
    from relay.receiver.app import create_app
    from relay.settings.receiver import ReceiverSettings

    settings = ReceiverSettings.from_environ(os.environ)
    write_line = log.configure(project=settings.project, service="receiver")
    rpc = publish_rpc(settings.topic_path, emulator_host=settings.emulator_host, in_greenlets=_runs_in_greenlets())
    publisher = GroupCommitPublisher(rpc, max_waiting=settings.max_waiting_publishes)
    return create_app(settings, publisher=publisher, recorder=_recorder(settings), write_line=write_line)


@_stopping_on_misconfiguration
def worker() -> "Flask":
    """Make the WSGI app that Pub/Sub pushes to."""
    from importlib import import_module

    from relay import log
    from relay.pubsub.publish_rpc import publish_rpc
    from relay.pubsub.publisher import GroupCommitPublisher
    from relay.pubsub.quarantine import Quarantine
    from relay.registry import Registry
    from relay.settings.worker import WorkerSettings
    from relay.worker.app import create_app
    from relay.worker.dispatch import Dispatcher, Limits

    settings = WorkerSettings.from_environ(os.environ)
    write_line = log.configure(project=settings.project, service="worker")
    handlers = import_module(settings.handlers_package)
    store = _store(settings)
    onestock, missing = _onestock(settings)
    services = [*onestock, _hand_over(settings, store, onestock), *handlers.services()]
    registry = Registry.collect(handlers, services=services, not_configured=missing)
    dead_letter_rpc = publish_rpc(settings.dead_letter_topic_path, emulator_host=settings.emulator_host)
    limits = Limits(
        budget_seconds=settings.handler_budget_seconds,
        lease_seconds=settings.lease_seconds,
        retention_seconds=settings.retention_seconds,
        date_tolerance_seconds=settings.date_tolerance_seconds,
    )
    dispatcher = Dispatcher(
        registry,
        store,
        Quarantine(GroupCommitPublisher(dead_letter_rpc, max_waiting=1_000), now=lambda: datetime.now(UTC)),
        limits=limits,
        ack_deadline_seconds=settings.ack_deadline_seconds,
    )
    return create_app(
        settings,
        authenticate=_authenticator(settings, settings.push_service_account),
        authenticate_scheduler=_authenticator(
            settings, settings.watchdog_service_account or settings.push_service_account
        ),
        dispatcher=dispatcher,
        watchdog=_watchdog(settings, onestock),
        write_line=write_line,
    )


def _runs_in_greenlets() -> bool:
    gevent_patches = sys.modules.get("gevent.monkey")
    return gevent_patches is not None and gevent_patches.is_module_patched("socket")


def _authenticator(settings: "WorkerSettings", service_account: str | None) -> "Authenticate":
    from relay.settings.worker import PushAuth
    from relay.worker import auth

    if settings.push_auth is not PushAuth.OIDC:
        return auth.anybody
    return auth.OidcAuthenticator(
        audience=settings.push_audience or "",
        service_account=service_account or "",
        certificates=auth.CertificateCache(auth.certificates_from(settings.push_certificates_url)),
    )


def _watchdog(settings: "WorkerSettings", onestock: "list[OneStock]") -> "Watchdog | None":
    from relay.settings.webhooks import WatchdogSettings
    from relay.watchdog import Watchdog

    watched = WatchdogSettings.if_set(os.environ)
    if watched is None:
        return None
    return Watchdog(onestock[0], _sightings(settings), watched, now=lambda: datetime.now(UTC))


def _sightings(settings: "WorkerSettings") -> "Sightings":
    if settings.idempotency_store == "memory":
        from relay.stores.sightings import MemorySightings

        return MemorySightings()
    from relay.stores.firestore_sightings import FirestoreSightings

    return FirestoreSightings(project=settings.project, database=settings.firestore_database)


def _recorder(settings: "ReceiverSettings") -> "Recorder | None":
    if settings.signature != "record":
        return None
    from relay.receiver.record import Recorder

    return Recorder(settings.hash_key_bytes, until=settings.record_until, now=time.time)


def _onestock(settings: "WorkerSettings") -> "tuple[list[OneStock], dict[type, str]]":
    """Return the client for handlers, or what to set for having one."""
    from relay.onestock import OneStock
    from relay.settings.onestock import OneStockSettings

    api = OneStockSettings.if_set(os.environ)
    if api is None:
        return [], {OneStock: "set ONESTOCK_API_URL, ONESTOCK_SITE_ID, ONESTOCK_USER_ID and ONESTOCK_PASSWORD"}
    api.check_fits(handler_budget_seconds=settings.handler_budget_seconds)
    return [OneStock.connected(api)], {}


def _hand_over(settings: "WorkerSettings", store: "Store", onestock: "list[OneStock]") -> "HandOver":
    from relay.destinations import HandOver
    from relay.settings.destinations import DestinationSettings

    wanted = DestinationSettings.from_environ(os.environ)
    wanted.check_fits(handler_budget_seconds=settings.handler_budget_seconds, has_onestock=bool(onestock))
    return HandOver.connected(
        wanted, store=store, lease_seconds=settings.lease_seconds, orders=onestock[0] if onestock else None
    )


def _store(settings: "WorkerSettings") -> "Store":
    if settings.idempotency_store == "memory":
        from relay.stores.memory import MemoryStore

        return MemoryStore(dateless_window_seconds=settings.dateless_window_seconds)
    try:
        from relay.stores.firestore import FirestoreStore
    except ImportError as error:
        raise ConfigurationError(
            f"IDEMPOTENCY_STORE: firestore needs its client ({error}): pip install -r requirements-firestore.txt"
        ) from error
    return FirestoreStore(
        project=settings.project,
        database=settings.firestore_database,
        dateless_window_seconds=settings.dateless_window_seconds,
    )
