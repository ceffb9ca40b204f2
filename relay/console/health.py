"""What the Health screen and every page's banner know: the doctor's findings, and whether the pushes are paused."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from relay.console.asking import Question
from relay.doctor.examination import examined
from relay.doctor.findings import Finding
from relay.pubsub.pausing import Pause, PushState, PushSwitch
from relay.settings.commands import SubscriptionSettings

STATE_KEPT_SECONDS = 60.0


class Health:
    """The questions of one console, and the switch of the pushes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.examination: Question[list[Finding]] = Question(lambda: examined(environ))
        self.pushes: Question[PushState] = Question(lambda: self._switch().state())
        self._environ = environ
        self._connected: PushSwitch | None = None

    @property
    def pause(self) -> Pause | None:
        """The pause that is in force, as far as known; asks in a thread once a minute, and never waits."""
        state = self.pushes.answer(max_age_seconds=STATE_KEPT_SECONDS).value
        return state.pause if state and not state.endpoint else None

    @property
    def subscription(self) -> str:
        """The full name of the subscription that pushes. Raises ConfigurationError."""
        return SubscriptionSettings.from_environ(self._environ).subscription_path

    def stop_pushes(self, reason: str, *, now: datetime) -> None:
        """Pause the pushes. Raises ConfigurationError and PubSubError."""
        self._switch().pause(reason, now=now)

    def resume_pushes(self) -> None:
        """Push again as before the pause. Raises ConfigurationError and PubSubError."""
        self._switch().resume()

    def _switch(self) -> PushSwitch:
        if self._connected is None:
            self._connected = PushSwitch.connected(self.subscription)
        return self._connected


def lost_from(state: PushState) -> datetime | None:
    """Return when Pub/Sub begins to drop events that wait for the end of a pause; None without a pause."""
    return state.pause.since + timedelta(seconds=state.retention_seconds) if state.pause else None
