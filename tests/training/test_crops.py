from dataclasses import replace

import numpy as np
import pytest
import torch

from nuguide.datasets.base import Sample
from nuguide.training.augmentation import crop_coordinates
from nuguide.training.crops import Crops, TokenMap, as_input, batches
from nuguide.training.recipe_parts import Augmentation
from nuguide.training.targets import normalised_distance

SIZE = 32


def ramp(height: int, width: int, token_um: float) -> TokenMap:
    """Return tokens whose first two channels are the (y, x) of their centres, um."""
    values = torch.zeros(256, height, width, dtype=torch.float16)
    values[0] = (torch.arange(height)[:, None] + 0.5) * token_um
    values[1] = (torch.arange(width)[None, :] + 0.5) * token_um
    return TokenMap(values, token_um)


def crops(sample: Sample, tokens=None, **changes) -> Crops:
    chosen = {"seed": 7, "epoch": 0, "length": 6, "targets": ("distance",)} | changes
    return Crops(
        [sample, sample], tokens, mpp=0.5, size=SIZE, augmentation=Augmentation(), **chosen
    )


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_an_item_is_the_same_in_every_run_and_another_elsewhere(sample: Sample):
    again = crops(sample)
    assert all(equal(crops(sample)[i], again[i]) for i in (5, 0, 3)), "in any order"
    first = again[0]
    for other in (again[1], crops(sample, epoch=1)[0], crops(sample, seed=8)[0]):
        assert not equal(first, other)
    assert len(again) == 6


def test_ambiguous_areas_are_read_at_the_place_of_the_labels(sample: Sample):
    """Every batch of a set tells of them if any image does."""
    vague = replace(sample, ignore=sample.labels > 0)
    chosen = {"mpp": 0.5, "size": SIZE, "augmentation": Augmentation(), "targets": ()}
    both = Crops([sample, vague], None, **chosen, seed=7, epoch=0, length=12)
    kinds = set()
    for index in range(12):
        item = both[index]
        assert item["ignore"].dtype == torch.bool
        kinds.add(bool(item["ignore"].any()))
        if item["ignore"].any():
            assert torch.equal(item["ignore"], item["nuclei"] > 0)
        assert torch.equal(item["image"], crops(sample, length=12)[index]["image"])
    assert kinds == {False, True}


def test_batches_are_the_same_whoever_makes_them_and_others_in_each_epoch(sample: Sample):
    tokens = [ramp(16, 16, 2.0)] * 2
    seen = []
    for workers in (0, 2):
        epoch = iter([0, 3])
        loader = batches(crops(sample, tokens), lambda at=epoch: next(at), range(6), 2, workers)
        before = torch.random.get_rng_state()
        seen.append([batch for _ in range(2) for batch in loader])
        assert torch.equal(torch.random.get_rng_state(), before)
    assert [len(each) for each in seen] == [6, 6]
    assert all(equal(alone, together) for alone, together in zip(*seen, strict=True))
    last = crops(sample, tokens, epoch=3)
    for key, value in seen[1][5].items():
        assert torch.equal(value, torch.stack([last[4][key], last[5][key]]))


def test_an_item_holds_image_and_targets(sample: Sample):
    for index in range(4):
        item = crops(sample)[index]
        assert item.keys() == {"image", "nuclei", "distance"}
        assert (item["image"].shape, item["image"].dtype) == ((3, SIZE, SIZE), torch.float32)
        assert 0 <= item["image"].min() <= item["image"].max() <= 1
        assert (item["nuclei"].shape, item["nuclei"].dtype) == ((SIZE, SIZE), torch.int64)
        assert set(item["nuclei"].unique().tolist()) <= {0, 1}
        assert item["distance"].dtype == torch.float32
        assert torch.equal(item["distance"] > 0, item["nuclei"] > 0)


def test_the_targets_are_those_that_are_asked_for(sample: Sample):
    every = crops(sample, targets=("nuclei", "distance", "offsets", "closeness"))[1]
    assert every.keys() == {"image", "nuclei", "distance", "offsets", "closeness"}
    assert (every["offsets"].shape, every["offsets"].dtype) == ((2, SIZE, SIZE), torch.float32)
    assert torch.equal(every["offsets"].any(0), every["distance"] > 0)
    assert (every["closeness"].shape, every["closeness"].dtype) == ((SIZE, SIZE), torch.float32)
    bare = crops(sample, targets=())[1]
    assert bare.keys() == {"image", "nuclei"}
    assert torch.equal(bare["nuclei"], every["nuclei"]), "what is asked for changes no crop"


