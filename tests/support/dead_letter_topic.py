"""Puts dead letters on their topic: as Pub/Sub does, and by a worker whose handlers reject."""

import base64

import requests

from tests.support.parts import OneStock, PubSub, Service, order_event
from tests.support.waiting import wait_until


def dead_letter(pubsub: PubSub, data: bytes, **attributes: str) -> str:
    """Put one on the dead-letter topic as Pub/Sub or an earlier redrive would."""
    url = f"http://{pubsub.emulator.host}/v1/{pubsub.topology.dead_letter_topic_path}:publish"
    message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
    answer = requests.post(url, json={"messages": [message]}, timeout=10)
    message_id: str = answer.json()["messageIds"][0]
    return message_id


def send_rejected(onestock: OneStock, worker: Service, *order_ids: str) -> list[str]:
    sent = [onestock.send(order_event(order_id, reject=True)).json()["event_id"] for order_id in order_ids]
    wait_until(lambda: len(quarantined(worker)) >= len(sent))
    return sent


def quarantined(worker: Service) -> list[str]:
    return [line["event_id"] for line in worker.canonical("delivery") if line["outcome"] == "quarantined"]
