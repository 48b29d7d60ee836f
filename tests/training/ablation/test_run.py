import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from fixtures.replicas import write_folder
from nuguide.errors import OutputError
from nuguide.models.model import NamedGuide
from nuguide.training.ablation.grid import Planned
from nuguide.training.ablation.rows import read_rows
from nuguide.training.ablation.run import ablate
from nuguide.training.fit import fit
from nuguide.training.seen import seen_by

GUIDED = {"fusion": "cross", "fusion_level": 3, "window": 4}
GUIDE = {"kind": "named", "name": "tinyvit-sam", "field_um": 128.0}
ALL_SCORES = {"dice_foreground", "aji", "pq", "aji_plus", "dq", "sq"}


@pytest.fixture
def plan(make_segmentation) -> list[Planned]:
    def network(**options):
        options = {"width": 2, "heads": ["nuclei", "distance"], **options}
        return {"architecture": "eunet3plus", "options": options}

    cross = {"network": network(**GUIDED), "guide": GUIDE}
    recipes = {
        "none": make_segmentation(name="none-s0", steps=2, network=network()),
        "cross": make_segmentation(name="cross-s0", steps=2, **cross),
        "zeroed": make_segmentation(name="zeroed-s0", steps=2, guide_control="zeroed", **cross),
    }
    return [Planned(name, recipe) for name, recipe in recipes.items()]


@pytest.fixture
def teacher(fake_teacher, monkeypatch):
    """The fake teacher in every place that loads a guide by its name."""
    for room in ("training.fit", "models.model"):
        monkeypatch.setattr(f"nuguide.{room}.load_guide", lambda name, field_um: fake_teacher)
    return fake_teacher


def test_every_planned_run_is_trained_scored_and_written_down_once(
    plan, teacher, data_with_two_of_validation: Path, tmp_path: Path, monkeypatch
):
    data, file, out = data_with_two_of_validation, tmp_path / "runs.jsonl", tmp_path / "runs"
    said: list[str] = []
    ablate(plan[:2], data, file, out, say=said.append)
    ablate(plan, data, file, out, say=said.append)
    assert [line for line in said if "training" in line] == [
        f"{name}-s0: training" for name in ("none", "cross", "zeroed")
    ]
    rows = read_rows(file)
    assert [row.variant for row in rows] == ["none", "cross", "zeroed"]
    assert [set(row.found) for row in rows] == [
        {"guided"},
        {"guided", "zeroed", "shuffled"},
        {"zeroed"},
    ]
    none, cross, zeroed = rows
    assert cross.parameters == zeroed.parameters > none.parameters
    for row, planned in zip(rows, plan, strict=True):
        assert row.trained_by(planned.recipe)
        assert (row.seed, row.split, row.data) == (0, "validation", data.name)
        assert (row.budget.steps, row.budget.n_images) == (2, 2)
        assert row.budget.seconds > 0
        assert len(row.own.images) == 2
        assert row.own.scores.keys() >= ALL_SCORES
        mean = sum(image["aji"] for image in row.own.images) / 2
        assert row.own.scores["aji"] == pytest.approx(mean)
        assert row.versions["torch"]
        assert row.commit is None or re.fullmatch(r"[0-9a-f]{40}(\+changed)?", row.commit)

    def never(*_, **__):
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr("nuguide.training.ablation.run.fit", never)
    before = file.read_bytes()
    ablate(plan, data, file, out, say=said.append)
    assert file.read_bytes() == before
    assert said[-1] == f"3 of 3 runs are in {file}"


def test_each_run_is_scored_on_unseen_data_too(
    plan, teacher, data_with_two_of_validation: Path, data: Path, tmp_path: Path, monkeypatch
):
    file, out, own = tmp_path / "runs.jsonl", tmp_path / "runs", data_with_two_of_validation
    other = tmp_path / "other"
    other.symlink_to(data)
    ablate(plan[1:2], own, file, out)
    best = out / "cross-s0" / "checkpoints" / "best.ckpt"
    trained = best.stat().st_mtime_ns
    said: list[str] = []
    ablate(plan[:2], own, file, out, unseen=[other], say=said.append)
    assert said[0] == f"0 of 2 runs are in {file}"
    rows = read_rows(file)
    assert [(row.variant, row.data, row.split) for row in rows] == [
        ("cross", own.name, "validation"),
        ("none", own.name, "validation"),
        ("none", data.name, "all"),
        ("cross", data.name, "all"),
    ]
    assert best.stat().st_mtime_ns == trained, "what is trained is only scored"
    names = [image["name"] for image in rows[3].own.images]
    assert len(names) == 4, "all images, not those of validation alone"
    assert set(rows[3].found) == {"guided", "zeroed", "shuffled"}
    assert rows[3].budget == rows[0].budget
    ablate(plan[:2], own, file, out, unseen=[other])
    assert read_rows(file) == rows


