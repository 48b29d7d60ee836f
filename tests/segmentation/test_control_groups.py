import math
from pathlib import Path

import pytest

from nuguide.segmentation.control_groups import cores_allowed, memory_allowed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    """Return the file that tells the groups; there is none yet, as outside Linux."""
    return tmp_path / "cgroup"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_where_there_are_none_nothing_is_bound(root: Path, membership: Path) -> None:
    assert cores_allowed(root, membership) == memory_allowed(root, membership) == math.inf
    assert cores_allowed(root / "missing", membership) == math.inf


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", math.inf),
        ("650000 100000", 6.5),
        ("50000 100000", 0.5),
        ("odd", math.inf),
        ("a b", math.inf),
    ],
)
def test_a_container_is_bound_by_what_is_mounted_as_its_root(
    root: Path, membership: Path, quota: str, cores: float
) -> None:
    write(root / "cpu.max", quota + "\n")
    for told in ("0::/\n", "0::/docker/0af3\n", "0::/../../machine.slice\n"):
        write(membership, told)
        assert cores_allowed(root, membership) == cores


def test_a_job_is_bound_by_its_own_group_and_those_around_it(root: Path, membership: Path) -> None:
    write(membership, "0::/system.slice/job_7/step_0\n")
    write(root / "system.slice/job_7/step_0/cpu.max", "max 100000\n")
    write(root / "system.slice/job_7/cpu.max", "400000 100000\n")
    write(root / "system.slice/cpu.max", "3200000 100000\n")
    write(root / "system.slice/job_8/cpu.max", "100000 100000\n")
    assert cores_allowed(root, membership) == 4.0
    write(root / "system.slice/job_7/step_0/memory.max", "8589934592\n")
    write(root / "system.slice/job_7/memory.max", "max\n")
    assert memory_allowed(root, membership) == 8 << 30


def test_version_1_has_a_folder_for_each_controller(root: Path, membership: Path) -> None:
    write(membership, "12:cpuset:/\n4:cpu,cpuacct:/slurm/job_7\n3:memory:/slurm/job_7\n0::/\n")
    write(root / "cpu/cpu.cfs_quota_us", "-1\n")
    write(root / "cpu/cpu.cfs_period_us", "100000\n")
    assert cores_allowed(root, membership) == math.inf
    write(root / "cpu/slurm/job_7/cpu.cfs_quota_us", "300000\n")
    write(root / "cpu/slurm/job_7/cpu.cfs_period_us", "100000\n")
    assert cores_allowed(root, membership) == 3.0
    write(root / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    write(root / "memory/slurm/job_7/memory.limit_in_bytes", "4294967296\n")
    assert memory_allowed(root, membership) == 4 << 30
