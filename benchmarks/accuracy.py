"""Make README's table of accuracy out of the scores in docs/results/accuracy/.

    python benchmarks/accuracy.py --data MoNuSeg2018

scores the embedded models on the test images anew (some minutes) and writes scores and table;
without --data it writes the table alone.
"""

import argparse
from pathlib import Path

from readme import README, as_table, with_table

from nuguide.cli.evaluate import evaluate
from nuguide.evaluation.compare import compare
from nuguide.evaluation.record import Summary, read_scores
from nuguide.evaluation.table import title_of

RESULTS = README.parent / "docs/results/accuracy"
MODELS = ("default", "guided", "open")
SHOWN = ("dice_foreground", "iou_foreground", "aji", "pq", "dq", "sq")


def main() -> None:
    """Score where asked, then bring the table up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    chosen = parser.parse_args()
    if chosen.data:
        RESULTS.mkdir(parents=True, exist_ok=True)
        for model in MODELS:
            evaluate(model, chosen.data, split="test", json=RESULTS / f"{model}.json")
    text = README.read_text(encoding="utf-8")
    README.write_text(updated(text, RESULTS), encoding="utf-8")
    print(README)


def updated(text: str, results: Path) -> str:
    """Return README's text with the table of these results."""
    return with_table(text, table(results), "accuracy", "accuracy.py")


def table(results: Path) -> str:
    """Return the table, of scores that are of the same images by the same rules."""
    files = [results / f"{model}.json" for model in MODELS]
    comparison = compare([read_scores(file) for file in files], [str(file) for file in files])
    reference, n = comparison.reference, len(comparison.reference.images)
    heads = [f"mean over the {n} {reference.split} images", *(f"`{name}`" for name in MODELS)]
    rows = [
        [title_of(name), *(value(scores.summaries[name]) for scores in comparison.scores)]
        for name in SHOWN
    ]
    return as_table([heads, *rows])


def value(found: Summary) -> str:
    """Word a mean with its interval."""
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
