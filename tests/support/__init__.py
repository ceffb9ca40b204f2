"""Everything in tests/ that is not a test: fakes at the network, sample data, waiting, processes.

Faked is only what cannot be reached from here. OneStock is in `relay.local.simulator`.
"""
