"""Rows of an ablation without training."""

from collections.abc import Callable, Sequence

import pytest

from nuguide.training.ablation.rows import Budget, Found, Row


@pytest.fixture(scope="session")
def make_row() -> Callable[..., Row]:
    def found(scores: Sequence[float]) -> Found:
        images = tuple(
            {"name": f"image {i}", "aji": value, "pq": value - 0.1, "dice_foreground": value + 0.1}
            for i, value in enumerate(scores)
        )
        return Found(scores={"aji": sum(scores) / len(scores)}, images=images)

    def make(variant: str, seed: int, aji: Sequence[float], **changes) -> Row:
        controls = changes.pop("controls", {})
        values = {
            "variant": variant,
            "seed": seed,
            "data": "replica",
            "split": "validation",
            "budget": Budget(steps=4, seconds=10.0 + seed, n_images=2),
            "parameters": 1_234_567,
            "found": {"guided": found(aji)} | {name: found(a) for name, a in controls.items()},
            "commit": "0" * 40,
            "versions": {"nuguide": "0"},
            "device": "x86_64",
            "recipe": {"name": f"{variant}-s{seed}"},
        }
        return Row(**(values | changes))

    return make
