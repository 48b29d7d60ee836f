from pathlib import Path

import pytest

from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.resources import available_cores, parse_memory, regions_in_flight


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


def test_slurm_and_control_groups_bound_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert available_cores(tmp_path) == 16
    (tmp_path / "cpu.max").write_text("max 100000")
    assert available_cores(tmp_path) == 16
    (tmp_path / "cpu.max").write_text("650000 100000")
    assert available_cores(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert available_cores(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("400000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert available_cores(tmp_path) == 4
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_cores(tmp_path) == 3


def test_memory_bounds_the_regions_under_way(model: Model) -> None:
    cut = Cut()
    assert regions_in_flight(1, model, cut) == 1
    assert regions_in_flight(2 << 30, model, cut) == 3
    assert regions_in_flight(4 << 30, model, cut) == 7
    assert regions_in_flight(4 << 30, model, Cut(4096)) == 1
