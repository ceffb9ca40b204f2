"""Hands each refund and shipment over to the customer's systems once, and the events themselves."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, Self

from relay.destinations.effects import REFUND, SHIPMENT, Effect, Rules, effects_of
from relay.destinations.envelope import body_of, id_of
from relay.destinations.sender import Destination, Sender
from relay.errors import ClaimLost, NotRecorded, OneStockError, OneStockNotFound, StoreError
from relay.events import Event
from relay.onestock.http import PooledExchange
from relay.onestock.models import Order, Parcel
from relay.registry import Reject, Retry
from relay.settings.destinations import EVERY_OTHER, DestinationSettings
from relay.stores import Busy, ClaimRequest, Completion, Done, Stale, Store
from relay.stores.once import Hold, Once

logger = logging.getLogger(__name__)


class OrderLookup(Protocol):
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


class HandOver:
    """A handler that takes a parameter of this type gets it ready-made. Safe for any number of threads."""

    def __init__(
        self,
        destinations: Destinations,
        *,
        sender: Sender,
        once: Once,
        lease_seconds: float,
        rules: Rules,
        refund_wait_seconds: float,
        orders: OrderLookup | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`orders` may be None where no effect has a destination.

        `lease_seconds`: how long a claim on an effect holds if its holder dies. `refund_wait_seconds`: how long after
        its receipt an event waits for OneStock to say for certain which pieces are meant.
        """
        self._destinations = destinations
        self._sender = sender
        self._once = once
        self._lease_seconds = lease_seconds
        self._rules = rules
        self._refund_wait_seconds = refund_wait_seconds
        self._orders = orders
        self._now = now

    @classmethod
    def connected(
        cls, settings: DestinationSettings, *, store: Store, lease_seconds: float, orders: OrderLookup | None
    ) -> Self:
        """Return one with connections of its own. Nothing is sent before the first event."""
        return cls(
            Destinations.of(settings),
            sender=Sender(PooledExchange(), budget_seconds=settings.budget_seconds),
            once=Once(store, retention_seconds=settings.effect_retention_seconds),
            lease_seconds=lease_seconds,
            rules=Rules(
                refund_states=settings.refund_states,
                shipment_states=settings.shipment_states,
                is_range_end_included=settings.index_range_end == "included",
            ),
            refund_wait_seconds=settings.refund_wait_seconds,
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
        try:
            status = self._sender.send(destination, body, webhook_id=event.event_id, check_claim=event.check_claim)
        except StoreError as error:
            raise Retry(str(error)) from error
        logger.info("Handed over the event to %s: answered %d", destination.host, status)

    def effects(self, event: Event, *, order_id: str | None, parcel_id: str | None = None) -> None:
        """Fetch the event's order, and hand over each refund and shipment that was not handed over before.

        Does nothing if neither has a destination. An event that names a parcel only is of the parcel's order. A refund
        that the customer's system refuses does not hold up the rest of the order, nor does one whose piece is
        uncertain; what fails does, so that the sequence stays.

        Raises Retry if something is to be handed over later, else Reject if something was refused or stays uncertain.
        """
        if not self._destinations.effects or self._orders is None:
            return
        order = self._order(self._orders, order_id, parcel_id)
        if order is None:
            logger.warning("The event names neither an order nor a parcel; nothing is handed over")
            return
        asked = effects_of(order, self._rules, kinds=self._destinations.effects)
        refusals = []
        for effect in asked.certain:
            try:
                self._hand_over_once(effect, event)
            except Reject as error:
                refusals.append(str(error))
        if asked.doubts:
            refusals.append(self._given_up(asked.doubts, event))
        if refusals:
            raise Reject("; ".join(refusals))

    def _given_up(self, doubts: Sequence[str], event: Event) -> str:
        """Return what a person has to know of refunds that stay uncertain. Raises Retry while they may become certain.

        OneStock's answer may be in the middle of a change, which is over at one of the next attempts.
        """
        text = "; ".join(doubts)
        age_seconds = (self._now() - event.received_at).total_seconds()
        if age_seconds < self._refund_wait_seconds:
            raise Retry(f"not refunded yet, since a piece could be refunded twice: {text}")
        # What to do comes first: Pub/Sub cuts a long reason.
        return (
            f"not refunded after {self._refund_wait_seconds:g} s, since a piece could be refunded twice. Look at the "
            "order in OneStock: once quantity and index_ranges agree there, redrive this dead letter; else refund by "
            "hand and discard it. If this happens to every order, check ONESTOCK_INDEX_RANGE_END. "
            f"In doubt: {text}"
        )

    def _order(self, orders: OrderLookup, order_id: str | None, parcel_id: str | None) -> Order | None:
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

    def _hand_over_once(self, effect: Effect, event: Event) -> None:
        """Hand the effect over unless it was before. Raises Retry or Reject."""
        destination = self._destinations.effects[effect.kind]
        happened_at = event.occurred_at or event.received_at
        body = body_of(effect.kind, timestamp=happened_at, data={**effect.data, "event_id": event.event_id})

        def send(hold: Hold) -> tuple[Completion, int]:
            status = self._sender.send(destination, body, webhook_id=id_of(effect.key), check_claim=hold.check)
            return Completion.HANDLED, status

        try:
            ended = self._once.run(ClaimRequest(key=effect.key, lease_seconds=self._lease_seconds), send)
        except (StoreError, ClaimLost) as error:
            raise Retry(str(error)) from error
        except NotRecorded as error:
            # The effect may be handed over once more, under the same webhook-id.
            raise Retry(f"handed over, but not recorded: {error}") from error
        if isinstance(ended, Busy | Stale):
            raise Retry(f"another delivery is handing over {effect.key}")
        if not isinstance(ended, Done):
            logger.info("Handed over %s to %s: answered %d", effect.key, destination.host, ended)
