"""However OneStock answers, and in whatever order: never more refunds than pieces, and each piece in the end."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.destinations.effects import Rules, effects_of
from relay.onestock.models import Order

RULES = Rules(refund_states=("removed",), shipment_states=())
PIECES = 4
STATES = ("removed", "fulfilled", "picking")

Answer = list[dict[str, Any]]

partitions = st.lists(st.sampled_from(STATES), min_size=PIECES, max_size=PIECES)
"""The state of each piece."""
ranges = st.sampled_from(["right", "missing", "of the answer before", "cut short"])
quantities = st.sampled_from(["right", "of the answer before", "missing"])


def spans(pieces: Iterable[int]) -> list[dict[str, int]]:
    return [{"from": piece, "to": piece} for piece in pieces]


def answer(states: list[str], *, names: int) -> Answer:
    """Return the groups of an order whose pieces are in these states; `names` is part of each group's id."""
    groups = []
    for state in STATES:
        pieces = [piece for piece in range(PIECES) if states[piece] == state]
        if pieces:
            group = {"id": f"{state}-{names}", "state": state, "order_item_id": "I", "quantity": len(pieces)}
            groups.append({**group, "index_ranges": spans(pieces)})
    return groups


def lagging(groups: Answer, before: Answer, how_ranges: str, how_quantity: str) -> Answer:
    """Return an answer in the middle of a change: parts of it are missing, or are those of the answer before."""
    earlier = {group["state"]: group for group in before}
    shown = []
    for group in groups:
        old = earlier.get(group["state"], group)
        changed = dict(group)
        if how_ranges == "missing":
            del changed["index_ranges"]
        elif how_ranges == "cut short":
            changed["index_ranges"] = group["index_ranges"][:-1]
        elif how_ranges == "of the answer before":
            changed["index_ranges"] = old["index_ranges"]
        if how_quantity != "right":
            changed["quantity"] = old["quantity"] if how_quantity == "of the answer before" else None
        shown.append(changed)
    return shown


def refunds(groups: Answer) -> set[str]:
    order = {"id": "O", "order_items": [{"id": "I", "quantity": PIECES}], "line_item_groups": groups}
    return {effect.key for effect in effects_of(Order.model_validate(order), RULES).certain}


@given(st.lists(st.tuples(partitions, st.integers(0, 3), ranges, quantities), min_size=1, max_size=6))
def test_no_sequence_of_answers_refunds_more_than_there_are_pieces(
    steps: list[tuple[list[str], int, str, str]],
) -> None:
    before: Answer = []
    refunded: set[str] = set()

    for states, names, how_ranges, how_quantity in steps:
        groups = answer(states, names=names)
        refunded |= refunds(lagging(groups, before, how_ranges, how_quantity))
        before = groups

    assert len(refunded) <= PIECES
    assert {key.rpartition("/")[2] for key in refunded} <= {str(piece) for piece in range(PIECES)}


@given(partitions, st.integers(0, 3))
def test_an_answer_that_agrees_with_itself_refunds_each_piece_that_is_to_be_refunded(
    states: list[str], names: int
) -> None:
    wanted = {f"effect/refund/O/I/piece/{piece}" for piece in range(PIECES) if states[piece] == "removed"}

    assert refunds(answer(states, names=names)) == wanted
