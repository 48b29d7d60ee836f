"""Fixtures that every test may use."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nuguide.training.ablation.rows import Budget, Found, Row

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real images, weights and oracles beside the checkout, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder shared/ beside the checkout ({SHARED})")
    return SHARED


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    """Return what makes a row of an ablation without a training."""

    def found(scores: Sequence[float], origins: Sequence[str]) -> Found:
        images = tuple(
            {"name": f"image {i}", "aji": value, "pq": value - 0.1, "dice_foreground": value + 0.1}
            | ({"origin": origins[i]} if origins else {})
            for i, value in enumerate(scores)
        )
        return Found(scores={"aji": sum(scores) / len(scores)}, images=images)

    def make(variant: str, seed: int, aji: Sequence[float], **changes) -> Row:
        controls, origins = changes.pop("controls", {}), changes.pop("origins", ())
        values = {
            "variant": variant,
            "seed": seed,
            "data": "replica",
            "split": "validation",
            "budget": Budget(steps=4, seconds=10.0 + seed, n_images=2),
            "parameters": 1_234_567,
            "found": {
                name: found(scores, origins)
                for name, scores in ({"guided": aji} | controls).items()
            },
            "commit": "0" * 40,
            "versions": {"nuguide": "0"},
            "device": "x86_64",
            "recipe": {"name": f"{variant}-s{seed}"},
        }
        return Row(**(values | changes))

    return make
