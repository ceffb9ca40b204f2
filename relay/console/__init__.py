"""The console: what happened, and what a person can do about it, in a browser on the reader's own machine."""
