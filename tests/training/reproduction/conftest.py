"""Replicas of the published data sets at their true sizes, and a guide for the guided network."""

from pathlib import Path

import pytest

from fixtures.replicas import write_conic, write_nuinsseg


@pytest.fixture(scope="session")
def two_sets(tmp_path_factory) -> Path:
    """Write NuInsSeg (10 images of 512 px) and CoNIC (8 of 256 px) under names of their own."""
    root = tmp_path_factory.mktemp("sets")
    write_nuinsseg(root / "a", size=512)
    write_conic(root / "b", each=1, size=256, sources=[f"consep_{n}" for n in range(8)])
    (root / "something else").mkdir()
    return root


@pytest.fixture
def guided(make_teacher, monkeypatch):
    """Return the fake teacher, handed out in every place that loads a guide by its name."""
    teacher = make_teacher()
    asked = []

    def load(name, field_um):
        asked.append((name, field_um))
        return teacher

    for room in ("training.fit", "models.model", "training.reproduction.run"):
        monkeypatch.setattr(f"nuguide.{room}.load_guide", load)
    teacher.asked = asked
    return teacher
