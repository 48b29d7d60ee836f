import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.replicas import write_folder, write_picture
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.errors import InputError, ModelError, RecipeError
from nuguide.training.finish import load_student
from nuguide.training.gpu import pack as packing
from nuguide.training.gpu.__main__ import main
from nuguide.training.gpu.pack import pack
from nuguide.training.gpu.plan import as_recipe, read_pack
from nuguide.training.gpu.tissue import build_guide, read_tissue, read_validation
from nuguide.training.recipe_file import read_recipe
from nuguide.training.targets import normalised_distance

CPU = torch.device("cpu")


def test_tissue_and_targets_come_back(packed: Path, recipes, data_with_two_of_validation: Path):
    data, mpp = data_with_two_of_validation, 0.5 / recipes[0].augmentation.scale[1]
    tissue = read_tissue(read_pack(packed), CPU)
    assert tissue.mpp == pytest.approx(mpp)
    for number, sample in enumerate(open_dataset(data, "fit")):
        seen = resampled(sample, mpp)
        image = tissue.images[number].movedim(0, -1).numpy()
        np.testing.assert_array_equal(image, seen.image)
        distance = tissue.distance[number, 0].numpy()
        assert np.abs(distance / 255 - normalised_distance(seen.labels)).max() <= 0.5 / 255 + 1e-6
        labels = tissue.labels[number, 0].numpy()
        assert _is_renumbered(labels, seen.labels)
        for side, edge in enumerate((labels[0], labels[-1], labels[:, 0], labels[:, -1])):
            cut = np.flatnonzero(tissue.cut[number, :, side])
            np.testing.assert_array_equal(cut, np.unique(edge))
    for image, sample in zip(
        read_validation(read_pack(packed)), open_dataset(data, "validation"), strict=True
    ):
        seen = resampled(sample, 0.5)
        assert image.name == sample.name
        np.testing.assert_array_equal(image.rgb, seen.image)
        assert _is_renumbered(image.labels, seen.labels)


def test_an_image_travels_once_and_with_the_targets_of_heads(make_segmentation, tmp_path: Path):
    organs = {"a": "colon", "b": "colon", "c": "liver", "d": "liver"}
    rows = [{"name": n, "organ": organ, "split": "train"} for n, organ in organs.items()]
    rows[3]["split"] = "validation"
    write_folder(tmp_path / "data", organs, [{**row, "mpp": 0.5} for row in rows])
    options = {"width": 2, "heads": ["nuclei", "offsets"]}
    network = {"architecture": "eunet3plus", "options": options}
    pack([make_segmentation(balanced=True, network=network)], [tmp_path / "data"], tmp_path / "gpu")
    tissue = read_tissue(read_pack(tmp_path / "gpu"), CPU)
    assert len(tissue.images) == 3
    assert tissue.drawn.tolist() == [0, 1, 2, 2]
    assert tissue.distance is None


def test_images_may_be_a_little_off_for_a_smaller_pack(
    make_segmentation, data: Path, tmp_path: Path
):
    sizes = [
        pack([make_segmentation()], [data], tmp_path / f"gpu-{max_error}", None, max_error)
        for max_error in (0, 3)
    ]
    assert sizes[1] < sizes[0]
    exact, near = (read_tissue(read_pack(tmp_path / f"gpu-{error}"), CPU) for error in (0, 3))
    assert (near.images.int() - exact.images.int()).abs().max() == 3
    assert torch.equal(near.labels, exact.labels)


def _is_renumbered(labels: np.ndarray, others: np.ndarray) -> bool:
    pairs = np.unique(np.stack([labels.ravel(), others.ravel()]), axis=1)
    same = len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]
    return same and bool(((labels > 0) == (others > 0)).all())


def test_the_student_comes_back(packed: Path, recipes, student_run: Path):
    there = build_guide(read_pack(packed), recipes[1], CPU)
    assert there.sha256 == load_student(student_run).sha256
    assert build_guide(read_pack(packed), recipes[0], CPU) is None


@pytest.mark.parametrize("name", ["default", "guided"])
def test_plain_values_have_the_attributes_of_a_recipe(name: str):
    recipe = read_recipe(name)
    plain = as_recipe(json.loads(recipe.model_dump_json()))
    assert plain.network.options == json.loads(json.dumps(recipe.network.options))
    for part in ("losses", "decoding", "augmentation"):
        for key, value in getattr(recipe, part).model_dump().items():
            there = getattr(getattr(plain, part), key)
            assert there == (list(value) if isinstance(value, tuple) else value)
    assert (plain.seed, plain.batch, plain.guide_control) == (0, recipe.batch, "guided")


