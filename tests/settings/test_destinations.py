"""Where things go is settings alone: a wrong or unsafe one stops the start, and no secret is shown."""

import base64
from typing import Any

import pytest

from relay.errors import ConfigurationError
from relay.settings.destinations import DestinationSettings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(64))).decode()


def settings(**more: str) -> DestinationSettings:
    given = {
        "GOOGLE_CLOUD_PROJECT": "p",
        "REFUND_URL": "https://shop.example.com/refunds",
        "DESTINATION_SECRETS": SECRET,
    }
    return DestinationSettings.from_environ({**given, **more})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"DESTINATION_SECRETS": ""}, r"DESTINATION_SECRETS: holds none for shop\.example\.com \(REFUND_URL\)"),
        ({"DESTINATION_SECRETS": f"other.example.com={SECRET}"}, "holds none for shop"),
        ({"DESTINATION_SECRETS": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"DESTINATION_SECRETS": f"{SECRET},{SECRET}"}, "24 to 64 bytes"),
        ({"DESTINATION_SECRETS": "shop.example.com=secret"}, "24 to 64 bytes"),
        ({"SHIPMENT_URL": "ftp://shop.example.com/"}, "SHIPMENT_URL: is not a URL"),
        ({"SHIPMENT_URL": "https://shop.example.com:x/"}, "SHIPMENT_URL: is not a URL"),
        ({"SHIPMENT_URL": "https://me:hidden@shop.example.com/"}, "neither a user, nor a password"),
        ({"FORWARD_URLS": "https://shop.example.com/"}, "FORWARD_URLS: write EVENT_TYPE=URL"),
        ({"FORWARD_URLS": "a=https://x.example.com a=https://y.example.com"}, "a stands there twice"),
        ({"EFFECT_RETENTION_SECONDS": "60"}, "EFFECT_RETENTION_SECONDS"),
    ],
)
def test_what_is_wrong_or_unsafe_is_refused_and_no_secret_shown(more: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        settings(**more)

    assert not any(secret in str(caught.value) for secret in (SECRET[6:], "c2hvcnQ", "hidden", "=secret"))


def test_each_host_has_its_own_secrets_else_those_of_all() -> None:
    own = settings(DESTINATION_SECRETS=f"{SECRET} Shop.example.com={OTHER} shop.example.com={SECRET}")

    def secrets_for(url: str) -> list[str]:
        return [secret.get_secret_value() for secret in own.secrets_for(url)]

    assert secrets_for("https://shop.example.com:8443/x") == [OTHER, SECRET]
    assert secrets_for("https://erp.example.com/") == [SECRET]
    assert SECRET not in repr(own)


def test_a_forward_may_have_a_query() -> None:
    own = settings(FORWARD_URLS="\n order_state_changed=https://erp.example.com/?a=b\n *=https://log.example.com/ ")

    assert own.forward_urls == {
        "order_state_changed": "https://erp.example.com/?a=b",
        "*": "https://log.example.com/",
    }


def test_effects_need_onestocks_api_and_a_budget_below_the_handlers() -> None:
    fits: dict[str, Any] = {"handler_budget_seconds": 60, "has_onestock": True, "is_on_cloud_run": False}
    settings().check_fits(**fits)
    settings(REFUND_URL="").check_fits(**{**fits, "handler_budget_seconds": 1, "has_onestock": False})

    with pytest.raises(ValueError, match="set ONESTOCK_API_URL"):
        settings().check_fits(**{**fits, "has_onestock": False})
    with pytest.raises(ValueError, match="DESTINATION_BUDGET_SECONDS"):
        settings().check_fits(**{**fits, "handler_budget_seconds": 10})
    with pytest.raises(ValueError, match="REFUND_URL: must be https on Cloud Run"):
        settings(REFUND_URL="http://shop.example.com/").check_fits(**{**fits, "is_on_cloud_run": True})
    with pytest.raises(ValueError, match="FORWARD_URLS: must be https on Cloud Run"):
        settings(FORWARD_URLS="*=http://shop.example.com/").check_fits(**{**fits, "is_on_cloud_run": True})
