import pytest
import torch
from torch import nn

import bnlab
from bnlab import models

NORMS_2D = [nn.BatchNorm2d, bnlab.BatchNorm2d]


def count(model, kind):
    return sum(isinstance(module, kind) for module in model.modules())


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("norm", NORMS_2D)
@pytest.mark.parametrize(
    ("build", "norms", "size"),
    [  # Norms and parameters as torchvision publishes them.
        (models.resnet18, 20, 11_689_512),
        (models.resnet50, 53, 25_557_032),
        (models.mobilenet_v2, 52, 3_504_872),
    ],
)
def test_architectures_have_the_published_size(build, norms, size, norm):
    with torch.device("meta"):
        model = build(norm)
        scores = model(torch.empty(2, 3, 224, 224))
    assert count(model, norm) == norms
    assert parameters(model) == size
    assert scores.shape == (2, 1000)
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("build", [models.resnet18, models.resnet50, models.mobilenet_v2])
def test_without_a_norm_convolutions_get_the_bias_it_would_have_brought(build):
    with torch.device("meta"):
        bare, normed = build(None), build(nn.BatchNorm2d)
    convolutions = [m for m in bare.modules() if isinstance(m, nn.Conv2d)]
    assert all(c.bias is not None for c in convolutions)
    assert count(bare, nn.BatchNorm2d) == 0
    assert all(m.bias is None for m in normed.modules() if isinstance(m, nn.Conv2d))
    # Of a norm's scale and shift, one per channel each, the shift remains.
    assert parameters(normed) - parameters(bare) == sum(c.out_channels for c in convolutions)


@pytest.mark.parametrize("build", [models.resnet18, models.resnet50, models.mobilenet_v2])
def test_architectures_train_on_small_pictures_of_other_channels(build):
    model = build(bnlab.BatchNorm2d, in_channels=1, classes=4)
    scores = model(torch.randn(2, 1, 64, 64))
    scores.sum().backward()
    assert scores.shape == (2, 4)
    assert all(p.grad is not None for p in model.parameters())


def test_a_residual_adds_its_input():
    block = models.Residual(nn.Linear(3, 3), nn.Identity(), nn.ReLU())
    nn.init.zeros_(block.branch.weight)
    nn.init.zeros_(block.branch.bias)
    assert torch.equal(block(torch.tensor([[-1.0, 0.0, 2.0]])), torch.tensor([[0.0, 0.0, 2.0]]))


@pytest.mark.parametrize("norm", NORMS_2D)
def test_conv_net_and_lenet(norm):
    model = models.conv_net(norm)
    assert [type(m) for m in model] == [nn.Conv2d, norm, nn.ReLU, nn.Flatten, nn.Linear]
    assert model.linear.in_features == 16 * 32 * 32
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    digit = models.conv_net(norm, in_channels=1, size=8, classes=3)(torch.randn(2, 1, 8, 8))
    assert digit.shape == (2, 3)
    lenet = models.lenet(norm)
    assert count(lenet, norm) == 2
    assert lenet(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
def test_mlp_and_two_layer(norm):
    model = models.mlp(784, norm)
    shapes = [(m.in_features, m.out_features) for m in model if isinstance(m, nn.Linear)]
    assert shapes == [(784, 128), (128, 64), (64, 10)]
    assert [m.num_features for m in model if isinstance(m, norm)] == [128, 64]
    small = models.two_layer(norm)
    assert [type(m) for m in small] == [nn.Linear, norm, nn.Linear, norm]
    assert small(torch.randn(4, 10)).shape == (4, 5)


@pytest.mark.parametrize("build", [lambda n: models.mlp(64, n), models.two_layer])
def test_without_a_norm_only_the_norms_are_missing(build):
    bare, normed = build(None), build(nn.BatchNorm1d)
    names = [name for name, m in normed.named_children() if not isinstance(m, nn.BatchNorm1d)]
    assert [name for name, _ in bare.named_children()] == names


@pytest.mark.parametrize(
    ("name", "kind"), [("sigmoid", nn.Sigmoid), ("tanh", nn.Tanh), ("relu", nn.ReLU)]
)
def test_mlp_norms_stand_on_the_side_that_is_asked_for(name, kind):
    before, after = (
        models.mlp(64, bnlab.BatchNorm1d, activation=name, norm_last=last) for last in (False, True)
    )
    hidden = [nn.Linear, bnlab.BatchNorm1d, kind]
    assert [type(m) for m in before] == [*hidden, *hidden, nn.Linear]
    hidden = [nn.Linear, kind, bnlab.BatchNorm1d]
    assert [type(m) for m in after] == [*hidden, *hidden, nn.Linear]
    assert before.state_dict().keys() == after.state_dict().keys()


def test_mlp_draws_the_same_weights_with_or_without_norms():
    drawn = []
    for settings in ({}, {"norm": nn.BatchNorm1d}, {"norm": nn.BatchNorm1d, "norm_last": True}):
        torch.manual_seed(5)
        drawn.append(models.mlp(64, **settings).output.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("norm", [None, *NORMS_2D])
def test_residual_net_goes_around_its_branches(norm):
    model = models.residual_net(norm, width=4, blocks=2)
    scores = model(torch.randn(3, 1, 8, 8))
    scores.sum().backward()
    assert scores.shape == (3, 10)
    assert all(p.grad is not None for p in model.parameters())
    if norm is not None:
        assert count(model, norm) == 1 + 2 * 2
        nn.init.zeros_(model.block1.branch.norm2.weight)
        maps = torch.rand(3, 4, 4, 4)
        assert torch.equal(model.block1(maps), maps)


def test_networks_name_what_they_do_not_know():
    with pytest.raises(ValueError, match="sigmoid, tanh, relu, but is 'gelu'"):
        models.mlp(64, activation="gelu")
    with pytest.raises(ValueError, match="at least 1, but is 0"):
        models.residual_net(None, blocks=0)


def test_deep_mlp_weights_have_the_chosen_spread():
    model = models.deep_mlp(inputs=400, width=300, depth=4, gain=1.7)
    layers = [m for m in model if isinstance(m, nn.Linear)]
    assert len(layers) == 5
    for layer in layers[:-1]:
        spread = layer.weight.std().item() * layer.in_features**0.5
        assert spread == pytest.approx(1.7, rel=0.02)
        assert not layer.bias.any()
    assert layers[-1].weight.std().item() * 300**0.5 == pytest.approx(1.7, rel=0.06)


@pytest.mark.parametrize(
    ("name", "kind"), [("sigmoid", nn.Sigmoid), ("tanh", nn.Tanh), ("relu", nn.ReLU)]
)
def test_deep_mlp_activations_follow_their_norms(name, kind):
    model = models.deep_mlp(depth=2, activation=name, norm=bnlab.BatchNorm1d)
    hidden = [nn.Linear, bnlab.BatchNorm1d, kind]
    assert [type(m) for m in model] == [*hidden, *hidden, nn.Linear]


def test_deep_mlp_is_seeded_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, same, other = (models.deep_mlp(seed=seed).linear1.weight for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_deep_mlp_names_what_it_does_not_know():
    with pytest.raises(ValueError, match="sigmoid, tanh, relu, but is 'gelu'"):
        models.deep_mlp(activation="gelu")
    with pytest.raises(ValueError, match="depth"):
        models.deep_mlp(depth=0)
