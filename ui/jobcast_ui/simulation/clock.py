"""The clock of a replay: a moment of the log, and how fast it goes on. Every change gives another clock."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment between two others, all in seconds of the log's time.

    Attributes:
        start, end: bounds.
        now: between them.
        speed: seconds of the log in one second of playing, above 0.
        playing: whether time goes on; never at the end.
    """

    start: float
    end: float
    now: float
    speed: float
    playing: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no clock."""
        if not self.start <= self.now <= self.end:
            raise ValueError(f"now must be within {self.start} and {self.end}, got {self.now}")
        if not self.speed > 0:
            raise ValueError(f"speed must be above 0, got {self.speed}")

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self.now >= self.end

    def played(self) -> Self:
        """Time goes on; at the end there is none left."""
        return replace(self, playing=not self.done)

    def paused(self) -> Self:
        """Time stands."""
        return replace(self, playing=False)

    def at_speed(self, speed: float) -> Self:
        """The same moment, another speed."""
        return replace(self, speed=speed)

    def ticked(self, seconds: float) -> Self:
        """After so many seconds of playing; a clock that stands does not move."""
        if not self.playing:
            return self
        moved = self._at(self.now + self.speed * max(seconds, 0.0))
        return moved.paused() if moved.done else moved

    def sought(self, moment: float) -> Self:
        """At another moment, within the bounds; it goes on if it did, unless that is the end."""
        moved = self._at(moment)
        return moved.paused() if moved.done else moved

    def stepped(self, moments: Sequence[float]) -> Self:
        """Standing at the next of the ascending moments, or at the end."""
        place = bisect_right(moments, self.now)
        return self._at(moments[place] if place < len(moments) else self.end).paused()

    def _at(self, moment: float) -> Self:
        return replace(self, now=min(max(moment, self.start), self.end))
