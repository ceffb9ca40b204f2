"""What an order asks for: every piece once, whatever becomes of the group that it is in."""

from typing import Any

import pytest

from relay.destinations.effects import Effect, Rules, effects_of
from relay.onestock.models import Order

RULES = Rules(refund_states=("removed", "issue"), shipment_states=())


def group(id_: str, state: str, *ranges: tuple[int, int], item: str | None = "OI-1", **more: Any) -> dict[str, Any]:
    spans = [{"from": first, "to": last} for first, last in ranges]
    return {"id": id_, "state": state, "order_item_id": item, "item_id": "SKU-1", "index_ranges": spans, **more}


def parcel(id_: str, state: str = "dispatched", **shipment: str) -> dict[str, Any]:
    return {"id": id_, "state": state, "shipment": shipment}


def effects(*groups: dict[str, Any], parcels: tuple[dict[str, Any], ...] = (), rules: Rules = RULES) -> list[Effect]:
    order = Order.model_validate({"id": "ORD-1", "line_item_groups": groups, "parcels": parcels})
    return effects_of(order, rules)


def keys(*groups: dict[str, Any], **more: Any) -> list[str]:
    return [effect.key for effect in effects(*groups, **more)]


def test_each_piece_in_a_refund_state_is_a_refund() -> None:
    found = effects(group("G1", "removed", (0, 1), quantity=2), group("G2", "fulfilled", (2, 2)))

    assert [effect.key for effect in found] == [
        "effect/refund/ORD-1/OI-1/piece/0",
        "effect/refund/ORD-1/OI-1/piece/1",
    ]
    assert found[1].kind == "refund"
    assert {name: found[1].data[name] for name in ("order_id", "item_id", "piece", "quantity", "state")} == {
        "order_id": "ORD-1",
        "item_id": "SKU-1",
        "piece": 1,
        "quantity": 1,
        "state": "removed",
    }


def test_states_are_names_of_the_customers_own() -> None:
    mine = Rules(refund_states=("annulé",), shipment_states=("parti",))
    parcels = (parcel("P1", "parti", tracking_code="T1"), parcel("P2", "prêt", tracking_code="T2"))

    found = keys(group("G1", "annulé", (0, 0)), group("G2", "removed", (1, 1)), parcels=parcels, rules=mine)

    assert found == ["effect/refund/ORD-1/OI-1/piece/0", "effect/shipment/ORD-1/P1"]


def test_a_group_that_is_split_or_grows_asks_for_no_piece_twice() -> None:
    before = keys(group("G1", "removed", (0, 2), quantity=3))
    split = keys(group("G7", "removed", (0, 0), quantity=1), group("G8", "issue", (1, 2), quantity=2))
    grown = keys(group("G1", "removed", (0, 3), quantity=4))

    assert set(split) == set(before)
    assert set(grown) - set(before) == {"effect/refund/ORD-1/OI-1/piece/3"}


@pytest.mark.parametrize(("quantity", "pieces"), [(2, [4, 5]), (1, [4]), (None, [4, 5])])
def test_the_quantity_tells_whether_a_ranges_end_is_included(quantity: int | None, pieces: list[int]) -> None:
    found = effects(group("G1", "removed", (4, 5), quantity=quantity))

    assert [effect.data["piece"] for effect in found] == pieces


@pytest.mark.parametrize("ranges", [[], [(0, 8)], [(0, 10**30)]])
def test_without_ranges_that_fit_a_group_is_counted_through(ranges: list[tuple[int, int]]) -> None:
    assert keys(group("G1", "removed", *ranges, quantity=2)) == [
        "effect/refund/ORD-1/group/G1/0",
        "effect/refund/ORD-1/group/G1/1",
    ]


def test_what_is_not_counted_in_pieces_is_one_refund() -> None:
    [cheese] = effects(group("G1", "removed", quantity=1.5))

    assert (cheese.key, cheese.data["quantity"]) == ("effect/refund/ORD-1/group/G1", 1.5)


def test_a_parcel_is_a_shipment_once_it_has_tracking() -> None:
    parcels = (parcel("P1"), parcel("P2", tracking_code="T2", transporter="Invented Post"))
    packed = group("G1", "fulfilled", (0, 0), parcel_id="P2", quantity=1)

    [shipment] = effects(packed, parcels=parcels)

    assert shipment.key == "effect/shipment/ORD-1/P2"
    assert shipment.data["tracking_code"] == "T2"
    assert shipment.data["items"] == [{"order_item_id": "OI-1", "item_id": "SKU-1", "quantity": 1}]


def test_names_with_slashes_share_no_key() -> None:
    one = Order.model_validate({"id": "A/B", "parcels": [parcel("C", tracking_code="T")]})
    other = Order.model_validate({"id": "A", "parcels": [parcel("B/C", tracking_code="T")]})

    assert effects_of(one, RULES)[0].key != effects_of(other, RULES)[0].key


def test_only_what_has_a_destination_is_asked_for() -> None:
    order = Order.model_validate(
        {"id": "ORD-1", "line_item_groups": [group("G1", "removed")], "parcels": [parcel("P", tracking_code="T")]}
    )

    assert [effect.kind for effect in effects_of(order, RULES, kinds=("shipment",))] == ["shipment"]
