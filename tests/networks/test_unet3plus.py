import torch

from nuguide.networks.unet3plus import UNet3Plus, silence_empty


def test_deep_supervision_speaks_in_training_only_and_at_full_size() -> None:
    network = UNet3Plus(width=2, deep_supervision=True)
    image = torch.rand(2, 3, 40, 50)
    trained = network.train()(image)
    assert set(trained) == {"nuclei", "nuclei_2", "nuclei_3", "nuclei_4", "nuclei_5"}
    assert all(x.shape == (2, 2, 40, 50) for x in trained.values())
    assert set(network.eval()(image)) == {"nuclei"}


def test_an_image_called_empty_is_silenced_and_another_is_not() -> None:
    channels = {"nuclei": 2, "distance": 1, "offsets": 2}
    logits = {name: torch.randn(2, count, 4, 5) for name, count in channels.items()}
    gated = silence_empty(logits, torch.tensor([[3.0, -1.0], [-1.0, 3.0]]))
    probability = gated["nuclei"].sigmoid()
    torch.testing.assert_close(probability[0, 0], torch.ones(4, 5))
    torch.testing.assert_close(probability[0, 1], torch.zeros(4, 5))
    assert not gated["distance"][0].any()
    assert not gated["offsets"][0].any()
    assert all(torch.equal(gated[name][1], logits[name][1]) for name in logits)


def test_the_classification_gates_at_inference_and_not_in_training() -> None:
    torch.manual_seed(0)
    network = UNet3Plus(width=2, classification_guided=True)
    assert network.classifier is not None
    with torch.no_grad():
        network.classifier.convolution.bias.copy_(torch.tensor([1e4, -1e4]))
    image = torch.rand(2, 3, 32, 32)
    trained = network.train()(image)
    assert trained["classification"].shape == (2, 2)
    assert trained["nuclei"].abs().max() < 30
    assert (network.eval()(image)["nuclei"].argmax(1) == 0).all()


def test_a_network_that_pools_globally_asks_for_tiles() -> None:
    assert UNet3Plus(width=2, classification_guided=True).tile_px == 256
    assert UNet3Plus(width=2).tile_px is None
