"""What a run may use: the cores it was given, and the memory for regions under way."""

import math
import os
import re

import psutil
import torch

from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.control_groups import cores_allowed, memory_allowed
from nuguide.segmentation.planning import Cut

FINEST_UM_PX = 0.25
"""um/px of the images that regions are measured in, as far as memory is reckoned."""

_BYTES_PER_PX = 100
"""What measuring takes for each px of the image under a region: labels, probability, colour."""

_MOST_IN_FLIGHT = 32
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def available_cores() -> int:
    """Return how many cores this process was given.

    The least of the machine's, those it is bound to, what its control groups allow, and what Slurm
    allotted to it; one at least.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = [bound or 1, cores_allowed()]
    if re.fullmatch(r"[0-9]{1,9}", allotted):
        limits.append(int(allotted))
    return max(1, math.floor(min(limits)))


def use_cores(cores: int) -> None:
    """Let torch use so many cores, or fewer where its own environment says so."""
    torch.set_num_threads(max(1, min(cores, torch.get_num_threads())))


def parse_memory(text: str) -> int:
    """Read an amount of memory such as ``2GB``, ``800M`` or ``1.5GiB``, in bytes.

    Raises
    ------
    InputError
        If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", text.strip().upper())
    amount = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1.0 <= amount < math.inf:
        raise InputError(
            f"--memory says {text!r}; expected an amount such as 2GB or 800MB; correct it"
        )
    return int(amount)


def usual_memory(device: str) -> int:
    """Return the memory for regions under way if nobody says, bytes.

    A GPU is so fast that many regions must be measured beside it: a quarter of what is free, or of
    what the control groups allow.
    """
    usual = 2 << 30
    if device == "cpu":
        return usual
    free = min(psutil.virtual_memory().available, memory_allowed())
    return max(usual, int(free) // 4)


def regions_in_flight(memory: int, model: Model, cut: Cut) -> int:
    """Return how many regions may be under way in so many bytes; one at least."""
    side = (cut.size_px + 2 * cut.halo_px) * max(1.0, model.card.mpp / FINEST_UM_PX)
    return max(1, min(_MOST_IN_FLIGHT, int(memory / (side**2 * _BYTES_PER_PX))))
