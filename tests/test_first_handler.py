"""A developer's first handler and its first test pass as they stand, whatever else is in handlers/."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.local.services import ROOT

HANDLER = '''"""What happens to the bill of an order."""

import logging

from relay import OrderStateChanged, on
from relay.onestock import OneStock

logger = logging.getLogger(__name__)


@on("order_state_changed")
def bill_order(event: OrderStateChanged, onestock: OneStock) -> None:
    """Bill an order once it is fulfilled."""
    if event.new_state != "fulfilled":
        return
    order = onestock.get_order(event.order_id)
    logger.info("Order %s: a bill of %d items", order.id, len(order.order_items))
'''
TEST = """import pytest

from handlers.billing import bill_order
from relay import OrderStateChanged
from relay.testing import MakeEvent, SimulatedOneStock


def test_a_fulfilled_order_is_billed(
    make_event: MakeEvent, simulated_onestock: SimulatedOneStock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    simulated_onestock.site.place_order("ORD-1", items={"SKU-1": 2, "SKU-2": 1})

    bill_order(
        make_event(OrderStateChanged, order_id="ORD-1", old_state="packed", new_state="fulfilled"),
        simulated_onestock.client,
    )

    assert "Order ORD-1: a bill of 2 items" in caplog.text


def test_a_captured_event_is_read(make_event: MakeEvent) -> None:
    event = make_event(OrderStateChanged, captured="order_state_changed_packed", order_id="ORD-1")

    assert (event.order_id, event.new_state, event.content["customer"]) == ("ORD-1", "packed", "***")
"""
CAPTURED = '{"event_type": "order_state_changed", "content": {"new_state": "packed", "customer": "***"}}'
FILES = {
    "handlers/__init__.py": '"""Ours."""\n',
    "handlers/billing.py": HANDLER,
    "tests/handlers/test_billing.py": TEST,
}
CONFIGURED = ("--config", str(ROOT / "pyproject.toml"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("__init__.py", "conftest.py"):
        shutil.copy(ROOT / "tests" / "handlers" / name, tmp_path / "tests" / "handlers" / name)
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "tests" / "handlers" / "fixtures").mkdir()
    (tmp_path / "tests" / "handlers" / "fixtures" / "order_state_changed_packed.json").write_text(CAPTURED)
    (tmp_path / "relay").symlink_to(ROOT / "relay")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "format", "--check", *CONFIGURED, *FILES),
        ("ruff", "check", *CONFIGURED, *FILES),
        ("mypy", "--config-file", str(ROOT / "pyproject.toml"), *FILES),
        ("pytest", "-q", "-p", "no:cacheprovider", "tests/handlers"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_first_handler_and_its_test_pass_as_they_stand(checkout: Path, command: tuple[str, ...]) -> None:
    ended = subprocess.run([sys.executable, "-m", *command], cwd=checkout, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
