"""A training by several processes: how many there are, and which this one is.

Lightning starts them (``nuguide train --devices``), or torchrun or Slurm has: then these say how
many there are. Each trains on its share of every batch; the first alone writes.
"""

import os

import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only

from nuguide.segmentation.resources import available_cores


def launched() -> tuple[int, int] | None:
    """Return processes on each machine, and machines, that torchrun or srun has started.

    None if this process was started alone.
    """
    values = os.environ
    if TorchElasticEnvironment.detect():
        world = int(values["WORLD_SIZE"])
        nodes = world // int(values["LOCAL_WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        world, nodes = int(values["SLURM_NTASKS"]), int(values.get("SLURM_NNODES", "1"))
    else:
        return None
    return (world // nodes, nodes) if world > 1 else None


def own_gpu() -> torch.device | None:
    """Return the GPU that this process trains on, one of its machine's; None if it has none."""
    rank = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    return torch.device("cuda", rank) if rank < torch.cuda.device_count() else None


def crop_workers(trainings: int) -> int:
    """Return how many processes may make the crops of each of this machine's trainings on GPUs.

    One core of each is left to the training itself; more than eight are not needed.
    """
    # Those that srun has started are given cores of their own.
    shared = 1 if SLURMEnvironment.detect() else trainings
    return max(0, min(8, available_cores() // shared - 1))


def is_first() -> bool:
    """Tell whether this is the process that writes."""
    return bool(rank_zero_only.rank == 0)


def share_of_crops(count: int, rank: int, world: int) -> range:
    """Number the crops of one process.

    Step by step all together take what one alone would: with ``batch / world`` crops for each,
    step s holds crops s * batch to (s + 1) * batch - 1.
    """
    return range(rank, count, world)


def share_of_images(count: int, rank: int, world: int) -> list[int]:
    """Number the images of validation of one process.

    All have equally many, because they wait for each other; what is left over is done twice.
    """
    return [(rank + done) % count for done in range(0, count, world)]
