"""What no relay on this machine can beat: a view that does nothing, and the publish RPC alone."""
