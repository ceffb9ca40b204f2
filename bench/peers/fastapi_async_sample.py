"""FastAPI and google-cloud-pubsub's asyncio client: one RPC for each webhook."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from google.pubsub_v1 import PublisherAsyncClient, PubsubMessage

TOPIC_PATH = os.environ["BENCH_TOPIC_PATH"]


@asynccontextmanager
async def publishing(app: FastAPI) -> AsyncIterator[None]:
    """Make the client inside the event loop that it belongs to."""
    app.state.publisher = PublisherAsyncClient()
    yield


app = FastAPI(lifespan=publishing)


@app.post("/webhooks/onestock/{event_type}", status_code=202)
async def receive_webhook(event_type: str, request: Request) -> dict[str, str]:
    """Publish the body, wait, answer."""
    message = PubsubMessage(data=await request.body(), attributes={"event_type": event_type})
    answer = await app.state.publisher.publish(topic=TOPIC_PATH, messages=[message])
    return {"message_id": answer.message_ids[0]}
