from pathlib import Path

import pytest

from nuguide.errors import RecipeError
from nuguide.training.finish import TRAINED_FILE
from nuguide.training.progress import trained_elsewhere


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"steps": 1}', f'{{"steps": 1{"0" * 4000}, "seconds": 1}}', "1" * 5000],
)
def test_a_damaged_record_of_a_gpu_is_one_clear_line(tmp_path: Path, text: str):
    (tmp_path / TRAINED_FILE).write_text(text)
    with pytest.raises(RecipeError, match=r"trained\.json cannot be read"):
        trained_elsewhere(tmp_path)
