"""What no receiver can be quicker than."""
