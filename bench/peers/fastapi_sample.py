"""FastAPI and the batching client; its future is awaited, so that no thread waits for it."""

import asyncio
import os

from fastapi import FastAPI, Request
from google.cloud import pubsub_v1

TOPIC_PATH = os.environ["BENCH_TOPIC_PATH"]

app = FastAPI()
publisher = pubsub_v1.PublisherClient()


@app.post("/webhooks/onestock/{event_type}", status_code=202)
async def receive_webhook(event_type: str, request: Request) -> dict[str, str]:
    """Publish the body, wait, answer."""
    future = publisher.publish(TOPIC_PATH, await request.body(), event_type=event_type)
    return {"message_id": await asyncio.wrap_future(future)}