def test_a_pack_that_is_too_large_is_refused(recipes, data: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(packing, "MAX_BYTES", 10_000)
    with pytest.raises(RecipeError, match=r"the pack has .* MiB; expected at most"):
        pack(recipes[:1], [data], tmp_path / "gpu")
    assert not (tmp_path / "gpu").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"split": "train"},
        {"n_images": 1},
        {"balanced": True},
        {"mpp": 0.25},
        {"augmentation": {"scale": [1.0, 2.0]}},
        {"name": "plain"},
    ],
)
def test_recipes_that_need_different_data_are_packed_apart(
    recipes, make_segmentation, data: Path, tmp_path: Path, change: dict
):
    other = make_segmentation(**({"name": "other"} | change))
    with pytest.raises(RecipeError, match="pack them apart"):
        pack([recipes[0], other], [data], tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"losses": {"boundary": 5.0}},
        {
            "classes": ["a", "b"],
            "network": {
                "architecture": "eunet3plus",
                "options": {"width": 2, "heads": ["nuclei", "types"], "n_types": 2},
            },
        },
    ],
)
def test_targets_that_cannot_be_turned_are_refused(
    make_segmentation, data: Path, tmp_path: Path, change: dict
):
    with pytest.raises(RecipeError, match="train it with nuguide train"):
        pack([make_segmentation(**change)], data, tmp_path / "gpu")
    assert not (tmp_path / "gpu").exists()


