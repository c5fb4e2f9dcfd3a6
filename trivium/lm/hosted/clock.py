"""Time as the client of a service knows it, so that a test can be its own clock."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What tells the time, passes it, and draws by chance."""

    now: Callable[[], float] = time.monotonic
    """Seconds since some moment, never going back."""
    sleep: Callable[[float], None] = time.sleep
    """Lets so many seconds pass."""
    date: Callable[[], float] = time.time
    """Seconds since 1970, to be compared with a date that a service names."""
    chance: Callable[[], float] = field(default_factory=lambda: random.Random().random)
    """A number of [0, 1): of its own source, so that no run's seed is touched."""
