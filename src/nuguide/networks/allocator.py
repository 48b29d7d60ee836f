"""Keep the memory of large maps between layers.

glibc gives every block of more than 32 MB back to the system as soon as it is freed; a network
asks for the next one at once, and each page has to be mapped and cleared anew. At a region's size
that took a fifth of a training step (width 8, four crops of 256 px, one busy core).
"""

import ctypes
import os
import platform
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # names in malloc.h
_KEPT_BYTES = 1 << 30


def give_back_memory() -> None:
    """Give what is kept back to the system: where the network is done and other work follows."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, once; nothing happens where the C library is no glibc.

    Whoever has set ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_`` keeps their choice.

    Returns
    -------
    bool
        Whether the thresholds are set.
    """
    chosen = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys()
    if platform.libc_ver()[0] != "glibc" or chosen:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # A thread's own arena holds no block of that size: all threads share one.
    kept = mallopt(_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
    return bool(kept and mallopt(_ARENA_MAX, 1))
