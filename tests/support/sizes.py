"""How large the tests are that can take minutes: whole with FULL=1 (`make test-full`), else what CI has time for."""

import os

IS_FULL = os.environ.get("FULL") == "1"
ORDERS_WITH_FAULTS = 2_000 if IS_FULL else 300  # Ten events each.
EXAMPLES_OF_ANY_SHAPE = 1_000 if IS_FULL else 150  # A hundred requests each, against each endpoint.
