"""How much of its processors a virtual machine did not get."""

from typing import Any

import psutil


class Stolen:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._began: Any = psutil.cpu_times()

    def share(self) -> float:
        """Share of all processors' time since then that the host gave to others; 0 where the system does not tell."""
        now: Any = psutil.cpu_times()
        spent = sum(now[:8]) - sum(self._began[:8])  # guests' time, behind these, is in the first as well
        return (now.steal - self._began.steal) / spent if hasattr(now, "steal") and spent > 0 else 0.0
