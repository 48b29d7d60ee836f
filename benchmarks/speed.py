"""Make README's table of speed out of benchmarks/results/pipeline.json.

python benchmarks/pipeline.py --full --instanseg FOLDER --json benchmarks/results/pipeline.json
python benchmarks/speed.py
"""

import json
from pathlib import Path
from typing import Any

from pages import README, as_table, with_table

RESULTS = Path(__file__).resolve().parent / "results" / "pipeline.json"


def main() -> None:
    """Bring the table up to date."""
    text = README.read_text(encoding="utf-8")
    README.write_text(updated(text, json.loads(RESULTS.read_text())), encoding="utf-8")
    print(README)


def updated(text: str, found: dict[str, Any]) -> str:
    """Return README's text with the table of these results."""
    return with_table(text, table(found), "speed", "speed.py")


def table(found: dict[str, Any]) -> str:
    """Return the table: each row compares two things that ran in alternation."""
    tile, networks = found["tile_forward"], found["networks_1024px_s"]
    rows = [
        ["", "one", "the other", "ratio"],
        [
            "the published pipeline, and `default` from file to GeoJSON, s/mm2",
            f"{found['released_s_per_mm2']:,.0f}",
            f"{found['default_s_per_mm2']:.1f}",
            f"{found['ratio']:.0f}",
        ],
        *(
            [
                f"the published pipeline, and `default` with `--backend {backend}`, s/mm2",
                f"{found['released_s_per_mm2']:,.0f}",
                f"{each['s_per_mm2']:.1f}",
                f"{each['ratio']:.0f}",
            ]
            for backend, each in found["default_otherwise"].items()
        ),
        [
            "the published network (width 32) in its plain form, and here, s a tile of 256 px",
            f"{tile['plain_s']:.2f}",
            f"{tile['fast_s']:.2f}",
            f"{tile['ratio']:.1f}",
        ],
        [
            "the same, where the plain form also keeps freed memory as nuguide does",
            f"{tile['plain_our_memory_s']:.2f}",
            f"{tile['fast_s']:.2f}",
            f"{tile['ratio_our_memory']:.1f}",
        ],
        *steps(found["training_step"], "32", "both in float32"),
        *steps(found["training_step_as_shipped"], "bf16", "here in bfloat16, as recipes do"),
        [
            "the network of InstanSeg 0.1.2, and of `default`, s for 1024 x 1024 px at 0.5 um/px",
            f"{networks['instanseg']:.2f}",
            f"{networks['default_network']:.2f}",
            f"{networks['instanseg'] / networks['default_network']:.1f}",
        ],
    ]
    return as_table(rows)


def steps(found: dict[str, Any], precision: str, how: str) -> list[list[str]]:
    """Return the rows of a step of training, one for each width, of those of a precision."""
    return [
        [
            f"a step of its training, {name}, {how}, s",
            f"{step['plain_s']:.2f}",
            f"{step['fast_s']:.2f}",
            f"{step['ratio']:.1f}",
        ]
        for name, step in found.items()
        if step["precision"] == precision
    ]


if __name__ == "__main__":
    main()
