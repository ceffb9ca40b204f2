"""How large the tests are that can take minutes: whole with FULL=1 (`make test-full`), else what CI has time for."""

import os

IS_FULL = os.environ.get("FULL") == "1"
ORDERS_WITH_FAULTS = 2_000 if IS_FULL else 30  # Ten events each.
EXAMPLES_OF_ANY_SHAPE = 1_000 if IS_FULL else 20  # A hundred requests each, against each endpoint.
ORDERS_EXACTLY_ONCE = 1_000 if IS_FULL else 150  # Ten events each.
ORDERS_OF_THE_LEDGER = 400 if IS_FULL else 120  # Five changes each.
