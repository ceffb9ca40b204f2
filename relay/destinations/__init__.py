"""What the customer's own systems are told, and how: signed by the Standard Webhooks specification, each thing once.

docs/destinations.md says what they get; docs/decisions/0003-effects-by-piece.md why it is told apart as it is.
"""

from relay.destinations.hand_over import HandOver

__all__ = ["HandOver"]
