import platform
import subprocess
import sys

import pytest

SCRIPT = "from nuguide.networks.allocator import keep_freed_memory; print(keep_freed_memory())"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")
@pytest.mark.parametrize("chosen", [None, "33554432"])
def test_freed_memory_is_kept_unless_the_user_chose(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    if chosen is not None:
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", chosen)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(chosen is None)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_what_is_kept_can_be_given_back() -> None:
    script = """
import numpy as np
from pathlib import Path
from nuguide.networks.allocator import give_back_memory, keep_freed_memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

assert keep_freed_memory()
before = resident_mib()
large = np.ones((200, 2**20), np.uint8)
pin = np.ones(2**16, np.uint8)  # above it, so that only a hole is left below
del large
kept = resident_mib() - before
give_back_memory()
print(kept > 150, resident_mib() - before < 50)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]
