from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import ANNOTATORS, write_cryonuseg, write_picture
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError


@pytest.mark.parametrize("nested", [True, False])
def test_the_whole_opens_the_first_annotator_and_a_folder_its_own(tmp_path: Path, nested: bool):
    truths = write_cryonuseg(tmp_path, size=32, nested=nested)
    first = open_dataset(tmp_path)
    assert len(first) == 30
    assert (first[0].name, first[0].organ) == ("Human_AdrenalGland_01", "AdrenalGland")
    assert (first[0].mpp, first[0].patient) == (0.25, first[0].name)
    truth = truths[first[0].name]
    np.testing.assert_array_equal(first[0].labels, truth.labels)
    np.testing.assert_array_equal(first[0].image, truth.image)
    other = recognise(tmp_path / ANNOTATORS[2])
    assert other.title == "CryoNuSeg, Annotator 2 (bioinformatician)"
    shifted = np.roll(truth.labels, 1, axis=1)
    np.testing.assert_array_equal(other.entries[0].read().labels, shifted)


def test_folds_hold_one_image_of_each_organ_or_of_three(tmp_path: Path):
    write_cryonuseg(tmp_path, size=32)
    for folds, of_each in ((3, 10), (10, 3)):
        for fold in range(1, folds + 1):
            test = open_dataset(tmp_path, "test", fold=fold, folds=folds).entries
            assert set(Counter(entry.organ for entry in test).values()) == {1}
            assert len(test) == of_each
    assert open_dataset(tmp_path, "test").entries[0].name == (
        open_dataset(tmp_path, "test", fold=1, folds=3).entries[0].name
    )


def test_a_missing_mask_is_named_and_missing_masks_too(tmp_path: Path):
    write_cryonuseg(tmp_path, size=32)
    masks = tmp_path / ANNOTATORS[0] / "label masks modify"
    (masks / "Human_Skin_02.tif").unlink()
    with pytest.raises(DataSetError, match=r"Human_Skin_02\.tif has no mask"):
        open_dataset(tmp_path)
    masks.rename(tmp_path / "elsewhere")
    with pytest.raises(DataSetError, match="has no folder 'label masks modify'; expected"):
        open_dataset(tmp_path)


def test_a_strange_name_is_refused(tmp_path: Path):
    write_cryonuseg(tmp_path, size=32)
    for folder in ("tissue images", f"{ANNOTATORS[0]}/label masks modify"):
        write_picture(tmp_path / folder / "Rat_1.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(DataSetError, match=r"Rat_1\.tif is not named as in CryoNuSeg"):
        open_dataset(tmp_path)


def test_masks_may_lie_beside_the_images(tmp_path: Path):
    truths = write_cryonuseg(tmp_path, size=32)
    (tmp_path / ANNOTATORS[2] / ANNOTATORS[2] / "label masks modify").rename(
        tmp_path / "label masks modify"
    )
    data = recognise(tmp_path)
    assert data.title == "CryoNuSeg, Annotator 1"
    sample = data.entries[0].read()
    expected = np.roll(truths[sample.name].labels, 1, axis=1)
    np.testing.assert_array_equal(sample.labels, expected)
