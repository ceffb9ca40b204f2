"""One blueprint for each screen. A page asks, lets the functions decide that the commands use, and shows the answer."""
