"""Make README's table of accuracy out of the scores in docs/results/accuracy/.

    python benchmarks/accuracy.py --data MoNuSeg2018

scores the embedded models on the test images anew (some minutes) and writes scores and table;
without --data it writes the table alone.
"""

import argparse
from pathlib import Path

from nuguide.cli.evaluate import evaluate
from nuguide.evaluation.compare import compare
from nuguide.evaluation.intervals import Interval
from nuguide.evaluation.record import Summary, read_scores
from nuguide.evaluation.table import title_of

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs/results/accuracy"
MODELS = ("default", "guided")
SHOWN = ("dice_foreground", "iou_foreground", "aji", "pq", "dq", "sq")
BEGIN = "<!-- accuracy: made by benchmarks/accuracy.py, do not edit -->\n"
END = "<!-- accuracy: end -->"


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
    README.write_text(with_table(text, table(RESULTS)), encoding="utf-8")
    print(README)


def table(results: Path) -> str:
    """Return the table, of scores that are of the same images by the same rules."""
    files = [results / f"{model}.json" for model in MODELS]
    comparison = compare([read_scores(file) for file in files], [str(file) for file in files])
    reference, n = comparison.reference, len(comparison.reference.images)
    heads = [f"mean over the {n} {reference.split} images", *(f"`{name}`" for name in MODELS)]
    heads += [f"`{name}` minus `{MODELS[0]}`" for name in MODELS[1:]]
    lines = [heads, ["---"] * len(heads)]
    for name in SHOWN:
        means = [value(scores.summaries[name]) for scores in comparison.scores]
        differences = [value(found[name].interval, "+") for found in comparison.differences]
        lines.append([title_of(name), *means, *differences])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace(" --- ", "---") + "\n"


def value(found: Summary | Interval, sign: str = "") -> str:
    """Word a mean with its interval."""
    mean, low, high = (f"{number:{sign}.3f}" for number in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def with_table(text: str, made: str) -> str:
    """Return ``text`` with what stands between the two marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"README has no {BEGIN.strip()} ... {END}; put the two marks in again")
    return f"{before}{BEGIN}{made}{mark}{after}"


if __name__ == "__main__":
    main()
