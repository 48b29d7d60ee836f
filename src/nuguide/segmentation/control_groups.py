"""What the control groups of this process allow: containers, systemd and Slurm bound it by them."""

import math
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cores_allowed(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float:
    """Return how many cores the control groups allow; inf if they do not bound them.

    Parameters
    ----------
    root : Path
        Where control groups are mounted: version 2, or the folders of version 1.
    membership : Path
        The file that tells which groups the process is in.
    """
    return min((_cores(group) for group in _groups("cpu", root, membership)), default=math.inf)


def memory_allowed(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float:
    """Return how many bytes the control groups allow; inf if they do not bound them.

    Parameters
    ----------
    root, membership
        As above.
    """
    return min((_memory(group) for group in _groups("memory", root, membership)), default=math.inf)


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """Give the group of a process and those around it: each bounds what is in it.

    Inside a container the innermost may be what is mounted as the root, whatever the file says.
    """
    for mounted, names in ((root, ("",)), (root / controller, (controller,))):
        path = next((path for name, path in _memberships(membership) if name in names), "/")
        parts = [part for part in path.split("/") if part]
        inside = [] if ".." in parts else parts
        for depth in range(len(inside), -1, -1):
            yield mounted.joinpath(*inside[:depth])


def _memberships(file: Path) -> Iterator[tuple[str, str]]:
    """Read controllers and the path of the group that each has; "" is that of version 2."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _cores(group: Path) -> float:
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text() for name in files).split()
            if quota != "max" and int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf


def _memory(group: Path) -> float:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            limit = (group / name).read_text().strip()
        except OSError:
            continue
        if limit.isdigit():
            return int(limit)
    return math.inf
