"""`make bench`: the relay against what people usually build, and against the limits of this machine."""
