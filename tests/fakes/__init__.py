"""What cannot be reached from here, at the network boundary.

The part of Pub/Sub that its emulator lacks, and Google's token issuer. OneStock is in `relay.local.simulator`.
"""
