"""The benchmark: what a OneStock customer feels of the relay. Start with `acknowledgement.py` and `bounds.py`."""
