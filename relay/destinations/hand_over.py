"""Hands over to the customer's systems what they have not been given yet: each refund and shipment once, and events."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, assert_never

from relay.destinations.effects import REFUND, SHIPMENT, Effect, Rules, effects_of
from relay.destinations.envelope import body_of, id_of
from relay.destinations.sender import Destination, Sender
from relay.errors import ClaimLost, OneStockError, OneStockNotFound, StoreError
from relay.events import Event
from relay.onestock.http import PooledExchange
from relay.onestock.models import Order, Parcel
from relay.registry import Reject, Retry
from relay.settings.destinations import EVERY_OTHER, DestinationSettings
from relay.stores import Busy, Claim, ClaimRequest, Completion, Done, Stale, Store
from relay.stores.completing import complete

logger = logging.getLogger(__name__)


class Orders(Protocol):
    """Tells how an order is now; `relay.onestock.OneStock` does."""

    def get_order(self, order_id: str) -> Order:
        """Return the order. Raises OneStockError."""
        ...

    def get_parcel(self, parcel_id: str) -> Parcel:
        """Return the parcel. Raises OneStockError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where what goes; what has no destination is not handed over."""

    effects: Mapping[str, Destination]
    """By kind: refund, shipment."""
    events: Mapping[str, Destination]
    """By event type; `*` takes all others."""

    @classmethod
    def of(cls, settings: DestinationSettings) -> Self:
        """Return the destinations that are set."""

        def destination(name: str, url: str) -> Destination:
            return Destination(name=name, url=url, secrets=settings.secrets_for(url))

        urls = {REFUND: settings.refund_url, SHIPMENT: settings.shipment_url}
        return cls(
            effects={kind: destination(kind, url) for kind, url in urls.items() if url},
            events={name: destination(name, url) for name, url in settings.forward_urls.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How long a claim on an effect holds if its holder dies, and how long it is remembered that it was done."""

    lease_seconds: float
    retention_seconds: float


class HandOver:
    """A handler that takes a parameter of this type gets it ready-made. Safe for any number of threads."""

    def __init__(
        self,
        destinations: Destinations,
        *,
        sender: Sender,
        store: Store,
        memory: Memory,
        rules: Rules,
        orders: Orders | None,
    ) -> None:
        """`orders` may be None where no effect has a destination."""
        self._destinations = destinations
        self._sender = sender
        self._store = store
        self._memory = memory
        self._rules = rules
        self._orders = orders

    @classmethod
    def connected(
        cls, settings: DestinationSettings, *, store: Store, lease_seconds: float, orders: Orders | None
    ) -> Self:
        """Return one with connections of its own. Nothing is sent before the first event."""
        return cls(
            Destinations.of(settings),
            sender=Sender(PooledExchange(), budget_seconds=settings.budget_seconds),
            store=store,
            memory=Memory(lease_seconds=lease_seconds, retention_seconds=settings.effect_retention_seconds),
            rules=Rules(refund_states=settings.refund_states, shipment_states=settings.shipment_states),
            orders=orders,
        )

    def event(self, event: Event) -> None:
        """Hand over the event itself, under its event id, if its type has a destination.

        Raises Retry or Reject as `Sender.send`.
        """
        destination = self._destinations.events.get(event.event_type) or self._destinations.events.get(EVERY_OTHER)
        if destination is None:
            return
        body = body_of(event.event_type, timestamp=event.occurred_at or event.received_at, data=event.raw_body)
        status = self._sender.send(destination, body, webhook_id=event.event_id)
        logger.info("Handed over the event to %s: answered %d", destination.host, status)

    def effects(self, event: Event, *, order_id: str | None, parcel_id: str | None = None) -> None:
        """Fetch the event's order, and hand over each refund and shipment that was not handed over before.

        Does nothing if neither has a destination. An event that names a parcel only is of the parcel's order. What is
        refused does not hold up the rest of the order; what fails does, so that the sequence stays.

        Raises Retry if something is to be handed over later, else Reject if something was refused.
        """
        if not self._destinations.effects or self._orders is None:
            return
        order = self._order(self._orders, order_id, parcel_id)
        if order is None:
            logger.warning("The event names neither an order nor a parcel; nothing is handed over")
            return
        refusals = []
        for effect in effects_of(order, self._rules, kinds=self._destinations.effects):
            try:
                self._once(effect, event)
            except Reject as error:
                refusals.append(str(error))
        if refusals:
            raise Reject("; ".join(refusals))

    def _order(self, orders: Orders, order_id: str | None, parcel_id: str | None) -> Order | None:
        try:
            if order_id is None and parcel_id is not None:
                order_id = orders.get_parcel(parcel_id).order_id
            return None if order_id is None else orders.get_order(order_id)
        except OneStockNotFound as error:
            # Nothing to wait for, and nothing lost: what an order asks for is seen again at its next event.
            raise Reject(str(error)) from error
        except OneStockError as error:
            if error.is_worth_retrying:
                raise Retry(str(error)) from error
            raise

    def _once(self, effect: Effect, event: Event) -> None:
        destination = self._destinations.effects[effect.kind]
        claim = self._claim(effect)
        if claim is None:
            return
        happened_at = event.occurred_at or event.received_at
        body = body_of(effect.kind, timestamp=happened_at, data={**effect.data, "event_id": event.event_id})
        try:
            status = self._sender.send(destination, body, webhook_id=id_of(effect.key))
        except BaseException:
            self._release(claim)
            raise
        self._complete(claim)
        logger.info("Handed over %s to %s: answered %d", effect.key, destination.host, status)

    def _claim(self, effect: Effect) -> Claim | None:
        """Return the claim on the effect, None if it was handed over before. Raises Retry while somebody else does."""
        try:
            claim = self._store.claim(ClaimRequest(key=effect.key, lease_seconds=self._memory.lease_seconds))
        except StoreError as error:
            raise Retry(str(error)) from error
        match claim:
            case Claim():
                return claim
            case Done():
                return None
            case Busy() | Stale():
                raise Retry(f"another delivery is handing over {effect.key}")
        assert_never(claim)

    def _complete(self, claim: Claim) -> None:
        try:
            complete(self._store, claim, Completion.HANDLED, retention_seconds=self._memory.retention_seconds)
        except (StoreError, ClaimLost) as error:
            # It may be handed over once more, under the same webhook-id.
            raise Retry(f"{claim.request.key} was handed over, but is not recorded: {error}") from error

    def _release(self, claim: Claim) -> None:
        try:
            self._store.release(claim)
        except (StoreError, ClaimLost) as error:
            # The claim ends with its lease; until then this effect is answered Retry.
            logger.warning("A claim was not released: %s", error)
