"""What an order asks for: every piece once, whatever becomes of the group that it is in."""

import re
from dataclasses import replace
from typing import Any

import pytest

from relay.destinations.effects import OrderEffects, Rules, effects_of
from relay.onestock.models import Order

RULES = Rules(refund_states=("removed", "issue"), shipment_states=())


def group(id_: str, state: str, *ranges: tuple[int, int], item: str | None = "OI-1", **more: Any) -> dict[str, Any]:
    spans = [{"from": first, "to": last} for first, last in ranges]
    return {"id": id_, "state": state, "order_item_id": item, "item_id": "SKU-1", "index_ranges": spans, **more}


def parcel(id_: str, state: str = "dispatched", **shipment: str) -> dict[str, Any]:
    return {"id": id_, "state": state, "shipment": shipment}


def asked(*groups: dict[str, Any], rules: Rules = RULES, **order: Any) -> OrderEffects:
    return effects_of(Order.model_validate({"id": "ORD-1", "line_item_groups": groups, **order}), rules)


def keys(*groups: dict[str, Any], rules: Rules = RULES, **order: Any) -> list[str]:
    """Return the keys of what is asked for, all of it for certain."""
    found = asked(*groups, rules=rules, **order)
    assert found.doubts == []
    return [effect.key for effect in found.certain]


def test_each_piece_in_a_refund_state_is_a_refund() -> None:
    found = asked(group("G1", "removed", (0, 1), quantity=2), group("G2", "fulfilled", (2, 2), quantity=1)).certain

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

    groups = group("G1", "annulé", (0, 0), quantity=1), group("G2", "removed", (1, 1), quantity=1)
    found = keys(*groups, parcels=parcels, rules=mine)

    assert found == ["effect/refund/ORD-1/OI-1/piece/0", "effect/shipment/ORD-1/P1"]


def test_a_group_that_is_split_or_grows_asks_for_no_piece_twice() -> None:
    before = keys(group("G1", "removed", (0, 2), quantity=3))
    split = keys(group("G7", "removed", (0, 0), quantity=1), group("G8", "issue", (1, 2), quantity=2))
    grown = keys(group("G1", "removed", (0, 3), quantity=4))

    assert set(split) == set(before)
    assert set(grown) - set(before) == {"effect/refund/ORD-1/OI-1/piece/3"}


@pytest.mark.parametrize(("is_included", "last"), [(True, 5), (False, 6)])
def test_a_setting_tells_whether_a_ranges_end_belongs_to_it(*, is_included: bool, last: int) -> None:
    rules = replace(RULES, is_range_end_included=is_included)

    found = keys(group("G1", "removed", (4, last), quantity=2), rules=rules)

    assert found == ["effect/refund/ORD-1/OI-1/piece/4", "effect/refund/ORD-1/OI-1/piece/5"]


@pytest.mark.parametrize(
    ("groups", "doubt"),
    [
        ([group("G1", "removed", quantity=2)], "OneStock gives no index_ranges"),
        ([group("G1", "removed", (0, 0))], "OneStock gives no quantity"),
        ([group("G1", "removed", (0, 0), item=None, quantity=1)], "OneStock gives no order item"),
        ([group("G1", "removed", (0, 8), quantity=2)], r"\(0 to 8\) name 9 pieces and its quantity is 2"),
        ([group("G1", "removed", (0, 1), quantity=1)], r"\(0 to 1\) name 2 pieces and its quantity is 1"),
        ([group("G1", "removed", (0, 10**30), quantity=2)], "name 0 pieces"),
        ([group("G1", "removed", (-1, 0), quantity=2)], "name 0 pieces"),
        ([group("G1", "removed", (0, 1), (1, 2), quantity=4)], "name 3 pieces"),
        ([group("G1", "removed", (0, 0), quantity=1), group("G2", "issue", (0, 0), quantity=1)], "another group holds"),
        (
            [group("G1", "removed", (0, 0), quantity=1), group("G2", "fulfilled", quantity=3)],
            "hold 4 .* 3 were ordered",
        ),
        ([group("G1", "removed", quantity=1.5)], "not a number of pieces"),
    ],
)
def test_a_piece_without_a_certain_name_is_a_doubt_and_no_refund(groups: list[dict[str, Any]], doubt: str) -> None:
    found = asked(*groups, order_items=[{"id": "OI-1", "quantity": 3}])

    assert found.certain == []
    assert re.search(f"^line item group G1 of order ORD-1 .removed.: .*{doubt}", found.doubts[0])


def test_a_doubt_about_one_group_does_not_hold_up_the_others() -> None:
    found = asked(group("G1", "removed", quantity=1), group("G2", "removed", (1, 1), quantity=1))

    assert [effect.key for effect in found.certain] == ["effect/refund/ORD-1/OI-1/piece/1"]
    assert len(found.doubts) == 1


def test_what_is_weighed_is_one_refund_whatever_its_group_is_called() -> None:
    ordered = [{"id": "OI-1", "quantity": 1.5}]

    before = keys(group("G1", "removed", quantity=1.5), order_items=ordered)
    renamed = keys(group("G9", "removed", (0, 0), quantity=1), order_items=ordered)

    assert before == renamed == ["effect/refund/ORD-1/OI-1/whole"]


def test_a_parcel_is_a_shipment_once_it_has_tracking() -> None:
    parcels = (parcel("P1"), parcel("P2", tracking_code="T2", transporter="Invented Post"))
    packed = group("G1", "fulfilled", (0, 0), parcel_id="P2", quantity=1)

    [shipment] = asked(packed, parcels=parcels).certain

    assert shipment.key == "effect/shipment/ORD-1/P2"
    assert shipment.data["tracking_code"] == "T2"
    assert shipment.data["items"] == [{"order_item_id": "OI-1", "item_id": "SKU-1", "quantity": 1}]


def test_names_with_slashes_share_no_key() -> None:
    one = Order.model_validate({"id": "A/B", "parcels": [parcel("C", tracking_code="T")]})
    other = Order.model_validate({"id": "A", "parcels": [parcel("B/C", tracking_code="T")]})

    assert effects_of(one, RULES).certain[0].key != effects_of(other, RULES).certain[0].key


def test_only_what_has_a_destination_is_asked_for() -> None:
    order = Order.model_validate(
        {"id": "ORD-1", "line_item_groups": [group("G1", "removed")], "parcels": [parcel("P", tracking_code="T")]}
    )

    found = effects_of(order, RULES, kinds=("shipment",))

    assert ([effect.kind for effect in found.certain], found.doubts) == (["shipment"], [])
