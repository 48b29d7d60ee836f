from collections.abc import Callable
from pathlib import Path

import pytest

from nuguide.errors import ModelError
from nuguide.models.card import MAX_CARD_BYTES, Card, read_card

MakeCard = Callable[..., Card]


def test_toml_keeps_everything(make_card: MakeCard) -> None:
    data = {"name": "a", "licence": "b", "split": "train", "n_images": 3, "citation": "c"}
    score = {"name": "aji", "value": 1, "n": 2, "definition": "mean", "data": "d", "low": 0.5}
    card = make_card(
        training_data=({**data},),
        scores=({**score, "value": 0.7},),
        tile_px=256,
        guide={"kind": "named", "name": "sam-vit-b", "field_um": 64.0},
        notes='quotes " and\nlines, µm²',
    )
    assert Card.from_toml(card.to_toml()) == card


def test_whole_numbers_in_toml_may_stand_for_real_ones(make_card: MakeCard) -> None:
    text = make_card(mpp=1.0).to_toml().replace("mpp = 1.0", "mpp = 1")
    assert Card.from_toml(text).mpp == 1.0


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("mpp = 0.5", "mpp = 500.0", "mpp"),
        ("mpp = 0.5", "mpp = nan", "mpp"),
        ("mpp = 0.5", 'mpp = "0.5"', "mpp"),
        ("mpp = 0.5", "mpp = 2020-01-01", "card"),
        ('licence = "CC0-1.0"', "", "licence"),
        ('licence = "CC0-1.0"', 'licence = ""', "licence"),
        ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\ncolour = "red"', "colour"),
        ('channel_order = "rgb"', 'channel_order = "gbr"', "channel_order"),
        ('name = "small"', 'name = "../small"', "name"),
        ("min_area_um2 = 8.0", "min_area_um2 = -8.0", "decoding.min_area_um2"),
        ("min_area_um2 = 8.0", "min_area_um2 = 1e9", "decoding.min_area_um2"),
        ("smoothing_um = 0.5", "smoothing_um = 1e9", "decoding.smoothing_um"),
        ("width = 2", "width = 1000000", "network.options.width"),
        ("width = 2", f"width = {'1' * 5000}", "card"),
        ('channel_order = "rgb"', "tile_px = 1048576", "tile_px"),
        (
            'kind = "none"\nname = ""',
            'kind = "named"\nname = "a"\nfield_um = 1e9',
            "guide.field_um",
        ),
        ('kind = "none"', 'kind = "named"', "guide"),
        ('kind = "none"\nname = ""', 'kind = "named"\nname = "/etc/weights"', "guide"),
        ("sha256 = ", "sha256 = 1 #", "sha256"),
    ],
)
def test_an_error_names_the_field(make_card: MakeCard, old: str, new: str, field: str) -> None:
    text = make_card().to_toml()
    assert old in text
    with pytest.raises(ModelError) as raised:
        Card.from_toml(text.replace(old, new), "model.toml")
    assert field in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_card_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    for content in (b"\xff\xfe", b"[[", b"name = " + b"[" * 100_000, b"x" * (MAX_CARD_BYTES + 1)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.toml"):
            read_card(path)
    with pytest.raises(ModelError, match="no card at"):
        read_card(tmp_path / "absent.toml")


def test_a_mark_at_the_beginning_of_the_file_is_none_of_the_card(
    make_card: MakeCard, tmp_path: Path
) -> None:
    (tmp_path / "model.toml").write_text(make_card().to_toml(), encoding="utf-8-sig")
    assert read_card(tmp_path / "model.toml") == make_card()