def test_a_guide_that_cannot_travel_is_refused(make_segmentation, data: Path, tmp_path: Path):
    guide = {"kind": "named", "name": "sam-vit-b"}
    network = {"architecture": "eunet3plus", "options": {"width": 2, "fusion": "released"}}
    with pytest.raises(RecipeError, match="'sam-vit-b' cannot travel to a GPU"):
        pack([make_segmentation(guide=guide, network=network)], [data], tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimiser": "adam"}, "sets optimiser, which scripts/train_gpu does not do"),
        ({"schedule": "constant"}, "sets schedule"),
        ({"released_augmentation": {}, "crop_px": 256}, "sets released_augmentation"),
        ({"clip": 0.0}, "has clip 0"),
        ({"start": {"model": "default"}}, "sets start"),
    ],
)
def test_what_is_not_done_on_a_gpu_machine_is_refused(
    make_segmentation, data: Path, tmp_path: Path, changes: dict, said: str
):
    with pytest.raises(RecipeError, match=said):
        pack([make_segmentation(**changes)], data, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def cross(**options) -> dict:
    """Return changes that make a recipe's network read tokens."""
    return {
        "network": {
            "architecture": "eunet3plus",
            "options": {"width": 2, "fusion": "cross", "fusion_level": 3, "window": 4} | options,
        }
    }


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (cross(), RecipeError, "the network of the recipe quick reads tokens, its guide is 'none'"),
        (cross(windwo=4), ModelError, "did you mean window"),
        (cross(fusion_level=9), ModelError, "cannot be built"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_before_it_travels(
    make_segmentation, data: Path, tmp_path: Path, changes: dict, error: type, said: str
):
    with pytest.raises(error, match=said):
        pack([make_segmentation(**changes)], [data], tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_student_of_another_scale_is_refused_before_it_travels(
    make_guided, student_run: Path, data: Path, tmp_path: Path
):
    with pytest.raises(RecipeError, match=r"reads 0\.5 um/px; expected 0\.25, the recipe's"):
        pack([make_guided(student_run, mpp=0.25)], [data], tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_one_image_of_validation_cannot_be_shuffled(make_segmentation, data: Path, tmp_path: Path):
    guide = {"kind": "named", "name": "tinyvit-sam"}
    recipe = make_segmentation(guide=guide, guide_control="shuffled", **cross())
    with pytest.raises(InputError, match="1 image cannot be given the tokens of another"):
        pack([recipe], [data], tmp_path / "pack")


GRID = """
reference = "narrow"
seeds = [0, 1]
set = { crop_px = 32, batch = 2 }
[variants.narrow]
about = "two channels"
set."network.options.width" = 2
[variants.wide]
about = "three channels"
set."network.options.width" = 3
"""


def packed_from(monkeypatch, *arguments: str) -> int:
    """Call the command as a user does; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["train_gpu", "pack", "small", *arguments])
    try:
        main()
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture
def grid(tmp_path: Path) -> str:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return str(path)


def test_some_runs_of_a_grid_are_packed(monkeypatch, grid: str, data: Path, tmp_path: Path):
    choice = ("--grid", grid, "--only", "wide", "--seed", "1")
    folders = ("--data", str(data), "--out", str(tmp_path / "pack"))
    assert packed_from(monkeypatch, *choice, *folders) == 0
    assert [each.name for each in read_pack(tmp_path / "pack").recipes] == ["wide-s1"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (("--only", "narrow", "--only", "wdie"), "--only names 'wdie'; did you mean wide"),
        (("--seed", "0", "--seed", "7"), "--seed names 7; expected of 0, 1"),
        (("--only", "wide"), "--only or --seed stands without a grid"),
        (("--seed", "1"), "--only or --seed stands without a grid"),
    ],
)
def test_a_wrong_choice_is_one_line_and_exit_code_two(
    monkeypatch, grid: str, data: Path, tmp_path: Path, capsys, choice: tuple[str, ...], said: str
):
    chosen = ("--grid", grid) if "names" in said else ()
    folders = ("--data", str(data), "--out", str(tmp_path / "pack"))
    assert packed_from(monkeypatch, *chosen, *choice, *folders) == 2
    captured = capsys.readouterr().err
    assert said in captured
    assert captured.count("\n") == 1
    assert not (tmp_path / "pack").exists()


def test_the_released_recipe_is_refused_on_a_gpu_machine(data: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="sets epochs, which scripts/train_gpu does not do"):
        pack([read_recipe("released")], data, tmp_path / "pack")


@pytest.mark.parametrize(("mpp", "shown"), [("0.25", 32), ("0.5", 64)])
def test_images_that_tell_no_scale_are_packed_at_the_one_that_is_given(
    monkeypatch, tmp_path: Path, mpp: str, shown: int
):
    write_folder(tmp_path / "data", [f"image-{number}" for number in range(8)])
    folders = ("--data", str(tmp_path / "data"), "--out", str(tmp_path / "pack"))
    assert packed_from(monkeypatch, *folders, "--mpp", mpp) == 0
    validation = read_validation(read_pack(tmp_path / "pack"))
    assert {each.rgb.shape for each in validation} == {(shown, shown, 3)}


def test_ambiguous_areas_come_along(make_segmentation, tmp_path: Path):
    write_folder(tmp_path / "data", [f"image-{number}" for number in range(8)])
    vague = np.zeros((64, 64), np.uint8)
    vague[:, 40:] = 255
    samples = list(open_dataset(tmp_path / "data", "fit", 0.5))
    validation = list(open_dataset(tmp_path / "data", "validation", 0.5))
    for sample in (samples[1], *validation):
        write_picture(tmp_path / "data" / "ignore" / f"{sample.name}.png", vague)
    recipe = make_segmentation(augmentation={"scale": [1.0, 1.0]})
    pack([recipe], [tmp_path / "data"], tmp_path / "pack", 0.5)
    read = read_pack(tmp_path / "pack")
    ignore = read_tissue(read, CPU).ignore
    assert ignore is not None
    assert ignore.any((1, 2, 3)).tolist() == [False, True] + [False] * (len(samples) - 2)
    np.testing.assert_array_equal(ignore[1, 0].numpy() > 0, vague > 0)
    for image in read_validation(read):
        np.testing.assert_array_equal(image.ignore, vague > 0)


def test_a_damaged_pack_is_one_clear_line(packed: Path, tmp_path: Path):
    for name in ("plan.json", "data.safetensors"):
        (tmp_path / name).write_bytes((packed / name).read_bytes()[:100])
        with pytest.raises(InputError, match="is no whole pack"):
            read_pack(tmp_path)
        (tmp_path / name).write_bytes((packed / name).read_bytes())
    assert read_pack(tmp_path).values["data"]


def test_a_pack_of_before_repeats_were_told_draws_each_image_once(packed: Path):
    there = read_pack(packed)
    older = replace(there, values={k: v for k, v in there.values.items() if k != "drawn"})
    assert read_tissue(older, CPU).drawn.tolist() == read_tissue(there, CPU).drawn.tolist()
    assert older.digest("plain") != there.digest("plain")
