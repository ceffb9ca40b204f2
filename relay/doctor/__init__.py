"""`python -m relay doctor`: is a running relay set up as it must be, and if not, which command mends it.

`cloud` reads, `facts` holds what was read, the other modules decide (no I/O there), `examination` puts them together.
"""
