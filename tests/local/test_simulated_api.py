"""The simulated API answers the relay's own client as docs/onestock.md says; each test names its fact."""

import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from relay.errors import OneStockLoginRefused, OneStockNotFound, OneStockUnavailable
from relay.local.simulator import ApiOptions, Simulator, Status
from relay.onestock import OneStock
from relay.settings.onestock import OneStockSettings


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.start() as running:
        running.site.place_order("ORD-1", items={"SKU-1": 2, "SKU-2": 1})
        yield running


@pytest.fixture
def onestock(simulator: Simulator) -> Iterator[OneStock]:
    yield from client_of(simulator)


def client_of(simulator: Simulator, **changed: str) -> Iterator[OneStock]:
    client = OneStock.connected(OneStockSettings.from_environ({**simulator.environ, **changed}))
    yield client
    client.close()


def test_a_wrong_password_is_refused_a2(simulator: Simulator) -> None:
    for client in client_of(simulator, ONESTOCK_PASSWORD="another"):  # noqa: S106 - a wrong one
        with pytest.raises(OneStockLoginRefused, match="wrong user_id or password"):
            client.get_order("ORD-1")


def test_ended_tokens_cost_one_more_login_a2(simulator: Simulator, onestock: OneStock) -> None:
    onestock.get_order("ORD-1")
    simulator.site.end_tokens()

    onestock.get_order("ORD-1")

    assert simulator.calls == {"POST /v2/login": 2, "GET /v2/orders/ORD-1": 3}


def test_a_token_lives_as_long_as_it_is_told_to_a2() -> None:
    with Simulator.start(time_scale=1e-6) as simulator:
        token = simulator.site.log_in()
        assert simulator.site.is_logged_in(token)
        time.sleep(0.1)  # a simulated day is 86 ms
        assert not simulator.site.is_logged_in(token)


@pytest.mark.parametrize("get", ["body", "override"])
@pytest.mark.parametrize("wraps", [True, False])
def test_an_order_has_the_fields_asked_for_a3_a6(get: str, *, wraps: bool) -> None:
    with Simulator.start(options=ApiOptions(wraps_objects=wraps)) as simulator:
        simulator.site.place_order("ORD-1", items={"SKU-1": 2})
        for client in client_of(simulator, ONESTOCK_API_GET=get):
            order = client.get_order("ORD-1", fields=["id", "state"])

    assert (order.id, order.state, order.order_items) == ("ORD-1", "placed", ())
    assert simulator.calls["GET /v2/orders/ORD-1"] == 1


def test_faults_are_had_on_demand_a4_a5(simulator: Simulator, onestock: OneStock) -> None:
    simulator.fail(429, path="/v2/orders", retry_after="0")
    simulator.fail(429, path="/v2/orders", retry_after="3600")

    with pytest.raises(OneStockUnavailable, match=r"429 simulated: Too Many Requests \(Request-Id \w+\), after 2"):
        onestock.get_order("ORD-1")

    assert onestock.get_order("ORD-1").id == "ORD-1"


def test_too_many_calls_a_second_are_refused_a4() -> None:
    with Simulator.start(max_calls_per_second=2) as simulator:
        content = {"site_id": "simulated-site"}
        statuses = [simulator.answer("GET", "/v2/parcels/x", content)[0] for _ in range(4)]

    assert statuses == [401, 401, 429, 429]


def test_an_order_tells_its_life_a6_a9_a10_m1(simulator: Simulator, onestock: OneStock) -> None:
    webhook = simulator.site.create_webhook("order_state_changed", "http://127.0.0.1:1/", keys=[b"key"])
    webhook.set_status(Status.PAUSED)

    simulator.site.add_parcel("ORD-1", "P-1", tracking_code="T-1")
    simulator.site.move_parcel("P-1", "dispatched")
    simulator.site.move_group("ORD-1", "ORD-1-G2", "out_of_stock")
    simulator.site.move_order("ORD-1", "fulfilled")

    order = onestock.get_order("ORD-1")
    assert [parcel.shipment.tracking_code for parcel in order.parcels_with_tracking] == ["T-1"]
    assert [group.id for group in order.groups_in("out_of_stock")] == ["ORD-1-G2"]
    assert [group.state for group in onestock.get_line_item_groups("ORD-1")] == ["placed", "out_of_stock"]
    assert onestock.get_parcel("P-1").state == "dispatched"
    (change,) = onestock.get_history("ORD-1")
    assert (change.old_state, change.new_state, change.date) == ("placed", "fulfilled", order.last_update)
    assert webhook.waiting == 1


@pytest.mark.parametrize("heeds_start", [True, False])
def test_pages_are_found_by_start_or_by_search_after_a7_a8(*, heeds_start: bool) -> None:
    with Simulator.start(options=ApiOptions(heeds_start=heeds_start)) as simulator:
        for number in range(25):
            simulator.site.place_order(f"ORD-{number:02}", items={"SKU-1": 1})
        simulator.site.move_order("ORD-03", "packed")
        for client in client_of(simulator):
            everything = [order.id for order in client.search_orders(page_size=10)]
            packed = [order.id for order in client.search_orders(state="packed")]
            none = list(client.search_orders(from_date=simulator.site.time.now() + 60))

    assert sorted(everything) == [f"ORD-{number:02}" for number in range(25)]
    assert (packed, none) == (["ORD-03"], [])


def test_what_does_not_exist_is_not_found_a5(onestock: OneStock) -> None:
    for call in (onestock.get_order, onestock.get_parcel, onestock.get_webhook):
        with pytest.raises(OneStockNotFound, match=r"404 not_found: no \w+ NONE"):
            call("NONE")


def test_webhooks_are_made_shown_and_switched_a11_a12_a13(simulator: Simulator, onestock: OneStock) -> None:
    id_ = onestock.create_webhook(
        "order_state_changed", "https://receiver.example/x", hash_key=SecretStr("test-key"), status="paused"
    )

    assert id_ is not None
    assert [webhook.id for webhook in onestock.list_webhooks()] == [id_]
    made = onestock.get_webhook(id_)
    assert (made.status, made.event_types, made.url) == (
        "paused",
        ("order_state_changed",),
        "https://receiver.example/x",
    )
    onestock.set_webhook_status(id_, "enabled")
    assert simulator.site.webhooks[id_].status is Status.ENABLED
    assert simulator.site.webhooks[id_].keys == (b"test-key",)
