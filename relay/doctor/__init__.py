"""`relay doctor`: is a running relay set up as it must be, and if not, which command mends it.

`cloud` asks Google's APIs, `gathering` turns their answers into `facts`, the other modules judge these without any
I/O, and `examination` runs them all.
"""
