import pytest
import torch

from nuguide.networks.heads import HEADS, Heads


def test_each_head_is_its_own_convolution():
    torch.manual_seed(0)
    heads = Heads(5, HEADS, n_types=4)
    x = torch.randn(2, 5, 6, 7)
    outputs = heads(x)
    assert [outputs[name].shape[1] for name in HEADS] == [2, 1, 2, 4]
    for name in HEADS:
        torch.testing.assert_close(outputs[name], heads[name](x))


@pytest.mark.parametrize(
    ("names", "n_types"),
    [
        (["nuclei", "types"], 0),
        (["nuclei", "types"], 1),
        (["nuclei"], 4),
        (["nucleus"], 0),
        ([], 0),
    ],
)
def test_heads_that_cannot_be_are_refused(names: list[str], n_types: int):
    with pytest.raises(ValueError, match="expected"):
        Heads(5, names, n_types)
