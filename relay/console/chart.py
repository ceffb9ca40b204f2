"""The bars of a chart, in the coordinates of its SVG: webhooks published and refused in each part of a range."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from relay.investigation.rates import Rates

WIDTH = 720
HEIGHT = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One rectangle."""

    kind: str
    """`published` or `refused`."""
    x: float
    y: float
    width: float
    height: float
    text: str
    """What it stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What the template draws."""

    bars: tuple[Bar, ...]
    most: int
    """The number of webhooks that the full height stands for."""
    minutes: int
    """How long each part is."""
    began_at: datetime
    width: int = WIDTH
    height: int = HEIGHT


def chart_of(rates: Rates) -> Chart:
    """Return the chart of `rates`: the refused stand on the published ones."""
    moment = "%H:%M" if rates.parts[0].began_at.date() == rates.parts[-1].began_at.date() else "%Y-%m-%d %H:%M"
    most = max((part.published + part.refused for part in rates.parts), default=0)
    return Chart(
        bars=tuple(_bars(rates, most, moment)),
        most=most,
        minutes=int(rates.length.total_seconds() // 60),
        began_at=rates.parts[0].began_at,
    )


def _bars(rates: Rates, most: int, moment: str) -> Iterator[Bar]:
    step = WIDTH / len(rates.parts)
    for number, part in enumerate(rates.parts):
        base = float(HEIGHT)
        for kind, count in (("published", part.published), ("refused", part.refused)):
            if count:
                height = max(1.0, HEIGHT * count / most)
                base -= height
                text = f"{part.began_at:{moment}}: {count:,} {kind}"
                x, y = round(number * step, 1), round(base, 1)
                yield Bar(kind=kind, x=x, y=y, width=round(step * 0.9, 1), height=round(height, 1), text=text)