def test_types_lie_where_the_nuclei_do(sample: Sample):
    of_label = np.array([0, 3, 1, 0, 2, 3, 1, 2, 3], np.uint8)  # nucleus 3 has none
    typed = replace(sample, types=of_label[sample.labels])
    plain, whole = crops(sample), crops(typed, targets=("distance", "types"))
    seen = set()
    for index in range(6):
        item = whole[index]
        assert item["types"].dtype == torch.int64
        inside = item["nuclei"] == 1
        assert not item["types"][~inside].any()
        seen |= set(item["types"].unique().tolist())
        assert equal({k: v for k, v in item.items() if k != "types"}, plain[index])
    assert seen == {0, 1, 2, 3}
    without = crops(sample, targets=("types",))[0]
    assert not without["types"].any()


def test_the_distance_is_that_of_the_crop(sample: Sample):
    whole = Crops(
        [sample],
        None,
        mpp=0.5,
        size=64,
        augmentation=Augmentation(scale=(1, 1), rotate=False, elastic_px=0),
        targets=("distance",),
        seed=0,
        epoch=0,
        length=1,
    )[0]
    areas = [int((whole["nuclei"] > 0).sum()), int((sample.labels > 0).sum()) / 4]
    assert areas[0] == pytest.approx(areas[1], rel=0.05)
    assert normalised_distance(sample.labels).max() == whole["distance"].max() == 1


def test_tokens_come_from_the_sample_that_was_drawn(sample: Sample):
    """Each sample's map holds its own number: image and tokens may not be mixed up."""
    dark = Sample("dark", sample.image // 8, sample.labels, sample.mpp)
    maps = [TokenMap(torch.full((256, 16, 16), float(i)).half(), 2.0) for i in range(2)]
    drawn = Crops(
        [sample, dark],
        maps,
        mpp=0.5,
        size=SIZE,
        augmentation=Augmentation(stain=0, other_stain=0, grey=0, noise=0),
        targets=(),
        seed=0,
        epoch=0,
        length=10,
    )
    seen = {
        (bool(item["image"].mean() < 0.3), item["tokens"].mean().round().item())
        for item in (drawn[i] for i in range(10))
    }
    assert seen == {(False, 0.0), (True, 1.0)}
    assert drawn[0]["tokens"].shape == (256, SIZE // 4, SIZE // 4)


@pytest.mark.parametrize("token_um", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(
    "chosen",
    [
        Augmentation(scale=(1, 1), rotate=False, elastic_px=0),
        Augmentation(scale=(0.9, 1.1), rotate=True, elastic_px=0),
    ],
    ids=["quarters and mirrors", "any angle and zoom"],
)
def test_tokens_are_read_where_the_pixels_lie(token_um: float, chosen: Augmentation):
    """A map that tells the place of its tissue gives back each token's place, um."""
    size_um = 128.0
    n = int(size_um / token_um)
    tissue = Sample(
        "flat", np.zeros((512, 512, 3), np.uint8), np.zeros((512, 512), np.int32), size_um / 512
    )
    for seed in range(8):  # several of the four turns, mirrored and not
        random = np.random.default_rng(seed)
        coordinates = crop_coordinates(tissue, 0.5, SIZE, chosen, random)
        read = ramp(n, n, token_um).at(coordinates, tissue.mpp)[:2]
        blocks = coordinates.reshape(SIZE // 4, 8, SIZE // 4, 8, 2).mean((1, 3))
        places = torch.from_numpy((blocks + 0.5) * tissue.mpp).movedim(-1, 0)
        # Beyond the centres of the outermost tokens the map is mirrored.
        inside = ((places > token_um / 2) & (places < size_um - token_um / 2)).all(0)
        assert inside.float().mean() > 0.4
        torch.testing.assert_close(read[:, inside], places[:, inside], atol=0.1, rtol=0)


def test_tokens_of_an_image_that_is_not_square():
    tissue = Sample("wide", np.zeros((200, 400, 3), np.uint8), np.zeros((200, 400), np.int32), 0.5)
    coordinates = np.stack(
        np.meshgrid(np.arange(64.0) + 60, np.arange(64.0) + 300, indexing="ij"), axis=-1
    ).astype(np.float32)
    read = ramp(50, 100, 2.0).at(coordinates, tissue.mpp)
    assert read.shape == (256, 8, 8)
    torch.testing.assert_close(
        read[0, :, 0], (60 + 4.0 + 8 * torch.arange(8)) * 0.5, atol=0.1, rtol=0
    )
    torch.testing.assert_close(
        read[1, 0], (300 + 4.0 + 8 * torch.arange(8)) * 0.5, atol=0.1, rtol=0
    )


def test_pixels_become_channels_first_in_zero_to_one():
    rgb = np.zeros((2, 3, 3), np.uint8)
    rgb[0, 1] = (255, 51, 0)
    tensor = as_input(rgb)
    assert tensor.shape == (3, 2, 3)
    torch.testing.assert_close(tensor[:, 0, 1], torch.tensor([1.0, 0.2, 0.0]))
    assert torch.equal(as_input(rgb[:, ::-1]), tensor.flip(-1)), "views are taken too"
