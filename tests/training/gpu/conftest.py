"""A pack in miniature, and the bare machine that it travels to."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from nuguide.guides.student import StudentGuide
from nuguide.training.claim import claim
from nuguide.training.finish import best_path
from nuguide.training.gpu.pack import pack

ROOT = Path(__file__).resolve().parents[3]
THERE = {"torch", "lightning", "transformers", "numpy", "scipy", "scikit-image", "safetensors"}
"""Packages of a lent GPU machine."""

BARE = """
import sys

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"the GPU machine has no {{name}}", name=name)

sys.meta_path.insert(0, Bare())
"""


def absent_modules() -> set[str]:
    """List what nuguide asks for elsewhere and a lent machine has not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {Requirement(line).name for line in project["dependencies"]}
    gone = asked - THERE - {"filelock"}  # torch itself brings filelock
    return {module for module, owners in packages_distributions().items() if gone & set(owners)}


@pytest.fixture(scope="session")
def bare_machine(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs Python where most packages are missing, in its children too."""
    folder = tmp_path_factory.mktemp("bare")
    absent = absent_modules()
    assert {"cv2", "pydantic", "typer", "rich", "pyarrow", "shapely", "tifffile"} <= absent
    (folder / "sitecustomize.py").write_text(BARE.format(absent=absent))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        paths = os.pathsep.join([str(folder), str(ROOT / "src")])
        return subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def student_run(make_distillation, tmp_path_factory) -> Path:
    """Write the run of a student that knows nothing."""
    run, recipe = tmp_path_factory.mktemp("runs") / "student", make_distillation()
    claim(run, recipe, None)
    student = StudentGuide(mpp=recipe.mpp, **recipe.student.model_dump())
    best_path(run).parent.mkdir()
    state = {f"student.{key}": value for key, value in student.state_dict().items()}
    torch.save({"state_dict": state}, best_path(run))
    return run


@pytest.fixture(scope="session")
def recipes(make_segmentation, make_guided, student_run: Path) -> list:
    """Return an unguided recipe and one that is guided by the student."""
    return [make_segmentation(name="plain"), make_guided(student_run)]


@pytest.fixture(scope="session")
def packed(recipes, data_with_two_of_validation: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("work") / "gpu"
    size = pack(recipes, [data_with_two_of_validation], out)
    assert size == sum(path.stat().st_size for path in out.iterdir())
    return out
