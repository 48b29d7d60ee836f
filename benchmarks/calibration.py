"""How good is the match probability of the embedded models, on tissue they were not fitted on?

    python benchmarks/calibration.py --data MoNuSeg2018 --data CoNSeP --data NuCLS

measures (some minutes), writes docs/results/calibration.json and the table of docs/results.md;
without --data it writes the table alone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from accuracy import TABLED, Tissue
from pages import README, as_table, with_table

from nuguide.datasets.opening import open_dataset, recognise
from nuguide.evaluation.calibration import judged, reliability
from nuguide.models.registry import load

RESULTS = README.parent / "docs/results/calibration.json"
PAGE = README.parent / "docs/results.md"


def main() -> None:
    """Measure where asked, then bring the table up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    chosen = parser.parse_args()
    if chosen.data:
        fresh = [row for data in chosen.data for row in measured(data)]
        rows = merged(json.loads(RESULTS.read_text()), fresh)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(text, json.loads(RESULTS.read_text())), encoding="utf-8")
    print(PAGE)


def merged(rows: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with those of the same images replaced, in the order of ``TABLED``."""
    anew = {row["images"] for row in fresh}
    titles = [tissue.title for tissue in TABLED]
    kept = [row for row in rows if row["images"] not in anew]
    return sorted([*kept, *fresh], key=lambda row: titles.index(row["images"]))


def measured(data: Path) -> list[dict[str, Any]]:
    """Measure all models that have a calibration and were not fitted on these images."""
    (tissue,) = (each for each in TABLED if each.name == recognise(data).name)
    models = [load(name) for name in tissue.models]
    return [row(tissue, model, data) for model in models if model.card.calibration]


def row(tissue: Tissue, model: Any, data: Path) -> dict[str, Any]:
    seen = judged(model, open_dataset(data, tissue.split))
    return {
        "images": tissue.title,
        "n_images": seen.n_images,
        "model": model.card.name,
        "model_sha256": model.card.sha256,
        "nuclei": int(seen.confidence.size),
        "matched": round(float(seen.matched.mean()), 4),
        **{
            each.name: {
                "error": round(each.error.mean, 4),
                "low": round(each.error.low, 4),
                "high": round(each.error.high, 4),
                "brier": round(each.brier, 4),
            }
            for each in reliability(seen, model.card.calibration)
        },
    }


def updated(text: str, rows: list[dict[str, Any]]) -> str:
    """Return the page's text with the table of these results."""
    heads = ["images", "model", "nuclei", "that match", "error of confidence"]
    heads += ["error of match probability", "Brier of it"]
    lines = [heads]
    for each in rows:
        confidence, probability = each["confidence"], each["match probability"]
        lines.append(
            [
                f"{each['images']}, n = {each['n_images']}",
                f"`{each['model']}`",
                f"{each['nuclei']:,}",
                f"{100 * each['matched']:.0f} %",
                f"{confidence['error']:.3f}",
                f"{probability['error']:.3f} [{probability['low']:.3f}, {probability['high']:.3f}]",
                f"{probability['brier']:.3f}",
            ]
        )
    return with_table(text, as_table(lines), "calibration", "calibration.py")


if __name__ == "__main__":
    main()
