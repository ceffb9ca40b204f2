"""Behind Cloud Run's invoker check the worker lets in our subscription's pushes, although their signature is gone."""

import base64
import time
import uuid

import pytest
import requests

from relay.worker.app import PUSH_PATH
from tests.support.parts import Service
from tests.support.token_issuer import AUDIENCE, EMAIL, TokenIssuer

ISSUER = TokenIssuer()
ON_CLOUD_RUN = {"K_SERVICE": "onestock-worker", "PUSH_AUDIENCE": AUDIENCE, "PUSH_SERVICE_ACCOUNT": EMAIL}


def pushed(worker: Service, **tokens: str) -> int:
    """Push one invented event with tokens in these headers, and return the answer's status."""
    return pushed_with(worker, {name.replace("_", "-"): f"Bearer {token}" for name, token in tokens.items()})


def pushed_with(worker: Service, headers: dict[str, str]) -> int:
    data = base64.b64encode(f'{{"order_id": "I-{uuid.uuid4().hex}"}}'.encode()).decode()
    attributes = {"event_type": "order_state_changed"}
    envelope = {"message": {"data": data, "messageId": "1", "attributes": attributes}, "subscription": "projects/p"}
    url = f"http://127.0.0.1:{worker.port}{PUSH_PATH}"
    return requests.post(url, json=envelope, headers=headers, timeout=10).status_code


@pytest.fixture
def invoked(settings: dict[str, str], request: pytest.FixtureRequest) -> Service:
    """Return a worker that relies on the invoker check."""
    settings |= {**ON_CLOUD_RUN, "PUSH_AUTH": "iam"}
    worker: Service = request.getfixturevalue("worker")
    return worker


@pytest.fixture
def verifying(settings: dict[str, str], request: pytest.FixtureRequest) -> Service:
    """Return a worker that verifies signatures itself."""
    settings |= {**ON_CLOUD_RUN, "PUSH_AUTH": "oidc"}
    worker: Service = request.getfixturevalue("worker")
    return worker


def test_iam_takes_our_subscriptions_pushes_and_nobody_elses(invoked: Service) -> None:
    ours = ISSUER.token_behind_cloud_run()
    other_account = ISSUER.token_behind_cloud_run(email="operator@test-relay.iam.gserviceaccount.com")

    assert pushed(invoked, Authorization=ours) == 204
    assert pushed(invoked, X_Serverless_Authorization=ours) == 204
    assert pushed(invoked) == 401
    assert pushed(invoked, Authorization=ISSUER.token_behind_cloud_run(exp=int(time.time()) - 60)) == 401
    assert pushed(invoked, Authorization=ISSUER.token_behind_cloud_run(aud="https://other.example.com")) == 401
    assert pushed(invoked, Authorization=other_account) == 403
    assert pushed(invoked, Authorization=ours, X_Serverless_Authorization=other_account) == 403
    assert len([line for line in invoked.canonical("delivery") if line["outcome"] == "unauthenticated"]) == 5


def test_iam_lets_nobody_in_by_a_second_token_that_cloud_run_has_not_seen(invoked: Service) -> None:
    own = f"Bearer {ISSUER.token_behind_cloud_run(email='operator@test-relay.iam.gserviceaccount.com')}"
    forged = f"Bearer {ISSUER.token_behind_cloud_run()}"

    assert pushed_with(invoked, {"Authorization": own, "X_Serverless_Authorization": forged}) == 403
    assert pushed_with(invoked, {"X-Serverless-Authorization": own, "X_Serverless_Authorization": forged}) == 401
    assert pushed_with(invoked, {"X-Serverless-Authorization": own, "Authorization": forged}) == 403


def test_oidc_behind_the_invoker_check_says_in_its_log_what_to_set(verifying: Service) -> None:
    assert pushed(verifying, Authorization=ISSUER.token_behind_cloud_run()) == 401

    refusal = verifying.canonical("delivery")[0]["message"]
    assert "SIGNATURE_REMOVED_BY_GOOGLE" in refusal
    assert "PUSH_AUTH=iam" in refusal
