from dataclasses import replace
from pathlib import Path

import numpy as np

from fixtures.annotated import tissue
from nuguide.datasets.base import Sample
from nuguide.datasets.contact_sheet import SIDE_PX, outlined, write_contact_sheet
from nuguide.datasets.pictures import read_rgb


def sample(size: int = 64, **changes) -> Sample:
    drawn = tissue(size, n_types=2)
    return replace(Sample("a name", drawn.image, drawn.labels, 0.25, "liver"), **changes)


def test_outlines_lie_inside_every_nucleus_of_the_middle():
    one = sample(256)
    picture = outlined(one, "fit")
    assert picture.pixels.shape == (SIDE_PX, SIDE_PX, 3)
    assert picture.caption == "a name (fit, liver, 6 nuclei)"
    green = (picture.pixels == (0, 255, 60)).all(axis=2)
    scale = SIDE_PX / 256
    for number in range(1, 7):
        y, x = np.nonzero(one.labels == number)
        box = np.s_[
            int(y.min() * scale) : int((y.max() + 1) * scale),
            int(x.min() * scale) : int((x.max() + 1) * scale),
        ]
        assert green[box].any()
    background = one.labels == 0
    sampled = green[(np.arange(256) * scale + 0.7).astype(int)][
        :, (np.arange(256) * scale + 0.7).astype(int)
    ]
    assert sampled[background].mean() < 0.01


def test_classes_have_colours_and_what_is_ambiguous_is_hatched():
    types = tissue(64, n_types=2).types
    ignore = np.zeros((64, 64), bool)
    ignore[:, :32] = True
    picture = outlined(sample(types=types, ignore=ignore), "test").pixels
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {(0, 255, 60), (255, 225, 25), (255, 255, 255)} <= colours


def test_a_field_larger_than_the_image_is_laid_on_white():
    wide = replace(sample(), image=sample().image[:20], labels=sample().labels[:20], mpp=1.0)
    picture = outlined(wide, "fit").pixels
    assert (picture[SIDE_PX // 2 :] == 255).all()
    assert not (picture[: SIDE_PX // 4] == 255).all()


def test_the_sheet_holds_every_picture(tmp_path: Path):
    pictures = [outlined(sample(), "fit") for _ in range(5)]
    path = tmp_path / "sheet.png"
    write_contact_sheet(pictures, path, ("one", "two"))
    sheet = read_rgb(path)
    assert sheet.shape[1] > 4 * SIDE_PX
    assert sheet.shape[0] > 2 * SIDE_PX
    blank = (sheet == 255).all(axis=(0, 2))
    assert blank[:8].all()
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]
