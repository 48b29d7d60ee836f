r"""Put a trained model into the package as an embedded one, with its measured scores on its card.

    nuguide evaluate RUN/model DATA --split test --json test.json
    python benchmarks/release.py RUN --scores test.json "DATA test, at 0.25 um/px" \
        --description TEXT --notes notes.txt
    # and of a guided model:
    python benchmarks/guidance.py RUN/model DATA --unguided UNGUIDED/model --json guidance.json
    python benchmarks/release.py ... --guidance guidance.json --student STUDENT

Writes src/nuguide/models/weights/<name>.safetensors and .toml.
"""

import argparse
import csv
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from nuguide.evaluation.evaluate import definition_of
from nuguide.models.card import Score
from nuguide.models.checkpoint import CARD_FILE, WEIGHTS_FILE, load_model_folder, save_model

WEIGHTS = Path(__file__).parents[1] / "src" / "nuguide" / "models" / "weights"
SHOWN = (
    *("dice_foreground", "iou_foreground", "aji", "aji_plus", "dq", "sq", "pq"),
    *("count_ratio", "area_ratio"),
)
CONTROLS = {
    "guided": "the guided network as it is",
    "zeroed": "the guided network, its tokens set to zero",
    "shuffled": "the guided network, each image with the tokens of the next",
    "unguided": "the unguided network of the same training",
}
VALIDATION = "MoNuSeg 2018 validation part of the training images, at 0.25 um/px"


def main() -> None:
    """Read the measured files, complete the card, write the package's files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--scores", nargs=2, action="append", required=True, metavar=("FILE", "WHAT")
    )
    parser.add_argument(
        "--fitted-on",
        nargs=2,
        action="append",
        default=[],
        metavar=("TEXT", "IMAGES"),
        help="where a run's --set split differs from its recipe's training_data: of each of them",
    )
    parser.add_argument(
        "--calibration",
        nargs=2,
        metavar=("MODEL", "TEXT"),
        help="take the calibration of this model's card, and say what it was fitted to",
    )
    parser.add_argument("--guidance", type=Path)
    parser.add_argument("--student", type=Path)
    parser.add_argument("--description", required=True)
    parser.add_argument("--notes", type=Path, required=True)
    chosen = parser.parse_args()

    model = load_model_folder(chosen.run / "model")
    scores = [each for file, what in chosen.scores for each in measured(Path(file), what)]
    if chosen.guidance:
        scores += guidance_scores(chosen.guidance)
    if chosen.student:
        scores += student_scores(chosen.student)
    card = model.card.model_copy(
        update={
            "description": chosen.description,
            "notes": chosen.notes.read_text().strip(),
            "scores": tuple(scores),
        }
    )
    if chosen.fitted_on:
        data = [
            each.model_copy(update={"split": text, "n_images": int(images)})
            for each, (text, images) in zip(card.training_data, chosen.fitted_on, strict=True)
        ]
        card = card.model_copy(update={"training_data": tuple(data)})
    if chosen.calibration:
        other, text = chosen.calibration
        calibration = load_model_folder(Path(other)).card.calibration
        card = card.model_copy(
            update={"calibration": calibration.model_copy(update={"data": text})}
        )
    with tempfile.TemporaryDirectory() as folder:
        save_model(replace(model, card=card), Path(folder))
        for made, suffix in ((WEIGHTS_FILE, "safetensors"), (CARD_FILE, "toml")):
            shutil.copyfile(Path(folder) / made, WEIGHTS / f"{card.name}.{suffix}")
    print(WEIGHTS / f"{card.name}.toml")


def measured(path: Path, what: str) -> list[Score]:
    found = json.loads(path.read_text())["scores"]
    typed = [name for name in found if name.startswith("pq_") or name == "mpq_plus"]
    return [score(name, found[name], found[name]["definition"], what) for name in (*SHOWN, *typed)]


def guidance_scores(path: Path) -> list[Score]:
    return [
        score(
            f"{name}, {control}", value, f"{definition_of(name)}; {CONTROLS[control]}", VALIDATION
        )
        for control, values in json.loads(path.read_text()).items()
        for name, value in values.items()
    ]


def student_scores(run: Path) -> list[Score]:
    """Read the epoch whose student was kept from the log of a distillation."""
    with (run / "log" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["validation_cosine_standardised"]]
    best = max(rows, key=lambda row: float(row["validation_cosine_standardised"]))
    plain = "cosine of the student's to the teacher's token"
    after = "after each channel is brought to mean 0, variance 1 over the training tokens"
    rule = "mean over tokens, then over images"
    return [
        Score(
            name=key.removeprefix("validation_"),
            value=round(float(best[key]), 4),
            n=6,
            definition=f"{words}; {rule}",
            data=VALIDATION.replace("0.25", "0.5"),
        )
        for key, words in (
            ("validation_cosine", plain),
            ("validation_cosine_standardised", f"{plain} {after}"),
        )
    ]


def score(name: str, found: dict[str, float], definition: str, data: str) -> Score:
    return Score(
        name=name,
        value=round(found["mean"], 6),
        low=round(found["low"], 6),
        high=round(found["high"], 6),
        n=int(found["n"]),
        definition=definition,
        data=data,
    )


if __name__ == "__main__":
    main()