def test_other_protocols_are_scored_beside_the_standard(
    plan, teacher, data_with_two_of_validation: Path, tmp_path: Path
):
    file = tmp_path / "runs.jsonl"
    ablate(
        [plan[0], plan[2]],
        data_with_two_of_validation,
        file,
        tmp_path / "runs",
        protocols=["released"],
    )
    none, zeroed = read_rows(file)
    released = none.protocols["released"]
    assert set(released.scores) == {"dice_weighted", "iou_weighted"}
    assert [image["name"] for image in released.images] == [
        image["name"] for image in none.own.images
    ]
    assert all(image["origin"] == image["name"] for image in released.images), "the patient"
    assert released.scores["dice_weighted"] != none.own.scores["dice_weighted"]
    assert set(none.own.scores) >= ALL_SCORES
    assert zeroed.protocols == {}, "it would be given its guide's own tokens there"


def test_a_named_guide_is_moved_to_the_device_before_its_tokens_are_kept(
    plan, teacher, data: Path, tmp_path: Path, monkeypatch
):
    moved: list[object] = []

    def on_device(model, device):
        moved.append(model.guide)
        return model

    monkeypatch.setattr("nuguide.training.ablation.run.on_device", on_device)
    ablate(plan[1:2], data, tmp_path / "runs.jsonl", tmp_path / "runs")
    assert [type(each) for each in moved] == [NamedGuide]


def test_a_folder_that_was_trained_elsewhere_is_taken_up(plan, data: Path, tmp_path: Path):
    file, out = tmp_path / "runs.jsonl", tmp_path / "runs"
    fit(plan[0].recipe, data, out / "none-s0", progress=False)
    best = out / "none-s0" / "checkpoints" / "best.ckpt"
    trained = best.stat().st_mtime_ns
    ablate(plan[:1], data, file, out)
    assert best.stat().st_mtime_ns == trained
    assert len(read_rows(file)) == 1


def test_a_folder_of_another_recipe_is_refused(plan, make_segmentation, data: Path, tmp_path: Path):
    other = make_segmentation(name="none-s0", steps=2, seed=0, clip=2.0)
    fit(other, data, tmp_path / "runs" / "none-s0", progress=False)
    with pytest.raises(OutputError, match="holds the run of another recipe"):
        ablate(plan[:1], data, tmp_path / "runs.jsonl", tmp_path / "runs")
    assert read_rows(tmp_path / "runs.jsonl") == []


def test_images_that_tell_no_scale_are_trained_and_scored_at_the_one_that_is_given(
    make_segmentation, tmp_path: Path
):
    for name, count in (("data", 8), ("lab", 2)):
        write_folder(tmp_path / name, [f"{name}-{number}" for number in range(count)])
    plan = [Planned("none", make_segmentation(name="none-s0", steps=2))]
    places = (tmp_path / "data", tmp_path / "runs.jsonl", tmp_path / "runs")
    for _ in range(2):
        ablate(plan, *places, unseen=[tmp_path / "lab"], mpp=0.25)
    assert [(row.data, row.split) for row in read_rows(places[1])] == [
        ("data", "validation"),
        ("lab", "all"),
    ]


def test_a_row_of_other_images_does_not_count_and_one_that_does_not_tell_does(
    plan, data: Path, data_with_two_of_validation: Path, tmp_path: Path
):
    file, out = tmp_path / "runs.jsonl", tmp_path / "runs"
    ablate(plan[:1], data, file, out)
    (row,) = read_rows(file)
    assert row.seen_sha256 == seen_by(out / "none-s0").sha256
    other = tmp_path / "elsewhere" / data.name
    shutil.copytree(data_with_two_of_validation, other)
    with pytest.raises(OutputError, match="chosen by other images"):
        ablate(plan[:1], other, file, tmp_path / "others")
    file.write_text(row.model_copy(update={"seen_sha256": None}).model_dump_json() + "\n")
    ablate(plan[:1], other, file, tmp_path / "others")
    assert not (tmp_path / "others" / "none-s0").exists(), "it counts as done"


def test_a_run_that_another_process_holds_is_passed_over(
    plan, data: Path, tmp_path: Path, monkeypatch
):
    said: list[str] = []
    (tmp_path / "runs").mkdir()
    with FileLock(tmp_path / "runs" / ".none-s0.lock"):
        ablate(plan[:1], data, tmp_path / "runs.jsonl", tmp_path / "runs", say=said.append)
    assert said[-1] == "none-s0: left to the process that has it"
    assert read_rows(tmp_path / "runs.jsonl") == []


def test_what_another_process_finished_meanwhile_is_not_done_again(
    plan, data: Path, tmp_path: Path, monkeypatch, make_row
):
    """The file is read once more when the run is held."""
    recipe = plan[0].recipe.model_dump(mode="json")
    row = make_row("none", 0, [0.5], recipe=recipe, data=data.name)
    readings = iter([[], [row]])
    monkeypatch.setattr("nuguide.training.ablation.run.read_rows", lambda file: next(readings))
    ablate(plan[:1], data, tmp_path / "runs.jsonl", tmp_path / "runs")
    assert not (tmp_path / "runs" / "none-s0").exists()
