"""Make the tables of accuracy, and the models' cards, of the scores in docs/results/accuracy/.

    python benchmarks/accuracy.py --data MoNuSeg2018 --data CoNSeP --data NuCLS

scores the embedded models anew (some minutes) and writes scores, tables and cards; without --data
it writes tables and cards alone.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from pages import README, as_table, with_table
from release import WEIGHTS, measured

from nuguide.cli.evaluate import evaluate
from nuguide.datasets.base import Split
from nuguide.datasets.opening import recognise
from nuguide.evaluation.compare import compare
from nuguide.evaluation.record import Scores, Summary, read_scores
from nuguide.evaluation.table import title_of
from nuguide.models.card import Card, Score
from nuguide.models.registry import load_card

RESULTS = README.parent / "docs/results/accuracy"
MODELS_PAGE = README.parent / "docs/models.md"
MODELS = ("default", "monuseg", "broad", "guided", "open", "open-guided")
IN_README = MODELS[:-1]
"""``open-guided`` is there for study; its card tells its scores."""
SHOWN = ("dice_foreground", "iou_foreground", "aji", "pq", "dq", "sq")
SHOWN_OF_COUNTS = ("count_ratio", "area_ratio", "area_deviation", "centroid_um")
SHOWN_ELSEWHERE = ("dice_foreground", "aji", "pq")
TYPED = "broad"
"""The one that tells types of nuclei."""


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
    for_cards : tuple of str
        Those that are scored for their cards alone.
    on_card : str
        What cards call these images; empty where they do not tell of them.
    """

    name: str
    split: Split
    title: str
    models: tuple[str, ...]
    for_cards: tuple[str, ...] = ()
    on_card: str = ""

    @property
    def scored(self) -> tuple[str, ...]:
        """All models that are scored here."""
        return self.models + self.for_cards

    def file(self, results: Path, model: str) -> Path:
        """Return where the scores of a model lie."""
        return results / self.name / f"{model}.json"

    def scores(self, results: Path) -> dict[str, Scores]:
        """Read the scores of all models, which are of the same images by the same rules."""
        files = [self.file(results, model) for model in self.models]
        found = compare([read_scores(file) for file in files], [str(file) for file in files])
        return dict(zip(self.models, found.scores, strict=True))


MONUSEG = Tissue(
    "monuseg2018",
    "test",
    "MoNuSeg 2018 test",
    MODELS,
    on_card="MoNuSeg 2018 test, at 0.25 um/px",
)
CONSEP = Tissue(
    "consep",
    "test",
    "CoNSeP test (colon)",
    MODELS,
    on_card="CoNSeP test, at 0.25 um/px",
)
NUCLS = Tissue("nucls", "all", "NuCLS sample (breast)", ("default", "monuseg", "broad", "guided"))
NUCLS_TEST = Tissue(
    "nucls",
    "test",
    "NuCLS sample test",
    (),
    for_cards=("open", "open-guided"),
    on_card="NuCLS sample test, at its own scale, um/px estimated",
)
ELSEWHERE = (CONSEP, NUCLS)
TABLED = (MONUSEG, *ELSEWHERE)
SETS = (*TABLED, NUCLS_TEST)
ON_CARDS = {tissue.on_card for tissue in SETS if tissue.on_card}


