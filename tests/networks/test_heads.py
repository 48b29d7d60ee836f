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


def test_types_of_the_encoder_read_its_maps_and_leave_the_other_heads_alone():
    torch.manual_seed(0)
    widths = (4, 6, 8, 10, 12)
    heads = Heads(5, HEADS, 3, encoder=widths)
    x = torch.randn(2, 5, 32, 48)
    maps = [torch.randn(2, width, 32 >> k, 48 >> k) for k, width in enumerate(widths)]
    outputs = heads(x, maps)
    assert outputs["types"].shape == (2, 3, 32, 48)
    torch.testing.assert_close(outputs["nuclei"], heads["nuclei"](x))
    for level in range(1, 5):
        others = list(maps)
        others[level] = maps[level] + 1
        changed = heads(x, others)
        assert not torch.equal(changed["types"], outputs["types"]), f"level {level + 1} is read"
        assert torch.equal(changed["distance"], outputs["distance"])


def test_types_of_the_encoder_lie_where_the_encoder_saw_them():
    """A change in one corner of every map is told in that corner."""
    torch.manual_seed(0)
    widths = (4, 6, 8, 10, 12)
    head = Heads(5, ("nuclei", "types"), 3, encoder=widths)["types"]
    maps = [torch.randn(1, width, 256 >> k, 256 >> k) for k, width in enumerate(widths)]
    other = [each.clone() for each in maps]
    for k, each in enumerate(other):
        each[..., : 64 >> k, : 64 >> k] += 1
    changed = (head(other) - head(maps)).abs().sum(1)[0] > 1e-6
    assert changed[:64, :64].all()
    assert not changed[128:, :].any()
    assert not changed[:, 128:].any()


def test_types_of_the_encoder_alone_are_refused():
    with pytest.raises(ValueError, match="expected one beside 'types' of the encoder"):
        Heads(5, ("types",), 3, encoder=(4, 6, 8, 10, 12))
