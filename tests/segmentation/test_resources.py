import math
from types import SimpleNamespace

import pytest

from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation import resources
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.resources import (
    available_cores,
    parse_memory,
    regions_in_flight,
    usual_memory,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2 << 30), ("800M", 800 << 20), ("1.5 GiB", 3 << 29), ("4096", 4096), ("1t", 1 << 40)],
)
def test_amounts_of_memory(text: str, expected: int) -> None:
    assert parse_memory(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GB", "0", "0.5", "-1GB", "two", "1 GB more", "1e9", "9" * 400]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="2GB"):
        parse_memory(text)


def test_affinity_control_groups_and_slurm_bound_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(resources, "cores_allowed", lambda: math.inf)
    assert available_cores() == 16
    monkeypatch.setattr(resources, "cores_allowed", lambda: 6.5)
    assert available_cores() == 6
    monkeypatch.setattr(resources, "cores_allowed", lambda: 0.5)
    assert available_cores() == 1
    monkeypatch.setattr(resources, "cores_allowed", lambda: math.inf)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_cores() == 3
    for odd in ("", "²", "4(x2)", "9" * 5000):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", odd)
        assert available_cores() == 16


def test_control_groups_bound_the_memory_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=400 << 30))
    monkeypatch.setattr(resources, "memory_allowed", lambda: math.inf)
    assert (usual_memory("cuda"), usual_memory("cpu")) == (100 << 30, 2 << 30)
    monkeypatch.setattr(resources, "memory_allowed", lambda: 16 << 30)
    assert usual_memory("cuda") == 4 << 30


def test_memory_bounds_the_regions_under_way(model: Model) -> None:
    cut = Cut()
    assert regions_in_flight(1, model, cut) == 1
    assert regions_in_flight(2 << 30, model, cut) == 3
    assert regions_in_flight(4 << 30, model, cut) == 7
    assert regions_in_flight(4 << 30, model, Cut(4096)) == 1