def main() -> None:
    """Score where asked, then bring tables and cards up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    for data in parser.parse_args().data:
        name = recognise(data).name
        for tissue in (each for each in SETS if each.name == name):
            for model in tissue.scored:
                file = tissue.file(RESULTS, model)
                file.parent.mkdir(parents=True, exist_ok=True)
                evaluate(model, data, split=tissue.split, json=file)
    for page in TABLES:
        text = page.read_text(encoding="utf-8")
        page.write_text(updated(page, text, RESULTS), encoding="utf-8")
        print(page)
    for model in MODELS:
        card = with_scores(load_card(model), RESULTS)
        (WEIGHTS / f"{model}.toml").write_text(card.to_toml(), encoding="utf-8")


def with_scores(card: Card, results: Path) -> Card:
    """Return a card with these results, in place of what it tells of the same images."""
    fresh = {
        tissue.on_card: measured(tissue.file(results, card.name), tissue.on_card)
        for tissue in SETS
        if tissue.on_card and card.name in tissue.scored
    }
    scores: list[Score] = []
    for each in card.scores:
        scores += fresh.pop(each.data, []) if each.data in ON_CARDS else [each]
    scores += [score for found in fresh.values() for score in found]
    return card.model_copy(update={"scores": tuple(scores)})


def updated(page: Path, text: str, results: Path) -> str:
    """Return the text of a page with its tables of these results."""
    for name, made in TABLES[page].items():
        text = with_table(text, made(results), name, "accuracy.py")
    return text


def table(results: Path) -> str:
    """Return the table of MoNuSeg's test images."""
    scores = MONUSEG.scores(results)
    n = len(scores["default"].images)
    heads = [f"mean over the {n} test images", *(f"`{model}`" for model in IN_README)]
    rows = [
        [title_of(name), *(value(scores[model].summaries[name]) for model in IN_README)]
        for name in SHOWN
    ]
    return as_table([heads, *rows])


def elsewhere(results: Path) -> str:
    """Return the table of other laboratories' tissue; a dash where a model was fitted on it."""
    rows = [["mean over the images", *(f"`{model}`" for model in IN_README)]]
    for tissue in ELSEWHERE:
        scores = tissue.scores(results)
        n = len(scores["default"].images)
        for name in SHOWN_ELSEWHERE:
            cells = (
                value(scores[model].summaries[name]) if model in scores else "-"
                for model in IN_README
            )
            rows.append([f"{tissue.title}, n = {n}: {title_of(name)}", *cells])
    return as_table(rows)


def counts(results: Path) -> str:
    """Return the table of counts and sizes against each annotation, of the three larger models."""
    rows = [["pooled over the images", "model", *(title_of(name) for name in SHOWN_OF_COUNTS)]]
    for tissue in TABLED:
        for model in ("default", "monuseg", "broad"):
            scores = tissue.scores(results)[model]
            cells = (value(scores.summaries[name]) for name in SHOWN_OF_COUNTS)
            rows.append([f"{tissue.title}, n = {len(scores.images)}", f"`{model}`", *cells])
    return as_table(rows)


def counts_in_words(results: Path) -> str:
    """Return the gist of the table of counts, a sentence."""
    found = {tissue: tissue.scores(results)["default"].summaries for tissue in TABLED}
    nuclei, areas = (
        ", ".join(f"{scores[name].mean:.2f}" for scores in found.values())
        for name in ("count_ratio", "area_ratio")
    )
    return (
        f"**Counts.** Nuclei that `default` finds, over those annotated, on {MONUSEG.title}, "
        f"{CONSEP.title} and\n{NUCLS.title}: {nuclei}; areas of the matched ones, over the true "
        f"ones: {areas}\n([intervals](docs/models.md#counts-and-sizes)). On "
        "[your own slides](docs/your-slides.md)\nsome fields, drawn at random and annotated in "
        "QuPath, tell it, and\n[`nuguide count`](docs/your-slides.md#5-count-without-bias) corrects"
        " the count by them: right on average\n([measured](docs/results.md"
        "#counts-of-slides-corrected-by-fields)), though the model is not.\n"
    )


def types(results: Path) -> str:
    """Return the table of types: every type's PQ, and what lies over all."""
    scores = read_scores(CONSEP.file(results, TYPED))
    heads = [f"pooled over {CONSEP.title}, n = {len(scores.images)}", f"`{TYPED}`"]
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


TABLES = {
    README: {"accuracy": table, "elsewhere": elsewhere, "counts": counts_in_words},
    MODELS_PAGE: {"counts": counts, "types": types},
}

if __name__ == "__main__":
    main()
