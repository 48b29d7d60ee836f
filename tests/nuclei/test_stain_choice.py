from pathlib import Path

import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.nuclei.stain_choice import MAX_FILE_BYTES, asked_stains
from nuguide.nuclei.stains import HDAB, HE, stain_od

# As QuPath writes it for an image of its type "Brightfield (H-DAB)".
QUPATH = (
    'setColorDeconvolutionStains(\'{"Name" : "H-DAB default", "Stain 1" : "Hematoxylin", '
    '"Values 1" : "0.65111 0.70119 0.29049", "Stain 2" : "DAB", '
    '"Values 2" : "0.26917 0.56824 0.77759", "Background" : " 255 255 255"}\');\n'
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "stains.groovy"


def test_names() -> None:
    assert asked_stains("he") is HE
    assert asked_stains("hdab") is HDAB
    assert asked_stains(HDAB) is HDAB


def test_the_line_of_qupath_is_read_as_it_is(file: Path) -> None:
    file.write_text(f"setImageType('BRIGHTFIELD_H_DAB');\n{QUPATH}")
    stains = asked_stains(str(file))
    assert stains.second == "DAB"
    assert stains.vectors == ((0.65111, 0.70119, 0.29049), (0.26917, 0.56824, 0.77759))
    assert stains.background == (255.0, 255.0, 255.0)
    pixels = np.random.default_rng(0).integers(0, 256, (100, 3), np.uint8)
    assert stain_od(pixels, stains) == pytest.approx(stain_od(pixels, HDAB), abs=2e-4)


def test_a_lab_may_state_a_third_stain_and_its_light(file: Path) -> None:
    line = QUPATH.replace('"Background" : " 255 255', '"Background" : "240 241.5')
    file.write_text(
        line.replace('"Background"', '"Stain 3" : "AP", "Values 3" : "0.1 0.8 0.5", "Background"')
    )
    stains = asked_stains(file)
    assert stains.vectors[2:] == ((0.1, 0.8, 0.5),)
    assert stains.background == (240.0, 241.5, 255.0)
    file.write_text(
        '{"Stain 1":"H","Values 1":"0.6 0.7 0.3","Stain 2":"AEC","Values 2":"0.3 0.7 0.7"}'
    )
    assert asked_stains(file).second == "AEC"


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("{", "", "does not hold"),
        ("{", "{}{", "does not hold"),
        ('"DAB",', '"DAB"', "Expecting"),
        ('"DAB"', "[" * 20_000, "too deep"),
        ('"DAB"', r'"\ud800"', "can be printed"),
        ('"DAB"', r'"D\nAB"', "can be printed"),
        ('"Values 2"', '"Values 4"', "unknown Values 4"),
        ('"Values 2" : "0.26917 0.56824 0.77759", ', "", "lacks Values 2"),
        ('"Background"', '"Stain 3"', "lacks Values 3"),
        ("0.26917 ", "", "not three numbers"),
        ("0.26917", "brown", "brown"),
        ('"0.26917 0.56824 0.77759"', "[0.3, 0.6, 0.8]", "no text in quotes"),
        ('"Hematoxylin"', '"DAB"', "not Hematoxylin"),
        ('"DAB"', '"Haematoxylin"', "not a stain beside"),
        ('"DAB"', '" "', "not a stain beside"),
        ("0.26917 0.56824 0.77759", "0.65 0.70 0.29", "nearly the same colour"),
        ("0.26917 0.56824 0.77759", "0 0 0", "not all 0"),
        ("0.26917", "nan", "nan 0.56824"),
        (" 255 255 255", "0 255 255", "background"),
    ],
)
def test_a_line_that_cannot_be_meant(file: Path, was: str, now: str, words: str) -> None:
    assert was in QUPATH
    file.write_text(QUPATH.replace(was, now))
    with pytest.raises(InputError, match=words) as fault:
        asked_stains(file)
    assert file.name in str(fault.value)


@pytest.mark.parametrize("asked", ["hadb", "HE", "", "."])
def test_what_is_no_name_and_no_file(asked: str) -> None:
    with pytest.raises(InputError, match=r"no name and no file.*expected he, hdab, or"):
        asked_stains(asked)


def test_a_file_of_anything_is_not_read_to_its_end(file: Path) -> None:
    file.write_bytes(b"{" * (MAX_FILE_BYTES + 1))
    with pytest.raises(InputError, match="too long"):
        asked_stains(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="no name and no file"):
        asked_stains(file)
