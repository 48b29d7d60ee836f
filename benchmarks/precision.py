"""What do bfloat16 and eight bits cost in scores? Makes the table of docs/export.md.

    python benchmarks/precision.py --data MoNuSeg2018 --data CoNSeP

scores two models on test images (some minutes) and compares them, image by image, with what
docs/results/accuracy/ tells of float32; without --data it writes the table alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from accuracy import CONSEP, MONUSEG, Tissue
from accuracy import RESULTS as IN_FLOAT32
from pages import README, as_table, with_table

from nuguide.backends.registry import with_backend
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.evaluation.compare import compare
from nuguide.evaluation.evaluate import evaluate
from nuguide.evaluation.prediction import predictor
from nuguide.evaluation.record import read_scores
from nuguide.models.registry import load
from nuguide.segmentation.engine import on_device

RESULTS = README.parent / "docs/results/precision.json"
PAGE = README.parent / "docs/export.md"
MODELS = {
    ("default", "bfloat16"): "`default`",
    ("default", "int8"): "`default`",
    ("guided", "bfloat16"): "`guided` (its student in float32)",
    ("guided", "int8"): "`guided`, with its student",
}
SHOWN = {"dice_foreground": "Dice, foreground", "aji": "AJI", "pq": "PQ"}


def main() -> None:
    """Score where asked, then bring the table up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    for data in parser.parse_args().data:
        (tissue,) = (each for each in (MONUSEG, CONSEP) if each.name == recognise(data).name)
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
        kept = [row for row in rows if row["images"] != tissue.title]
        rows = kept + [measured(tissue, data, *which) for which in MODELS]
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(text, json.loads(RESULTS.read_text())), encoding="utf-8")
    print(PAGE)


def measured(tissue: Tissue, data: Path, name: str, backend: str) -> dict[str, Any]:
    """Score a model with a backend, and tell the differences to float32."""
    model = on_device(with_backend(load(name), backend), "cpu")
    scores = evaluate(
        predictor(model),
        open_dataset(data, tissue.split),
        model=name,
        data=data.resolve().name,
        split=tissue.split,
        model_sha256=model.card.sha256,
    )
    before = read_scores(tissue.file(IN_FLOAT32, name))
    (gaps,) = compare([before, scores], ["float32", backend]).differences
    print(name, backend, tissue.title, f"AJI {gaps['aji'].interval.mean:+.4f}", flush=True)
    return {
        "images": tissue.title,
        "n_images": len(scores.images),
        "model": name,
        "model_sha256": model.card.sha256,
        "backend": backend,
        **{
            score: {
                "difference": round(gaps[score].interval.mean, 5),
                "low": round(gaps[score].interval.low, 5),
                "high": round(gaps[score].interval.high, 5),
            }
            for score in SHOWN
        },
    }


def updated(text: str, rows: list[dict[str, Any]]) -> str:
    """Return the page's text with the table of these results."""
    lines = [["model", "`--backend`", "images", *SHOWN.values()]]
    for (model, backend), words in MODELS.items():
        for row in rows:
            if (row["model"], row["backend"]) == (model, backend):
                lines.append(
                    [
                        words,
                        f"`{backend}`",
                        f"{row['images']}, n = {row['n_images']}",
                        *(_words(row[score]) for score in SHOWN),
                    ]
                )
    return with_table(text, as_table(lines), "precision", "precision.py")


def _words(gap: dict[str, float]) -> str:
    return f"{gap['difference']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"


if __name__ == "__main__":
    main()
