"""Make README's tables of accuracy out of the scores in docs/results/accuracy/.

    python benchmarks/accuracy.py --data MoNuSeg2018 --data CoNSeP --data NuCLS

scores the embedded models anew (some minutes) and writes scores and tables; without --data it
writes the tables alone.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from pages import README, as_table, with_table

from nuguide.cli.evaluate import evaluate
from nuguide.datasets.base import Split
from nuguide.datasets.opening import recognise
from nuguide.evaluation.compare import compare
from nuguide.evaluation.record import Scores, Summary, read_scores
from nuguide.evaluation.table import title_of

RESULTS = README.parent / "docs/results/accuracy"
MODELS = ("default", "guided", "open", "open-guided")
SHOWN = ("dice_foreground", "iou_foreground", "aji", "pq", "dq", "sq")
SHOWN_ELSEWHERE = ("dice_foreground", "aji", "pq")
TYPED = "typed"


@dataclass(frozen=True)
class Tissue:
    """Images that models are scored on.

    Attributes
    ----------
    name : str
        Of the data set, as it is recognised.
    split : Split
        The part that is scored.
    title : str
        For a reader.
    models : tuple of str
        Those that have not been fitted on these images.
    typed : tuple of str
        Those whose types are scored here.
    """

    name: str
    split: Split
    title: str
    models: tuple[str, ...]
    typed: tuple[str, ...] = ()

    def file(self, results: Path, model: str) -> Path:
        """Return where the scores of a model lie."""
        return results / self.name / f"{model}.json"

    def scores(self, results: Path) -> dict[str, Scores]:
        """Read the scores of all models, which are of the same images by the same rules."""
        files = [self.file(results, model) for model in self.models]
        found = compare([read_scores(file) for file in files], [str(file) for file in files])
        return dict(zip(self.models, found.scores, strict=True))


MONUSEG = Tissue("monuseg2018", "test", "MoNuSeg 2018 test", MODELS)
ELSEWHERE = (
    Tissue("consep", "test", "CoNSeP test (colon)", MODELS, (TYPED,)),
    Tissue("nucls", "all", "NuCLS sample (breast)", ("default", "guided")),
)
SETS = (MONUSEG, *ELSEWHERE)


def main() -> None:
    """Score where asked, then bring the tables up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    for data in parser.parse_args().data:
        (tissue,) = (each for each in SETS if each.name == recognise(data).name)
        for model in tissue.models + tissue.typed:
            file = tissue.file(RESULTS, model)
            file.parent.mkdir(parents=True, exist_ok=True)
            evaluate(model, data, split=tissue.split, json=file)
    text = README.read_text(encoding="utf-8")
    README.write_text(updated(text, RESULTS), encoding="utf-8")
    print(README)


def updated(text: str, results: Path) -> str:
    """Return README's text with the tables of these results."""
    for name, made in (("accuracy", table), ("elsewhere", elsewhere), ("types", types)):
        text = with_table(text, made(results), name, "accuracy.py")
    return text


def table(results: Path) -> str:
    """Return the table of MoNuSeg's test images."""
    scores = MONUSEG.scores(results)
    n = len(scores["default"].images)
    heads = [f"mean over the {n} test images", *(f"`{model}`" for model in MODELS)]
    rows = [
        [title_of(name), *(value(scores[model].summaries[name]) for model in MODELS)]
        for name in SHOWN
    ]
    return as_table([heads, *rows])


def elsewhere(results: Path) -> str:
    """Return the table of other laboratories' tissue; a dash where a model was fitted on it."""
    rows = [["mean over the images", *(f"`{model}`" for model in MODELS)]]
    for tissue in ELSEWHERE:
        scores = tissue.scores(results)
        n = len(scores["default"].images)
        for name in SHOWN_ELSEWHERE:
            cells = (
                value(scores[model].summaries[name]) if model in scores else "-" for model in MODELS
            )
            rows.append([f"{tissue.title}, n = {n}: {title_of(name)}", *cells])
    return as_table(rows)


def types(results: Path) -> str:
    """Return the table of types: every type's PQ, and what lies over all."""
    (tissue,) = (each for each in SETS if each.typed)
    scores = read_scores(tissue.file(results, TYPED))
    heads = [f"pooled over {tissue.title}, n = {len(scores.images)}", f"`{TYPED}`"]
    rows = [
        [f"PQ, {found.definition.rpartition(': ')[2]}", value(found)]
        for name, found in scores.summaries.items()
        if name.startswith("pq_")
    ]
    over_all = [[title_of(name), value(scores.summaries[name])] for name in ("mpq_plus", "r2")]
    return as_table([heads, *rows, *over_all])


def value(found: Summary) -> str:
    """Word a mean with its interval."""
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    main()
