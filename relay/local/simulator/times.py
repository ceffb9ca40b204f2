"""Time at the simulated OneStock: it starts at the real time and runs faster."""

import time


class SimulatedTime:
    """A simulated second takes `scale` real seconds: at 0.001, OneStock's half hour of repeats takes two seconds."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self._epoch = time.time()
        self._started = time.monotonic()

    def now(self) -> float:
        """Return the simulated time in Unix seconds."""
        return self._epoch + (time.monotonic() - self._started) / self.scale

    def real_seconds(self, simulated_seconds: float) -> float:
        """Return how long so many simulated seconds take."""
        return simulated_seconds * self.scale
