"""What one batch shows of a network that nobody trained."""

import pytest
import torch
from torch import nn

from bnlab.data import Split
from bnlab.experiments.propagation import fate, propagate
from bnlab.models import deep_mlp

BATCH = Split(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)


def test_spread_is_over_the_batch_and_not_over_the_units():
    # Two units that differ from each other and give every sample the same answer.
    model = nn.Sequential(nn.Linear(8, 2), nn.Identity(), nn.Linear(2, 3))
    nn.init.zeros_(model[0].weight)
    model[0].bias.data = torch.tensor([-3.0, 3.0])
    assert propagate(model, BATCH, nn.Identity).spread.tolist() == [0.0]


def test_spread_and_gradient_of_one_layer():
    model = nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))
    signals = propagate(model, BATCH, nn.Tanh)
    hidden = torch.tanh(model[0](BATCH.inputs)).detach().requires_grad_()
    nn.functional.cross_entropy(model[2](hidden), BATCH.targets).backward()
    expected = hidden.detach().var(dim=0, correction=0).mean().sqrt()
    torch.testing.assert_close(signals.spread, expected[None])
    torch.testing.assert_close(signals.gradient, hidden.grad.square().sum().sqrt()[None])


def test_the_model_is_left_as_it_was():
    model = deep_mlp(8, width=6, classes=3)
    with torch.no_grad():
        propagate(model, BATCH, nn.Sigmoid)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_hooks_go_also_when_the_forward_pass_fails():
    model = deep_mlp(9, width=6, classes=3)
    with pytest.raises(RuntimeError):
        propagate(model, BATCH, nn.Sigmoid)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="calls no layer"):
        propagate(deep_mlp(8, classes=3), BATCH, nn.ReLU)


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.0, "vanished"), (1e-6, "alive"), (1e3, "alive"), (2e3, "exploded"), (1e30, "exploded")],
)
def test_fate(value, word):
    assert fate(torch.tensor(value, dtype=torch.float64)) == word
