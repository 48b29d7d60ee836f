"""Where the time goes: seconds by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("read", "guide", "network", "instances")
"""What a region goes through."""


class Stopwatch:
    """Adds up the wall time of named stages.

    Attributes
    ----------
    seconds : dict
        Stage -> s. On a GPU, which runs ahead of Python, the guide's work may count as the
        network's.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
